"""Pictures of folders and videos into shards, in other processes; what is done stays done."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from motion_jax import files
from motion_jax.data.fitting import BLACK, Fit, Placement, place
from motion_jax.data.records import ShardWriter
from motion_jax.errors import UserError, option
from motion_jax.pose.detect import Source, frames
from motion_jax.pose.ready import ground
from motion_jax.video.image_files import (
    BICUBIC,
    NEAREST,
    Unreadable,
    read_picture,
    stored_as,
)
from motion_jax.workers import advance, run_jobs

FEWEST, MOST = 128, 1024
_METHODS = {"nearest": NEAREST, "bicubic": BICUBIC}


@dataclass(frozen=True, slots=True)
class Item:
    """One record to be.

    Attributes:
      frame, pose: files relative to the root; the same one where they are halves of it; pose is ""
        where there is no pose picture.
      clip, index, time: of the record.
    """

    frame: str
    pose: str
    clip: int
    index: int
    time: float


@dataclass(frozen=True)
class Files:
    """Pictures of a folder, with `turned`: of halves the right one is the pose."""

    root: Path
    items: tuple[Item, ...]
    turned: bool = False


@dataclass(frozen=True)
class Films:
    """Frames of a video and pose pictures of another, in step; the same one twice where the drawn
    poses stand for both. `first`: number of the first item among the video's frames."""

    frame: Source
    pose: Source
    items: tuple[Item, ...]
    first: int


class Rows(Protocol):
    """Another source: it makes its rows itself."""

    @property
    def items(self) -> tuple[Item, ...]: ...

    def rows(self, job: "ImportJob", digest: "hashlib._Hash") -> Iterator[dict | Unreadable]:
        """For each item: frame and pose_picture at the dataset's size; with "content", where in
        them the picture is, and "figures", numbers that are added up; or what is wrong."""


@dataclass(frozen=True)
class ImportJob:
    """One shard.

    Attributes:
      path: where it is written (beside it a .json of what happened).
      source: where the pictures are.
      height, width: of the dataset.
      picture, pose_picture: formats; pose_picture None: no pose pictures.
      label: "nearest" or "bicubic", how pose pictures are resized.
      skip: whether damaged pictures are left out instead of being an error.
      keypoints: float32 [n, 137, 3] in pixels of the dataset; face_boxes: float32 [n, 4].
      fit: how other proportions come to the dataset's, see fitting.place.
    """

    path: Path
    source: Files | Films | Rows
    height: int
    width: int
    picture: str
    pose_picture: str | None
    label: str
    skip: bool
    keypoints: np.ndarray
    face_boxes: np.ndarray
    fit: Fit = "stretch"


def advised(error: Unreadable) -> UserError:
    """The sentence about a damaged picture with the option that leaves it out."""
    sentence = str(error).removesuffix(".")
    return UserError(f"{sentence}, or give {option('corrupt')} skip to leave such pictures out.")


