"""All methods against the truth: on held-out frames of the target, and where it is known on the
transfer itself."""

import bisect
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from motion_jax.compare.movers import CHUNK, Clip, Mover
from motion_jax.data.crop import Region, cut_out
from motion_jax.data.pairs import Frames, stretches
from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError, option
from motion_jax.evaluate.content import within
from motion_jax.evaluate.score import Piece
from motion_jax.pose.match import nearest
from motion_jax.pose.skeleton import NAME
from motion_jax.pose.track import PoseTrack
from motion_jax.transfer.fit import Body, fit_clip
from motion_jax.video.reader import frame_times, probe, read_frames

METRICS = ("psnr", "ssim", "lpips", "flicker")


@dataclass(frozen=True)
class Stage:
    """What all methods have in common.

    Attributes:
      target, source: datasets; size: (height, width) of the table's pictures.
      held: held-out runs of the target's frames, (first record, number); training: its other
        records, int64 [N].
      poses: float32 [M, 137, 3], the source's as the target would take them, in pixels of size;
        boxes: float32 [M, 4].
    """

    target: Frames
    source: Frames
    held: list[tuple[int, int]]
    training: np.ndarray
    poses: np.ndarray
    boxes: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        return self.target.height, self.target.width

    def held_out(self, first: int, count: int) -> Clip:
        """Frames of the target, with the source's pictures of the nearest poses."""
        dataset, factor, rows = self.target.dataset, self.target.factor, slice(first, first + count)
        keypoints = dataset.keypoints()[rows] / np.array([factor, factor, 1], np.float32)
        near = nearest_pose(keypoints, self.poses)
        return Clip(
            keypoints,
            dataset.face_boxes()[rows] / np.float32(factor),
            lambda a, b: np.stack([self.source.read(int(r))[0] for r in near[a:b]]),
            dataset.times()[rows],
        )

    def moves(self) -> list[Clip]:
        """The source's clips, to be danced by the target."""
        times = self.source.dataset.times()
        clips = []
        for first, count in self.source.dataset.clips:
            rows = slice(first, first + count)

            def pictures(a: int, b: int, first: int = first) -> np.ndarray:
                return self.source.window(first + a, b - a)["frames"]

            clips.append(Clip(self.poses[rows], self.boxes[rows], pictures, times[rows]))
        return clips


def nearest_pose(queries: np.ndarray, database: np.ndarray) -> np.ndarray:
    """int64 [Q]: of each pose [Q, 137, 3] the nearest of [N, 137, 3], in pixels of one size."""
    distances, indices = nearest(queries, database, k=1)
    if not np.isfinite(distances).all():
        # No pose shares half of the joints: then what is hidden counts too.
        _, others = nearest(queries, database, k=1, masked=False)
        indices = np.where(np.isfinite(distances), indices, others)
    return indices[:, 0].astype(np.int64)


def check_target(dataset: PoseFrames, holdout: float) -> tuple[list[tuple[int, int]], np.ndarray]:
    """(held-out runs of frames, records of the training part). Raises UserError where the dataset
    has no poses of ours, or one of the two is empty."""
    if dataset.info.skeleton != NAME or not dataset.has_keypoints:
        what = (
            "has no keypoints (only ready pose pictures)"
            if dataset.info.skeleton == NAME
            else f"has the skeleton {dataset.info.skeleton!r}, not {NAME!r}"
        )
        raise UserError(
            f"The dataset {dataset.folder} {what}, so poses cannot be compared; make "
            f"{option('target')} with motion-jax prepare."
        )
    held, parts = (stretches(dataset, holdout, part) for part in ("heldout", "train"))
    if not held or not parts:
        missing = "held-out" if not held else "training"
        raise UserError(
            f"The dataset {dataset.folder} has no {missing} frames at {option('holdout')} "
            f"{holdout:g}; give a share such as 0.2, or a longer video."
        )
    return held, np.concatenate([np.arange(first, first + count) for first, count in parts])


def set_stage(
    target: PoseFrames,
    source: PoseFrames,
    size: tuple[int, int],
    held: list[tuple[int, int]],
    training: np.ndarray,
    normalize: Literal["global", "limbs", "none"],
) -> Stage:
    """The source's poses fitted to the target's body, and all else that methods share."""
    keypoints = source.keypoints()
    track = PoseTrack(keypoints, source.times(), source.size, ("",) * len(keypoints))
    clip = fit_clip(track, Body.of_dataset(target, target.keypoints()[training], size), normalize)
    height, width = size
    frames, others = (
        Frames(dataset, height, width, cache_bytes=1 << 29) for dataset in (target, source)
    )
    return Stage(frames, others, held, training, clip.keypoints, clip.boxes)


