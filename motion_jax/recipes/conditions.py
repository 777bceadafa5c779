"""What a pix2pix generator is shown besides the skeleton, each kind in channels of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float32

from motion_jax.devices import layout
from motion_jax.errors import UserError, option
from motion_jax.nets.edges import canny
from motion_jax.pose.contours import draw_contours
from motion_jax.pose.draw import PoseStyle
from motion_jax.pose.pose_pictures import drawn, is_ready
from motion_jax.recipes.base import Shown

# What the generator sees: a pose (keypoints or a ready picture) alone, or with what else its
# conditions are made of: {"poses", and of these what is needed: "keypoints", "frames"}.
Seen = Array | Mapping[str, Array]


@dataclass(frozen=True)
class Conditions:
    """The channels of the condition picture, in this order."""

    skeleton: bool = True
    """The drawn pose, or the dataset's ready picture: three channels."""
    face_contour: bool = False
    """Lines along chin, brows, nose, eyes and lips (of the pose's 70 face points): one channel."""
    canny: bool = False
    """Edges of the frame, by Canny with 2/3 and 4/3 of its median grey level as thresholds: one
    channel. In transfer they are those of the driving video's frame, moved as its pose is; they fit
    only a driver with the target's own outline and scene."""

    @property
    def channels(self) -> int:
        return 3 * self.skeleton + self.face_contour + self.canny

    @property
    def shows(self) -> tuple[Shown, ...]:
        """See base.Recipe."""
        shows: list[Shown] = ["poses"]
        if self.face_contour:
            shows.append("keypoints")
        if self.canny:
            shows.append("frames")
        return tuple(shows)

    @property
    def plain(self) -> bool:
        """Whether the pose picture is all."""
        return self == Conditions()

    def check(self) -> None:
        """Raises UserError where nothing is shown."""
        if not self.channels:
            raise UserError(
                "recipe.conditions shows the generator nothing; switch on skeleton, face_contour "
                "or canny."
            )

    def seen(self, batch: Mapping[str, Array]) -> Seen:
        """What `pictures` needs of a batch or of moments."""
        ready = "pose_pictures" in batch
        poses = batch["pose_pictures"] if ready else batch["keypoints"]
        names = ["keypoints"] * (self.face_contour and ready) + ["frames"] * self.canny
        return {"poses": poses} | {name: batch[name] for name in names} if names else poses

    def pictures(
        self, seen: Seen, style: PoseStyle, height: int, width: int
    ) -> Float32[Array, "*n {height} {width} {self.channels}"]:
        """Condition pictures in [-1, 1].

        seen: as `seen` gives it: keypoints [..., 137, 3] in pixels of height x width, pictures
        uint8 [..., height, width, 3]. Raises UserError where what it needs is not in there.
        """
        parts: Mapping[str, Any] = seen if isinstance(seen, Mapping) else {"poses": seen}
        poses, channels = parts["poses"], []
        if self.skeleton:
            channels.append(drawn(poses, style, height, width))
        if self.face_contour:
            points = parts.get("keypoints", None if is_ready(poses) else poses)
            if points is None:
                raise UserError(NO_CONTOUR)
            with jax.named_scope("pose_drawing"):
                channels.append(draw_contours(points, height, width, style.stroke))
        if self.canny:
            if "frames" not in parts:
                raise UserError(NO_EDGES)
            channels.append(_edges(parts["frames"]))
        return 2.0 * jnp.concatenate(channels, axis=-1) - 1.0


NO_CONTOUR = (
    "The run is shown face contours (recipe.conditions.face_contour), and drawn poses have no "
    "face points: drive it with a video of a person, or train with "
    f"{option('recipe.conditions.face_contour', False)}."
)
NO_EDGES = (
    "The run is shown edges of frames (recipe.conditions.canny), and drawn poses come without "
    "frames: drive it with a video of a person, or train with "
    f"{option('recipe.conditions.canny', False)}."
)
EDGES_FLATTER = (
    "The generator is shown edges of the true frames, which a transfer does not have: it takes "
    "those of the driving video, so its results are worse than these figures."
)


def _edges(frames: Array) -> Array:
    """uint8 [..., H, W, 3] -> float32 [..., H, W, 1], 0 or 1."""

    def part(frames: Array) -> Array:
        if layout.place()[1] > 1:
            raise UserError(
                "Edges (recipe.conditions.canny) are followed over whole pictures, which "
                "devices.space shares among devices: use --devices.space 1, or switch canny off."
            )
        flat = frames.reshape(-1, *frames.shape[-3:])
        # One by one: each is followed until its own edges end.
        return jax.lax.map(canny, flat).reshape(*frames.shape[:-1], 1).astype(jnp.float32)

    with jax.named_scope("canny"):
        rows = layout.rows(frames.ndim)
        return layout.shared(part, (rows,), rows)(frames)
