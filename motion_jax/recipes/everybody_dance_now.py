"""Everybody Dance Now (Chan, Ginosar, Zhou, Efros; ICCV 2019).

A pix2pixHD generator sees a pose picture and its own previous frame; a discriminator judges two
consecutive frames with their poses; a small generator adds a residual to the face. Three stages:
global (a GlobalGenerator at half size), local (a LocalEnhancer at full size), face.

The defaults are the fixed way; configs/everybody_dance_now_reference.py is the faithful one, and
docs/reference-behaviour.md lists every known bug of the reference and what is done about it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from motion_jax.errors import UserError
from motion_jax.nets.blocks import initialise
from motion_jax.nets.pix2pixhd import (
    GlobalGenerator,
    LocalEnhancer,
    MultiscaleDiscriminator,
    NLayerDiscriminator,
)
from motion_jax.pose.draw import PoseStyle
from motion_jax.pose.pictures import drawn, poses_of
from motion_jax.recipes.adam import adam
from motion_jax.recipes.crops import crop, crop_corners, paste
from motion_jax.recipes.state import Params, State
from motion_jax.recipes.two_frame_step import Clip, two_frame_step


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
    The face generator's stay full, and a separable network cannot be exported to PyTorch."""


@dataclass(frozen=True)
class Discriminator:
    """Multiscale PatchGAN on (pose_t, pose_t+1, image_t, image_t+1), 12 channels."""

    ndf: int = 64
    """Channels of the first layer."""
    n_layers: int = 3
    """Strided layers; 3 sees patches of 70 pixels."""


@dataclass(frozen=True)
class Face:
    """FaceGAN: a residual on a square crop around the face, and its own discriminator."""

    size: int = 128
    """Side of the crop in pixels at the face stage's size; the paper's is a quarter of the
    height."""
    ngf: int = 64
    """Channels of the face generator at the crop's full size."""
    n_downsampling: int = 3
    """Halvings in the face generator."""
    n_blocks: int = 5
    """Residual blocks at its lowest resolution."""
    ndf: int = 64
    """Channels of the face discriminator's first layer."""
    n_layers: int = 3
    """Strided layers of the face discriminator."""


@dataclass(frozen=True)
class Losses:
    """Weights of the generator's losses; the adversarial one has weight 1."""

    feature_matching: float = 10.0
    """Weight of the mean absolute difference of the discriminator's features."""
    perceptual: Literal["vgg19", "none"] = "vgg19"
    """VGG-19 features (needs the weights: `motion-jax fetch vgg19`), or none."""
    perceptual_weight: float = 10.0
    """Weight of the perceptual loss."""
    perceptual_global_factor: float = 0.5
    """Factor on the perceptual loss while the generator is a GlobalGenerator, as in the
    reference."""
    l1: float = 0.0
    """Weight of the mean absolute difference of the pictures; 10 to 100 where perceptual is
    none."""


@dataclass(frozen=True)
class Stage:
    """One stage of training. steps = 0 leaves the stage out."""

    steps: int = 0
    """Training steps (batches)."""
    decay_steps: int = 0
    """The last this many steps lower the learning rate linearly towards 0."""
    height: int = 256
    """Of the pictures, in pixels; the dataset's or a whole fraction of it."""
    width: int = 512
    """Of the pictures, in pixels."""
    batch_size: int = 1
    """Windows a step, over all devices."""
    window: int = 2
    """Consecutive frames a window; the generator is unrolled over them from a zero picture."""
    num_D: int = 2
    """Discriminator scales."""
    learning_rate: float = 2e-4
    """Of Adam, for all networks of the stage."""
    warmup_steps: int = 0
    """The first this many steps raise the learning rate linearly to its full height: for a stage
    that goes on from imported weights, while Adam's averages, which begin empty, fill."""


