"""A region of every picture of a video: a half of a side by side video, without its bars."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped, UInt8

from motion_jax.errors import UserError

# A row or column is bar where so much of it has the bar's colour; a watermark may cover the rest.
_BAR_SHARE = 0.8
_BAR_LEVELS = 20  # Compression rings next to an edge.


@dataclass(frozen=True)
class Cut:
    """Whole pixels of a picture: top, left, bottom, right (behind the last row and column)."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.bottom - self.top, self.right - self.left

    def of(self, picture: Shaped[np.ndarray, "height width *c"]) -> Shaped[np.ndarray, "h w *c"]:
        """A view of the region."""
        return picture[self.top : self.bottom, self.left : self.right]

    @property
    def text(self) -> str:
        """As --region takes it: X,Y,WIDTH,HEIGHT."""
        height, width = self.size
        return f"{self.left},{self.top},{width},{height}"


def find_region(
    text: str | None,
    pictures: Sequence[UInt8[np.ndarray, "h w 3"]],
    option: str = "--region",
) -> Cut:
    """Where the wanted region of pictures of one size lies.

    text: None (all of it), "left" or "right" (that half without white bars around what it shows) or
    "X,Y,WIDTH,HEIGHT" in pixels. pictures: some of the source; what is bar in all of them is cut.
    Raises UserError: no region, or one that is not inside the picture.
    """
    height, width = pictures[0].shape[:2]
    if text is None:
        return Cut(0, 0, height, width)
    if text in ("left", "right"):
        middle = width // 2
        half = Cut(0, 0, height, middle) if text == "left" else Cut(0, middle, height, width)
        return _without_bars(half, pictures)
    if not re.fullmatch(r"\d+,\d+,\d+,\d+", text):
        raise UserError(
            f"{option} {text} is no region; give left, right or X,Y,WIDTH,HEIGHT in pixels."
        )
    x, y, across, down = map(int, text.split(","))
    if not (across and down and x + across <= width and y + down <= height):
        raise UserError(
            f"{option} {text} does not lie inside the pictures, which are {width}x{height}; give "
            "X,Y,WIDTH,HEIGHT in pixels."
        )
    return Cut(y, x, y + down, x + across)


def _without_bars(half: Cut, pictures: Sequence[np.ndarray]) -> Cut:
    """The half without white rows and columns at its edges."""
    white = np.stack([(half.of(picture) >= 255 - _BAR_LEVELS).all(-1) for picture in pictures])
    columns = np.flatnonzero(white.mean(1).min(0) < _BAR_SHARE)
    if not len(columns):
        return half
    left, right = int(columns[0]), int(columns[-1]) + 1
    rows = np.flatnonzero(white[:, :, left:right].mean(2).min(0) < _BAR_SHARE)
    top, bottom = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, half.size[0])
    return Cut(half.top + top, half.left + left, half.top + bottom, half.left + right)
