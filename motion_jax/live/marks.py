"""The number of a frame, drawn into its corner, and read again at the other end: so the age of what
is shown is measured, not reckoned.

Ten squares in a row: a black one, eight bits of the number with the highest first (white is 1), and
a white one. Each is a fortieth of the width, so that they are found in a picture of another size,
too.
"""

import numpy as np
from jaxtyping import UInt8

BITS = 8
# Numbers begin again after this many.
COUNT = 1 << BITS
_SQUARES = BITS + 2
_SHARE = 40


def draw(image: UInt8[np.ndarray, "h w 3"], number: int) -> UInt8[np.ndarray, "h w 3"]:
    """A copy of the picture (80 pixels wide or more) with the number's lowest bits in its left
    upper corner."""
    marked = image.copy()
    size = image.shape[1] / _SHARE
    bits = [0, *((number >> bit) & 1 for bit in reversed(range(BITS))), 1]
    for place, bit in enumerate(bits):
        left, right = round(place * size), round((place + 1) * size)
        marked[: round(size), left:right] = 255 * bit
    return marked


def read(image: UInt8[np.ndarray, "h w c"], width: int | None = None) -> int | None:
    """The number in the picture's corner, 0 ... 255; None where there is no mark.

    width: of the marked picture within this one, where others stand beside it.
    """
    size = (width or image.shape[1]) / _SHARE
    levels = []
    for place in range(_SQUARES):
        # The middle of each square: compression mixes the edges.
        left, right = (int((place + share) * size) for share in (0.3, 0.7))
        square = image[int(0.3 * size) : int(0.7 * size) + 1, left : right + 1, :3]
        if not square.size:
            return None
        levels.append(float(square.mean()))
    if levels[0] > 80 or levels[-1] < 175:
        return None
    return int("".join("1" if level > 127 else "0" for level in levels[1:-1]), 2)
