"""Functions of pictures in any of the forms that networks pass on: arrays, Packed (packed.py) or
Uneven (halo.py). With them the code outside of networks need not tell these apart."""

from typing import Any

import jax.numpy as jnp
from jax import Array

from motion_jax.nets.halo import Uneven
from motion_jax.nets.packed import of, widened

__all__ = ["mean_absolute", "widened"]


def mean_absolute(a: Any, b: Any) -> Array:
    """The mean absolute difference of two pictures [N, H, W, C] in the same form, float32."""
    if isinstance(a, Uneven):
        distance = jnp.abs(widened(a.blocks) - widened(b.blocks))
        return a.replace(blocks=distance).mean(axis=(0, 1, 2, 3))
    a, b = of(a)[0], of(b)[0]
    return jnp.mean(jnp.abs(widened(a) - widened(b)))
