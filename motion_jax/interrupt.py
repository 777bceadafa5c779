"""What Ctrl-C does before a command has begun."""

import os
from types import FrameType


def at_once(number: int, frame: FrameType | None) -> None:
    """A handler of SIGINT that ends the process: there is nothing to clean up yet."""
    os.write(2, b"motion-jax: interrupted\n")
    os._exit(130)
