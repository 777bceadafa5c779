"""One fixed region of a video becomes the dataset's frame, so that the camera never moves."""

from dataclasses import asdict, dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from motion_jax.pose.skeleton import INDEX
from motion_jax.pose.track import PoseTrack

# Frames whose extent lies beyond these shares do not count: one wild pose, or the last steps
# towards the camera, would else make the person small in all the others.
_EXTENT_SHARES = (0.01, 0.99)
# MediaPipe and OpenPose end at the eyes and ears; the crown of the head is about as far above the
# nose as 0.75 of the way from neck to nose.
_CROWN = 0.75


@dataclass(frozen=True)
class Region:
    """Whole pixels of the source frame: left, top, width, height. What lies outside the source is
    black in the dataset's frame (a plain bar is learnt quickly; repeated edges would look like part
    of the scene)."""

    left: int
    top: int
    width: int
    height: int

    def to_json(self) -> dict[str, int]:
        return asdict(self)


def choose_region(
    track: PoseTrack, height: int, width: int, fit: str = "crop", margin: float = 0.1
) -> Region:
    """The region of a video that becomes its frames.

    Args:
      track: poses; only usable frames count.
      height, width: of the dataset's frames in pixels.
      fit: "crop": around the person's extent over the whole video, with a margin, of the asked
        aspect ratio, moved inside the source where it fits; "letterbox": the whole source with
        black bars; "squash": the whole source, stretched (Everybody Dance Now's way).
      margin: share of the person's extent that is added on each side ("crop").
    """
    full_height, full_width = track.size
    if fit == "squash":
        return Region(0, 0, full_width, full_height)
    if fit == "letterbox":
        return whole(full_height, full_width, height, width)
    left, top, right, bottom = person_extent(track)
    dx, dy = margin * (right - left), margin * (bottom - top)
    left, top, right, bottom = left - dx, top - dy, right + dx, bottom + dy
    # What the margin adds outside the source shows nothing.
    left, top = max(left, 0.0), max(top, 0.0)
    right, bottom = min(right, float(full_width)), min(bottom, float(full_height))
    return _around((left, top, right, bottom), (full_height, full_width), height, width)


def whole(full_height: int, full_width: int, height: int, width: int) -> Region:
    """The whole source, undistorted in a frame of height x width, with bars."""
    box = 0.0, 0.0, float(full_width), float(full_height)
    return _around(box, (full_height, full_width), height, width)


def _around(
    box: tuple[float, float, float, float], full: tuple[int, int], height: int, width: int
) -> Region:
    """The smallest region of the proportions of height x width that holds a box (left, top, right,
    bottom), inside the source where it fits."""
    (left, top, right, bottom), (full_height, full_width) = box, full
    region_width = max(right - left, (bottom - top) * width / height, 2.0)
    region_height = max(region_width * height / width, 2.0)
    region_width, region_height = max(2, round(region_width)), max(2, round(region_height))
    return Region(
        _placed((left + right) / 2, region_width, full_width),
        _placed((top + bottom) / 2, region_height, full_height),
        region_width,
        region_height,
    )


def _placed(middle: float, length: int, full: int) -> int:
    """Where an interval of this length around `middle` begins: inside 0...full where it fits,
    centred on the frame where it does not."""
    if length >= full:
        return round((full - length) / 2)
    return int(np.clip(round(middle - length / 2), 0, full - length))


def person_extent(track: PoseTrack) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) in pixels of the source, of the person over the usable frames."""
    keypoints = track.keypoints[track.found]
    seen = keypoints[..., 2] > 0.1
    some = seen.any(axis=1)
    keypoints, seen = keypoints[some], seen[some][..., None]
    low = np.where(seen, keypoints[..., :2], np.inf).min(axis=1)
    high = np.where(seen, keypoints[..., :2], -np.inf).max(axis=1)
    nose, neck = keypoints[:, INDEX["nose"]], keypoints[:, INDEX["neck"]]
    both = (nose[:, 2] > 0.1) & (neck[:, 2] > 0.1)
    crown = nose[:, :2] + _CROWN * (nose[:, :2] - neck[:, :2])
    low = np.where(both[:, None], np.minimum(low, crown), low)
    high = np.where(both[:, None], np.maximum(high, crown), high)
    left, top = np.quantile(low, _EXTENT_SHARES[0], axis=0)
    right, bottom = np.quantile(high, _EXTENT_SHARES[1], axis=0)
    return float(left), float(top), float(right), float(bottom)


def cut_out(
    image: UInt8[np.ndarray, "_ _ 3"], region: Region, height: int, width: int
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """The region of a frame, resized: by area averages where it shrinks, bicubic where it grows."""
    full_height, full_width = image.shape[:2]
    left, top = max(region.left, 0), max(region.top, 0)
    right = min(region.left + region.width, full_width)
    bottom = min(region.top + region.height, full_height)
    part = image[top:bottom, left:right]
    if part.shape[:2] != (region.height, region.width):
        above, before = top - region.top, left - region.left
        below, behind = region.height - above - part.shape[0], region.width - before - part.shape[1]
        part = cv2.copyMakeBorder(part, above, below, before, behind, cv2.BORDER_CONSTANT)
    if part.shape[:2] == (height, width):
        return np.ascontiguousarray(part)
    shrinks = part.shape[0] >= height and part.shape[1] >= width
    return cv2.resize(
        part, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )


def into_region(
    keypoints: Float[np.ndarray, "*n 3"], region: Region, height: int, width: int
) -> Float32[np.ndarray, "*n 3"]:
    """Keypoints of the source in pixels of the dataset's frame; those outside become unobserved."""
    result = np.array(keypoints, np.float32)
    seen = result[..., 2] > 0
    result[..., 0] = (result[..., 0] - region.left) * np.float32(width / region.width)
    result[..., 1] = (result[..., 1] - region.top) * np.float32(height / region.height)
    x, y = result[..., 0], result[..., 1]
    seen &= (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
    return np.where(seen[..., None], result, np.float32(0))
