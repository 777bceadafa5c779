"""Faces cut out of frames as those of FFHQ are (Karras, Laine & Aila 2019, appendix A): turned
upright, the eyes always in one place.

An alignment is four numbers: x and y of the square's middle in pixels of the frame, measured from
its left and top edges; the natural logarithm of the square's side in pixels; and the angle of its
rows in radians, clockwise as one sees it. Smoothing these, and never the pictures, is what keeps a
translated face from trembling.
"""

import cv2
import numpy as np
from jaxtyping import Float, Float64, UInt8

# MediaPipe's points of the face: corners of the eye on the picture's left and right when the person
# looks at the camera, and of the mouth, left one first.
LEFT_EYE, RIGHT_EYE, MOUTH = (33, 133), (362, 263), (61, 291)
# Around the face, beginning at the top of the forehead.
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
# The sides of the head, whose depths say how far it is turned.
_CHEEKS = (234, 454)
# What lies beyond the frame is the frame mirrored, blurred by this share of the square's side.
_BLUR = 0.02


def alignment(points: Float[np.ndarray, "478 _"]) -> Float64[np.ndarray, "4"]:
    """The four numbers of a face, from its points in pixels (x, y first).

    FFHQ's rule, with the corners of MediaPipe's eyes and mouth in place of those of the 68 points:
    e from eye to eye, m from their middle to the mouth; the square's half row is e + (m_y, -m_x),
    as long as max(2 |e|, 1.8 |m|); its middle is the eyes' + 0.1 m.
    """
    points = np.asarray(points, np.float64)
    left, right, mouth = (points[list(two), :2].mean(0) for two in (LEFT_EYE, RIGHT_EYE, MOUTH))
    e, eyes = right - left, (left + right) / 2
    m = mouth - eyes
    half = e + (m[1], -m[0])
    length = max(2.0 * float(np.hypot(*e)), 1.8 * float(np.hypot(*m)), 1e-3)
    x, y = eyes + 0.1 * m
    return np.array([x, y, np.log(2 * length), np.arctan2(half[1], half[0])])


def turned(points: Float[np.ndarray, "478 3"]) -> float:
    """How far a face is turned to a side, in degrees, 0 looking at the camera; z in pixels too."""
    a, b = np.asarray(points, np.float64)[list(_CHEEKS)]
    return float(np.degrees(np.arctan2(b[2] - a[2], np.hypot(*(b[:2] - a[:2])))))


def place(numbers: Float[np.ndarray, "4"], size: int) -> Float64[np.ndarray, "2 3"]:
    """Where the square's pixels lie in the frame: from places in a square of size x size pixels to
    places in the frame, both measured from the left and top edges."""
    x, y, log_side, angle = np.asarray(numbers, np.float64)
    scale = np.exp(log_side) / size
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[c, -s], [s, c]])
    return np.column_stack([turn, (x, y) - turn @ (size / 2, size / 2)])


def inside(
    numbers: Float[np.ndarray, "4"], points: Float[np.ndarray, "k 2"]
) -> Float64[np.ndarray, "k 2"]:
    """Points of the frame as places in the square, whose sides go from 0 to 1."""
    matrix = place(numbers, 1)
    shifted = np.asarray(points, np.float64) - matrix[:, 2]
    return np.linalg.solve(matrix[:, :2], shifted.T).T


def outside(
    numbers: Float[np.ndarray, "4"], points: Float[np.ndarray, "k 2"]
) -> Float64[np.ndarray, "k 2"]:
    """Places in the square, 0 to 1, as points of the frame."""
    matrix = place(numbers, 1)
    return np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]


def cut(
    frame: UInt8[np.ndarray, "h w 3"], numbers: Float[np.ndarray, "4"], size: int
) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """The square of a face as a picture of size x size pixels."""
    matrix = place(numbers, size)
    part, corner = _around(frame, matrix, size)
    matrix[:, 2] -= corner
    scale = float(np.exp(numbers[2])) / size
    if scale > 1:
        # Made smaller by area averages first, or fine patterns would become others.
        rows, columns = part.shape[:2]
        small = max(1, round(columns / scale)), max(1, round(rows / scale))
        part = cv2.resize(part, small, interpolation=cv2.INTER_AREA)
        matrix = np.diag([small[0] / columns, small[1] / rows]) @ matrix
    beyond = _beyond(frame.shape[:2], numbers, size)
    # OpenCV counts from the middles of pixels.
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    made = cv2.warpAffine(part, matrix, (size, size), flags=how, borderMode=cv2.BORDER_REFLECT)
    if beyond is not None:
        blurred = cv2.GaussianBlur(made, (0, 0), max(_BLUR * size, 0.5))
        mixed = made + beyond[..., None] * (blurred.astype(np.float32) - made)
        made = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return made


def _around(
    frame: np.ndarray, matrix: np.ndarray, size: int
) -> tuple[np.ndarray, Float64[np.ndarray, "2"]]:
    """(the part of the frame that the square touches, and a little more; its upper left corner);
    where it is small beside the frame, turning it costs little then."""
    corners = matrix[:, :2] @ np.array([[0, size, 0, size], [0, 0, size, size]]) + matrix[:, 2:]
    height, width = frame.shape[:2]
    low, high = np.floor(corners.min(1)) - 2, np.ceil(corners.max(1)) + 2
    if (low < 0).any() or high[0] > width or high[1] > height:
        return frame, np.zeros(2)  # what is mirrored at the edge may be anything of the frame
    (left, top), (right, bottom) = low.astype(int), high.astype(int)
    return frame[top:bottom, left:right], np.array([left, top], float)


def _beyond(shape: tuple[int, int], numbers: np.ndarray, size: int) -> np.ndarray | None:
    """How far beyond the frame each of the square's pixels is, 0 inside to 1; None: all inside."""
    height, width = shape
    steps = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(steps, steps)
    at = outside(numbers, np.stack([x.ravel(), y.ravel()], 1)).reshape(size, size, 2)
    away = np.maximum.reduce([-at[..., 0], at[..., 0] - width, -at[..., 1], at[..., 1] - height])
    if away.max() <= 0:
        return None
    return np.clip(away / (4 * _BLUR * np.exp(numbers[2])), 0, 1).astype(np.float32)
