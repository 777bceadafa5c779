"""Tubes: stretches of a film in which a face (or a body) stays about where it is, each cut out by
one square that holds all of it; what the First Order Motion Model learns from.

The rule is that of its authors' crop-video.py: a tube goes on while a box overlaps the tube's first
one. Its square is not: theirs is clipped at the picture's edge and then stretched to a square
again, which squashes people; ours is moved inside the picture instead (see `square`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from motion_jax.data.crop import Region

# (left, top, right, bottom) in pixels.
Box = tuple[float, float, float, float]
# A box belongs to a tube whose first box it overlaps by more than this (intersection over union).
LEAST_OVERLAP = 0.25
# What the square adds on each side, in shares of the tube's box.
INCREASE = 0.1


@dataclass
class Tube:
    """Attributes:
    begin: the first frame's box; box: what holds the boxes of all frames.
    first, last: frame numbers, last inclusive.
    """

    begin: Box
    box: Box
    first: int
    last: int


def overlap(a: Box, b: Box) -> float:
    """Intersection over union, of whole pixels: right and bottom are the last ones, so that a box
    from 3 to 5 is three wide."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return both / (sum(areas) - both)


def tubes(
    frames: Iterable[Sequence[Box]], longer_than: int, least_overlap: float = LEAST_OVERLAP
) -> list[Tube]:
    """The tubes whose last frame comes more than `longer_than` frames after their first, in the
    order in which they end. frames: of each frame the boxes of all that are in it."""
    running: list[Tube] = []
    done: list[Tube] = []
    for number, boxes in enumerate(frames):
        going: list[Tube] = []
        lost: list[Tube] = []
        for tube in running:
            near = max((overlap(tube.begin, box) for box in boxes), default=0.0)
            (going if near > least_overlap else lost).append(tube)
        done += lost
        running = going
        for box in boxes:
            best = max(running, key=lambda tube: overlap(tube.begin, box), default=None)
            if best is None or overlap(best.begin, box) <= least_overlap:
                running.append(Tube(box, box, number, number))
                continue
            best.last, old = number, best.box
            best.box = (
                min(old[0], box[0]), min(old[1], box[1]), max(old[2], box[2]), max(old[3], box[3])
            )  # fmt: skip
    return [tube for tube in (*done, *running) if tube.last - tube.first > longer_than]


def grown(box: Box, increase: float = INCREASE) -> Box:
    """A box with `increase` of its sides added on each, and then as wide as it is high."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    side = (1 + 2 * increase) * max(width, height)
    beside, above = (side - width) / 2, (side - height) / 2
    return left - beside, top - above, right + beside, bottom + above


def square(box: Box, height: int, width: int, size: tuple[int, int]) -> Region:
    """The part of a picture of height x width for a tube's box that becomes a frame of `size`
    (height, width): the box `grown`, widened to the proportions of `size`, as far inside the
    picture as it fits. Where it does not, it reaches over the edges evenly."""
    left, top, right, bottom = grown(box)
    rows = max(bottom - top, (right - left) * size[0] / size[1])
    columns = rows * size[1] / size[0]
    found = []
    for middle, length, full in (
        ((left + right) / 2, round(columns), width),
        ((top + bottom) / 2, round(rows), height),
    ):
        start = round(middle - length / 2)
        inside = (full - length) // 2 if length > full else min(max(start, 0), full - length)
        found.append((inside, max(length, 2)))
    return Region(found[0][0], found[1][0], found[0][1], found[1][1])
