"""Settings of StyleGAN2: its two networks, its losses."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from motion_jax.errors import UserError, setting
from motion_jax.nets import stylegan2 as nets
from motion_jax.nets import stylegan2_discriminator as judges


@dataclass(frozen=True)
class Generator:
    """The network that makes the picture."""

    latent: int = 512
    """Width of z."""
    style: int = 512
    """Width of w."""
    mapping_layers: int = 8
    """Layers from z to w: 8, or 2 as StyleGAN2-ADA's auto configuration."""
    mapping_hidden: int = 0
    """Width of those before the last; 0: as w."""
    mapping_rate: float = 0.01
    """Their learning rate, as a factor."""
    channel_base: int = 32_768
    """Channels times resolution, of both networks: 32768 (config F, "multiplier 2"), or 16384."""
    channel_max: int = 512
    """Most channels of a level."""
    widths: tuple[int, ...] = ()
    """Channels of each level instead, 4x4 first."""
    architecture: nets.Architecture = "skip"
    """See nets.stylegan2.Synthesis."""
    channels: int = 3
    """Of its pictures."""
    clamp: float = 0.0
    """Activations are kept within it; 0: not. StyleGAN2-ADA's networks have 256."""
    taps: tuple[float, ...] = nets.BINOMIAL
    """The filter around steps of resolution."""

    def __post_init__(self) -> None:
        _tuples(self, "widths", "taps")  # lists, where they are read from config.json

    def check(self, size: int) -> None:
        """Raises UserError where it cannot make pictures of that size for a dataset."""
        _check_widths("generator", self.widths, size)
        if self.channels != 3:
            raise UserError(
                f"{setting('recipe.generator.channels')} = {self.channels}: datasets have pictures "
                "of 3."
            )

    def levels(self, size: int) -> tuple[int, ...]:
        """Channels of each level."""
        if self.widths:
            return self.widths
        return tuple(min(self.channel_base // r, self.channel_max) for r in nets.levels(size))

    def module(self, size: int, dtype: str) -> nets.Generator:
        return nets.Generator(
            widths=self.levels(size),
            latent=self.latent,
            style=self.style,
            mapping_layers=self.mapping_layers,
            mapping_rate=self.mapping_rate,
            mapping_hidden=self.mapping_hidden or None,
            architecture=self.architecture,
            channels=self.channels,
            clamp=self.clamp or None,
            taps=self.taps,
            dtype=jnp.dtype(dtype),
        )


def _tuples(owner: Any, *names: str) -> None:
    for name in names:
        object.__setattr__(owner, name, tuple(getattr(owner, name)))


def _check_widths(part: str, widths: tuple[int, ...], size: int) -> None:
    count = len(nets.levels(size))
    if widths and (len(widths) != count or min(widths) < 1):
        raise UserError(
            f"{setting(f'recipe.{part}.widths')} has {len(widths)} entries; pictures of {size} "
            f"pixels have {count} levels."
        )


@dataclass(frozen=True)
class Discriminator:
    """The network that tells generated pictures from real ones; as wide as the generator."""

    widths: tuple[int, ...] = ()
    """Channels of each level, 4x4 first, where they are not the generator's."""
    architecture: nets.Architecture = "resnet"
    """See nets.stylegan2_discriminator.Discriminator."""
    stddev_group: int = 4
    """Pictures that are compared with each other."""
    stddev_channels: int = 1
    """Channels that this makes; 0: without."""
    clamp: float = 0.0
    """As the generator's."""

    def __post_init__(self) -> None:
        _tuples(self, "widths")

    def check(self, size: int, batch: int) -> None:
        """Raises UserError where it cannot judge batches of so many pictures of that size."""
        _check_widths("discriminator", self.widths, size)
        group = self.stddev_group
        if self.stddev_channels and batch > group and batch % group:
            raise UserError(
                f"{setting('recipe.main_stage.batch_size')} = {batch} must be at most "
                f"{setting('recipe.discriminator.stddev_group')} = {group} or a multiple of it."
            )

    def module(self, generator: nets.Generator) -> judges.Discriminator:
        """One that judges what that generator makes."""
        return judges.Discriminator(
            widths=self.widths or generator.widths,
            architecture=self.architecture,
            channels=generator.channels,
            stddev_group=self.stddev_group,
            stddev_channels=self.stddev_channels,
            clamp=self.clamp or None,
            taps=generator.taps,
            dtype=generator.dtype,
        )


@dataclass(frozen=True)
class Losses:
    """Weights and rhythm of what is regularised, and style mixing."""

    r1: float = 10.0
    """Of the squared gradient of the score by real pictures (Mescheder et al. 2018)."""
    r1_every: int = 16
    """Steps between two such."""
    path: float = 2.0
    """Of how the lengths of steps in w and in the picture differ; 0: never."""
    path_every: int = 4
    """Steps between two such."""
    path_shrink: int = 2
    """Part of the batch that it is measured on."""
    path_decay: float = 0.01
    """With which the mean length is followed."""
    mixing: float = 0.9
    """Probability that a batch mixes two latents at a random layer."""
    structure: float = 0.0
    """Of how far the features of the lowest levels are from those that `source` makes of the same
    latents, squared (Cartoon-StyleGAN; 1 there): shapes stay; 0: off."""
    structure_levels: int = 3
    """How many levels: 3 are 4x4 to 16x16."""
