"""Pose pictures that were drawn elsewhere, from a video or a folder, as a network is to see them.

Skeleton videos (DWPose, OpenPose), the label folders of Everybody Dance Now, DensePose videos. The
pictures stream: one is in memory at a time, and each is decoded once where they are asked for in
order.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, Int, Real, UInt8

from motion_jax.errors import UserError, option
from motion_jax.video.image_files import picture_files, read_picture
from motion_jax.video.reader import frame_times, read_frames

# Proportions this close are the same: sizes are rounded to whole pixels.
SAME_SHAPE = 0.02
FOLDER_FPS = 25.0
# The ground of drawn poses is one colour: measured, 95 % of the pixels for skeletons and 53 to 83 %
# for DensePose, against 44 % or less for people and cartoons (a blue screen: 32 %). No channel may
# differ by more than GROUND_LEVELS, so that compression does not count.
GROUND_SHARE = 0.5
GROUND_LEVELS = 24


@dataclass(frozen=True)
class Fitting:
    """How pictures of one shape become those of another, undistorted.

    Attributes:
      shape: (height, width) of the pictures; size: of what is made of them.
      nearest: make them smaller by taking pixels, not by averaging areas.
    """

    shape: tuple[int, int]
    size: tuple[int, int]
    nearest: bool = False

    @property
    def undistorted(self) -> bool:
        """Whether bars are added because the proportions differ."""
        (height, width), (rows, columns) = self.size, self.shape
        return abs(height / width * columns / rows - 1) > SAME_SHAPE

    @property
    def content(self) -> tuple[int, int, int, int]:
        """(top, left, bottom, right): where in the results the picture is."""
        height, width = self.size
        rows, columns = height, width
        if self.undistorted:
            scale = min(height / self.shape[0], width / self.shape[1])
            rows, columns = (max(1, round(scale * side)) for side in self.shape)
        top, left = (height - rows) // 2, (width - columns) // 2
        return top, left, top + rows, left + columns

    def fitted(
        self, image: UInt8[np.ndarray, "_ _ 3"], bars: UInt8[np.ndarray, "3"]
    ) -> UInt8[np.ndarray, "h w 3"]:
        """A picture of `shape` at `size`; bars: the colour of those."""
        height, width = self.size
        top, left, bottom, right = self.content
        rows, columns = bottom - top, right - left
        if image.shape[:2] != (rows, columns):
            smaller = cv2.INTER_NEAREST_EXACT if self.nearest else cv2.INTER_AREA
            how = cv2.INTER_CUBIC if rows > image.shape[0] and not self.nearest else smaller
            image = cv2.resize(image, (columns, rows), interpolation=how)
        if (rows, columns) == (height, width):
            return np.ascontiguousarray(image)
        whole = np.empty((height, width, 3), np.uint8)
        whole[:] = bars
        whole[top : top + rows, left : left + columns] = image
        return whole


class ReadyPoses:
    """A sequence of N pose pictures, uint8 [height, width, 3] RGB.

    Indexing with an integer gives one, with an array of non-decreasing integers [n] a stack of n.
    Going backwards begins again from the start of the source.

    Attributes:
      times: float64 [N], seconds at which they are shown.
      shape: (height, width) of the source.
      undistorted: whether bars were added because the source has other proportions.
    """

    def __init__(
        self,
        source: Path,
        height: int,
        width: int,
        *,
        interpolation: str = "area",
        start: float | None = None,
        end: float | None = None,
        fps: float | None = None,
        convert: Callable[[UInt8[np.ndarray, "_ _ 3"]], UInt8[np.ndarray, "_ _ 3"]] | None = None,
        bars: Sequence[int] | None = None,
    ):
        """
        Args:
          source: a video, or a folder of numbered pictures (`fps` a second, 25 by default).
          height, width: what the pictures are resized to; a source of other proportions keeps its
            own and gets bars of its ground's colour.
          interpolation: "nearest" or "area", used to make them smaller.
          start, end, fps: as for `video.reader.read_frames`.
          convert: makes of each RGB picture of the source the pose picture.
          bars: colour [3] of the bars; None: that of the ground.
        Raises UserError where there is no picture.
        """
        self.source, self.size = Path(source), (height, width)
        self._span: dict[str, Any] = {"start": start, "end": end, "fps": fps}
        self._convert = convert
        self._files: list[Path] = []
        if self.source.is_dir():
            self._list(start, end, fps or FOLDER_FPS)
        else:
            self.times = frame_times(self.source, **self._span)
        first = next(self._raw())
        self.shape = first.shape[:2]
        self._ground = ground(first) if bars is None else np.array(bars, np.uint8)
        self._fitting = Fitting(self.shape, self.size, interpolation == "nearest")
        self.undistorted = self._fitting.undistorted
        self._iterator: Iterator[np.ndarray] | None = None
        self._at, self._picture = -1, first

    def _list(self, start: float | None, end: float | None, fps: float) -> None:
        files = picture_files(self.source)
        times = np.arange(len(files)) / fps
        chosen = (times >= (start or 0.0)) & (times < (np.inf if end is None else end))
        self._files = [file for file, taken in zip(files, chosen, strict=True) if taken]
        self.times = times[chosen]
        if not self._files:
            raise UserError(
                f"The folder {self.source} has no PNG or JPEG pictures between {option('start')} "
                f"and {option('end')}; give a folder of pose pictures or a video of them."
            )

    def _raw(self) -> Iterator[np.ndarray]:
        pictures = self._decoded()
        return pictures if self._convert is None else map(self._convert, pictures)

    def _decoded(self) -> Iterator[np.ndarray]:
        if self._files:
            for file in self._files:
                yield np.asarray(read_picture(file))
            return
        for frame in read_frames(self.source, **self._span):
            yield frame.image

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        for image in self._raw():
            yield self._fitted(image)

    def __getitem__(self, index: int | Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "*n h w 3"]:
        if np.ndim(index):
            return np.stack([self._one(int(i)) for i in np.asarray(index)])
        return self._one(int(index))

    def _one(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(f"pose picture {index} of {len(self)}")
        if self._iterator is None or index < self._at:
            self._iterator, self._at = self._raw(), -1
        while self._at < index:
            image = next(self._iterator)
            self._at += 1
            if self._at == index:
                self._picture = self._fitted(image)
        return self._picture

    @property
    def content(self) -> tuple[int, int, int, int]:
        """(top, left, bottom, right): where in the pictures the source's picture is."""
        return self._fitting.content

    def place_boxes(self, boxes: Real[np.ndarray, "n 4"]) -> Float32[np.ndarray, "n 4"]:
        """Boxes (top, left, bottom, right) in pixels of the source → in pixels of the pictures;
        empty ones stay zero."""
        (height, width), (rows, columns) = self.size, self.shape
        down, right = height / rows, width / columns
        if self.undistorted:
            down = right = min(down, right)
        shift = np.array([(height - down * rows) / 2, (width - right * columns) / 2])
        known = boxes[:, 2:3] > boxes[:, :1]
        placed = boxes * np.tile([down, right], 2) + np.tile(shift, 2)
        return np.where(known, placed, 0).astype(np.float32)

    def _fitted(self, image: np.ndarray) -> np.ndarray:
        """Resized to `size`, undistorted, with bars where the proportions differ."""
        if image.shape[:2] != self.shape:
            raise UserError(
                f"The pose pictures of {self.source} have different sizes ({self.shape[1]}x"
                f"{self.shape[0]} and {image.shape[1]}x{image.shape[0]}); give them one size."
            )
        return self._fitting.fitted(image, self._ground)


def looks_drawn(path: Path, start: float | None = None, end: float | None = None) -> bool:
    """Whether one colour fills most of a video's first picture and of its middle one, as it does
    behind drawn poses."""
    times = frame_times(path, start=start, end=end)
    pictures = [
        next(read_frames(path, start=float(t))).image for t in (times[0], times[len(times) // 2])
    ]
    return all(_ground_share(picture) >= GROUND_SHARE for picture in pictures)


def _ground_share(image: np.ndarray) -> float:
    """Share of the pixels that have the most common colour, or nearly."""
    pixels = image.reshape(-1, 3).astype(np.int32)
    bins = pixels // 16 @ np.array([256, 16, 1])
    colour = pixels[bins == np.bincount(bins).argmax()].mean(0)
    return float((np.abs(pixels - colour).max(1) <= GROUND_LEVELS).mean())


def ground(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "3"]:
    """The colour that most pixels of a picture's border have: a drawn skeleton's ground."""
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return np.array(Counter(map(tuple, border.tolist())).most_common(1)[0][0], np.uint8)