def plan(count: int) -> list[tuple[int, int]]:
    """Cuts `count` items into shards (first, last + 1), as equal as may be."""
    length = min(max(count // 16, FEWEST), MOST)
    edges = np.linspace(0, count, -(-count // length) + 1).round().astype(int)
    return [(int(a), int(b)) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def outcome(path: Path, items: int) -> dict | None:
    """What the .json beside a finished shard says: records, skipped (numbers among its items),
    names of them, sha256 of all that was read, content (where each record's picture is) where
    there are bars, figures (sums). None where it is still to be written."""
    try:
        value = json.loads(path.with_suffix(".json").read_text())
        whole = value["records"] + len(value["skipped"]) == items
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value if whole else None


def write(jobs: list[ImportJob], workers: int, description: str) -> None:
    """Writes all shards; raises UserError of a worker (what was written whole stays)."""
    run_jobs(_write, jobs, workers, description, sum(len(job.source.items) for job in jobs))


def _write(job: ImportJob) -> None:
    digest, skipped, content = hashlib.sha256(), [], []
    figures: Counter[str] = Counter()
    writer = ShardWriter(job.path, job.height, job.width, job.picture, job.pose_picture)
    rows: Iterator[dict | Unreadable]
    match job.source:
        case Files():
            rows = _of_files(job, job.source, digest)
        case Films():
            rows = _of_films(job, job.source, digest)
        case _:
            rows = job.source.rows(job, digest)
    with writer:
        for number, found in enumerate(rows):
            advance()
            item = job.source.items[number]
            if isinstance(found, Unreadable):
                if not job.skip:
                    raise advised(found)
                skipped.append(number)
                continue
            content.append(found.pop("content", None))
            figures.update(found.pop("figures", {}))
            writer.write(
                found
                | {
                    "keypoints": job.keypoints[number],
                    "face_box": job.face_boxes[number],
                    "clip": item.clip,
                    "index": item.index,
                    "time": item.time,
                }
            )
    if not writer.count:
        job.path.unlink()
    files.write_json(
        job.path.with_suffix(".json"),
        {
            "records": writer.count,
            "skipped": skipped,
            "names": [job.source.items[number].frame for number in skipped],
            "sha256": digest.hexdigest(),
            **({"content": content} if job.fit == "letterbox" else {}),
            **({"figures": dict(figures)} if figures else {}),
        },
    )


def _of_files(
    job: ImportJob, source: Files, digest: "hashlib._Hash"
) -> Iterator[dict | Unreadable]:
    for item in source.items:
        try:
            yield _pair(job, item, source, digest)
        except Unreadable as error:
            yield error


def _pair(job: ImportJob, item: Item, source: Files, digest: "hashlib._Hash") -> dict:
    frame, data = _read(source.root / item.frame, digest)
    if not item.pose:
        placed = _placed(frame, job)
        return {
            "frame": _encoded(frame, data, placed, job.picture, BICUBIC),
            "content": placed.content,
        }
    if item.pose == item.frame:
        # The reference's halves: width // 2 each, the right one with the odd column.
        middle, (width, height) = frame.width // 2, frame.size
        left, right = frame.crop((0, 0, middle, height)), frame.crop((middle, 0, width, height))
        (pose, frame), data, pose_data = (
            ((right, left) if source.turned else (left, right)),
            b"",
            b"",
        )
    else:
        pose, pose_data = _read(source.root / item.pose, digest)
    placed, other = _placed(frame, job), _placed(pose, job)
    if max(abs(a - b) for a, b in zip(placed.content, other.content, strict=True)) > 1:
        raise UserError(
            f"{item.frame} is {frame.width}x{frame.height} and {item.pose} "
            f"{pose.width}x{pose.height}, so {option('fit')} {job.fit} would not lay one over the "
            f"other; give pictures of one shape, or {option('fit')} stretch."
        )
    other = replace(other, content=placed.content)
    bars = ground(np.asarray(pose)) if job.fit == "letterbox" else BLACK
    kind, method = job.pose_picture, _METHODS[job.label]
    return {
        "frame": _encoded(frame, data, placed, job.picture, BICUBIC),
        "pose_picture": _encoded(pose, pose_data, other, kind, method, bars),
        "content": placed.content,
    }


def _placed(image: Image.Image, job: ImportJob) -> Placement:
    return place((image.height, image.width), (job.height, job.width), job.fit)


def _read(path: Path, digest: "hashlib._Hash") -> tuple[Image.Image, bytes]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Unreadable(
            f"The picture {path} cannot be read ({error.strerror}); put it back."
        ) from error
    digest.update(hashlib.sha256(data).digest())
    return read_picture(path, data), data


def _encoded(
    image: Image.Image,
    data: bytes,
    placed: Placement,
    kind: str | None,
    method: Image.Resampling,
    bars: Sequence[int] | np.ndarray = BLACK,
) -> np.ndarray | bytes:
    """The file's own bytes where they serve, so that nothing is lost; else the pixels."""
    if image.size == placed.size[::-1] and data and stored_as(data) == kind:
        return data
    return np.asarray(placed.picture(image, method, bars))


def _of_films(job: ImportJob, source: Films, digest: "hashlib._Hash") -> Iterator[dict]:
    first, last = source.first, source.first + len(source.items)
    films = {"frame": (source.frame, BICUBIC), "pose_picture": (source.pose, _METHODS[job.label])}
    if source.frame.path == source.pose.path:
        # One video for both is decoded once.
        del films["frame"]
    streams = {name: (frames(film, first, last), how) for name, (film, how) in films.items()}
    for _ in source.items:
        row: dict[str, Any] = {}
        for name, (stream, how) in streams.items():
            _, image = next(stream)
            digest.update(image.tobytes())
            picture = Image.fromarray(image)
            placed = _placed(picture, job)
            drawn = name == "pose_picture" and job.fit == "letterbox"
            bars = ground(image) if drawn else BLACK
            row[name] = np.asarray(placed.picture(picture, how, bars))
            row["content"] = placed.content
        yield {"frame": row["pose_picture"]} | row
    for stream, _ in streams.values():
        stream.close()
