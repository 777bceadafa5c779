"""The networks of pix2pix (Isola et al., CVPR 2017) and CycleGAN (Zhu et al., ICCV 2017).

Layer by layer as models/networks.py of their PyTorch code builds them; `weights.names` maps their
parameters to its checkpoint keys. Norms are "batch" (running statistics in the collection
"batch_stats"), "instance" or "none"; `running` normalises by the running statistics, as
PyTorch's evaluation mode. `bias`: whether the convolutions before a norm have a bias; None is the
reference's choice, with_bias(). Dropout happens where a key is given, `apply(..., rngs={"dropout":
key})`, whatever the mode: pix2pix leaves it on in tests too, as its only source of noise.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float, Float32

from motion_jax.devices import layout
from motion_jax.nets.blocks import Conv, norm
from motion_jax.nets.packed import apply, unpacked, widened
from motion_jax.nets.spatial import whole

Dtype = Any


def with_bias(norm: str) -> bool:
    """Whether the reference gives a bias to the convolutions before a norm: batch norm has its own,
    instance norm as it is used here has none."""
    return norm == "instance"


def pixel_with_bias(norm: str) -> bool:
    """The same for PixelDiscriminator, where the code of 2019 has the condition the wrong way."""
    return norm != "instance"


def _bias_init(bias: bool | None, default: bool) -> str:
    return "zero" if (default if bias is None else bias) else "none"


class Dropout(nn.Module):
    """Half of the entries set to 0 and the others doubled, where a key named "dropout" is given."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if not self.has_rng("dropout"):
            return x
        x = unpacked(x)
        key = self.make_rng("dropout")
        kept = layout.drawn(lambda shape: jax.random.bernoulli(key, 0.5, shape), x.shape)
        return jnp.where(kept, 2 * x, jnp.zeros((), x.dtype))


class UnetGenerator(nn.Module):
    """An encoder and a decoder with skip connections; the output is in (-1, 1).

    Attributes:
      output_nc: output channels.
      num_downs: halvings, at least 5 (unet_256 has 8, unet_128 has 7).
      ngf: channels after the first halving; doubled up to 8 ngf.
      norm: "batch", "instance" or "none".
      dropout: whether the decoder's levels between the innermost and the fifth from outside have
        dropout.
      running: batch norm by running statistics.
      dtype: of the convolutions; parameters, statistics and the output are float32.

    H and W must be divisible by 2**num_downs.
    """

    output_nc: int = 3
    num_downs: int = 8
    ngf: int = 64
    norm: str = "batch"
    dropout: bool = False
    running: bool = False
    dtype: Dtype = jnp.float32
    bias: bool | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "n h w i"]) -> Float[Array, "n h w o"]:
        bias = _bias_init(self.bias, with_bias(self.norm))
        innermost = self.num_downs - 1
        features = [self.ngf * min(2**i, 8) for i in range(self.num_downs)]
        skips = []
        for i, width in enumerate(features):
            layer = f"down_{i}"
            if i:
                with jax.named_scope(layer):
                    x = nn.leaky_relu(x, 0.2)
            x = Conv(width, "basic2", 4, self.dtype, bias, name=layer)(x)
            if 0 < i < innermost:
                x = norm(x, self.norm, layer, running=self.running)
            skips.append(x)
        for i in range(innermost, 0, -1):
            layer = f"up_{i}"
            with jax.named_scope(layer):
                x = nn.relu(x)
            x = Conv(features[i - 1], "up", 4, self.dtype, bias, name=layer)(x)
            x = norm(x, self.norm, layer, running=self.running)
            if self.dropout and 4 <= i < innermost:
                x = Dropout(name=f"{layer}_drop")(x)
            with jax.named_scope(layer):
                x = jnp.concatenate([skips[i - 1], x], axis=-1)
        with jax.named_scope("up_0"):
            x = nn.relu(x)
        x = Conv(self.output_nc, "up", 4, self.dtype, "zero", name="up_0")(x)
        with jax.named_scope("up_0"):
            return jnp.tanh(widened(x))


class ResnetBlock(nn.Module):
    """x + norm(conv([dropout](relu(norm(conv(x)))))), reflection padding; no activation after."""

    norm: str = "instance"
    dropout: bool = False
    running: bool = False
    dtype: Dtype = jnp.float32
    bias: bool | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        bias = _bias_init(self.bias, with_bias(self.norm))

        def convolve(y: Array, layer: str, relu: bool) -> Array:
            conv = Conv(x.shape[-1], "reflect", 3, self.dtype, bias, name=layer)
            return norm(conv(y), self.norm, layer, relu=relu, running=self.running)

        y = convolve(x, "conv_1", relu=True)
        if self.dropout:
            y = Dropout(name="drop")(y)
        return x + convolve(y, "conv_2", relu=False)


