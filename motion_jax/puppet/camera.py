"""A camera that does not stand still. It turns and zooms on its tripod, so that everything in the
picture, near and far, moves by one similarity: how is known."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from motion_jax.puppet.scene import View

# How far it turns, in shares of the picture's height across and down, how far it zooms (the
# logarithm), and seconds of each swing.
ACROSS, DOWN, ZOOM, SECONDS = (0.08, 0.16), (0.02, 0.06), (0.04, 0.12), (3.0, 7.0)


@dataclass(frozen=True)
class Camera:
    """The camera of this number, as another person would move it.

    Attributes:
      seed: its number.
    """

    seed: int

    def at(self, times: Float[np.ndarray, " n"]) -> list[View]:
        """What it shows of the picture that it would take standing still; times: seconds."""
        random = np.random.default_rng((self.seed, 5))
        swings = []
        for reach in (ACROSS, DOWN, ZOOM):
            far, seconds = random.uniform(*reach), random.uniform(*SECONDS)
            swings.append(far * np.sin(2 * np.pi * (times / seconds + random.random())))
        across, down, zoom = swings
        return [
            View(float(z), float(x), float(y))
            for z, x, y in zip(np.exp(zoom), across, 0.5 + down, strict=True)
        ]


def between(source: View, driving: View) -> Float[np.ndarray, "2 3"]:
    """Where each place of what the camera shows in one moment is in what it showed in another, as a
    matrix beside a shift of (x, y) in shares of the picture's height from its middle."""
    scale = source.zoom / driving.zoom
    shift = source.zoom * (driving.x - source.x), source.zoom * (driving.y - source.y)
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
