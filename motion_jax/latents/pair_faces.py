"""`motion-jax pair-faces`: two generators of StyleGAN2 draw the same latents, once as photos and
once as drawings; what fits is kept as a dataset of pairs.

The way of Toonify and its followers (Pinkney & Adler 2020): a blend is good at single pictures and
slow on films; a network that learned from its pairs is fast. Which pairs are left out, and that the
pair shows the photo around the head, is ours.
"""

import contextlib
import json
import os
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from motion_jax import files
from motion_jax.data import records
from motion_jax.data.already_made import is_made
from motion_jax.data.info import SourceEntry
from motion_jax.data.records import encode_picture
from motion_jax.errors import UserError, option
from motion_jax.faces import align, find
from motion_jax.faces.matte import head_matte, usual_oval
from motion_jax.latents.model import Model, check_alike, load_model
from motion_jax.latents.options import PairFacesOptions
from motion_jax.pose import skeleton
from motion_jax.pose.bundles import find_bundle
from motion_jax.progress import Meter, say
from motion_jax.provenance import xmp
from motion_jax.report import montage
from motion_jax.train.checkpoint import parameter_hash
from motion_jax.workers import pool, worker_count

MADE_BY = "pair-faces"
# Pictures that are drawn together, and records in a shard.
BATCH, SHARD = 16, 1024
# After so many times as many latents as pairs are wanted, generators are said not to fit.
MOST_TRIES = 10
# A face lies where FFHQ's rule puts it, within these shares of the square's side, else it is a
# fault of the generator, or two heads.
_PLACE, _SIDE = 0.12, 0.25
# Likeness is that of pictures so small.
_COARSE = 16
# Pairs on the sheet.
SHOWN = 12


@dataclass(frozen=True)
class Pair:
    """A photo, the drawing, and what the network is to make of the photo."""

    photo: UInt8[np.ndarray, "s s 3"]
    drawing: UInt8[np.ndarray, "s s 3"]
    wanted: UInt8[np.ndarray, "s s 3"]


def pair_faces(options: PairFacesOptions) -> Path:
    """Makes the dataset, or finds it made; returns its folder. Raises UserError."""
    files.check_outputs(options, "out")
    _check(options)
    photos, drawings = load_model(options.photos), load_model(options.drawings)
    check_alike(photos, drawings)
    if photos.module.channels != 3 or photos.module.size < 32:
        raise UserError(
            f"{options.photos} makes pictures of {photos.module.size} pixels with "
            f"{photos.module.channels} channels; pairs are of 32 pixels or more and of 3 channels."
        )
    bundle = None
    if options.faces == "found":
        bundle = find_bundle("holistic", options.pose_model).path
    resolved = _resolved(options, photos, drawings)
    out, partial = options.out, options.out / ".partial"
    if is_made(out, partial, resolved):
        say(f"{out} is up to date: the same generators and options; nothing to do.")
        return out
    for folder in (out, partial):
        files.check_writable(folder)
    files.write_json(partial / "options.json", resolved)
    left_out: Counter[str] = Counter()
    shown: list[Pair] = []

    def examples() -> Generator[dict[str, Any], None, None]:
        for number, pair in enumerate(_pairs(options, photos, drawings, bundle, left_out)):
            if len(shown) < SHOWN:
                shown.append(pair)
            yield _record(number, pair)

    with contextlib.closing(examples()) as found:
        lengths = _shards(options, found, partial, photos.module.size)
    for number in range(len(lengths)):
        path = records.shard_path(out, number, len(lengths))
        os.replace(partial / f"{number:05d}.array_record", path)
    write_sheet(out / "pairs.png", shown)
    records.finish_dataset(out, _info(options, photos, resolved, left_out), lengths)
    files.remove_tree(partial)
    reasons = ", ".join(f"{count} {why}" for why, count in sorted(left_out.items()))
    say(
        f"{out}: {options.count} pairs of {photos.module.size}x{photos.module.size}"
        f"{f'; left out: {reasons}' if reasons else ''}. Look at {out / 'pairs.png'}."
    )
    return out


def _check(options: PairFacesOptions) -> None:
    if options.count < 2:
        raise UserError(f"{option('count')} {options.count} is less than 2 pairs.")
    if not 0.0 <= options.holdout <= 0.9:
        raise UserError(
            f"{option('holdout')} {options.holdout:g} is not a share between 0 and 0.9."
        )
    if not -1.0 <= options.least_likeness < 1.0:
        raise UserError(
            f"{option('least_likeness')} {options.least_likeness:g} is not between -1 and 1."
        )
    worker_count(options.workers)


def _resolved(options: PairFacesOptions, photos: Model, drawings: Model) -> dict[str, Any]:
    """The options as the metadata keep them: generators by name and weights, not by folder."""
    other = ("photos", "drawings", "out", "pose_model", "workers")
    chosen = {name: value for name, value in asdict(options).items() if name not in other}
    sides = {
        name: {"file": model.path.resolve().name, "weights": parameter_hash(model.variables)}
        for name, model in (("photos", photos), ("drawings", drawings))
    }
    return json.loads(json.dumps({"made_by": MADE_BY, **sides, **chosen}))


