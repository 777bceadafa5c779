"""StyleGAN2's generator (Karras et al., CVPR 2020), with the variants and class labels of
StyleGAN2-ADA (Karras et al., NeurIPS 2020), and the layers that its discriminator has too
(stylegan2_discriminator).

Weights are stored as the published programs store them and scaled when they are used (equalised
learning rate). Variables are {"params": ...} and, of a generator, "buffers": the fixed noise map of
each convolution and the mean of w.

A modulated convolution scales its kernel for every sample. Here its input is scaled instead, one
kernel convolves the whole batch, and its output is demodulated: the same products, with no
convolution grouped by samples (section 2.2 of the paper says why both are equal).
"""

import math
from collections.abc import Mapping as Map
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from motion_jax.nets import conv, spatial
from motion_jax.nets.conv_accelerator import plain
from motion_jax.nets.initial import ZEROS, constant, normal
from motion_jax.nets.resample import BINOMIAL, enlarged, filtered, normalised

Architecture = Literal["skip", "resnet", "orig"]
# What each convolution is disturbed by: its own fixed map, nothing, or the maps that are given, in
# the order of the convolutions, [N or 1, r, r] each.
Noise = Literal["constant", "none"] | Sequence[Array]

EPSILON = 1e-8
# Of the sum of a level and the branch around it.
HALF = math.sqrt(0.5)


def levels(size: int) -> tuple[int, ...]:
    """Resolutions of a network of that size, 4 first."""
    return tuple(2**power for power in range(2, size.bit_length()))


def style_count(size: int) -> int:
    """How many entries of w a generator of that size takes."""
    return 2 * len(levels(size))


def noise_sizes(size: int) -> tuple[int, ...]:
    """Resolution of each convolution's noise, in order."""
    return (4, *(r for r in levels(size)[1:] for _ in range(2)))


def unit(x: Float[Array, "n c"]) -> Float[Array, "n c"]:
    """Scaled so that the mean square of each sample is 1."""
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + EPSILON)


def activated(x: Array, bias: Array, clamp: float | None = None) -> Array:
    """Leaky ReLU of 0.2 after the bias, times the root of 2; within the clamp where there is
    one."""
    x = jax.nn.leaky_relu(x + bias.astype(x.dtype), 0.2) * jnp.asarray(math.sqrt(2.0), x.dtype)
    return x if clamp is None else jnp.clip(x, -clamp, clamp)


def repeated(w: Float[Array, "n c"], count: int) -> Float[Array, "n count s"]:
    """One w for every entry."""
    return jnp.broadcast_to(w[:, None], (w.shape[0], count, w.shape[1]))


def truncated(
    ws: Float[Array, "n count s"],
    centre: Float[Array, "*m s"],
    psi: float | Array,
    cutoff: int | None = None,
) -> Float[Array, "n count s"]:
    """ws moved towards the centre: centre + psi * (ws - centre), of the first `cutoff` entries."""
    centre = centre if centre.ndim == 1 else centre[:, None]
    near = centre + psi * (ws - centre)
    if cutoff is None:
        return near
    return jnp.where(jnp.arange(ws.shape[1])[:, None] < cutoff, near, ws)


class Dense(nn.Module):
    """A linear layer whose stored weight is scaled by rate / sqrt(inputs), its bias by rate."""

    features: int
    rate: float = 1.0
    bias: float = 0.0
    active: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "n i"]) -> Float[Array, "n o"]:
        inputs = x.shape[-1]
        weight = self.param("weight", normal(1.0 / self.rate), (inputs, self.features))
        bias = self.param("bias", constant(self.bias), (self.features,)) * self.rate
        y = x @ (weight * (self.rate / math.sqrt(inputs)))
        return activated(y, bias) if self.active else y + bias


class Mapping(nn.Module):
    """z, and the label where there are labels, -> w.

    Attributes:
      style: width of w; hidden: of the layers before the last, embed: of the label's.
      layers: how many; rate: their learning rate, as a factor.
      latent: whether there is a z at all.
      average: whether it keeps the mean of w.
    """

    style: int
    layers: int = 8
    hidden: int | None = None
    labels: int = 0
    embed: int | None = None
    rate: float = 0.01
    latent: bool = True
    average: bool = True

    @nn.compact
    def __call__(
        self, z: Float[Array, "n z"] | None, labels: Float[Array, "n c"] | None = None
    ) -> Float[Array, "n s"]:
        parts = []
        if self.latent:
            assert z is not None, "a mapping of a latent is given one"
            parts.append(unit(z))
        if self.labels:
            assert labels is not None, "a conditional network is given labels"
            parts.append(unit(Dense(self.embed or self.style, name="embed")(labels)))
        x = jnp.concatenate(parts, axis=-1)
        for j in range(self.layers):
            width = self.style if j == self.layers - 1 else self.hidden or self.style
            x = Dense(width, self.rate, active=True, name=f"layer_{j}")(x)
        if self.average:
            self.variable("buffers", "average", lambda: ZEROS(None, (self.style,)))
        return x


