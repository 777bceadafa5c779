"""An invisible mark in a film's pictures: 32 bits that outlive copying.

Spread spectrum (Cox et al. 1997, "Secure spread spectrum watermarking for multimedia") in tiles of
32 x 32 chips that repeat over the picture (Kutter 1998: repeated marks tell their own geometry). A
chip is a soft spot that is a little brighter or darker, and a little bluer or yellower, than it
was; eyes hardly see the second at this size, and codecs keep it. Each bit has 32 chips of a tile.
What the picture itself says at these chips is known when the mark is put in, so that more is added
where it speaks against the mark and less where it speaks for it (Malvar and Florencio 2003,
"Improved spread spectrum"). The mark is the same in all pictures of a film: a codec then stores it
once, and a reader adds up all pictures.

It hides nothing and stops nobody: whoever knows this file can take the mark out again.
"""

import functools
import math
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8
from scipy import fft

BITS, ID_BITS = 32, 24
# Chips of a tile's side.
SIDE = 32
# Pixels of a chip's side as the reader looks at it.
CELL = 4
# Names the pattern. Another seed is another mark.
SEED = 20


@dataclass(frozen=True)
class Plane:
    """One of the two that carry the mark, and how strongly.

    Attributes:
      weights: of red, green and blue in it; change: of red, green and blue by one level of it.
      least, most: levels that a chip is changed by where the picture is smooth, and at most; rough:
        the share of the roughness around it that is added.
    """

    weights: tuple[float, float, float]
    change: tuple[float, float, float]
    least: float
    rough: float
    most: float


# ITU-R BT.601: brightness, and blue's difference from it, which changes no brightness.
PLANES = (
    Plane((0.299, 0.587, 0.114), (1.0, 1.0, 1.0), 1.2, 0.2, 3.0),
    Plane((-0.1687, -0.3313, 0.5), (0.0, -0.344, 1.772), 2.0, 0.2, 4.5),
)
# What a bit is to say where it is marked: its chips' mean, in units of the roughness around them,
# and what a change of the usual strength makes of it.
SURE, USUAL = 0.6, 0.4
# How far the picture's own word is made up for: factors of the change.
WEAK, STRONG = 0.8, 2.0
# Levels below white from which on a chip is changed as any other.
WHITISH = 16.0
# Sizes of chips that are looked for, relative to CELL pixels.
SMALLEST, LARGEST = 0.4, 5.0
# A picture of fewer chips than that says too little.
FEWEST = 600
# Mean square of what the bits say, in units of chance, from which on a mark is there; and where the
# check bits fit, which they do by chance once in 256 times. Over all places and sizes of a film
# without a mark chance alone comes to about 3 (benchmarks/mark.py).
FOUND, FOUND_FITTING = 3.5, 2.9
# Columns and rows of the middle that is looked at first, in pixels of a reader.
MIDDLE = 384


@dataclass(frozen=True)
class Reading:
    """What a reader found.

    Attributes:
      found: whether a mark is there.
      bits: as read, whether or not it is; number: the marked number, None where its check bits do
        not fit.
      clear: mean square of what the bits say, 1 by chance at one place; see FOUND.
      scale: size of the chips relative to CELL pixels.
    """

    found: bool
    bits: Bool[np.ndarray, " 32"]
    number: int | None
    clear: float
    scale: float


def bits_of(number: int) -> Bool[np.ndarray, " 32"]:
    """The 32 bits that are marked for a number of 24 bits: its own and 8 check bits."""
    if not 0 <= number < 1 << ID_BITS:
        raise ValueError(f"{number} has more than {ID_BITS} bits")
    word = number << 8 | _check(number)
    return np.array([word >> bit & 1 for bit in reversed(range(BITS))], bool)


def number_of(bits: Bool[np.ndarray, " 32"]) -> int | None:
    """The number of 32 bits; None where the check bits are another's."""
    word = int("".join("1" if bit else "0" for bit in bits), 2)
    return word >> 8 if word & 0xFF == _check(word >> 8) else None


def _check(number: int) -> int:
    return zlib.crc32(number.to_bytes(3, "big")) & 0xFF


