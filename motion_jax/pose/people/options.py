"""The options of `motion-jax people`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class PeopleOptions:
    """Show who is in a video: everybody is found and kept apart through all of it, and gets a
    letter that other verbs take (--person A, --cast A=RUN)."""

    video: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="VIDEO")]
    """The video, of any kind that FFmpeg reads, or with --fps a folder of numbered pictures."""
    out: Path
    """Folder to write to: people.png (a row of pictures for each person), people.json (who is seen
    when, and where it is not certain who is who)."""
    same: tuple[str, ...] = ()
    """Who is one person in truth, as A,D (several groups are possible)."""
    at: tuple[str, ...] = ()
    """Corrects the letters: B=12.4s,350,200 says that the one at this time and place (pixels from
    the upper left corner) is B."""
    write_poses: bool = False
    """Also write each person's poses into poses/LETTER, as OpenPose JSON."""
    poses: Path | None = None
    """Folder of OpenPose JSON or Everybody Dance Now yml files with everybody in each frame, to use
    instead of looking for people."""
    boxes: Path | None = None
    """Boxes of another tracker (text of the MOT challenge: frame, id, left, top, width, height) in
    which people are looked for; its ids are kept (-1: not known)."""
    pose_model: Path | None = None
    """MediaPipe model file or folder (default: $MOTION_JAX_MODELS, the cache, else a download)."""
    start: float | None = None
    """Begin at this second of the video."""
    end: float | None = None
    """End before this second of the video."""
    fps: float | None = None
    """Resample the video to so many frames a second (default: every frame with its own time)."""
    video_track: int | None = None
    """Which picture track of the video, counted from 1, where it has several."""
    workers: int | None = None
    """Processes (default: one a core). The result does not depend on it."""
