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
from jaxtyping import Float, Float32, Real, UInt8

from motion_jax.pose.face import face_boxes
from motion_jax.pose.skeleton import flip as flip_keypoints

# Weights of red, green, blue in the grey of a picture (ITU-R BT.601).
LUMA = np.array([0.299, 0.587, 0.114])
# The pictures of a window, and those whose colours vary.
PICTURES, COLOURED = ("frames", "pose_pictures", "plates"), ("frames", "plates")


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


@dataclass(frozen=True)
class Change:
    """One random change, the same for all frames of a window.

    Attributes:
      corner: (top, left) of the piece that is cut out; None: nothing is cut.
      moves: whether frames are scaled and shifted by what follows.
      scale: about the middle of the frame. right, down: pixels, after that.
      mirrored: whether left and right are exchanged, after that.
      colour: (brightness, contrast, saturation) as `colour` takes them; None: left as they are.
    """

    corner: tuple[int, int] | None = None
    moves: bool = False
    scale: float = 1.0
    right: float = 0.0
    down: float = 0.0
    mirrored: bool = False
    colour: tuple[float, float, float] | None = None


def draw(
    config: AugmentConfig,
    random: np.random.Generator,
    have: tuple[int, int],
    size: tuple[int, int] | None = None,
) -> Change:
    """A change of frames of (height, width) = `have`; size: what `config.crop` cuts out of them.

    random: the source of all its randomness; always the same number of draws is taken.
    """
    draws = random.uniform(-1, 1, 6)
    mirrored = random.random() < 0.5
    corner = None
    if config.crop:
        # Drawn after the others, so that these are the same without a crop.
        place = random.random(2)
        if size is not None:
            top, left = np.floor(place * (np.subtract(have, size) + 1)).astype(int).tolist()
            corner = top, left
    height, width = have if size is None or corner is None else size
    brightness, contrast, saturation = (
        float(strength * each)
        for strength, each in zip(
            (config.brightness, config.contrast, config.saturation), draws[3:], strict=True
        )
    )
    colours = config.brightness or config.contrast or config.saturation
    return Change(
        corner,
        moves=config.scale > 0 or config.shift > 0,
        scale=float(1 + config.scale * draws[0]),
        right=float(config.shift * width * draws[1]),
        down=float(config.shift * height * draws[2]),
        mirrored=config.flip and mirrored,
        colour=(brightness, 1 + contrast, 1 + saturation) if colours else None,
    )


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
      random: see `draw`.
      size: (height, width) to cut out with `config.crop`.
    Returns:
      A window of the same shapes (with `config.crop` of that size); borders repeat the frame's
      edge; face boxes are found again from the keypoints, and moved where there are none.
    """
    height, width = window["frames"].shape[1:3]
    change = draw(config, random, (height, width), size)
    if size is not None and change.corner is not None:
        height, width = size
    keypoints, boxes = changed_points(
        window["keypoints"], window["face_boxes"], change, height, width
    )
    result = {"keypoints": keypoints, "face_boxes": boxes}
    for name in PICTURES:
        if name in window:
            result[name] = _changed_pictures(name, window[name], change, height, width)
    return result


def changed_points(
    keypoints: Float[np.ndarray, "t 137 3"],
    boxes: Real[np.ndarray, "t 4"],
    change: Change,
    height: int,
    width: int,
) -> tuple[Float32[np.ndarray, "t 137 3"], Float32[np.ndarray, "t 4"]]:
    """Keypoints and face boxes of a window after a change; height, width: of what it leaves."""
    if change.corner is not None:
        keypoints, boxes = _cut_points(keypoints, boxes, *change.corner, height, width)
    if change.moves:
        move = change.scale, change.right, change.down
        keypoints = move_keypoints(keypoints, height, width, *move)
        boxes = move_boxes(boxes, height, width, *move)
    if change.mirrored:
        keypoints = np.stack([flip_keypoints(one, width) for one in keypoints])
        known = boxes[:, 2:3] > boxes[:, :1]
        boxes = np.where(known, boxes[:, [0, 3, 2, 1]] * [1, -1, 1, -1] + [0, width, 0, width], 0)
    if change.moves or change.mirrored:
        posed = np.asarray((keypoints[..., 2] > 0).any(-1))[:, None]
        boxes = np.where(posed, face_boxes(keypoints, height, width), boxes)
    return np.asarray(keypoints, np.float32), np.asarray(boxes, np.float32)


def _changed_pictures(
    name: str, pictures: UInt8[np.ndarray, "t a b 3"], change: Change, height: int, width: int
) -> UInt8[np.ndarray, "t h w 3"]:
    if change.corner is not None:
        top, left = change.corner
        pictures = pictures[:, top : top + height, left : left + width]
    if change.moves:
        pictures = move_frames(pictures, change.scale, change.right, change.down)
    if change.mirrored:
        # By OpenCV: NumPy takes twenty times as long to copy a reversed picture.
        pictures = np.stack([cv2.flip(each, 1) for each in pictures])
    if change.colour is not None and name in COLOURED:
        pictures = colour(pictures, *change.colour)
    return np.ascontiguousarray(pictures)


def cut(window: dict[str, np.ndarray], height: int, width: int) -> dict[str, np.ndarray]:
    """The height x width piece in the middle of every frame of a window, with what belongs to it.

    window: see `augment`; its frames are at least as large.

    Returns the window of that size: keypoints outside it are unobserved, and a face box whose
    middle is outside is zero (one that reaches over the edge is shifted inside).
    """
    room = np.array(window["frames"].shape[1:3]) - (height, width)
    top, left = (room // 2).tolist()
    points = _cut_points(window["keypoints"], window["face_boxes"], top, left, height, width)
    pieces = {
        name: window[name][:, top : top + height, left : left + width]
        for name in PICTURES
        if name in window
    }
    return dict(zip(("keypoints", "face_boxes"), points, strict=True)) | pieces


def _cut_points(
    keypoints: np.ndarray, boxes: np.ndarray, top: int, left: int, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    keypoints = np.array(keypoints, np.float32)
    keypoints[..., :2] -= np.array([left, top], np.float32)
    x, y = keypoints[..., 0], keypoints[..., 1]
    seen = (keypoints[..., 2] > 0) & (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
    corner = np.array([top, left, top, left], np.float32)
    keypoints = np.where(seen[..., None], keypoints, np.float32(0))
    return keypoints, _inside(boxes - corner, boxes, height, width)


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
    matrix = colour_matrix(brightness, contrast, saturation)
    flat = frames.reshape(1, -1, 3)
    return cv2.transform(flat, matrix).reshape(frames.shape)


def colour_matrix(
    brightness: float, contrast: float, saturation: float
) -> Float32[np.ndarray, "3 4"]:
    """That affine map: of red, green and blue in 0...255 and 1."""
    grey = np.tile(LUMA, (3, 1))
    mix = contrast * (saturation * np.eye(3) + (1 - saturation) * grey)
    offset = 127.5 * (1 - contrast) + 255 * brightness
    return np.concatenate([mix, np.full((3, 1), offset)], axis=1).astype(np.float32)
