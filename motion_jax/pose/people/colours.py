"""What people look like: a histogram of colours for each part of the body.

A part is looked at along its bones, as wide as a limb. Colours are those of CIELAB: lightness in 4
steps, red-green and blue-yellow in 7 each, smoothed over neighbouring steps, so that a little more
light is a little difference. Two looks are compared by the Hellinger distance of each part that
both show (0 the same, 1 nothing in common): Bhattacharyya 1943, as Comaniciu et al. 2003 use it to
follow people.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from motion_jax.pose.skeleton import BODY, INDEX, LAYOUTS

STEPS = (4, 7, 7)
BINS = int(np.prod(STEPS))
PARTS = ("head", "trunk", "arms", "thighs", "shins")
# How much each part says: a trunk is large and of one colour, an arm is thin.
IMPORTANCE = np.array([1.0, 2.0, 0.8, 1.5, 0.8], np.float32)
# Half the width that is looked at, in torso lengths.
_ARM, _THIGH, _SHIN = 0.08, 0.12, 0.08
# What somebody else may stand in front of says little.
BESIDE_OTHERS = 0.05

_BONES = {
    "arms": [(f"{side}_{a}", f"{side}_{b}", _ARM) for side in ("left", "right")
             for a, b in (("shoulder", "elbow"), ("elbow", "wrist"))],
    "thighs": [(f"{side}_hip", f"{side}_knee", _THIGH) for side in ("left", "right")],
    "shins": [(f"{side}_knee", f"{side}_ankle", _SHIN) for side in ("left", "right")],
}  # fmt: skip
_ALONG, _ACROSS = np.linspace(0.1, 0.9, 9), np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
_HEAD = [INDEX[name] for name in ("nose", "right_eye", "left_eye", "right_ear", "left_ear")]
_TRUNK = [INDEX[name] for name in ("right_shoulder", "left_shoulder", "right_hip", "left_hip")]
_FEET = [INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("ankle", "heel")]


def unit(pose: Float[np.ndarray, "137 3"]) -> float:
    """The torso's length in pixels, or 1.4 shoulder widths, or a third of what is seen."""
    body = pose[BODY]
    neck, hip = body[INDEX["neck"]], body[INDEX["mid_hip"]]
    right, left = body[INDEX["right_shoulder"]], body[INDEX["left_shoulder"]]
    found = [1.0]
    if neck[2] > 0 and hip[2] > 0:
        found.append(float(np.linalg.norm(neck[:2] - hip[:2])))
    if right[2] > 0 and left[2] > 0:
        found.append(1.4 * float(np.linalg.norm(right[:2] - left[:2])))
    if len(found) == 1:
        points = pose[pose[:, 2] > 0, :2]
        if len(points):
            found.append(float(np.ptp(points, axis=0).max()) / 3)
    return max(found)


