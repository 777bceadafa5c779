"""What pix2pixHD and Everybody Dance Now share: a generator that begins at half the size, a
discriminator on several scales, and the stages that train them from coarse to fine."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from motion_jax.errors import UserError
from motion_jax.nets.blocks import initialise
from motion_jax.nets.pix2pixhd import GlobalGenerator, LocalEnhancer, MultiscaleDiscriminator
from motion_jax.pose.pose_pictures import drawn
from motion_jax.recipes import schedule
from motion_jax.recipes.adam import adam
from motion_jax.recipes.base import Recipe
from motion_jax.recipes.perceptual import vgg19
from motion_jax.recipes.pretrained import Pretrained
from motion_jax.recipes.state import Params, State


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


@dataclass(frozen=True)
class Discriminator:
    """Multiscale PatchGAN on poses and pictures together."""

    ndf: int = 64
    """Channels of the first layer."""
    n_layers: int = 3
    """Strided layers; 3 sees patches of 70 pixels."""


@dataclass(frozen=True)
class Losses:
    """Weights of the generator's losses; the adversarial one has weight 1."""

    feature_matching: float = 10.0
    """Weight of the mean absolute difference of the discriminator's features."""
    perceptual: Literal["vgg19", "none"] = "vgg19"
    """VGG-19 features (needs the weights: `motion-jax fetch vgg19`), or none."""
    perceptual_weight: float = 10.0
    """Weight of the perceptual loss."""
    perceptual_global_factor: float = 1.0
    """Factor on the perceptual loss while the generator is a GlobalGenerator."""
    l1: float = 0.0
    """Weight of the mean absolute difference of the pictures; 10 to 100 where perceptual is
    none."""


@dataclass(frozen=True)
class Stage(schedule.Stage):
    """One stage of training on single pictures. steps = 0 leaves the stage out."""

    height: int = 256
    """Of the pictures, in pixels; the dataset's or a whole fraction of it."""
    width: int = 512
    """Of the pictures, in pixels."""
    num_D: int = 2
    """Discriminator scales."""


