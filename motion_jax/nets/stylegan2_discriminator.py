"""StyleGAN2's discriminator, with the variants and class labels of StyleGAN2-ADA: see stylegan2."""

import math
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from motion_jax.devices import layout
from motion_jax.nets import conv, spatial
from motion_jax.nets.conv_accelerator import plain
from motion_jax.nets.initial import ZEROS, normal
from motion_jax.nets.resample import BINOMIAL, filtered, normalised, reduced
from motion_jax.nets.stylegan2 import (
    EPSILON,
    HALF,
    Architecture,
    Dense,
    Mapping,
    activated,
    convolved,
)


def _halved(x: Array, kernel: Array) -> Array:
    """A 3x3 convolution of stride 2 without padding: 2 H + 1 -> H."""
    if spatial.shards() > 1 or not conv.on_cpu():
        return plain(x, kernel, 2, "VALID")
    return conv.conv_down(jnp.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0))), kernel)[:, 1:, 1:]


class EqualConv(nn.Module):
    """A convolution of the discriminator, with bias and activation (or neither); down: after the
    filter, of stride 2."""

    features: int
    kernel: int = 3
    down: bool = False
    active: bool = True
    taps: tuple[float, ...] = BINOMIAL
    clamp: float | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "n h w i"]) -> Float[Array, "n h2 w2 o"]:
        inputs, k = x.shape[-1], self.kernel
        weight = self.param("weight", normal(1.0), (k, k, inputs, self.features))
        kernel = (weight / math.sqrt(inputs * k * k)).astype(x.dtype)
        if k == 1:
            x = (reduced(x, self.taps) if self.down else x) @ kernel[0, 0]
        elif self.down:
            rest = len(self.taps) - 2 + k - 1
            around = ((rest + 1) // 2, rest // 2)
            x = _halved(filtered(x, normalised(self.taps), around), kernel)
        else:
            x = convolved(x, kernel, up=False)
        if not self.active:
            return x
        return activated(x, self.param("bias", ZEROS, (self.features,)), self.clamp)


def with_deviation(
    x: Float[Array, "n h w c"], group: int | None, channels: int
) -> Float[Array, "n h w c2"]:
    """The features, and as further channels the standard deviation within groups of the batch,
    averaged over everything else (Karras et al. 2018, "Progressive Growing of GANs", section 3).

    Samples i, i + N / group, ... form a group; N is at most the group's size or a multiple of it.
    """
    whole = layout.whole_batch(x)
    n, height, width, c = whole.shape
    size = min(group or n, n)
    grouped = whole.reshape(size, n // size, height, width, channels, c // channels)
    grouped = grouped.astype(jnp.float32)
    variance = jnp.square(grouped - grouped.mean(0)).mean(0)
    deviation = jnp.sqrt(variance + EPSILON).mean((1, 2, 4))
    tiled = jnp.tile(deviation, (size, 1))[:, None, None]
    tiled = jnp.broadcast_to(tiled, (n, height, width, channels)).astype(x.dtype)
    return jnp.concatenate([x, layout.own_share(tiled)], axis=-1)


class Discriminator(nn.Module):
    """A picture (and its label) -> a score.

    Attributes:
      widths: channels of each level, 4 first, as the generator's.
      architecture: "resnet" has a branch around each level, "skip" looks at the reduced picture at
        each, "orig" neither.
      labels: how many classes; mapping_*: of the labels' mapping, see Mapping.
      stddev_group, stddev_channels: see with_deviation; no channels: without.
      dtype: of all levels but the last.
    """

    widths: tuple[int, ...]
    architecture: Architecture = "resnet"
    channels: int = 3
    labels: int = 0
    mapping_layers: int = 8
    mapping_rate: float = 0.01
    mapping_hidden: int | None = None
    embed: int | None = None
    judged: int | None = None
    stddev_group: int | None = 4
    stddev_channels: int = 1
    clamp: float | None = None
    taps: tuple[float, ...] = BINOMIAL
    dtype: Any = jnp.float32

    @property
    def size(self) -> int:
        """Height and width of the pictures."""
        return 2 ** (len(self.widths) + 1)

    @nn.compact
    def __call__(
        self, image: Float[Array, "n h w c"], labels: Float[Array, "n k"] | None = None
    ) -> Float[Array, " n"]:
        x: Array | None = None
        image = image.astype(self.dtype)
        for i in range(len(self.widths) - 1, 0, -1):
            name, width, below = f"level_{4 << i}", self.widths[i], self.widths[i - 1]
            common: dict[str, Any] = {"taps": self.taps, "clamp": self.clamp}
            if x is None or self.architecture == "skip":
                y = EqualConv(width, 1, **common, name=f"{name}_rgb")(image)
                x = y if x is None else x + y
                image = reduced(image, self.taps) if self.architecture == "skip" else image
            branch = None
            if self.architecture == "resnet":
                branch = EqualConv(
                    below, 1, down=True, active=False, taps=self.taps, name=f"{name}_skip"
                )(x)
            x = EqualConv(width, **common, name=f"{name}_conv_0")(x)
            x = EqualConv(below, down=True, **common, name=f"{name}_conv_1")(x)
            if branch is not None:
                x = (x + branch) * jnp.asarray(HALF, x.dtype)
        width = self.widths[0]
        if x is None or self.architecture == "skip":
            y = EqualConv(width, 1, taps=self.taps, name="level_4_rgb")(image)
            x = y if x is None else x + y
        x = x.astype(jnp.float32)
        if self.stddev_channels:
            x = with_deviation(x, self.stddev_group, self.stddev_channels)
        x = EqualConv(width, clamp=self.clamp, name="level_4_conv")(x)
        x = Dense(width, active=True, name="level_4_hidden")(x.reshape(x.shape[0], -1))
        judged = (self.judged or width) if self.labels else 1
        x = Dense(judged, name="level_4_out")(x)
        if not self.labels:
            return x[:, 0]
        mapping = Mapping(
            judged,
            self.mapping_layers,
            self.mapping_hidden,
            self.labels,
            self.embed,
            self.mapping_rate,
            latent=False,
            average=False,
            name="mapping",
        )
        return (x * mapping(None, labels)).sum(-1) / math.sqrt(judged)


def frozen_discriminator(module: Discriminator, count: int) -> tuple[str, ...]:
    """The names of the layers that FreezeD (Mo, Cho & Shin 2020) with that number of layers leaves
    as they are, as StyleGAN2-ADA counts: from the picture's side, never those of the last level."""
    found: list[str] = []
    for i in range(len(module.widths) - 1, 0, -1):
        top = i == len(module.widths) - 1
        names = ["rgb"] if top or module.architecture == "skip" else []
        names += ["conv_0", "conv_1"] + (["skip"] if module.architecture == "resnet" else [])
        found += [f"level_{4 << i}_{name}" for name in names]
    return tuple(found[:count])
