"""The networks of the First Order Motion Model for Image Animation (Siarohin, Lathuiliere,
Tulyakov, Ricci, Sebe; NeurIPS 2019): a keypoint detector, the dense motion between two sets of
keypoints, and the generator that warps a source picture by it and fills what was hidden.

Pictures are float in [0, 1], all convolutions have a bias and zero padding. Networks are
differentiated and run in float32 or bfloat16; keypoints, motions and everything that is looked up
by coordinates stay float32. Layers and their keys: weights/first_order.py.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from jax import Array
from jaxtyping import Float

from motion_jax.nets import conv, initial, keypoints, sampling
from motion_jax.nets.blocks import BatchNorm
from motion_jax.nets.keypoints import Keypoints
from motion_jax.nets.packed import unpacked
from motion_jax.nets.sampling import HIGHEST

Dtype = Any


class Convolution(nn.Module):
    """Conv2d of stride 1 with PyTorch's own initialisation.

    Attributes:
      features: output channels.
      size: of the kernel.
      padding: zeros around the picture; None: as many as keep its size.
      double: every pixel is made a square of four before.
      dtype: of the computation; parameters are float32.
    """

    features: int
    size: int = 3
    padding: int | None = None
    double: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        drawn = initial.by_fan_in(self.size**2 * x.shape[-1])
        kernel = self.param("kernel", drawn, (self.size, self.size, x.shape[-1], self.features))
        bias = self.param("bias", drawn, (self.features,))
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        if self.double:
            y = conv.conv_resize(x, kernel)
        else:
            padding = self.size // 2 if self.padding is None else self.padding
            y = conv.conv_zero(x, kernel, padding)
        return unpacked(y) + bias.astype(self.dtype)


class Normed(nn.Module):
    """Convolution, batch norm, ReLU: a layer of every network here.

    Attributes:
      double: see Convolution.
      halve: average every 2x2 square afterwards.
      running: batch norm by the running statistics.
    """

    features: int
    size: int = 3
    double: bool = False
    halve: bool = False
    running: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = Convolution(
            self.features, self.size, double=self.double, dtype=self.dtype, name="conv"
        )(x)
        x = nn.relu(BatchNorm(tracked=True, running=self.running, spread=0, name="norm")(x))
        return half(x) if self.halve else x


def half(x: Array) -> Array:
    """AvgPool2d(2): a last odd row or column is dropped."""
    n, h, w, c = x.shape
    x = x[:, : h // 2 * 2, : w // 2 * 2]
    return x.reshape(n, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))


class Residual(nn.Module):
    """x + conv(relu(norm(conv(relu(norm(x))))))."""

    running: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = x
        for i in (1, 2):
            norm = BatchNorm(tracked=True, running=self.running, spread=0, name=f"norm{i}")
            y = nn.relu(norm(y))
            y = Convolution(x.shape[-1], dtype=self.dtype, name=f"conv{i}")(y)
        return x + y


class Hourglass(nn.Module):
    """A U-Net whose output is beside its input: [N, H, W, C] -> [N, H, W, expansion + C].

    Attributes:
      expansion: channels of the last layer; each halving doubles them, up to
      most: the largest number of channels.
      halvings: how often the picture is halved; its sides must be divisible by 2^halvings.
    """

    expansion: int
    most: int
    halvings: int
    running: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        widths = [min(self.most, self.expansion * 2**i) for i in range(self.halvings + 1)]
        layer = {"running": self.running, "dtype": self.dtype}
        kept = [x.astype(self.dtype)]
        for i in range(self.halvings):
            kept.append(Normed(widths[i + 1], halve=True, name=f"down_{i}", **layer)(kept[-1]))
        y = kept.pop()
        for i in reversed(range(self.halvings)):
            name = f"up_{self.halvings - 1 - i}"
            y = Normed(widths[i], double=True, name=name, **layer)(y)
            y = jnp.concatenate([y, kept.pop()], axis=-1)
        return y


def _identity_maps(key: Array | None, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """The bias with which every jacobian begins as the identity."""
    return jnp.tile(jnp.asarray([1, 0, 0, 1], dtype), shape[0] // 4)


class Linear(nn.Module):
    """A convolution that begins as a constant: kernel zero, bias the identity, four by four."""

    features: int
    size: int
    padding: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", initial.ZEROS, shape).astype(self.dtype)
        bias = self.param("bias", _identity_maps, (self.features,)).astype(self.dtype)
        return unpacked(conv.conv_zero(x.astype(self.dtype), kernel, self.padding)) + bias


class KeypointDetector(nn.Module):
    """A picture -> K keypoints, each the centre of mass of a heat-map.

    Attributes:
      count: K.
      expansion, most, halvings: of the hourglass.
      temperature: the heat-maps' logits are divided by it.
      jacobian: whether an affine map near every point is estimated.
      single_map: whether all points weight one map of affine maps instead of one each.
      scale: the picture is shrunk to this first.
      padding: zeros around the heat-maps' convolution, whose kernel is 7: with 0 they are 6 pixels
        smaller than the features, and their corners are at -1 and 1 all the same.
    """

    count: int
    expansion: int
    most: int
    halvings: int
    temperature: float = 0.1
    jacobian: bool = True
    single_map: bool = False
    scale: float = 1.0
    padding: int = 0
    running: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, picture: Float[Array, "n h w c"]) -> Keypoints:
        hourglass = Hourglass(
            self.expansion, self.most, self.halvings, self.running, self.dtype, name="hourglass"
        )
        features = hourglass(sampling.shrink(picture, self.scale))
        head = Convolution(self.count, 7, self.padding, dtype=self.dtype, name="kp")
        logits = head(features).astype(jnp.float32)
        self.sow("intermediates", "features", features)
        self.sow("intermediates", "logits", logits)
        n, h, w, _ = logits.shape
        flat = logits.reshape(n, h * w, self.count) / self.temperature
        heat = jax.nn.softmax(flat, axis=1)
        grid = jnp.asarray(sampling.coordinate_grid(h, w)).reshape(h * w, 2)
        value = jnp.einsum("npk,pc->nkc", heat, grid, precision=HIGHEST)
        if not self.jacobian:
            return Keypoints(value)
        maps = 1 if self.single_map else self.count
        second = Linear(4 * maps, 7, self.padding, self.dtype, name="jacobian_map")
        found = second(features).astype(jnp.float32).reshape(n, h * w, maps, 4)
        if self.single_map:
            jacobian = jnp.einsum("npk,npc->nkc", heat, found[:, :, 0], precision=HIGHEST)
        else:
            jacobian = jnp.einsum("npk,npkc->nkc", heat, found, precision=HIGHEST)
        return Keypoints(value, jacobian.reshape(n, self.count, 2, 2))


@struct.dataclass
class Motion:
    """What a dense motion network makes of two sets of keypoints.

    Attributes:
      deformation: where each pixel is looked up in the source, (x, y), [n, h, w, 2].
      mask: which of the K + 1 motions (the background's first) each pixel follows, [n, h, w, K+1];
        the sum is 1.
      deformed: the small source by each motion, [n, K + 1, h, w, 3].
      occlusion: 1 where the source shows what is needed, 0 where it is hidden, [n, h, w, 1]; None
        without it.
    """

    deformation: Any
    mask: Any
    deformed: Any
    occlusion: Any = None


class DenseMotion(nn.Module):
    """A source picture and two sets of keypoints -> Motion.

    Attributes:
      count: K.
      expansion, most, halvings: of the hourglass.
      occlusion: whether an occlusion map is estimated.
      scale: the picture is shrunk to this first.
      variance: of the bumps that show where points are.
      align_corners: see nets/sampling.py.
    """

    count: int
    expansion: int
    most: int
    halvings: int
    occlusion: bool = False
    scale: float = 1.0
    variance: float = 0.01
    align_corners: bool = False
    running: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, picture: Array, source: Keypoints, driving: Keypoints) -> Motion:
        small = sampling.shrink(picture, self.scale)
        n, h, w, channels = small.shape
        motions = keypoints.sparse_motions(source, driving, h, w)
        # All motions of a picture are one long list of lookups.
        deformed = sampling.grid_sample(small, motions, align_corners=self.align_corners)
        self.sow("intermediates", "small", small)
        self.sow("intermediates", "motions", motions)
        bumps = [keypoints.gaussians(p.value, h, w, self.variance) for p in (driving, source)]
        heat = jnp.pad(bumps[0] - bumps[1], ((0, 0), (0, 0), (0, 0), (1, 0)))
        self.sow("intermediates", "heat", heat)
        shown = jnp.concatenate([heat[..., None], jnp.moveaxis(deformed, 1, 3)], axis=-1)
        shown = shown.reshape(n, h, w, (self.count + 1) * (channels + 1))
        hourglass = Hourglass(
            self.expansion, self.most, self.halvings, self.running, self.dtype, name="hourglass"
        )
        features = hourglass(shown)
        logits = Convolution(self.count + 1, 7, dtype=self.dtype, name="mask")(features)
        mask = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
        deformation = jnp.einsum("nhwk,nkhwc->nhwc", mask, motions, precision=HIGHEST)
        occlusion = None
        if self.occlusion:
            logits = Convolution(1, 7, dtype=self.dtype, name="occlusion_map")(features)
            occlusion = jax.nn.sigmoid(logits.astype(jnp.float32))
        return Motion(deformation, mask, deformed, occlusion)


class OcclusionAwareGenerator(nn.Module):
    """A source picture, its keypoints and those of a driving picture -> the source in the driving
    pose, in [0, 1]. There are no skip connections.

    Attributes:
      channels: of pictures.
      expansion: channels of the first layer; each halving doubles them, up to `most`.
      halvings, residuals: numbers of layers.
      motion: the dense motion network; None: an auto-encoder of the source.
      align_corners: see nets/sampling.py.
      skips: whether the warped picture itself is shown as far as the occlusion map calls it seen,
        and what the network makes elsewhere, as the successor's last layer does where it is set
        so (Siarohin et al., "Motion Representations for Articulated Animation", CVPR 2021).
      matte: whether one more layer says how much of each pixel the network draws; through the rest
        the source picture is seen, in its place or as its background moved (Porter & Duff 1984,
        "over").
    """

    channels: int
    expansion: int
    most: int
    halvings: int
    residuals: int
    motion: DenseMotion | None = None
    align_corners: bool = False
    skips: bool = False
    matte: bool = False
    running: bool = False
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        layer = {"running": self.running, "dtype": self.dtype}
        widths = [min(self.most, self.expansion * 2**i) for i in range(self.halvings + 1)]
        self.first = Normed(widths[0], 7, **layer)
        self.down = [Normed(width, halve=True, **layer) for width in widths[1:]]
        self.residual = [Residual(**layer) for _ in range(self.residuals)]
        self.up = [Normed(width, double=True, **layer) for width in widths[-2::-1]]
        self.last = Convolution(self.channels, 7, dtype=self.dtype)
        if self.matte and self.motion is not None:
            self.alpha = Convolution(1, 7, dtype=self.dtype)

    def features(self, picture: Float[Array, "n h w c"]) -> Array:
        """What the generator knows of a source picture, whatever drives it: [n, h, w, C] of its
        lowest resolution."""
        x = self.first(picture)
        for layer in self.down:
            x = layer(x)
        return x

    def decoded(
        self,
        features: Array,
        picture: Float[Array, "n h w c"],
        source: Keypoints,
        driving: Keypoints,
    ) -> tuple[Float[Array, "n h w c"], Motion | None]:
        """The pictures and motions from features of the source."""
        motion = None
        x = features
        if self.motion is not None:
            motion = self.motion(picture, source, driving)
            h, w = x.shape[1:3]
            x = self._warped(x, motion.deformation)
            if motion.occlusion is not None:
                x = x * sampling.resize(motion.occlusion, h, w).astype(x.dtype)
        for block in self.residual:
            x = block(x)
        for layer in self.up:
            x = layer(x)
        made = jax.nn.sigmoid(self.last(x).astype(jnp.float32))
        if self.skips and motion is not None and motion.occlusion is not None:
            seen = sampling.resize(motion.occlusion, *made.shape[1:3]).astype(jnp.float32)
            made = seen * self.deformed(picture, motion) + (1.0 - seen) * made
        if self.matte and motion is not None:
            with jax.named_scope("matte"):
                alpha = jax.nn.sigmoid(self.alpha(x).astype(jnp.float32))
                self.sow("intermediates", "drawn", alpha)
                made = alpha * made + (1.0 - alpha) * self._behind(picture, driving)
        return made, motion

    def _behind(self, picture: Array, driving: Keypoints) -> Array:
        """The source picture, moved as the driving pictures' background is."""
        if driving.background is None:
            return picture
        return self._warped(picture, keypoints.background_places(driving, *picture.shape[1:3]))

    def _warped(self, x: Array, deformation: Array) -> Array:
        grid = sampling.resize(deformation, *x.shape[1:3])
        return sampling.grid_sample(x, grid, align_corners=self.align_corners)

    def deformed(self, picture: Array, motion: Motion) -> Float[Array, "n h w c"]:
        """The source picture itself, warped, with nothing filled in."""
        return self._warped(picture, motion.deformation)

    def __call__(
        self, picture: Float[Array, "n h w c"], source: Keypoints, driving: Keypoints
    ) -> tuple[Float[Array, "n h w c"], Motion | None]:
        return self.decoded(self.features(picture), picture, source, driving)
