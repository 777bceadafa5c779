"""Where the face is: the square that the face stage looks at."""

import numpy as np
from jaxtyping import Float, Float32

from motion_jax.pose.skeleton import FACE, INDEX, midpoint

# Side of the box as a share of the frame's height (128 of 512 in Everybody Dance Now).
SIDE = 0.25

_FACE_NOSE_TIP = FACE.start + 30


def face_centre(keypoints: Float[np.ndarray, "*n 137 3"]) -> Float32[np.ndarray, "*n 3"]:
    """(x, y, confidence) of the face: the nose if observed, else the middle
    of the ears, else the one ear, else the face's own nose tip; zero if there is nothing of these.

    The first three are Everybody Dance Now's rule (`renderopenpose.py`; it takes a left ear that
    was not observed too, as (0, 0)). The last serves poses that hold a face and no body.
    """
    keypoints = np.asarray(keypoints, np.float32)
    right, left = keypoints[..., INDEX["right_ear"], :], keypoints[..., INDEX["left_ear"], :]
    centre = np.zeros(keypoints.shape[:-2] + (3,), np.float32)
    for candidate in (
        keypoints[..., INDEX["nose"], :],
        midpoint(right, left),
        right,
        left,
        keypoints[..., _FACE_NOSE_TIP, :],
    ):
        centre = np.where(centre[..., 2:] > 0, centre, candidate)
    return np.where(centre[..., 2:] > 0, centre, np.float32(0))


def face_boxes(
    keypoints: Float[np.ndarray, "*n 137 3"], height: int, width: int
) -> Float32[np.ndarray, "*n 4"]:
    """The boxes of faces, from keypoints in pixels of a height x width frame.

    A box is (top, left, bottom, right) in pixels, a square of side height / 4 (less in a frame
    narrower than that) around `face_centre`, shifted inside the frame; four zeros where no face is
    known or its centre lies outside the frame.
    """
    centre = face_centre(keypoints)
    side = min(height * SIDE, width)
    x, y = centre[..., 0], centre[..., 1]
    known = (centre[..., 2] > 0) & (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
    top = np.clip(y - side / 2, 0, height - side)
    left = np.clip(x - side / 2, 0, width - side)
    boxes = np.stack([top, left, top + side, left + side], axis=-1).astype(np.float32)
    return np.where(known[..., None], boxes, np.float32(0))


def face_heights(keypoints: Float[np.ndarray, "n 137 3"]) -> Float32[np.ndarray, " n"]:
    """From the highest to the lowest of the face's observed points, in pixels; NaN where fewer than
    two were observed."""
    face = np.asarray(keypoints, np.float32)[:, FACE]
    seen = face[..., 2] > 0
    low = np.where(seen, face[..., 1], np.inf).min(1)
    high = np.where(seen, face[..., 1], -np.inf).max(1)
    known = seen.sum(1) > 1
    return np.where(known, np.where(known, high, 0) - np.where(known, low, 0), np.float32(np.nan))


def edn_face_box(
    centre: tuple[float, float],
    canvas: tuple[int, int] = (1080, 1920),
    size: tuple[int, int] = (512, 1024),
    buffer: int = 70,
) -> tuple[int, int, int, int]:
    """Everybody Dance Now's own face box, truncations included, for parity.

    Args:
      centre: (x, y) on the canvas.
      canvas, size: (height, width) of the canvas and of the training picture.
      buffer: half side on the canvas in pixels.

    Returns:
      (top, bottom, left, right) in pixels of the training picture, in the order of its text files.
    """
    spans = []
    for middle, full, target in ((centre[1], canvas[0], size[0]), (centre[0], canvas[1], size[1])):
        low, high = max(middle - buffer, 0), min(middle + buffer, full)
        spans.append(edn_grow(int(low * target / full), int(high * target / full), target))
    (top, bottom), (left, right) = spans
    return top, bottom, left, right


def edn_grow(low: int, high: int, limit: int, side: int = 128) -> tuple[int, int]:
    """Widens the interval [low, high] to `side` pixels inside 0...limit, the original's way."""
    missing = side - (high - low)
    if missing:
        high += missing // 2
        low = high - side
    if high > limit:
        low, high = limit - side, limit
    if low < 0:
        low, high = 0, side
    return low, high
