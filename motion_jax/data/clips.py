"""`motion-jax prepare --layout clips`: clips of many people (animals, cartoons) without poses, for
recipes that learn from pairs of one clip's frames.

A clip is a video, a folder of frames, or one wide picture of frames side by side. What has the
dataset's proportions is taken as it is; out of other films tubes are cut (tubes.py).
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from motion_jax import events, files
from motion_jax.data import records
from motion_jax.data.already_made import begin, is_made
from motion_jax.data.crop import Region, cut_out
from motion_jax.data.info import DatasetInfo, SourceEntry
from motion_jax.data.prepare_options import PrepareOptions, parse_size
from motion_jax.data.published_clips import person_of, split
from motion_jax.data.tubes import square, tubes
from motion_jax.errors import UserError, option
from motion_jax.events import Stopped
from motion_jax.pose.boxes import VERSION, Box, boxes_of
from motion_jax.pose.bundles import find_bundle
from motion_jax.pose.detect import Source, frames
from motion_jax.pose.skeleton import COUNT
from motion_jax.progress import say
from motion_jax.report import html, montage
from motion_jax.video.image_files import is_picture, picture_files, picture_size, read_picture
from motion_jax.video.reader import frame_times, probe
from motion_jax.workers import advance, run_jobs, worker_count

FPS = 25.0
# Proportions that differ by no more than this share are the same.
SAME = 0.02
# A square smaller than this shows nothing.
LEAST_PIXELS = 16
# Frames a shard, at least.
SHARD = 512
# Clips shown on the page.
SHOWN = 60
PHASES = ("train", "test")
# What lies beside clips and is none.
BESIDE = (".csv", ".json", ".md", ".txt", ".yaml")
REPORT = Path("report") / "index.html"


@dataclass(frozen=True)
class Given:
    """A clip as it was given.

    Attributes:
      path: a video, a folder of frames, or a picture of frames side by side.
      kind: which of them; held_out: whether it is kept out of training.
    """

    path: Path
    kind: str
    held_out: bool = False


@dataclass(frozen=True)
class Cut:
    """A clip as it goes into the dataset.

    Attributes:
      given: what it is cut out of; region: the part of its pictures; first, last: its frames, last
        exclusive; times: of all frames of what was given, in seconds.
    """

    given: Given
    region: Region
    first: int
    last: int
    times: tuple[float, ...]
    size: tuple[int, int]

    def __len__(self) -> int:
        return self.last - self.first


def prepare_clips(options: PrepareOptions) -> Path:
    """Makes the dataset, or finds it made; returns its page.

    Raises UserError for everything that a user can mend."""
    height, width = parse_size(options.size)
    _check(options)
    given = [clip for path in options.videos for clip in clips_of(path, (height, width))]
    resolved = _resolved(options, given)
    out = options.out
    if is_made(out, out / ".partial", resolved):
        say(f"{out} is up to date: the same clips and options; nothing to do.")
        return out / REPORT
    new = not out.exists()
    begin(out, resolved)
    left_out: Counter[str] = Counter()
    try:
        cuts = _all_cuts(given, options, left_out)
    except (UserError, Stopped):
        # No shard was begun, and boxes are in the cache.
        files.remove_tree(out / ".partial")
        if new:
            out.rmdir()
        raise
    with events.stage("frames", 0.6, 1.0):
        _write(options, cuts, resolved)
    page = _report(out, cuts, left_out)
    files.remove_tree(out / ".partial")
    total, held = sum(map(len, cuts)), sum(cut.given.held_out for cut in cuts)
    say(
        f"{out}: {len(cuts)} clips, {total} frames"
        + (f", {held} clips held out" if held else "")
        + "".join(f"; left out, {why}: {count}" for why, count in left_out.items())
        + f". Report: {page}"
    )
    events.emit(events.FileWritten(page))
    return page


def _all_cuts(given: Sequence[Given], options: PrepareOptions, left_out: Counter[str]) -> list[Cut]:
    cuts: list[Cut] = []
    with events.stage("clips", 0.0, 0.6):
        for number, clip in enumerate(given):
            with events.part(number / len(given), (number + 1) / len(given)):
                events.check()
                cuts += _cuts(clip, options, left_out)
    if not cuts:
        raise UserError(_nothing(options, left_out))
    return cuts


def _check(options: PrepareOptions) -> None:
    if not options.videos:
        raise UserError(f"No clip was named; give one or more before {option('out')}.")
    for name in ("shard", "merge", "poses"):
        if getattr(options, name):
            raise UserError(
                f"{option(name)} is for videos of one person; leave it out with "
                f"{option('layout')} clips."
            )
    if not options.tube_seconds >= 0:
        raise UserError(f"{option('tube_seconds')} {options.tube_seconds:g} is negative.")


# --- what was given -------------------------------------------------------------------------------


def clips_of(path: Path, size: tuple[int, int]) -> list[Given]:
    """The clips that a file or folder holds, in the order of their names.

    size: (height, width) of a frame, by whose proportions wide pictures are known.
    Raises UserError where there is none.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"There is no {path}; check its name.")
    if path.is_file():
        return [Given(path, "strip" if is_picture(path.name) else "video")]
    phases = [path / phase for phase in PHASES if (path / phase).is_dir()]
    if phases:
        return [
            Given(clip.path, clip.kind, phase.name == "test")
            for phase in phases
            for clip in _in_folder(phase, size)
        ]
    found = _in_folder(path, size)
    # A fifth of a folder is held out, all clips of a person or none.
    people = sorted({person_of(clip.path.name) for clip in found})
    held = set(split(people)[1]) if len(people) > 1 else set()
    return [Given(c.path, c.kind, person_of(c.path.name) in held) for c in found]


