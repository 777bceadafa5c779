"""pix2pix (Isola, Zhu, Zhou, Efros; CVPR 2017) from pose pictures to frames.

A U-Net (or CycleGAN's ResNet) sees one pose picture, or the channels that conditions.py switches
on; a PatchGAN judges them and the frame together. Nothing is carried from frame to frame. The
defaults are those of its PyTorch code; docs/reference-behaviour.md lists what differs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from motion_jax import losses
from motion_jax.data.reading import Window
from motion_jax.errors import UserError
from motion_jax.nets.blocks import initialise
from motion_jax.nets.pix2pix import (
    PatchDiscriminator,
    PixelDiscriminator,
    ResnetGenerator,
    UnetGenerator,
)
from motion_jax.pose.draw import PoseStyle
from motion_jax.pose.skeleton import FACE
from motion_jax.recipes import schedule
from motion_jax.recipes.base import Moments, Shown
from motion_jax.recipes.conditions import EDGES_FLATTER, Conditions, Seen
from motion_jax.recipes.network import averaged, optimizer, stepped, trained_apply
from motion_jax.recipes.one_stage import OneStage
from motion_jax.recipes.pixels import to_float
from motion_jax.recipes.schedule import Stage
from motion_jax.recipes.state import Params, State

if TYPE_CHECKING:
    from motion_jax.data.records import PoseFrames

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

    def module(self, dtype: str, running: bool = False) -> nn.Module:
        """Towards three channels. running: batch norm by running statistics."""
        settings = {"norm": self.norm, "dropout": self.dropout, "running": running}
        settings["dtype"] = jnp.dtype(dtype)
        if self.kind == "unet":
            return UnetGenerator(3, self.n_downsampling, self.ngf, **settings)
        return ResnetGenerator(3, self.ngf, self.n_blocks, **settings)

    def check(self, name: str, stage: Stage) -> None:
        """Raises UserError where the pictures of a stage do not fit the network."""
        if self.kind == "resnet":
            schedule.check_size(name, stage, 4, 16, "the ResNet's two halvings need")
            return
        if self.n_downsampling < LEAST_HALVINGS:
            raise UserError(
                f"recipe.generator.n_downsampling = {self.n_downsampling}: the U-Net has "
                f"{LEAST_HALVINGS} halvings or more."
            )
        multiple = 2**self.n_downsampling
        why = f"the U-Net's {self.n_downsampling} halvings need"
        most = deepest(stage.height, stage.width)
        if most < LEAST_HALVINGS:
            instead = (
                f"No number of halvings fits {stage.width}x{stage.height}; "
                "--recipe.generator.kind resnet takes multiples of 4 from 16."
            )
        else:
            instead = (
                f"Or give --recipe.generator.n-downsampling {most}, the most that fit "
                f"{stage.width}x{stage.height}."
            )
        schedule.check_size(name, stage, multiple, multiple, why, instead)


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
        settings = {"norm": self.norm, "dtype": jnp.dtype(dtype)}
        if self.kind == "pixel":
            return PixelDiscriminator(self.ndf, **settings)
        return PatchDiscriminator(self.ndf, self.n_layers, **settings)

    def check(self, name: str, stage: Stage) -> None:
        """Raises UserError where the pictures of a stage are too small for its patches."""
        least = 3 * 2**self.n_layers
        if self.kind == "patch" and min(stage.height, stage.width) < least:
            raise UserError(
                f"recipe.{name}_stage is {stage.width}x{stage.height}, but a PatchGAN of "
                f"{self.n_layers} strided layers needs pictures of at least {least} pixels; use "
                "larger pictures or a smaller recipe.discriminator.n_layers."
            )


@dataclass(frozen=True)
class Losses:
    """Weights of the generator's losses; the adversarial one has weight 1."""

    gan: Literal["vanilla", "lsgan"] = "vanilla"
    """Cross-entropy on logits, or least squares."""
    l1: float = 100.0
    """Weight of the mean absolute difference of the pictures."""


@dataclass(frozen=True)
class Test:
    """How a trained generator is run. The published test program does as in training: the
    statistics of the picture at hand, and dropout on."""

    statistics: Literal["batch", "running"] = "batch"
    """Batch norm by the statistics of each picture by itself, or by the running ones of training
    (the original's --eval)."""
    dropout_seed: int | None = None
    """Dropout on, the same in every frame, drawn from this seed; none: off."""


