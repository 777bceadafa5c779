"""How the background moved between two pictures of a film whose camera did not stand still: one
affine map for the whole picture (Siarohin et al., "Motion Representations for Articulated
Animation", CVPR 2021).
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from motion_jax.nets import initial, sampling
from motion_jax.nets.first_order import Normed
from motion_jax.nets.sampling import HIGHEST


def _identity(key: Array | None, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """The map that leaves everything in its place, row by row."""
    return jnp.asarray([1, 0, 0, 0, 1, 0], dtype)


class BackgroundMotion(nn.Module):
    """A source and a driving picture -> where each place of the driving one's background is in the
    source: [n, 2, 3], a matrix beside a shift, of coordinates (x, y) as keypoints have them. Fresh
    weights give the identity.

    Attributes:
      expansion: half of the first layer's channels; each layer doubles them, up to
      most: the largest number of channels.
      halvings: layers, each halving the pictures.
      scale: the pictures are shrunk to this first.
      running: batch norm by the running statistics.
    """

    expansion: int
    most: int
    halvings: int
    scale: float = 1.0
    running: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, source: Float[Array, "n h w c"], driving: Float[Array, "n h w c"]
    ) -> Float[Array, "n 2 3"]:
        both = [sampling.shrink(picture, self.scale) for picture in (source, driving)]
        x = jnp.concatenate(both, axis=-1).astype(self.dtype)
        for i in range(self.halvings):
            width = min(self.most, self.expansion * 2 ** (i + 1))
            layer = Normed(
                width, halve=True, running=self.running, dtype=self.dtype, name=f"down_{i}"
            )
            x = layer(x)
        mean = jnp.mean(x.astype(jnp.float32), axis=(1, 2))
        kernel = self.param("kernel", initial.ZEROS, (mean.shape[-1], 6))
        bias = self.param("bias", _identity, (6,))
        return (jnp.matmul(mean, kernel, precision=HIGHEST) + bias).reshape(-1, 2, 3)