@dataclass(frozen=True)
class Body:
    """Where somebody is in a frame, to hide others.

    Attributes:
      starts, ends: of the limbs, in pixels; wide: how far they reach on each side.
      trunk: its corners in order; None: not seen.
      standing: y of the lowest foot in pixels; None: not seen.
    """

    starts: Float[np.ndarray, "k 2"]
    ends: Float[np.ndarray, "k 2"]
    wide: float
    trunk: Float[np.ndarray, "4 2"] | None
    standing: float | None

    @classmethod
    def of(cls, pose: Float[np.ndarray, "137 3"]) -> "Body":
        body = pose[BODY]
        seen = body[:, 2] > 0
        limbs = [(a, b) for a, b in LAYOUTS["body25"].limbs if seen[a] and seen[b]]
        starts = np.array([body[a, :2] for a, _ in limbs]).reshape(-1, 2)
        ends = np.array([body[b, :2] for _, b in limbs]).reshape(-1, 2)
        around = [INDEX[n] for n in ("right_shoulder", "left_shoulder", "left_hip", "right_hip")]
        trunk = body[around, :2] if seen[around].all() else None
        feet = body[_FEET][seen[_FEET], 1]
        standing = float(feet.max()) if len(feet) else None
        return cls(starts, ends, 0.16 * unit(pose), trunk, standing)

    def hides(self, other: "Body") -> bool:
        """Whether it may stand in front of another: not if it stands farther away, higher in the
        picture."""
        if self.standing is None or other.standing is None:
            return True
        return self.standing > other.standing - 0.5 * self.wide

    def covers(self, points: Float[np.ndarray, "p 2"]) -> Bool[np.ndarray, " p"]:
        """Which points lie on it, or close to it."""
        covered = np.zeros(len(points), bool)
        if len(self.starts):
            way = self.ends - self.starts
            length = np.maximum((way**2).sum(1), 1e-6)
            share = ((points[:, None] - self.starts) * way).sum(-1) / length
            nearest = self.starts + np.clip(share, 0, 1)[..., None] * way
            away = ((points[:, None] - nearest) ** 2).sum(-1).min(1)
            covered |= away < self.wide**2
        if self.trunk is not None:
            after = np.roll(self.trunk, -1, axis=0) - self.trunk
            to = points[:, None] - self.trunk
            turn = after[:, 0] * to[..., 1] - after[:, 1] * to[..., 0]
            covered |= (turn >= 0).all(1) | (turn <= 0).all(1)
        return covered


def look(
    lab: UInt8[np.ndarray, "h w 3"],
    pose: Float[np.ndarray, "137 3"],
    others: Sequence[Body] = (),
) -> tuple[UInt8[np.ndarray, "parts bins"], Float32[np.ndarray, " parts"]]:
    """A person's colours in one frame.

    Args:
      lab: the frame in OpenCV's 8-bit CIELAB (`to_lab`).
      pose: in its pixels.
      others: who may stand in front.

    Returns:
      the square roots of the shares of each bin, times 255; and what each part's is worth: 0 not
      seen, 1 wholly seen beside nobody else.
    """
    histograms = np.zeros((len(PARTS), BINS), np.uint8)
    worth = np.zeros(len(PARTS), np.float32)
    height, width = lab.shape[:2]
    for number, (points, whole) in enumerate(_places(pose)):
        at = np.floor(points).astype(int)
        inside = (at >= 0).all(1) & (at < (width, height)).all(1)
        at, points = at[inside], points[inside]
        if not len(at):
            continue
        free = np.ones(len(at), bool)
        for other in others:
            free &= ~other.covers(points)
        weight = np.where(free, 1.0, BESIDE_OTHERS)
        histograms[number] = _rooted(lab[at[:, 1], at[:, 0]], weight)
        worth[number] = weight.sum() / whole
    return histograms, worth


