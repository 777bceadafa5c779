"""Which of several people in pose files is followed: by place and pose from frame to frame."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Float, Float32

from motion_jax import files
from motion_jax.errors import UserError, option
from motion_jax.pose import long_arrays
from motion_jax.pose.person import check_person
from motion_jax.pose.skeleton import BODY

# Distances are means over the body joints that both poses show, in person sizes (larger side of
# the box around the body). From one frame to the next nobody moves farther than this...
FARTHEST = 0.35
# ... and a frame's absence allows this much more, up to so much in all.
FARTHER_A_FRAME, FARTHEST_OF_ALL = 0.1, 1.0
# Frames after which somebody who reappears is somebody else.
LONGEST_ABSENCE = 50
# If two candidates' distances differ by less than this, it is a guess who is who.
AMBIGUOUS = 0.1
# Somebody seen in a smaller share of the longest track's frames is no person but a false alarm.
LEAST_SHARE = 0.1


class _Shelf:
    """The poses of all frames, float32 [137, 3] each, in a temporary file."""

    def __init__(self, file: IO[bytes], people: Iterable[Sequence[np.ndarray]]):
        self._file = file
        self.counts: list[int] = []
        for poses in people:
            self.counts.append(len(poses))
            with files.writing(Path(tempfile.gettempdir())):
                for pose in poses:
                    file.write(np.asarray(pose, np.float32).tobytes())
                file.flush()

    def __getitem__(self, number: int) -> np.ndarray:
        size = 137 * 3 * 4
        self._file.seek(number * size)
        return np.frombuffer(self._file.read(size), np.float32).reshape(137, 3)

    def frames(self) -> Iterator[range]:
        """The numbers of the poses in each frame."""
        number = 0
        for count in self.counts:
            yield range(number, number + count)
            number += count


@dataclass
class _Trail:
    """One person: the frames, the numbers of the poses in them, and what is known of those."""

    frames: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    last: np.ndarray = field(default_factory=lambda: np.zeros((137, 3), np.float32))
    places: list[float] = field(default_factory=list)
    extent: float = 0.0
    over: bool = False

    def add(self, frame: int, number: int, pose: np.ndarray) -> None:
        self.frames.append(frame)
        self.numbers.append(number)
        self.last = pose
        self.places.append(np.median(_joints(pose)[:, 0]))
        self.extent += size_of(pose) ** 2

    def place(self) -> float:
        return float(np.median(self.places))


def _joints(pose: np.ndarray) -> np.ndarray:
    """Observed body joints of a [137, 3] pose, else all observed points: [n, 2]."""
    body = pose[BODY]
    points = body if (body[:, 2] > 0).any() else pose
    return points[points[:, 2] > 0, :2]


def size_of(pose: Float[np.ndarray, "137 3"]) -> float:
    """Larger side of the box around the observed body joints in pixels."""
    points = _joints(pose)
    return float(max((points.max(0) - points.min(0)).max(), 1e-3))


def distance(one: Float[np.ndarray, "137 3"], other: Float[np.ndarray, "137 3"]) -> float:
    """How far apart two poses of neighbouring frames are, see FARTHEST."""
    size = max(size_of(one), size_of(other))
    both = (one[BODY, 2] > 0) & (other[BODY, 2] > 0)
    if both.any():
        apart = np.linalg.norm(one[BODY, :2] - other[BODY, :2], axis=1)[both].mean()
    else:
        apart = np.linalg.norm(np.median(_joints(one), 0) - np.median(_joints(other), 0))
    change = abs(np.log(size_of(one) / size_of(other))) / 4 if both.sum() > 3 else 0.0
    return float(apart / size + change)


def _link(people: _Shelf) -> list[_Trail]:
    trails: list[_Trail] = []
    for frame, numbers in enumerate(people.frames()):
        poses = [people[number] for number in numbers]
        active = [
            t for t in trails if not t.over and frame - t.frames[-1] <= LONGEST_ABSENCE and poses
        ]
        costs = np.full((len(active), len(poses)), np.inf)
        for row, trail in enumerate(active):
            absent = frame - trail.frames[-1] - 1
            limit = min(FARTHEST + FARTHER_A_FRAME * absent, FARTHEST_OF_ALL)
            for column, pose in enumerate(poses):
                apart = distance(trail.last, pose)
                costs[row, column] = apart if apart <= limit else np.inf
        fresh = set(range(len(poses)))
        for row, column in sorted(np.ndindex(*costs.shape), key=lambda at: costs[at]):
            cost = costs[row, column]
            if not np.isfinite(cost) or column not in fresh or active[row].over:
                continue
            if active[row].frames[-1] == frame:
                continue
            near = cost + AMBIGUOUS
            rivals = np.flatnonzero(costs[:, column] < near)
            if len(rivals) > 1 or (costs[row] < near).sum() > 1:
                for rival in (row, *rivals):
                    # One that was certain of another pose in this frame stays what it is.
                    active[rival].over = active[rival].frames[-1] != frame
                continue
            active[row].add(frame, numbers[column], poses[column])
            fresh.discard(column)
        for column in sorted(fresh):
            trail = _Trail()
            trail.add(frame, numbers[column], poses[column])
            trails.append(trail)
    return trails


def follow(
    people: Iterable[Sequence[Float[np.ndarray, "137 3"]]], person: str, name: str
) -> tuple[Float32[np.ndarray, "n 137 3"], tuple[str, ...], int]:
    """Picks one person from the poses of each frame.

    Args:
      people: for each frame the poses in it, each with some observed point; looked at once.
      person: "largest" (most picture and time), "leftmost", "rightmost", or a number from 1 counted
        from left to right. Where no frame holds more than one pose, everything is one person.
      name: of the folder, for messages.

    Returns:
      keypoints, and for each frame "" or why it has none ("no person", "lost":
      others are there, the followed person is not, or it is a guess who it is); and the number of
      people in the fullest frame.

    Raises UserError: a `person` that is not a choice, or a number that is not there.
    """
    check_person(person)
    # Few poses stay in memory.
    with tempfile.SpooledTemporaryFile(long_arrays.IN_MEMORY) as file:
        return _followed(_Shelf(file, people), person, name)


def _followed(shelf: _Shelf, person: str, name: str) -> tuple[np.ndarray, tuple[str, ...], int]:
    keypoints = long_arrays.zeros((len(shelf.counts), 137, 3))
    reasons = ["lost" if count else "no person" for count in shelf.counts]
    most = max(shelf.counts, default=0)
    if most <= 1:
        trails = [_Trail()]
        for frame, numbers in enumerate(shelf.frames()):
            for number in numbers:
                trails[0].add(frame, number, shelf[number])
    else:
        trails = _link(shelf)
        longest = max(len(trail.frames) for trail in trails)
        trails = [t for t in trails if len(t.frames) >= LEAST_SHARE * longest]
    if not trails[0].frames:
        return keypoints, tuple(reasons), most
    order = sorted(trails, key=_Trail.place)
    if person == "largest":
        chosen = max(order, key=lambda trail: trail.extent)
    elif person in ("leftmost", "rightmost"):
        chosen = order[0 if person == "leftmost" else -1]
    elif int(person) <= len(order):
        chosen = order[int(person) - 1]
    else:
        count = "one person" if len(order) == 1 else f"{len(order)} people"
        raise UserError(
            f"{option('person')} {person} is not in {name}: its poses show {count}, numbered from "
            "left to right; name one of them."
        )
    for frame, number in zip(chosen.frames, chosen.numbers, strict=True):
        keypoints[frame], reasons[frame] = shelf[number], ""
        if frame % long_arrays.WINDOW == 0:
            long_arrays.release(keypoints)
    return keypoints, tuple(reasons), most
