"""Settings that pix2pixHD and Everybody Dance Now share: their two networks, a stage."""

from dataclasses import dataclass
from typing import Literal

from motion_jax.errors import UserError, setting
from motion_jax.recipes import schedule


@dataclass(frozen=True)
class Generator:
    """Widths and depths of the generator. GlobalGenerator alone in the global stage; as the core of
    a LocalEnhancer from the local stage on."""

    ngf: int = 64
    """Channels of the global network at its full resolution; an enhancer halves them."""
    n_downsampling: int = 4
    """Halvings in the global network."""
    n_blocks: int = 9
    """Residual blocks at its lowest resolution."""
    n_local_enhancers: int = 1
    """Doublings of the size by the local stage."""
    n_blocks_local: int = 3
    """Residual blocks in each enhancer."""
    block: Literal["full", "separable"] = "full"
    """Convolutions of all residual blocks, the enhancers' too: full, as pix2pixHD, or separable
    (each channel by itself, then the channels of each pixel: MobileNets, Howard et al. 2017;
    without an activation between, Xception, Chollet 2017): a ninth of the arithmetic, for live use.
    A face generator's stay full, and a separable network cannot be exported to PyTorch."""
    up: Literal["transposed", "resize"] = "transposed"
    """How the generator doubles its pictures: transposed, as pix2pixHD, or resize (each pixel made
    four, then a convolution), which leaves no checkerboards. A network with resize cannot be
    exported to PyTorch."""
    shuffle: int = 1
    """1: pictures enter and leave as pixels, as pix2pixHD; 2 or 4: as blocks of so many pixels a
    side, each one pixel of more channels (Shi et al. 2016), so that nothing is computed at the full
    size: for live use, and for one stage alone. Such a network cannot be exported to PyTorch."""

    def check(self) -> None:
        """Raises UserError where a choice is none of those that there are."""
        if self.block not in ("full", "separable"):
            raise UserError(
                f"{setting('recipe.generator.block')} = {self.block!r} is neither 'full' nor "
                "'separable'."
            )
        if self.up not in ("transposed", "resize"):
            raise UserError(
                f"{setting('recipe.generator.up')} = {self.up!r} is neither 'transposed' nor "
                "'resize'."
            )
        if self.shuffle not in (1, 2, 4):
            raise UserError(
                f"{setting('recipe.generator.shuffle')} = {self.shuffle!r} is none of 1, 2 and 4."
            )


@dataclass(frozen=True)
class Discriminator:
    """Multiscale PatchGAN on poses and pictures together."""

    ndf: int = 64
    """Channels of the first layer."""
    n_layers: int = 3
    """Strided layers; 3 sees patches of 70 pixels."""


@dataclass(frozen=True)
class Stage(schedule.Stage):
    """As schedule.Stage, of a discriminator with several scales."""

    width: int = 512
    """Of the pictures, in pixels."""
    num_D: int = 2
    """Discriminator scales."""
