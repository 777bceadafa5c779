"""The First Order Motion Model's losses, each times its weight, from what its networks made."""

from typing import Any, cast

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from motion_jax.nets import keypoints, sampling, thin_plate
from motion_jax.nets.forms import mean_absolute
from motion_jax.nets.keypoints import Keypoints
from motion_jax.nets.vgg import VGG19
from motion_jax.recipes.first_order_settings import Losses
from motion_jax.recipes.network import applied
from motion_jax.recipes.pretrained import Pretrained
from motion_jax.recipes.state import Params

VGG = Pretrained(VGG19(), (1, 16, 16, 3), "motion_jax.weights.vgg19:load_vgg19")
# What VGG-19 was trained with, of pictures in [0, 1].
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Of a discriminator, by the scale of the pictures: the features of each block, then the logits.
Judged = dict[float, list[Array]]


def for_vgg(pictures: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """Pictures in [0, 1] as VGG-19 was trained on them."""
    return (pictures - jnp.asarray(MEAN)) / jnp.asarray(DEVIATION)


def compared(
    weights: Losses,
    generated: Float[Array, "n h w 3"],
    driving: Float[Array, "n h w 3"],
    frozen: Params,
    dtype: str,
) -> dict[str, Array]:
    """Losses between generated and real pictures in [0, 1] at every scale.

    frozen: {"vgg19": parameters}, or {} without that loss; dtype: of its convolutions.
    """
    terms: dict[str, Array] = {}
    perceptual: Any = 0.0
    plain: Any = 0.0
    for scale in weights.scales:
        with jax.named_scope("pyramid"):
            made, real = sampling.shrink(generated, scale), sampling.shrink(driving, scale)
        if weights.l1:
            with jax.named_scope("l1"):
                plain += weights.l1 * mean_absolute(made, real)
        if weights.perceptual != "none":
            with jax.named_scope("vgg19"):
                network = VGG19(jnp.dtype(dtype))
                pairs = (applied(network, frozen["vgg19"], for_vgg(each)) for each in (made, real))
                for weight, a, b in zip(weights.perceptual_weights, *pairs, strict=True):
                    perceptual += weight * mean_absolute(a, jax.lax.stop_gradient(b))
    if weights.perceptual != "none":
        terms["perceptual"] = perceptual
    if weights.l1:
        terms["l1"] = plain
    return terms


def asked(weights: Losses, fake: Judged, real: Judged) -> dict[str, Array]:
    """What the generator is asked by the discriminator."""
    weight, layers = weights.gan, weights.feature_matching
    gan = sum(
        weight * jnp.mean(jnp.square(1 - fake[scale][-1].astype(jnp.float32))) for scale in fake
    )
    terms = {"gen_gan": cast(Array, gan)}
    if layers:
        matching = sum(
            each * mean_absolute(a, jax.lax.stop_gradient(b))
            for scale in fake
            for each, a, b in zip(layers, fake[scale][:-1], real[scale][:-1], strict=True)
        )
        terms["feature_matching"] = cast(Array, matching)
    return terms


def of_discriminator(weights: Losses, fake: Judged, real: Judged) -> Float[Array, ""]:
    """The discriminator's own loss."""
    total = sum(
        jnp.mean(jnp.square(1 - real[scale][-1].astype(jnp.float32)))
        + jnp.mean(jnp.square(fake[scale][-1].astype(jnp.float32)))
        for scale in real
    )
    return weights.discriminator_gan * cast(Array, total)


def equivariance(
    weights: Losses, points: Keypoints, deformed: Keypoints, change: thin_plate.Deformation
) -> dict[str, Array]:
    """Keypoints of a deformed picture, sent back, are those of the picture (equations 9 and 11 of
    the paper)."""
    terms = {}
    if weights.equivariance_value:
        away = points.value - change.warp(deformed.value)
        terms["equivariance_value"] = weights.equivariance_value * jnp.mean(jnp.abs(away))
    if weights.equivariance_jacobian:
        assert points.jacobian is not None and deformed.jacobian is not None, "checked"
        there = keypoints.product(change.jacobian(deformed.value), deformed.jacobian)
        back = keypoints.product(keypoints.inverse(points.jacobian), there)
        away = jnp.eye(2) - back
        terms["equivariance_jacobian"] = weights.equivariance_jacobian * jnp.mean(jnp.abs(away))
    return terms