@functools.cache
def _layout() -> tuple[Float32[np.ndarray, "32 32"], np.ndarray]:
    """(sign of each chip, which bit it carries)."""
    random = np.random.default_rng(SEED)
    signs = random.choice(np.array([-1, 1], np.float32), (SIDE, SIDE))
    bit = random.permutation(np.repeat(np.arange(BITS), SIDE * SIDE // BITS))
    return signs, bit.reshape(SIDE, SIDE)


@functools.cache
def _members() -> Float32[np.ndarray, "1024 32"]:
    """1 where a chip (row) carries a bit (column)."""
    _, bit = _layout()
    return np.eye(BITS, dtype=np.float32)[bit.ravel()]


@functools.cache
def _spectra() -> np.ndarray:
    """The conjugate spectrum of each bit's chips."""
    signs, bit = _layout()
    chips = np.where(bit == np.arange(BITS)[:, None, None], signs, np.float32(0))
    return np.conj(fft.rfft2(chips))


# --- writing ------------------------------------------------------------------------------------


def cell_of(height: int, width: int) -> int:
    """Pixels of a chip's side in pictures of this size."""
    shorter = min(height, width)
    return CELL if shorter < 400 else 6 if shorter < 800 else 8


def can_carry(height: int, width: int) -> bool:
    """Whether pictures of this size have enough chips for a mark that can be read again (about
    100x100 pixels)."""
    return (height // CELL) * (width // CELL) >= FEWEST


class Mark:
    """Puts the mark for a number of 24 bits into pictures."""

    def __init__(self, number: int):
        signs, _ = _layout()
        self.bits = bits_of(number)
        self._tile = signs * np.where(_layout_bits(self.bits), 1, -1).astype(np.float32)

    def __call__(self, picture: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w c"]:
        """A copy of a picture (RGB, or RGBA, whose alpha stays as it is) with the mark."""
        height, width = picture.shape[:2]
        cell = cell_of(height, width)
        rows, columns = -(-height // cell), -(-width // cell)
        pattern = np.tile(self._tile, (-(-rows // SIDE), -(-columns // SIDE)))[:rows, :columns]
        colours = np.ascontiguousarray(picture[..., :3])
        padded = cv2.copyMakeBorder(
            colours, 0, rows * cell - height, 0, columns * cell - width, cv2.BORDER_REPLICATE
        )
        chips = cv2.resize(padded, (columns, rows), interpolation=cv2.INTER_AREA)
        chips = chips.astype(np.float32)
        change = np.zeros((rows, columns, 3), np.float32)
        for plane in PLANES:
            seen = cv2.transform(chips, np.array([plane.weights], np.float32))
            change += (_strength(seen, pattern, plane) * pattern)[..., None] * np.array(
                plane.change, np.float32
            )
        change *= _room(chips)[..., None]
        change = cv2.resize(change, (columns * cell, rows * cell), interpolation=cv2.INTER_LINEAR)[
            :height, :width
        ]
        marked = cv2.add(colours, np.rint(change).astype(np.int16), dtype=cv2.CV_8U)
        if picture.shape[-1] == 4:
            marked = np.concatenate([marked, picture[..., 3:]], -1)
        return marked


def _layout_bits(bits: Bool[np.ndarray, " 32"]) -> Bool[np.ndarray, "32 32"]:
    return bits[_layout()[1]]


def _strength(
    chips: Float32[np.ndarray, "r c"], pattern: Float32[np.ndarray, "r c"], plane: Plane
) -> Float32[np.ndarray, "r c"]:
    """By how many levels each chip is to change."""
    detail, rough = _detail(chips)
    usual = np.minimum(plane.least + plane.rough * rough, plane.most)
    return usual * _needed(pattern * _even(detail, rough, plane))


def _room(chips: Float32[np.ndarray, "r c 3"]) -> Float32[np.ndarray, "r c"]:
    """The factor of each chip's change for what there is to white, where a mark can only darken and
    is seen at once."""
    return np.clip((255 - chips.max(-1)) / WHITISH, 0, 1)


def _needed(said: Float32[np.ndarray, "r c"]) -> Float32[np.ndarray, "r c"]:
    """The factor of each chip's change. said: what the picture's own chips say for the mark."""
    rows, columns = said.shape
    down, across = -(-rows // SIDE), -(-columns // SIDE)
    whole = np.zeros((down * SIDE, across * SIDE), np.float32)
    whole[:rows, :columns] = said
    tiles = whole.reshape(down, SIDE, across, SIDE).transpose(0, 2, 1, 3)
    mean = tiles.reshape(down * across, SIDE * SIDE) @ _members() * (BITS / SIDE**2)
    factor = np.clip((SURE - mean) / USUAL, WEAK, STRONG)[:, _layout()[1].ravel()]
    factor = factor.reshape(down, across, SIDE, SIDE).transpose(0, 2, 1, 3)
    return factor.reshape(down * SIDE, across * SIDE)[:rows, :columns]


# --- reading ------------------------------------------------------------------------------------


def read(pictures: Iterable[UInt8[np.ndarray, "h w _"]]) -> Reading:
    """Looks for a mark in pictures of one size that follow each other, or in one picture.

    It is found at any place, and at chips' sizes from SMALLEST to LARGEST times CELL. Raises
    ValueError without a picture.
    """
    total, count = None, 0
    for picture in pictures:
        colours = np.ascontiguousarray(picture[..., :3])
        total = np.zeros(colours.shape, np.float32) if total is None else total
        cv2.accumulate(colours, total)
        count += 1
    if total is None:
        raise ValueError("there is no picture to look at")
    weights = np.array([plane.weights for plane in PLANES], np.float32)
    return _clearest(cv2.transform(total / count, weights))


def _clearest(planes: Float32[np.ndarray, "h w 2"]) -> Reading:
    """Over all sizes of chips: first those that films are written with, then any."""

    def clearest(readings: Iterable[Reading]) -> Reading:
        return max(readings, key=lambda reading: (reading.found, reading.clear))

    best = clearest(_at(planes, cell / CELL) for cell in (4, 6, 8))
    if best.found:
        return best
    # First in the middle of the picture, where a size that is a little wrong does less harm.
    coarse = [_at(_middle(planes, scale), scale, every=2) for scale in _sizes(*planes.shape[:2])]
    longest = max(planes.shape[:2])
    for near in sorted(coarse, key=lambda reading: -reading.clear)[:8]:
        # Half a chip, at the picture's end.
        fine, step = CELL / 2 * near.scale / longest, _step(longest, near.scale)
        around = _between(near.scale * (1 - step), near.scale * (1 + step), fine)
        best = clearest([best, *(_at(planes, scale) for scale in around)])
    return best


def _sizes(height: int, width: int) -> Iterator[float]:
    """Sizes of chips to look for in a picture of this size, relative to CELL pixels."""
    scale = SMALLEST
    while scale <= min(LARGEST, math.sqrt(height * width / FEWEST) / CELL):
        yield scale
        scale *= 1 + _step(max(height, width), scale)


def _step(longest: int, scale: float) -> float:
    """From one size to the next, relative to it: a chip, at the end of what is looked at."""
    return CELL / min(longest / scale, MIDDLE)


def _middle(planes: Float32[np.ndarray, "h w 2"], scale: float) -> Float32[np.ndarray, "_ _ 2"]:
    side = round(MIDDLE * scale)
    top, left = (max((length - side) // 2, 0) for length in planes.shape[:2])
    return planes[top : top + side, left : left + side]


def _between(low: float, high: float, step: float) -> list[float]:
    return np.geomspace(low, high, max(round(math.log(high / low) / step), 2) + 1).tolist()


def _at(planes: Float32[np.ndarray, "h w 2"], scale: float, every: int = 1) -> Reading:
    """What a mark of chips of this size says, at the place where all bits together are clearest;
    every: of a reader's pixels, how many one is tried as that place."""
    sums = np.zeros(((CELL // every) ** 2, BITS, SIDE, SIDE), np.float32)
    for tiles in _folded(planes, scale, every):
        one = fft.irfft2(fft.rfft2(tiles)[:, None] * _spectra(), s=(SIDE, SIDE))
        sums += one / (np.sqrt(np.mean(one**2)) + 1e-9)
    sums /= np.sqrt(np.mean(sums**2)) + 1e-9
    energy = np.mean(sums**2, 1)
    where, top, left = np.unravel_index(int(energy.argmax()), energy.shape)
    bits = sums[where, :, top, left] > 0
    number, clear = number_of(bits), float(energy[where, top, left])
    found = clear >= (FOUND if number is None else FOUND_FITTING)
    return Reading(found, bits, number, clear, scale)


def _folded(
    planes: Float32[np.ndarray, "h w 2"], scale: float, every: int
) -> Float32[np.ndarray, "2 places 32 32"]:
    """The mean tile of each plane, for the places where its first chip may begin."""
    height, width = (max(round(side / scale), 3 * CELL) for side in planes.shape[:2])
    how = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    small = cv2.resize(planes, (width, height), interpolation=how)
    spots = cv2.blur(small, (CELL, CELL), anchor=(0, 0))
    rows, columns = height // CELL - 1, width // CELL - 1
    down, across = -(-rows // SIDE), -(-columns // SIDE)
    whole = np.zeros((down * SIDE, across * SIDE), np.float32)
    tiles = np.empty((len(PLANES), (CELL // every) ** 2, SIDE, SIDE), np.float32)
    for number, plane in enumerate(PLANES):
        for place in range(tiles.shape[1]):
            top, left = (every * step for step in divmod(place, CELL // every))
            chips = spots[top::CELL, left::CELL, number][:rows, :columns]
            whole[:rows, :columns] = _even(*_detail(np.ascontiguousarray(chips)), plane)
            tiles[number, place] = whole.reshape(down, SIDE, across, SIDE).mean((0, 2))
    return tiles


# --- both ---------------------------------------------------------------------------------------


def _detail(
    chips: Float32[np.ndarray, "r c"],
) -> tuple[Float32[np.ndarray, "r c"], Float32[np.ndarray, "r c"]]:
    """(what chips differ by from those around them, how much they do so in the smoothest direction
    around each: beside an edge a picture is still smooth)."""
    detail = chips - cv2.blur(chips, (3, 3))
    # Rounding may leave a little less than nothing.
    rough = np.sqrt(np.maximum(cv2.blur(detail * detail, (3, 3)), 0))
    return detail, cv2.blur(cv2.erode(rough, np.ones((3, 3), np.uint8)), (3, 3))


def _even(
    detail: Float32[np.ndarray, "r c"], rough: Float32[np.ndarray, "r c"], plane: Plane
) -> Float32[np.ndarray, "r c"]:
    """Detail in units of what is usual around it, so that rough places do not outvote smooth
    ones."""
    return np.clip(detail / (rough + plane.least), -2, 2)
