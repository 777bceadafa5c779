"""The discriminator of the First Order Motion Model: PatchGANs on a pyramid, which may be shown
where the keypoints are."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax
from jaxtyping import Float

from motion_jax.nets import conv, initial
from motion_jax.nets.first_order import half
from motion_jax.nets.keypoints import gaussians
from motion_jax.nets.packed import unpacked
from motion_jax.nets.sampling import HIGHEST

Dtype = Any
# Pictures of a pyramid by scale, 1.0 the full size.
Pyramid = dict[float, Float[Array, "n h w c"]]


def scale_name(scale: float) -> str:
    """A name for a scale without a point: "1", "0-5"."""
    return f"{scale:g}".replace(".", "-")


def normalised(vector: Array) -> Array:
    """Of length 1."""
    return vector / jnp.maximum(jnp.linalg.norm(vector), 1e-12)


class SpectralConvolution(nn.Module):
    """Conv2d of stride 1 without padding; `spectral`: with its weight divided by its largest
    singular value, as torch.nn.utils.spectral_norm estimates it (Miyato et al. 2018).

    The singular vectors u and v are in "batch_stats", by rows and columns of the weight in
    PyTorch's layout [out, in * k * k]. Where that collection is mutable (training), every call
    makes one power iteration first.
    """

    features: int
    size: int
    spectral: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        drawn = initial.by_fan_in(self.size**2 * x.shape[-1])
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", drawn, shape)
        bias = self.param("bias", drawn, (self.features,)).astype(self.dtype)
        if self.spectral:
            kernel = kernel / self._norm(kernel)
        kernel = kernel.astype(self.dtype)
        return unpacked(conv.conv_zero(x.astype(self.dtype), kernel, 0)) + bias

    def _norm(self, kernel: Array) -> Array:
        matrix = kernel.transpose(3, 2, 0, 1).reshape(self.features, -1)
        fixed = lax.stop_gradient(matrix)
        unit = initial.normal(1.0)
        key = self.make_rng("params") if self.is_initializing() else None
        u = self.variable("batch_stats", "u", unit, key, (matrix.shape[0],))
        v = self.variable("batch_stats", "v", unit, key, (matrix.shape[1],))
        now_u, now_v = u.value, v.value
        if self.is_mutable_collection("batch_stats") and not self.is_initializing():
            now_v = normalised(jnp.matmul(fixed.T, now_u, precision=HIGHEST))
            now_u = normalised(jnp.matmul(fixed, now_v, precision=HIGHEST))
            u.value, v.value = now_u, now_v
        return now_u @ jnp.matmul(matrix, now_v, precision=HIGHEST)


class AffineInstanceNorm(nn.Module):
    """InstanceNorm2d with a factor and an offset for each channel."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        scale = self.param("scale", initial.ONES, (x.shape[-1],))
        bias = self.param("bias", initial.ZEROS, (x.shape[-1],))
        wide = x.astype(jnp.float32)
        centred = wide - wide.mean(axis=(1, 2), keepdims=True)
        variance = jnp.square(centred).mean(axis=(1, 2), keepdims=True)
        return (centred * lax.rsqrt(variance + 1e-5) * scale + bias).astype(x.dtype)


class _Scale(nn.Module):
    """One PatchGAN: see MultiScaleDiscriminator."""

    expansion: int
    most: int
    blocks: int
    spectral: bool
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Array) -> list[Array]:
        outputs = []
        for i in range(self.blocks):
            width = min(self.most, self.expansion * 2 ** (i + 1))
            name = f"down_{i}"
            x = SpectralConvolution(width, 4, self.spectral, self.dtype, name=f"{name}_conv")(x)
            if i:
                x = AffineInstanceNorm(name=f"{name}_norm")(x)
            x = nn.leaky_relu(x, 0.2)
            if i < self.blocks - 1:
                x = half(x)
            outputs.append(x)
        last = SpectralConvolution(1, 1, self.spectral, self.dtype, name="last")
        return [*outputs, last(x)]


class MultiScaleDiscriminator(nn.Module):
    """A pyramid -> by scale, the features of every block and the logits [n, h, w, 1] last.

    Attributes:
      scales: of the pyramid that it judges.
      expansion: the first block has twice as many channels; each one doubles them, up to `most`.
      blocks: number of blocks.
      spectral: spectral norm on every convolution.
      points: whether it is shown bumps at the keypoints beside the picture.
      variance: of the bumps.
    """

    scales: tuple[float, ...] = (1.0,)
    expansion: int = 32
    most: int = 512
    blocks: int = 4
    spectral: bool = False
    points: bool = False
    variance: float = 0.01
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, pyramid: Pyramid, points: Float[Array, "n k 2"] | None = None
    ) -> dict[float, list[Array]]:
        judged = {}
        for scale in self.scales:
            x = pyramid[scale]
            if self.points:
                assert points is not None, "a discriminator of keypoints is shown them"
                height, width = x.shape[1:3]
                bumps = gaussians(points, height, width, self.variance)
                x = jnp.concatenate([x, bumps], axis=-1)
            network = _Scale(
                self.expansion,
                self.most,
                self.blocks,
                self.spectral,
                self.dtype,
                name=f"scale_{scale_name(scale)}",
            )
            judged[scale] = network(x)
        return judged
