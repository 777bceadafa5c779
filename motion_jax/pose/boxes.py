"""Boxes around the faces or bodies of all people in every frame of a film, by MediaPipe."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from motion_jax.pose import bundles, detect
from motion_jax.pose.detect import MOST_PEOPLE, Source, frames, poses_in, still_landmarker
from motion_jax.workers import advance, run_jobs, worker_count

# Part of the key of cached boxes: increase it when the same film would give others.
VERSION = 1
Kind = Literal["face", "person"]
Box = tuple[float, float, float, float]
# MediaPipe's landmarks.
_NOSE, _EYES, _EARS, _MOUTH = 0, slice(1, 7), slice(7, 9), slice(9, 11)
# What must be as likely as this to be seen: the nose of a face, each joint of a body.
SEEN = 0.5
# A face from brows to chin is about this many times as high as eyes and mouth are apart.
_FACE = 2.4


@dataclass(frozen=True)
class _Job:
    source: Source
    kind: Kind
    bundle: Path
    first: int
    last: int


def boxes_of(
    source: Source, kind: Kind, model: Path | None = None, workers: int | None = None
) -> list[list[Box]]:
    """Of each frame the boxes (left, top, right, bottom), in pixels, of all that are in it.

    Raises UserError where the film or the model cannot be used."""
    bundle = bundles.find_bundle("holistic", model).path
    jobs = [
        _Job(source, kind, bundle, first, last) for first, last in detect.pieces(len(source.times))
    ]
    name = {"face": "faces", "person": "people"}[kind]
    found = run_jobs(_run, jobs, worker_count(workers), f"Looking for {name}", len(source.times))
    return [boxes for part in found for boxes in part]


def _run(job: _Job) -> list[list[Box]]:
    landmarker, found = still_landmarker(job.bundle, MOST_PEOPLE), []
    try:
        for _, image in frames(job.source, job.first, job.last):
            poses = poses_in(landmarker, image)
            boxes = [face_box(p) if job.kind == "face" else body_box(p) for p in poses]
            found.append([box for box in boxes if box is not None])
            advance()
    finally:
        landmarker.close()
    return found


def face_box(pose: Float[np.ndarray, "33 4"]) -> Box | None:
    """Around a face, from brows to chin and from ear to ear; None where no nose is seen."""
    if min(pose[_NOSE, 2:]) < SEEN:
        return None
    eyes, mouth = (pose[part, :2].mean(axis=0) for part in (_EYES, _MOUTH))
    wide = float(np.ptp(pose[_EARS, 0]))
    side = max(wide, _FACE * float(np.linalg.norm(eyes - mouth)))
    x, y = (eyes + mouth) / 2
    return float(x - side / 2), float(y - side / 2), float(x + side / 2), float(y + side / 2)


def body_box(pose: Float[np.ndarray, "33 4"]) -> Box | None:
    """Around the joints that are seen; None where fewer than two are."""
    seen = pose[(pose[:, 2:] >= SEEN).all(axis=1), :2]
    if len(seen) < 2:
        return None
    (left, top), (right, bottom) = np.min(seen, axis=0), np.max(seen, axis=0)
    return float(left), float(top), float(right), float(bottom)
