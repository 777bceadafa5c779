"""Preparing on several machines that share a folder, for instance as a Slurm array.

Part I of N is a run of whole videos: whom to follow, smoothing and the region need all of a video.
Each part is a dataset of its own in DATASET/.parts, made, continued and checked as any other.
`merge` gives the clips their numbers in the whole, which no part can know, joins the shards and
writes the metadata: the same bytes as on one machine. Frames are not encoded again.
"""

import dataclasses
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from motion_jax import files
from motion_jax.data import assemble, making, records
from motion_jax.data.already_made import PARTS, begin, differing, is_made, made_with
from motion_jax.data.info import SourceEntry
from motion_jax.data.prepare_options import PrepareOptions, parse_size
from motion_jax.data.quality import Adviser
from motion_jax.data.quality_json import FILE, ClipEntry, VideoEntry, read_quality, renumbered
from motion_jax.errors import UserError, marked, option
from motion_jax.progress import say
from motion_jax.workers import advance, pool, run_jobs, worker_count


def parse_shard(text: str) -> tuple[int, int]:
    """ "I/N" -> (I, N), counted from 1. Raises UserError where it is none."""
    match = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(
            f"{option('shard')} {text} is not a part; give I/N with I from 1 to N, as in 3/8."
        )
    return int(match[1]), int(match[2])


