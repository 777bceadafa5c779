"""What of a face's square is the head: soft masks, and laying a made head back into its frame."""

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from motion_jax.faces.align import inside, outside, place

# The oval is grown about its middle: across, down, and up, where the hair is.
WIDER, LOWER, HIGHER = 1.28, 1.10, 1.60
# Softness of its edge, as a share of the square's side, and of the square's own.
FEATHER = 0.06
# Around a hand's points, as a share of the square's side.
_HAND = 0.05
# Colours are matched by at most this factor, on a ring so wide (a share of the side).
_MOST, _RING = 1.25, 0.08
# Of each picture's factors this share counts at once.
_LIGHT = 0.1
# An oval of a face that FFHQ's rule aligned, where none was measured: middle and half axes.
USUAL = (0.5, 0.56), (0.27, 0.37)


def usual_oval() -> Float32[np.ndarray, "36 2"]:
    """Around an aligned face that nobody has looked at, in the square's places."""
    angles = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    (x, y), (a, b) = USUAL
    return np.stack([x + a * np.sin(angles), y - b * np.cos(angles)], 1).astype(np.float32)


def head_matte(oval: Float[np.ndarray, "36 2"], size: int) -> Float32[np.ndarray, "{size} {size}"]:
    """1 on the head with its hair, falling softly to 0 around it and at the square's edges."""
    oval = np.asarray(oval, np.float64)
    middle = (oval.min(0) + oval.max(0)) / 2
    away = oval - middle
    away[:, 0] *= WIDER
    away[:, 1] *= np.where(away[:, 1] < 0, HIGHER, LOWER)
    hull = cv2.convexHull(np.rint((middle + away) * size * 16).astype(np.int32))
    matte = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(matte, hull, (255,), cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(
        matte, (0, 0), max(FEATHER * size / 2, 0.5), borderType=cv2.BORDER_REPLICATE
    )
    steps = np.minimum(np.arange(size) + 0.5, size - 0.5 - np.arange(size)) / (FEATHER * size)
    edge = np.clip(steps, 0, 1)
    edge = edge * edge * (3 - 2 * edge)
    return (soft.astype(np.float32) / 255) * np.minimum(edge[:, None], edge).astype(np.float32)


def without_hands(
    matte: Float32[np.ndarray, "s s"],
    numbers: Float[np.ndarray, "4"],
    hands: Float[np.ndarray, "n 21 2"],
) -> Float32[np.ndarray, "s s"]:
    """A matte of the square with the hands that are in front of it taken out. hands: points in
    pixels of the frame; NaN: none."""
    there = hands[np.isfinite(hands).all((1, 2))]
    if not len(there):
        return matte
    size = matte.shape[0]
    taken = np.zeros(matte.shape, np.uint8)
    wide = max(round(2 * _HAND * size), 1)
    for hand in there:
        points = np.rint(inside(numbers, hand) * size * 16).astype(np.int32)
        # The palm, and a stroke along each finger from the wrist to the tip.
        cv2.fillConvexPoly(taken, cv2.convexHull(points[[0, 1, 5, 9, 13, 17]]), (255,), 8, 4)
        for finger in range(5):
            chain = points[[0, *range(1 + 4 * finger, 5 + 4 * finger)]]
            cv2.polylines(taken, [chain], False, (255,), wide, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(taken, (0, 0), max(FEATHER * size / 6, 0.5))
    return matte * (1 - soft.astype(np.float32) / 255)


def colour_gains(
    given: UInt8[np.ndarray, "s s 3"],
    made: UInt8[np.ndarray, "s s 4"],
    matte: Float32[np.ndarray, "s s"],
) -> Float32[np.ndarray, "3"]:
    """Factors of red, green and blue that bring what was made into the light of what was given, on
    a ring around the head, where both show the same place."""
    size = matte.shape[0]
    reach = 2 * max(round(_RING * size), 1) + 1
    head = (matte > 0.02).astype(np.uint8)
    ring: Bool[np.ndarray, "s s"] = cv2.dilate(head, np.ones((reach, reach), np.uint8)) > head
    if ring.sum() < 16:
        return np.ones(3, np.float32)
    ratio = (given[ring].mean(0) + 4.0) / (made[ring][:, :3].mean(0) + 4.0)
    return np.clip(ratio, 1 / _MOST, _MOST).astype(np.float32)


class Light:
    """Colours follow the light of a film slowly, of each face for itself."""

    def __init__(self) -> None:
        self._gains: dict[int, np.ndarray] = {}

    def gains(
        self,
        face: int,
        given: UInt8[np.ndarray, "s s 3"],
        made: UInt8[np.ndarray, "s s 4"],
        matte: Float32[np.ndarray, "s s"],
    ) -> Float[np.ndarray, "3"]:
        """`colour_gains` of a face's next picture, slowly. face: a number of its own."""
        now = colour_gains(given, made, matte)
        before = self._gains.get(face, now)
        self._gains[face] = before + _LIGHT * (now - before)
        return self._gains[face]


def laid_back(
    canvas: Float32[np.ndarray, "h w c"],
    made: UInt8[np.ndarray, "s s 4"],
    matte: Float32[np.ndarray, "s s"],
    numbers: Float[np.ndarray, "4"],
    gains: Float[np.ndarray, "3"] | None = None,
) -> tuple[slice, slice] | None:
    """Lays a made head over a frame of colours 0...255 (or one of them), in place.

    Args:
      made: the square's picture, its alpha the network's own, which the matte limits.
      numbers: where it lies.
    Returns:
      Rows and columns that were touched; None: it lies outside.
    """
    size = made.shape[0]
    height, width = canvas.shape[:2]
    corners = outside(numbers, np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]]))
    left, top = np.maximum(np.floor(corners.min(0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(corners.max(0)).astype(int), (width, height))
    if right <= left or bottom <= top:
        return None
    alpha = made[..., 3].astype(np.float32) / 255 * matte
    colours = made[..., :3].astype(np.float32)
    if gains is not None:
        colours = np.minimum(colours * np.asarray(gains, np.float32), 255)
    layer = np.dstack([colours * alpha[..., None], alpha])
    matrix, scale = place(numbers, size), float(np.exp(numbers[2])) / size
    if scale < 1:
        small = max(1, round(size * scale))
        layer = cv2.resize(layer, (small, small), interpolation=cv2.INTER_AREA)
        matrix[:, :2] *= size / small
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5 - (left, top)
    way = cv2.INTER_LINEAR if scale <= 1 else cv2.INTER_LANCZOS4
    moved = cv2.warpAffine(layer, matrix, (int(right - left), int(bottom - top)), flags=way)
    np.clip(moved[..., 3], 0, 1, out=moved[..., 3])
    np.clip(moved[..., :3], 0, 255 * moved[..., 3:], out=moved[..., :3])
    rows, columns = slice(int(top), int(bottom)), slice(int(left), int(right))
    part = canvas[rows, columns]
    part *= 1 - moved[..., 3:]
    part += moved[..., : part.shape[-1]]
    return rows, columns
