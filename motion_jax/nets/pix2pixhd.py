"""The networks of pix2pixHD (Wang et al., CVPR 2018), which Everybody Dance Now uses unchanged.

Layer by layer as NVIDIA/pix2pixHD's models/networks.py builds them with instance norm;
`weights.names` maps their parameters to its checkpoint keys.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from motion_jax.nets.blocks import BatchNorm, Conv, ResidualBlock, instance_norm
from motion_jax.nets.conv import average_pool
from motion_jax.nets.packed import apply, widened
from motion_jax.nets.spatial import whole

Dtype = Any


def _layer(x: Array, name: str, features: int, kind: str, size: int, dtype: Dtype) -> Array:
    """Convolution, instance norm, ReLU; inside a compact module. Profiles count the norm to the
    convolution's name."""
    x = Conv(features, kind, size, dtype, name=name)(x)
    with jax.named_scope(name):
        return instance_norm(x, relu=True)


def _head(x: Array, features: int, dtype: Dtype) -> Array:
    x = Conv(features, "reflect", 7, dtype, name="last")(x)
    with jax.named_scope("last"):
        return jnp.tanh(widened(x))


def _halved(x: Array) -> Array:
    with jax.named_scope("pool"):
        return average_pool(x)


class GlobalGenerator(nn.Module):
    """Coarse-to-fine generator's global network; the output is in (-1, 1).

    Attributes:
      output_nc: output channels.
      ngf: channels at full resolution; doubled at each of the `n_downsampling` halvings.
      n_blocks: residual blocks at the lowest resolution.
      dtype: of the convolutions; parameters, statistics and the output are float32.
      head: False leaves out the last convolution and tanh and returns the features, as the
        LocalEnhancer uses it.
      block: "full", pix2pixHD's residual blocks, or "separable"; see ResidualBlock.
      up: "up", pix2pixHD's transposed convolutions, or "resize"; see Conv.

    H and W must be divisible by 2**n_downsampling.
    """

    output_nc: int = 3
    ngf: int = 64
    n_downsampling: int = 4
    n_blocks: int = 9
    dtype: Dtype = jnp.float32
    head: bool = True
    block: str = "full"
    up: str = "up"

    @nn.compact
    def __call__(self, x: Float[Array, "n h w i"]) -> Array:
        dtype = self.dtype
        x = _layer(x, "first", self.ngf, "reflect", 7, dtype)
        for i in range(self.n_downsampling):
            x = _layer(x, f"down_{i}", self.ngf * 2 ** (i + 1), "down", 3, dtype)
        for i in range(self.n_blocks):
            x = ResidualBlock(dtype, self.block, name=f"block_{i}")(x)
        for i in range(self.n_downsampling):
            features = self.ngf * 2 ** (self.n_downsampling - i - 1)
            x = _layer(x, f"up_{i}", features, self.up, 3, dtype)
        return _head(x, self.output_nc, dtype) if self.head else x


class LocalEnhancer(nn.Module):
    """A GlobalGenerator at 1/2**n_local_enhancers of the size, and enhancers that double it.

    Attributes as GlobalGenerator's; ngf is the width of the last enhancer, so that the global
    network has ngf * 2**n_local_enhancers. H and W must be divisible by
    2**(n_downsample_global + n_local_enhancers).
    """

    output_nc: int = 3
    ngf: int = 32
    n_downsample_global: int = 4
    n_blocks_global: int = 9
    n_local_enhancers: int = 1
    n_blocks_local: int = 3
    dtype: Dtype = jnp.float32
    block: str = "full"
    up: str = "up"

    @nn.compact
    def __call__(self, x: Float[Array, "n h w i"]) -> Float[Array, "n h w o"]:
        dtype = self.dtype
        pyramid = [x]
        for _ in range(self.n_local_enhancers):
            pyramid.append(_halved(pyramid[-1]))
        y = GlobalGenerator(
            ngf=self.ngf * 2**self.n_local_enhancers,
            n_downsampling=self.n_downsample_global,
            n_blocks=self.n_blocks_global,
            dtype=dtype,
            head=False,
            block=self.block,
            up=self.up,
            name="model",
        )(pyramid[-1])
        for n in range(1, self.n_local_enhancers + 1):
            level, enhancer = self.n_local_enhancers - n, f"enhancer_{n}"
            width = self.ngf * 2**level
            z = _layer(pyramid[level], f"{enhancer}_first", width, "reflect", 7, dtype)
            y = _layer(z, f"{enhancer}_down", 2 * width, "down", 3, dtype) + y
            for i in range(self.n_blocks_local):
                y = ResidualBlock(dtype, self.block, name=f"{enhancer}_block_{i}")(y)
            y = _layer(y, f"{enhancer}_up", width, self.up, 3, dtype)
        return _head(y, self.output_nc, dtype)


class NLayerDiscriminator(nn.Module):
    """PatchGAN with kernel 4 and zero padding 2: features and a map of logits.

    Attributes:
      ndf: channels of the first layer; doubled up to 512.
      n_layers: strided layers (3 gives a receptive field of 70 pixels).
      norm: "instance" or "batch" (the face discriminator).

    Returns a list: the activations of each layer but the last, then the logits [N, h, w, 1],
    float32. Of pictures whose height is shared among devices all but the logits may be Uneven.
    """

    ndf: int = 64
    n_layers: int = 3
    norm: str = "instance"
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w i"]) -> list[Array]:
        outputs = []
        for j in range(self.n_layers + 1):
            stride = 2 if j < self.n_layers else 1
            features = min(self.ndf * 2**j, 512) if j else self.ndf
            x = Conv(features, f"patch{stride}", 4, self.dtype, name=f"layer_{j}")(x)
            if j and self.norm == "batch":
                x = BatchNorm(name=f"norm_{j}")(x)
            with jax.named_scope(f"layer_{j}"):
                if j and self.norm == "instance":
                    x = instance_norm(x)
                x = apply(partial(nn.leaky_relu, negative_slope=0.2), x)
            outputs.append(x)
        logits = Conv(1, "patch1", 4, self.dtype, name=f"layer_{self.n_layers + 1}")(x)
        return [*outputs, widened(whole(logits))]


class MultiscaleDiscriminator(nn.Module):
    """`num_D` PatchGANs on a pyramid of the input.

    `scale_{num_D - 1}` sees full resolution and `scale_0` the coarsest, so that a discriminator
    with fewer scales, trained at half the size, continues on the resolutions that it knows.

    Returns a list over levels, finest first, of NLayerDiscriminator's lists.
    """

    ndf: int = 64
    n_layers: int = 3
    num_D: int = 2
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w i"]) -> list[list[Array]]:
        outputs = []
        for level in range(self.num_D):
            if level:
                x = _halved(x)
            scale = self.num_D - 1 - level
            outputs.append(
                NLayerDiscriminator(
                    self.ndf, self.n_layers, dtype=self.dtype, name=f"scale_{scale}"
                )(x)
            )
        return outputs
