"""`motion-jax import-data`: makes a dataset of other projects' folders or a skeleton video.

While it works, everything is in DATASET/.partial; a dataset is whole when metadata.json is there.
The same command goes on where it was stopped, and the result is the same bytes. Memory does not
grow with the pictures: only their names, clips and keypoints are held.
"""

import hashlib
import itertools
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from motion_jax import files
from motion_jax.data import import_report, import_shards, records, shards
from motion_jax.data.already_made import begin, is_made
from motion_jax.data.edn_files import CANVAS, read_aspect
from motion_jax.data.folders import NEEDED, Group, counted, detect
from motion_jax.data.import_densepose import DensePlan, plan_densepose, shows_densepose, summary
from motion_jax.data.import_options import (
    DEFAULTS,
    DENSEPOSE,
    FPS,
    LABELLED,
    VIDEO,
    ImportOptions,
    difference,
)
from motion_jax.data.import_plan import (
    Plan,
    common_size,
    plan_shards,
    read_groups,
    resolve,
    with_keypoints,
)
from motion_jax.data.import_report import write_report
from motion_jax.data.import_shards import ImportJob, Item, Outcome
from motion_jax.data.info import Detection, SourceEntry
from motion_jax.data.prepare_options import parse_size
from motion_jax.errors import UserError
from motion_jax.errors import option as named
from motion_jax.pose.draw import PoseStyle
from motion_jax.pose.ready import looks_drawn
from motion_jax.progress import say
from motion_jax.video.image_files import Resize, picture_size
from motion_jax.video.tracks import follow_options
from motion_jax.workers import pool, worker_count

_BODIES = {25: "body25", 23: "body23", 18: "coco18"}


@follow_options
def import_data(options: ImportOptions) -> Path:
    """Makes the dataset `options.out`, or finds it made; returns the page about it.

    Raises UserError for everything a user can mend.
    """
    files.check_outputs(options, "out")
    workers = worker_count(options.workers)
    layout = _layout(options)
    how = _resize(options, layout)
    dense = plan_densepose(options) if layout == DENSEPOSE else None
    groups = [dense.group] if dense else read_groups(options, layout)
    size = how.result(*dense.size) if dense else common_size(options, layout, how, groups)
    if how.crops and how.crop_size > min(size):
        raise UserError(
            f"{named('resize')} {how.mode} is to cut {how.crop_size}x{how.crop_size} out of "
            f"pictures of {size[1]}x{size[0]}, which are smaller; give a smaller "
            f"{named('crop_size')}, or {named('resize')} none."
        )
    plan = Plan(options, layout, how, groups, size, dense)
    resolved = resolve(plan)
    out, partial = options.out, options.out / ".partial"
    page = out / "report" / "index.html"
    if is_made(out, partial, resolved, lambda *both: difference(options, *both)):
        say(f"{out} is up to date: the same pictures and options; nothing to do.")
        return page
    if layout == VIDEO:
        _warn_of_a_plain_video(options)
    if dense:
        say(summary(dense))
    plan = replace(plan, groups=[with_keypoints(plan, group) for group in groups])
    jobs = plan_shards(plan, resolved, partial)
    begin(out, resolved)
    try:
        missing = [job for job in jobs if not _written(job)]
        if missing:
            with pool(min(workers, len(missing)), ("motion_jax.data.import_shards",)):
                import_shards.write(missing, workers, f"Pictures to {out}")
        info = _finish(plan, jobs, resolved)
        write_report(page, records.open_dataset(out))
        files.remove_tree(partial)
    except KeyboardInterrupt:
        say(f"Stopped; the same command goes on with {out}.")
        raise
    _tell(options, info, how, page)
    return page


def _layout(options: ImportOptions) -> str:
    source = options.source
    if not source.exists():
        raise UserError(f"There is no file or folder {source}; check SOURCE.")
    if options.layout == DENSEPOSE:
        return DENSEPOSE
    for option, unset in (("region", None), ("frames_region", None), ("densepose_as", "auto")):
        if getattr(options, option) != unset:
            raise UserError(f"{named(option)} goes only with {named('layout')} densepose.")
    if source.is_file():
        if options.layout not in ("auto", VIDEO):
            raise UserError(f"{source} is a file; the layout {options.layout} needs a folder.")
        say(f"{source}: layout {VIDEO}.")
        return VIDEO
    if options.layout == VIDEO:
        raise UserError(f"{source} is a folder; the layout {VIDEO} needs a video.")
    if options.frames is not None:
        raise UserError(
            f"{named('frames')} goes only with a skeleton video or {named('layout')} densepose."
        )
    layout = detect(source) if options.layout == "auto" else options.layout
    say(f"{source}: layout {layout}.")
    return layout


