"""What Ctrl-C does before a command has begun, and what SIGTERM raises while it works."""

import os
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM came, which ends a command as Ctrl-C does."""


def at_once(number: int, frame: FrameType | None) -> None:
    """A handler of SIGINT that ends the process: there is nothing to clean up yet."""
    os.write(2, b"motion-jax: interrupted\n")
    os._exit(130)
