"""`motion-jax export-data`: writes a dataset as the folders that the original programs read."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal, cast

import cv2
import numpy as np
import tyro

from motion_jax import files
from motion_jax.data import records
from motion_jax.data.edn_files import CANVAS, KEYPOINTS, face_text, write_aspect, write_yml
from motion_jax.data.pairs import stretches
from motion_jax.errors import UserError, option
from motion_jax.pose import skeleton
from motion_jax.pose.draw import draw_edn
from motion_jax.progress import Meter, say
from motion_jax.workers import worker_count

# Pictures for each thread that are handed out together.
AHEAD = 4


@dataclass(frozen=True)
class ExportOptions:
    """Write a dataset as folders of pictures that the original programs read."""

    data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Dataset folder made by `motion-jax prepare` or `motion-jax import-data`."""
    out: Path
    """Folder to write; must not be there yet, or be empty."""
    layout: Literal["edn", "aligned", "side-by-side"] = "edn"
    """"edn": train_label, train_img, train_facetexts128, keypoints (Everybody Dance Now);
    "aligned": train_A, train_B (pix2pixHD); "side-by-side": train/ with A|B pictures (pix2pix)."""
    holdout: float = 0.0
    """Share of each clip, its end, that goes into test folders, as `data.holdout` of a config;
    where the dataset marks clips as held out, those go there and the share does not count."""
    body: Literal["body25", "body23"] = "body25"
    """Layout of the body in drawn labels and keypoint files; the published data has body23."""
    face_points: Literal[0, 8, 9, 22, 70] = 8
    """Face points in labels drawn from keypoints."""
    picture: Literal["png", "jpeg"] = "png"
    """Format of the written pictures; one that is stored so already is copied byte for byte."""


@dataclass(frozen=True)
class _Row:
    """One record and its place: phase "train" or "test", and the name of its files."""

    record: int
    phase: str
    name: str


def export_data(options: ExportOptions) -> Path:
    """Writes the folders; returns `options.out`. They appear whole, or not at all.

    Raises UserError: no dataset, a folder that is there already, poses that cannot be drawn.
    """
    files.check_outputs(options, "out", any_name=True)
    dataset = records.open_dataset(options.data)
    out = options.out
    if out.exists() and not (out.is_dir() and files.is_empty(out)):
        raise UserError(
            f"{option('out')} {out} is there already; name a new folder, or remove that one."
        )
    if not 0 <= options.holdout <= 0.9:
        raise UserError(
            f"{option('holdout')} {options.holdout:g} is not a share between 0 and 0.9."
        )
    if any("domain" in source for source in dataset.info.sources):
        raise UserError(
            f"The dataset {options.data} holds unpaired pictures of two domains, which none of "
            "these layouts can hold; copy the folders that it was imported from."
        )
    if not dataset.info.pose_pictures and not dataset.has_keypoints:
        raise UserError(f"The dataset {options.data} has no poses to draw labels from.")
    rows = list(_rows(dataset, options.holdout))
    partial = out.with_name(f".{out.name}.partial")
    files.remove_tree(partial)
    files.check_writable(partial)
    try:
        with files.writing(out):
            _write_all(dataset, rows, options, partial)
            if not out.exists():
                os.replace(partial, out)
            else:
                # Empty, or with what systems leave in folders.
                for child in list(partial.iterdir()):
                    os.replace(child, out / child.name)
    finally:
        files.remove_tree(partial)
    test = sum(row.phase == "test" for row in rows)
    say(f"Wrote {out}: {len(rows) - test} pictures to train on, {test} to test on.")
    return out


def _rows(dataset: records.PoseFrames, holdout: float) -> Iterator[_Row]:
    """The records with their names. Frames of a clip are numbered without a hole, and one number is
    left out between clips, so that importing them again finds the same clips. Where every picture
    is a clip of its own, names do not end in their number, and so are not taken for frames."""
    single = all(length == 1 for _, length in dataset.clips)
    pattern = "{:06d}_single" if single else "frame{:06d}"
    for phase, part in (("train", "train"), ("test", "heldout")):
        number = 0
        for first, count in stretches(dataset, holdout, part):
            for record in range(first, first + count):
                yield _Row(record, phase, pattern.format(number))
                number += 1
            number += 1


