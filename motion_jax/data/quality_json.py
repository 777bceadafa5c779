"""quality.json of a dataset that `prepare` made: what was measured of each video and frame.

The quality report is made from it and from the dataset.
"""

import json
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict, cast

from motion_jax.errors import UserError

FILE = "quality.json"


class ClipEntry(TypedDict):
    """A clip: where it is among the records and in its video, and why it ends ("" at the end)."""

    clip: int
    video: int
    first_record: int
    length: int
    first_frame: int
    start_time: float
    end_time: float
    ended_by: str


class VideoEntry(TypedDict):
    """A video. Lists have one entry for each frame that was considered."""

    name: str
    sha256: str
    width: int
    height: int
    fps: float
    duration: float
    rotation: int
    estimator: dict[str, Any]
    crop: dict[str, int]  # left, top, width, height in source pixels
    frames: int
    kept: int
    reasons: list[str]  # why a frame was not kept, "" where it was
    times: list[float]  # seconds
    record: list[int]  # -1: not kept
    clip: list[int]  # -1: not kept
    confidence: dict[str, list[float]]  # of each joint or group, 0...1 as measured
    filled: list[int]  # how many of the 137 keypoints were interpolated
    face_visible: list[bool]
    left_hand_visible: list[bool]
    right_hand_visible: list[bool]
    face_height: list[float | None]  # pixels of the dataset's frame; None: not seen
    body_visible: dict[str, float]  # share of the kept frames with both "legs", both "arms"
    blur: list[float | None]  # variance of the Laplacian around the person; None: not kept
    people: list[int]
    # swapped {arms, legs} (frames), dropped {joint: frames}, filled (keypoints); not in older files
    repairs: NotRequired[dict[str, Any]]


class Quality(TypedDict):
    """All of the file, version 1."""

    version: int
    size: list[int]  # height, width of the dataset's frames
    fit: str
    detail: str  # "holistic", "body", or "files" where the poses were not estimated
    options: dict[str, Any]
    # on, filter (not in older files: one-euro), min_cutoff, beta, max_gap
    smoothing: dict[str, Any]
    records: int  # frames kept
    frames: int  # frames considered
    clips: list[ClipEntry]
    rejected: dict[str, int]  # frames by reason
    videos: list[VideoEntry]


# The lists of a VideoEntry that hold a figure or None for each frame.
PerFrame = Literal[
    "filled", "face_visible", "left_hand_visible", "right_hand_visible", "face_height", "blur",
    "people",
]  # fmt: skip


def read_quality(folder: Path) -> Quality:
    """quality.json of a dataset. Raises UserError where it is missing or damaged."""
    path = Path(folder) / FILE
    if not path.is_file():
        raise UserError(f"There is no {path}; run the same motion-jax prepare command again.")
    try:
        quality = json.loads(path.read_text())
        quality["videos"][0]["reasons"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({type(error).__name__}: {error}); delete it and run the same "
            "motion-jax prepare command again."
        ) from error
    return cast(Quality, quality)


def renumbered(entry: VideoEntry, records: int, clips: int) -> VideoEntry:
    """The entry with its record and clip numbers raised by these."""
    record = [n if n < 0 else n + records for n in entry["record"]]
    clip = [n if n < 0 else n + clips for n in entry["clip"]]
    return {**entry, "record": record, "clip": clip}
