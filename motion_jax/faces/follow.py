"""Faces from frame to frame: who is who, and where each is without trembling.

A face's four numbers (align) and its oval, in the square's own places, go through the 1 euro filter
forwards and backwards: no lag. Where a face is lost for a moment it goes on from where it was seen
to where it is seen again; where it comes or goes in the middle of a film it fades.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64

from motion_jax.faces.align import inside
from motion_jax.faces.find import HELD, RECORD, Faces
from motion_jax.pose.smooth import one_euro

# Of the 1 euro filter: Hz; Hz per side a second of the place, per factor e or radian a second of
# side and angle. On four films trembling of the place of a face at rest (root mean square second
# difference) fell by 11-73 %, and fast ones stayed within 3.6 % of a side of a local parabola.
MIN_CUTOFF, BETA, TURN_BETA = 0.8, 8.0, 4.0
# The oval keeps its place in the square better than the square in the frame.
OVAL_CUTOFF, OVAL_BETA = 1.5, 20.0
# Frames over which a face fades.
FADE = 5
# What is seen for fewer frames is no face.
LEAST_FRAMES = 3
# A face is looked for so far from where it is expected, in sides, and so much further for each
# frame that it was lost; a side's logarithm counts as much as a distance.
_REACH, _FURTHER = 0.6, 0.06


@dataclass(frozen=True)
class Track:
    """One face through a stretch of a film, one entry for each of its frames.

    Attributes:
      first: number of its first frame.
      numbers: the alignment, steady; oval: points around the face, in the square's places, 0 to 1.
      seen: whether it was found there, and not only held.
      opacity: 0 to 1; turn: degrees; hands: points of hands near it, in pixels; NaN: none.
    """

    first: int
    numbers: Float64[np.ndarray, "n 4"]
    oval: Float32[np.ndarray, "n 36 2"]
    seen: Bool[np.ndarray, " n"]
    opacity: Float64[np.ndarray, " n"]
    turn: Float32[np.ndarray, " n"]
    hands: Float32[np.ndarray, "n _ 21 2"]

    def __len__(self) -> int:
        return len(self.numbers)

    def at(self, frame: int) -> int | None:
        """The entry of a frame; None: it is not there."""
        index = frame - self.first
        return index if 0 <= index < len(self) else None


def follow(faces: Faces, smooth: bool = True) -> list[Track]:
    """The tracks of all faces, in order of their beginnings. smooth: without it they are as they
    were measured."""
    stretches = _linked(faces.records, len(faces.times))
    least = min(LEAST_FRAMES, len(faces.times))
    kept = [faces.records[numbers] for numbers in stretches if len(numbers) >= least]
    return [_track(records, faces.times, smooth) for records in kept]


def _linked(records: np.ndarray, count: int) -> list[list[int]]:
    """Numbers of the records of one face each."""
    bounds = np.searchsorted(records["frame"], np.arange(count + 1))
    found: list[list[int]] = []
    active: list[list[int]] = []
    for frame in range(count):
        active = [one for one in active if frame - records["frame"][one[-1]] <= HELD + 1]
        here = range(bounds[frame], bounds[frame + 1])
        costs = np.array([[_cost(records, one, new) for new in here] for one in active])
        taken = set()
        for row, column in paired(costs).items():
            active[row].append(here[column])
            taken.add(here[column])
        for new in here:
            if new not in taken:
                fresh = [new]
                found.append(fresh)
                active.append(fresh)
    return found


def paired(costs: np.ndarray) -> dict[int, int]:
    """Of rows the columns that go with them, at the least cost together; not where it is inf."""
    from scipy.optimize import linear_sum_assignment  # not for --help

    if not costs.size:
        return {}
    priced = np.where(np.isfinite(costs), costs, 1e6)
    pairs = zip(*linear_sum_assignment(priced), strict=True)
    return {int(row): int(column) for row, column in pairs if np.isfinite(costs[row, column])}


def _cost(records: np.ndarray, before: list[int], new: int) -> float:
    """How unlikely it is that a record goes on a stretch; inf: it does not."""
    last, one = records[before[-1]], records[new]
    passed = int(one["frame"] - last["frame"])
    speed = np.zeros(4)
    if len(before) > 1:
        earlier = records[before[-2]]
        speed = (last["numbers"] - earlier["numbers"]) / (last["frame"] - earlier["frame"])
    return unlikeness(last["numbers"] + speed * min(passed, 3), one["numbers"], passed)


def unlikeness(
    expected: Float64[np.ndarray, "4"], found: Float64[np.ndarray, "4"], passed: int
) -> float:
    """How unlikely it is that a face is the one that is expected there, `passed` frames after it
    was seen; inf: it is not."""
    side = np.exp(max(expected[2], found[2]))
    apart = np.hypot(*(expected[:2] - found[:2])) / side
    apart += abs(expected[2] - found[2])
    return float(apart) if apart < _REACH + _FURTHER * (passed - 1) else np.inf


def _track(records: np.ndarray, times: np.ndarray, smooth: bool) -> Track:
    first, last = int(records["frame"][0]), int(records["frame"][-1])
    at = records["frame"] - first
    count = last - first + 1
    seen = np.zeros(count, bool)
    seen[at] = True
    now = np.asarray(times[first : last + 1], np.float64)
    numbers = records["numbers"].copy()
    numbers[:, 3] = np.unwrap(numbers[:, 3])
    oval = np.stack([inside(r["numbers"], r["oval"]) for r in records]).reshape(len(records), -1)
    numbers, oval = (_between(values, now[at], now) for values in (numbers, oval))
    if smooth:
        side = float(np.exp(np.median(numbers[:, 2])))
        parts = ((numbers[:, :2] / side, BETA), (numbers[:, 2:], TURN_BETA))
        steady = [both_ways(part, now, MIN_CUTOFF, beta) for part, beta in parts]
        numbers = np.concatenate(steady, axis=1) * (side, side, 1.0, 1.0)
        oval = both_ways(oval, now, OVAL_CUTOFF, OVAL_BETA)
    hands = np.full((count, *RECORD["hands"].shape), np.nan, np.float32)
    hands[at] = records["hands"]
    opacity = np.ones(count)
    steps = (np.arange(count) + 1) / (FADE + 1)
    if first > 0:
        opacity = np.minimum(opacity, steps)
    if last < len(times) - 1:
        opacity = np.minimum(opacity, steps[::-1])
    turn = _between(records["turn"][:, None].astype(float), now[at], now)[:, 0]
    return Track(
        first, numbers, oval.reshape(count, 36, 2).astype(np.float32), seen, opacity,
        turn.astype(np.float32), hands,
    )  # fmt: skip


def _between(values: np.ndarray, known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Signals [n, k] at other times, on straight lines between those that are known."""
    return np.stack([np.interp(wanted, known, column) for column in values.T], axis=1)


def both_ways(
    values: Float64[np.ndarray, "n k"], times: Float64[np.ndarray, " n"], cutoff: float, beta: float
) -> Float64[np.ndarray, "n k"]:
    """The mean of the 1 euro filter forwards and backwards, which does not lag behind."""
    forwards = one_euro(values, times, cutoff, beta)
    backwards = one_euro(values[::-1], -times[::-1], cutoff, beta)[::-1]
    return (forwards + backwards) / 2
