"""Pictures looked up at coordinates, made smaller without aliasing, and resized.

Coordinates are (x, y), x first, in [-1, 1]. Those of PyTorch's grid_sample mean one of two things:
with align_corners the centres of the outermost pixels are at -1 and 1, without it their outer
edges are. Lookups are gathers of whole pixels, so that no platform needs a grid_sample of its own
(ONNX and StableHLO have gathers), on TPUs products of matrices (lookup_tpu.py), and shrinking is
two products with narrow matrices.
"""

import math
from functools import lru_cache
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float

from motion_jax.nets import lookup_tpu
from motion_jax.nets.conv import platform

HIGHEST = lax.Precision.HIGHEST
# Lookups in a compiled program's names.
LOOKUP = "lookup"


def coordinate_grid(height: int, width: int) -> Float[np.ndarray, "h w 2"]:
    """Coordinates of every pixel of a picture, the centres of the outermost ones at -1 and 1.

    Rounded as the original rounds them: a pixel's own place is where bilinear lookups have a kink,
    and one bit decides on which side of it the gradient is taken.
    """
    one, two = np.float32(1), np.float32(2)
    y, x = (
        two * (np.arange(n, dtype=np.float32) / np.float32(max(n - 1, 1))) - one
        for n in (height, width)
    )
    return np.stack(np.broadcast_arrays(x[None, :], y[:, None]), axis=-1)


def grid_sample(
    pictures: Float[Array, "n h w c"],
    grid: Float[Array, "n *points 2"],
    *,
    align_corners: bool,
    padding: Literal["zeros", "reflection"] = "zeros",
) -> Float[Array, "n *points c"]:
    """The pictures at coordinates, bilinearly: torch.nn.functional.grid_sample.

    padding: what lies beyond the picture: "zeros", or "reflection" (about the centres of the
    outermost pixels with align_corners, else about their edges). Coordinates are float32; weights
    have the pictures' dtype.
    """
    height, width = pictures.shape[1:3]
    sides = jnp.asarray([width, height], jnp.float32)
    grid = grid.astype(jnp.float32)
    # In PyTorch's order of operations: see coordinate_grid.
    place = (grid + 1) / 2 * (sides - 1) if align_corners else ((grid + 1) * sides - 1) / 2
    if padding == "reflection":
        first, period = (0.0, sides - 1) if align_corners else (-0.5, sides)
        # Of a side of one pixel all coordinates are its own.
        period = jnp.maximum(period, 1e-6)
        away = jnp.abs(place - first)
        turned = away - 2 * period * jnp.floor(away / (2 * period))
        place = jnp.minimum(turned, 2 * period - turned) + first
        place = jnp.clip(place, 0.0, sides - 1)
    else:
        # One pixel beyond the picture everything is zero; further values could overflow integers.
        place = jnp.clip(place, -2.0, sides + 1)
    with jax.named_scope(LOOKUP):
        if platform() == "tpu":
            return lookup_tpu.looked_up(pictures, place)
        return _gathered(pictures, place)


def _gathered(pictures: Array, place: Array) -> Array:
    """The pictures at places (x, y) in pixels [n, *points, 2], zeros beyond their edges."""
    sides = jnp.asarray([pictures.shape[2], pictures.shape[1]], jnp.float32)
    low = lax.stop_gradient(jnp.floor(place))
    share = place - low
    found = None
    for down in (0, 1):
        for right in (0, 1):
            corner = low + jnp.asarray([right, down], jnp.float32)
            along_x = share[..., 0] if right else 1 - share[..., 0]
            along_y = share[..., 1] if down else 1 - share[..., 1]
            inside = jnp.all((corner >= 0) & (corner <= sides - 1), axis=-1)
            weight = jnp.where(inside, along_x * along_y, 0.0).astype(pictures.dtype)
            pixels = _pixels(pictures, corner) * weight[..., None]
            found = pixels if found is None else found + pixels
    assert found is not None
    return found


def _pixels(pictures: Array, corner: Array) -> Array:
    """The pixels [n, *points, c] at whole coordinates, the nearest ones beyond the picture."""
    n, height, width, channels = pictures.shape
    limit = jnp.asarray([width - 1, height - 1], jnp.int32)
    whole = jnp.clip(corner.astype(jnp.int32), 0, limit)
    index = (whole[..., 1] * width + whole[..., 0]).reshape(n, -1)
    flat = pictures.reshape(n, height * width, channels)
    taken = jax.vmap(lambda x, i: x.at[i].get(mode="promise_in_bounds"))(flat, index)
    return taken.reshape(*corner.shape[:-1], channels)


def resize(x: Float[Array, "n h w c"], height: int, width: int) -> Float[Array, "n _ _ c"]:
    """Bilinear, as torch.nn.functional.interpolate without align_corners; itself where the size is
    the same."""
    if x.shape[1:3] == (height, width):
        return x
    shape = (x.shape[0], height, width, x.shape[3])
    return jax.image.resize(x, shape, "linear", antialias=False, precision=HIGHEST)


# --- smaller without aliasing --------------------------------------------------------------------


def anti_alias_taps(scale: float) -> int:
    """The size of the kernel below: 5 for 0.5, 13 for 0.25, 29 for 0.125."""
    return 2 * round((1 / scale - 1) / 2 * 4) + 1


def anti_alias_kernel(scale: float) -> Float[np.ndarray, " taps"]:
    """One axis of the Gaussian that goes before taking every (1 / scale)th pixel; its sum is 1.

    Its deviation is (1 / scale - 1) / 2 pixels. The two-dimensional kernel is its outer product
    with itself. Raises ValueError for scale 1, where nothing is done.
    """
    if scale >= 1:
        raise ValueError("a picture of scale 1 has no anti-aliasing kernel")
    taps = anti_alias_taps(scale)
    deviation = (1 / scale - 1) / 2
    near = np.arange(taps) - (taps - 1) / 2
    kernel = np.exp(-np.square(near) / (2 * deviation**2))
    return (kernel / kernel.sum()).astype(np.float32)


@lru_cache(maxsize=64)
def shrinking_matrix(size: int, scale: float) -> Float[np.ndarray, "out size"]:
    """The matrix of one axis: zero padding, the kernel, every (1 / scale)th entry."""
    kernel = anti_alias_kernel(scale)
    step, reach = int(1 / scale), len(kernel) // 2
    matrix = np.zeros((math.ceil(size / step), size + 2 * reach), np.float32)
    for row in range(len(matrix)):
        matrix[row, row * step : row * step + len(kernel)] = kernel
    return matrix[:, reach : reach + size]


def shrink(x: Float[Array, "n h w c"], scale: float) -> Float[Array, "n _ _ c"]:
    """The picture blurred and thinned out: AntiAliasInterpolation2d of the First Order Motion
    Model. Scale 1: itself."""
    if scale == 1:
        return x
    down, across = (jnp.asarray(shrinking_matrix(size, scale), x.dtype) for size in x.shape[1:3])
    x = jnp.einsum("ah,nhwc->nawc", down, x, precision=HIGHEST)
    return jnp.einsum("bw,nawc->nabc", across, x, precision=HIGHEST)