@dataclass(frozen=True)
class Pix2Pix(OneStage):
    """The recipe: hyperparameters as fields, pure functions as methods."""

    generator: Generator = field(default_factory=Generator)
    discriminator: Discriminator = field(default_factory=Discriminator)
    losses: Losses = field(default_factory=Losses)
    main_stage: Stage = field(default_factory=Stage)
    test: Test = field(default_factory=Test)
    conditions: Conditions = field(default_factory=Conditions)
    """What the generator and the discriminator are shown."""
    ready_pictures: bool = False
    """Train only on datasets with ready pictures to show (pairs of pictures), never on poses that
    are drawn from keypoints."""
    pose_style: PoseStyle = field(default_factory=PoseStyle)
    """How pose pictures are drawn, where the dataset has no ready ones."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the convolutions; parameters, statistics and losses stay float32."""
    averaging: float = 0.0
    """Decay of the exponential average of the generator's parameters, e.g. 0.999; 0 is off."""
    rematerialise: bool = False
    """Recompute the generator's activations in the backward pass: less memory, more time."""

    @property
    def name(self) -> str:
        return "pix2pix"

    def validate(self) -> None:
        """Raises UserError where the fields contradict each other or the networks' needs."""
        super().validate()
        self.conditions.check()

    def check_dataset(self, dataset: "PoseFrames") -> None:
        if self.ready_pictures and not dataset.info.pose_pictures:
            raise UserError(
                f"The dataset {dataset.folder} has poses, and this config turns one person's "
                "pictures into another's (recipe.ready_pictures): pair two people's datasets with "
                "motion-jax pair --kind pics2pics, or train pose2pics on this one."
            )
        if self.conditions.face_contour and not (dataset.keypoints()[:, FACE, 2] > 0).any():
            raise UserError(
                f"The dataset {dataset.folder} has no face points to draw contours of; train with "
                "--recipe.conditions.no-face-contour, or prepare it with --detail holistic."
            )

    @property
    def shows(self) -> tuple[Shown, ...]:
        """Poses, and what else its conditions are made of."""
        return self.conditions.shows

    def reading(self, name: str) -> Window:
        stage = self.stages()[name]
        return Window(stage.height, stage.width, stage.batch_size, ("poses",))

    def seen(self, moments: Moments) -> Seen:
        return self.conditions.seen(moments)

    def caveats(self) -> list[str]:
        return [EDGES_FLATTER] if self.conditions.canny else []

    # --- networks ------------------------------------------------------------------------------

    def modules(self, name: str) -> dict[str, nn.Module]:
        """The networks of a stage by their names in the state."""
        return {
            "generator": self.generator.module(self.dtype),
            "discriminator": self.discriminator.module(self.dtype),
        }

    def init(self, key: Array, name: str, previous: State | None = None) -> State:
        """The state at the start. Pure; works under jax.eval_shape."""
        stage = self.stages()[name]
        key, *keys = jax.random.split(key, 3)
        shape, params = (1, stage.height, stage.width), {}
        shown = self.conditions.channels
        for each, channels, (network, module) in zip(
            keys, (shown, shown + 3), self.modules(name).items(), strict=True
        ):
            picture = jnp.zeros((*shape, channels))
            params[network] = initialise(module, each, picture, zero_bias=True)
        return State(
            step=jnp.zeros((), jnp.int32),
            params=params,
            optimizer={network: optimizer(tree) for network, tree in params.items()},
            averaged={"generator": jax.tree.map(jnp.copy, params["generator"])}
            if self.averaging
            else {},
            key=key,
        )

    # --- training ------------------------------------------------------------------------------

    def train_step(
        self, state: State, batch: Mapping[str, Array], name: str, frozen: Params
    ) -> tuple[State, dict[str, Array]]:
        """One update of the discriminator, then one of the generator.

        batch: frames uint8 [B, 1, H, W, 3] and keypoints float32 [B, 1, 137, 3] or pose_pictures
        uint8 [B, 1, H, W, 3]. Returns the new state and float32 scalars named as the reference logs
        them.
        """
        stage = self.stages()[name]
        size = stage.height, stage.width
        poses = self.conditions.pictures(self.seen(batch), self.pose_style, *size)
        with jax.named_scope("input"):
            images = to_float(batch["frames"])
            poses = poses.reshape(-1, *size, self.conditions.channels)
        return self.step(state, poses, images.reshape(-1, *size, 3), name)

    def step(
        self, state: State, poses: Array, images: Array, name: str
    ) -> tuple[State, dict[str, Array]]:
        """train_step from condition pictures [B, H, W, conditions.channels] and frames
        [B, H, W, 3], in [-1, 1]."""
        networks, gan = self.modules(name), losses.GAN[self.losses.gan]
        params, moments = dict(state.params), dict(state.optimizer)
        rate = self.learning_rate(name, state.step)
        key = jax.random.fold_in(state.key, state.step) if self.generator.dropout else None
        metrics = {}

        def generate(trained: Params) -> tuple[Array, Params]:
            with jax.named_scope("generator"):
                variables = {**params["generator"], "params": trained}
                return trained_apply(networks["generator"], variables, poses, key)

        if self.rematerialise:
            generate = jax.checkpoint(generate)
        fake, pull, params["generator"] = jax.vjp(
            generate, params["generator"]["params"], has_aux=True
        )

        def judge(variables: Params, pictures: Array) -> tuple[losses.Features, Params]:
            with jax.named_scope("discriminator"):
                pair = jnp.concatenate([poses, pictures], axis=-1)
                output, variables = trained_apply(networks["discriminator"], variables, pair)
                return [output], variables

        def judged(trained: Params) -> tuple[Array, tuple[Array, Array, Params]]:
            variables = {**params["discriminator"], "params": trained}
            of_fake, variables = judge(variables, fake)
            of_real, variables = judge(variables, images)
            with jax.named_scope("D_fake"):
                from_fake = gan(of_fake, 0.0)
            with jax.named_scope("D_real"):
                from_real = gan(of_real, 1.0)
            return 0.5 * (from_fake + from_real), (from_fake, from_real, variables)

        before = params["discriminator"]["params"]
        gradient, (metrics["D_fake"], metrics["D_real"], variables) = jax.grad(
            judged, has_aux=True
        )(before)
        params["discriminator"], moments["discriminator"] = stepped(
            "discriminator",
            {**variables, "params": before},
            gradient,
            moments["discriminator"],
            rate,
        )

        def picture_terms(pictures: Array) -> tuple[Array, tuple[Array, Array, Params]]:
            outputs, variables = judge(params["discriminator"], pictures)
            with jax.named_scope("G_GAN"):
                adversarial = gan(outputs, 1.0)
            with jax.named_scope("G_L1"):
                difference = self.losses.l1 * losses.mean_absolute(pictures, images)
            return adversarial + difference, (adversarial, difference, variables)

        towards, (metrics["G_GAN"], metrics["G_L1"], params["discriminator"]) = jax.grad(
            picture_terms, has_aux=True
        )(fake)
        params["generator"], moments["generator"] = stepped(
            "generator", params["generator"], pull(towards)[0], moments["generator"], rate
        )
        average = {
            network: averaged(old, params[network], state.step, self.averaging)
            for network, old in state.averaged.items()
        }
        state = state.replace(
            step=state.step + 1, params=params, optimizer=moments, averaged=average
        )
        return state, metrics

    # --- synthesis -----------------------------------------------------------------------------

    def synthesize(
        self, params: Params, seen: Seen, carry: tuple[()], name: str, count: Array | None = None
    ) -> tuple[Array, tuple[()]]:
        """Frames from poses (or what `seen` gives), each by itself, as `test` says."""
        stage = self.stages()[name]
        pictures = self.conditions.pictures(seen, self.pose_style, stage.height, stage.width)
        frames = generated(self.generator, self.test, self.dtype, params["generator"], pictures)
        return frames, carry

    def synthesis_params(self, state: State) -> Params:
        """The parameters that synthesis uses: averaged where averaging is on."""
        return {"generator": {**state.params, **state.averaged}["generator"]}


def generated(
    generator: Generator, test: Test, dtype: str, variables: Params, pictures: Array
) -> Array:
    """[N, H, W, 3] in [-1, 1] -> the same, each picture by itself, as `test` says."""
    module = generator.module(dtype, running=test.statistics == "running")
    rngs = None
    if test.dropout_seed is not None:
        rngs = {"dropout": jax.random.key(test.dropout_seed)}

    def made(pictures: Array) -> Array:
        with jax.named_scope("generator"):
            return module.apply(variables, pictures, rngs=rngs)

    if rngs is None and (generator.norm != "batch" or test.statistics == "running"):
        return made(pictures)
    # Otherwise pictures that are computed together would have statistics in common, or other masks.
    return jax.vmap(lambda picture: made(picture[None])[0])(pictures)


RECIPE = Pix2Pix