def _in_folder(folder: Path, size: tuple[int, int]) -> list[Given]:
    inside = [
        entry
        for entry in files.entries(folder)
        if not files.is_clutter(entry.name) and entry.suffix.lower() not in BESIDE
    ]
    pictures = [entry for entry in inside if is_picture(entry.name)]
    if pictures and not _is_strip(pictures[0], size):
        return [Given(folder, "frames")]
    found = [
        Given(entry, "frames" if entry.is_dir() else "strip" if is_picture(entry.name) else "video")
        for entry in sorted(inside)
    ]
    if not found:
        raise UserError(f"{folder} holds no clip; give videos, or folders of frames.")
    return found


def _is_strip(file: Path, size: tuple[int, int]) -> bool:
    """Whether a picture is at least two frames of such proportions side by side."""
    high, wide = picture_size(file)
    frame = high * size[1] / size[0]
    return wide / frame > 2 - SAME and abs(wide / frame - round(wide / frame)) < SAME


def _resolved(options: PrepareOptions, given: Sequence[Given]) -> dict:
    """What decides what the dataset is, as JSON."""
    names = ("size", "tubes", "tube_seconds", "start", "end", "fps", "picture")
    clips = [
        {"file": clip.path.name, "sha256": files.sha256(clip.path), "held_out": clip.held_out}
        for clip in given
    ]
    chosen = {name: getattr(options, name) for name in names}
    return {"layout": "clips", "made_by": "prepare", **chosen, "videos": clips}


def _nothing(options: PrepareOptions, left_out: Counter[str]) -> str:
    why = "; ".join(f"{reason}: {count}" for reason, count in left_out.items())
    return (
        f"Nothing was left of what was given ({why}); lower {option('tube_seconds')}, take "
        f"{option('tubes')} person or none, or give longer clips."
    )


# --- what is cut out ------------------------------------------------------------------------------