def convolved(x: Array, kernel: Array, up: bool) -> Array:
    """A 3x3 convolution that keeps the size, or the whole transposed one, of 2 H + 1."""
    if spatial.shards() > 1:
        # The partitioner shares plain operations with borders of zeros well by itself.
        if up:
            return plain(x, kernel[::-1, ::-1], 1, ((2, 2), (2, 2)), lhs_dilation=2)
        return plain(x, kernel, 1, ((1, 1), (1, 1)))
    if not up:
        return conv.conv_zero(x, kernel, 1)
    # conv_up leaves out the first row of the whole result; after a row of zeros that is no loss.
    return conv.conv_up(jnp.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0))), kernel)[:, 1:, 1:]


class StyledConv(nn.Module):
    """A modulated and demodulated 3x3 convolution, noise, bias and activation.

    up: makes the picture twice as large first, by a transposed convolution and the filter.
    """

    features: int
    size: int
    up: bool = False
    taps: tuple[float, ...] = BINOMIAL
    clamp: float | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w i"], w: Float[Array, "n s"], noise: Array | str
    ) -> Float[Array, "n h2 w2 o"]:
        inputs = x.shape[-1]
        weight = self.param("weight", normal(1.0), (3, 3, inputs, self.features))
        strength = self.param("noise_strength", ZEROS, ())
        bias = self.param("bias", ZEROS, (self.features,))
        shape = (self.size, self.size)
        fixed = self.variable(
            "buffers", "noise", lambda: normal(1.0)(self.make_rng("params"), shape)
        )
        kernel = weight / math.sqrt(9 * inputs)
        style = Dense(inputs, bias=1.0, name="affine")(w)
        squares = jnp.square(style) @ jnp.square(kernel).sum((0, 1))
        demodulation = jax.lax.rsqrt(squares + EPSILON)
        x = x.astype(self.dtype) * style[:, None, None].astype(self.dtype)
        x = convolved(x, kernel.astype(self.dtype), self.up)
        if self.up:
            rest = len(self.taps) - 4
            around = ((rest + 1) // 2 + 1, rest // 2 + 1)
            x = filtered(x, normalised(self.taps), around, gain=4.0)
        x = x * demodulation[:, None, None].astype(self.dtype)
        if not (isinstance(noise, str) and noise == "none"):
            maps = fixed.value[None] if isinstance(noise, str) else noise
            x = x + (strength * maps)[..., None].astype(self.dtype)
        return activated(x, bias, self.clamp)


class ToRGB(nn.Module):
    """A modulated 1x1 convolution towards the picture, float32."""

    channels: int = 3
    clamp: float | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w i"], w: Float[Array, "n s"]
    ) -> Float[Array, "n h w c"]:
        inputs = x.shape[-1]
        weight = self.param("weight", normal(1.0), (inputs, self.channels))
        bias = self.param("bias", ZEROS, (self.channels,))
        style = Dense(inputs, bias=1.0, name="affine")(w)
        x = x * style[:, None, None].astype(x.dtype)
        y = (x @ (weight / math.sqrt(inputs)).astype(x.dtype)).astype(jnp.float32) + bias
        return y if self.clamp is None else jnp.clip(y, -self.clamp, self.clamp)


