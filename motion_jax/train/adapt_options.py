"""Options of `motion-jax adapt`."""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class AdaptOptions:
    """Train a new person from little film: begin with the weights of a run that was trained on
    other people, with a short schedule (docs/adapt.md)."""

    base: tyro.conf.Positional[Path]
    """Run folder of the base, driven by poses: best one that was trained on many people. Of a base
    that tells people apart (`--recipe.identities`), RUN:WHO begins with one of them or a mixture
    (RUN:all: of everybody), RUN with the one who looks most like the new person."""
    data: Path
    """Dataset of the new person, made by `motion-jax prepare` at the base's size."""
    run: Path
    """Run directory of the new person; the same command again goes on in it."""
    steps: int = 600
    """Training steps; in the last half of them the learning rate falls to 0."""
    minutes: float | None = None
    """At most so many minutes of steps; the learning rate then falls with the time."""
    rate: float = 1.0
    """The learning rate, as a share of the base's."""
    step: str = "latest"
    """Which checkpoint of the base: "latest", "best", or its step."""