def _cuts(clip: Given, options: PrepareOptions, left_out: Counter[str]) -> Iterator[Cut]:
    """The clips of a clip; why others are none goes to `left_out`."""
    size = parse_size(options.size)
    pictures, times = _shape(clip, options)
    if len(times) < 2:
        left_out["of a single frame, of which no pair can be made"] += 1
        return
    kind = options.tubes
    if kind == "auto":
        alike = abs(pictures[1] * size[0] / (pictures[0] * size[1]) - 1) <= SAME
        kind = "none" if alike or clip.kind != "video" else "face"
    if kind == "none":
        yield Cut(clip, _middle(*pictures, size), 0, len(times), times, pictures)
        return
    if clip.kind != "video":
        raise UserError(
            f"{clip.path} is no film, in which tubes are looked for; give videos, or "
            f"{option('tubes')} none."
        )
    boxes = _boxes(clip, kind, options, times)
    fps = (len(times) - 1) / max(times[-1] - times[0], 1e-6)
    found = tubes(boxes, max(round(options.tube_seconds * fps), 1))
    if not found:
        left_out[f"no {kind} stays in place for {options.tube_seconds:g} s"] += 1
    for tube in found:
        region = square(tube.box, *pictures, size)
        if min(region.width, region.height) < LEAST_PIXELS:
            left_out[f"smaller than {LEAST_PIXELS} pixels"] += 1
            continue
        yield Cut(clip, region, tube.first, tube.last + 1, times, pictures)


