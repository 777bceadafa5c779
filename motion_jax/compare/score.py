"""All methods against the truth: on held-out frames of the target, and on the transfer itself where
the truth is known."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int, UInt8

from motion_jax.compare.movers import CHUNK, Clip, Mover
from motion_jax.data.crop import Region, cut_out
from motion_jax.data.pairs import Frames
from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError, option
from motion_jax.evaluate import held_out
from motion_jax.evaluate.baseline import nearest_pose
from motion_jax.evaluate.held_out import Methods, Stretch, held_and_training
from motion_jax.evaluate.score import Comparison, Figures, Piece, pieces
from motion_jax.pose.skeleton import NAME
from motion_jax.pose.track import PoseTrack
from motion_jax.transfer.fit import Body, fit_clip
from motion_jax.video.reader import frame_times, probe, read_frames

METRICS = ("psnr", "ssim", "lpips", "resnet50", "flicker")


@dataclass(frozen=True)
class Setup:
    """What all methods have in common.

    Attributes:
      target, source: the frames of both datasets, at the table's size.
      held: held-out stretches of the target; training: its other records.
      poses: of the source as the target would take them, in pixels of the table's size; boxes: of
        their faces.
    """

    target: Frames
    source: Frames
    held: list[Stretch]
    training: Int[np.ndarray, " n"]
    poses: Float32[np.ndarray, "m 137 3"]
    boxes: Float32[np.ndarray, "m 4"]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the table's pictures."""
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


def check_target(
    dataset: PoseFrames, holdout: float, most: int | None = None
) -> tuple[list[Stretch], Int[np.ndarray, " n"]]:
    """(held-out stretches of at most `most` frames together, records of the training part).

    Raises UserError where the dataset has no poses of ours, or one of the two is empty.
    """
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
    how = f"at {option('holdout')} {holdout:g}; give a share such as 0.2, or a longer video."
    return held_and_training(dataset, holdout, how, most)


def set_up(
    target: PoseFrames,
    source: PoseFrames,
    size: tuple[int, int],
    held: list[Stretch],
    training: Int[np.ndarray, " n"],
    normalize: Literal["global", "limbs", "none"],
) -> Setup:
    """The source's poses fitted to the target's body, and all else that methods share."""
    keypoints = source.keypoints()
    track = PoseTrack(keypoints, source.times(), source.size, ("",) * len(keypoints))
    clip = fit_clip(track, Body.of_dataset(target, target.keypoints()[training], size), normalize)
    height, width = size
    frames, others = (
        Frames(dataset, height, width, cache_bytes=1 << 29) for dataset in (target, source)
    )
    return Setup(frames, others, held, training, clip.keypoints, clip.boxes)


def held_out_pieces(setup: Setup, movers: Mapping[str, Mover]) -> Iterator[Piece]:
    """The held-out frames with what each method makes of their poses, without the bars of
    letterboxed ones."""

    def begin(stretch: Stretch) -> Methods:
        clip = setup.held_out(*stretch)
        streams = {name: mover.move(clip) for name, mover in movers.items()}
        return lambda window: {
            name: np.stack(list(itertools.islice(stream, len(window["frames"]))))
            for name, stream in streams.items()
        }

    return held_out.held_out_pieces(setup.target, setup.held, CHUNK, begin)


@dataclass(frozen=True)
class ComparedMoment:
    """One moment of the transfer, as all methods show it.

    Attributes:
      time: seconds of the source.
      source: its picture; fakes: those of each method.
      truth: the true picture, where it is known.
    """

    time: float
    source: UInt8[np.ndarray, "h w 3"]
    fakes: Mapping[str, UInt8[np.ndarray, "h w 3"]]
    truth: UInt8[np.ndarray, "h w 3"] | None


def transfer(
    setup: Setup, movers: Mapping[str, Mover], truth: Iterator[np.ndarray] | None
) -> Iterator[ComparedMoment]:
    """The source's moments in order, by every method. truth: the true picture of each."""
    for clip in setup.moves():
        streams = {name: mover.move(clip) for name, mover in movers.items()}
        for i, made in enumerate(zip(*streams.values(), strict=True)):
            yield ComparedMoment(
                float(clip.times[i]),
                clip.pictures(i, i + 1)[0],
                dict(zip(streams, made, strict=True)),
                None if truth is None else next(truth),
            )


def true_frames(path: Path, source: Path, setup: Setup) -> Iterator[np.ndarray]:
    """The frames of --truth, cut out as the target's dataset is, that belong to the source's
    records: uint8 [H, W, 3] each. Raises UserError where the video does not fit the source."""
    times, others = frame_times(path), frame_times(source)
    if len(times) != len(others) or not np.allclose(times, others, atol=0.02):
        raise UserError(
            f"{option('truth')} {path} has {len(times)} frames and {option('source')} {source} "
            f"{len(others)}, or at other times; the true answer shows the same moments, frame by "
            "frame."
        )
    entry, info = setup.target.dataset.info.sources[0], probe(path)
    if (info.height, info.width) != (entry["height"], entry["width"]):
        raise UserError(
            f"{option('truth')} {path} is {info.width}x{info.height}, the target's video was "
            f"{entry['width']}x{entry['height']}; the true answer must be filmed by its camera."
        )
    region = Region(**entry["crop"])
    # The records' own times: frames where the person was lost are not among them. With --fps a
    # frame may stand for several of them.
    wanted = iter(np.abs(others[None] - setup.source.dataset.times()[:, None]).argmin(1).tolist())
    number = next(wanted, None)
    for frame in read_frames(path):
        while frame.index == number:
            yield cut_out(frame.image, region, *setup.size)
            number = next(wanted, None)


def truth_pieces(moments: Iterator[ComparedMoment], clips: Sequence[Clip]) -> Iterator[Piece]:
    """For evaluate.score.compare: the full frames alone, since only the picture is known.

    moments: all those of the clips, with their true pictures.
    """

    def pairs() -> Iterator[tuple[np.ndarray, Mapping[str, np.ndarray]]]:
        for moment in moments:
            assert moment.truth is not None, "asked for with the true answer alone"
            yield moment.truth, moment.fakes

    ends = np.cumsum([len(clip) for clip in clips]).tolist()
    nowhere = np.zeros((ends[-1], 137, 3), np.float32), np.zeros((ends[-1], 4), np.float32)
    return pieces(pairs(), *nowhere, starts=ends, batch=CHUNK)


def transfer_figures(found: Comparison) -> dict[str, Figures]:
    """By method "transfer_psnr" and so on."""
    return {
        method: {f"transfer_{name}": figures.get(name) for name in METRICS}
        for method, figures in found.methods.items()
    }
