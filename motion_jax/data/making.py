"""Makes a dataset of videos of people: poses, one fixed crop, shards, a report on how good it is.

    video → poses (estimated, or from files) → mended, gaps filled, smoothed → clips
          → one region a video → shards, in parallel → metadata, quality.json, report

While it works, everything is in DATASET/.partial; a dataset is whole when metadata.json is there.
The same command continues where it was stopped: poses come from the cache, and finished shards
stay. The options are kept, so that a second run does nothing, and a run with other options stops
before it spoils anything.
"""

import dataclasses
import json
import os
from pathlib import Path
from typing import cast

import numpy as np

from motion_jax import events, files
from motion_jax.data import assemble, quality, records, shards, statistics
from motion_jax.data.already_made import begin, folder_digest, is_made
from motion_jax.data.crop import choose_region, into_region
from motion_jax.data.prepare_options import PrepareOptions, parse_size
from motion_jax.errors import UserError, option
from motion_jax.events import Stopped
from motion_jax.pose.bundles import find_bundle
from motion_jax.pose.detect import Source
from motion_jax.pose.face import face_boxes
from motion_jax.pose.motion import motion_of
from motion_jax.pose.people.choice import is_named
from motion_jax.pose.person import check_person
from motion_jax.pose.smooth import runs
from motion_jax.progress import say
from motion_jax.video.reader import VideoInfo, probe
from motion_jax.video.tracks import follow_options
from motion_jax.workers import pool, worker_count

# A training example is two frames.
SHORTEST_CLIP = 2
TOO_SHORT = "stretch too short"
REPORT = Path("report") / "index.html"
# Shares of the whole that are done when the poses are there, and when all but the report is.
UNTIL_FRAMES, UNTIL_REPORT = 0.7, 0.95


@follow_options
def make(options: PrepareOptions) -> bool:
    """Makes the dataset without its report; False where it was there already."""
    check_options(options)
    workers = worker_count(options.workers)
    infos = [probe(path) for path in options.videos]
    digests = [files.sha256(path) for path in options.videos]
    resolved = resolved_options(options, digests)
    out = options.out
    if is_made(out, _partial(out), resolved):
        return False
    new = not out.exists()
    begin(out, resolved)
    with pool(workers, _modules(options)):
        videos, blur = _work(options, infos, digests, new, workers)
    _finish(options, videos, blur, resolved)
    return True


def _partial(out: Path) -> Path:
    return out / ".partial"


def _modules(options: PrepareOptions) -> tuple[str, ...]:
    """What the processes need, imported while this one counts frames."""
    first = () if options.poses is not None else ("motion_jax.pose.detect", "mediapipe")
    return (*first, "motion_jax.data.shards", "motion_jax.data.records")


def _work(
    options: PrepareOptions, infos: list[VideoInfo], digests: list[str], new: bool, workers: int
) -> tuple[list[statistics.Prepared], list[dict[int, float]]]:
    """Poses of all videos, then the shards; new: whether the dataset's folder is."""
    partial = _partial(options.out)
    try:
        with events.stage("poses", 0.0, UNTIL_FRAMES):
            videos = []
            for number, (info, digest) in enumerate(zip(infos, digests, strict=True)):
                with events.part(number / len(infos), (number + 1) / len(infos)):
                    events.check()
                    videos.append(prepare_video(options, info, digest))
    except (UserError, Stopped):
        # There is nothing to go on with: poses are in the cache, and no shard was begun.
        if not any(partial.glob("*.array_record")):
            files.remove_tree(partial)
            if new:
                partial.parent.rmdir()
        raise
    with events.stage("frames", UNTIL_FRAMES, 1.0):
        blur = _write_shards(options, videos, workers)
    return videos, blur


