"""What training carries from step to step, whatever the recipe."""

from typing import TYPE_CHECKING, Any, Self

from flax import struct
from jax import Array

Params = dict[str, Any]

# What a step of a stage does besides the usual: names of Recipe.rhythm, in its order.
Kind = tuple[str, ...]


@struct.dataclass
class State:
    """One stage's training state; donated to the train step.

    Attributes:
      step: int32 scalar, steps done in this stage.
      params: parameters by network name ("generator", "discriminator", ...).
      optimizer: optimiser state by network name, for the networks that this stage trains.
      averaged: exponentially averaged parameters by network name; empty when averaging is off.
      key: typed random key.
    """

    step: Array
    params: Params
    optimizer: Params
    averaged: Params
    key: Array

    if TYPE_CHECKING:
        # struct.dataclass adds it, unknown to type checkers.
        def replace(self, **changes: Any) -> Self: ...
