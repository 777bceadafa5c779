"""MediaPipe's landmarks of one person in one frame, as keypoints and as records of a file.

A file holds one record for each frame of a video. The processes that look at the frames write it,
so that the landmarks of a long video are never all in memory.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Shaped

from motion_jax import files
from motion_jax.pose import long_arrays, person, skeleton

# A landmark less likely than this to be inside the frame is MediaPipe's guess.
LEAST_PRESENCE = 0.3
# Limits, in torso lengths, of how far a hand or a face may be from the wrist or nose it belongs to.
HAND_REACH = 0.4
FACE_REACH = 0.35
# MediaPipe's landmarks 0-6 are the nose and the eyes, 9 and 10 the mouth.
_NOSE_AND_EYES = [0, 1, 2, 3, 4, 5, 6, 9, 10]

# What is kept of a frame: whether a pose was found, the pose, and what `to_keypoints` makes of it.
RECORD = np.dtype(
    [("found", "?"), ("pose", "f4", (33, 4)), ("keypoints", "f4", (137, 3))], align=True
)


@dataclass
class Found:
    """One frame's landmarks of one person, in pixels: pose (x, y, visibility, presence), and with
    "holistic", where found, face, left and right hand (the person's own left and right)."""

    pose: Float[np.ndarray, "33 4"]
    face: Float[np.ndarray, "478 2"] | None = None
    left: Float[np.ndarray, "21 2"] | None = None
    right: Float[np.ndarray, "21 2"] | None = None


def to_keypoints(found: Found, size: tuple[int, int]) -> Float32[np.ndarray, "137 3"]:
    """Landmarks of one frame of (height, width) as keypoints.

    Confidence of the body is MediaPipe's visibility. What lies outside the frame, or is there with
    a probability (presence) under 0.3, was not observed. Face and hands have no confidence of
    their own: a face has the mean visibility of the head, a hand the visibility of its wrist
    (0.3 at least, because the hand itself was found), and neither is kept where it hangs far from
    the nose or wrist of the body or has an impossible size. MediaPipe reports nose and eyes of
    people seen from behind as visible; where no face was found and the person's left shoulder is on
    the left of the picture, they were not observed.
    """
    height, width = size
    pose = found.pose.copy()
    pose[pose[:, 3] < LEAST_PRESENCE] = 0
    unit = person.torso(found.pose)
    head = float(found.pose[:11, 2].mean())
    wrists = {"left": found.pose[15], "right": found.pose[16]}
    hands = {
        "left": _believed(found.left, 0, wrists["left"], unit, HAND_REACH, (0.05, 0.9)),
        "right": _believed(found.right, 0, wrists["right"], unit, HAND_REACH, (0.05, 0.9)),
    }
    # Vertex 1 of the face mesh is the tip of the nose.
    face = _believed(found.face, 1, found.pose[person.NOSE], unit, FACE_REACH, (0.1, 1.5))
    across = found.pose[person.LEFT_SHOULDER, 0] - found.pose[person.RIGHT_SHOULDER, 0]
    if face is None and across < -0.15 * unit:
        pose[_NOSE_AND_EYES] = 0
    keypoints = skeleton.from_mediapipe(
        pose, face, hands["left"], hands["right"], face_confidence=float(np.clip(head, 0.3, 1.0))
    )
    for part, side in ((skeleton.LEFT_HAND, "left"), (skeleton.RIGHT_HAND, "right")):
        if hands[side] is not None:
            keypoints[part, 2] = np.clip(wrists[side][2], 0.3, 1.0)
    x, y = keypoints[:, 0], keypoints[:, 1]
    keypoints[(x < 0) | (x >= width) | (y < 0) | (y >= height)] = 0
    return keypoints


def _believed(
    points: np.ndarray | None,
    root: int,
    at: np.ndarray,
    unit: float,
    reach: float,
    sizes: tuple[float, float],
) -> np.ndarray | None:
    """The points of a hand or face, or None where their root is farther than `reach` torso lengths
    from the body's landmark `at`, or their extent is not within `sizes` torso lengths."""
    if points is None:
        return None
    away = np.linalg.norm(points[root] - at[:2]) / unit
    extent = float(np.max(np.ptp(points, axis=0))) / unit
    return points if away <= reach and sizes[0] <= extent <= sizes[1] else None


class RecordFile:
    """The records of all frames in a file."""

    def __init__(self, path: Path):
        self.path = path

    def make(self, count: int) -> None:
        """Makes it, for so many frames with nothing found."""
        with files.writing(self.path), open(self.path, "wb") as file:
            file.truncate(count * RECORD.itemsize)

    def write(self, number: int, found: Found | None, size: tuple[int, int]) -> None:
        """Of the frame `number`, of (height, width)."""
        record = np.zeros((), RECORD)
        if found is not None:
            record["found"], record["pose"] = True, found.pose
            record["keypoints"] = to_keypoints(found, size)
        with files.writing(self.path), open(self.path, "r+b") as file:
            file.seek(number * RECORD.itemsize)
            file.write(record.tobytes())

    def read(self, count: int) -> Shaped[np.ndarray, " n"]:
        return long_arrays.opened(self.path, RECORD, count)
