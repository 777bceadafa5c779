"""A run, loaded once, for pictures and poses that come one at a time: what is served, and live.

What is made of a picture here is what `transfer` makes of a film of that one picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from motion_jax.data.crop import Region, cut_out, whole
from motion_jax.data.fitting import BLACK
from motion_jax.errors import UserError, option
from motion_jax.pairing.pair import letterboxed
from motion_jax.pose import densepose
from motion_jax.pose.face import face_boxes
from motion_jax.pose.ready import Fitting, ground
from motion_jax.recipes.conditions import NO_CONTOUR, NO_EDGES
from motion_jax.train.run import Run
from motion_jax.transfer.command import content_of
from motion_jax.transfer.film import Part
from motion_jax.transfer.pictures import check_drawable, driver_of
from motion_jax.transfer.player import Gaps, Networks, Player
from motion_jax.transfer.source import Moment, takes_frames_too, takes_poses


@dataclass(frozen=True)
class Seen:
    """What a run is shown, and which part of its picture is not bars.

    Attributes:
      shown: arrays by name, as `source.Moment` has them.
      part: (top, left, bottom, right) in pixels of the run's picture.
    """

    shown: Mapping[str, np.ndarray]
    part: Part


class Resident:
    """A run that waits for pictures.

    Args:
      run: loaded, and `tested` if need be.
      batch: pictures that stand alone and are made in one call (on a CPU they are made one by one).
      white: bars of frames that have other proportions are white, not as the run's own were.

    Attributes:
      name: the run folder's.
      takes: what it is shown, "poses" or "frames".
      densepose: whether the poses that it knows are DensePose.

    Raises UserError for a run that is shown more than one picture or pose, or none.
    """

    def __init__(self, run: Run, batch: int = 1, white: bool = False):
        if "keypoints" in run.config.recipe.shows:
            raise UserError(NO_CONTOUR)
        if takes_frames_too(run):
            raise UserError(NO_EDGES)
        if run.config.recipe.wants_photo:
            raise UserError(
                f"The run {run.folder} makes a photo move, whoever is in it, and comes with none; "
                "use motion-jax animate, or motion-jax live with a photo."
            )
        if run.config.recipe.detects:
            raise UserError(
                f"The run {run.folder} judges pictures and makes none; use motion-jax check FILE "
                f"{option('detector')} {run.folder}."
            )
        if not {"poses", "frames"} & set(run.config.recipe.shows):
            raise UserError(
                f"The run {run.folder} makes pictures out of noise, so that nothing drives it; "
                "give one whose recipe is shown poses or pictures."
            )
        self.run, self.name = run.as_identity(None), run.name
        self._driver = driver_of(run)
        self.takes = "poses" if takes_poses(run) and self._driver is None else "frames"
        # Metadata of the dataset whose poses (or domain A) the generator was shown.
        self._info: dict[str, Any] = run.dataset.get("domain_a") or run.dataset.get("info", {})
        self._white = white
        self.densepose = self.takes == "poses" and self._info.get("densepose") is not None
        self._moving = Networks(run, chunk=1)
        # Each picture is the first one of a film of its own.
        self._alone = Networks(run, recurrent=False, chunk=batch) if batch > 1 else None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of its pictures, bars included."""
        return self.run.size

    @property
    def body_known(self) -> bool:
        """Whether poses can be fitted to the target's body."""
        return bool(self.run.dataset.get("target_statistics"))

    @cached_property
    def _content(self) -> Part:
        # Once: it reads what the dataset says of every frame, which takes longer than drawing one.
        return content_of(self.run)

    def picture(self, image: UInt8[np.ndarray, "_ _ 3"]) -> Seen:
        """A picture as the run is shown it: a drawn pose, DensePose of any kind, or the frame that
        it translates. Raises UserError for a picture that cannot be that."""
        convert = image
        bars: Any = BLACK if self.takes == "frames" else None
        if self._driver is not None:
            convert = self._cut_as_driver(image)
        elif self.densepose:
            drawing = self._info["densepose"]
            reading = densepose.recognise([image], "the picture")
            densepose.check_drawing(reading, drawing, "The picture")
            convert = densepose.draw(reading.read(image), drawing)
            bars = densepose.draw(np.zeros(3, np.uint8), drawing)
        if bars is None:
            bars = ground(convert)
        elif self._white and self.takes == "frames":
            bars = (255, 255, 255)
        nearest = self._info.get("pose_interpolation", "area") == "nearest"
        fitting = Fitting(convert.shape[:2], self.size, nearest)
        picture = fitting.fitted(convert, np.array(bars, np.uint8))
        name = "pose_pictures" if takes_poses(self.run) else "frames"
        part = self._content if takes_poses(self.run) else fitting.content
        return Seen({name: picture, "face_boxes": np.zeros(4, np.float32)}, part)

    def pose(self, keypoints: Float[np.ndarray, "137 3"]) -> Seen:
        """A pose in pixels of the run's picture. Raises UserError where no joint is seen, the run
        is shown frames, or nobody knows how its poses were drawn."""
        if self.takes == "frames":
            raise UserError(f"The run {self.name} translates pictures; give it one, not keypoints.")
        check_drawable(self.run)
        if not (keypoints[:, 2] > 0).any():
            raise UserError("The pose shows no joint; give one with confidence above 0.")
        boxes = face_boxes(keypoints, *self.size)
        shown = {"keypoints": keypoints.astype(np.float32), "face_boxes": boxes}
        return Seen(shown, self._content)

    def alone(self, seen: Sequence[Seen]) -> list[UInt8[np.ndarray, "h w 3"]]:
        """A picture of each, as the first one of a film. All are of one kind (`picture`, `pose`).
        Not from two threads at once."""
        if self._alone is not None and len(seen) > 1:
            pictures = list(self._alone.begin([Moment(0.0, one.shown) for one in seen]))
            return [cut(*pair) for pair in zip(pictures, seen, strict=True)]
        made = []
        for one in seen:
            self._moving.reset()
            made.append(cut(next(iter(self._moving.begin([Moment(0.0, one.shown)]))), one))
        self._moving.reset()
        return made

    def player(self, gaps: Gaps = "hold") -> Player:
        """Plays a film of its own, each picture after the one before; programs and parameters are
        shared with the other players."""
        return Player(self._moving.another(), 1, gaps)

    def _cut_as_driver(self, image: np.ndarray) -> np.ndarray:
        assert self._driver is not None, "asked for by a run that has one"
        rows, columns = self._driver["height"], self._driver["width"]
        region = None
        for entry in self._driver["sources"]:
            if (entry.get("height"), entry.get("width")) == image.shape[:2] and "crop" in entry:
                region = Region(**entry["crop"])
                break
        place = region or whole(image.shape[0], image.shape[1], rows, columns)
        info = self.run.dataset["info"]
        picture = cut_out(image, place, rows, columns)
        size = info["height"], info["width"]
        return picture if picture.shape[:2] == size else letterboxed(picture, *size)


def cut(picture: UInt8[np.ndarray, "h w c"], seen: Seen) -> UInt8[np.ndarray, "_ _ c"]:
    """The part of a picture that is not bars."""
    top, left, bottom, right = seen.part
    if picture.shape[:2] == (bottom - top, right - left):
        return picture
    return np.ascontiguousarray(picture[top:bottom, left:right])
