"""ResNet-50 (He, Zhang, Ren & Sun 2016) up to its fourth stage: features of another perceptual loss
and distance than VGG-19's.

In evaluation mode batch norm is a factor and a shift of each channel; weights/resnet50.py has
folded them into the convolutions, which is why these have a bias.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from motion_jax.errors import UserError, option, setting
from motion_jax.nets import spatial

# ImageNet's, of pictures in 0...1.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Blocks and inner channels of the four stages; each gives four times as many channels.
STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))
# Sides below this leave the last stage nothing.
LEAST = 32


class ResNet50(nn.Module):
    """A picture in [-1, 1] → what its four stages give, at 1/4, 1/8, 1/16 and 1/32 of the size, of
    256, 512, 1024 and 2048 channels. H and W must be at least 32.

    Raises UserError where the rows of a picture are shared among devices.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w 3"]) -> list[Float[Array, "n _ _ _"]]:
        if spatial.shards() > 1:
            raise UserError(
                f"{setting('recipe.losses.perceptual')} = 'resnet50' cannot share the rows of a "
                f"picture among devices; use vgg19, or {option('devices.space')} 1."
            )
        x = (0.5 * (x + 1.0) - jnp.array(MEAN)) / jnp.array(DEVIATION)
        x = nn.relu(self._conv(x.astype(self.dtype), 64, 7, 2, "conv_0"))
        # A ReLU came before, so that the zeros around are no maximum of their own.
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        outputs = []
        for stage, (blocks, channels) in enumerate(STAGES):
            for block in range(blocks):
                name = f"stage_{stage}_block_{block}"
                stride = 2 if stage and not block else 1
                with jax.named_scope(name):
                    x = self._bottleneck(x, channels, stride, not block, name)
            outputs.append(x)
        return outputs

    def _bottleneck(self, x: Array, channels: int, stride: int, wider: bool, name: str) -> Array:
        """Its stride is that of the middle convolution, as torchvision has it."""
        y = nn.relu(self._conv(x, channels, 1, 1, f"{name}_conv_0"))
        y = nn.relu(self._conv(y, channels, 3, stride, f"{name}_conv_1"))
        y = self._conv(y, 4 * channels, 1, 1, f"{name}_conv_2")
        if wider:
            x = self._conv(x, 4 * channels, 1, stride, f"{name}_skip")
        return nn.relu(x + y)

    def _conv(self, x: Array, channels: int, size: int, stride: int, name: str) -> Array:
        return nn.Conv(
            channels, (size, size), (stride, stride), size // 2, dtype=self.dtype, name=name
        )(x)
