"""`motion-jax fetch`: downloads published weights and converts them."""

from dataclasses import dataclass
from typing import Literal

import tyro

from motion_jax.progress import say
from motion_jax.weights.vgg19 import fetch_vgg19


@dataclass(frozen=True)
class FetchOptions:
    """Download weights that some configs need."""

    what: tyro.conf.Positional[Literal["vgg19"]]
    """vgg19: ImageNet weights of the perceptual loss, 575 MB from torchvision (80 MB kept)."""


def fetch(options: FetchOptions) -> None:
    path = fetch_vgg19()
    say(f"{options.what}: {path}")
