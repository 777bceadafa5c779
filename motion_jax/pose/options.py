"""The options that say which poses are taken from a video: the same flags on every verb."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

Filter = Literal["one-euro", "zero-lag"]

T = TypeVar("T", bound=type)

# How a source's pose is fitted to the target's body, wherever that is asked for: by the measured
# table in docs/poses.md the mean error with "limbs" is about a quarter of that with "global".
Normalize = Literal["global", "limbs", "none"]
NORMALIZE: Normalize = "limbs"


@dataclass(frozen=True, kw_only=True)
class PoseSource:
    """Where the poses of a video come from, and of which part of it."""

    poses: Path | None = None
    """Folder of OpenPose JSON or Everybody Dance Now yml files, one for each frame of the video, to
    use instead of estimating poses; where several videos are given, it has a folder for each, named
    like the video without its suffix (videos of one name: with their folders, as a/clip and
    b/clip)."""
    pose_model: Path | None = None
    """MediaPipe model file or folder (default: $MOTION_JAX_MODELS, the cache, else a download)."""
    start: float | None = None
    """Begin at this second of the video."""
    end: float | None = None
    """End before this second of the video."""
    fps: float | None = None
    """Resample the video to so many frames a second (default: every frame with its own time); of a
    folder of pictures: so many of them are a second (missing numbers make no pause)."""
    video_track: int | None = None
    """Which picture track of the video, counted from 1, where it has several (default: the one that
    is marked as default, which players show)."""
    smooth: bool = True
    """Smooth the poses over time against jitter, without lag."""


@dataclass(frozen=True, kw_only=True)
class PoseOptions(PoseSource):
    """All that `motion.motion_of` can be told."""

    person: str = "largest"
    """Whom to follow among several: "largest", "leftmost", "rightmost", or a number from 1, counted
    from left to right."""
    detail: Literal["holistic", "body"] = "holistic"
    """Estimate body, face and hands ("holistic"), or the body alone ("body", twice as fast)."""
    max_gap: int = 10
    """Gaps in the poses of up to so many frames are filled by interpolation (frames)."""
    filter: Filter = "one-euro"
    """How to smooth: "one-euro" (forwards and backwards; rest is smoothed more than motion), or
    "zero-lag" (a parabola through the frames around each frame)."""
    swaps: bool = True
    """Put left and right limbs right where the estimator mixed them up (found over time)."""
    bones: bool = True
    """Drop joints that are elsewhere for a moment, or would make a bone far longer than it can be;
    short gaps are then filled."""


def own_first(options: T) -> T:
    """A dataclass of options whose own fields come before those that it inherits, as --help is to
    list them."""
    # A bound of TypeVar cannot say that the type is a dataclass.
    made: Any = options
    fields = made.__dataclass_fields__
    own = {name: fields[name] for name in made.__annotations__}
    made.__dataclass_fields__ = own | fields
    return options
