"""The parts of a First Order Motion Model: what its networks, losses and schedule are made of.

Defaults are those that the published configs have in common (256 pixels, faces or bodies).
"""

from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
from jax import Array

from motion_jax.errors import UserError, option, setting
from motion_jax.nets import background_motion, first_order
from motion_jax.nets.first_order_discriminator import MultiScaleDiscriminator
from motion_jax.recipes import schedule


@dataclass(frozen=True)
class Detector:
    """The network that finds keypoints without being told where they are."""

    points: int = 10
    """Keypoints."""
    expansion: int = 32
    """Channels of the last layer of its hourglass; each halving doubles them."""
    most: int = 1024
    """The largest number of channels."""
    halvings: int = 5
    """Halvings of the picture that it sees."""
    temperature: float = 0.1
    """Heat-maps are softmax(logits / temperature)."""
    jacobian: bool = True
    """Whether an affine map near each point is found too."""
    single_map: bool = False
    """Whether all points share one map of affine maps (mgif)."""
    scale: float = 0.25
    """Of the picture that it sees: 0.25 of 256 pixels are 64."""
    padding: int = 0
    """Zeros around the convolution of the heat-maps; 0: they are 6 pixels smaller."""

    def module(self, dtype: str, running: bool = False) -> first_order.KeypointDetector:
        """running: batch norm by running statistics."""
        return first_order.KeypointDetector(
            self.points,
            self.expansion,
            self.most,
            self.halvings,
            self.temperature,
            self.jacobian,
            self.single_map,
            self.scale,
            self.padding,
            running,
            jnp.dtype(dtype),
        )


@dataclass(frozen=True)
class DenseMotion:
    """The network that turns the motions of keypoints into one of every pixel."""

    expansion: int = 64
    """Channels of the last layer of its hourglass."""
    most: int = 1024
    """The largest number of channels."""
    halvings: int = 5
    """Halvings of the picture that it sees."""
    scale: float = 0.25
    """Of the picture that it sees."""
    variance: float = 0.01
    """Of the bumps that show it where keypoints are, in squares of half a picture's width."""


@dataclass(frozen=True)
class BackgroundMotion:
    """The network that sees how the background moved between two pictures, where the camera did."""

    kind: Literal["still", "affine"] = "still"
    """"still": there is none, and what no keypoint moves stays in its place, as published;
    "affine": it moves by one affine map for the whole picture, as in the successors. Published
    checkpoints have no such network and cannot hold it."""
    expansion: int = 32
    """Half of the first layer's channels; each halving doubles them."""
    most: int = 512
    """The largest number of channels."""
    halvings: int = 5
    """Halvings of the pictures that it sees."""
    scale: float = 0.25
    """Of the pictures that it sees."""

    def module(self, dtype: str, running: bool = False) -> background_motion.BackgroundMotion:
        """running: batch norm by running statistics."""
        return background_motion.BackgroundMotion(
            self.expansion, self.most, self.halvings, self.scale, running, jnp.dtype(dtype)
        )


@dataclass(frozen=True)
class Generator:
    """The network that warps the photo and fills what was hidden."""

    expansion: int = 64
    """Channels of the first layer; each halving doubles them."""
    most: int = 512
    """The largest number of channels."""
    halvings: int = 2
    """Halvings of the picture."""
    residuals: int = 6
    """Residual blocks at the lowest resolution."""
    occlusion: bool = True
    """Whether a map says what the photo does not show."""
    skips: bool = False
    """Whether the warped photo itself is shown where that map calls it seen: sharp after little
    training. Not in the published networks; their checkpoints cannot hold it."""
    matte: bool = False
    """Whether one more layer says what of the picture is drawn, and elsewhere the photo stays as it
    is: a background that stands still and sharp. Not in the published networks either."""

    def module(
        self,
        motion: DenseMotion | None,
        points: int,
        align_corners: bool,
        dtype: str,
        running: bool = False,
    ) -> first_order.OcclusionAwareGenerator:
        """points: keypoints of the detector; motion None: no motion at all, an auto-encoder."""
        common: dict[str, Any] = {
            "align_corners": align_corners,
            "running": running,
            "dtype": jnp.dtype(dtype),
        }
        inner = None
        if motion is not None:
            inner = first_order.DenseMotion(
                points,
                motion.expansion,
                motion.most,
                motion.halvings,
                self.occlusion,
                motion.scale,
                motion.variance,
                **common,
            )
        return first_order.OcclusionAwareGenerator(
            3, self.expansion, self.most, self.halvings, self.residuals, inner,
            skips=self.skips, matte=self.matte, **common,
        )  # fmt: skip


@dataclass(frozen=True)
class Discriminator:
    """The network that judges, where losses.gan is on."""

    scales: tuple[float, ...] = (1.0,)
    """Of the pictures that are judged, 1 the full size."""
    expansion: int = 32
    """Half of the first block's channels; each block doubles them."""
    most: int = 512
    """The largest number of channels."""
    blocks: int = 4
    """Blocks, each halving the picture but the last."""
    spectral: bool = False
    """Spectral norm."""
    points: bool = False
    """Whether it is shown where the driving keypoints are."""
    variance: float = 0.01
    """Of the bumps that show them."""

    def module(self, dtype: str) -> MultiScaleDiscriminator:
        """The network."""
        return MultiScaleDiscriminator(
            tuple(map(float, self.scales)),
            self.expansion,
            self.most,
            self.blocks,
            self.spectral,
            self.points,
            self.variance,
            jnp.dtype(dtype),
        )