def _warn_of_a_plain_video(options: ImportOptions) -> None:
    if not looks_drawn(options.source, options.start, options.end):
        say(
            f"Warning: {options.source} does not look like drawn skeletons (no one colour fills "
            "most of its pictures); a dataset of an ordinary video is made by motion-jax prepare."
        )
        return
    if options.layout == "auto" and shows_densepose(options):
        say(
            f"{options.source} looks like DensePose: {named('layout')} densepose would tell its "
            "parts apart even where compression changed their colours."
        )


def _resize(options: ImportOptions, layout: str) -> Resize:
    load, crop, multiple = DEFAULTS[layout]
    load = load if options.load_size is None else options.load_size
    crop = crop if options.crop_size is None else options.crop_size
    if load < 1 or crop < 1:
        raise UserError(
            f"{named('load_size')} {load} {named('crop_size')} {crop}: give pixels above 0."
        )
    if options.resize == "resize_and_crop" and crop > load:
        raise UserError(f"{named('crop_size')} {crop} is larger than {named('load_size')} {load}.")
    if options.fps is not None and not options.fps > 0:
        raise UserError(
            f"{named('fps')} {options.fps:g} is not a rate; give frames a second above 0."
        )
    if options.fit != "stretch":
        if options.size is None:
            raise UserError(
                f"{named('fit')} {options.fit} needs a size to fit into; give {named('size')} too."
            )
        if layout == "edn":
            raise UserError(
                f"{named('fit')} {options.fit} does not go with the layout edn, whose labels were "
                "stretched and are all of one size; leave it out."
            )
    if options.size is None:
        # The layouts that need only multiples of 4 are those of pix2pix's programs.
        least = crop if multiple == 4 else 0
        return Resize(options.resize, load, crop, multiple, least)
    if options.resize != "none":
        raise UserError(
            f"{named('size')} and {named('resize')} contradict each other; give one of them."
        )
    fit = None if options.fit == "stretch" else options.fit
    return Resize("size", size=parse_size(options.size), fit=fit)


def _written(job: ImportJob) -> bool:
    """Whole in .partial, or already moved to its final place."""
    found = import_shards.outcome(job.path, len(job.source.items))
    if found is None:
        return False
    if not job.skip and found["skipped"]:
        return False
    return not found["records"] or shards.is_whole(job.path, found["records"])


def _finish(plan: Plan, jobs: list[ImportJob], resolved: dict[str, Any]) -> records.DatasetInfo:
    """Moves shards to their final names, then writes the metadata; each step may be done again."""
    options, groups, size, dense, out = (
        plan.options, plan.groups, plan.size, plan.dense, plan.options.out,
    )  # fmt: skip
    outcomes = {job.path: _outcome(job) for job in jobs}
    full = {path: one["records"] for path, one in outcomes.items() if one["records"]}
    if not full:
        raise UserError(f"Every picture of {options.source} is damaged; nothing was imported.")
    shards.move(list(full), out)
    kept: list[tuple[Item, int]] = []
    sources: list[SourceEntry] = []
    boxes: list[tuple[int, ...]] = []
    skipped: list[str] = []
    figures: Counter[str] = Counter()
    for number, group in enumerate(groups):
        digest, first = hashlib.sha256(), len(kept)
        for job in jobs:
            if not job.path.name.startswith(f"group-{number:03d}-"):
                continue
            one = outcomes[job.path]
            digest.update(one["sha256"].encode())
            skipped += one["names"]
            figures.update(one.get("figures", {}))
            boxes += map(tuple, one.get("content", []))
            left_out = set(one["skipped"])
            items = enumerate(job.source.items)
            kept += [(item, number) for i, item in items if i not in left_out]
        entry = _source_entry(plan, group, digest.hexdigest(), len(kept) - first)
        sources.append({**entry, **_dense_entry(dense, options)} if dense else entry)
    clips = _clips(kept)
    held_out = [clip for clip, source, *_ in clips if groups[source].phase != "train"]
    detection: Detection = {
        "frames": sum(len(group.frames) for group in groups),
        "kept": len(kept),
        "rejected": {"damaged": len(skipped)} if skipped else {},
        "skipped": skipped,
    }
    if dense:
        detection["nobody"] = figures["nobody"]
    content = [(len(list(run)), *box) for box, run in itertools.groupby(boxes)]
    if all(box == (0, 0, *size) for box in boxes):
        content = []
    info = records.DatasetInfo(
        height=size[0],
        width=size[1],
        clips=clips,
        sources=tuple(sources),
        detection=detection,
        options=resolved,
        picture=resolved["picture"],
        pose_pictures=resolved["pose_picture"] is not None,
        pose_format=resolved["pose_picture"] or "png",
        pose_interpolation="nearest" if resolved["label_interpolation"] == "nearest" else "area",
        pose_style=_style(options, groups) if resolved["pose_picture"] else None,
        held_out=tuple(dict.fromkeys(held_out)),
        densepose=dense.drawing if dense else None,
        content=tuple(cast(list[tuple[int, int, int, int, int]], content)),
    )
    records.finish_dataset(out, info, list(full.values()))
    return info


