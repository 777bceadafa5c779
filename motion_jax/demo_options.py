"""Options of `motion-jax demo`."""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class DemoOptions:
    """Prepare, train, transfer and evaluate on two drawn dancers."""

    out: Path = Path("out/demo")
    """Folder of the demo's videos, datasets, run and reports; a second run goes on in it."""
    config: tyro.conf.Positional[str] = "demo"
    """The config that is trained; or "live": the demo's run (made first, where it is not there) is
    distilled, and a film of the other dancer, as a camera, drives it for 20 seconds."""