def check_options(options: PrepareOptions) -> None:
    """Raises UserError for an option that makes no sense."""
    parse_size(options.size)
    if not options.videos:
        raise UserError(f"No video was named; give one or more before {option('out')}.")
    if not is_named(options.person):
        check_person(options.person)
    if not 0 <= options.margin <= 2:
        raise UserError(
            f"{option('margin')} {options.margin:g} is not a share; give 0 to 2 (default 0.1)."
        )
    if options.max_gap < 0:
        raise UserError(
            f"{option('max_gap')} {options.max_gap} is negative; give 0 or more frames."
        )
    if not options.min_cutoff > 0 or not options.beta >= 0:
        raise UserError(
            f"{option('min_cutoff')} {options.min_cutoff:g} {option('beta')} {options.beta:g} do "
            "not make a filter; give a cutoff above 0 and a beta of 0 or more, or "
            f"{option('smooth', False)}."
        )
    if options.poses is not None:
        for path in options.videos:
            folder = poses_folder(options, path)
            if not folder.is_dir():
                raise UserError(
                    f"There is no folder {folder} with the poses of {path.name}; check "
                    f"{option('poses')}."
                )


def poses_folder(options: PrepareOptions, video: Path) -> Path:
    """Where in --poses those of one of the videos are: with several videos in a folder named like
    the video without its suffix; videos of one name are told apart by as many of their own folders'
    names as it takes (a/clip.mp4 and b/clip.mp4: a/clip and b/clip).

    Raises UserError where they cannot be told apart.
    """
    assert options.poses is not None, "asked only where poses are given"
    places = {Path(os.path.realpath(path)): path for path in options.videos}
    own = Path(os.path.realpath(video))
    if len(options.videos) == 1:
        return options.poses
    others = [place.with_suffix("").parts for place in places if place != own]
    parts = own.with_suffix("").parts
    for count in range(1, len(parts)):
        if all(other[-count:] != parts[-count:] for other in others):
            return options.poses.joinpath(*parts[-count:])
    twin = next(p for place, p in places.items() if place != own and place.stem == own.stem)
    raise UserError(
        f"The poses of {video} and {twin} would be in one folder of {option('poses')}, because "
        "only their suffixes differ; rename one of them."
    )


def plain_options(options: PrepareOptions) -> dict:
    """The options that decide what the dataset is, as JSON, without those that name files."""
    values = dataclasses.asdict(options)
    # What is not used is not kept, so that datasets of before stay as they are.
    for name, unused in (("video_track", None), ("same", ()), ("at", ())):
        if values[name] == unused:
            del values[name]
    for name in (
        "videos", "out", "workers", "pose_model", "poses", "shard", "merge", "boxes",
    ):  # fmt: skip
        del values[name]
    for name in ("layout", "tubes", "tube_seconds"):  # of clips.py
        del values[name]
    if options.poses is not None:
        for name in ("detail",) if is_named(options.person) else ("detail", "person"):
            del values[name]
    return values


def resolved_options(options: PrepareOptions, digests: list[str]) -> dict:
    """`plain_options` and the contents of the files: SHA-256 of the videos, poses and model."""
    values = plain_options(options)
    values["videos"] = [
        {"file": path.name, "sha256": digest}
        for path, digest in zip(options.videos, digests, strict=True)
    ]
    if options.boxes is not None:
        values["boxes"] = files.sha256(options.boxes)
    values["poses"] = None
    if options.poses is not None:
        values["poses"] = [folder_digest(poses_folder(options, p)) for p in options.videos]
    elif options.pose_model is not None:
        values["pose_model"] = find_bundle(options.detail, options.pose_model).sha256
    return json.loads(json.dumps(values))


def prepare_video(options: PrepareOptions, info: VideoInfo, digest: str) -> statistics.Prepared:
    """Poses, clips and region of one video; it depends on no other video.

    Args:
      info, digest: of the video; the file is read at `info.path`.
    Raises UserError where the video or its poses cannot be used.
    """
    height, width = parse_size(options.size)
    folder = None if options.poses is None else poses_folder(options, info.path)
    motion = motion_of(
        info.path,
        dataclasses.replace(options, poses=folder),
        workers=options.workers,
        min_cutoff=options.min_cutoff,
        beta=options.beta,
    )
    track, measured = motion.track, motion.measured
    clips = runs(track, SHORTEST_CLIP)
    inside = np.zeros(len(track), bool)
    for first, last in clips:
        inside[first:last] = True
    reasons = tuple(
        TOO_SHORT if not reason and not keep else reason
        for reason, keep in zip(track.reasons, inside, strict=True)
    )
    track = dataclasses.replace(track, reasons=reasons)
    if not clips:
        raise UserError(
            f"{info.path} has no {SHORTEST_CLIP} frames in a row with a usable pose; choose a "
            f"better stretch with {option('start')} and {option('end')}, or allow longer gaps "
            f"with {option('max_gap')}."
        )
    region = choose_region(track, height, width, options.fit, options.margin)
    keypoints = into_region(track.keypoints, region, height, width)
    keypoints[~inside] = 0
    return statistics.Prepared(
        info=info,
        sha256=digest,
        track=track,
        measured=np.where(measured.found[:, None], measured.keypoints[..., 2], 0),
        region=region,
        clips=clips,
        keypoints=keypoints,
        face_boxes=face_boxes(keypoints, height, width),
        repairs=motion.repairs.to_json(),
    )