@dataclass(frozen=True)
class EverybodyDanceNow:
    """The recipe: hyperparameters as fields, pure functions as methods."""

    generator: Generator = field(default_factory=Generator)
    discriminator: Discriminator = field(default_factory=Discriminator)
    face: Face = field(default_factory=Face)
    losses: Losses = field(default_factory=Losses)
    global_stage: Stage = field(default_factory=Stage)
    local_stage: Stage = field(default_factory=Stage)
    face_stage: Stage = field(default_factory=Stage)
    pose_style: PoseStyle = field(default_factory=PoseStyle)
    """How pose pictures are drawn."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the convolutions; parameters, statistics and losses stay float32."""
    averaging: float = 0.0
    """Decay of the exponential average of the generator's parameters, e.g. 0.999; 0 is off."""
    rematerialise: bool = False
    """Recompute each frame's activations in the backward pass: less memory, more time."""
    clamp_face: bool = False
    """Clamp crop + residual to [-1, 1]; the reference does not."""
    generator_updates: int = 1
    """Adam updates of the main generator with each gradient. The published script registers its
    parameters twice and so makes 2 in the global and local stages; 1 is the paper's optimiser."""
    previous_noise: float = 0.0
    """Standard deviation of noise added to the previous frame in training (pictures are in
    [-1, 1]). A generator that has learned to remove it does not let its own faults grow from frame
    to frame. 0, as the reference: none."""
    main_discriminator_after: int = -1
    """Step of the face stage from which the main discriminator trains too; -1: never."""

    # --- stages --------------------------------------------------------------------------------

    # A dataset must have keypoints or ready pose pictures.
    draws_poses = True

    @property
    def name(self) -> str:
        return "everybody_dance_now"

    def stages(self) -> dict[str, Stage]:
        """The stages to run, in order."""
        every = {"global": self.global_stage, "local": self.local_stage, "face": self.face_stage}
        return {name: stage for name, stage in every.items() if stage.steps > 0}

    def is_local(self, name: str) -> bool:
        """Whether the generator is a LocalEnhancer in that stage."""
        return name != "global" and self.local_stage.steps > 0

    def validate(self) -> None:
        """Raises UserError where the fields contradict each other or the networks' needs."""
        stages = self.stages()
        if not stages:
            raise UserError(
                "The config trains nothing: every stage has steps = 0; set "
                "recipe.global_stage.steps."
            )
        self._validate_networks()
        for name, stage in stages.items():
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
            if stage.window < 2:
                raise UserError(
                    f"recipe.{name}_stage.window = {stage.window}: the discriminator judges two "
                    "consecutive frames, so use 2 or more."
                )
            for count in ("batch_size", "num_D"):
                if getattr(stage, count) < 1:
                    raise UserError(f"recipe.{name}_stage.{count} must be at least 1.")
            for part in ("decay_steps", "warmup_steps"):
                if not 0 <= getattr(stage, part) <= stage.steps:
                    raise UserError(
                        f"recipe.{name}_stage.{part} = {getattr(stage, part)} must be between 0 "
                        f"and the stage's steps ({stage.steps}): set both."
                    )
        if "face" in stages:
            if len(stages) == 1:
                raise UserError(
                    "The face stage refines a trained generator: set recipe.global_stage.steps too."
                )
            stage, multiple = stages["face"], 2**self.face.n_downsampling
            previous = self.local_stage if self.is_local("face") else self.global_stage
            if (stage.height, stage.width) != (previous.height, previous.width):
                raise UserError(
                    f"recipe.face_stage is {stage.width}x{stage.height} but the stage before it "
                    f"{previous.width}x{previous.height}; give both one size."
                )
            if self.face.size % multiple or self.face.size > min(stage.height, stage.width):
                raise UserError(
                    f"recipe.face.size = {self.face.size} must be divisible by {multiple} and fit "
                    f"into {stage.width}x{stage.height}; the paper's is a quarter of the height, "
                    f"here {max(stage.height // 4 // multiple, 1) * multiple}."
                )
            if self.face.size < 2 * multiple:
                raise UserError(
                    f"recipe.face.size = {self.face.size} leaves a single row at the lowest "
                    f"resolution, which reflection padding cannot extend; use at least "
                    f"{2 * multiple} or a smaller recipe.face.n_downsampling."
                )
        if self.losses.perceptual == "vgg19":
            smallest = min(min(stage.height, stage.width) for stage in stages.values())
            if "face" in stages:
                smallest = min(smallest, self.face.size)
            if smallest < 16:
                raise UserError(
                    f"The perceptual loss needs pictures of at least 16 pixels, not {smallest}."
                )

    def _validate_networks(self) -> None:
        """Widths and depths for themselves; with the stages' sizes they are compared elsewhere."""
        g = self.generator
        least = {
            "generator": {"ngf": 1, "n_downsampling": 0, "n_blocks": 0, "n_blocks_local": 0},
            "discriminator": {"ndf": 1, "n_layers": 1},
            "face": {"ngf": 1, "n_downsampling": 0, "n_blocks": 0, "ndf": 1, "n_layers": 1},
        }
        for part, fields in least.items():
            for name, smallest in fields.items():
                value = getattr(getattr(self, part), name)
                if value < smallest:
                    raise UserError(
                        f"recipe.{part}.{name} = {value} is no size of a network; use "
                        f"{smallest} or more."
                    )
        if g.block not in ("full", "separable"):
            raise UserError(
                f"recipe.generator.block = {g.block!r} is neither 'full' nor 'separable'."
            )
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

    def face_generator(self) -> GlobalGenerator:
        f = self.face
        return GlobalGenerator(3, f.ngf, f.n_downsampling, f.n_blocks, jnp.dtype(self.dtype))

    def face_discriminator(self) -> NLayerDiscriminator:
        f = self.face
        return NLayerDiscriminator(f.ndf, f.n_layers, "batch", jnp.dtype(self.dtype))

    def _stage(self, name: str) -> Stage:
        return self.stages()[name]

    def trained(self, name: str) -> tuple[str, ...]:
        """Names of the networks that a stage updates."""
        if name != "face":
            return ("generator", "discriminator")
        extra = ("discriminator",) if self.main_discriminator_after >= 0 else ()
        return ("face_generator", "face_discriminator", *extra)

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
        params = {
            "generator": initialise(self.main_generator(name), keys[0], jnp.zeros((*shape, 6))),
            "discriminator": initialise(
                self.main_discriminator(name), keys[1], jnp.zeros((*shape, 12))
            ),
        }
        if name == "face":
            crop = jnp.zeros((1, self.face.size, self.face.size, 6))
            params["face_generator"] = initialise(self.face_generator(), keys[2], crop)
            params["face_discriminator"] = initialise(self.face_discriminator(), keys[3], crop)
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

    def learning_rate(self, name: str, step: Array | int) -> Array:
        """Linear over the stage's first warmup_steps, constant, then linear towards 0 over its last
        decay_steps."""
        stage = self._stage(name)
        left = jnp.asarray(stage.steps - step, jnp.float32)
        rate = stage.learning_rate * jnp.clip(left / max(stage.decay_steps, 1), 0.0, 1.0)
        if not stage.warmup_steps:
            return rate
        done = jnp.asarray(step + 1, jnp.float32)
        return rate * jnp.minimum(done / stage.warmup_steps, 1.0)

    def learning_rate_at(self, name: str, step: int) -> float:
        """The same as a plain number, for logs: asking the device would make the loop wait."""
        stage = self._stage(name)
        rate = stage.learning_rate * min((stage.steps - step) / max(stage.decay_steps, 1), 1.0)
        return rate * min((step + 1) / max(stage.warmup_steps, 1), 1.0)

    # --- training ------------------------------------------------------------------------------

    def train_step(
        self, state: State, batch: Mapping[str, Array], name: str, frozen: Params
    ) -> tuple[State, dict[str, Array]]:
        """One update of a stage's networks from one batch.

        batch: frames uint8 [B, T, H, W, 3]; keypoints float32 [B, T, 137, 3] in pixels of HxW;
        face_boxes float32 [B, T, 4]; pose_pictures uint8 [B, T, H, W, 3] of datasets that have
        ready ones, which are then taken instead of drawn keypoints. frozen: {"vgg19": parameters},
        or {} without that loss.
        Returns the new state and float32 scalars named as the reference logs them.
        """
        stage = self._stage(name)
        poses = self.draw(poses_of(batch), stage.height, stage.width)
        with jax.named_scope("input"):
            clip = Clip(poses, to_float(batch["frames"]), batch["face_boxes"])
        return two_frame_step(self, state, clip, name, frozen)

    def draw(self, poses: Array, height: int, width: int) -> Array:
        """Pose pictures [..., H, W, 3] in [0, 1] from keypoints [..., 137, 3], or from ready ones
        (uint8 [..., H, W, 3])."""
        return drawn(poses, self.pose_style, height, width)

    # --- synthesis -----------------------------------------------------------------------------

    def synthesize(
        self,
        params: Params,
        poses: Array,
        boxes: Array,
        carry: Array,
        name: str,
        recurrent: bool = True,
    ) -> tuple[Array, Array]:
        """Frames from poses, each from its own pose and the frame before it.

        poses: keypoints [N, 137, 3] in pixels of the stage's size, or ready pictures uint8
        [N, H, W, 3]; boxes [N, 4]; carry [1, H, W, 3]: the
        previous output, zeros at the beginning. recurrent = False shows the generator zeros each
        time instead. Returns float32 frames [N, H, W, 3] in [-1, 1] and, for each, what it leaves
        to the next one, [N, H, W, 3]: the raw output, as the reference feeds it back (a face crop
        plus its residual may leave [-1, 1]).
        """
        stage = self._stage(name)

        def frame(previous: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
            pose, box = inputs
            pose = self.draw(pose, stage.height, stage.width)[None]
            image = self.generate(params, pose, previous, box[None], name)
            return (image if recurrent else previous), image[0]

        _, frames = jax.lax.scan(frame, carry, (poses, boxes))
        after = frames if recurrent else jnp.broadcast_to(carry, frames.shape)
        return jnp.clip(frames, -1.0, 1.0), after

    def generate(
        self, params: Params, pose: Array, previous: Array, boxes: Array, name: str
    ) -> Array:
        """One frame [B, H, W, 3] from its pose picture and the previous frame, face included."""
        with jax.named_scope("generator"):
            inputs = jnp.concatenate([pose, previous], axis=-1)
            image = self.main_generator(name).apply(params["generator"], inputs)
        if "face_generator" not in params:
            return image
        with jax.named_scope("face_generator"):
            corners, mask = crop_corners(boxes, self.face.size, *image.shape[1:3])
            face = crop(image, corners, self.face.size)
            inputs = jnp.concatenate([crop(pose, corners, self.face.size), face], axis=-1)
            residual = self.face_generator().apply(params["face_generator"], inputs)
            face = face + residual * mask[:, None, None, None]
            if self.clamp_face:
                face = jnp.clip(face, -1.0, 1.0)
            return paste(image, face, corners)

    def synthesis_params(self, state: State) -> Params:
        """The parameters that synthesis uses: averaged where averaging is on."""
        params = {**state.params, **state.averaged}
        return {name: value for name, value in params.items() if name.endswith("generator")}


def to_float(frames: Array) -> Array:
    """uint8 0...255 -> float32 in [-1, 1]; floats pass through."""
    if frames.dtype != jnp.uint8:
        return frames
    return frames.astype(jnp.float32) / 127.5 - 1.0


def to_uint8(images: Array) -> Array:
    """float in [-1, 1] -> uint8, rounded to nearest."""
    return jnp.clip(jnp.round((images + 1.0) * 127.5), 0, 255).astype(jnp.uint8)


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


RECIPE = EverybodyDanceNow
