"""`motion-jax transfer --method nearest`: the target's own frames in the order of another's motion.

As transfer/command.py, with a retriever in the place of a trained run: the same poses, the same
normalisation, the same gaps, sound and tags. The frames are real ones, so the result is a composite
of recordings; it is labelled as synthetic all the same.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motion_jax import __version__
from motion_jax.data.records import PoseFrames, open_dataset
from motion_jax.errors import UserError
from motion_jax.progress import say
from motion_jax.retrieval.options import RetrievalOptions
from motion_jax.retrieval.retriever import Retriever, compatible_keypoints, retriever
from motion_jax.transfer.options import TransferOptions

# IPTC's term for several recordings put together into one.
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeCapture"

# Options that say how a network is fed or run.
OF_NETWORKS = (
    "step", "ready_poses", "region", "face_boxes", "pose_pictures", "statistics", "dropout_seed",
    "face", "recurrent",
)  # fmt: skip


def transfer_retrieved(options: TransferOptions) -> Path:
    """Runs the whole of it; returns the path written.

    Raises UserError for every bad input, before or without leaving anything half-made.
    """
    from motion_jax.transfer.command import (
        normalised_poses,
        prepare_track,
        source_poses,
        write_video,
    )
    from motion_jax.video.reader import probe

    _check(options)
    info = probe(options.source)
    dataset = open_dataset(options.data)
    made = retriever(dataset, options.method, options.retrieval)
    track = prepare_track(source_poses(options), options)
    target = Target(dataset)
    if options.normalize != "none":
        _describe(track.keypoints[track.found], target)
    keypoints, _, lost = normalised_poses(track, target, options.normalize)
    if lost.any():
        say(
            f"The person is lost in {int(lost.sum())} of {len(lost)} frames; the picture is "
            f"{'held' if options.gaps == 'hold' else 'faded'} there."
        )
    if options.stabilise == "pose":
        from motion_jax.transfer.stabilise import steadied

        keypoints = steadied(keypoints, track.times, lost, *target.size)
    at = output_times(track.times, options.retrieval.fps)
    pictures = _pictures(made, keypoints, lost, track.times, at, options)
    content = dataset.info.one_content or (0, 0, *dataset.size)
    top, left, bottom, right = content
    # Without the bars of letterboxed frames.
    pictures = (np.ascontiguousarray(p[top:bottom, left:right]) for p in pictures)
    if options.side_by_side:
        pictures = _beside(pictures, keypoints, track.times, at, target, options, content)
    write_video(pictures, at, options, tags(dataset, options), info.has_audio)
    say(f"Wrote {options.out}: {len(at)} frames, of {len(made.records)} real ones rearranged.")
    return options.out


def _check(options: TransferOptions) -> None:
    if options.run is not None:
        raise UserError("--run and --method are two ways to the pictures; leave one of them out.")
    if options.data is None:
        raise UserError(
            f"--method {options.method} needs the target's dataset: give --data DATASET, made by "
            "motion-jax prepare."
        )
    if problem := options.retrieval.error():
        raise UserError(problem)
    for field in dataclasses.fields(options):
        if field.name in OF_NETWORKS and getattr(options, field.name) != field.default:
            given = field.name.replace("_", "-")
            raise UserError(
                f"--{'no-' if field.default is True else ''}{given} goes with --run alone; there "
                f"is no network with --method {options.method}."
            )
    if options.stabilise == "face":
        raise UserError(
            f"--stabilise face goes with --run alone; with --method {options.method} the room "
            "would jump: use --stabilise pose."
        )


@dataclass(frozen=True)
class Target:
    """A dataset as `normalised_poses` asks for a run: its size and its body's statistics."""

    frames: PoseFrames

    @property
    def size(self) -> tuple[int, int]:
        return self.frames.size

    @property
    def dataset(self) -> dict[str, Any]:
        from motion_jax.pose.normalize import fit_target

        info = self.frames.info
        statistics = fit_target(compatible_keypoints(self.frames), info.pixel_aspect)
        return {"info": info.to_json(), "target_statistics": statistics.to_json()}


def _describe(poses: np.ndarray, target: Target) -> None:
    from motion_jax.pose.normalize import PoseStatistics, describe, fit_target

    try:
        source = fit_target(poses)
    except ValueError:
        return  # `normalised_poses` says what to do.
    say(describe(source, PoseStatistics.from_json(target.dataset["target_statistics"])))


