"""Instance norm, with its gradient written out for accelerators and for shared pictures."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array, lax
from jax.sharding import PartitionSpec

from motion_jax.nets import conv, spatial
from motion_jax.nets.halo import AXIS, Uneven
from motion_jax.nets.packed import Packed, of, widened, wrapped
from motion_jax.nets.spatial import Picture

P = TypeVar("P", bound=Picture)
_EPSILON = 1e-5


def instance_norm(x: P, relu: bool = False) -> P:
    """InstanceNorm2d without affine parameters: every channel of every picture gets mean 0 and
    variance 1. relu: max(0, that).

    Statistics are computed in float32, and of the whole picture where its height is shared among
    devices. Those of float32 pictures take two passes, because the one-pass variance loses three
    decimal digits on pictures with a large mean; bfloat16 pictures have lost far more there (their
    own rounding is 2^-9 of the mean), so that one pass is enough for them on accelerators.
    """
    with jax.named_scope("norm"):
        count = spatial.shards()
        if count > 1 and (isinstance(x, Uneven) or x.shape[1] % count == 0):
            return cast(P, _shared(x, relu))
        if conv.on_cpu():
            wide = widened(x)
            mean = wide.mean(axis=(1, 2), keepdims=True)
            centred = wide - mean
            variance = jnp.square(centred).mean(axis=(1, 2), keepdims=True)
            y = (centred * lax.rsqrt(variance + _EPSILON)).astype(x.dtype)
            return cast(P, nn.relu(y) if relu else y)
        assert not isinstance(x, Uneven), "outside of spatial.over()"
        blocks, factor = of(x)
        return cast(P, wrapped(_norm(blocks, factor, relu), factor))


def _mean(x: Array, factor: int) -> Array:
    """Of each picture and channel: [N, H, W / f, f C] -> [N, 1, 1, f C], where the f pixels of a
    block share one mean."""
    mean = x.mean(axis=(1, 2), keepdims=True)
    if factor == 1:
        return mean
    n, channels = mean.shape[0], mean.shape[-1] // factor
    mean = mean.reshape(n, 1, 1, factor, channels).mean(axis=3)
    return jnp.tile(mean, (1, 1, 1, factor))


def _means(a: Array, b: Array, factor: int) -> tuple[Array, Array]:
    """_mean of both."""
    if conv.platform() != "gpu" or factor != 1:
        return _mean(a, factor), _mean(b, factor)

    # XLA's GPU backend computes two sums of small planes one after the other, and writes and reads
    # what they have in common in between, unless they are one.
    mean = lax.complex(a, b).mean(axis=(1, 2), keepdims=True)
    return mean.real, mean.imag


def _moments(x: Array, mean_of: Callable[[Array], Array]) -> tuple[Array, Array]:
    """(mean, variance) of each picture and channel."""
    wide = widened(x)
    mean = mean_of(wide)
    if x.dtype == jnp.bfloat16:
        return mean, jnp.maximum(mean_of(jnp.square(wide)) - jnp.square(mean), 0.0)
    return mean, mean_of(jnp.square(wide - mean))


def _normal(x: Array, mean: Array, scale: Array, relu: bool) -> Array:
    y = (widened(x) - mean) * scale
    return (nn.relu(y) if relu else y).astype(x.dtype)


def _before(x: Array, mean: Array, scale: Array, dy: Array, relu: bool) -> tuple[Array, Array]:
    """The norm's output before `relu`, and the gradient towards it."""
    normal, dy = (widened(x) - mean) * scale, widened(dy)
    return normal, jnp.where(normal > 0, dy, 0.0) if relu else dy


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _norm(x: Array, factor: int, relu: bool) -> Array:
    return _forward(x, factor, relu)[0]


def _forward(x: Array, factor: int, relu: bool) -> tuple[Array, tuple[Array, Array, Array]]:
    mean, variance = _moments(x, partial(_mean, factor=factor))
    scale = lax.rsqrt(variance + _EPSILON)
    return _normal(x, mean, scale, relu), (x, mean, scale)


def _backward(
    factor: int, relu: bool, saved: tuple[Array, Array, Array], dy: Array
) -> tuple[Array]:
    # Both means from one pass over x and dy; differentiating the forward pass takes three.
    x, _, scale = saved
    normal, wide = _before(*saved, dy, relu)
    along, level = _means(wide * normal, wide, factor)
    return ((scale * (wide - level - normal * along)).astype(x.dtype),)


_norm.defvjp(_forward, _backward)


# --- of pictures whose height is shared among devices ---------------------------------------------


def _shared(x: Picture, relu: bool) -> Picture:
    """Devices exchange one small message forward, with the mean and variance of their rows, and
    one backward."""
    mesh, count = spatial.mesh(), spatial.shards()
    height, extra = x.shape[1], x.extra if isinstance(x, Uneven) else 0
    factor = x.factor if isinstance(x, Packed) else 1
    spec = spatial.placed(x, mesh)
    run = partial(spatial.everywhere, mesh)
    rows = np.full(count, height // count if not extra else (height - extra) // count)
    rows[-1] += extra

    def counted(x: Array) -> Array:
        """[h, 1, 1]: which of a device's rows count."""
        return (jnp.arange(x.shape[1]) < jnp.asarray(rows)[lax.axis_index(AXIS)])[:, None, None]

    def mean(x: Array) -> Array:
        """Of a device's rows."""
        if not extra:
            return _mean(x, factor)
        pixels = jnp.asarray(rows * x.shape[2], x.dtype)[lax.axis_index(AXIS)]
        return jnp.where(counted(x), x, 0).sum(axis=(1, 2), keepdims=True) / pixels

    def forward(x: Array) -> tuple[Array, Array, Array]:
        own = jnp.stack(_moments(x, mean))
        means, variances = jnp.moveaxis(lax.all_gather(own, AXIS), 1, 0)
        weights = jnp.asarray(rows / height, means.dtype).reshape(-1, 1, 1, 1, 1)
        whole = (weights * means).sum(axis=0)
        variance = (weights * (variances + jnp.square(means - whole))).sum(axis=0)
        scale = lax.rsqrt(variance + _EPSILON)
        return _normal(x, whole, scale, relu), whole, scale

    def backward(x: Array, whole: Array, scale: Array, dy: Array) -> Array:
        normal, dy = _before(x, whole, scale, dy, relu)
        weight = jnp.asarray(rows / height, dy.dtype)[lax.axis_index(AXIS)]
        along, level = lax.psum(weight * jnp.stack([mean(dy * normal), mean(dy)]), AXIS)
        towards = (scale * (dy - level - normal * along)).astype(x.dtype)
        return jnp.where(counted(x), towards, 0) if extra else towards

    each = PartitionSpec(spec[0])

    @jax.custom_vjp
    def norm(x: Array) -> Array:
        return run(forward, (spec,), (spec, each, each))(x)[0]

    def saved(x: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        y, whole, scale = run(forward, (spec,), (spec, each, each))(x)
        return y, (x, whole, scale)

    def pulled(kept: tuple[Array, Array, Array], dy: Array) -> tuple[Array]:
        return (run(backward, (spec, each, each, spec), spec)(*kept, dy),)

    norm.defvjp(saved, pulled)
    y = norm(spatial.blocks_of(x))
    return dataclasses.replace(x, blocks=y) if isinstance(x, Packed | Uneven) else y
