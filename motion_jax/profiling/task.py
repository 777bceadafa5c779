"""What is asked of a profile."""

from dataclasses import dataclass
from pathlib import Path

from motion_jax.config import Config


@dataclass(frozen=True)
class Task:
    """What is profiled, and where its results go."""

    config: Config
    name: str
    stage: str
    folder: Path
    trace: Path
    data: Path | None
    run: Path | None