def share(videos: Sequence[Path], part: int, parts: int) -> tuple[Path, ...]:
    """The videos of part `part` of `parts` (counted from 1): shares differ by at most one."""
    count = len(videos)
    return tuple(videos[(part - 1) * count // parts : part * count // parts])


def part_folder(out: Path, part: int, parts: int) -> Path:
    return out / PARTS / f"{part:05d}-of-{parts:05d}"


def prepare_part(options: PrepareOptions) -> Path:
    """Makes the part `options.shard`, or finds it made; returns its folder.

    Raises UserError as `prepare.prepare` does, and where parts of another division are there.
    """
    if options.merge:
        raise UserError(
            f"{option('shard')} and {option('merge')} do not go together: first every part with "
            f"{option('shard')}, then {option('merge')}."
        )
    assert options.shard is not None  # `prepare.prepare` asks for a part by it.
    part, parts = parse_shard(options.shard)
    parse_size(options.size)
    count = len(options.videos)
    if count < parts:
        raise UserError(
            f"{option('shard')} {options.shard} has no video: there are only {count}, and a video "
            f"is never divided; give at most {count} parts (the cores of a machine share a video)."
        )
    out = options.out
    if _is_merged(options):
        say(f"{out} is merged already: the same videos and options; nothing to do.")
        return out
    _check_division(out, parts)
    folder = part_folder(out, part, parts)
    own = share(options.videos, part, parts)
    poses = options.poses
    if poses is not None and len(own) == 1 < count:
        # With several videos each has a folder of its own in it.
        poses = making.poses_folder(options, own[0])
    elif poses is not None and len({video.stem for video in options.videos}) < count:
        raise UserError(
            f"Two of the videos have one name, and with {option('shard')} their poses cannot be "
            "told apart by their folders; rename one, or give each video a part of its own."
        )
    own_options = dataclasses.replace(options, videos=own, out=folder, poses=poses, shard=None)
    names = ", ".join(video.name for video in own)
    if making.make(own_options):
        files.remove_tree(folder / ".partial")
        there = sum(records.is_dataset(part_folder(out, i + 1, parts)) for i in range(parts))
        say(
            f"Part {part} of {parts} is done ({names}); {there} of {parts} are there. When all "
            f"are, run the same command with {option('merge')} instead of {option('shard')}."
        )
    else:
        say(f"Part {part} of {parts} is up to date ({names}).")
    return folder


def merge(options: PrepareOptions, advise: Adviser | None = None) -> Path:
    """Joins all parts into the dataset; returns the page of its report. Stopped, it goes on.

    The videos themselves are not read. Raises UserError, naming it, where a part is missing,
    unfinished, damaged or made otherwise; the parts stay until the dataset is whole.
    """
    making.check_options(dataclasses.replace(options, poses=None))
    workers = worker_count(options.workers)
    out, partial = options.out, options.out / ".partial"
    parts = _number_of_parts(out)
    if not parts:
        if _is_merged(options):
            say(f"{out} is up to date: the same videos and options; nothing to do.")
            page = out / making.REPORT
            if page.is_file() and not partial.exists():
                return page
            return making.write_report(out, advise)
        raise UserError(
            f"{out} holds no parts; make them first with the same command and {option('shard')} "
            f"1/N to N/N instead of {option('merge')}."
        )
    datasets = _open_parts(options, parts)
    resolved = assemble.join_options([dataset.info.options for dataset in datasets])
    if not is_made(out, partial, resolved, merging=True):
        begin(out, resolved)
        _join(options, datasets, out, partial, resolved, workers)
    page = making.write_report(out, advise)
    files.remove_tree(out / PARTS)
    return page


def _is_merged(options: PrepareOptions) -> bool:
    """Whether the whole is there. Raises UserError where another dataset is."""
    if not records.is_dataset(options.out):
        return False
    made = made_with(options.out)
    _check_same(made, options, options.videos, f"{options.out} holds a dataset")
    return True


def _check_same(made: dict, options: PrepareOptions, videos: Sequence[Path], what: str) -> None:
    """Raises UserError where `what` ("Part 1 was") was made with other options, as far as they can
    be told without reading a file, or of videos of other names."""
    here = making.plain_options(options)
    here["videos"] = [{"file": video.name} for video in videos]
    there = {name: made.get(name) for name in here}
    there["videos"] = [{"file": video["file"]} for video in made.get("videos", ())]
    other_poses = (made.get("poses") is None) != (options.poses is None)
    if there != here or other_poses:
        why = "poses of another kind" if there == here else differing(there, here)
        raise UserError(
            f"{what} made with other options ({why}); give the same options to all parts and to "
            f"{option('merge')}, or another folder with {option('out')}."
        )


def _divisions(out: Path) -> set[int]:
    """Into how many parts the dataset was divided, by the names in DATASET/.parts."""
    names = [path.name for path in (out / PARTS).glob("*-of-*")]
    matches = [re.fullmatch(r"\d{5,}-of-(\d{5,})", name, re.ASCII) for name in names]
    return {int(match[1]) for match in matches if match}


def _check_division(out: Path, parts: int) -> None:
    others = _divisions(out) - {parts}
    if others:
        raise UserError(
            f"{out} was begun in {min(others)} parts, not {parts}; go on with {option('shard')} "
            f"I/{min(others)}, or remove {out / PARTS} to begin again."
        )


def _number_of_parts(out: Path) -> int:
    found = _divisions(out)
    if len(found) > 1:
        numbers = " and ".join(str(n) for n in sorted(found))
        raise UserError(
            f"{out} holds parts of several divisions (into {numbers}); remove those of the wrong "
            f"one from {out / PARTS}."
        )
    return found.pop() if found else 0


def _open_parts(options: PrepareOptions, parts: int) -> list[records.PoseFrames]:
    folders = {part: part_folder(options.out, part, parts) for part in range(1, parts + 1)}
    missing = [part for part, folder in folders.items() if not records.is_dataset(folder)]
    if missing:
        raise UserError(_missing(options, missing, parts))
    datasets = []
    for part, folder in folders.items():
        own, what = share(options.videos, part, parts), f"Part {part} of {parts} in {folder} was"
        _check_same(made_with(folder), options, own, what)
        try:
            datasets.append(records.open_dataset(folder))
        except UserError as error:
            raise UserError(
                f"Part {part} of {parts} is damaged ({marked(error).split(';')[0]}); make it "
                f"again with the same command and {option('shard')} {part}/{parts}."
            ) from error
    models = {dataset.info.options.get("pose_model") for dataset in datasets}
    if len(models) > 1:
        raise UserError(
            f"The parts in {options.out / PARTS} were made with different pose models; make them "
            "again with one."
        )
    return datasets


def _missing(options: PrepareOptions, missing: list[int], parts: int) -> str:
    first = missing[0]
    videos = ", ".join(video.name for video in share(options.videos, first, parts))
    commands = " and ".join(f"{option('shard')} {part}/{parts}" for part in missing[:3])
    more = f" and so on (parts {', '.join(map(str, missing))})" if len(missing) > 3 else ""
    state = "is unfinished" if part_folder(options.out, first, parts).exists() else "is missing"
    others = f", with {len(missing) - 1} more" if len(missing) > 1 else ""
    return (
        f"Part {first} of {parts} ({videos}) {state}{others}; run the same command with "
        f"{commands}{more} instead of {option('merge')} first."
    )


@dataclass(frozen=True)
class _Shard:
    """A part's shard on its way: records `first` to `last` (exclusive) of the part, into `path`."""

    dataset: records.PoseFrames
    first: int
    last: int
    first_clip: int
    path: Path


def _join(
    options: PrepareOptions,
    datasets: Sequence[records.PoseFrames],
    out: Path,
    partial: Path,
    resolved: dict,
    workers: int,
) -> None:
    lengths = [length for dataset in datasets for length in dataset.shard_lengths]
    paths = iter(records.shard_path(partial, i, len(lengths)) for i in range(len(lengths)))
    shards, first_clip = [], 0
    for dataset in datasets:
        first = 0
        for length in dataset.shard_lengths:
            shards.append(_Shard(dataset, first, first + length, first_clip, next(paths)))
            first += length
        first_clip += len(dataset.clips)
    waiting = [shard for shard in shards if not _is_written(shard, out)]
    if waiting:
        total = sum(shard.last - shard.first for shard in waiting)
        with pool(workers, ("motion_jax.data.parts",)):
            run_jobs(_number_clips, waiting, workers, f"Frames to {out}", total)
    for shard in shards:
        if shard.path.is_file():
            os.replace(shard.path, out / shard.path.name)
    figures = [figures for dataset in datasets for figures in _figures(dataset)]
    assemble.finish(out, options, resolved, figures, lengths)


def _is_written(shard: _Shard, out: Path) -> bool:
    count = shard.last - shard.first
    return any(
        path.is_file() and records.count_records(path) == count
        for path in (shard.path, out / shard.path.name)
    )


def _number_clips(shard: _Shard) -> None:
    """Copies a shard, its clips numbered as in the whole."""
    dataset = shard.dataset
    info = dataset.info
    with records.ShardWriter(shard.path, info.height, info.width, info.picture) as writer:
        for record in range(shard.first, shard.last):
            example = dataset.encoded(record)
            writer.write({**example, "clip": example["clip"] + shard.first_clip})
            advance()
    dataset.close()


def _figures(dataset: records.PoseFrames) -> list[assemble.VideoFigures]:
    """A part's videos, each numbered from 0 again. Raises UserError: quality.json is damaged."""
    quality = read_quality(dataset.folder)
    try:
        videos = zip(dataset.info.sources, quality["videos"], strict=True)
        return [
            _alone(number, source, entry, quality["clips"])
            for number, (source, entry) in enumerate(videos)
        ]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(
            f"{dataset.folder / FILE} is damaged ({type(error).__name__}: {error}); "
            f"remove {dataset.folder} and make that part again."
        ) from error


def _alone(
    number: int, source: SourceEntry, entry: VideoEntry, clips: list[ClipEntry]
) -> assemble.VideoFigures:
    own = [clip for clip in clips if clip["video"] == number]
    first_clip, first_record = own[0]["clip"], own[0]["first_record"]
    return assemble.VideoFigures(source, renumbered(entry, -first_record, -first_clip), own)