def to_lab(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """An RGB frame as `look` takes it."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2LAB)


def _places(pose: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """For each part the points that are looked at, and how many there are of a whole part."""
    body, size = pose[BODY], unit(pose)
    seen = body[:, 2] > 0
    nothing = np.zeros((0, 2))
    found = []
    head = body[[i for i in _HEAD if seen[i]], :2]
    if len(head):
        # Hair is above what is seen of the face.
        grid = np.stack(np.meshgrid(np.linspace(-1, 1, 7), np.linspace(-1, 1, 7)), -1).reshape(
            -1, 2
        )
        grid = grid[(grid**2).sum(1) <= 1.1]
        points = head.mean(0) + (0, -0.06 * size) + grid * (0.17 * size, 0.24 * size)
        found.append((points, len(points)))
    else:
        found.append((nothing, 1))
    if seen[_TRUNK].all():
        right, left, low_right, low_left = body[_TRUNK, :2]
        across, down = np.meshgrid(np.linspace(0.1, 0.9, 7), np.linspace(0.05, 0.95, 10))
        across, down = across.reshape(-1, 1), down.reshape(-1, 1)
        top = right + across * (left - right)
        bottom = low_right + across * (low_left - low_right)
        points = top + down * (bottom - top)
        # Seen from the side the shoulders are in one place.
        points = points + (across - 0.5) * (0.2 * size, 0)
        found.append((points, len(points)))
    else:
        found.append((nothing, 1))
    for part in PARTS[2:]:
        several = []
        for first, second, wide in _BONES[part]:
            a, b = INDEX[first], INDEX[second]
            if not (seen[a] and seen[b]):
                continue
            start, way = body[a, :2], body[b, :2] - body[a, :2]
            aside = np.array([way[1], -way[0]]) / max(float(np.linalg.norm(way)), 1e-6)
            points = start + _ALONG[:, None, None] * way + _ACROSS[:, None] * (wide * size) * aside
            several.append(points.reshape(-1, 2))
        whole = len(_BONES[part]) * len(_ALONG) * len(_ACROSS)
        found.append((np.concatenate(several) if several else nothing, whole))
    return found


def _rooted(pixels: np.ndarray, weight: np.ndarray) -> UInt8[np.ndarray, " bins"]:
    """Square roots of the shares of colours, times 255."""
    values = pixels.astype(np.float32)
    # The chroma of clothes and skin lies in the middle half of what 8 bits can say.
    scaled = np.stack([values[:, 0] / 255, (values[:, 1] - 64) / 128, (values[:, 2] - 64) / 128], 1)
    place = np.clip(scaled, 0, 0.999) * STEPS - 0.5
    low = np.floor(place).astype(int)
    part = place - low
    counts = np.zeros(STEPS)
    # Each colour counts for the two nearest steps of each axis.
    for corner in np.ndindex(2, 2, 2):
        at = np.clip(low + corner, 0, np.array(STEPS) - 1)
        share = np.prod(np.where(corner, part, 1 - part), axis=1)
        np.add.at(counts, tuple(at.T), share * weight)
    counts = counts.ravel() / max(counts.sum(), 1e-9)
    return np.rint(255 * np.sqrt(counts)).astype(np.uint8)


class Looks:
    """The mean of several looks of one person; each part by what it was worth.

    Attributes:
      sums: of the shares of colours; worth: of their weights.
    """

    def __init__(self) -> None:
        self.sums = np.zeros((len(PARTS), BINS), np.float64)
        self.worth = np.zeros(len(PARTS), np.float64)

    def add(
        self, histograms: UInt8[np.ndarray, "parts bins"], worth: Float[np.ndarray, " parts"]
    ) -> None:
        """One more look. What is half hidden is worth less than half: its colours are partly those
        of what hides it."""
        worth = np.asarray(worth, np.float64) ** 2
        shares = (histograms.astype(np.float32) / 255) ** 2
        self.sums += shares * worth[:, None]
        self.worth += worth

    def joined(self, other: "Looks") -> "Looks":
        """Of both."""
        both = Looks()
        both.sums, both.worth = self.sums + other.sums, self.worth + other.worth
        return both

    @property
    def roots(self) -> Float[np.ndarray, "parts bins"]:
        """Square roots of the mean shares."""
        return np.sqrt(self.sums / np.maximum(self.worth, 1e-9)[:, None])

    def clear(self, frames: int) -> float:
        """How well the person was seen in so many frames: 0 always hidden ... 1 never."""
        share = np.minimum(self.worth / max(frames, 1), 1.0)
        return float((share * IMPORTANCE).sum() / IMPORTANCE.sum())

    @property
    def known(self) -> Bool[np.ndarray, " parts"]:
        return self.worth > 0


def distance(one: Looks, other: Looks) -> float:
    """0 the same colours ... 1 nothing in common; NaN where no part is known of both."""
    both = one.known & other.known
    if not both.any():
        return float("nan")
    overlap = (one.roots[both] * other.roots[both]).sum(1)
    apart = np.sqrt(np.clip(1 - overlap, 0, 1))
    # A part that was hardly seen in one of the two counts for little.
    seen = np.minimum(np.minimum(one.worth, other.worth)[both], 3.0) / 3.0
    weight = IMPORTANCE[both] * seen
    return float((apart * weight).sum() / max(weight.sum(), 1e-9))
