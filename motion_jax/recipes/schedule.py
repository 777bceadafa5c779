"""A stage's settings that every recipe has, its learning rate, and what they must satisfy."""

import contextlib
import contextvars
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float32

from motion_jax.errors import UserError, setting
from motion_jax.errors import option as named


@dataclass(frozen=True)
class Stage:
    """One stage of training on single pictures. steps = 0 leaves the stage out."""

    steps: int = 0
    """Training steps (batches)."""
    decay_steps: int = 0
    """Steps at the end that lower the learning rate linearly towards 0."""
    height: int = 256
    """Of the pictures, in pixels; the dataset's or a whole fraction of it."""
    width: int = 256
    """Of the pictures, in pixels."""
    batch_size: int = 1
    """Pictures a step, over all devices."""
    learning_rate: float = 2e-4
    """Of Adam, for all networks of the stage."""
    warmup_steps: int = 0
    """Steps at the start that raise the learning rate linearly to its full value: for a stage that
    continues from imported weights, while Adam's averages, which begin empty, fill."""

    @property
    def window(self) -> int:
        """Consecutive frames in an example."""
        return 1


# Among what a step is given besides state and batch: its place in a stage that ends by the clock.
BY_CLOCK = "share of the learning rate"
_told: contextvars.ContextVar[Any] = contextvars.ContextVar("share", default=None)


@contextlib.contextmanager
def by_clock(given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Within the block, learning rates are the full ones times what `given` has as BY_CLOCK, where
    it has that; yields the rest of it. A step that is traced so knows no number of steps: one
    program serves every length of its stage."""
    given = dict(given)
    token = _told.set(given.pop(BY_CLOCK, None))
    try:
        yield given
    finally:
        _told.reset(token)


def share_by_clock(stage: Any, over: float) -> float:
    """Of the full learning rate, when the share `over` of a stage's time is over (0 to 1): as by
    its steps, if these were spread evenly over its time."""
    return min((1 - over) * stage.steps / max(stage.decay_steps, 1), 1.0)


def learning_rate(stage: Any, step: Array | int) -> Float32[Array, ""]:
    """Of a step, counted from 0: rises linearly over the stage's first warmup_steps, is constant,
    then falls linearly towards 0 over its last decay_steps. Within `by_clock` it is as told."""
    told = _told.get()
    if told is not None:
        return jnp.asarray(stage.learning_rate * told, jnp.float32)
    left = jnp.asarray(stage.steps - step, jnp.float32)
    rate = stage.learning_rate * jnp.clip(left / max(stage.decay_steps, 1), 0.0, 1.0)
    if not stage.warmup_steps:
        return rate
    done = jnp.asarray(step + 1, jnp.float32)
    return rate * jnp.minimum(done / stage.warmup_steps, 1.0)


def learning_rate_at(stage: Any, step: int) -> float:
    """The same as a plain number, for logs: asking the device would make the loop wait."""
    rate = stage.learning_rate * min((stage.steps - step) / max(stage.decay_steps, 1), 1.0)
    return rate * min((step + 1) / max(stage.warmup_steps, 1), 1.0)


def check_stage(name: str, stage: Any) -> None:
    """Raises UserError for counts that are impossible."""
    for count in ("batch_size", "num_D"):
        if getattr(stage, count, 1) < 1:
            raise UserError(f"{setting(f'recipe.{name}_stage.{count}')} must be at least 1.")
    for part in ("decay_steps", "warmup_steps"):
        if not 0 <= getattr(stage, part) <= stage.steps:
            path = f"recipe.{name}_stage.{part}"
            raise UserError(
                f"{setting(path)} = {getattr(stage, part)} must be between 0 and the stage's steps "
                f"({stage.steps}): give {named(path)} too, for example {named(path)} 0."
            )


def check_size(
    name: str, stage: Any, multiple: int, least: int, why: str, instead: str = ""
) -> None:
    """Raises UserError where a side is no multiple, or less than `least`; why: who needs it;
    instead: what else could be changed."""
    for side in ("height", "width"):
        value = getattr(stage, side)
        if value < least or value % multiple:
            low = max(value // multiple, -(-least // multiple)) * multiple
            raise UserError(
                f"{setting(f'recipe.{name}_stage.{side}')} = {value} must be divisible by "
                f"{multiple} and at least {least}, as {why}; the nearest sizes that are: {low} and "
                f"{low + multiple}" + (f". {instead}" if instead else ".")
            )


def check_counts(recipe: Any, least: dict[str, dict[str, int]]) -> None:
    """Raises UserError for the first field under its least value. least: {part: {field: value}}."""
    for part, fields in least.items():
        for name, smallest in fields.items():
            value = getattr(getattr(recipe, part), name)
            if value < smallest:
                raise UserError(
                    f"{setting(f'recipe.{part}.{name}')} = {value} is no size of a network; use "
                    f"{smallest} or more."
                )
