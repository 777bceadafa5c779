"""Offline smoothing without lag: at every frame a parabola through the frames around it.

The filter sees as much of the future as of the past, so that nothing comes late, and a parabola
follows constant acceleration exactly, so that turning points are not cut off. It is Savitzky and
Golay's filter (1964) with Gaussian weights, solved frame by frame, so that it copes
with uneven frame times and gaps.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Float64, Real

from motion_jax.pose import long_arrays
from motion_jax.pose.smooth import RESET_AFTER, interpolate_filled, measured_keypoints
from motion_jax.pose.track import PoseTrack

# Standard deviation of the weights in seconds, but LEAST_WIDTH frames at least, so that two frames
# on each side count; they end at REACH standard deviations.
WIDTH = 0.06
LEAST_WIDTH = 0.75
REACH = 3.0
# A parabola through three frames would leave them as they are.
LEAST_FRAMES = 4


def local_parabola(
    values: Float[np.ndarray, "n k axes"],
    times: Real[np.ndarray, " n"],
    observed: Bool[np.ndarray, "n k"],
    width: float = WIDTH,
    reset_after: int = RESET_AFTER,
) -> Float64[np.ndarray, "n k axes"]:
    """At each time the weighted least squares parabola's value there, for many signals at once.

    Args:
      values: samples; times: seconds, strictly increasing.
      observed: the others neither count nor change.
      width: standard deviation of the Gaussian weights, in seconds.
      reset_after: samples with more unobserved ones than this between them do not see each other.

    Returns:
      Samples with fewer than 4 in reach, themselves included, are as they were.

    Raises:
      ValueError: times that do not increase or of another number, or a width of 0 or less.
    """
    times = np.asarray(times, np.float64)
    if times.shape != values.shape[:1] or (np.diff(times) <= 0).any():
        raise ValueError(f"{len(values)} samples need as many times, each later than the last")
    if not width > 0:
        raise ValueError(f"the width is {width} s; it must be above 0")
    result = long_arrays.zeros(values.shape, np.float64)
    far = _farthest(times, REACH * width)
    for window in long_arrays.windows(result, values, observed):
        # With the neighbours that the first and last rows of the window see.
        first, last = max(0, window.start - far), window.stop + far
        part = np.array(values[first:last], np.float64)
        part = _parabolas(part, times[first:last], observed[first:last], width, reset_after, far)
        result[window] = part[window.start - first :][: window.stop - window.start]
    return result


def _parabolas(
    values: np.ndarray,
    times: np.ndarray,
    observed: np.ndarray,
    width: float,
    reset_after: int,
    far: int,
) -> np.ndarray:
    """`local_parabola` of a few frames, each by those up to `far` frames away."""
    count = len(values)
    piece = _pieces(observed, reset_after)
    # Sums over the frames in reach: of weight x time^n, n = 0...4, and x value, n = 0...2.
    powers = np.zeros((5, *observed.shape))
    sums = np.zeros((3, *values.shape))
    frames = np.zeros(observed.shape, int)
    for offset in range(-min(far, count - 1), min(far, count - 1) + 1):
        here = slice(max(0, -offset), count - max(0, offset))
        there = slice(max(0, offset), count - max(0, -offset))
        # In widths, so that the equations are well scaled.
        apart = (times[there] - times[here]) / width
        weight = np.exp(-(apart**2) / 2) * (np.abs(apart) <= REACH)
        together = observed[here] & observed[there] & (piece[here] == piece[there])
        weight = weight[:, None] * together
        frames[here] += weight > 0
        for n in range(5):
            powers[n, here] += weight * apart[:, None] ** n
        for n in range(3):
            sums[n, here] += (weight * apart[:, None] ** n)[..., None] * values[there]
    usable = observed & (frames >= LEAST_FRAMES)
    matrix = np.stack([np.stack([powers[i + j] for j in range(3)], -1) for i in range(3)], -2)
    solved = np.linalg.solve(matrix[usable], np.moveaxis(sums, 0, -2)[usable])
    values[usable] = solved[:, 0]
    return values


def _farthest(times: np.ndarray, reach: float) -> int:
    """How many frames away others may be and still within `reach` seconds, anywhere."""
    far = 0
    while far + 1 < len(times) and (times[far + 1 :] - times[: -far - 1]).min() <= reach:
        far += 1
    return far


def _pieces(observed: np.ndarray, reset_after: int) -> np.ndarray:
    """int [N, K]: the number of the stretch that a sample belongs to; a new one begins where more
    than `reset_after` samples were missing."""
    missing = np.zeros(observed.shape[1], int)
    number = np.zeros(observed.shape[1], int)
    pieces = np.zeros(observed.shape, int)
    for frame, seen in enumerate(observed):
        number = number + (seen & (missing > reset_after))
        missing = np.where(seen, 0, missing + 1)
        pieces[frame] = number
    return pieces


def zero_lag_track(
    track: PoseTrack, width: float = WIDTH, reset_after: int = RESET_AFTER
) -> PoseTrack:
    """A track whose measured keypoints went through `local_parabola`, x and y separately, with
    `width` seconds or LEAST_WIDTH frames, whichever is more.

    Interpolated (`filled`) keypoints do not count: they are interpolated again between the smoothed
    ones. Confidences stay.
    """
    measured, filled = measured_keypoints(track)
    if not measured.any():
        return track
    keypoints = long_arrays.copied(track.keypoints)
    times = np.asarray(track.times, np.float64)
    if len(times) > 1:
        width = max(width, LEAST_WIDTH * float(np.median(np.diff(times))))
    smooth = local_parabola(keypoints[..., :2], times, measured, width, reset_after)
    for window in long_arrays.windows(keypoints, smooth, measured):
        points = keypoints[window, :, :2]
        points[...] = np.where(measured[window, :, None], smooth[window], points)
    interpolate_filled(keypoints, times, measured, filled)
    return dataclasses.replace(track, keypoints=keypoints)
