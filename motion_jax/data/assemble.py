"""The last step of every way to prepare: what describes a dataset whose shards are written.

On one machine, from parts and in a Beam pipeline each video is measured by itself, its clips and
records numbered from 0. Here all of them get their numbers in the dataset, so that the same videos
give the same bytes wherever they were prepared.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from motion_jax import events, files
from motion_jax.data import records, statistics
from motion_jax.data.info import Detection, SourceEntry
from motion_jax.data.prepare_options import PrepareOptions, parse_size
from motion_jax.data.quality_json import FILE, ClipEntry, Quality, VideoEntry, renumbered
from motion_jax.pose.smooth import DERIVATIVE_CUTOFF
from motion_jax.pose.zero_lag import WIDTH


@dataclass(frozen=True)
class VideoFigures:
    """One video in plain JSON values, numbered as if it were the only one.

    Attributes:
      source: its entry in metadata.json (`statistics.source_entry`).
      entry: its entry in quality.json (`statistics.video_entry`).
      clips: its "clips" in quality.json (`statistics.clip_entries`).
    """

    source: SourceEntry
    entry: VideoEntry
    clips: list[ClipEntry]


def figures(video: statistics.Prepared, fit: str, blur: dict[int, float]) -> VideoFigures:
    """fit: the option; blur: {frame: sharpness} of the frames that were written."""
    clips = statistics.clip_entries(video)
    entry = statistics.video_entry(video, clips, blur)
    return VideoFigures(statistics.source_entry(video, fit), entry, clips)


def finish(
    out: Path,
    options: PrepareOptions,
    resolved: dict,
    videos: Sequence[VideoFigures],
    shard_lengths: Sequence[int],
    num_bytes: int | None = None,
) -> None:
    """Writes quality.json, the TFDS files and, last, metadata.json; shards have their final names.

    Args:
      options, resolved: what it was made with, as given and as `prepare.resolved_options` has it.
      videos: in the order of the options.
      shard_lengths: records in each shard.
      num_bytes: of all shards; None: they lie in `out`.
    Raises UserError where the folder cannot be written.
    """
    height, width = parse_size(options.size)
    clips, entries = _numbered(videos)
    detection = _detection(entries)
    one_euro = {"min_cutoff": options.min_cutoff, "beta": options.beta}
    if options.filter == "zero-lag":
        smoothing = {"filter": "zero-lag", "width": WIDTH}
    else:
        smoothing = {
            "filter": "one-euro, forwards and backwards",
            **one_euro,
            "derivative_cutoff": DERIVATIVE_CUTOFF,
        }
    quality: Quality = {
        "version": 1,
        "size": [height, width],
        "fit": options.fit,
        "detail": options.detail if options.poses is None else "files",
        "options": resolved,
        "smoothing": {
            "on": options.smooth,
            "filter": options.filter,
            **one_euro,
            "max_gap": options.max_gap,
        },
        "records": detection["kept"],
        "frames": detection["frames"],
        "clips": clips,
        "rejected": detection["rejected"],
        "videos": entries,
    }
    files.write_json(out / FILE, quality)
    info = records.DatasetInfo(
        height=height,
        width=width,
        clips=tuple((c["clip"], c["video"], c["first_record"], c["length"]) for c in clips),
        sources=tuple(video.source for video in videos),
        smoothing=smoothing if options.smooth else None,
        max_gap=options.max_gap,
        detection=detection,
        options=resolved,
        picture=options.picture,
    )
    records.finish_dataset(out, info, shard_lengths, num_bytes)
    events.emit(events.FileWritten(out / records.METADATA))


def join_options(resolved: Sequence[dict]) -> dict:
    """The options of a dataset from those of its videos or parts, in their order."""
    values = dict(resolved[0])
    for name in ("videos", "poses"):
        if values[name] is not None:
            values[name] = [entry for part in resolved for entry in part[name]]
    return values


def _numbered(videos: Sequence[VideoFigures]) -> tuple[list[ClipEntry], list[VideoEntry]]:
    """The "clips" and the "videos" of quality.json."""
    clips: list[ClipEntry] = []
    entries, record = [], 0
    for number, video in enumerate(videos):
        entries.append(renumbered(video.entry, record, len(clips)))
        for clip in video.clips:
            clips.append({**clip, "clip": len(clips), "video": number, "first_record": record})
            record += clip["length"]
    return clips, entries


def _detection(entries: Sequence[VideoEntry]) -> Detection:
    """Over all videos."""
    rejected = Counter(reason for entry in entries for reason in entry["reasons"] if reason)
    return {
        "frames": sum(entry["frames"] for entry in entries),
        "kept": sum(entry["kept"] for entry in entries),
        "rejected": dict(rejected.most_common()),
    }
