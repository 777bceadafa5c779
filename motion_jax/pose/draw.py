"""Pose pictures on the host: Everybody Dance Now's drawing, exact, and the same at any size.

White ground; joints as opaque discs, then limbs as slender ellipses blended over what is there
(0.6 new + 0.4 old), one after the other; then the face points in black; then the right hand, then
the left. Rules and colours after the reference's description of `renderopenpose.py`.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from motion_jax.pose.skeleton import (
    BODY,
    FACE,
    FACE_POINTS,
    HAND_BONES,
    HAND_COLOURS,
    LAYOUTS,
    LEFT_HAND,
    RIGHT_HAND,
)

# Sizes in pixels of a canvas 1080 high.
CANVAS_HEIGHT = 1080
JOINT_RADIUS = 8
LIMB_HALF_WIDTH = 4
FACE_RADIUS = 4
HAND_RADIUS = 3
BONE_HALF_WIDTH = 2

# Share of the new colour where a limb covers the picture.
BLEND = 0.6
# A face is drawn if its mean confidence reaches this, a hand's joint if its own exceeds that.
FACE_MEAN_CONFIDENCE = 0.2
HAND_CONFIDENCE = 0.05


@dataclass(frozen=True)
class PoseStyle:
    """How a pose is drawn, on the host and on the device alike."""

    stroke: float = 1.0
    """Widths and radii, as multiples of Everybody Dance Now's at the same share of the height.
    Small pictures gain from more: at 128 pixels and stroke 1 a limb is one pixel wide."""
    face_points: int = 8
    """Which of the 70 face points are drawn: 0, 8 (reference), 9, 22 or 70."""
    hands: bool = True
    """Whether the hands' joints and bones are drawn."""
    body: str = "body25"
    """The layout of the body: "body25", "body23" (the released data's) or "coco18"."""

    def __post_init__(self) -> None:
        if self.face_points not in FACE_POINTS:
            raise ValueError(f"face_points is {self.face_points}; choose from {list(FACE_POINTS)}")
        if self.body not in LAYOUTS:
            raise ValueError(f"body is {self.body!r}; choose from {list(LAYOUTS)}")
        if not self.stroke > 0:
            raise ValueError(f"stroke is {self.stroke}; it must be above 0")