def output_times(times: np.ndarray, fps: float | None) -> np.ndarray:
    """Times of the result: the source's [N], or from the first one on every 1 / fps seconds, for as
    long as the source's last frame is shown."""
    if fps is None or len(times) < 2:
        return times
    shown = times[-1] - times[0] + np.median(np.diff(times))
    return times[0] + np.arange(max(1, round(float(shown) * fps))) / fps


def _pictures(
    made: Retriever,
    keypoints: np.ndarray,
    lost: np.ndarray,
    times: np.ndarray,
    at: np.ndarray,
    options: TransferOptions,
) -> Iterator[np.ndarray]:
    """One for each of the times `at`, gaps filled as `motion_jax.transfer.command` fills them."""
    from motion_jax.transfer.command import synthesize

    now = _shown(times, at)

    class Stretches:
        def reset(self) -> None:
            pass

        def begin(self, moments: np.ndarray, _: np.ndarray) -> Iterator[np.ndarray]:
            # With the frame after the last, towards which is interpolated.
            rows = np.arange(now[moments[0]], min(now[moments[-1]] + 2, len(times)))
            rows = rows[~lost[rows]]
            return made.pictures(keypoints[rows], times[rows], at[moments])

    moments = np.arange(len(at))
    missing = lost[now]
    if missing.all():
        raise UserError(
            f"--retrieval.fps {options.retrieval.fps:g} is so low that no frame with a person is "
            "shown; choose a higher one."
        )
    yield from synthesize(
        Stretches(), moments, np.zeros((len(at), 4)), missing, at, len(at), options.gaps
    )


def _shown(times: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The number of the source's frame that is on at each time of the result."""
    return np.clip(np.searchsorted(times, at + 1e-6, side="right") - 1, 0, len(times) - 1)


def _beside(
    pictures: Iterator[np.ndarray],
    keypoints: np.ndarray,
    times: np.ndarray,
    at: np.ndarray,
    target: Target,
    options: TransferOptions,
    content: tuple[int, int, int, int],
) -> Iterator[np.ndarray]:
    """Source, pose and result in one picture. content: the part of the frames that they are."""
    from motion_jax.pose.draw import PoseStyle, draw_host
    from motion_jax.report.montage import enlarge, side_by_side, to_height
    from motion_jax.video.reader import read_frames

    height, width = target.size
    rows = content[2] - content[0]
    times_larger = enlarge(np.zeros((rows, 1, 3), np.uint8)).shape[0] // rows
    top, left, bottom, right = (times_larger * side for side in content)
    shown = times_larger * height
    scale = np.float32([shown / height, shown / height, 1])
    frames = read_frames(options.source, start=options.start, end=options.end, fps=options.fps)
    number, frame = -1, None
    for row, picture in zip(_shown(times, at), pictures, strict=True):
        while number < row:
            frame, number = next(frames), number + 1
        pose = draw_host(keypoints[row] * scale, shown, width * times_larger, PoseStyle())
        pose = pose[top:bottom, left:right]
        panels = [to_height(frame.image, bottom - top), pose, picture]
        yield side_by_side(panels, ["source", "pose", "result (synthetic)"])


def tags(dataset: PoseFrames, options: TransferOptions) -> dict[str, str]:
    """What the MP4 says about itself."""
    name, retrieval = dataset.folder.resolve().name, options.retrieval
    made = RetrievalOptions(k=retrieval.k, every=retrieval.every, fps=retrieval.fps)
    mixed = made != RetrievalOptions()
    return {
        "title": f"Synthetic video: {name} moving like {options.source.name}",
        "comment": (
            f"Synthetic: motion_jax put real frames of {name} into the order of the motion of "
            f"{options.source.name}{' and mixed them by optical flow' if mixed else ''}; it is not "
            "a recording of what it shows."
        ),
        "digital_source_type": COMPOSITE,
        "motion_jax_synthetic": "true",
        "motion_jax_version": __version__,
        "motion_jax_method": str(options.method),
        "motion_jax_dataset": name,
        "motion_jax_source": options.source.name,
        "motion_jax_normalize": options.normalize,
    }
