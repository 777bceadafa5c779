"""Every face of every frame, by MediaPipe's landmarks.

The detector of faces sees those that are large in the picture it is shown. So a face is looked for
where it was a frame ago, in a part of the picture in which it is large; and now and then new ones
are looked for in the whole picture, in tiles of it, and around the heads of the bodies that the
detector of bodies finds, which sees small people.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, UInt8

from motion_jax.faces.align import OVAL, alignment, turned
from motion_jax.pose import detect
from motion_jax.pose.bundles import find_bundle
from motion_jax.pose.people.detector import tiles
from motion_jax.workers import advance, pool, run_jobs, worker_count

# Seconds between two looks for new faces.
LOOK_SECONDS = 0.4
# A face that was lost is looked for where it was for so many frames.
HELD = 10
# Most faces that are followed in a frame: the largest.
MOST_FACES = 32
# What is looked at around a face: so many sides of its square.
_AROUND = 1.3
# The same face: middles nearer than so many sides, and sides that differ by less than this factor.
_NEAR, _ALIKE = 0.35, 1.7
# A face whose square is smaller shows nothing, in pixels.
LEAST_SIDE = 24.0
_HEAD = slice(0, 11)  # of the 33 points of a body
HANDS = 2

# What is kept of a face in a frame. numbers: see align; oval: points around it, and hands: those of
# up to two hands in front of or beside it, in pixels of the frame (NaN: none); turn: degrees.
RECORD = np.dtype(
    [("frame", "i4"), ("numbers", "f8", (4,)), ("oval", "f4", (36, 2)), ("turn", "f4"),
     ("hands", "f4", (HANDS, 21, 2))]
)  # fmt: skip


@dataclass(frozen=True)
class Faces:
    """Everything that was seen in a film.

    Attributes:
      records: of RECORD, in order of frames; times: seconds of all frames.
      size: (height, width) of the frames; crowded: how many frames had more than MOST_FACES.
    """

    records: np.ndarray
    times: Float64[np.ndarray, " n"]
    size: tuple[int, int]
    crowded: int


def landmarkers(model: Path | None, hands: bool) -> tuple[Path, Path | None]:
    """The files of MediaPipe's holistic landmarker, and of its hand landmarker where hands are
    looked for. model: a file, which is the first one, or the folder of both; None: see
    bundles.find_bundle."""
    folder = model if model is not None and model.is_dir() else None
    both = find_bundle("holistic", model).path
    return both, find_bundle("hands", folder).path if hands else None


@dataclass(frozen=True)
class _Job:
    source: detect.Source
    bundle: Path
    hands: Path | None
    pieces: tuple[tuple[int, int], ...]
    folder: Path
    look_every: int


def observe(
    source: detect.Source, bundle: Path, hands: Path | None, workers: int | None = None
) -> Faces:
    """All faces in all frames of a source. The result does not depend on the number of workers.

    Args:
      bundle: MediaPipe's holistic landmarker; hands: its hand landmarker; None: hands are not
        looked for.
    """
    workers = worker_count(workers)
    count = len(source.times)
    shares = detect.shared_pieces(count, workers)
    step = detect.look_step(source.times, LOOK_SECONDS)
    with (
        pool(workers, ("motion_jax.video.reader", "mediapipe")),
        tempfile.TemporaryDirectory(prefix="motion_jax-faces-") as folder,
    ):
        jobs = [_Job(source, bundle, hands, share, Path(folder), step) for share in shares]
        results = run_jobs(_run, jobs, workers, f"Faces of {source.path.name}", count)
        files = [Path(folder) / f"{first}.npy" for share in shares for first, _ in share]
        records = np.concatenate([np.load(file) for file in files])
    return Faces(records, source.times, results[0][0], sum(crowded for _, crowded in results))


def _run(job: _Job) -> tuple[tuple[int, int], int]:
    """((height, width) of the frames, how many were crowded); writes each piece's records."""
    size, crowded = (0, 0), 0
    finder = Finder(job.bundle, job.hands)
    try:
        for first, last in job.pieces:
            finder.reset()
            found: list[np.ndarray] = [np.zeros(0, RECORD)]
            for number, image in detect.frames(job.source, first, last):
                size = image.shape[:2]
                records = finder.see(image, (number - first) % job.look_every == 0)
                crowded += finder.crowded
                records["frame"] = number
                found.append(records)
                advance()
            np.save(job.folder / f"{first}.npy", np.concatenate(found))
    finally:
        finder.close()
    return size, crowded


