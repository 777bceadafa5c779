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

from motion_jax.data.reading import Need, Window
from motion_jax.pose.pose_pictures import poses_of
from motion_jax.recipes.base import Moments
from motion_jax.recipes.coarse_to_fine import CoarseToFine, Frames, Scene
from motion_jax.recipes.coarse_to_fine_settings import Discriminator, Generator, Stage
from motion_jax.recipes.network import applied
from motion_jax.recipes.picture_losses import Losses
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

    def generated(self, params: Params, scene: Scene, name: str, key: Array) -> Array:
        def frames(poses: Array) -> Array:
            return self.frames(params, poses, name)

        frames = jax.checkpoint(frames) if self.rematerialise else frames
        poses = scene.poses
        made = frames(poses.reshape(-1, *poses.shape[2:]))
        return self.composed(made.reshape(*poses.shape[:-1], made.shape[-1]), scene)

    def frames(
        self, params: Params, poses: Float[Array, "n h w 3"], name: str
    ) -> Float[Array, "n h w c"]:
        """What is made of pose pictures, each by itself: frames, or with a plate matte.py's four
        channels."""
        with jax.named_scope("generator"):
            return applied(self.main_generator(name), params["generator"], poses)

    def guided(self, scene: Scene) -> Float[Array, "n h w 3"]:
        return scene.poses.reshape(-1, *scene.poses.shape[2:])

    def judged(self, poses: Frames, images: Frames) -> Float[Array, "b*t h w 6"]:
        """Pose and image of every frame."""
        pairs = jnp.concatenate([poses, images], axis=-1)
        return pairs.reshape(-1, *pairs.shape[2:])

    def draw(
        self, poses: Array, height: int, width: int, rows: int | None = None
    ) -> Float32[Array, "*n rows {width} 3"]:
        """As CoarseToFine's, but in [-1, 1], as pix2pixHD has every picture."""
        return 2.0 * super().draw(poses, height, width, rows) - 1.0

    def reading(self, name: str) -> Window:
        stage = self._stage(name)
        needs: tuple[Need, ...] = ("poses", "plates") if self.plated else ("poses",)
        return Window(stage.height, stage.width, stage.batch_size, needs)

    def seen(self, moments: Moments) -> Array | dict[str, Array]:
        self.check_seen(moments)
        if not self.plated:
            return poses_of(moments)
        plates = {"plates": moments["plates"]} if "plates" in moments else {}
        return {"poses": poses_of(moments)} | plates

    def frame(
        self, params: Params, seen: Array | dict[str, Array], carry: tuple[()], name: str
    ) -> tuple[Array, tuple[()]]:
        """A frame from its pose."""
        shown, place = self.around(seen, name)
        pose = self.pictured(shown["poses"] if isinstance(shown, dict) else shown, name)[None]
        made = self.frames(params, pose, name)[0]
        return self.finished(made, shown, seen, place, name), carry


RECIPE = Pix2PixHD