@dataclass(frozen=True)
class CoarseToFine(Recipe):
    """Methods of the recipes; their fields are generator, discriminator, losses, one stage each as
    NAME_stage, dtype, averaging, pose_style.

    Attributes:
      generator_channels, discriminator_channels: of what the networks see.
      perceptual_frames: factor of the perceptual loss, which is a mean over frames.
    """

    generator_channels: ClassVar[int]
    discriminator_channels: ClassVar[int]
    perceptual_frames = 1.0

    def pretrained(self) -> dict[str, Pretrained]:
        return {"vgg19": vgg19()} if self.losses.perceptual == "vgg19" else {}

    # --- stages --------------------------------------------------------------------------------

    def is_local(self, name: str) -> bool:
        """Whether the generator is a LocalEnhancer in that stage."""
        return name != "global" and self.local_stage.steps > 0

    def check_networks(self, least: dict[str, dict[str, int]]) -> None:
        """Raises UserError where nothing is trained, or stages and networks do not fit each other.

        least: as schedule.check_counts', of the networks that only some recipes have.
        """
        stages, g = self.stages(), self.generator
        if not stages:
            raise UserError(
                "The config trains nothing: every stage has steps = 0; set "
                "recipe.global_stage.steps."
            )
        common = {
            "generator": {"ngf": 1, "n_downsampling": 0, "n_blocks": 0, "n_blocks_local": 0},
            "discriminator": {"ndf": 1, "n_layers": 1},
        }
        schedule.check_counts(self, common | least)
        if g.block not in ("full", "separable"):
            raise UserError(
                f"recipe.generator.block = {g.block!r} is neither 'full' nor 'separable'."
            )
        self._check_enhancers()
        for name, stage in stages.items():
            self._check_size(name, stage)
            schedule.check_stage(name, stage)

    def _check_enhancers(self) -> None:
        g = self.generator
        if self.local_stage.steps > 0:
            if g.n_local_enhancers < 1:
                raise UserError(
                    f"recipe.generator.n_local_enhancers = {g.n_local_enhancers} leaves the local "
                    "stage nothing to add; use 1 or more, or leave the stage out with "
                    "recipe.local_stage.steps = 0."
                )
            halves = 2**g.n_local_enhancers
            if g.ngf % halves:
                low = max(g.ngf // halves, 1) * halves
                raise UserError(
                    f"recipe.generator.ngf = {g.ngf} cannot be halved {g.n_local_enhancers} time"
                    f"{'s' if g.n_local_enhancers > 1 else ''}, as the local stage needs, where an "
                    f"enhancer of half the width surrounds the global network; the nearest widths "
                    f"that can: {low} and {low + halves}."
                )

    def _check_size(self, name: str, stage: Any) -> None:
        enhancers = self.generator.n_local_enhancers if self.is_local(name) else 0
        multiple = 2 ** (self.generator.n_downsampling + enhancers)
        for side in ("height", "width"):
            value = getattr(stage, side)
            if value % multiple or value <= 0:
                low = max(value // multiple, 2) * multiple
                raise UserError(
                    f"recipe.{name}_stage.{side} = {value} is not divisible by {multiple}, as "
                    f"the generator's {self.generator.n_downsampling + enhancers} halvings "
                    f"need; the nearest sizes that are: {low} and {low + multiple}."
                )
            if value < 2 * multiple:
                raise UserError(
                    f"recipe.{name}_stage.{side} = {value} leaves a single row at the lowest "
                    f"resolution, which reflection padding cannot extend; use at least "
                    f"{2 * multiple} or a smaller recipe.generator.n_downsampling."
                )

    def check_perceptual(self, face_size: int | None = None) -> None:
        """Raises UserError where pictures (or crops of face_size) are too small for VGG-19."""
        if not self.pretrained():
            return
        smallest = min(min(stage.height, stage.width) for stage in self.stages().values())
        smallest = min(smallest, face_size or smallest)
        if smallest < 16:
            raise UserError(
                f"The perceptual loss needs pictures of at least 16 pixels, not {smallest}."
            )

    # --- networks ------------------------------------------------------------------------------

    def main_generator(self, name: str) -> GlobalGenerator | LocalEnhancer:
        g, dtype = self.generator, jnp.dtype(self.dtype)
        if not self.is_local(name):
            return GlobalGenerator(3, g.ngf, g.n_downsampling, g.n_blocks, dtype, block=g.block)
        return LocalEnhancer(
            3,
            g.ngf // 2**g.n_local_enhancers,
            g.n_downsampling,
            g.n_blocks,
            g.n_local_enhancers,
            g.n_blocks_local,
            dtype,
            g.block,
        )

    def main_discriminator(self, name: str) -> MultiscaleDiscriminator:
        d = self.discriminator
        return MultiscaleDiscriminator(
            d.ndf, d.n_layers, self._stage(name).num_D, jnp.dtype(self.dtype)
        )

    def face_networks(self, name: str) -> dict[str, tuple[nn.Module, int]]:
        """Networks of a stage besides the main ones, with the side of the squares that they see."""
        return {}

    def trained(self, name: str) -> tuple[str, ...]:
        """Names of the networks that a stage updates."""
        return ("generator", "discriminator")

    def _stage(self, name: str) -> Any:
        return self.stages()[name]

    # --- state ---------------------------------------------------------------------------------

    def init(self, key: Array, name: str, previous: State | None = None) -> State:
        """The state at the start of a stage. Pure; works under jax.eval_shape.

        previous: the last state of the stage before. Its generator becomes the core of the local
        stage's; its discriminator scales keep the resolutions that they know; its averaged
        generator, where there is one, is what the face stage freezes. Optimisers start fresh.
        """
        stage = self._stage(name)
        key, *keys = jax.random.split(key, 5)
        shape = (1, stage.height, stage.width)
        inputs = jnp.zeros((*shape, self.generator_channels))
        pairs = jnp.zeros((*shape, self.discriminator_channels))
        params = {
            "generator": initialise(self.main_generator(name), keys[0], inputs),
            "discriminator": initialise(self.main_discriminator(name), keys[1], pairs),
        }
        for face_key, (network, (module, size)) in zip(
            keys[2:], self.face_networks(name).items(), strict=False
        ):
            # Pose and picture.
            params[network] = initialise(module, face_key, jnp.zeros((1, size, size, 6)))
        if previous is not None:
            params = _carry_over(params, previous, averaged=name == "face")
        trained = self.trained(name)
        generators = [network for network in trained if network.endswith("generator")]
        return State(
            step=jnp.zeros((), jnp.int32),
            params=params,
            optimizer={network: adam().init(params[network]) for network in trained},
            averaged={g: jax.tree.map(jnp.copy, params[g]) for g in generators}
            if self.averaging
            else {},
            key=key,
        )

    def draw(self, poses: Array, height: int, width: int) -> Array:
        """Pose pictures [..., H, W, 3] in [0, 1] from keypoints [..., 137, 3], or from ready ones
        (uint8 [..., H, W, 3])."""
        return drawn(poses, self.pose_style, height, width)

    # --- synthesis -----------------------------------------------------------------------------

    def synthesis_params(self, state: State) -> Params:
        """The parameters that synthesis uses: averaged where averaging is on."""
        params = {**state.params, **state.averaged}
        return {name: value for name, value in params.items() if name.endswith("generator")}


def _carry_over(params: Params, previous: State, averaged: bool) -> Params:
    params = dict(params)
    source = dict(previous.params["generator"]["params"])
    if averaged and "generator" in previous.averaged:
        source = dict(previous.averaged["generator"]["params"])
    target = params["generator"]["params"]
    if "model" in target and "model" not in source:
        # Global to local: the whole network but its head becomes the enhancer's core.
        core = {layer: source[layer] for layer in target["model"]}
        params["generator"] = {"params": {**target, "model": core}}
    else:
        params["generator"] = {"params": source}
    scales = {**params["discriminator"]["params"], **previous.params["discriminator"]["params"]}
    kept = params["discriminator"]["params"]
    params["discriminator"] = {"params": {scale: scales[scale] for scale in kept}}
    return params
