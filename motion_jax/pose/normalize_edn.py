"""Everybody Dance Now's pose normalisation as its program does it, mistakes included, for parity.

`normalize.normalize` is what to use; its method "edn_reference" comes here. Source: the reference's
description of `graph_posenorm.py` and `renderopenpose.py`. Kept: the lower foot, a constant anchor,
p not clamped, the left ear where the left ankle is meant. Not kept: frames drawn at random (all are
used), and the "largest height" that was the first number of the largest pair (it is the largest).
"""

import numpy as np
from jaxtyping import Bool, Float, Float32

from motion_jax.errors import UserError
from motion_jax.pose.skeleton import INDEX, midpoint

_RIGHT_ANKLE, _LEFT_ANKLE = INDEX["right_ankle"], INDEX["left_ankle"]


def measure(
    keypoints: Float[np.ndarray, "n 137 3"],
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Lower foot y, height (head to the middle of the ankles), whether a frame is valid."""
    keypoints = np.asarray(keypoints, np.float64)
    nose = keypoints[:, INDEX["nose"]]
    ears = midpoint(keypoints[:, INDEX["right_ear"]], keypoints[:, INDEX["left_ear"]])
    head = np.where(nose[:, 2:] > 0, nose, ears)
    ankles = keypoints[:, [_RIGHT_ANKLE, _LEFT_ANKLE]]
    valid = (head[:, 2] > 0) & (ankles[:, 0, 2] > 0) & (keypoints[:, INDEX["left_ear"], 2] > 0)
    height = np.linalg.norm(head[:, :2] - ankles[..., :2].mean(1), axis=-1)
    return ankles[..., 1].max(1), height, valid


def close_and_far(foot: Float[np.ndarray, " n"], fraction: float = 0.5) -> tuple[float, float]:
    """The largest foot y, and the smallest within `fraction` of (largest - median) above the
    median. Raises UserError where no frame lies there."""
    median, close = np.median(foot), foot.max()
    band = foot[(median - foot > 0) & (median - foot < fraction * (close - median))]
    if not len(band):
        raise UserError(
            "Everybody Dance Now's reference normalisation finds no frame in which the feet are "
            "far: the person hardly moves towards the camera; use the method global."
        )
    return float(close), float(band.min())


def fit_ranges(
    target: tuple[float, float], source: tuple[float, float]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """(close, far) of both; where the source's range is the smaller, the target keeps its middle
    and takes the source's range."""
    if source[0] - source[1] < target[0] - target[1]:
        middle, half = (target[0] + target[1]) / 2, (source[0] - source[1]) / 2
        target = (middle + half, middle - half)
    return target, source


def heights(
    foot: Float[np.ndarray, " n"], height: Float[np.ndarray, " n"], close: float, far: float
) -> tuple[float, float]:
    """Largest height with the foot within 5 % of the range of close, and of far."""
    near = 0.05 * (close - far)

    def largest(place):
        return height[np.abs(foot - place) < near].max(initial=0)

    at_close = largest(close)
    if height.max() > 1.1 * at_close:
        at_close = height.max()
    return float(at_close), float(largest(far))


def shift_and_scale(
    foot: float,
    target: tuple[float, float],
    source: tuple[float, float],
    scales: tuple[float, float],
) -> tuple[float, float]:
    """(shift in y, scale) of a frame whose lower foot is at `foot`; target and source are (close,
    far), scales (at close, at far)."""
    p = (foot - source[1]) / (source[0] - source[1])
    shift = target[1] + p * (target[0] - target[1]) - foot
    return shift, scales[1] + p * (scales[0] - scales[1])


def normalize_edn(
    source: Float[np.ndarray, "n 137 3"],
    target: Float[np.ndarray, "m 137 3"],
    target_width: int,
    source_fraction: float = 0.5,
    target_fraction: float = 0.5,
) -> Float32[np.ndarray, "n 137 3"]:
    """The source's keypoints as the target's; both are on canvases of one size. Frames before
    the first valid one become empty; later invalid ones reuse the last numbers.
    """
    foot, height, valid = measure(source)
    target_foot, target_height, target_valid = measure(target)
    if not valid.any() or not target_valid.any():
        raise UserError(
            "Everybody Dance Now's reference normalisation needs head, right ankle and left ear in "
            "some frame of both the source and the target; use the method global."
        )
    target_foot, target_height = target_foot[target_valid], target_height[target_valid]
    target_range, source_range = fit_ranges(
        close_and_far(target_foot, target_fraction), close_and_far(foot[valid], source_fraction)
    )
    of_target = heights(target_foot, target_height, *target_range)
    of_source = heights(foot[valid], height[valid], *source_range)
    if min(of_source) <= 0 or min(of_target) <= 0:
        raise UserError(
            "Everybody Dance Now's reference normalisation finds no height where the person is "
            "close or far; use the method global."
        )
    scales = of_target[0] / of_source[0], of_target[1] / of_source[1]

    result = np.zeros(np.shape(source), np.float32)
    first = int(np.argmax(valid))
    x0, y0 = target_width // 2, foot[first]
    for frame in range(first, len(source)):
        if valid[frame]:
            shift, scale = shift_and_scale(foot[frame], target_range, source_range, scales)
        pose = np.array(source[frame], np.float64)
        pose[:, 0] = scale * pose[:, 0] + (1 - scale) * x0
        pose[:, 1] = scale * pose[:, 1] + (1 - scale) * y0 + shift
        result[frame] = np.where(pose[:, 2:] > 0, pose, 0)
    return result
