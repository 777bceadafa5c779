"""Options of `motion-jax suggest`."""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class SuggestOptions:
    """What to train on a dataset on this machine: a look in minutes, a result, and the best that a
    night allows, each with its command."""

    data: tyro.conf.Positional[Path]
    """Dataset folder made by `motion-jax prepare`."""
    json: bool = False
    """Print JSON (nothing else goes to standard output)."""
    out: Path | None = None
    """Also write the JSON into FILE.json."""
