"""Whether training still makes sense: the discriminator's losses, looked at late, and what a run
does after it went wrong."""

from collections.abc import Mapping
from dataclasses import replace

import jax

from motion_jax.config import Config, Guard
from motion_jax.errors import UserError
from motion_jax.recipes.metric import DISCRIMINATOR, Metric
from motion_jax.train.checkpoint_record import Lowered


class Collapsed(UserError):
    """The discriminator's losses vanished, in every process alike. stage: its name; since: its step
    since which they were too small."""

    together = True

    def __init__(self, message: str, stage: str, since: int):
        super().__init__(message)
        self.stage, self.since = stage, since


class Watch:
    """Watches one stage. `since` goes into each checkpoint's record, so that a resumed run decides
    as an uninterrupted one.

    metrics: what the stage's numbers are, by name: the discriminators' are watched.

    Attributes:
      since: the step since which all losses have been too small; None: the last were not.
    """

    def __init__(
        self, settings: Guard, stage: str, metrics: Mapping[str, Metric], since: int | None = None
    ):
        self._watched = {n for n, each in metrics.items() if each.role == DISCRIMINATOR.role}
        self._settings, self._stage, self.since = settings, stage, since
        self._pending: tuple[int, dict[str, jax.Array]] | None = None

    def step(self, step: int, metrics: dict[str, jax.Array]) -> None:
        """After a step was dispatched. Judges the losses that the previous look noted, which the
        device has computed long ago, so that nothing waits for it. Raises Collapsed."""
        if self._settings.collapsed_below > 0 and step % self._settings.every == 0:
            self.look()
            self._pending = step, metrics

    def look(self) -> None:
        """Judges the losses that were noted last; waits for them. Raises Collapsed."""
        if self._pending is None:
            return
        step, metrics = self._pending
        self._pending = None
        losses = {name: v for name, v in metrics.items() if name in self._watched}
        if not losses:
            return
        total = sum(float(value) for value in jax.device_get(losses).values())
        # A NaN is not too small; the recorder reports it.
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


def lowered(config: Config, change: Lowered | None) -> Config:
    """The config with that change of a stage's learning rate; None: as it is."""
    if change is None:
        return config
    field = f"{change['stage']}_stage"
    before = getattr(config.recipe, field)
    stage = replace(before, learning_rate=before.learning_rate * change["factor"])
    return replace(config, recipe=replace(config.recipe, **{field: stage}))
