"""The distance of ResNet-50's features: a perceptual distance without downloads.

As LPIPS (Zhang et al. 2018) with a weight of 1 for every channel: the features of the four stages,
divided by their length over the channels; the sum over channels of the squared difference, its mean
over positions and stages. 0 is alike, 2 has nothing in common. The weights are those of the package
imgsim (weights/resnet50.py), so that its figures can only be compared with themselves.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float32, Real, Shaped

from motion_jax.metrics.lpips import boxed_distances
from motion_jax.nets.resnet50 import LEAST, STAGES, ResNet50
from motion_jax.weights.resnet50 import INSTALL, installed, load_resnet50


class ResNetDistance:
    """The metric with its weights."""

    name = "ResNet-50 distance (imgsim's weights)"

    def __init__(self, params: dict):
        self.params = params["params"]
        self.heads = [jnp.full(4 * channels, 1 / len(STAGES)) for _, channels in STAGES]

    def __call__(
        self,
        real: Shaped[np.ndarray, "n h w 3"],
        fake: Shaped[np.ndarray, "n h w 3"],
        boxes: Real[np.ndarray, "n k 4"],
    ) -> Float32[Array, "n k+1"]:
        """Of pictures in 0...255: of whole frames, then inside each box in pixels; NaN for a box
        of no area."""
        return boxed_distances(ResNet50(), self.params, self.heads, real, fake, boxes)


def load(size: tuple[int, int]) -> tuple[ResNetDistance | None, str]:
    """(the metric for frames of `size` (height, width), ""), or (None, why there is none)."""
    if installed() is None:
        return None, f"the weights of ResNet-50 are not installed: {INSTALL}"
    if min(size) < LEAST:
        return None, f"frames under {LEAST} pixels are too small for it"
    return ResNetDistance(load_resnet50()), ""