class Synthesis(nn.Module):
    """w of each layer -> a picture.

    Attributes:
      widths: channels of each level (see `levels`).
      architecture: "skip" adds each level's picture to the enlarged one before; "resnet" has a
        branch around each level, and "orig" neither: both draw the picture at the last level.
      clamp: activations are kept within it (StyleGAN2-ADA's conv_clamp).
    """

    widths: tuple[int, ...]
    architecture: Architecture = "skip"
    channels: int = 3
    clamp: float | None = None
    taps: tuple[float, ...] = BINOMIAL
    dtype: Any = jnp.float32

    @property
    def size(self) -> int:
        return 2 ** (len(self.widths) + 1)

    @nn.compact
    def __call__(
        self,
        ws: Float[Array, "n count s"],
        noise: Noise = "constant",
        swapped: Map[int, Array] | None = None,
        seen: tuple[int, ...] = (),
    ) -> Any:
        """The picture [N, size, size, channels].

        swapped: features [N, r, r, C] by level r, which take the place of what its second
          convolution gives. seen: levels whose such features are wanted too; the result is then
          (picture, {level: features}).
        """
        features: dict[int, Array] = {}
        each = iter([noise] * 99) if isinstance(noise, str) else iter(noise)
        constant_ = self.param("constant", normal(1.0), (4, 4, self.widths[0]))
        x = jnp.broadcast_to(constant_, (ws.shape[0], *constant_.shape)).astype(self.dtype)
        image: Array | None = None
        last = len(self.widths) - 1
        for i, (size, width) in enumerate(zip(levels(self.size), self.widths, strict=True)):
            common = {"taps": self.taps, "clamp": self.clamp, "dtype": self.dtype}
            first, name = 2 * i - 1, f"level_{size}"
            branch = None
            if i:
                if self.architecture == "resnet":
                    branch = self._branch(x, width, f"{name}_skip")
                layer = StyledConv(width, size, up=True, **common, name=f"{name}_conv_0")
                x = layer(x, ws[:, first], next(each))
            layer = StyledConv(width, size, **common, name=f"{name}_conv_1")
            x = layer(x, ws[:, first + 1], next(each))
            if branch is not None:
                x = (x + branch) * jnp.asarray(HALF, x.dtype)
            if swapped and size in swapped:
                x = swapped[size].astype(x.dtype)
            if size in seen:
                features[size] = x
            if i == last or self.architecture == "skip":
                drawn = ToRGB(self.channels, self.clamp, name=f"{name}_rgb")(x, ws[:, first + 2])
                image = drawn if image is None else enlarged(image, self.taps) + drawn
        return (image, features) if seen else image

    def _branch(self, x: Array, width: int, name: str) -> Array:
        inputs = x.shape[-1]
        weight = self.param(f"{name}_weight", normal(1.0), (inputs, width))
        return enlarged(x @ (weight / math.sqrt(inputs)).astype(x.dtype), self.taps)


class Generator(nn.Module):
    """z (and a label) -> a picture: mapping and synthesis.

    Attributes: as Mapping and Synthesis have them; latent: width of z.
    """

    widths: tuple[int, ...]
    latent: int = 512
    style: int = 512
    mapping_layers: int = 8
    mapping_rate: float = 0.01
    mapping_hidden: int | None = None
    labels: int = 0
    embed: int | None = None
    architecture: Architecture = "skip"
    channels: int = 3
    clamp: float | None = None
    taps: tuple[float, ...] = BINOMIAL
    dtype: Any = jnp.float32

    @property
    def size(self) -> int:
        """Height and width of its pictures."""
        return 2 ** (len(self.widths) + 1)

    def setup(self) -> None:
        self.mapping = Mapping(
            self.style,
            self.mapping_layers,
            self.mapping_hidden,
            self.labels,
            self.embed,
            self.mapping_rate,
        )
        self.synthesis = Synthesis(
            self.widths, self.architecture, self.channels, self.clamp, self.taps, self.dtype
        )

    def __call__(
        self,
        z: Float[Array, "n z"],
        labels: Float[Array, "n c"] | None = None,
        psi: float | Array = 1.0,
        cutoff: int | None = None,
        noise: Noise = "constant",
    ) -> Float[Array, "n h w c"]:
        """Pictures of the latents; psi, cutoff: see `truncated`, around the mean of w."""
        ws = repeated(self.mapping(z, labels), style_count(self.size))
        if not isinstance(psi, (int, float)) or psi != 1:
            ws = truncated(ws, self.mapping.get_variable("buffers", "average"), psi, cutoff)
        return self.synthesis(ws, noise)

    def map(
        self, z: Float[Array, "n z"], labels: Float[Array, "n c"] | None = None
    ) -> Float[Array, "n s"]:
        """w of the latents."""
        return self.mapping(z, labels)

    def draw(
        self,
        ws: Float[Array, "n count s"],
        noise: Noise = "constant",
        swapped: Map[int, Array] | None = None,
        seen: tuple[int, ...] = (),
    ) -> Any:
        """Pictures of w, one for every layer: see Synthesis."""
        return self.synthesis(ws, noise, swapped, seen)


def moved_average(
    average: Float[Array, " c"], w: Float[Array, "n c"], rate: float = 0.995
) -> Float[Array, " c"]:
    """The mean of w after a batch, as StyleGAN2-ADA tracks it in training."""
    return w.mean(0) + rate * (average - w.mean(0))
