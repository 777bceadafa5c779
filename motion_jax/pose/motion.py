"""The motion of one person in a video: poses estimated or read from files, then mended.

This is the one way from a video to poses; every verb that looks at a video takes it.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motion_jax.pose import long_arrays
from motion_jax.pose.estimate import estimate_cached
from motion_jax.pose.files import read_poses
from motion_jax.pose.mend import Repairs, mend, tell
from motion_jax.pose.options import PoseOptions
from motion_jax.pose.people.everybody import (
    everybody,
    track_of,
    wants_everybody,
    whoever_is_meant,
)
from motion_jax.pose.smooth import BETA, MIN_CUTOFF
from motion_jax.pose.track import PoseTrack
from motion_jax.video.reader import check_choice, choose, frame_times, nothing_between, probe


@dataclass(frozen=True)
class Motion:
    """Poses of the chosen frames of a video.

    Attributes:
      measured: as they were estimated or read.
      track: the same after all repairs.
      repairs: what they were.
    """

    measured: PoseTrack
    track: PoseTrack
    repairs: Repairs


def motion_of(
    video: Path,
    options: PoseOptions,
    *,
    workers: int | None = None,
    min_cutoff: float = MIN_CUTOFF,
    beta: float = BETA,
) -> Motion:
    """The motion of the person whom the options choose; says what was mended.

    Args:
      video: its file.
      options: with `poses`, those files are read; otherwise poses are estimated, or come from the
        cache.
      workers: processes that estimate; None: one a core.
      min_cutoff, beta: of the one-euro filter, see `smooth.smooth_track`.

    Raises UserError where the video, its poses or the choice of frames cannot be used.
    """
    measured = _measured(Path(video), options, workers)
    return _mended(measured, options, Path(video).name, min_cutoff, beta)


def mended(measured: PoseTrack, options: PoseOptions, name: str) -> PoseTrack:
    """A track after all repairs that the options ask for; says what was mended in the poses of
    `name`."""
    return _mended(measured, options, name, MIN_CUTOFF, BETA).track


def _mended(
    measured: PoseTrack, options: PoseOptions, name: str, min_cutoff: float, beta: float
) -> Motion:
    track, repairs = mend(
        measured,
        swaps=options.swaps,
        bones=options.bones,
        max_gap=options.max_gap,
        filter=options.filter if options.smooth else None,
        min_cutoff=min_cutoff,
        beta=beta,
    )
    tell(name, repairs)
    return Motion(measured, track, repairs)


def _measured(video: Path, options: PoseOptions, workers: int | None) -> PoseTrack:
    if wants_everybody(options):
        people = everybody(video, options, workers=workers)
        return track_of(people, whoever_is_meant(people, options), workers)
    if options.poses is None:
        return estimate_cached(
            video,
            detail=options.detail,
            person=options.person,
            model=options.pose_model,
            start=options.start,
            end=options.end,
            fps=options.fps,
            workers=workers,
        )
    span = options.start, options.end, options.fps
    check_choice(video, *span)
    info, times = probe(video), frame_times(video)
    # The files are numbered by the frames of the whole video.
    track = read_poses(options.poses, times, (info.height, info.width), options.person)
    indices, chosen = choose(times, *span)
    if not len(indices):
        first, last = options.start or 0.0, options.end or np.inf
        after = times[times >= first]
        raise nothing_between(video, after[0] if len(after) else times[-1], first, last)
    return dataclasses.replace(
        track,
        keypoints=long_arrays.taken(track.keypoints, indices),
        times=chosen,
        reasons=tuple(track.reasons[i] for i in indices),
    )