def draw_edn(
    keypoints: Float[np.ndarray, "137 3"],
    height: int = 512,
    width: int = 1024,
    canvas: tuple[int, int] = (1080, 1920),
    face_points: int = 8,
    body: str = "body25",
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """Everybody Dance Now's label picture, exactly.

    Args:
      keypoints: in pixels of the canvas.
      height, width: of the result; the canvas is resized to it (Lanczos), whatever its proportions.
      canvas: (height, width) of the drawing.
      face_points: how many face points are drawn (see `PoseStyle`).
      body: layout of the body; the released data has "body23".

    Returns:
      RGB as in the files that the original saves.
    """
    picture = np.full((*canvas, 3), 255, np.uint8)
    draw_on_canvas(picture, keypoints, PoseStyle(face_points=face_points, body=body))
    return _resize(picture, height, width)[..., ::-1].copy()


def draw_host(
    keypoints: Float[np.ndarray, "137 3"], height: int, width: int, style: PoseStyle | None = None
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """The same drawing, RGB, for keypoints in pixels of a height x width frame.

    Line widths are height / 1080 * stroke of the original's. It is drawn `supersampling` times
    larger with sixteenths of a pixel instead of the original's truncation to whole pixels and
    degrees (which makes limbs tremble), and averaged down, so that every size has smooth edges.
    """
    style = style or PoseStyle()
    factor = supersampling(height)
    picture = np.full((height * factor, width * factor, 3), 255, np.uint8)
    enlarged = np.asarray(keypoints, np.float32) * np.array([factor, factor, 1], np.float32)
    scale = height * factor / CANVAS_HEIGHT * style.stroke
    draw_on_canvas(picture, enlarged, style, scale, truncate=False)
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return small[..., ::-1].copy()


def supersampling(height: int) -> int:
    """How many times larger `draw_host` draws: the canvas is at least 1080 high."""
    return max(2, -(-CANVAS_HEIGHT // height))


def draw_on_canvas(
    canvas: UInt8[np.ndarray, "h w 3"],
    keypoints: Float[np.ndarray, "137 3"],
    style: PoseStyle,
    scale: float = 1.0,
    truncate: bool = True,
) -> None:
    """Draws keypoints in pixels of the canvas onto it, in place.

    Args:
      canvas: in canvas channel order (a saved picture's reversed).
      scale: multiplies all radii and half widths.
      truncate: positions, lengths and angles to whole numbers, as the original does.
    """
    disc, limb = (_disc, _limb) if truncate else (_smooth_disc, _smooth_limb)
    keypoints = np.asarray(keypoints, np.float64)
    layout = LAYOUTS[style.body]
    body = keypoints[BODY][list(layout.body25)]
    seen = body[:, 2] > 0
    for point, colour, draw in zip(body, layout.colours, seen, strict=True):
        if draw:
            disc(canvas, point, JOINT_RADIUS * scale, colour)
    for first, second in layout.limbs:
        if seen[first] and seen[second]:
            limb(canvas, body[first], body[second], LIMB_HALF_WIDTH * scale, layout.colours[first])

    face = keypoints[FACE]
    if face[:, 2].mean() >= FACE_MEAN_CONFIDENCE:
        for index in FACE_POINTS[style.face_points]:
            if face[index, 2] > 0:
                disc(canvas, face[index], FACE_RADIUS * scale, (0, 0, 0))

    if not style.hands:
        return
    for hand in (keypoints[RIGHT_HAND], keypoints[LEFT_HAND]):
        seen = hand[:, 2] > HAND_CONFIDENCE
        for point, colour, draw in zip(hand, HAND_COLOURS, seen, strict=True):
            if draw:
                disc(canvas, point, HAND_RADIUS * scale, colour)
        for first, second, number in HAND_BONES:
            if seen[first] and seen[second]:
                half_width = BONE_HALF_WIDTH * scale
                limb(canvas, hand[first], hand[second], half_width, HAND_COLOURS[number])


def _drawable(canvas: np.ndarray, *points: np.ndarray) -> bool:
    """Whether the points are within a few frames' reach: OpenCV's integers end somewhere, and a
    limb that far away says nothing."""
    reach = 4 * max(canvas.shape[:2])
    return all(np.isfinite(point).all() and np.abs(point[:2]).max() < reach for point in points)


def _whole(length: float) -> int:
    return max(1, round(length))


def _disc(canvas: np.ndarray, point: np.ndarray, radius: float, colour: tuple) -> None:
    if _drawable(canvas, point):
        centre = (int(point[0]), int(point[1]))
        cv2.circle(canvas, centre, _whole(radius), colour, thickness=-1)


def _limb(
    canvas: np.ndarray, first: np.ndarray, second: np.ndarray, half_width: float, colour: tuple
) -> None:
    if not _drawable(canvas, first, second):
        return
    (dx, dy), middle = (first - second)[:2], (first + second)[:2] / 2
    centre = (int(middle[0]), int(middle[1]))
    axes = (int(np.hypot(dx, dy) / 2), _whole(half_width))
    angle = int(np.degrees(np.arctan2(dy, dx)))
    outline = np.asarray(cv2.ellipse2Poly(centre, axes, angle, 0, 360, 1))
    _blend(canvas, outline, colour, 0)


# The smooth drawing hands coordinates to OpenCV as integers in units of 1/16 pixel.
_SHIFT = 4
_TURN = np.linspace(0, 2 * np.pi, 120, endpoint=False)
_TURN = np.stack([np.cos(_TURN), np.sin(_TURN)])


def _fixed(point: np.ndarray) -> np.ndarray:
    """Coordinates measured from the picture's edge -> OpenCV's, measured from the middle of the
    first pixel, in units of 1/16 pixel."""
    return np.rint((point - 0.5) * (1 << _SHIFT)).astype(np.int32)


def _smooth_disc(canvas: np.ndarray, point: np.ndarray, radius: float, colour: tuple) -> None:
    if _drawable(canvas, point):
        outline = _fixed(point[:2] + radius * _TURN.T)
        cv2.fillConvexPoly(canvas, outline, colour, shift=_SHIFT)


def _smooth_limb(
    canvas: np.ndarray, first: np.ndarray, second: np.ndarray, half_width: float, colour: tuple
) -> None:
    if not _drawable(canvas, first, second):
        return
    along = (first - second)[:2] / 2
    length = max(np.hypot(*along), 1e-6)
    across = np.array([-along[1], along[0]]) / length * half_width
    outline = (first + second)[:2] / 2 + _TURN.T @ np.stack([along, across])
    _blend(canvas, _fixed(outline), colour, _SHIFT)


def _blend(canvas: np.ndarray, outline: np.ndarray, colour: tuple, shift: int) -> None:
    """Fills a convex outline (integers in units of 1 / 2^shift pixel) with 0.6 new + 0.4 old."""
    # Blending changes nothing where nothing is drawn, so only the limb's surroundings are blended.
    margin = 2
    left, top = np.maximum((outline.min(0) >> shift) - margin, 0)
    right, bottom = np.minimum((outline.max(0) >> shift) + margin + 1, canvas.shape[1::-1])
    if left >= right or top >= bottom:
        return
    part = canvas[top:bottom, left:right]
    covered = part.copy()
    moved = outline - (np.array([left, top], np.int32) << shift)
    cv2.fillConvexPoly(covered, moved.astype(np.int32), colour, shift=shift)
    canvas[top:bottom, left:right] = cv2.addWeighted(part, 1 - BLEND, covered, BLEND, 0)


def _resize(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    if picture.shape[:2] == (height, width):
        return picture
    image = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image)