def _outcome(job: ImportJob) -> Outcome:
    found = import_shards.outcome(job.path, len(job.source.items))
    assert found is not None  # All are written by now.
    return found


def _clips(kept: list[tuple[Item, int]]) -> tuple[tuple[int, int, int, int], ...]:
    """As DatasetInfo.clips, of all records: (item, number of its source). A picture that was left
    out ends its clip."""
    starts = [
        record
        for record, (item, _) in enumerate(kept)
        if not record
        or (kept[record - 1][0].clip, kept[record - 1][0].index + 1) != (item.clip, item.index)
    ]
    return tuple(
        (kept[first][0].clip, kept[first][1], first, last - first)
        for first, last in itertools.pairwise([*starts, len(kept)])
    )


def _source_entry(plan: Plan, group: Group, digest: str, kept: int) -> SourceEntry:
    options, layout, size = plan.options, plan.layout, plan.size
    height, width = size
    fit = "none"
    aspect = read_aspect(options.source) if layout == "edn" else None
    if aspect is not None:
        height, width = picture_size(options.source / group.poses[0])
        aspect *= (width / size[1]) / (height / size[0])
    elif group.keypoints is not None and layout == "edn":
        # The canvas that the label was squashed from.
        (height, width), fit = CANVAS, "squash"
    elif layout == "vid2vid":
        (height, width), fit = picture_size(options.source / group.frames[0]), "squash"
    entry: SourceEntry = {
        "file": group.name,
        "sha256": digest,
        "phase": group.phase,
        "fps": options.fps or FPS,
        "width": width,
        "height": height,
        "frames": len(group.frames),
        "kept": kept,
        "fit": fit if options.fit == "stretch" else options.fit,
        "estimator": {k: v for k, v in group.poses_of.items() if k != "folder"},
    }
    if aspect is not None:
        entry["pixel_aspect"] = aspect
    if group.domain is not None:
        entry["domain"] = group.domain
    return entry


def _dense_entry(dense: DensePlan, options: ImportOptions) -> SourceEntry:
    times = dense.times
    rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else FPS
    height, width = dense.size
    entry: SourceEntry = {"width": width, "height": height, "densepose": dense.reading.kind}
    if options.fps is None:
        entry["fps"] = round(float(rate), 3)
    return entry


def _style(options: ImportOptions, groups: list[Group]) -> dict[str, Any] | None:
    body: str = options.drawn_as
    if body == "auto":
        counts = [group.poses_of.get("body_points", []) for group in groups]
        known = {count for each in counts for count in each}
        body = _BODIES[known.pop()] if len(known) == 1 else "unknown"
    if body == "unknown":
        return None
    return asdict(PoseStyle(body=body, face_points=options.face_points))


def _tell(options: ImportOptions, info: records.DatasetInfo, how: Resize, page: Path) -> None:
    skipped = info.detection["skipped"]
    kept = info.detection["kept"]
    dataset = records.open_dataset(options.out)
    counts = counted(len(info.clips), "clip")
    counts += f" ({import_report.held_out(info)} held out)" if info.held_out else ""
    pictures = counted(kept, "picture")
    text = f"{options.out}: {pictures} of {info.width}x{info.height}, {counts}"
    if skipped:
        text += f"; {len(skipped)} damaged left out ({', '.join(skipped[:3])}"
        text += ", …)" if len(skipped) > 3 else ")"
    if info.detection.get("nobody"):
        text += f"; nobody in {info.detection['nobody']}"
    lacks = [lack for lack, _ in import_report.remarks(dataset)]
    text += f"; {', '.join(lacks)} (what follows from it: {page})" if lacks else ""
    say(text + ".")
    if how.crops:
        say(
            f"Train with {named('data.augment.crop')} {named('data.augment.flip')} and a stage of "
            f"{how.crop_size}x{how.crop_size}."
        )


assert set(NEEDED) | {VIDEO, DENSEPOSE, LABELLED} == set(DEFAULTS)
