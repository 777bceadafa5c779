"""Frames of a video into shards, in processes of their own; what is done stays done."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from motion_jax import files
from motion_jax.data.crop import Region, cut_out
from motion_jax.data.records import ShardWriter
from motion_jax.pose.detect import Source, frames
from motion_jax.workers import advance, run_jobs

# Frames a shard: a sixteenth of a clip within these limits (5 to 40 MB at 512x256), so that a small
# dataset too is written in parallel and a large one has few files.
FEWEST, MOST = 128, 1024


@dataclass(frozen=True)
class Shard:
    """A run of consecutive frames of one video that becomes one shard.

    Attributes:
      path: where it is written (beside it a .json of measurements).
      clip: number of the clip in the dataset.
      clip_first: number, among the frames considered, of the clip's first frame.
      first, last: frame numbers, last exclusive.
    """

    path: Path
    clip: int
    clip_first: int
    first: int
    last: int


@dataclass(frozen=True)
class WriteJob:
    """Consecutive shards of one video for one process.

    Attributes:
      source: the frames; region, height, width, picture: what is made of them.
      shards: in order of time.
      first: number of the frame at which the arrays begin.
      keypoints, filled, face_boxes: in pixels of the dataset's frame, of the frames from the first
        shard's first to the last one's last.
    """

    source: Source
    region: Region
    height: int
    width: int
    picture: str
    shards: tuple[Shard, ...]
    first: int
    keypoints: Float32[np.ndarray, "n 137 3"]
    filled: Bool[np.ndarray, "n 137"]
    face_boxes: Float32[np.ndarray, "n 4"]


def plan(folder: Path, clips: list[tuple[int, int]], first_clip: int) -> list[Shard]:
    """Cuts a video's clips (first, last + 1) into shards, as equal as may be; the number of workers
    plays no part."""
    shards = []
    for clip, (first, last) in enumerate(clips, first_clip):
        length = min(max((last - first) // 16, FEWEST), MOST)
        parts = -(-(last - first) // length)
        edges = np.linspace(first, last, parts + 1).round().astype(int)
        for begin, end in zip(edges[:-1], edges[1:], strict=True):
            path = folder / f"clip-{clip:05d}-{begin:07d}.array_record"
            shards.append(Shard(path, clip, first, int(begin), int(end)))
    return shards


def measured(shard: Shard) -> dict | None:
    """The measurements of a finished shard, None where it is still to be written."""
    try:
        values = json.loads(shard.path.with_suffix(".json").read_text())
    except (OSError, ValueError):
        return None
    whole = isinstance(values, dict) and len(values.get("blur", ())) == shard.last - shard.first
    return values if whole else None


def write(jobs: list[WriteJob], workers: int, description: str) -> None:
    """Writes all shards; raises UserError of a worker (what was written whole stays)."""
    total = sum(shard.last - shard.first for job in jobs for shard in job.shards)
    run_jobs(write_job, jobs, workers, description, total)


def write_job(job: WriteJob) -> None:
    """Writes the shards of a job and, beside each, its measurements; the one function that turns
    frames of a video into records, whoever calls it."""
    reading = frames(job.source, job.shards[0].first, job.shards[-1].last)
    for shard in job.shards:
        blur = []
        with ShardWriter(shard.path, job.height, job.width, job.picture) as writer:
            for number, image in reading:
                if number < shard.first:
                    continue
                at = number - job.first
                frame = cut_out(image, job.region, job.height, job.width)
                writer.write(
                    {
                        "frame": frame,
                        "keypoints": job.keypoints[at],
                        "filled": job.filled[at],
                        "face_box": job.face_boxes[at],
                        "clip": shard.clip,
                        "index": number - shard.clip_first,
                        "time": job.source.times[number],
                    }
                )
                blur.append(round(sharpness(frame, job.keypoints[at]), 2))
                advance()
                if number == shard.last - 1:
                    break
        files.write_json(shard.path.with_suffix(".json"), {"blur": blur})
    reading.close()


def sharpness(frame: UInt8[np.ndarray, "h w 3"], keypoints: Float[np.ndarray, "137 3"]) -> float:
    """Variance of the Laplacian of the grey picture (0...255) inside the box around the observed
    keypoints (the whole frame where there are less than two); higher is sharper."""
    points = keypoints[keypoints[:, 2] > 0, :2]
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    if len(points) >= 2:
        height, width = grey.shape
        left, top = np.clip(np.floor(points.min(0)).astype(int), 0, (width - 4, height - 4))
        right, bottom = np.clip(
            np.ceil(points.max(0)).astype(int), (left + 4, top + 4), (width, height)
        )
        grey = grey[top:bottom, left:right]
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())
