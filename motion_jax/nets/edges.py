"""Canny edges on the device, bit for bit those of OpenCV.

J. Canny: A Computational Approach to Edge Detection. PAMI 1986. The thresholds follow the picture:
2/3 and 4/3 of the median of its grey levels.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float32, Int32, UInt8

# OpenCV's grey: 0.299 R + 0.587 G + 0.114 B in units of 2^-15, rounded.
_GREY = (9798, 19235, 3735)
# tan(22.5 degrees) in units of 2^-15: which neighbours lie along a gradient.
_TAN = 13573


def grey(pictures: UInt8[Array | np.ndarray, "*n h w 3"]) -> Int32[Array, "*n h w"]:
    """RGB -> grey in 0...255, as OpenCV's COLOR_RGB2GRAY."""
    wide = jnp.asarray(pictures, jnp.int32)
    red, green, blue = (wide[..., i] for i in range(3))
    total = _GREY[0] * red + _GREY[1] * green + _GREY[2] * blue
    return (total + (1 << 14)) >> 15


def thresholds(levels: Int32[Array, "*n h w"]) -> tuple[Float32[Array, "*n"], Float32[Array, "*n"]]:
    """(lower, upper): 2/3 and 4/3 of the median of grey levels, the upper one at most 255."""
    flat = levels.reshape(*levels.shape[:-2], -1).astype(jnp.float32)
    median = jnp.median(flat, axis=-1)
    return median * (2 / 3), jnp.minimum(median * (4 / 3), 255.0)


def canny(pictures: UInt8[Array | np.ndarray, "*n h w 3"]) -> Bool[Array, "*n h w"]:
    """Edges of RGB pictures, each by its own `thresholds`.

    3 x 3 Sobel gradients with the edge pixels repeated, their L1 norm, suppression of what is not a
    maximum along the gradient, and hysteresis over eight neighbours.
    """
    levels = grey(pictures)
    lower, upper = (jnp.floor(x)[..., None, None] for x in thresholds(levels))
    size, width = levels.shape[-2:]
    pad = [(0, 0)] * (levels.ndim - 2)
    around = jnp.pad(levels, (*pad, (1, 1), (1, 1)), mode="edge")

    def at(values: Array, down: int, right: int) -> Array:
        return values[..., 1 + down : 1 + down + size, 1 + right : 1 + right + width]

    dx = sum(w * (at(around, i, 1) - at(around, i, -1)) for i, w in ((-1, 1), (0, 2), (1, 1)))
    dy = sum(w * (at(around, 1, j) - at(around, -1, j)) for j, w in ((-1, 1), (0, 2), (1, 1)))
    norm = jnp.abs(dx) + jnp.abs(dy)
    padded = jnp.pad(norm, (*pad, (1, 1), (1, 1)))

    flat, steep = jnp.abs(dx) * _TAN, jnp.abs(dy) << 15
    horizontal = steep < flat
    vertical = steep > flat + (jnp.abs(dx) << 16)
    # Strict on one side, so that of equal neighbours one stays.
    across = (norm > at(padded, 0, -1)) & (norm >= at(padded, 0, 1))
    upright = (norm > at(padded, -1, 0)) & (norm >= at(padded, 1, 0))
    falling = (norm > at(padded, -1, -1)) & (norm > at(padded, 1, 1))
    rising = (norm > at(padded, -1, 1)) & (norm > at(padded, 1, -1))
    diagonal = jnp.where((dx ^ dy) < 0, rising, falling)
    highest = jnp.where(horizontal, across, jnp.where(vertical, upright, diagonal))
    weak = highest & (norm > lower)
    strong = weak & (norm > upper)

    def grown(edges: Array) -> Array:
        wide = jnp.pad(edges, (*pad, (1, 1), (1, 1)))
        near = [at(wide, i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        return weak & jnp.stack(near).any(0)

    def more(state: tuple[Array, Array]) -> tuple[Array, Array]:
        edges, _ = state
        found = grown(edges)
        return found, (found != edges).any()

    return jax.lax.while_loop(lambda state: state[1], more, (strong, strong.any()))[0]
