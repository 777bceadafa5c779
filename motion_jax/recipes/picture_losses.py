"""Losses that compare a generated picture with the true one: their weights, pixel by pixel, and by
the features of a network that nobody trains."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from motion_jax import losses
from motion_jax.metrics.frames import ssim_map
from motion_jax.nets.resnet50 import LEAST as RESNET_LEAST
from motion_jax.nets.resnet50 import ResNet50
from motion_jax.nets.vgg import VGG19
from motion_jax.recipes.network import applied
from motion_jax.recipes.pretrained import Pretrained
from motion_jax.recipes.state import Params


@dataclass(frozen=True)
class Losses:
    """Weights of the generator's losses; the adversarial one has weight 1."""

    feature_matching: float = 10.0
    """Weight of the mean absolute difference of the discriminator's features."""
    perceptual: Literal["vgg19", "resnet50", "none"] = "vgg19"
    """Features of which network are compared: VGG-19, as pix2pixHD (`motion-jax fetch vgg19`);
    ResNet-50 (pip install --no-deps imgsim; nothing is downloaded in training); or none."""
    perceptual_weight: float = 10.0
    """Weight of the perceptual loss."""
    perceptual_global_factor: float = 1.0
    """Factor on the perceptual loss while the generator is a GlobalGenerator."""
    l1: float = 0.0
    """Weight of the mean absolute difference of the pictures; 10 to 100 where perceptual is
    none."""
    structure: float = 0.0
    """Weight of 1 - SSIM of the pictures (Wang et al. 2004; as a loss Zhao et al. 2017): it asks
    for edges in their place where l1 asks for brightness; 10 to 30."""
    matte: float = 2.0
    """With background = "plate": weight of the mean alpha where the plate shows what the true frame
    shows, so that the person is not drawn where nobody is."""


class Perceptual(NamedTuple):
    """A network whose features are compared: its class and weights, how features are compared,
    what the loss is called, and the least side of a picture."""

    network: Callable[[Any], Any]
    weights: Pretrained
    distance: Callable[[Any, Any], Array]
    metric: str
    least: int


PERCEPTUAL = {
    # With ImageNet weights: `motion-jax fetch vgg19`, or the file of --vgg.
    "vgg19": Perceptual(
        VGG19,
        Pretrained(VGG19(), (1, 16, 16, 3), "motion_jax.weights.vgg19:load_vgg19"),
        losses.perceptual,
        "G_VGG",
        16,
    ),
    # With those of the package imgsim.
    "resnet50": Perceptual(
        ResNet50,
        Pretrained(ResNet50(), (1, 32, 32, 3), "motion_jax.weights.resnet50:load_resnet50"),
        losses.unit_distance,
        "G_ResNet",
        RESNET_LEAST,
    ),
}


def unlike(made: Float[Array, "*n h w 3"], real: Float[Array, "*n h w 3"]) -> Float[Array, ""]:
    """The mean of 1 - SSIM of pictures in [-1, 1] over the windows that fit into them."""
    return 1.0 - jnp.mean(ssim_map(127.5 * (real + 1.0), 127.5 * (made + 1.0)))


def feature_distance(
    kind: str, dtype: str, weights: Params, a: Float[Array, "*n h w 3"], b: Float[Array, "*n h w 3"]
) -> Float[Array, ""]:
    """Of pictures in [-1, 1], by the features of PERCEPTUAL[kind] with these weights, which are
    reckoned in dtype."""
    chosen = PERCEPTUAL[kind]
    network = chosen.network(jnp.dtype(dtype))
    with jax.named_scope(kind):
        a, b = (x.reshape(-1, *x.shape[-3:]) for x in (a, b))
        of_a, of_b = applied(network, weights, a), applied(network, weights, b)
    with jax.named_scope(chosen.metric):
        return chosen.distance(of_a, of_b)