def _write_shards(
    options: PrepareOptions, videos: list[statistics.Prepared], workers: int
) -> list[dict[int, float]]:
    """Writes what is not there yet; {frame: sharpness} for each video."""
    partial = _partial(options.out)
    jobs, plans = [], _plans(videos, partial)
    for video, plan in zip(videos, plans, strict=True):
        missing = [shard for shard in plan if not _is_written(shard)]
        for part in np.array_split(np.arange(len(missing)), min(workers, len(missing)) or 1):
            if len(part):
                jobs.append(write_job(options, video, tuple(missing[i] for i in part)))
    if jobs:
        shards.write(jobs, workers, f"Frames to {partial.parent}")
    return [
        {
            frame: value
            for shard in plan
            for frame, value in zip(
                range(shard.first, shard.last),
                cast(dict, shards.measured(shard))["blur"],  # it is written by now
                strict=True,
            )
        }
        for plan in plans
    ]


def _plans(videos: list[statistics.Prepared], partial: Path) -> list[list[shards.Shard]]:
    """The shards of each video."""
    plans: list[list[shards.Shard]] = []
    clip = 0
    for video in videos:
        plans.append(shards.plan(partial, video.clips, clip))
        clip += len(video.clips)
    return plans


def write_job(
    options: PrepareOptions, video: statistics.Prepared, chosen: tuple[shards.Shard, ...]
) -> shards.WriteJob:
    """The work of writing some shards of a video, which follow one another in time."""
    height, width = parse_size(options.size)
    track = video.track
    span = slice(chosen[0].first, chosen[-1].last)
    filled = track.filled
    if filled is None:
        filled = np.zeros(video.keypoints.shape[:2], bool)
    return shards.WriteJob(
        Source(video.info.path, options.start, options.end, options.fps, track.times),
        video.region, height, width, options.picture, chosen, span.start, video.keypoints[span],
        filled[span] & (video.keypoints[span, :, 2] > 0), video.face_boxes[span],
    )  # fmt: skip


def _is_written(shard: shards.Shard) -> bool:
    length = shard.last - shard.first
    return shards.measured(shard) is not None and shards.is_whole(shard.path, length)


def _finish(
    options: PrepareOptions,
    videos: list[statistics.Prepared],
    blur: list[dict[int, float]],
    resolved: dict,
) -> None:
    """Moves shards to their final names, then writes the metadata; each step may be done again."""
    plan = [shard for plan in _plans(videos, _partial(options.out)) for shard in plan]
    shards.move([shard.path for shard in plan], options.out)
    figures = [
        assemble.figures(video, options.fit, values)
        for video, values in zip(videos, blur, strict=True)
    ]
    lengths = [shard.last - shard.first for shard in plan]
    assemble.finish(options.out, options, resolved, figures, lengths)


def write_report(out: Path, advise: quality.Adviser | None = None, *, advice: bool = True) -> Path:
    """The quality report of a finished dataset, and what to train on it where somebody advises; its
    partial folder goes. advice: whether the report's advice is said, too."""
    suggestion = None if advise is None else advise(out)
    page = quality.write_report(out, suggestion)
    files.remove_tree(_partial(out))
    figures = records.open_dataset(out).info.detection
    why = "; ".join(f"{reason}: {count}" for reason, count in figures["rejected"].items())
    say(
        f"{out}: {figures['kept']} of {figures['frames']} frames kept"
        + (f" ({why})" if why else "")
        + f". Quality report: {page}"
    )
    if advice:
        for item in quality.advice_on(out):
            say(item.text)
        if suggestion is not None:
            say(suggestion.text)
    events.emit(events.FileWritten(page))
    return page