class Finder:
    """Finds the faces of frames, one after another.

    far: new ones are looked for in tiles of the picture and around the heads of bodies, too, where
    small faces are found, for some tenths of a second.
    """

    def __init__(self, bundle: Path, hands: Path | None, far: bool = True):
        self._many = detect.face_landmarker(bundle, MOST_FACES)
        self._one = detect.face_landmarker(bundle, 1)
        self._bodies = detect.still_landmarker(bundle, detect.MOST_PEOPLE) if far else None
        self._hands = None if hands is None else detect.hand_landmarker(hands, HANDS)
        self.reset()

    def reset(self) -> None:
        """Another piece begins."""
        # Numbers of the faces of the last frames, and for how many frames each is lost.
        self._before: list[tuple[np.ndarray, int]] = []
        self.crowded = False

    def close(self) -> None:
        for landmarker in (self._many, self._one, self._bodies, self._hands):
            if landmarker is not None:
                landmarker.close()

    def see(self, image: UInt8[np.ndarray, "h w 3"], looks: bool) -> np.ndarray:
        """The faces of the next frame, RECORD without frame numbers. looks: for new ones, too."""
        found: list[tuple[np.ndarray, np.ndarray]] = []
        missing = []
        for numbers, lost in self._before:
            points = self._again(image, numbers)
            if points is None or not self._add(found, points):
                missing.append((numbers, lost + 1))
        if looks or (missing and not found):
            for points in self._new(image):
                self._add(found, points)
        found.sort(key=lambda face: -face[0][2])
        self.crowded = len(found) > MOST_FACES
        found = found[:MOST_FACES]
        waiting = [
            (numbers, count)
            for numbers, count in missing
            if count <= HELD and not any(_same(numbers, other) for other, _ in found)
        ]
        self._before = [(numbers, 0) for numbers, _ in found] + waiting
        records = np.zeros(len(found), RECORD)
        for record, (numbers, points) in zip(records, found, strict=True):
            record["numbers"], record["oval"] = numbers, points[list(OVAL), :2]
            record["turn"] = turned(points)
            record["hands"] = self._in_front(image, numbers)
        return records

    @staticmethod
    def _add(found: list[tuple[np.ndarray, np.ndarray]], points: np.ndarray) -> bool:
        """One more face, unless it is there already or too small; whether it was added."""
        numbers = alignment(points)
        if np.exp(numbers[2]) < LEAST_SIDE or any(_same(numbers, other) for other, _ in found):
            return False
        found.append((numbers, points))
        return True

    def _again(self, image: np.ndarray, numbers: np.ndarray) -> np.ndarray | None:
        """The face that was at some place a frame ago."""
        for points in self._within(image, self._one, _box(numbers)):
            if _same(alignment(points), numbers):
                return points
        return None

    def _new(self, image: np.ndarray) -> list[np.ndarray]:
        """All that is found without knowing where to look."""
        height, width = image.shape[:2]
        whole = np.array([0, 0, width, height], float)
        parts = [whole, *(() if self._bodies is None else tiles(height, width, True))]
        found = [p for part in parts for p in self._within(image, self._many, part)]
        if self._bodies is None:
            return found
        for part in [whole, *tiles(height, width, False)]:
            cut, corner = _part(image, part)
            for body in detect.poses_in(self._bodies, cut):
                head = body[_HEAD, :2] + corner
                middle, extent = head.mean(0), float(np.ptp(head, axis=0).max())
                # Ears and mouth of a head reach half as far as its square (align).
                half = 1.6 * extent
                box = np.array([*(middle - half), *(middle + half)])
                if 2 * half >= LEAST_SIDE:
                    found += self._within(image, self._one, box)
        return found

    def _within(self, image: np.ndarray, landmarker: Any, box: np.ndarray) -> list[np.ndarray]:
        part, corner = _part(image, box)
        if min(part.shape[:2]) < LEAST_SIDE:
            return []
        found = detect.faces_in(landmarker, part)
        for points in found:
            points[:, :2] += corner
        return found

    def _in_front(self, image: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Points of hands near a face, in pixels of the frame; NaN: none."""
        result = np.full((HANDS, 21, 2), np.nan, np.float32)
        if self._hands is None:
            return result
        part, corner = _part(image, _box(numbers))
        if min(part.shape[:2]) >= LEAST_SIDE:
            for i, points in enumerate(detect.hands_in(self._hands, part)[:HANDS]):
                result[i] = points + corner
        return result


def _box(numbers: np.ndarray) -> Float[np.ndarray, "4"]:
    half = 0.5 * _AROUND * np.exp(numbers[2])
    return np.array([*(numbers[:2] - half), *(numbers[:2] + half)])


def _part(image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, Float[np.ndarray, "2"]]:
    """(the part of the picture in a box, its upper left corner)."""
    height, width = image.shape[:2]
    left, top = (max(0, int(np.floor(value))) for value in box[:2])
    right, bottom = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    part = image[top : max(bottom, top), left : max(right, left)]
    return np.ascontiguousarray(part), np.array([left, top], float)


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two alignments are of one face."""
    side = np.exp(max(one[2], other[2]))
    near = np.hypot(*(one[:2] - other[:2])) < _NEAR * side
    return bool(near and abs(one[2] - other[2]) < np.log(_ALIKE))


@dataclass(frozen=True)
class _Pictures:
    pictures: UInt8[np.ndarray, "n h w 3"]
    bundle: Path


def in_pictures(
    pictures: UInt8[np.ndarray, "n h w 3"], bundle: Path, workers: int | None = None
) -> list[Float[np.ndarray, "478 3"] | None]:
    """The points of the one face in each of some pictures; None where there is none, or several.

    Several calls share their processes in a `workers.pool`."""
    workers = worker_count(workers)
    shares = np.array_split(pictures, min(workers, len(pictures)))
    jobs = [_Pictures(share, bundle) for share in shares]
    found = run_jobs(_look, jobs, workers, "Faces", len(pictures))
    return [points for share in found for points in share]


def _look(job: _Pictures) -> list[np.ndarray | None]:
    landmarker = detect.face_landmarker(job.bundle, 2)
    try:
        result = []
        for picture in job.pictures:
            faces = detect.faces_in(landmarker, np.ascontiguousarray(picture))
            result.append(faces[0] if len(faces) == 1 else None)
            advance()
        return result
    finally:
        landmarker.close()
