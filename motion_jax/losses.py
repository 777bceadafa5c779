"""Losses as pure functions of network outputs. All return float32 scalars.

Sources: pix2pixHD (Wang et al. 2018) sections 3.2-3.3, Everybody Dance Now (Chan et al. 2019), and
their published code where it differs (docs/reference-behaviour.md); pix2pix (Isola et al. 2017)
and CycleGAN (Zhu et al. 2017).
"""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from motion_jax.devices import layout
from motion_jax.nets.forms import mean_absolute, widened

# Of a discriminator: over scales, finest first; over layers, [N, h, w, C] each, the logits
# [N, h, w, 1] last.
Features = Sequence[Sequence[Array]]

# Weights of relu1_1 ... relu5_1 in the perceptual loss.
PERCEPTUAL_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)


def _sum(values: Iterable[Array]) -> Array:
    return cast(Array, sum(values))  # 0 of nothing, but there is a scale or a layer


def least_squares(outputs: Features, target: float) -> Float[Array, ""]:
    """Least-squares GAN loss (Mao et al. 2017): the mean of (logit - target)^2 over each map,
    *summed* over scales. target: 1 for real, 0 for generated.
    """
    return _sum(jnp.mean(jnp.square(widened(scale[-1]) - target)) for scale in outputs)


def cross_entropy(outputs: Features, target: float) -> Float[Array, ""]:
    """The GAN loss of Goodfellow et al. 2014 on logits, as pix2pix has it: binary cross-entropy
    with the target, averaged over each map, summed over scales.
    """

    def one(logits: Array) -> Array:
        x = widened(logits)
        return jnp.mean(jax.nn.softplus(x) - x * target)

    return _sum(one(scale[-1]) for scale in outputs)


# GAN losses by pix2pix's names for them.
GAN = {"vanilla": cross_entropy, "lsgan": least_squares}


def least_squares_per_sample(logits: Float[Array, "n h w 1"], target: float) -> Float[Array, " n"]:
    """least_squares of one scale, of each sample by itself."""
    return jnp.mean(jnp.square(widened(logits) - target), axis=(1, 2, 3))


def feature_matching(fake: Features, real: Features) -> Float[Array, ""]:
    """Mean absolute difference of every discriminator feature, summed over layers and *averaged*
    over scales. `real` gets no gradient. pix2pixHD's factor 4 / (n_layers + 1) is included; it is 1
    for the usual three layers.
    """
    layers = len(fake[0]) - 1
    total: Any = 0.0  # an Array from the first layer on
    for fake_scale, real_scale in zip(fake, real, strict=True):
        for a, b in zip(fake_scale[:-1], real_scale[:-1], strict=True):
            total += mean_absolute(a, jax.lax.stop_gradient(b))
    return total * (4.0 / layers) / len(fake)


def perceptual(fake: Sequence[Array], real: Sequence[Array]) -> Float[Array, ""]:
    """Weighted mean absolute difference of VGG-19 features (Johnson et al. 2016, with pix2pixHD's
    layers and weights), [N, h, w, C] of each layer. `real` gets no gradient.
    """
    return _sum(
        weight * mean_absolute(a, jax.lax.stop_gradient(b))
        for weight, a, b in zip(PERCEPTUAL_WEIGHTS, fake, real, strict=True)
    )


def unit_distance(fake: Sequence[Array], real: Sequence[Array]) -> Float[Array, ""]:
    """The mean over layers of the squared distance of features [N, h, w, C] of length 1, as LPIPS
    measures it (Zhang et al. 2018), every channel alike: 0 to 4. `real` gets no gradient."""

    def unit(x: Array) -> Array:
        x = x.astype(jnp.float32)
        return x * jax.lax.rsqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True) + 1e-8)

    return _sum(
        jnp.square(unit(a) - unit(jax.lax.stop_gradient(b))).sum(-1).mean() / len(fake)
        for a, b in zip(fake, real, strict=True)
    )


def masked_mean(values: Float[Array, "*n"], mask: Float[Array, "*n"]) -> Float[Array, ""]:
    """Mean of values where mask is 1; 0 where it is 0 everywhere (no face in the whole batch)."""
    count = jnp.maximum(layout.batch_mean(jnp.sum(mask)), 1.0 / layout.shares())
    return jnp.sum(values * mask) / count