class ResnetGenerator(nn.Module):
    """Johnson et al.'s generator (ECCV 2016); the output is in (-1, 1).

    Attributes as UnetGenerator's; n_blocks: residual blocks at a quarter of the size (9 for
    pictures of 256 pixels, 6 for 128); dropout: in every block. H and W must be divisible by 4.
    """

    output_nc: int = 3
    ngf: int = 64
    n_blocks: int = 9
    norm: str = "instance"
    dropout: bool = False
    running: bool = False
    dtype: Dtype = jnp.float32
    bias: bool | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "n h w i"]) -> Float[Array, "n h w o"]:
        bias = _bias_init(self.bias, with_bias(self.norm))

        def layer(x: Array, width: int, kind: str, size: int, name: str) -> Array:
            conv = Conv(width, kind, size, self.dtype, bias, name=name)
            return norm(conv(x), self.norm, name, relu=True, running=self.running)

        x = layer(x, self.ngf, "reflect", 7, "first")
        for i in range(2):
            x = layer(x, self.ngf * 2 ** (i + 1), "down", 3, f"down_{i}")
        for i in range(self.n_blocks):
            settings = (self.norm, self.dropout, self.running, self.dtype, self.bias)
            x = ResnetBlock(*settings, name=f"block_{i}")(x)
        for i in range(2):
            x = layer(x, self.ngf * 2 ** (1 - i), "up", 3, f"up_{i}")
        x = Conv(self.output_nc, "reflect", 7, self.dtype, "zero", name="last")(x)
        with jax.named_scope("last"):
            return jnp.tanh(widened(x))


class PatchDiscriminator(nn.Module):
    """PatchGAN with kernel 4 and zero padding 1 (the reference's NLayerDiscriminator).

    Attributes:
      ndf: channels of the first layer; doubled up to 8 ndf.
      n_layers: strided layers (3 gives a receptive field of 70 pixels).
      norm: "batch", "instance" or "none".

    Its result is a list of one map of logits, the form of one scale of pix2pixHD's discriminators
    without intermediate features.
    """

    ndf: int = 64
    n_layers: int = 3
    norm: str = "batch"
    running: bool = False
    dtype: Dtype = jnp.float32
    bias: bool | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "n h w i"]) -> list[Float32[Array, "n _ _ 1"]]:
        bias = _bias_init(self.bias, with_bias(self.norm))
        for j in range(self.n_layers + 1):
            layer, kind = f"layer_{j}", "basic2" if j < self.n_layers else "basic1"
            features, layer_bias = self.ndf * min(2**j, 8), bias if j else "zero"
            x = Conv(features, kind, 4, self.dtype, layer_bias, name=layer)(x)
            if j:
                x = norm(x, self.norm, layer, running=self.running)
            with jax.named_scope(layer):
                x = apply(partial(nn.leaky_relu, negative_slope=0.2), x)
        last = f"layer_{self.n_layers + 1}"
        logits = Conv(1, "basic1", 4, self.dtype, "zero", name=last)(x)
        return [widened(whole(logits))]


class PixelDiscriminator(nn.Module):
    """Judges every pixel by itself: 1x1 convolutions. Attributes and result as
    PatchDiscriminator's; the map has the picture's size."""

    ndf: int = 64
    norm: str = "batch"
    running: bool = False
    dtype: Dtype = jnp.float32
    bias: bool | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "n h w i"]) -> list[Float32[Array, "n _ _ 1"]]:
        bias = _bias_init(self.bias, pixel_with_bias(self.norm))
        x = Conv(self.ndf, "pointwise", 1, self.dtype, "zero", name="layer_0")(x)
        with jax.named_scope("layer_0"):
            x = nn.leaky_relu(x, 0.2)
        x = Conv(2 * self.ndf, "pointwise", 1, self.dtype, bias, name="layer_1")(x)
        x = norm(x, self.norm, "layer_1", running=self.running)
        with jax.named_scope("layer_1"):
            x = nn.leaky_relu(x, 0.2)
        x = Conv(1, "pointwise", 1, self.dtype, bias, name="layer_2")(x)
        return [widened(x)]
