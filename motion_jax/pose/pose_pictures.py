"""Pose pictures as a network sees them: ready ones where a dataset has them, else drawn.

A pose comes as keypoints, float [..., 137, 3], or as a ready picture, uint8 [..., H, W, 3]; which
of the two is told by the type alone, so that one function serves training, synthesis and transfer.
"""

from collections.abc import Mapping
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from motion_jax.pose.draw import PoseStyle, draw_host
from motion_jax.pose.draw_device import rasterize

READY = "pose_pictures"

Values = TypeVar("Values", bound=Array | np.ndarray)


def poses_of(batch: Mapping[str, Values]) -> Values:
    """What a batch says of its poses: the ready pictures where it has them, else the keypoints."""
    return batch[READY] if READY in batch else batch["keypoints"]


def is_ready(poses: Array | np.ndarray) -> bool:
    """Whether poses are ready pictures (uint8) and not keypoints."""
    return poses.dtype == jnp.uint8


def drawn(
    poses: Array, style: PoseStyle, height: int, width: int, rows: int | None = None
) -> Array:
    """Pose pictures in [0, 1], as Everybody Dance Now's labels are.

    Args:
      poses: keypoints [..., 137, 3] in pixels of height x width, or ready pictures uint8
        [..., height, width, 3].
      style: how keypoints are drawn; ready pictures are taken as they are.
      height, width: of the pictures.
      rows: how many of the height are drawn, from the uppermost on; None: all.
    Returns:
      float32 [..., rows, width, 3].
    """
    with jax.named_scope("pose_drawing"):
        if is_ready(poses):
            return poses.astype(jnp.float32) / 255.0
        return rasterize(poses, height, width, style, rows)


def pose_pictures(batch: Mapping[str, Array], style: PoseStyle, height: int, width: int) -> Array:
    """The pose pictures of a batch as pix2pix takes them: float32 [B, T, H, W, 3] in [-1, 1].

    Args:
      batch: as the loader gives it: "pose_pictures" uint8 [B, T, H, W, 3] where the dataset has
        ready ones, else "keypoints" [B, T, 137, 3] in pixels of height x width.
      style: how keypoints are drawn.
      height, width: of the pictures.
    """
    return 2.0 * drawn(poses_of(batch), style, height, width) - 1.0


def shown(pose: np.ndarray, style: PoseStyle, height: int, width: int) -> np.ndarray:
    """One pose for people to look at, on the host: keypoints [137, 3] in pixels of height x width
    are drawn, a ready picture is itself. uint8 [height, width, 3] RGB."""
    if is_ready(pose):
        return pose
    return draw_host(pose, height, width, style)
