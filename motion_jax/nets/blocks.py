"""Layers that several networks share: convolutions with the reference's initialisation, norms."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax

from motion_jax.devices import layout
from motion_jax.nets import conv, initial
from motion_jax.nets.depthwise import depthwise_reflect
from motion_jax.nets.norm import instance_norm
from motion_jax.nets.packed import apply, unpacked, widened

Dtype = Any


# As pix2pixHD sets every convolution after construction.
KERNEL = initial.normal(0.02)


class Conv(nn.Module):
    """One convolution.

    Attributes:
      features: output channels.
      kind: "reflect" (stride 1, reflection padding), "down" (kernel 3, stride 2), "up" (transposed,
        doubles; kernel 3 or 4), "resize" (doubles every pixel, then kernel 3), "patch1"/"patch2"
        (kernel 4, zero padding 2, stride 1/2), "basic1"/"basic2" (the same with zero padding 1),
        "same" (stride 1, zero padding), "pointwise" (kernel 1: a matrix product).
      size: kernel size.
      dtype: of the computation; parameters are float32.
      bias_init: "torch" (left as PyTorch draws it: pix2pixHD's), "zero" (set to 0 after
        construction: pix2pix's) or "none".
    """

    features: int
    kind: str
    size: int = 3
    dtype: Dtype = jnp.float32
    bias_init: str = "torch"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (self.size, self.size, x.shape[-1], self.features)
        # PyTorch counts the fan-in of a transposed convolution from its output channels.
        fan_in = self.size**2 * (self.features if self.kind == "up" else x.shape[-1])
        kernel = self.param("kernel", KERNEL, shape)
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        if self.kind == "reflect":
            y = conv.conv_reflect(x, kernel)
        elif self.kind == "down":
            y = conv.conv_down(x, kernel)
        elif self.kind == "up":
            y = conv.conv_up(x, kernel)
        elif self.kind == "resize":
            y = conv.conv_resize(x, kernel)
        elif self.kind in ("patch1", "patch2"):
            y = conv.conv_patch(x, kernel, int(self.kind[-1]))
        elif self.kind in ("basic1", "basic2"):
            y = conv.conv_patch(x, kernel, int(self.kind[-1]), padding=1)
        elif self.kind == "pointwise":
            y = x @ kernel[0, 0]
        else:
            y = conv.conv_zero(x, kernel, self.size // 2)
        if self.bias_init == "none":
            return y
        bias = initial.by_fan_in(fan_in) if self.bias_init == "torch" else initial.ZEROS
        return y + self.param("bias", bias, (self.features,)).astype(self.dtype)


class BatchNorm(nn.Module):
    """BatchNorm2d: normalises by the statistics of the batch at hand, or by running ones.

    Attributes:
      tracked: keep running statistics, in the collection "batch_stats" (mean, var: the unbiased
        variance, count: the batches seen); they are updated where that collection is mutable. Off
        for Everybody Dance Now, which never switches its networks to evaluation mode, so that its
        running statistics are written and never read.
      running: normalise by the running statistics (PyTorch's evaluation mode).
      spread: the deviation of the initial factors, whose mean is 1: pix2pixHD's and pix2pix's;
        PyTorch itself begins with 0.
    """

    tracked: bool = False
    running: bool = False
    spread: float = 0.02

    @nn.compact
    def __call__(self, x: Array) -> Array:
        drawn = initial.normal(self.spread, mean=1.0) if self.spread else initial.ONES
        scale = self.param("scale", drawn, (x.shape[-1],))
        bias = self.param("bias", initial.ZEROS, (x.shape[-1],))
        wide = widened(x)
        if self.running:
            mean: Array = self.get_variable("batch_stats", "mean")
            variance: Array = self.get_variable("batch_stats", "var")
        else:
            mean = layout.batch_mean(wide.mean(axis=(0, 1, 2)))
            square = apply(lambda wide: jnp.square(wide - mean), wide)
            variance = layout.batch_mean(square.mean(axis=(0, 1, 2)))
            if self.tracked and self.is_mutable_collection("batch_stats"):
                self._track(mean, variance, math.prod(wide.shape[:3]) * layout.shares())
        normal = apply(
            lambda wide: (wide - mean) * jax.lax.rsqrt(variance + 1e-5) * scale + bias, wide
        )
        return normal.astype(x.dtype)

    def _track(self, mean: Array, variance: Array, count: int) -> None:
        """PyTorch's update, momentum 0.1; count: entries behind the statistics."""
        means = self.variable("batch_stats", "mean", initial.ZEROS, None, mean.shape)
        variances = self.variable("batch_stats", "var", initial.ONES, None, mean.shape)
        batches = self.variable("batch_stats", "count", initial.ZEROS, None, (), jnp.int32)
        if not self.is_initializing():
            unbiased = variance * (count / max(count - 1, 1))
            means.value = 0.9 * means.value + 0.1 * lax.stop_gradient(mean)
            variances.value = 0.9 * variances.value + 0.1 * lax.stop_gradient(unbiased)
            batches.value = batches.value + 1


def norm(x: Array, kind: str, name: str, *, relu: bool = False, running: bool = False) -> Array:
    """One of pix2pix's norms of the layer `name`, inside a compact module; relu: max(0, that).

    kind: "instance" (without parameters), "batch" (with running statistics, a module NAME_norm) or
    "none".
    """
    with jax.named_scope(name):
        if kind == "instance":
            return instance_norm(x, relu)
        if kind == "batch":
            x = BatchNorm(tracked=True, running=running, name=f"{name}_norm")(unpacked(x))
        return jax.tree.map(nn.relu, x) if relu else x


class Depthwise(nn.Module):
    """A 3x3 kernel for each channel, reflection padding, no bias.

    Its initial values are from N(0, 0.02), as all kernels': a wider N(0, 1/3), which keeps the size
    of a signal, gave no better result (500 steps of the demo's global stage: held-out PSNR 26.90
    against 26.98).
    """

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param("kernel", KERNEL, (3, 3, 1, x.shape[-1]))
        return depthwise_reflect(x.astype(self.dtype), kernel.astype(self.dtype))


class SeparableConv(nn.Module):
    """A 3x3 convolution in two steps: each channel by itself, then all channels of each pixel.

    It needs 9 C + C^2 products a pixel instead of 9 C^2. There is nothing between the steps, which
    Chollet 2017 found better than an activation there; so a bias of the first would only add to
    that of the second.
    """

    features: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = Depthwise(self.dtype, name="depthwise")(unpacked(x))
        return Conv(self.features, "pointwise", 1, self.dtype, name="pointwise")(y)


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), reflection padding, no activation after the sum.

    kind: "full": 3x3 convolutions, as pix2pixHD; "separable": SeparableConv in their place
    (Howard et al. 2017, MobileNets; Chollet 2017, Xception), with the norms and the activation
    where they were.
    """

    dtype: Dtype = jnp.float32
    kind: str = "full"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        def convolve(x: Array, name: str) -> Array:
            if self.kind == "separable":
                return SeparableConv(x.shape[-1], self.dtype, name=name)(x)
            return Conv(x.shape[-1], "reflect", dtype=self.dtype, name=name)(x)

        y = convolve(x, "conv_1")
        with jax.named_scope("conv_1"):
            y = instance_norm(y, relu=True)
        y = convolve(y, "conv_2")
        with jax.named_scope("conv_2"):
            return x + instance_norm(y)
