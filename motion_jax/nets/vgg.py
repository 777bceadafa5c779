"""VGG-19's convolutions up to relu5_1: the features of the perceptual loss."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from motion_jax.nets.blocks import Conv
from motion_jax.nets.conv import max_pool, relu
from motion_jax.nets.packed import Packed

Dtype = Any

# Channels of the sixteen 3x3 convolutions; "M" halves by max-pooling (Simonyan & Zisserman, 2014).
LAYERS: tuple[int | str, ...] = (
    64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512,
)  # fmt: skip
# torchvision's index of each convolution above in `features`.
TORCHVISION_INDEX = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)
# Convolutions after whose ReLU a slice ends: relu1_1, relu2_1, relu3_1, relu4_1, relu5_1.
_TAPS = (0, 2, 4, 8, 12)


class VGG19(nn.Module):
    """A picture in [-1, 1] -> five feature maps (relu1_1, relu2_1, relu3_1, relu4_1, relu5_1).

    The reference feeds the network's pictures as they are, without ImageNet's mean and deviation;
    its loss weights were tuned for that. H and W must be at least 16. On a TPU the first map is
    Packed.
    """

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w 3"]) -> list[Float[Array, "n _ _ _"] | Packed]:
        outputs: list[Array | Packed] = []
        index = 0
        for place, layer in enumerate(LAYERS):
            if isinstance(layer, str):
                continue
            x = Conv(layer, "same", dtype=self.dtype, name=f"conv_{index}")(x)
            if LAYERS[place + 1 : place + 2] == ("M",):
                # Before the ReLU, which then has a quarter of the entries to see.
                with jax.named_scope("pool"):
                    x = max_pool(x, relu=True)
            else:
                with jax.named_scope(f"conv_{index}"):
                    x = relu(x)
            if index in _TAPS:
                outputs.append(x)
            index += 1
        return outputs
