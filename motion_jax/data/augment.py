"""Augmentation that moves picture and pose together: one random change for all frames of a window.

Everything is off by default. It helps small data (a source of a thousand frames is learnt by heart
in some fifty epochs); a flip also turns the background and the dancer's left-right asymmetries
(a parting, a printed shirt) round, so leave it off where those matter.
"""

from dataclasses import dataclass

import cv2
import numpy as np

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
    """Mirror every second window, exchanging left and right joints."""

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
    window: dict[str, np.ndarray], config: AugmentConfig, random: np.random.Generator
) -> dict[str, np.ndarray]:
    """The window after one random change, the same for all its frames.

    Args:
      window: frames uint8 [T, H, W, 3], keypoints float32 [T, 137, 3], face_boxes float32 [T, 4].
      config: what to vary.
      random: the source of all its randomness; always the same number of draws is taken.
    Returns:
      A window of the same shapes; borders repeat the frame's edge, face boxes are found anew.
    """
    frames, keypoints = window["frames"], window["keypoints"]
    height, width = frames.shape[1:3]
    draws = random.uniform(-1, 1, 6)
    mirrored = random.random() < 0.5
    scale = 1 + config.scale * draws[0]
    right, down = config.shift * width * draws[1], config.shift * height * draws[2]

    moved = config.scale > 0 or config.shift > 0
    if moved:
        frames = move_frames(frames, scale, right, down)
        keypoints = move_keypoints(keypoints, height, width, scale, right, down)
    if config.flip and mirrored:
        # By OpenCV: NumPy takes twenty times as long to copy a reversed picture.
        frames = np.stack([cv2.flip(frame, 1) for frame in frames])
        keypoints = np.stack([flip_keypoints(one, width) for one in keypoints])
        moved = True
    if config.brightness or config.contrast or config.saturation:
        frames = colour(
            frames,
            config.brightness * draws[3],
            1 + config.contrast * draws[4],
            1 + config.saturation * draws[5],
        )
    boxes = face_boxes(keypoints, height, width) if moved else window["face_boxes"]
    return {
        "frames": np.ascontiguousarray(frames),
        "keypoints": np.asarray(keypoints, np.float32),
        "face_boxes": np.asarray(boxes, np.float32),
    }


def move_frames(frames: np.ndarray, scale: float, right: float, down: float) -> np.ndarray:
    """uint8 [T, H, W, 3] scaled about the middle, then shifted by pixels; edges are repeated."""
    height, width = frames.shape[1:3]
    # OpenCV counts from the middle of the first pixel, keypoints from the picture's edge.
    matrix = np.array(
        [
            [scale, 0, (1 - scale) * (width / 2 - 0.5) + right],
            [0, scale, (1 - scale) * (height / 2 - 0.5) + down],
        ]
    )
    return np.stack(
        [
            cv2.warpAffine(
                frame,
                matrix,
                (width, height),
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for frame in frames
        ]
    )


def move_keypoints(
    keypoints: np.ndarray, height: int, width: int, scale: float, right: float, down: float
) -> np.ndarray:
    """Keypoints [..., 3] moved as `move_frames` moves the picture; the unobserved stay zero."""
    observed = keypoints[..., 2:] > 0
    middle = np.array([width / 2, height / 2])
    places = scale * (keypoints[..., :2] - middle) + middle + np.array([right, down])
    return np.concatenate([np.where(observed, places, 0), keypoints[..., 2:]], axis=-1).astype(
        np.float32
    )


def colour(frames: np.ndarray, brightness: float, contrast: float, saturation: float) -> np.ndarray:
    """uint8 [T, H, W, 3] with saturation, contrast and brightness changed, in this order.

    All three are one affine map of RGB, so that one pass over the picture does it.
    """
    grey = np.tile(LUMA, (3, 1))
    mix = contrast * (saturation * np.eye(3) + (1 - saturation) * grey)
    offset = 127.5 * (1 - contrast) + 255 * brightness
    matrix = np.concatenate([mix, np.full((3, 1), offset)], axis=1).astype(np.float32)
    flat = frames.reshape(1, -1, 3)
    return cv2.transform(flat, matrix).reshape(frames.shape)
