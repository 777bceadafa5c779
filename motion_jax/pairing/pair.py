"""`motion-jax pair`: a dataset of two people's frames that show the same pose.

pose2pics: A's pose (fitted to B's body) with B's picture; pics2pics: A's picture with B's picture.
The parts of A and B that are held out are paired with each other alone, so that no frame of either
is both trained on and measured with.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from motion_jax import files
from motion_jax.config import load_config
from motion_jax.data import records
from motion_jax.data.already_made import is_made
from motion_jax.data.crop import cut_out, whole
from motion_jax.data.pairs import stretches
from motion_jax.data.records import PoseFrames, open_dataset
from motion_jax.errors import UserError, flag, marked, option
from motion_jax.pairing.match import REASONS, Matches, Paired, fitted, match, runs, torso_length
from motion_jax.pairing.options import PairOptions
from motion_jax.pairing.report import flattering, summary, write_report
from motion_jax.pose import skeleton
from motion_jax.progress import Meter, say
from motion_jax.train.run import fingerprint

# Records in a shard.
SHARD = 1024
# Tells these options from those of other datasets (see records.maker).
MADE_BY = "pair"


def pair(options: PairOptions) -> Path:
    """Makes the dataset `options.out`, or finds it made; returns the page about it.

    Raises UserError for everything a user can mend, before anything is written.
    """
    files.check_outputs(options, "out")
    _check(options)
    a, b = open_dataset(options.a), open_dataset(options.b)
    for name, dataset in (("--a", a), ("--b", b)):
        _check_side(name, dataset)
    resolved = _resolved(options, a, b)
    out, partial = options.out, options.out / ".partial"
    page = out / "report" / "index.html"
    if is_made(out, partial, resolved):
        say(f"{out} is up to date: the same datasets and options; nothing to do.")
        if not open_dataset(out).info.held_out:
            say(f"Warning: {flattering(options.holdout)}")
        return page
    paired = find_pairs(options, a, b)
    files.check_writable(out)
    files.check_writable(partial)
    files.write_json(partial / "options.json", resolved)
    _write(options, paired, resolved, out, partial)
    write_report(out, options, paired)
    files.remove_tree(partial)
    say(f"{summary(paired)} Pairing report: {page}")
    say(_hint(options.kind, out, paired.b.size))
    if not any(run.held_out for run in paired.runs):
        say(f"Warning: {flattering(options.holdout)}")
    return page


def _hint(kind: str, out: Path, size: tuple[int, int]) -> str:
    """What to train with on pictures of `size` (height, width)."""
    try:
        words = settings_for(kind, *size)
    except UserError as error:
        return f"{kind} cannot be trained on pictures of this size: {marked(error)}"
    return " ".join(
        [f"Train with: motion-jax train {kind} --data {out} --run runs/{out.name}", *words]
    )


def settings_for(kind: str, height: int, width: int) -> list[str]:
    """The options that the config `kind` needs to train on pictures of this size.

    Raises UserError where no network of its kind takes them.
    """
    settings = load_config(kind).recipe.for_size(height, width)
    return [f"{flag(f'recipe.{name}')} {value}" for name, value in settings.items()]


def _check(options: PairOptions) -> None:
    if options.k < 1:
        raise UserError(f"{option('k')} {options.k} is less than 1; give a number of frames.")
    if not options.max_distance > 0:
        raise UserError(
            f"{option('max_distance')} {options.max_distance:g} keeps nothing; give torso lengths "
            "above 0."
        )
    if not 0.0 <= options.holdout <= 0.9:
        raise UserError(
            f"{option('holdout')} {options.holdout:g} is not a share between 0 and 0.9."
        )
    if options.a.resolve() == options.b.resolve():
        raise UserError(
            f"{option('a')} and {option('b')} are the same dataset {options.a}; its own pairs of "
            f"pose and picture need no pairing: motion-jax train pose2pics --data {options.b}."
        )


def _check_side(name: str, dataset: PoseFrames) -> None:
    if dataset.info.skeleton != skeleton.NAME:
        raise UserError(
            f"The dataset {dataset.folder} ({name}) has the skeleton {dataset.info.skeleton!r}, "
            f"pairs are found by {skeleton.NAME!r}; prepare it again."
        )
    body = dataset.keypoints()[:, skeleton.BODY, 2] > 0
    if not body.any():
        raise UserError(
            f"The dataset {dataset.folder} ({name}) has no keypoints of bodies, so its frames "
            "cannot be paired by pose; make it with motion-jax prepare."
        )


def _resolved(options: PairOptions, a: PoseFrames, b: PoseFrames) -> dict[str, Any]:
    """The options as the metadata keep them: datasets by name and content, not by place."""
    chosen = {
        name: value for name, value in asdict(options).items() if name not in ("a", "b", "out")
    }
    sides = {
        name: {
            "file": dataset.folder.resolve().name,
            "sha256": fingerprint(dataset),
            "height": dataset.info.height,
            "width": dataset.info.width,
            "sources": [dict(source) for source in dataset.info.sources],
        }
        for name, dataset in (("a", a), ("b", b))
    }
    # As they will be read again, to be compared.
    return json.loads(json.dumps({"made_by": MADE_BY, **sides, **chosen}))


def find_pairs(options: PairOptions, a: PoseFrames, b: PoseFrames) -> Paired:
    """The pairs of two datasets. Raises UserError where there is none to train on."""
    aspects = a.info.pixel_aspect, b.info.pixel_aspect
    theirs = b.keypoints()
    poses = fitted(a.keypoints(), theirs, aspects, options.normalize)
    torso = torso_length(theirs, aspects[1])
    clips = np.concatenate([np.full(n, i) for i, (_, n) in enumerate(a.clips)])
    matches, found = {}, []
    for part in ("train", "heldout"):
        left, right = (_records(dataset, options.holdout, part) for dataset in (a, b))
        if part == "train":
            for name, chosen in (("--a", left), ("--b", right)):
                if not len(chosen):
                    raise UserError(
                        f"The dataset of {name} has no frames for training after "
                        f"{option('holdout')} {options.holdout:g}; hold out less or give a longer "
                        "video."
                    )
            if options.k > len(right):
                raise UserError(
                    f"{option('k')} {options.k} is more than the {len(right)} training frames of "
                    f"{b.folder}; give a smaller k."
                )
        if not len(left) or not len(right):
            continue
        matches[part] = match(
            left,
            right,
            poses[left],
            theirs[right],
            k=options.k if part == "train" else 1,
            torso=torso,
            max_distance=options.max_distance,
            mutual=options.mutual,
            compare=options.compare,
            aspect=aspects[1],
        )
        found += runs(matches[part], clips[left], part == "heldout")
    if not any(not run.held_out for run in found):
        near = matches["train"].distance[:, 0]
        near = near[np.isfinite(near)]
        raise UserError(
            f"No frame of {option('a')} has a partner in {option('b')}: "
            + (
                f"the most similar poses are {near.min():.2f} torso lengths apart, the median is "
                f"{np.median(near):.2f}; give a larger {option('max_distance')}, "
                f"{option('compare')} body, or another video."
                if len(near)
                else "no two frames show half of their joints in common; use videos that show the "
                "same parts of the body."
            )
        )
    return Paired(a, b, poses, matches, found, torso)


def _records(dataset: PoseFrames, holdout: float, part: str) -> np.ndarray:
    parts = [np.arange(first, first + n) for first, n in stretches(dataset, holdout, part)]
    return np.concatenate(parts) if parts else np.zeros(0, int)


def _write(
    options: PairOptions, paired: Paired, resolved: dict[str, Any], out: Path, partial: Path
) -> None:
    """Shards, then the metadata that make them a dataset."""
    info = paired.b.info
    pictures = options.kind == "pics2pics"
    pose_format = paired.a.info.picture if pictures else None
    total = sum(len(run.a) for run in paired.runs)
    count = -(-total // SHARD)
    examples, lengths = _examples(paired, pictures), []
    with Meter(f"Pairs to {out}", total) as meter:
        for number in range(count):
            path = partial / f"{number:05d}.array_record"
            length = min(SHARD, total - number * SHARD)
            with records.ShardWriter(
                path, info.height, info.width, info.picture, pose_format
            ) as writer:
                for _ in range(length):
                    writer.write(next(examples))
                    meter.advance()
            lengths.append(length)
    for number in range(count):
        os.replace(partial / f"{number:05d}.array_record", records.shard_path(out, number, count))
    starts = np.concatenate([[0], np.cumsum([len(run.a) for run in paired.runs])])
    train = paired.matches["train"]
    records.finish_dataset(
        out,
        records.DatasetInfo(
            height=info.height,
            width=info.width,
            clips=tuple((i, 0, int(starts[i]), len(run.a)) for i, run in enumerate(paired.runs)),
            sources=(_source(options, paired, total),),
            detection={
                "frames": int(sum(len(found.a) for found in paired.matches.values())),
                "kept": total,
                "rejected": rejected(train),
            },
            options=resolved,
            picture=info.picture,
            pose_pictures=pictures,
            pose_format=pose_format or "png",
            held_out=tuple(i for i, run in enumerate(paired.runs) if run.held_out),
        ),
        lengths,
    )


def rejected(matches: Matches) -> dict[str, int]:
    """How many pairs were dropped for which reason."""
    counts = {name: int((matches.reason == i).sum()) for i, name in enumerate(REASONS)}
    return {name: n for name, n in counts.items() if n and name != "kept"}


def _source(options: PairOptions, paired: Paired, kept: int) -> dict[str, Any]:
    """The pairs stand for one video; what a picture is, is B's."""
    a, b = paired.a.info, paired.b.info
    first = dict(b.sources[0]) if b.sources else {}
    entry = {
        "file": f"{paired.a.folder.resolve().name} with {paired.b.folder.resolve().name}",
        "frames": len(paired.a),
        "kept": kept,
        "fps": (a.sources[0] if a.sources else {}).get("fps", 25.0),
        "width": first.get("width", b.width),
        "height": first.get("height", b.height),
        "fit": first.get("fit", "none"),
        "estimator": first.get("estimator", {}),
        "kind": options.kind,
    }
    return entry | ({"pixel_aspect": b.pixel_aspect} if b.pixel_aspect != 1 else {})


def _examples(paired: Paired, pictures: bool) -> Iterator[dict[str, Any]]:
    """The records in the order of the runs."""
    a, b = paired.a, paired.b
    same = a.size == b.size
    for clip, run in enumerate(paired.runs):
        for index, (mine, theirs) in enumerate(zip(run.a.tolist(), run.b.tolist(), strict=True)):
            row, other = b.encoded(theirs), a.encoded(mine)
            example = {
                "frame": row["frame"],
                "keypoints": row["keypoints"] if pictures else paired.poses[mine],
                "filled": row["filled"] if pictures else other["filled"],
                "face_box": row["face_box"],
                "clip": clip,
                "index": index,
                "time": float(other["time"]),
            }
            if pictures:
                example["pose_picture"] = (
                    other["frame"] if same else letterboxed(a[mine]["frame"], *b.size)
                )
            yield example


def letterboxed(
    image: UInt8[np.ndarray, "_ _ 3"], height: int, width: int
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """A picture of another size undistorted, with black bars, as
    `prepare --fit letterbox` makes them."""
    rows, columns, _ = image.shape
    return cut_out(image, whole(rows, columns, height, width), height, width)
