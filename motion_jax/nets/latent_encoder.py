"""A picture -> the w of each layer with which a generator of StyleGAN2 makes it.

The convolutions are those of StyleGAN2's discriminator in its "resnet" form, without what compares
the pictures of a batch: an answer is of one picture alone.
"""

import math

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from motion_jax.nets.initial import ZEROS
from motion_jax.nets.stylegan2 import HALF, Dense, levels
from motion_jax.nets.stylegan2_discriminator import EqualConv


class LatentEncoder(nn.Module):
    """Offsets of w from its mean, one for each layer; all 0 with the first weights.

    Attributes:
      size: height and width of the pictures, a power of 2.
      count: entries of w; style: width of w.
      width: channels at that size; they double with each halving, up to 16 times as many, which
        is also the width of the layer before the last.
    """

    size: int
    count: int
    style: int
    width: int = 32

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"]) -> Float[Array, "n count s"]:
        width, most = self.width, 16 * self.width
        x = EqualConv(width, 1, name="rgb")(image)
        for size in reversed(levels(self.size)[1:]):
            below, name = min(2 * width, most), f"level_{size}"
            branch = EqualConv(below, 1, down=True, active=False, name=f"{name}_skip")(x)
            x = EqualConv(width, name=f"{name}_conv_0")(x)
            x = EqualConv(below, down=True, name=f"{name}_conv_1")(x)
            x, width = (x + branch) * HALF, below
        x = EqualConv(width, name="level_4_conv")(x)
        x = Dense(most, active=True, name="hidden")(x.reshape(x.shape[0], -1))
        # Scaled as the layers before it, but begun at 0.
        shape = (most, self.count * self.style)
        weight = self.param("out_weight", ZEROS, shape)
        bias = self.param("out_bias", ZEROS, shape[1:])
        y = x @ (weight / math.sqrt(most)) + bias
        return y.reshape(-1, self.count, self.style)
