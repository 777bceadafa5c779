"""Bilinear lookups in pictures as products of matrices, for TPUs.

A TPU cannot index its vector memory: a gather of pixels is a loop over them, of which its compiler
does not even estimate the time. Its matrix units multiply by all pixels' weights, of which at most
four are not zero. Exact: the same products, with zeros among them. Nobody has timed either form on
a TPU.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

# Pictures of at most so many channels are looked up along their rows first.
FEW = 12


def looked_up(
    pictures: Float[Array, "n h w c"], place: Float[Array, "n *points 2"]
) -> Float[Array, "n *points c"]:
    """The pictures at places (x, y) in pixels, zeros beyond their edges; differentiable in both, at
    a pixel's own place towards the next one."""
    n, _, _, channels = pictures.shape
    shape = place.shape[:-1]
    place = place.reshape(n, -1, 2)
    form = _by_rows if channels <= FEW else _by_pixels
    return form(pictures, place).reshape(*shape, channels)


@jax.checkpoint
def _by_rows(pictures: Array, place: Array) -> Array:
    """For few channels. Points lie side by side and channels never do, so that XLA sums up each
    row as it comes out of the product, and no array of points and columns is ever written; in the
    backward pass it is made again."""
    along_x, along_y = _weights(place, *pictures.shape[1:3])
    rows = jnp.einsum(
        "nhwc,nph->ncwp",
        pictures,
        along_y.astype(pictures.dtype),
        # Three products of bfloat16 parts: within 0.00001 of float32's for pictures in [0, 1].
        precision=lax.Precision.HIGH,
        preferred_element_type=jnp.float32,
    )
    found = jnp.sum(rows * jnp.swapaxes(along_x, 1, 2)[:, None], axis=2)
    return jnp.swapaxes(found, 1, 2).astype(pictures.dtype)


def _by_pixels(pictures: Array, place: Array) -> Array:
    """For many channels: each point's weights of all pixels. Arithmetic grows with the square of
    the number of pixels: at 64x64 a lookup in 256 channels is that of two 3x3 convolutions."""
    n, height, width, channels = pictures.shape
    along_x, along_y = _weights(place, height, width)
    weights = (along_y[..., :, None] * along_x[..., None, :]).astype(pictures.dtype)
    exact = lax.Precision.HIGHEST if pictures.dtype == jnp.float32 else None
    return jnp.einsum(
        "npq,nqc->npc",
        weights.reshape(n, -1, height * width),
        pictures.reshape(n, height * width, channels),
        precision=exact,
    )


def _weights(place: Array, height: int, width: int) -> tuple[Array, Array]:
    """Of each column and of each row, for every point: [n, p, w], [n, p, h]."""
    low = lax.stop_gradient(jnp.floor(place))
    share = place - low

    def along(axis: int, count: int) -> Array:
        at = jnp.arange(count, dtype=jnp.float32) - low[..., axis, None]
        right = share[..., axis, None]
        return jnp.where(at == 0, 1 - right, jnp.where(at == 1, right, 0.0))

    return along(0, width), along(1, height)
