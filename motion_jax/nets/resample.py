"""Filtering, enlarging and reducing pictures by one separable filter, "upfirdn" of StyleGAN; and
blocks of pixels as channels.

A convolution with few taps for every channel by itself is no work for matrix units. It is written
as a sum of shifted copies, which every backend fuses into one pass along each axis.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

# The binomial filter of StyleGAN2 (Karras et al. 2020, "Analyzing and Improving the Image Quality
# of StyleGAN", section 4).
BINOMIAL = (1.0, 3.0, 3.0, 1.0)


def normalised(taps: Sequence[float]) -> tuple[float, ...]:
    """The taps divided by their sum."""
    return tuple(float(tap) / float(sum(taps)) for tap in taps)


def filtered(
    x: Float[Array, "n h w c"],
    taps: Sequence[float],
    padding: tuple[int, int],
    up: int = 1,
    down: int = 1,
    gain: float = 1.0,
) -> Float[Array, "n h2 w2 c"]:
    """Every pixel followed by up - 1 zeros, padded, convolved with the outer product of the taps,
    and of the result every down-th pixel.

    padding: pixels before and after, along both axes; negative ones are cut off. gain: what the
    result is multiplied by; up * up keeps the brightness.
    """
    each = gain**0.5
    scaled = [each * float(tap) for tap in taps]
    for axis in (1, 2):
        x = _along(x, axis, scaled, padding, up, down)
    return x


def _along(
    x: Array, axis: int, taps: Sequence[float], padding: tuple[int, int], up: int, down: int
) -> Array:
    edges = [(0, 0, 0)] * x.ndim
    edges[axis] = (padding[0], padding[1] + up - 1, up - 1)
    x = lax.pad(x, jnp.zeros((), x.dtype), edges)
    count = (x.shape[axis] - len(taps)) // down + 1
    total = None
    # A convolution meets its kernel from behind.
    for k, tap in enumerate(reversed(taps)):
        part = lax.slice_in_dim(x, k, k + (count - 1) * down + 1, down, axis) * jnp.asarray(
            tap, x.dtype
        )
        total = part if total is None else total + part
    assert total is not None, "a filter has taps"
    return total


def enlarged(
    x: Float[Array, "n h w c"], taps: Sequence[float] = BINOMIAL
) -> Float[Array, "n h2 w2 c"]:
    """Twice as large: [N, H, W, C] -> [N, 2 H, 2 W, C]."""
    rest = len(taps) - 2
    return filtered(x, normalised(taps), ((rest + 1) // 2 + 1, rest // 2), up=2, gain=4.0)


def reduced(
    x: Float[Array, "n h w c"], taps: Sequence[float] = BINOMIAL
) -> Float[Array, "n h2 w2 c"]:
    """Half as large: [N, H, W, C] -> [N, H / 2, W / 2, C]."""
    rest = len(taps) - 2
    return filtered(x, normalised(taps), ((rest + 1) // 2, rest // 2), down=2)


def space_to_depth(x: Float[Array, "n h w c"], size: int) -> Float[Array, "n h2 w2 c2"]:
    """Blocks of size x size pixels as one pixel each: [N, H, W, C] -> [N, H / s, W / s, s s C], the
    channels of a block's first pixel first, row by row."""
    n, h, w, c = x.shape
    blocks = x.reshape(n, h // size, size, w // size, size, c)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(n, h // size, w // size, size * size * c)


def depth_to_space(x: Float[Array, "n h w c"], size: int) -> Float[Array, "n h2 w2 c2"]:
    """The inverse: [N, H, W, s s C] -> [N, s H, s W, C]."""
    n, h, w, c = x.shape
    blocks = x.reshape(n, h, w, size, size, c // size**2)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(n, h * size, w * size, c // size**2)
