"""The networks that pix2pix and CycleGAN have in common, and how trained ones are run."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from motion_jax.errors import UserError, option, setting
from motion_jax.nets.pix2pix import (
    PatchDiscriminator,
    PixelDiscriminator,
    ResnetGenerator,
    UnetGenerator,
)
from motion_jax.recipes import schedule
from motion_jax.recipes.network import applied
from motion_jax.recipes.schedule import Stage
from motion_jax.recipes.state import Params

Norm = Literal["batch", "instance", "none"]
LEAST_HALVINGS = 5


def deepest(height: int, width: int) -> int:
    """How often both sides can be halved."""
    together = height | width
    return (together & -together).bit_length() - 1


@dataclass(frozen=True)
class Generator:
    """The network that makes the picture."""

    kind: Literal["unet", "resnet"] = "unet"
    """A U-Net with skip connections, or CycleGAN's ResNet."""
    ngf: int = 64
    """Channels of the first layer."""
    n_downsampling: int = 8
    """Halvings of the U-Net, 5 or more: 8 for 256 pixels (unet_256), 7 for 128."""
    n_blocks: int = 9
    """Residual blocks of the ResNet: 9 for 256 pixels, 6 for 128."""
    norm: Norm = "batch"
    """Normalisation."""
    dropout: bool = True
    """Dropout of one half, in training the only source of noise."""

    @property
    def size_multiple(self) -> int:
        """What both sides of its pictures must be divisible by."""
        return 4 if self.kind == "resnet" else 2**self.n_downsampling

    def module(self, dtype: str, running: bool = False) -> nn.Module:
        """Towards three channels. running: batch norm by running statistics."""
        settings = (self.norm, self.dropout, running, jnp.dtype(dtype))
        if self.kind == "unet":
            return UnetGenerator(3, self.n_downsampling, self.ngf, *settings)
        return ResnetGenerator(3, self.ngf, self.n_blocks, *settings)

    def for_size(self, height: int, width: int) -> dict[str, Any]:
        """Fields to change so that pictures of this size may fit the network."""
        most = deepest(height, width)
        if most < LEAST_HALVINGS:
            return {"kind": "resnet"}
        return {"n_downsampling": most} if most < self.n_downsampling else {}

    def check(self, name: str, stage: Stage) -> None:
        """Raises UserError where the pictures of a stage do not fit the network."""
        if self.kind == "resnet":
            why = "the ResNet's two halvings need"
            schedule.check_size(name, stage, self.size_multiple, 16, why)
            return
        if self.n_downsampling < LEAST_HALVINGS:
            raise UserError(
                f"{setting('recipe.generator.n_downsampling')} = {self.n_downsampling}: the U-Net "
                f"has {LEAST_HALVINGS} halvings or more."
            )
        why = f"the U-Net's {self.n_downsampling} halvings need"
        most = deepest(stage.height, stage.width)
        if most < LEAST_HALVINGS:
            instead = (
                f"No number of halvings fits {stage.width}x{stage.height}; "
                f"{option('recipe.generator.kind')} resnet takes multiples of 4 from 16."
            )
        else:
            instead = (
                f"Or give {option('recipe.generator.n_downsampling')} {most}, the most that fit "
                f"{stage.width}x{stage.height}."
            )
        schedule.check_size(name, stage, self.size_multiple, self.size_multiple, why, instead)


@dataclass(frozen=True)
class Discriminator:
    """The network that tells generated pictures from real ones."""

    kind: Literal["patch", "pixel"] = "patch"
    """Judges patches (PatchGAN), or every pixel by itself."""
    ndf: int = 64
    """Channels of the first layer."""
    n_layers: int = 3
    """Strided layers of the PatchGAN; 3 sees patches of 70 pixels."""
    norm: Norm = "batch"
    """Normalisation."""

    def module(self, dtype: str) -> nn.Module:
        if self.kind == "pixel":
            return PixelDiscriminator(self.ndf, self.norm, dtype=jnp.dtype(dtype))
        return PatchDiscriminator(self.ndf, self.n_layers, self.norm, dtype=jnp.dtype(dtype))

    def check(self, name: str, stage: Stage) -> None:
        """Raises UserError where the pictures of a stage are too small for its patches."""
        least = 3 * 2**self.n_layers
        if self.kind == "patch" and min(stage.height, stage.width) < least:
            raise UserError(
                f"{setting(f'recipe.{name}_stage')} is {stage.width}x{stage.height}, but a "
                f"PatchGAN of {self.n_layers} strided layers needs pictures of at least {least} "
                "pixels; use larger pictures or a smaller recipe.discriminator.n_layers."
            )


@dataclass(frozen=True)
class Losses:
    """Weights of the generators' losses; the adversarial ones have weight 1."""

    gan: Literal["vanilla", "lsgan"] = "vanilla"
    """Cross-entropy on logits, or least squares."""


@dataclass(frozen=True)
class Test:
    """How a trained generator is run. The published test program does as in training: the
    statistics of the picture at hand, and dropout on."""

    statistics: Literal["batch", "running"] = "batch"
    """Batch norm by the statistics of each picture by itself, or by the running ones of training
    (the original's --eval)."""
    dropout_seed: int | None = None
    """Dropout on, the same in every frame, drawn from this seed; none: off."""


def generated(
    generator: Generator,
    test: Test,
    dtype: str,
    variables: Params,
    pictures: Float[Array, "n h w channels"],
) -> Float[Array, "n h w 3"]:
    """Pictures in [-1, 1] from what the generator is shown, each by itself, as `test` says."""
    module = generator.module(dtype, running=test.statistics == "running")
    seed = test.dropout_seed
    rngs = None if seed is None else {"dropout": jax.random.key(seed)}

    def made(pictures: Array) -> Array:
        with jax.named_scope("generator"):
            return applied(module, variables, pictures, rngs=rngs)

    if rngs is None and (generator.norm != "batch" or test.statistics == "running"):
        return made(pictures)
    # Pictures that are computed together would share statistics, or have different masks.
    return jax.vmap(lambda picture: made(picture[None])[0])(pictures)