def _write_all(
    dataset: records.PoseFrames, rows: list[_Row], options: ExportOptions, folder: Path
) -> None:
    """In threads (OpenCV lets other threads run), a few pictures at a time."""
    keypoints = dataset.keypoints()
    phases = dict.fromkeys(row.phase for row in rows)
    for phase in phases:
        for name in _folders(options.layout, phase):
            (folder / name).mkdir(parents=True)
    if options.layout == "edn":
        write_aspect(folder, dataset.info.pixel_aspect)
        for phase in phases if dataset.has_keypoints else ():
            (folder / KEYPOINTS[phase]).mkdir()

    def write(row: _Row) -> None:
        _write(dataset, row, keypoints[row.record], options, folder)

    threads = worker_count(None)
    waiting = iter(rows)
    with Meter(f"Writing {options.out}", len(rows)) as meter, ThreadPoolExecutor(threads) as pool:
        while chunk := list(islice(waiting, AHEAD * threads)):
            for _ in pool.map(write, chunk):
                meter.advance()


def _folders(layout: str, phase: str) -> tuple[str, ...]:
    return {
        "edn": (f"{phase}_label", f"{phase}_img", f"{phase}_facetexts128"),
        "aligned": (f"{phase}_A", f"{phase}_B"),
        "side-by-side": (phase,),
    }[layout]


def _write(
    dataset: records.PoseFrames,
    row: _Row,
    keypoints: np.ndarray,
    options: ExportOptions,
    folder: Path,
) -> None:
    encoded, info, (height, width) = dataset.encoded(row.record), dataset.info, dataset.size
    names = _folders(options.layout, row.phase)
    suffix = ".png" if options.picture == "png" else ".jpg"
    place = f"of record {row.record} in {dataset.folder}"
    canvas = skeleton.scaled(keypoints, CANVAS[1] / width, CANVAS[0] / height)
    frame = _Picture(f"The frame {place}", encoded["frame"], info.picture)
    if info.pose_pictures:
        label = _Picture(f"The pose {place}", encoded["pose_picture"], info.pose_format)
    else:
        cv2.setNumThreads(1)
        drawn = draw_edn(
            canvas, height, width, CANVAS, face_points=options.face_points, body=options.body
        )
        label = _Picture(f"The pose {place}", drawn)
    if options.layout == "side-by-side":
        both = np.concatenate([label.pixels(), frame.pixels()], axis=1)
        path = folder / names[0] / f"{row.name}{suffix}"
        path.write_bytes(records.encode_picture(both, options.picture))
        return
    for name, picture in zip(names, (label, frame), strict=False):
        (folder / name / f"{row.name}{suffix}").write_bytes(picture.encoded(options.picture))
    if options.layout == "edn":
        box = encoded["face_box"]
        if box[2] > box[0]:
            (folder / names[2] / f"{row.name}.txt").write_text(face_text(box) + "\n")
        if dataset.has_keypoints:
            write_yml(folder / KEYPOINTS[row.phase], row.name, canvas, options.body)


@dataclass(frozen=True)
class _Picture:
    """A picture as bytes of a format, or as pixels (format None); the name is for messages."""

    name: str
    content: bytes | np.ndarray
    format: str | None = None

    def encoded(self, wanted: str) -> bytes:
        if wanted == self.format:
            return cast(bytes, self.content)  # It has a format.
        return records.encode_picture(self.pixels(), wanted)

    def pixels(self) -> np.ndarray:
        if self.format is None:
            return cast(np.ndarray, self.content)  # Pixels are what has no format.
        picture = records.decode_picture(self.content)
        if picture is None:
            raise UserError(f"{self.name} is damaged; make the dataset again.")
        return picture
