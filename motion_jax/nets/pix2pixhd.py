"""The networks of pix2pixHD (Wang et al., CVPR 2018), which Everybody Dance Now uses unchanged.

Layer by layer as NVIDIA/pix2pixHD's models/networks.py builds them with instance norm;
`weights.names` maps their parameters to its checkpoint keys.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util
from jax import Array
from jaxtyping import Float

from motion_jax.nets.blocks import BatchNorm, Conv, ResidualBlock, instance_norm
from motion_jax.nets.conv import average_pool
from motion_jax.nets.packed import apply, unpacked, widened
from motion_jax.nets.resample import depth_to_space, space_to_depth
from motion_jax.nets.spatial import whole

Dtype = Any
# What the layers are called that differ from person to person.
IDENTITY = "identity"


def _layer(x: Array, name: str, features: int, kind: str, size: int, dtype: Dtype) -> Array:
    """Convolution, instance norm, ReLU; inside a compact module. Profiles count the norm to the
    convolution's name."""
    x = Conv(features, kind, size, dtype, name=name)(x)
    with jax.named_scope(name):
        return instance_norm(x, relu=True)


def _head(x: Array, features: int, dtype: Dtype, shuffle: int = 1) -> Array:
    size = edge_kernel(shuffle)
    x = Conv(features * shuffle**2, "reflect", size, dtype, name="last")(x)
    with jax.named_scope("last"):
        if shuffle > 1:
            x = depth_to_space(unpacked(x), shuffle)
        return jnp.tanh(widened(x))


def _kept(module: nn.Module, name: str, x: Array) -> None:
    """Keeps what is computed on the way in the collection "features", for whoever asks for it."""
    if module.is_mutable_collection("features") and not module.is_initializing():
        module.sow("features", name, widened(unpacked(x)))


def edge_kernel(shuffle: int) -> int:
    """Of the first and last convolution: 7 on pixels, 3 on blocks of them."""
    return 7 if shuffle == 1 else 3


def _halved(x: Array) -> Array:
    with jax.named_scope("pool"):
        return average_pool(x)


class Identity(nn.Module):
    """Features times a factor and plus a shift of each channel, those of a mixture of people."""

    @nn.compact
    def __call__(self, x: Array, who: Float[Array, "n people"]) -> Array:
        plain = unpacked(x)
        shape = who.shape[-1], plain.shape[-1]
        # People differ from the start: from one and the same, Adam's small steps lead apart slowly.
        begin = nn.initializers.normal(0.5)
        factor = 1.0 + who @ self.param("factor", begin, shape)
        shift = who @ self.param("shift", begin, shape)
        return (plain * factor[:, None, None] + shift[:, None, None]).astype(plain.dtype)


def _told(x: Array, identities: int) -> tuple[Array, Float[Array, "n people"] | None]:
    """(the input without planes, the weight of each person); see GlobalGenerator.identities."""
    if identities > 1:
        return x[..., :-identities], x[:, 0, 0, -identities:]
    return x, jnp.ones((x.shape[0], 1), x.dtype) if identities else None


def mixed(params: Any, who: Sequence[float]) -> dict[str, Any]:
    """The parameters of a generator that tells people apart with the factors and shifts of one
    person, or of a mixture, in the place of everybody's: of the same network with identities = 1.

    who: the weight of each person.
    """
    weights = np.array([who], np.float32)
    flat = {
        path: jnp.asarray(weights @ np.asarray(leaf)) if IDENTITY in path[-2] else leaf
        for path, leaf in traverse_util.flatten_dict(params).items()
    }
    return traverse_util.unflatten_dict(flat)


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
      shuffle: above 1, blocks of shuffle x shuffle pixels enter as one pixel of more channels, and
        leave so (Shi et al. 2016, sub-pixel convolution); no convolution is at the full size.
      identities: above 1, so many people are told apart. The last channels of the input are planes
        with the weight of each, the same everywhere. Factors and shifts of each person and channel,
        at the lowest resolution and after each doubling, follow the norms (conditional instance
        normalisation, Dumoulin et al. 2017; those of a mixture are mixtures). 1: one person alone,
        with such factors and shifts but without planes; see `mixed`.

    H and W must be divisible by shuffle * 2**n_downsampling.
    """

    output_nc: int = 3
    ngf: int = 64
    n_downsampling: int = 4
    n_blocks: int = 9
    dtype: Dtype = jnp.float32
    head: bool = True
    block: str = "full"
    up: str = "up"
    shuffle: int = 1
    identities: int = 0

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w i"], who: Float[Array, "n people"] | None = None
    ) -> Array:
        """The picture, or the features. who: the weights, of an input without planes."""
        dtype = self.dtype
        if who is None:
            x, who = _told(x, self.identities)
        if self.shuffle > 1:
            x = space_to_depth(x, self.shuffle)
        x = _layer(x, "first", self.ngf, "reflect", edge_kernel(self.shuffle), dtype)
        for i in range(self.n_downsampling):
            x = _layer(x, f"down_{i}", self.ngf * 2 ** (i + 1), "down", 3, dtype)
        if who is not None:
            x = Identity(name=f"{IDENTITY}_lowest")(x, who)
        for i in range(self.n_blocks):
            x = ResidualBlock(dtype, self.block, name=f"block_{i}")(x)
        _kept(self, "lowest", x)
        for i in range(self.n_downsampling):
            features = self.ngf * 2 ** (self.n_downsampling - i - 1)
            x = _layer(x, f"up_{i}", features, self.up, 3, dtype)
            if who is not None:
                x = Identity(name=f"{IDENTITY}_up_{i}")(x, who)
            _kept(self, f"after_up_{i}", x)
        return _head(x, self.output_nc, dtype, self.shuffle) if self.head else x


class LocalEnhancer(nn.Module):
    """A GlobalGenerator at 1/2**n_local_enhancers of the size, and enhancers that double it.

    Attributes as GlobalGenerator's; ngf is the width of the last enhancer, so that the global
    network has ngf * 2**n_local_enhancers. With identities each enhancer ends in factors and shifts
    of its own. H and W must be divisible by 2**(n_downsample_global + n_local_enhancers).
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
    identities: int = 0

    @nn.compact
    def __call__(self, x: Float[Array, "n h w i"]) -> Float[Array, "n h w o"]:
        dtype = self.dtype
        x, who = _told(x, self.identities)
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
            identities=self.identities,
            name="model",
        )(pyramid[-1], who)
        for n in range(1, self.n_local_enhancers + 1):
            level, enhancer = self.n_local_enhancers - n, f"enhancer_{n}"
            width = self.ngf * 2**level
            z = _layer(pyramid[level], f"{enhancer}_first", width, "reflect", 7, dtype)
            y = _layer(z, f"{enhancer}_down", 2 * width, "down", 3, dtype) + y
            for i in range(self.n_blocks_local):
                y = ResidualBlock(dtype, self.block, name=f"{enhancer}_block_{i}")(y)
            y = _layer(y, f"{enhancer}_up", width, self.up, 3, dtype)
            if who is not None:
                y = Identity(name=f"{IDENTITY}_{enhancer}_up")(y, who)
            _kept(self, f"after_{enhancer}_up", y)
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
