"""What parts of paper dolls are made of: closed lines in the coordinates of what carries them.

Every point is three numbers that its frame (doll_draw.py) turns into a place in the picture by one
matrix, so that all points of a character are placed by a single product.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from motion_jax.puppet.doll import Colour, shade

# What is drawn in one go; a stance decides the order of these.
LAYERS = (
    "hair_back", "right_leg", "left_leg", "torso", "skirt", "neck", "head", "hood", "right_arm",
    "left_arm",
)  # fmt: skip
# Parts of the body by their numbers in a part map; 0 is the background.
PARTS = (
    "background", "hair", "head", "torso", "skirt", "right_upper_arm", "right_forearm",
    "right_hand", "left_upper_arm", "left_forearm", "left_hand", "right_thigh", "right_shin",
    "right_foot", "left_thigh", "left_shin", "left_foot",
)  # fmt: skip
PART = {name: number for number, name in enumerate(PARTS)}


@dataclass(frozen=True)
class Shape:
    """One closed line.

    Attributes:
      layer: one of LAYERS; part: one of PARTS.
      frame: what carries it, see doll_draw.frames.
      points: [k, 3] in the frame's coordinates.
      colour: of the inside; None: the line alone.
      line: colour of the outline, drawn before the insides of the group; None: none.
      group: shapes that are next to each other and of one group share one outline.
      when: "front" or "back" where it is drawn only seen from there; "right_eye" and "left_eye"
        where that eye is seen.
    """

    layer: str
    part: str
    frame: str
    points: np.ndarray
    colour: Colour | None
    line: Colour | None = None
    group: int = 0
    when: str = ""


def smooth(points: Sequence[tuple[float, ...]], steps: int = 4) -> np.ndarray:
    """A closed Catmull-Rom curve through the points."""
    p = np.asarray(points, float)
    before, after, next_ = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    t = (np.arange(steps) / steps)[:, None, None]
    curve = 0.5 * (
        2 * p + (after - before) * t + (2 * before - 5 * p + 4 * after - next_) * t**2
        + (3 * p - before - 3 * after + next_) * t**3
    )  # fmt: skip
    return curve.transpose(1, 0, 2).reshape(-1, p.shape[1])


def ellipse(x: float, y: float, rx: float, ry: float, depth: float, count: int = 14) -> np.ndarray:
    angle = 2 * np.pi * np.arange(count) / count
    return np.column_stack([x + rx * np.cos(angle), y + ry * np.sin(angle), np.full(count, depth)])


def limb(
    begin: float, end: float, wide: tuple[float, ...], caps: tuple[float, float], side: float = 0.0
) -> np.ndarray:
    """Along a bone from `begin` to `end` (shares of it), with these half widths on the way.

    caps: how far it is rounded beyond both ends, in half widths; side: 1 or -1 for the strip along
    one edge only.
    """
    t = np.linspace(begin, end, len(wide))
    width = np.asarray(wide)
    left = -width if side <= 0 else 0.35 * width
    right = width if side >= 0 else -0.35 * width
    arc = np.linspace(0, np.pi, 7)[1:-1]

    def cap(at: float, half: float, low: float, high: float, sign: float) -> np.ndarray:
        middle, radius = (low + high) / 2, (high - low) / 2
        return np.column_stack(
            [np.full(5, at), sign * half * np.sin(arc), middle + sign * radius * np.cos(arc)]
        )

    down = np.column_stack([t, np.zeros_like(t), right])
    up = np.column_stack([t, np.zeros_like(t), left])[::-1]
    first = cap(begin, caps[0] * wide[0], left[0], right[0], -1.0)
    last = cap(end, caps[1] * wide[-1], left[-1], right[-1], 1.0)
    parts = [down, *([last] if caps[1] else []), up, *([first] if caps[0] else [])]
    return np.concatenate(parts)


def outline(colour: Colour) -> Colour:
    """The line around something of that colour."""
    return shade(colour, 0.38, 0.5)
