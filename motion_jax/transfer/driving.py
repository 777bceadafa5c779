"""What a generator is shown of a driving video besides its poses: the frames, moved as the poses
were fitted to the target."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from motion_jax.errors import UserError
from motion_jax.progress import say

if TYPE_CHECKING:
    from motion_jax.pose.track import PoseTrack
    from motion_jax.transfer.options import TransferOptions


def seen(
    run: Any, track: "PoseTrack", keypoints: np.ndarray, options: "TransferOptions"
) -> "np.ndarray | Driven":
    """What the run's synthesizer is given: the keypoints, or where its recipe is shown frames too,
    both. Indexed by non-decreasing rows.

    track: the poses in pixels of the source; keypoints: [N, 137, 3], the same fitted to the target.
    """
    if "frames" not in run.config.recipe.shows:
        return keypoints
    return Driven(keypoints, Moved(options, placements(track.keypoints, keypoints), run.size))


@dataclass(frozen=True)
class Pictures:
    """The driver's side of a dataset of paired pictures (pics2pics): what the network is shown.

    Attributes:
      driver: what the dataset's options say of dataset A: "height", "width" and "sources".
      size: (height, width) of the pairs' dataset.
    """

    driver: dict[str, Any]
    size: tuple[int, int]

    def cutter(self, source: Path) -> Callable[[np.ndarray], np.ndarray]:
        """What makes of a frame of `source` a picture as the pairs have it: a video of the size
        that the driver's videos had is cut as those were, any other is shown whole."""
        from motion_jax.data.crop import Region, cut_out, whole
        from motion_jax.pairing.pair import letterboxed
        from motion_jax.video.reader import probe

        rows, columns = self.driver["height"], self.driver["width"]
        region = None
        if not source.is_dir():
            info = probe(source)
            for entry in self.driver["sources"]:
                if (entry.get("height"), entry.get("width")) == (info.height, info.width):
                    region = Region(**entry["crop"]) if "crop" in entry else None
                    break
            else:
                say(
                    f"{source} has {info.width}x{info.height}, unlike the videos that the run was "
                    "trained on: its frames are shown whole, and should be framed as those were."
                )

        def cut(image: np.ndarray) -> np.ndarray:
            place = region or whole(*image.shape[:2], rows, columns)
            picture = cut_out(image, place, rows, columns)
            return picture if picture.shape[:2] == self.size else letterboxed(picture, *self.size)

        return cut


def of_pictures(run: Any) -> Pictures | None:
    """Of a run that is shown pictures of the driver and no poses; None: of any other."""
    info = run.dataset.get("info", {})
    options = info.get("options", {})
    if options.get("kind") != "pics2pics" or options.get("made_by") != "pair":
        return None
    return Pictures(options["a"], (info["height"], info["width"]))


def check_ready(run: Any) -> None:
    """Raises UserError where drawn poses are not all that the run is shown."""
    from motion_jax.recipes.conditions import NO_CONTOUR, NO_EDGES

    shows = run.config.recipe.shows
    if "keypoints" in shows:
        raise UserError(NO_CONTOUR)
    if {"poses", "frames"} <= set(shows):
        raise UserError(NO_EDGES)


def placements(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """float32 [N, 2, 3]: for each frame the scale (of each axis) and shift that bring its keypoints
    [N, 137, 3] from `before` to `after`, as cv2.warpAffine takes it.

    Fitted by least squares to the points that both show; a frame with fewer than two takes those of
    its neighbour.
    """
    found = np.full((len(before), 2, 3), np.nan)
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        both = (old[:, 2] > 0) & (new[:, 2] > 0)
        if both.sum() < 2:
            continue
        x, y = np.asarray(old[both, :2], float), np.asarray(new[both, :2], float)
        away = x - x.mean(0)
        spread = (away**2).sum(0)
        if (spread < 1e-6).any():
            continue
        scale = (away * (y - y.mean(0))).sum(0) / spread
        found[i] = np.column_stack([np.diag(scale), y.mean(0) - scale * x.mean(0)])
    known = np.flatnonzero(np.isfinite(found[:, 0, 0]))
    if not len(known):
        raise UserError(
            "The poses of the source show too little to place its frames in the target's picture; "
            "use a source that shows the body."
        )
    nearest = known[np.abs(np.arange(len(found))[:, None] - known).argmin(1)]
    return found[nearest].astype(np.float32)


class Moved:
    """The chosen frames of the source in the target's picture, uint8 [n, height, width, 3]; what
    lies outside the source repeats its edge. Indexed by non-decreasing rows [n]."""

    def __init__(self, options: "TransferOptions", places: np.ndarray, size: tuple[int, int]):
        self._options, self._places, self._size = options, places, size
        self._iterator: Iterator[Any] | None = None
        self._at = -1
        self._picture = np.zeros((*size, 3), np.uint8)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return np.stack([self._one(int(row)) for row in rows])

    def _one(self, row: int) -> np.ndarray:
        from motion_jax.video.reader import read_frames

        if self._iterator is None or row < self._at:
            span = {"start": self._options.start, "end": self._options.end}
            self._iterator = read_frames(self._options.source, **span, fps=self._options.fps)
            self._at = -1
        while self._at < row:
            image = next(self._iterator).image
            self._at += 1
            if self._at == row:
                self._picture = moved(image, self._places[row], *self._size)
        return self._picture


def moved(image: np.ndarray, place: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 [*, *, 3] by a placement [2, 3] -> uint8 [height, width, 3]. Made smaller by area
    averages first, or fine patterns would become edges."""
    rows, columns = image.shape[:2]
    # Upside down or hugely enlarged people are misjudged poses.
    scale = np.clip(np.abs([place[0, 0], place[1, 1]]), 1 / 64, 64)
    shrunk = np.minimum(scale, 1.0)
    size = max(1, round(columns * float(shrunk[0]))), max(1, round(rows * float(shrunk[1])))
    if size != (columns, rows):
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    # From pixels of the smaller picture; half a pixel because positions are those of corners.
    rest = place[:, :2] @ np.diag([columns / size[0], rows / size[1]])
    shift = place[:, 2] + rest.sum(1) * 0.5 - 0.5
    matrix = np.column_stack([rest, shift]).astype(np.float32)
    return cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


class Driven:
    """Keypoints with the frames they came from, as a recipe's `seen` gives them of a batch."""

    def __init__(self, poses: np.ndarray, frames: Moved):
        self._poses, self._frames = poses, frames

    def __len__(self) -> int:
        return len(self._poses)

    def __getitem__(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {"poses": self._poses[rows], "frames": self._frames[rows]}