def _pairs(
    options: PairFacesOptions,
    photos: Model,
    drawings: Model,
    bundle: Path | None,
    left_out: Counter[str],
) -> Iterator[Pair]:
    """So many pairs as are wanted; why others were left out is counted."""
    kept, tried = 0, 0
    workers = worker_count(options.workers)
    mapped = photos.mapping(options.truncation)
    drawn_a, drawn_b = photos.drawing(), drawings.drawing()
    with contextlib.ExitStack() as stack:
        if bundle is not None:
            stack.enter_context(pool(workers, ("mediapipe",)))
        meter = stack.enter_context(Meter(f"Pairs to {options.out}", options.count))
        while kept < options.count:
            if tried >= MOST_TRIES * options.count:
                reasons = ", ".join(f"{n} {why}" for why, n in left_out.most_common())
                raise UserError(
                    f"Of {tried} latents only {kept} made a pair ({reasons}): the generators do "
                    f"not fit; look at the sheet of motion-jax blend, or lower "
                    f"{option('truncation')} or {option('least_likeness')}."
                )
            ws = mapped(photos.latents((options.seed, tried), BATCH))
            one, two = drawn_a(ws), drawn_b(ws)
            faces: list[Any] = [None] * BATCH
            if bundle is not None:
                faces = find.in_pictures(one, bundle, workers)
            for photo, drawing, points in zip(one, two, faces, strict=True):
                tried += 1
                oval, why = usual_oval(), ""
                if bundle is not None:
                    oval, why = oval_of(points, photos.module.size)
                why = why or _unfit(photo, drawing, head_matte(oval, len(photo)), options)
                if why:
                    left_out[why] += 1
                    continue
                wanted = drawing
                if not options.whole:
                    matte = head_matte(oval, len(photo))[..., None]
                    mixed = photo + matte * (drawing.astype(np.float32) - photo)
                    wanted = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
                yield Pair(photo, drawing, wanted)
                kept += 1
                meter.advance()
                if kept == options.count:
                    return


def oval_of(points: np.ndarray | None, size: int) -> tuple[Float32[np.ndarray, "36 2"], str]:
    """(around the face of a photo, in the square's places; why it is no face of a pair)."""
    if points is None:
        return usual_oval(), "without one face"
    x, y, log_side, _ = align.alignment(points)
    away = np.hypot(x / size - 0.5, y / size - 0.5)
    if away > _PLACE or abs(log_side - np.log(size)) > _SIDE:
        return usual_oval(), "with a face out of its place"
    return (points[list(align.OVAL), :2] / size).astype(np.float32), ""


def _unfit(
    photo: UInt8[np.ndarray, "s s 3"],
    drawing: UInt8[np.ndarray, "s s 3"],
    matte: Float32[np.ndarray, "s s"],
    options: PairFacesOptions,
) -> str:
    """Why two pictures make no pair; "": they do."""
    apart = np.abs(photo.astype(np.float32) - drawing).mean(-1)
    if float((apart * matte).sum() / matte.sum()) < options.least_change:
        return "hardly changed"
    if likeness(photo, drawing, matte) < options.least_likeness:
        return "not alike"
    return ""


def likeness(
    one: UInt8[np.ndarray, "s s 3"],
    other: UInt8[np.ndarray, "s s 3"],
    matte: Float32[np.ndarray, "s s"],
) -> float:
    """Correlation of the coarse brightness of two heads, -1 to 1."""
    coarse = [
        cv2.resize(picture.astype(np.float32), (_COARSE, _COARSE), interpolation=cv2.INTER_AREA)
        for picture in (one.mean(-1), other.mean(-1), matte)
    ]
    inside = coarse[2] > 0.5
    a, b = (values[inside] - values[inside].mean() for values in coarse[:2])
    return float((a * b).sum() / max(float(np.sqrt((a * a).sum() * (b * b).sum())), 1e-6))


def _record(number: int, pair: Pair) -> dict[str, Any]:
    return {
        "frame": pair.wanted,
        "pose_picture": pair.photo,
        "keypoints": np.zeros((skeleton.COUNT, 3), np.float32),
        "face_box": np.zeros(4, np.float32),
        "clip": number,
        "index": 0,
        "time": 0.0,
    }


def _shards(
    options: PairFacesOptions, examples: Iterator[dict[str, Any]], partial: Path, size: int
) -> list[int]:
    """Writes them; the number of records in each."""
    lengths = []
    for number, first in enumerate(range(0, options.count, SHARD)):
        length = min(SHARD, options.count - first)
        path = partial / f"{number:05d}.array_record"
        with records.ShardWriter(path, size, size, "jpeg", "jpeg") as writer:
            for _ in range(length):
                writer.write(next(examples))
        lengths.append(length)
    return lengths


def _info(
    options: PairFacesOptions, photos: Model, resolved: dict[str, Any], left_out: Counter[str]
) -> records.DatasetInfo:
    size, held = photos.module.size, round(options.holdout * options.count)
    entry: SourceEntry = {
        "file": f"{options.photos.resolve().name} with {options.drawings.resolve().name}",
        "frames": options.count + sum(left_out.values()),
        "kept": options.count,
        "fps": 25.0,
        "width": size,
        "height": size,
        "fit": "none",
    }
    return records.DatasetInfo(
        height=size,
        width=size,
        clips=tuple((i, 0, i, 1) for i in range(options.count)),
        sources=(entry,),
        detection={
            "frames": options.count + sum(left_out.values()),
            "kept": options.count,
            "rejected": dict(left_out),
        },
        options=resolved,
        pose_pictures=True,
        pose_format="jpeg",
        held_out=tuple(range(options.count - held, options.count)),
    )


def write_sheet(path: Path, pairs: list[Pair]) -> None:
    """Writes some pairs one beside the other: photo, drawing, and what the network is to make."""
    rows = {
        "photo": [pair.photo for pair in pairs],
        "drawing": [pair.drawing for pair in pairs],
        "pair": [pair.wanted for pair in pairs],
    }
    sheet = np.concatenate(
        [
            montage.labelled(montage.grid([montage.enlarge(p) for p in row], len(row)), label)
            for label, row in rows.items()
        ]
    )
    files.write_bytes(path, xmp.declared(encode_picture(sheet, "png")))
