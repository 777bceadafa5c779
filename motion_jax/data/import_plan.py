"""What an import will write, before anything is decoded: groups, sizes, keypoints, shards."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from motion_jax import files
from motion_jax.data import import_labelled, import_shards
from motion_jax.data.edn_files import KEYPOINTS, on_label, read_aspect, read_face_text
from motion_jax.data.fitting import place
from motion_jax.data.folders import Group, read_layout
from motion_jax.data.import_densepose import SAME_SHAPE, Dense, DensePlan
from motion_jax.data.import_options import DENSEPOSE, FPS, LABELLED, VIDEO, ImportOptions
from motion_jax.data.import_shards import Films, ImportJob, Item, Rows
from motion_jax.data.shards import spans
from motion_jax.errors import UserError, option
from motion_jax.pose import skeleton
from motion_jax.pose.detect import Source
from motion_jax.pose.face import face_boxes
from motion_jax.pose.files import read_named, read_poses
from motion_jax.progress import track
from motion_jax.video.image_files import Resize, Unreadable, picture_size, tell_depth
from motion_jax.video.reader import frame_times, probe


@dataclass(frozen=True)
class Plan:
    """What is to be imported.

    Attributes:
      how: pictures become the dataset's.
      size: (height, width) of the dataset.
      dense: what the layout densepose needs besides, None for others.
    """

    options: ImportOptions
    layout: str
    how: Resize
    groups: list[Group]
    size: tuple[int, int]
    dense: DensePlan | None


def read_groups(options: ImportOptions, layout: str) -> list[Group]:
    """The pictures of SOURCE, or the frames of a video by their numbers. Raises UserError as
    folders.read_layout, and where two videos differ in length."""
    if layout == LABELLED:
        span = {"start": options.start, "end": options.end, "fps": options.fps}
        groups = import_labelled.read_groups(options.source, test=options.test, **span)
        import_labelled.check_size(options.size, groups)
        return groups
    if layout != VIDEO:
        groups = read_layout(
            options.source,
            layout,
            test=options.test,
            sequence=options.sequence,
            direction=options.direction,
        )
        for group in groups:
            for name in {*group.frames[:1], *group.poses[:1]}:
                tell_depth(options.source / name)
        return groups
    span = {"start": options.start, "end": options.end, "fps": options.fps}
    count = len(frame_times(options.source, **span))
    if options.frames is not None:
        other = len(frame_times(options.frames, **span))
        if other != count:
            raise UserError(
                f"{options.source} has {count} frames and {options.frames} {other}, so they do "
                "not belong together frame by frame; choose stretches of equal length with "
                f"{option('start')} and {option('end')}, or another video."
            )
    names = tuple(str(i) for i in range(count))
    return [Group(options.source.name, "train", names, names, clips=((0, count),))]


def common_size(
    options: ImportOptions, layout: str, how: Resize, groups: list[Group]
) -> tuple[int, int]:
    """(height, width) of the dataset; UserError where the pictures would get different sizes."""
    if layout == VIDEO:
        info = probe(options.source)
        if options.frames is not None and options.fit != "stretch":
            other = probe(options.frames)
            if abs(info.width * other.height / (info.height * other.width) - 1) > SAME_SHAPE:
                raise UserError(
                    f"{options.source} is {info.width}x{info.height} and {options.frames} "
                    f"{other.width}x{other.height}, so {option('fit')} {options.fit} would not "
                    f"put one exactly over the other; give videos of one shape, or {option('fit')} "
                    "stretch."
                )
        return how.result(info.height, info.width)
    if how.mode in ("size", "resize_and_crop"):
        return how.result(0, 0)
    found: tuple[tuple[int, int], str] | None = None
    for group in groups:
        # The labels of edn tell the size; a test_img there is often a copy of the source's frames.
        names = group.poses if layout == "edn" else dict.fromkeys((*group.poses, *group.frames))
        for name in track(names, f"Looking at {group.name}", len(names)):
            try:
                height, width = picture_size(options.source / name)
            except Unreadable as error:
                if options.corrupt == "stop":
                    raise import_shards.advised(error) from error
                continue
            size = how.result(height, width // 2 if group.split else width)
            found = found or (size, name)
            if size != found[0]:
                raise UserError(
                    f"{options.source / name} would become {size[1]}x{size[0]} and {found[1]} "
                    f"{found[0][1]}x{found[0][0]}, but a dataset has one size; give "
                    f"{option('size')} WIDTHxHEIGHT or {option('resize')} resize_and_crop."
                )
    if found is None:
        raise UserError(f"No picture in {options.source} can be read; nothing was imported.")
    return found[0]


def resolve(plan: Plan) -> dict[str, Any]:
    """The options that decide what the dataset is, as JSON; file names and sizes for contents."""
    options, layout, groups, dense = plan.options, plan.layout, plan.groups, plan.dense
    digest, count = hashlib.sha256(), 0
    for path in filter(None, (options.source, options.frames) if layout == VIDEO else ()):
        digest.update(os.fsencode(f"{path.name}\0{files.sha256(path)}\n"))
    for group in groups if layout not in (VIDEO, DENSEPOSE) else ():
        poses = () if group.split else group.poses
        own = (group.film,) if group.film else group.frames
        for name in (*own, *poses, *filter(None, group.boxes)):
            digest.update(os.fsencode(f"{name}\0{_bytes(options.source / name)}\n"))
            count += 1
    first = Path(groups[0].frames[0]).suffix.lower()
    if dense is not None:
        # Drawn parts that stand for the frames too would suffer from JPEG.
        reel = dense.frame
        first = ".png" if reel is None else reel.files[0].suffix.lower() if reel.files else ".jpg"
    films = layout == VIDEO or first in (".jpg", ".jpeg")
    label = "nearest" if layout in ("edn", DENSEPOSE) else "bicubic"
    paired = bool(groups[0].poses)
    keypoints = _keypoint_folder(options, layout)
    value = {
        "layout": layout,
        "source": {"file": options.source.name, "files": count, "names": digest.hexdigest()},
        "resize": {name: entry for name, entry in asdict(plan.how).items() if entry is not None},
        "size": f"{plan.size[1]}x{plan.size[0]}",
        "label_interpolation": label
        if options.label_interpolation == "auto"
        else options.label_interpolation,
        "direction": options.direction,
        "sequence": options.sequence,
        "test": options.test,
        "fps": options.fps,
        "span": [options.start, options.end],
        "picture": ("jpeg" if films else "png") if options.picture == "auto" else options.picture,
        "pose_picture": options.pose_picture if paired else None,
        "drawn_as": options.drawn_as,
        "face_points": options.face_points,
    }
    if options.video_track is not None:
        value["video_track"] = options.video_track
    if dense is not None:
        value |= dense.options
    if keypoints is not None or layout == "vid2vid":
        value |= {"keypoints_size": options.keypoints_size, "person": options.person}
        folders = [Path(g.poses_of["folder"]) for g in groups if layout == "vid2vid"]
        if keypoints is not None:
            folders = [keypoints, *filter(None, [_test_keypoints(options, groups)])]
        value["poses"] = [_folder_names(folder) for folder in folders]
    aspect = read_aspect(options.source) if layout == "edn" else None
    if aspect is not None:
        value["pixel_aspect"] = aspect
    return json.loads(json.dumps(value))


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _folder_names(folder: Path) -> str:
    digest = hashlib.sha256()
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if not files.is_clutter(entry.name):
            digest.update(os.fsencode(f"{entry.name}\0{entry.stat().st_size}\n"))
    return digest.hexdigest()


def _keypoint_folder(options: ImportOptions, layout: str) -> Path | None:
    if layout != "edn":
        if options.keypoints is not None:
            raise UserError(f"{option('keypoints')} goes with the layout edn; vid2vid has its own.")
        return None
    if options.keypoints is not None:
        if not options.keypoints.is_dir():
            raise UserError(
                f"There is no folder of poses {options.keypoints}; check {option('keypoints')}."
            )
        return options.keypoints
    for name in ("keypoints", "train/keypoints", "train_keypoints"):
        if (options.source / name).is_dir():
            return options.source / name
    return None


def _test_keypoints(options: ImportOptions, groups: list[Group]) -> Path | None:
    """Where exported keypoints of the test labels are; None without such labels or keypoints."""
    folder = options.source / KEYPOINTS["test"]
    return folder if folder.is_dir() and any(g.phase == "test" for g in groups) else None


def with_keypoints(plan: Plan, group: Group) -> Group:
    """The group with its keypoints, in pixels of its frames (edn: of its labels)."""
    options, layout = plan.options, plan.layout
    if layout == "vid2vid":
        size = picture_size(options.source / group.frames[0])
        times = np.arange(len(group.frames)) / (options.fps or FPS)
        found = read_poses(Path(group.poses_of["folder"]), times, size, options.person)
        kept = tuple(
            run for clip in group.clips for run in _runs(found.reasons[clip[0] : clip[1]], clip[0])
        )
        if not kept:
            raise UserError(f"No pose was found in any picture of {group.name}; check its poses.")
        return replace(group, keypoints=found.keypoints, clips=kept, poses_of=found.estimator)
    folder = _keypoint_folder(options, layout)
    if folder is not None and group.phase != "train":
        folder = _test_keypoints(options, [group])
    if folder is None:
        return group
    named = read_named(folder, [Path(name).stem for name in group.frames], options.person)
    label = picture_size(options.source / group.poses[0])
    points = on_label(named.keypoints, _pixels(options.keypoints_size), label)
    return replace(group, keypoints=points, poses_of=named.estimator)


def _runs(reasons: tuple[str, ...], first: int) -> list[tuple[int, int]]:
    """Stretches without a reason against them, numbered from `first`."""
    good = np.array([not reason for reason in reasons], np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], good, [0]])))
    return [(first + int(a), first + int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _pixels(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(p.isascii() and p.isdigit() and int(p) for p in parts):
        raise UserError(
            f"{option('keypoints_size')} {text} is not a size; give WIDTHxHEIGHT, as 1920x1080."
        )
    return int(parts[1]), int(parts[0])


def plan_shards(plan: Plan, resolved: dict[str, Any], partial: Path) -> list[ImportJob]:
    """All shards, each of one group, with what is to be written into them."""
    jobs, clip, (height, width) = [], 0, plan.size
    for number, group in enumerate(plan.groups):
        chosen, items = [], []
        times = _times(plan, group)
        for first, last in group.clips:
            for i in range(first, last):
                pose = group.poses[i] if group.poses else ""
                items.append(Item(group.frames[i], pose, clip, i - first, float(times[i])))
                chosen.append(i)
            clip += 1
        keypoints, boxes = _poses(plan, group, np.array(chosen, int))
        for first, last in spans(0, len(items)):
            part = tuple(items[first:last])
            jobs.append(
                ImportJob(
                    path=partial / f"group-{number:03d}-{first:08d}.array_record",
                    source=_source(plan, group, part, first),
                    height=height,
                    width=width,
                    picture=resolved["picture"],
                    pose_picture=resolved["pose_picture"],
                    label=resolved["label_interpolation"],
                    skip=plan.options.corrupt == "skip",
                    keypoints=keypoints[first:last],
                    face_boxes=boxes[first:last],
                    fit=plan.options.fit,
                )
            )
    return jobs


def _times(plan: Plan, group: Group) -> np.ndarray:
    options, count = plan.options, len(group.frames)
    if plan.dense:
        return plan.dense.times
    if plan.layout == VIDEO:
        return _film(options, options.frames or options.source).times
    if group.film:
        return _film(options, options.source / group.film).times
    return np.arange(count) / (options.fps or FPS)


def _film(options: ImportOptions, path: Path) -> Source:
    times = frame_times(path, start=options.start, end=options.end, fps=options.fps)
    return Source(path, options.start, options.end, options.fps, times)


def _source(
    plan: Plan, group: Group, items: tuple[Item, ...], first: int
) -> import_shards.Files | Films | Rows:
    options = plan.options
    if plan.dense:
        return Dense(plan.dense, items, first)
    if group.film:
        film = _film(options, options.source / group.film)
        return import_labelled.Film(film, items, first)
    if plan.layout != VIDEO:
        turned = options.direction == "BtoA" and group.split
        return import_shards.Files(options.source, items, turned)
    pose = _film(options, options.source)
    frame = pose if options.frames is None else _film(options, options.frames)
    return Films(frame, pose, items, first)


def _poses(plan: Plan, group: Group, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(keypoints [n, 137, 3], face boxes [n, 4]) of the chosen frames in pixels of the dataset."""
    options, layout, size = plan.options, plan.layout, plan.size
    keypoints = np.zeros((len(chosen), skeleton.COUNT, 3), np.float32)
    boxes = np.zeros((len(chosen), 4), np.float32)
    if layout in (VIDEO, DENSEPOSE) or (group.keypoints is None and not group.boxes):
        return keypoints, boxes
    name = (group.poses if layout == "edn" else group.frames)[0]
    height, width = picture_size(options.source / name)
    down, right = size[0] / height, size[1] / width
    if group.keypoints is not None:
        if options.fit == "stretch":
            placed = skeleton.scaled(group.keypoints[chosen], right, down)
        else:
            placed = place((height, width), size, options.fit).points(group.keypoints[chosen])
        keypoints = skeleton.observed_only(placed)
        outside = (keypoints[..., 0] < 0) | (keypoints[..., 1] < 0)
        outside |= (keypoints[..., 0] > size[1]) | (keypoints[..., 1] > size[0])
        keypoints[outside] = 0
        boxes = face_boxes(keypoints, *size)
    for row, i in enumerate(chosen if group.boxes else ()):
        text = group.boxes[i]
        boxes[row] = 0
        if text:
            found = read_face_text(options.source / text)
            boxes[row] = np.array(found) * np.tile([down, right], 2)
    return keypoints, boxes
