"""Instance norm, with its gradient written out for accelerators."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax

from motion_jax.nets import conv
from motion_jax.nets.packed import Packed, of, wrapped

_EPSILON = 1e-5


def instance_norm(x: Array | Packed, relu: bool = False) -> Array | Packed:
    """InstanceNorm2d without affine parameters: every channel of every picture gets mean 0 and
    variance 1. relu: max(0, that).

    Statistics in float32. Those of float32 pictures in two passes, because the one-pass variance
    loses three decimal digits on pictures with a large mean; bfloat16 pictures have lost far more
    there (their own rounding is 2^-9 of the mean), so that on accelerators one pass serves them.
    """
    with jax.named_scope("norm"):
        if conv.on_cpu():
            wide = x.astype(jnp.float32)
            mean = wide.mean(axis=(1, 2), keepdims=True)
            centred = wide - mean
            variance = jnp.square(centred).mean(axis=(1, 2), keepdims=True)
            y = (centred * lax.rsqrt(variance + _EPSILON)).astype(x.dtype)
            return nn.relu(y) if relu else y
        blocks, factor = of(x)
        return wrapped(_norm(blocks, factor, relu), factor)


def _mean(x: Array, factor: int) -> Array:
    """Of each picture and channel: [N, H, W / f, f C] -> [N, 1, 1, f C], where the f pixels of a
    block share one mean."""
    mean = x.mean(axis=(1, 2), keepdims=True)
    if factor == 1:
        return mean
    n, channels = mean.shape[0], mean.shape[-1] // factor
    mean = mean.reshape(n, 1, 1, factor, channels).mean(axis=3)
    return jnp.tile(mean, (1, 1, 1, factor))


def _statistics(x: Array, factor: int) -> tuple[Array, Array]:
    """(mean, 1 / standard deviation)."""
    wide = x.astype(jnp.float32)
    mean = _mean(wide, factor)
    if x.dtype == jnp.bfloat16:
        variance = jnp.maximum(_mean(jnp.square(wide), factor) - jnp.square(mean), 0.0)
    else:
        variance = _mean(jnp.square(wide - mean), factor)
    return mean, lax.rsqrt(variance + _EPSILON)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _norm(x: Array, factor: int, relu: bool) -> Array:
    return _forward(x, factor, relu)[0]


def _forward(x: Array, factor: int, relu: bool) -> tuple[Array, tuple[Array, Array, Array]]:
    mean, scale = _statistics(x, factor)
    y = (x.astype(jnp.float32) - mean) * scale
    return (nn.relu(y) if relu else y).astype(x.dtype), (x, mean, scale)


def _backward(
    factor: int, relu: bool, saved: tuple[Array, Array, Array], dy: Array
) -> tuple[Array]:
    # Both means from one pass over x and dy; differentiating the forward pass takes three.
    x, mean, scale = saved
    normal, dy = (x.astype(jnp.float32) - mean) * scale, dy.astype(jnp.float32)
    if relu:
        dy = jnp.where(normal > 0, dy, 0.0)
    along = normal * _mean(dy * normal, factor)
    return ((scale * (dy - _mean(dy, factor) - along)).astype(x.dtype),)


_norm.defvjp(_forward, _backward)
