"""Whether training still makes sense: the discriminator's losses, looked at late, and what a run
does after it went wrong."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax

from motion_jax.config import Config, Guard
from motion_jax.errors import UserError
from motion_jax.recipes.metric import DISCRIMINATOR, Metric


class Collapsed(UserError):
    """The discriminator's losses vanished. together: every process sees the same.

    stage: its name; since: its step from which on they were too small.
    """

    together = True

    def __init__(self, message: str, stage: str, since: int):
        super().__init__(message)
        self.stage, self.since = stage, since


class Watch:
    """Watches one stage. What it has seen goes into each checkpoint's record (`memory`), so that a
    resumed run decides as an uninterrupted one.

    metrics: what the stage's numbers are, by name: the discriminators' are watched.

    Attributes:
      since: the step from which on the losses were too small without a break; None: they are not.
    """

    def __init__(
        self,
        settings: Guard,
        stage: str,
        metrics: Mapping[str, Metric],
        since: int | None = None,
    ):
        self._watched = {n for n, each in metrics.items() if each.role == DISCRIMINATOR.role}
        self._settings, self._stage, self.since = settings, stage, since
        self._pending: tuple[int, dict[str, jax.Array]] | None = None

    def step(self, step: int, metrics: dict[str, jax.Array]) -> None:
        """After a step was dispatched. Raises Collapsed. Reads what was computed long ago: the
        losses of the look before, so that nothing waits for the device."""
        if self._settings.collapsed_below > 0 and step % self._settings.every == 0:
            self.look()
            self._pending = step, metrics

    def look(self) -> None:
        """Looks at what was put by; waits for it. Raises Collapsed."""
        if self._pending is None:
            return
        step, metrics = self._pending
        self._pending = None
        losses = {name: v for name, v in metrics.items() if name in self._watched}
        if not losses:
            return
        total = sum(float(value) for value in jax.device_get(losses).values())
        # Not so for a NaN, which the recorder tells.
        if not total < self._settings.collapsed_below:
            self.since = None
            return
        self.since = step if self.since is None else self.since
        if step - self.since >= self._settings.collapsed_steps:
            raise Collapsed(
                f"The discriminator's losses ({', '.join(losses)}) were together below "
                f"{self._settings.collapsed_below:g} from step {self.since} to {step} of the "
                f"{self._stage} stage: it always wins and teaches the generator nothing; lower its "
                f"width (ndf) or recipe.{self._stage}_stage.learning_rate and start another run.",
                self._stage,
                self.since,
            )


def lowered(config: Config, change: dict[str, Any] | None) -> Config:
    """The config with the learning rate of one stage times a factor: change = {"stage", "factor"},
    as a checkpoint's record keeps it; None: as it is."""
    if change is None:
        return config
    field = f"{change['stage']}_stage"
    stage = getattr(config.recipe, field)
    stage = replace(stage, learning_rate=stage.learning_rate * change["factor"])
    return replace(config, recipe=replace(config.recipe, **{field: stage}))
