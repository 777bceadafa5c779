"""The network of the perceptual loss."""

from motion_jax.nets.vgg import VGG19
from motion_jax.recipes.pretrained import Pretrained


def vgg19() -> Pretrained:
    """VGG-19 with ImageNet weights: `motion-jax fetch vgg19`, or the file of --vgg."""
    return Pretrained(VGG19(), (1, 16, 16, 3), "motion_jax.weights.vgg19:load_vgg19")
