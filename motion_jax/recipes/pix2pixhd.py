"""pix2pixHD (Wang et al., CVPR 2018) from pose pictures to frames: one frame at a time.

The generator sees a pose picture, a multiscale discriminator the pose picture and the frame. Two
stages: global (a GlobalGenerator at half size) and local (a LocalEnhancer at full size). Everybody
Dance Now is this with two frames at once and a face stage.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Float32

from motion_jax.data.reading import Window
from motion_jax.pose.pose_pictures import poses_of
from motion_jax.recipes.base import Moments
from motion_jax.recipes.coarse_to_fine import (
    CoarseToFine,
    Discriminator,
    Frames,
    Generator,
    Losses,
    Scene,
    Stage,
)
from motion_jax.recipes.network import applied
from motion_jax.recipes.state import Params

# What configs of this recipe are made of.
__all__ = ["RECIPE", "Discriminator", "Generator", "Losses", "Pix2PixHD", "Stage"]


@dataclass(frozen=True)
class Pix2PixHD(CoarseToFine):
    """The recipe: hyperparameters as fields, pure functions as methods."""

    name = "pix2pixhd"
    # Pose; pose and image.
    generator_channels = 3
    discriminator_channels = 6

    def validate(self) -> None:
        self.check_networks({})
        self.check_perceptual()

    def generated(self, params: Params, scene: Scene, name: str, key: Array) -> Frames:
        def frames(poses: Array) -> Array:
            return self.frames(params, poses, name)

        frames = jax.checkpoint(frames) if self.rematerialise else frames
        poses = scene.poses
        return frames(poses.reshape(-1, *poses.shape[2:])).reshape(scene.images.shape)

    def frames(
        self, params: Params, poses: Float[Array, "n h w 3"], name: str
    ) -> Float[Array, "n h w 3"]:
        """Frames from their pose pictures, each by itself."""
        with jax.named_scope("generator"):
            return applied(self.main_generator(name), params["generator"], poses)

    def judged(self, poses: Frames, images: Frames) -> Float[Array, "b*t h w 6"]:
        """Pose and image of every frame."""
        pairs = jnp.concatenate([poses, images], axis=-1)
        return pairs.reshape(-1, *pairs.shape[2:])

    def draw(
        self, poses: Array, height: int, width: int
    ) -> Float32[Array, "*n {height} {width} 3"]:
        """As CoarseToFine's, but in [-1, 1], as pix2pixHD has every picture."""
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
