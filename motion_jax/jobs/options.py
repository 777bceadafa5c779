"""Options of `motion-jax jobs`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass(frozen=True)
class JobsOptions:
    """The studio's jobs in the terminal: list them, stop one, let it go on, read what it said."""

    action: tyro.conf.Positional[Literal["list", "stop", "resume", "log"]] = "list"
    """"list" all; "stop" some (training saves first; a second stop ends it at once); "resume" some
    that were stopped, failed or killed; "log": what one said."""
    job: tyro.conf.Positional[tuple[str, ...]] = ()
    """Which, by the names that the list shows: PROJECT/NUMBER."""
    projects: Path | None = None
    """The studio's folder (default: $MOTION_JAX_PROJECTS, else ~/motion-jax)."""
    json: bool = False
    """Print the list as JSON (nothing else goes to standard output)."""
