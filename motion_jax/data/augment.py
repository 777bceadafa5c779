"""Augmentation that moves picture and pose together: one random change for all frames of a window.

A plate is moved and coloured exactly as its frame is. A ready pose picture moves exactly as its
frame does. A mirrored one keeps its colours, though: where a drawn skeleton tells left from right
by colour, leave the flip off (Everybody Dance Now does).

Everything is off by default. It helps small data (a source of a thousand frames is learnt by heart
in some fifty epochs); a flip also mirrors the background and what is not the same left and right on
the dancer (a parting, a printed shirt), so leave it off where those matter.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Real, UInt8

from motion_jax.pose.face import face_boxes
from motion_jax.pose.skeleton import flip as flip_keypoints

# Weights of red, green, blue in the grey of a picture (ITU-R BT.601).
LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class AugmentConfig:
    """How strongly windows are varied; zero or False is off."""

    scale: float = 0.0
    """Scale by a factor drawn from 1-scale to 1+scale, about the middle of the frame."""

    shift: float = 0.0
    """Shift by up to this fraction of the width and of the height."""

    flip: bool = False
    """Mirror every second window, exchanging left and right joints (in ready pose pictures nothing
    is exchanged)."""

    crop: bool = False
    """Cut the stage's size out of the dataset's larger frames, at a random place for each window
    (pix2pix: 256x256 out of 286x286); in the middle for samples and evaluation."""

    brightness: float = 0.0
    """Add up to this fraction of white, or take it away."""

    contrast: float = 0.0
    """Multiply the distance from middle grey by 1-contrast to 1+contrast."""

    saturation: float = 0.0
    """Multiply the distance from grey by 1-saturation to 1+saturation."""

    @property
    def active(self) -> bool:
        """Whether anything is on."""
        return self != AugmentConfig()


def augment(
    window: dict[str, np.ndarray],
    config: AugmentConfig,
    random: np.random.Generator,
    size: tuple[int, int] | None = None,
) -> dict[str, np.ndarray]:
    """The window after one random change, the same for all its frames.

    Args:
      window: frames uint8 [T, H, W, 3], keypoints float32 [T, 137, 3], face_boxes float32 [T, 4],
        and for datasets that have them pose_pictures and plates uint8 [T, H, W, 3].
      config: what to vary.
      random: the source of all its randomness; always the same number of draws is taken.
      size: (height, width) to cut out with `config.crop`.
    Returns:
      A window of the same shapes (with `config.crop` of that size); borders repeat the frame's
      edge; face boxes are found again from the keypoints, and moved where there are none.
    """
    draws = random.uniform(-1, 1, 6)
    mirrored = random.random() < 0.5
    # Drawn after the others, so that these are the same without a crop.
    place = random.random(2) if config.crop else None
    if config.crop and size is not None:
        window = cut(window, *size, place)
    frames, keypoints, boxes = window["frames"], window["keypoints"], window["face_boxes"]
    poses, plates = window.get("pose_pictures"), window.get("plates")
    height, width = frames.shape[1:3]
    scale = 1 + config.scale * draws[0]
    right, down = config.shift * width * draws[1], config.shift * height * draws[2]
    moved = config.scale > 0 or config.shift > 0
    if moved:
        frames = move_frames(frames, scale, right, down)
        keypoints = move_keypoints(keypoints, height, width, scale, right, down)
        boxes = move_boxes(boxes, height, width, scale, right, down)
        poses = None if poses is None else move_frames(poses, scale, right, down)
        plates = None if plates is None else move_frames(plates, scale, right, down)
    if config.flip and mirrored:
        # By OpenCV: NumPy takes twenty times as long to copy a reversed picture.
        frames = np.stack([cv2.flip(frame, 1) for frame in frames])
        poses = None if poses is None else np.stack([cv2.flip(pose, 1) for pose in poses])
        plates = None if plates is None else np.stack([cv2.flip(each, 1) for each in plates])
        keypoints = np.stack([flip_keypoints(one, width) for one in keypoints])
        known = boxes[:, 2:3] > boxes[:, :1]
        boxes = np.where(known, boxes[:, [0, 3, 2, 1]] * [1, -1, 1, -1] + [0, width, 0, width], 0)
        moved = True
    if config.brightness or config.contrast or config.saturation:
        change = (
            config.brightness * draws[3],
            1 + config.contrast * draws[4],
            1 + config.saturation * draws[5],
        )
        frames = colour(frames, *change)
        plates = None if plates is None else colour(plates, *change)
    if moved:
        posed = np.asarray((keypoints[..., 2] > 0).any(-1))[:, None]
        boxes = np.where(posed, face_boxes(keypoints, height, width), boxes)
    result = {
        "frames": np.ascontiguousarray(frames),
        "keypoints": np.asarray(keypoints, np.float32),
        "face_boxes": np.asarray(boxes, np.float32),
    }
    more = {"pose_pictures": poses, "plates": plates}
    return result | {
        name: np.ascontiguousarray(each) for name, each in more.items() if each is not None
    }


def cut(
    window: dict[str, np.ndarray],
    height: int,
    width: int,
    place: Float[np.ndarray, "2"] | None = None,
) -> dict[str, np.ndarray]:
    """A height x width piece of every frame of a window, with what belongs to it.

    Args:
      window: see `augment`; its frames are at least as large.
      place: two numbers in [0, 1): how far down and to the right the piece is, every whole pixel
        alike; None is the middle.
    Returns:
      The window of that size: keypoints outside it are unobserved, and a face box whose middle is
      outside is zero (one that reaches over the edge is shifted inside).
    """
    room = np.array(window["frames"].shape[1:3]) - (height, width)
    top, left = room // 2 if place is None else np.floor(place * (room + 1)).astype(int)
    keypoints, boxes = np.array(window["keypoints"], np.float32), window["face_boxes"]
    keypoints[..., :2] -= np.array([left, top], np.float32)
    x, y = keypoints[..., 0], keypoints[..., 1]
    seen = (keypoints[..., 2] > 0) & (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
    corner = np.array([top, left, top, left], np.float32)
    moved = {
        "keypoints": np.where(seen[..., None], keypoints, np.float32(0)),
        "face_boxes": _inside(boxes - corner, boxes, height, width),
    }
    for name in ("frames", "pose_pictures", "plates"):
        if name in window:
            moved[name] = window[name][:, top : top + height, left : left + width]
    return moved


def move_boxes(
    boxes: Real[np.ndarray, "t 4"],
    height: int,
    width: int,
    scale: float,
    right: float,
    down: float,
) -> Real[np.ndarray, "t 4"]:
    """Face boxes whose middles move as `move_frames` moves the picture. They keep their size
    (the face stage's crop has one size), and are shifted inside the frame."""
    sides = boxes[:, 2:] - boxes[:, :2]
    centres = (boxes[:, 2:] + boxes[:, :2]) / 2
    middle = np.array([height / 2, width / 2])
    centres = scale * (centres - middle) + middle + np.array([down, right])
    return _inside(
        np.concatenate([centres - sides / 2, centres + sides / 2], axis=1), boxes, height, width
    )


def _inside(moved: np.ndarray, boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """The moved boxes shifted into the frame; zeros where there was none or its middle is out."""
    limit = np.array([height, width])
    sides = np.minimum(moved[:, 2:] - moved[:, :2], limit)
    centres = (moved[:, 2:] + moved[:, :2]) / 2
    known = (boxes[:, 2] > boxes[:, 0]) & ((centres >= 0) & (centres <= limit)).all(1)
    corners = np.clip(centres - sides / 2, 0, limit - sides)
    shifted = np.concatenate([corners, corners + sides], axis=1)
    return np.where(known[:, None], shifted, 0).astype(np.float32)


def move_frames(
    frames: UInt8[np.ndarray, "t h w 3"], scale: float, right: float, down: float
) -> UInt8[np.ndarray, "t h w 3"]:
    """Frames scaled about the middle, then shifted by pixels; edges are repeated."""
    height, width = frames.shape[1:3]
    # OpenCV counts from the middle of the first pixel, keypoints from the picture's edge.
    x, y = (1 - scale) * (width / 2 - 0.5) + right, (1 - scale) * (height / 2 - 0.5) + down
    matrix = np.array([[scale, 0, x], [0, scale, y]])
    size, border = (width, height), cv2.BORDER_REPLICATE
    return np.stack([cv2.warpAffine(f, matrix, size, borderMode=border) for f in frames])


def move_keypoints(
    keypoints: Float[np.ndarray, "*n 3"],
    height: int,
    width: int,
    scale: float,
    right: float,
    down: float,
) -> Float[np.ndarray, "*n 3"]:
    """Keypoints moved as `move_frames` moves the picture; the unobserved stay zero."""
    observed = keypoints[..., 2:] > 0
    middle = np.array([width / 2, height / 2])
    places = scale * (keypoints[..., :2] - middle) + middle + np.array([right, down])
    return np.concatenate([np.where(observed, places, 0), keypoints[..., 2:]], axis=-1).astype(
        np.float32
    )


def colour(
    frames: UInt8[np.ndarray, "t h w 3"], brightness: float, contrast: float, saturation: float
) -> UInt8[np.ndarray, "t h w 3"]:
    """Frames with saturation, contrast and brightness changed, in this order.

    All three are one affine map of RGB, so that one pass over the picture does it.
    """
    grey = np.tile(LUMA, (3, 1))
    mix = contrast * (saturation * np.eye(3) + (1 - saturation) * grey)
    offset = 127.5 * (1 - contrast) + 255 * brightness
    matrix = np.concatenate([mix, np.full((3, 1), offset)], axis=1).astype(np.float32)
    flat = frames.reshape(1, -1, 3)
    return cv2.transform(flat, matrix).reshape(frames.shape)