def _shape(clip: Given, options: PrepareOptions) -> tuple[tuple[int, int], tuple[float, ...]]:
    """((height, width) of the pictures, their times)."""
    if clip.kind == "video":
        info, span = probe(clip.path), {"start": options.start, "end": options.end}
        found = frame_times(clip.path, **span, fps=options.fps)
        return (info.height, info.width), tuple(found.tolist())
    rate = options.fps or FPS
    if clip.kind == "frames":
        pictures = picture_files(clip.path)
        if not pictures:
            raise UserError(f"{clip.path} holds no pictures; remove it, or put frames into it.")
        return picture_size(pictures[0]), tuple(i / rate for i in range(len(pictures)))
    height, width = parse_size(options.size)
    high, wide = picture_size(clip.path)
    count = max(round(wide / (high * width / height)), 1)
    return (high, wide // count), tuple(i / rate for i in range(count))


def _middle(height: int, width: int, size: tuple[int, int]) -> Region:
    """The largest part in the middle that has the proportions of `size`."""
    rows = min(height, round(width * size[0] / size[1]))
    columns = min(width, round(rows * size[1] / size[0]))
    return Region((width - columns) // 2, (height - rows) // 2, columns, rows)


def _boxes(
    clip: Given, kind: str, options: PrepareOptions, times: tuple[float, ...]
) -> list[list[Box]]:
    """Of each frame; they are kept in the cache folder."""
    asked = {
        "video": files.sha256(clip.path),
        "kind": kind,
        "span": [options.start, options.end, options.fps],
        "model": find_bundle("holistic", options.pose_model).sha256,
        "version": VERSION,
    }
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    kept = files.cache_folder() / "boxes" / f"{key}.json"
    if kept.is_file():
        say(f"Boxes of {clip.path.name}: from the cache ({kept}).")
        return [[tuple(box) for box in frame] for frame in json.loads(kept.read_text())]
    source = _source(clip, options.start, options.end, options.fps, times)
    found = boxes_of(
        source, "face" if kind == "face" else "person", options.pose_model, options.workers
    )
    files.check_writable(kept.parent)
    files.write_json(kept, found)
    return found


def _source(
    clip: Given, start: float | None, end: float | None, fps: float | None, times: Sequence[float]
) -> Source:
    return Source(clip.path, start, end, fps, np.array(times))


# --- writing --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Job:
    path: Path
    cuts: tuple[tuple[int, Cut], ...]
    size: tuple[int, int]
    picture: str
    span: tuple[float | None, float | None, float | None]


def _write(options: PrepareOptions, cuts: Sequence[Cut], resolved: dict) -> None:
    height, width = parse_size(options.size)
    groups: list[list[tuple[int, Cut]]] = [[]]
    for number, cut in enumerate(cuts):
        if sum(len(each) for _, each in groups[-1]) >= SHARD:
            groups.append([])
        groups[-1].append((number, cut))
    lengths = [sum(len(cut) for _, cut in group) for group in groups]
    span = options.start, options.end, options.fps
    jobs = [
        _Job(records.shard_path(options.out, i, len(groups)), tuple(group), (height, width),
             options.picture, span)
        for i, group in enumerate(groups)
    ]  # fmt: skip
    # What a stopped run has written whole stays.
    jobs = [
        job
        for job, length in zip(jobs, lengths, strict=True)
        if records.count_records(job.path) != length
    ]
    total = sum(len(cut) for job in jobs for _, cut in job.cuts)
    if jobs:
        run_jobs(_write_shard, jobs, worker_count(options.workers), "Writing clips", total)
    clips, first = [], 0
    for number, cut in enumerate(cuts):
        clips.append((number, number, first, len(cut)))
        first += len(cut)
    info = DatasetInfo(
        height=height,
        width=width,
        clips=tuple(clips),
        sources=tuple(_entry(cut) for cut in cuts),
        detection={"frames": first, "kept": first, "rejected": {}},
        options=resolved,
        picture=options.picture,
        held_out=tuple(i for i, cut in enumerate(cuts) if cut.given.held_out),
    )
    records.finish_dataset(options.out, info, lengths)


def _entry(cut: Cut) -> SourceEntry:
    times = cut.times
    return {
        "file": cut.given.path.name,
        "fps": (len(times) - 1) / max(times[-1] - times[0], 1e-6),
        "height": cut.size[0],
        "width": cut.size[1],
        "frames": len(cut),
        "kept": len(cut),
        "fit": "crop",
        "crop": cut.region.to_json(),
        "phase": "test" if cut.given.held_out else "train",
    }


def _write_shard(job: _Job) -> None:
    with records.ShardWriter(job.path, *job.size, job.picture) as writer:
        for number, cut in job.cuts:
            for i, image in _pictures(cut, job):
                writer.write(
                    {
                        "frame": cut_out(image, cut.region, *job.size),
                        "keypoints": np.zeros((COUNT, 3)),
                        "face_box": np.zeros(4),
                        "clip": number,
                        "index": i - cut.first,
                        "time": cut.times[i],
                    }
                )
                advance()


def _pictures(cut: Cut, job: _Job) -> Iterator[tuple[int, UInt8[np.ndarray, "_ _ 3"]]]:
    """(number, picture) of a cut's frames."""
    if cut.given.kind == "video":
        source = _source(cut.given, *job.span, cut.times)
        yield from frames(source, cut.first, cut.last)
    elif cut.given.kind == "frames":
        pictures = picture_files(cut.given.path)[cut.first : cut.last]
        for i, file in enumerate(pictures, cut.first):
            image = np.asarray(read_picture(file).convert("RGB"))
            if image.shape[:2] != cut.size:
                raise UserError(
                    f"{file} is {image.shape[1]}x{image.shape[0]}, but the first frame of its clip "
                    f"{cut.size[1]}x{cut.size[0]}; frames of a clip must be of one size."
                )
            yield i, image
    else:
        whole, wide = np.asarray(read_picture(cut.given.path).convert("RGB")), cut.size[1]
        for i in range(cut.first, cut.last):
            yield i, whole[:, i * wide : (i + 1) * wide]


def _report(out: Path, cuts: Sequence[Cut], left_out: Counter[str]) -> Path:
    dataset = records.open_dataset(out)
    shown = np.unique(np.linspace(0, len(cuts) - 1, min(SHOWN, len(cuts))).round().astype(int))
    firsts = [dataset[dataset.clips[i][0]]["frame"] for i in shown]
    sheet = montage.grid([montage.to_height(frame, 96) for frame in firsts], 12)
    lengths = [len(cut) for cut in cuts]
    held = sum(cut.given.held_out for cut in cuts)
    facts = {
        "clips": len(cuts),
        "held out": held or "none; data.holdout keeps the end of each",
        "people": len({person_of(cut.given.path.name) for cut in cuts}),
        "frames": sum(lengths),
        "frames a clip": f"{min(lengths)} to {max(lengths)}",
    } | {f"left out, {why}": count for why, count in left_out.items()}
    page = html.page(
        f"Clips: {out.resolve().name}",
        [
            html.section("What is in it", html.facts(facts)),
            html.section("First frames", html.image(sheet)),
        ],
    )
    html.write(out / REPORT, page)
    return out / REPORT
