"""pix2pixHD (Wang et al., CVPR 2018) from pose pictures to frames: one frame at a time.

The generator sees a pose picture, a multiscale discriminator the pose picture and the frame. Two
stages: global (a GlobalGenerator at half size) and local (a LocalEnhancer at full size). Everybody
Dance Now is this with two frames at once and a face stage.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from motion_jax.data.reading import Window
from motion_jax.pose.draw import PoseStyle
from motion_jax.pose.pose_pictures import pose_pictures, poses_of
from motion_jax.recipes.base import Moments
from motion_jax.recipes.coarse_to_fine import (
    CoarseToFine,
    Discriminator,
    Generator,
    Losses,
    Scene,
    Stage,
)
from motion_jax.recipes.network import applied
from motion_jax.recipes.pixels import to_float
from motion_jax.recipes.state import Kind, Params, State


@dataclass(frozen=True)
class Pix2PixHD(CoarseToFine):
    """The recipe: hyperparameters as fields, pure functions as methods."""

    # Pose; pose and image.
    generator_channels = 3
    discriminator_channels = 6

    generator: Generator = field(default_factory=Generator)
    discriminator: Discriminator = field(default_factory=Discriminator)
    losses: Losses = field(default_factory=Losses)
    global_stage: Stage = field(default_factory=Stage)
    local_stage: Stage = field(default_factory=Stage)
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
        return "pix2pixhd"

    def stages(self) -> dict[str, Stage]:
        """The stages to run, in order."""
        every = {"global": self.global_stage, "local": self.local_stage}
        return {name: stage for name, stage in every.items() if stage.steps > 0}

    def validate(self) -> None:
        """Raises UserError where the fields contradict each other or the networks' needs."""
        self.check_networks({})
        self.check_perceptual()

    def train_step(
        self,
        state: State,
        batch: Mapping[str, Array],
        name: str,
        frozen: Params,
        kind: Kind = (),
    ) -> tuple[State, dict[str, Array]]:
        """One update of both networks from one batch.

        batch: frames uint8 [B, 1, H, W, 3] and keypoints float32 [B, 1, 137, 3] or pose_pictures
        uint8 [B, 1, H, W, 3]; frozen: {"vgg19": parameters}, or {} without that loss. Returns the
        new state and float32 scalars named as the reference logs them.
        """
        stage = self._stage(name)
        poses = pose_pictures(batch, self.pose_style, stage.height, stage.width)
        with jax.named_scope("input"):
            scene = Scene(poses, to_float(batch["frames"]), frozen)
        return self.step(state, scene, name)

    def generated(self, params: Params, scene: Scene, name: str, key: Array) -> Array:
        def frames(poses: Array) -> Array:
            return self.frames(params, poses, name)

        frames = jax.checkpoint(frames) if self.rematerialise else frames
        poses = scene.poses
        return frames(poses.reshape(-1, *poses.shape[2:])).reshape(scene.images.shape)

    def frames(self, params: Params, poses: Array, name: str) -> Array:
        """Frames [N, H, W, 3] from their pose pictures, each by itself."""
        with jax.named_scope("generator"):
            return applied(self.main_generator(name), params["generator"], poses)

    def judged(self, poses: Array, images: Array) -> Array:
        """[B, T, H, W, 3] twice -> [B * T, H, W, 6]."""
        pairs = jnp.concatenate([poses, images], axis=-1)
        return pairs.reshape(-1, *pairs.shape[2:])

    def draw(self, poses: Array, height: int, width: int) -> Array:
        """Pose pictures [..., H, W, 3] in [-1, 1], as pix2pixHD has every picture, from keypoints
        [..., 137, 3] or from ready ones (uint8 [..., H, W, 3])."""
        return 2.0 * super().draw(poses, height, width) - 1.0

    def reading(self, name: str) -> Window:
        stage = self._stage(name)
        return Window(stage.height, stage.width, stage.batch_size, ("poses",))

    def seen(self, moments: Moments) -> Array:
        return poses_of(moments)

    def frame(
        self, params: Params, seen: Array, carry: tuple[()], name: str
    ) -> tuple[Array, tuple[()]]:
        """A frame from its pose."""
        stage = self._stage(name)
        pose = self.draw(seen, stage.height, stage.width)[None]
        return self.frames(params, pose, name)[0], carry


RECIPE = Pix2PixHD