@dataclass(frozen=True)
class Losses:
    """Weights of the losses."""

    perceptual: Literal["vgg19", "none"] = "vgg19"
    """VGG-19 features (needs the weights: `motion-jax fetch vgg19`), or none."""
    perceptual_weights: tuple[float, ...] = (10.0, 10.0, 10.0, 10.0, 10.0)
    """Of relu1_1 ... relu5_1, at every scale."""
    scales: tuple[float, ...] = (1.0, 0.5, 0.25, 0.125)
    """Of the pictures that are compared. The smallest must leave VGG-19 16 pixels."""
    l1: float = 0.0
    """Weight of the mean absolute difference at every scale, in [0, 1]; where there is no
    perceptual loss it stands in for it. Not in the paper."""
    gan: float = 0.0
    """Weight of the generator's adversarial loss; 0: there is no discriminator."""
    discriminator_gan: float = 1.0
    """Weight of the discriminator's own loss."""
    feature_matching: tuple[float, ...] = (10.0, 10.0, 10.0, 10.0)
    """Of the features of each block of the discriminator."""
    equivariance_value: float = 10.0
    """Weight of: keypoints move as the picture is deformed."""
    equivariance_jacobian: float = 10.0
    """Weight of: their affine maps change as the picture is deformed."""

    def check(self, side: int, blocks: int) -> None:
        """Raises UserError where pictures are too small for VGG-19 at one of the scales, or a
        discriminator with that many blocks has not a weight for each.

        side: the pictures' smaller one, in pixels.
        """
        least = min(self.scales) * side
        if self.perceptual != "none" and least < 16:
            kept = [scale for scale in self.scales if scale * side >= 16]
            raise UserError(
                f"{setting('recipe.losses.scales')} reach {least:g} pixels, fewer than the 16 that "
                f"VGG-19 needs; use {option('recipe.losses.scales')} "
                f"{' '.join(f'{scale:g}' for scale in kept)}."
            )
        weights = len(self.feature_matching)
        if self.gan and weights not in (0, blocks):
            raise UserError(
                f"{setting('recipe.losses.feature_matching')} has {weights} weights, but the "
                f"discriminator {blocks} blocks; give one for each, or none."
            )


@dataclass(frozen=True)
class Transform:
    """The random deformations of the equivariance losses."""

    sigma_affine: float = 0.05
    """Deviation of the entries of the affine map from the identity."""
    sigma_tps: float | None = 0.005
    """Deviation of the thin plate's weights; None: affine maps only."""
    points_tps: int = 5
    """The plate is held at this many places squared."""


@dataclass(frozen=True)
class Rates:
    """Learning rates of the networks, as multiples of the stage's."""

    generator: float = 1.0
    """Of the generator, and of the network of the background's motion."""
    discriminator: float = 1.0
    """Of the discriminator."""
    detector: float = 1.0
    """Of the keypoint detector. 0: it keeps its weights; its running statistics still move."""


@dataclass(frozen=True)
class Test:
    """How a trained model animates a photo."""

    mode: Literal["relative", "absolute"] = "relative"
    """ "relative": the photo's keypoints move as those of the film do from its first frame on;
    "absolute": the film's keypoints are taken as they are, and the motion of its background
    (background_motion), too: what is wanted where the film shows the person of the photo."""
    jacobian: bool = True
    """With "relative": the affine maps change likewise."""
    adapt_scale: bool = False
    """With "relative": movements are scaled by the sizes of the two sets of keypoints."""


@dataclass(frozen=True)
class Stage(schedule.Stage):
    """Training. steps = 0 leaves the stage out."""

    milestones: tuple[int, ...] = ()
    """Steps from which on the learning rate is divided by 10, once more at each."""

    def decayed(self, rate: Array, step: Array | int) -> Array:
        """The learning rate of a step, counted from 0, from what warm-up and decay make of it."""
        if not self.milestones:
            return rate
        passed = jnp.sum(jnp.asarray(step) >= jnp.asarray(self.milestones))
        return rate * jnp.power(10.0, -passed.astype(jnp.float32))

    def decayed_at(self, rate: float, step: int) -> float:
        """The same as a plain number."""
        return rate * 10.0 ** -sum(step >= milestone for milestone in self.milestones)


def check_halvings(what: str, side: str, pixels: int, scale: float, halvings: int) -> None:
    """Raises UserError where a side cannot be halved so often, at a scale, without remainder."""
    seen = pixels * scale
    if seen != int(seen) or int(seen) % 2**halvings:
        multiple = int(2**halvings / scale)
        low = max(pixels // multiple, 1) * multiple
        raise UserError(
            f"{setting(f'recipe.main_stage.{side}')} = {pixels} must be divisible by {multiple}: "
            f"{what} sees it at {scale:g} of its size and halves it {halvings} times; the nearest "
            f"sizes that are: {low} and {low + multiple}."
        )


# By the parts of the recipe, the settings that must be above 0.
POSITIVE = {
    "detector": ("points", "expansion", "most", "temperature", "scale"),
    "motion": ("expansion", "most", "variance", "scale"),
    "background_motion": ("expansion", "most", "scale"),
    "generator": ("expansion", "most"),
    "discriminator": ("expansion", "most", "blocks", "variance"),
}


def positive(part: str, settings: Any, *names: str) -> None:
    """Raises UserError for the first of these settings that is not above 0."""
    for name in names:
        if getattr(settings, name) <= 0:
            raise UserError(
                f"{setting(f'recipe.{part}.{name}')} = {getattr(settings, name)} must be above 0."
            )
