"""Everybody in a frame, by MediaPipe.

Its detector looks at the whole picture in 224x224 pixels and finds, of several people, those that
are large and stand alone. So it is asked again: about the part of the picture where somebody was a
frame ago and is not found now, with those who stand in front painted over; and now and then about
tiles of the picture, in which small people are large. A second look at the mirrored part says
whether it is a person at all (pose/person.py).
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from motion_jax.pose import detect, person
from motion_jax.pose.bundles import Bundle
from motion_jax.pose.landmarks import Found, to_keypoints
from motion_jax.pose.people.observations import RECORD, Observations, records_of, together
from motion_jax.workers import advance, pool, run_jobs, worker_count

# Seconds between two looks at the tiles and at mirrored parts; every so many of them at small ones.
LOOK_SECONDS, SMALL_TILES = 0.4, 3
# Two poses whose trunks are nearer than so many torso lengths are one body.
SAME_BODY = 0.3
# What is asked about again: the box around a person, and so much of its larger side around it.
AROUND = 0.3
# A part of fewer pixels a side shows nobody.
LEAST_PIXELS = 24
GREY = 127
_TRUNK = [11, 12, 23, 24]
_LIMBS = ((11, 13), (13, 15), (12, 14), (14, 16), (23, 25), (25, 27), (24, 26), (26, 28), (11, 12),
          (23, 24), (11, 23), (12, 24))  # fmt: skip


@dataclass(frozen=True)
class _Job:
    source: detect.Source
    bundle: Path
    pieces: tuple[tuple[int, int], ...]
    folder: Path
    look_every: int
    boxes: dict[int, list[tuple[int, np.ndarray]]] | None = None


def observe(
    source: detect.Source,
    bundle: Bundle,
    name: str,
    workers: int | None = None,
    boxes: dict[int, list[tuple[int, np.ndarray]]] | None = None,
) -> Observations:
    """Everybody in all frames of a source.

    Args:
      name: of the video, for what is shown of the progress.
      boxes: of another tracker: for each frame (number of the person or -1, (left, top, right,
        bottom) in pixels); then nothing but these is looked at.
    """
    workers = worker_count(workers)
    count = len(source.times)
    shares = detect.shared_pieces(count, workers)
    step = detect.look_step(source.times, LOOK_SECONDS)
    with (
        pool(workers, ("motion_jax.video.reader", "mediapipe")),
        tempfile.TemporaryDirectory(prefix="motion_jax-people-") as folder,
    ):
        jobs = [
            _Job(
                source, bundle.path, share, Path(folder), step,
                None if boxes is None else {
                    f: boxes[f] for piece in share for f in range(*piece) if f in boxes
                },
            )
            for share in shares
        ]  # fmt: skip
        results = run_jobs(_run, jobs, workers, f"People of {name}", count)
        files = [Path(folder) / f"{first}.npy" for share in shares for first, _ in share]
        records = together(np.load(file) for file in files)
    size = results[0]
    return Observations(records, source.times, (int(size[0]), int(size[1])))


def _run(job: _Job) -> tuple[int, int]:
    """(height, width) of the frames; writes the records of each piece into a file."""
    size = (0, 0)
    finder = Finder(job.bundle)
    try:
        for first, last in job.pieces:
            finder.reset()
            records = [np.zeros(0, RECORD)]
            for number, image in detect.frames(job.source, first, last):
                size = image.shape[:2]
                if job.boxes is None:
                    looks = (number - first) % job.look_every == 0
                    small = looks and (number - first) // job.look_every % SMALL_TILES == 0
                    poses, confirmed = finder.see(image, looks, small)
                    records.append(_records(number, image, poses, confirmed, None))
                else:
                    boxes = job.boxes.get(number, [])
                    found = [(name, finder.within(image, box)) for name, box in boxes]
                    there = [(name, pose) for name, pose in found if pose is not None]
                    names = [name for name, _ in there]
                    records.append(_records(number, image, [p for _, p in there], None, names))
                advance()
            np.save(job.folder / f"{first}.npy", np.concatenate(records))
    finally:
        finder.close()
    return size


def _records(number: int, image: np.ndarray, poses: list, confirmed: Any, named: Any) -> np.ndarray:
    keypoints = [to_keypoints(Found(pose), image.shape[:2]) for pose in poses]
    kept = [i for i, points in enumerate(keypoints) if (points[:, 2] > 0).sum() >= 4]

    def of_kept(values: list | None) -> list | None:
        return None if values is None else [values[i] for i in kept]

    chosen = [keypoints[i] for i in kept]
    return records_of(number, image, chosen, of_kept(confirmed), of_kept(named))


class Finder:
    """Finds everybody in the frames of a video, one after another."""

    def __init__(self, bundle: Path):
        self._many = detect.still_landmarker(bundle, detect.MOST_PEOPLE)
        self._one = detect.still_landmarker(bundle, 1)
        self.reset()

    def reset(self) -> None:
        """Another piece begins."""
        self._before: list[np.ndarray] = []

    def close(self) -> None:
        self._many.close()
        self._one.close()

    def see(
        self, image: UInt8[np.ndarray, "h w 3"], looks: bool, small: bool
    ) -> tuple[list[Float[np.ndarray, "33 4"]], list[int]]:
        """The poses in the next frame, and whether a second look confirmed each (-1: no second
        look).

        Args:
          looks: look at tiles, and again in the mirror; small: at small tiles, too.
        """
        size = image.shape[:2]
        found: list[np.ndarray] = []
        for pose in self._poses(self._many, image, (0, 0)):
            _add(found, pose, size)
        for pose in self._before:
            if not any(_one_body(pose, other) for other in found):
                again = self._again(image, pose, found)
                if again is not None:
                    _add(found, again, size)
        if looks:
            for box in tiles(size[0], size[1], small):
                for pose in self._poses(self._many, *_part(image, box)):
                    _add(found, pose, size)
        self._before = found
        confirmed = [self._confirmed(image, p) if looks else -1 for p in found]
        return list(found), confirmed

    def within(
        self, image: UInt8[np.ndarray, "h w 3"], box: Float[np.ndarray, "4"]
    ) -> Float[np.ndarray, "33 4"] | None:
        """The pose of whoever is in a box; None: nobody is found."""
        part, corner = _part(image, _grown(box, 0.12))
        if min(part.shape[:2]) < LEAST_PIXELS:
            return None
        poses = self._poses(self._one, part, corner)
        if not poses:
            return None
        x, y = poses[0][_TRUNK, :2].mean(0)
        return poses[0] if box[0] <= x <= box[2] and box[1] <= y <= box[3] else None

    def _again(
        self, image: np.ndarray, pose: np.ndarray, others: list[np.ndarray]
    ) -> np.ndarray | None:
        """Looks for somebody where they were a frame ago."""
        box = _grown(person.extent(pose), AROUND)
        part, corner = _part(image, box)
        if min(part.shape[:2]) < LEAST_PIXELS:
            return None
        near = [other for other in others if _overlap(box, person.extent(other))]
        if near:
            part = _painted_over(part, [other[:, :2] - corner for other in near], near)
        for found in self._poses(self._one, part, corner):
            fits = person.disagreement(pose, found) < 1.0
            ratio = person.torso(found) / person.torso(pose)
            if fits and 0.6 < ratio < 1.6 and not any(_one_body(found, o) for o in others):
                return found
        return None

    def _confirmed(self, image: np.ndarray, pose: np.ndarray) -> int:
        """Whether the mirrored part of the picture shows the same."""
        part, corner = _part(image, _grown(person.extent(pose), AROUND))
        if min(part.shape[:2]) < LEAST_PIXELS:
            return 0
        turned = np.ascontiguousarray(part[:, ::-1])
        for other in self._poses(self._one, turned, (0, 0)):
            back = person.mirrored(other, part.shape[1])
            back[:, :2] += corner
            if person.disagreement(pose, back) <= person.MOST_DISAGREEMENT:
                return 1
        return 0

    @staticmethod
    def _poses(landmarker: Any, image: np.ndarray, corner: tuple[int, int]) -> list[np.ndarray]:
        found = detect.poses_in(landmarker, image)
        for pose in found:
            pose[:, :2] += corner
        return found


def tiles(height: int, width: int, small: bool) -> list[Float[np.ndarray, "4"]]:
    """Squares that cover a picture and overlap by a third or more: of its shorter side (none where
    it is nearly square), and with `small` of half of that."""
    shorter = min(height, width)
    found = []
    for side in (shorter, shorter / 2) if small else (shorter,):
        if side == shorter and max(height, width) < 1.25 * shorter:
            continue
        rows, columns = (_starts(length, side) for length in (height, width))
        found += [np.array([x, y, x + side, y + side]) for y in rows for x in columns]
    return found


def _starts(length: float, side: float) -> list[float]:
    count = 1 if length <= side else int(np.ceil((length - side) / (side * 2 / 3))) + 1
    return np.linspace(0, length - side, count).tolist()


def _part(image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """(that part of the picture, its upper left corner)."""
    height, width = image.shape[:2]
    left, top = (max(0, int(np.floor(value))) for value in box[:2])
    right, bottom = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    part = image[top : max(bottom, top), left : max(right, left)]
    return np.ascontiguousarray(part), (left, top)


def _grown(box: np.ndarray, share: float) -> np.ndarray:
    margin = share * max(box[2] - box[0], box[3] - box[1])
    return np.array([box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin])


def _overlap(one: np.ndarray, other: np.ndarray) -> bool:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    return bool((low < high).all())


def _one_body(one: np.ndarray, other: np.ndarray) -> bool:
    size = max(person.torso(one), person.torso(other))
    apart = np.median(np.linalg.norm(one[_TRUNK, :2] - other[_TRUNK, :2], axis=1)) / size
    ratio = person.torso(one) / person.torso(other)
    return bool(min(apart, person.disagreement(one, other)) < SAME_BODY and 0.6 < ratio < 1.67)


def _add(found: list[np.ndarray], pose: np.ndarray, size: tuple[int, int]) -> None:
    """One more, unless it is there already or no person."""
    if not person.single_look(pose, size) and not any(_one_body(pose, other) for other in found):
        found.append(pose)


def _painted_over(
    part: np.ndarray, points: list[np.ndarray], poses: list[np.ndarray]
) -> np.ndarray:
    """The picture with the bodies of others hidden under grey."""
    hidden = part.copy()
    for places, pose in zip(points, poses, strict=True):
        wide = max(2, round(0.3 * person.torso(pose)))
        at = [tuple(int(v) for v in np.rint(place)) for place in places]
        for first, second in _LIMBS:
            cv2.line(hidden, at[first], at[second], (GREY,) * 3, wide)
        hull = cv2.convexHull(np.rint(places[_TRUNK]).astype(np.int32))
        cv2.fillConvexPoly(hidden, hull, (GREY,) * 3)
        cv2.circle(hidden, at[person.NOSE], round(0.4 * person.torso(pose)), (GREY,) * 3, -1)
    return hidden
