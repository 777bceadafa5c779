"""Options of `motion-jax demo`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class DemoOptions:
    """Prepare, train, transfer and evaluate on two drawn dancers."""

    out: Path = Path("out/demo")
    """Folder of the demo's videos, datasets, run and reports; a second run goes on in it."""
    config: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[CONFIG]")] = "demo"
    """The config that is trained; or "live": the demo's run (made first, where it is not there) is
    distilled, and a film of the other dancer, as a camera, drives it for 20 seconds; or "photo": a
    model learns from hundreds of drawn people to move a photo of one whom it never saw; or "anime":
    drawn characters are made, learned, and dance (docs/anime.md)."""
    mark: bool = True
    """Put the invisible mark into the films (docs/honest.md)."""
