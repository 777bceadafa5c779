"""Recipes whose networks may see only an area around the person, of frames before a plate."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int32

from motion_jax.data.advice import percent
from motion_jax.data.pairs import reduction, stretches
from motion_jax.data.records import PoseFrames
from motion_jax.data.settings import Data
from motion_jax.errors import UserError, setting
from motion_jax.pose.pose_pictures import READY
from motion_jax.recipes import area
from motion_jax.recipes.base import Moments, Recipe


class InAreas(Recipe):
    """What such a recipe has besides its fields of these names.

    Attributes:
      area: "person": its networks see areas of the frames, else whole ones.
      area_height, area_width: of the areas, in pixels of the last stage; 0: not found yet, and the
        whole frame until then.
    """

    area: Literal["frame", "person"]
    area_height: int
    area_width: int

    @property
    def in_areas(self) -> bool:
        """Whether the networks see areas, whose size is known."""
        return self.area == "person" and self.area_height > 0

    @property
    def frame_size(self) -> tuple[int, int]:
        """(height, width) of the pictures of the last stage."""
        last = list(self.stages().values())[-1]
        return last.height, last.width

    def drawn_size(self, name: str) -> tuple[int, int]:
        """(height, width) of what the networks of a stage see: its pictures, or areas of them."""
        stage = self.stages()[name]
        if not self.in_areas:
            return stage.height, stage.width
        height, width = self.frame_size
        return self.area_height * stage.height // height, self.area_width * stage.width // width

    def least_area(self) -> int:
        """The least side of an area, in pixels of the last stage."""
        return 2 * self.area_multiple

    @property
    def area_multiple(self) -> int:
        """Of which the sides of an area must be multiples, in pixels of the last stage."""
        own = {name: self.size_multiple(name) for name in self.stages()}
        return math.lcm(*(own[name] * times for name in own for times in self._times(name)))

    @property
    def area_step(self) -> int:
        """Pixels of the last stage in which an area moves: whole ones in every stage."""
        return math.lcm(*(times for name in self.stages() for times in self._times(name)))

    def _times(self, name: str) -> tuple[int, int]:
        """How many times as high and as wide as a stage's pictures those of the last are."""
        (height, width), stage = self.frame_size, self.stages()[name]
        return height // stage.height, width // stage.width

    def _geometry(self, name: str) -> tuple[tuple[int, int], tuple[int, int], int]:
        """(size of the area, of the frame, step) in pixels of a stage."""
        stage = self.stages()[name]
        step = max(self.area_step * stage.height // self.frame_size[0], 1)
        return self.drawn_size(name), (stage.height, stage.width), step

    # --- before training -----------------------------------------------------------------------

    def check_area(self) -> None:
        """Raises UserError for an area that cannot be."""
        if self.area not in ("frame", "person"):
            raise UserError(
                f"{setting('recipe.area')} = {self.area!r} is neither 'frame' nor 'person'."
            )
        if self.area == "frame":
            if self.area_height or self.area_width:
                raise UserError(
                    f"{setting('recipe.area_height')} = {self.area_height} and recipe.area_width = "
                    f"{self.area_width} are for recipe.area = 'person'; leave them out."
                )
            return
        if self.background != "plate":
            raise UserError(
                f"{setting('recipe.area')} = 'person' leaves the rest of the frame to the plate; "
                f"set {setting('recipe.background')} = 'plate', or recipe.area = 'frame'."
            )
        frame = self.frame_size
        for name, stage in self.stages().items():
            if frame[0] % stage.height or frame[1] % stage.width:
                raise UserError(
                    f"{setting(f'recipe.{name}_stage')} is {stage.width}x{stage.height}, which is "
                    f"no whole fraction of the last stage's {frame[1]}x{frame[0]}, as "
                    f"{setting('recipe.area')} = 'person' needs."
                )
        if not (self.area_height or self.area_width):
            return
        for side, most in zip(("height", "width"), frame, strict=True):
            value, least = getattr(self, f"area_{side}"), self.least_area()
            if value % self.area_multiple or not least <= value <= most:
                raise UserError(
                    f"{setting(f'recipe.area_{side}')} = {value} is no multiple of "
                    f"{self.area_multiple} from {least} to {most}; leave both sides out, and they "
                    "are found when training begins."
                )

    def check_dataset(self, dataset: PoseFrames) -> None:
        if self.area == "person" and (dataset.info.pose_pictures or not dataset.has_keypoints):
            raise UserError(
                f"The dataset {dataset.folder} has poses as pictures, which do not say where the "
                f"person is; train with {setting('recipe.area')} = 'frame'."
            )

    def fitted(self, dataset: PoseFrames, data: Data, anew: bool = False) -> Self:
        if self.area != "person" or (self.in_areas and not anew):
            return self
        frame = self.frame_size
        factor = reduction(dataset, *frame, data.augment.crop)
        height, width = area.size_found(
            dataset.keypoints() / np.array([factor, factor, 1], np.float32),
            stretches(dataset, data.holdout, "train"),
            max(self.reading(name).frames for name in self.stages()),
            frame,
            step=self.area_step,
            multiple=self.area_multiple,
            least=self.least_area(),
        )
        recipe: Any = self  # its class has these fields
        return replace(recipe, area_height=height, area_width=width)

    def found_out(self) -> str:
        if not self.in_areas:
            return ""
        size, (height, width) = (self.area_height, self.area_width), self.frame_size
        share = size[0] * size[1] / (height * width)
        return (
            f"The networks see an area of {size[1]}x{size[0]} around the person, "
            f"{percent(share)} of each frame of {width}x{height}."
        )

    # --- in training ---------------------------------------------------------------------------

    def place_of(self, keypoints: Float[Array, "*n t 137 3"], name: str) -> Int32[Array, "*n 2"]:
        """(top, left) of the area of T moments, in pixels of the stage."""
        return area.corners(keypoints, *self._geometry(name))

    def within(self, batch: Mapping[str, Array], name: str) -> Mapping[str, Array]:
        """The areas of a batch's windows, where the networks see areas. One place holds all frames
        of a window, since judges compare them.

        Raises UserError where devices share the rows of pictures.
        """
        if not self.in_areas:
            return batch
        with jax.named_scope("area"):
            area.check_rows()
            place = self.place_of(batch["keypoints"], name)
            shape = *batch["keypoints"].shape[:2], 2
            each = jnp.broadcast_to(place[:, None], shape)
            return area.within(batch, each, self.drawn_size(name))

    # --- in synthesis --------------------------------------------------------------------------

    def check_seen(self, moments: Moments) -> None:
        """Raises UserError for moments that do not say where the person is, if need be: ready pose
        pictures."""
        if self.in_areas and READY in moments:
            raise UserError(
                "Ready pose pictures do not say where the person is, around whom alone this run "
                f"draws ({setting('recipe.area')} = 'person'); give a video, or keypoints."
            )

    def around(self, seen: Any, name: str) -> tuple[Any, Int32[Array, "2"] | None]:
        """What is seen of a moment as the networks see it, and where in the frame that is; None:
        it is the frame."""
        if not self.in_areas:
            return seen, None
        with jax.named_scope("area"):
            place = self.place_of(seen["poses"][None], name)
            return area.within(seen, place, self.drawn_size(name)), place

    def laid_back(
        self,
        picture: Float[Array, "h w c"],
        place: Int32[Array, "2"] | None,
        ground: Float[Array, "H W 3"] | None,
        name: str,
    ) -> Float[Array, "H W c"]:
        """The frame of which the picture is what `around` gave: see area.laid_back."""
        if place is None:
            return picture
        with jax.named_scope("area"):
            return area.laid_back(picture, place, self._geometry(name)[1], ground)

    def beyond(self, keypoints: np.ndarray, name: str) -> Bool[np.ndarray, " n"]:
        if not self.in_areas:
            return super().beyond(keypoints, name)
        return area.beyond(keypoints, *self._geometry(name))