def held_out_pieces(stage: Stage, movers: Mapping[str, Mover]) -> Iterator[Piece]:
    """The held-out frames with what each method makes of their poses."""
    dataset = stage.target.dataset
    times, starts = dataset.times(), [first for first, _ in dataset.clips]
    for first, count in stage.held:
        clip, number = stage.held_out(first, count), bisect.bisect_right(starts, first) - 1
        streams = {name: mover.move(clip) for name, mover in movers.items()}
        for start in range(first, first + count, CHUNK):
            length = min(CHUNK, first + count - start)
            window = stage.target.window(start, length)
            piece = Piece(
                real=window["frames"],
                fakes={
                    name: np.stack(list(itertools.islice(stream, length)))
                    for name, stream in streams.items()
                },
                keypoints=window["keypoints"],
                face_boxes=window["face_boxes"],
                first=start == first,
                labels=[f"clip {number}, {times[r]:.2f} s" for r in range(start, start + length)],
            )
            # The bars of letterboxed frames are not measured.
            yield from within(piece, stage.target, start)


@dataclass(frozen=True)
class Moment:
    """One moment of the transfer: pictures are uint8 [H, W, 3].

    Attributes:
      time: seconds of the source.
      first: whether a clip begins here.
      source: its picture; pose: [137, 3], as the target takes it.
      fakes: by method; truth: the true picture, where it is known.
    """

    time: float
    first: bool
    source: np.ndarray
    pose: np.ndarray
    fakes: Mapping[str, np.ndarray]
    truth: np.ndarray | None


def transfer(
    stage: Stage, movers: Mapping[str, Mover], truth: Iterator[np.ndarray] | None
) -> Iterator[Moment]:
    """The source's moments in order, by every method. truth: the true picture of each."""
    for clip in stage.moves():
        streams = {name: mover.move(clip) for name, mover in movers.items()}
        for i, made in enumerate(zip(*streams.values(), strict=True)):
            yield Moment(
                float(clip.times[i]),
                i == 0,
                clip.pictures(i, i + 1)[0],
                clip.keypoints[i],
                dict(zip(streams, made, strict=True)),
                None if truth is None else next(truth),
            )


def true_frames(path: Path, source: Path, stage: Stage) -> Iterator[np.ndarray]:
    """The frames of --truth, cut out as the target's dataset is, that belong to the source's
    records: uint8 [H, W, 3] each. Raises UserError where the video does not fit the source."""
    times, others = frame_times(path), frame_times(source)
    if len(times) != len(others) or not np.allclose(times, others, atol=0.02):
        raise UserError(
            f"{option('truth')} {path} has {len(times)} frames and {option('source')} {source} "
            f"{len(others)}, or at other times; the true answer shows the same moments, frame by "
            "frame."
        )
    entry, info = stage.target.dataset.info.sources[0], probe(path)
    if (info.height, info.width) != (entry["height"], entry["width"]):
        raise UserError(
            f"{option('truth')} {path} is {info.width}x{info.height}, the target's video was "
            f"{entry['width']}x{entry['height']}; the true answer must be filmed by its camera."
        )
    region = Region(**entry["crop"])
    # The records' own times: frames where the person was lost are not among them.
    wanted = iter(np.abs(others[None] - stage.source.dataset.times()[:, None]).argmin(1).tolist())
    number = next(wanted, None)
    for frame in read_frames(path):
        if frame.index == number:
            yield cut_out(frame.image, region, *stage.size)
            number = next(wanted, None)


def truth_pieces(moments: Iterator[Moment]) -> Iterator[Piece]:
    """For evaluate.score.compare: full frames alone, since only the picture is known."""

    def truth(moment: Moment) -> np.ndarray:
        assert moment.truth is not None, "asked for with the true answer alone"
        return moment.truth

    def piece(rows: list[Moment]) -> Piece:
        return Piece(
            real=np.stack([truth(row) for row in rows]),
            fakes={name: np.stack([row.fakes[name] for row in rows]) for name in rows[0].fakes},
            keypoints=np.zeros((len(rows), 137, 3), np.float32),
            face_boxes=np.zeros((len(rows), 4), np.float32),
            first=rows[0].first,
            labels=[f"{row.time:.2f} s" for row in rows],
        )

    waiting: list[Moment] = []
    for moment in moments:
        if waiting and (moment.first or len(waiting) == CHUNK):
            yield piece(waiting)
            waiting = []
        waiting.append(moment)
    if waiting:
        yield piece(waiting)


def transfer_figures(found: Any) -> dict[str, dict[str, float | None]]:
    """By method, "transfer_psnr" and the like of evaluate.score.compare's findings."""
    return {
        method: {f"transfer_{name}": figures.get(name) for name in METRICS}
        for method, figures in found.methods.items()
    }
