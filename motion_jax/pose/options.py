"""The options that say which poses are taken from a video: the same flags on every verb."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

Filter = Literal["one-euro", "zero-lag"]

T = TypeVar("T", bound=type)

# How a source's pose is fitted to the target's body, wherever that is asked for: by the measured
# table in docs/poses.md the mean error with "limbs" is about a quarter of that with "global".
Normalize = Literal["global", "limbs", "none"]
Joints = Literal["free", "seen"]
NORMALIZE: Normalize = "limbs"


@dataclass(frozen=True, kw_only=True)
class FilmPart:
    """Which part of a video is taken, and at which rate."""

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


@dataclass(frozen=True, kw_only=True)
class Sound:
    """What becomes of a video's sound."""

    audio: Literal["keep", "drop"] = "keep"
    """Keep the video's sound, or leave it out."""
    audio_track: int | None = None
    """Which sound track of the video, counted from 1, where it has several (default: the one that
    is marked as default)."""


@dataclass(frozen=True, kw_only=True)
class PoseSource(FilmPart):
    """Where the poses of a video come from, and of which part of it."""

    poses: Path | None = None
    """Folder of OpenPose JSON or Everybody Dance Now yml files, one for each frame of the video, to
    use instead of estimating poses; where several videos are given, it has a folder for each, named
    like the video without its suffix (videos of one name: with their folders, as a/clip and
    b/clip)."""
    pose_model: Path | None = None
    """MediaPipe model file or folder (default: $MOTION_JAX_MODELS, the cache, else a download)."""
    smooth: bool = True
    """Smooth the poses over time against jitter, without lag."""


@dataclass(frozen=True, kw_only=True)
class PoseOptions(PoseSource):
    """All that `motion.motion_of` can be told."""

    person: str = "largest"
    """Whom to follow among several: "largest", "leftmost", "rightmost", or a number from 1, counted
    from left to right; or a letter of `motion-jax people`, which keeps everybody apart through the
    whole video (A; where several can be used A,C or "all"). See docs/people.md."""
    same: tuple[str, ...] = ()
    """With letters: who is one person in truth, as A,D (several groups are possible)."""
    at: tuple[str, ...] = ()
    """Follow whoever is at this time and place, SECONDS,X,Y as 12.4s,350,200 (pixels from the upper
    left corner); B=12.4s,350,200 corrects the letters: the one there is B."""
    boxes: Path | None = None
    """With letters: boxes of another tracker (text of the MOT challenge: frame, id, left, top,
    width, height) in which people are looked for; its ids are kept (-1: not known)."""
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
