"""Pictures of any shape in a dataset's frame: stretched, letterboxed or cropped; and where the
picture then is, so that bars are cut off again and are not measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32
from PIL import Image

Fit = Literal["stretch", "letterbox", "crop"]
BLACK = (0, 0, 0)
# (top, left, bottom, right) in pixels, behind the last row and column.
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Placement:
    """Where a picture goes in a frame.

    Attributes:
      size: (height, width) of the frame.
      part: (left, top, right, bottom) of the picture that is shown, in its pixels.
      content: where it is in the frame; the rest is bars.
    """

    size: tuple[int, int]
    part: tuple[float, float, float, float]
    content: Box

    def picture(
        self, image: Image.Image, method: Image.Resampling, bars: Sequence[int] | np.ndarray = BLACK
    ) -> Image.Image:
        """The picture in its frame, with bars of an RGB colour."""
        top, left, bottom, right = self.content
        size = right - left, bottom - top
        if image.size != size or self.part != (0, 0, *image.size):
            image = image.resize(size, method, box=self.part)
        if size == self.size[::-1]:
            return image
        whole = Image.new("RGB", self.size[::-1], tuple(int(level) for level in bars))
        whole.paste(image, (left, top))
        return whole

    def points(self, points: Float[np.ndarray, "*n 3"]) -> Float32[np.ndarray, "*n 3"]:
        """(x, y, confidence) of the picture → the same in pixels of the frame."""
        top, left, bottom, right = self.content
        x0, y0, x1, y1 = self.part
        placed = np.array(points, np.float32)
        placed[..., 0] = (placed[..., 0] - x0) * ((right - left) / (x1 - x0)) + left
        placed[..., 1] = (placed[..., 1] - y0) * ((bottom - top) / (y1 - y0)) + top
        return np.where(placed[..., 2:] > 0, placed, np.float32(0))


def place(source: tuple[int, int], size: tuple[int, int], fit: Fit = "stretch") -> Placement:
    """Where a picture of `source` (height, width) goes in a frame of `size`.

    fit: "stretch": all of it fills the frame; "letterbox": all of it, undistorted, in the middle
    between bars; "crop": its middle, undistorted, fills the frame.
    """
    (rows, columns), (height, width) = source, size
    part: tuple[float, float, float, float] = (0, 0, columns, rows)
    content = (0, 0, height, width)
    if fit == "letterbox":
        scale = min(height / rows, width / columns)
        down, across = (max(1, round(scale * side)) for side in source)
        top, left = (height - down) // 2, (width - across) // 2
        content = top, left, top + down, left + across
    elif fit == "crop":
        scale = max(height / rows, width / columns)
        high, wide = height / scale, width / scale
        y, x = max((rows - high) / 2, 0.0), max((columns - wide) / 2, 0.0)
        part = x, y, min(x + wide, columns), min(y + high, rows)
    return Placement(size, part, content)


def in_frame(box: Box, dataset: tuple[int, int], run: tuple[int, int], crop: bool = False) -> Box:
    """A box of a dataset's frame in the pictures of a run made on it: whole pixels inside it.

    dataset, run: (height, width). crop: the run's pictures are the middle of the dataset's, at the
    same scale, and not all of it.
    """
    found = []
    for axis, (before, now) in enumerate(zip(dataset, run, strict=True)):
        low, high = box[axis], box[axis + 2]
        if crop:
            shift = (before - now) // 2
            low, high = low - shift, high - shift
        else:
            low, high = np.ceil(low * now / before), np.floor(high * now / before)
        found.append((int(np.clip(low, 0, now - 1)), int(np.clip(high, 1, now))))
    (top, bottom), (left, right) = found
    return top, left, max(bottom, top + 1), max(right, left + 1)
