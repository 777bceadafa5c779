"""A driving video through a trained run: the run's person moves like the person in the video.

    poses of the source → mended, smoothed → normalised to the target → synthesized → MP4

Only poses are kept for the whole video (they are small); pictures stream, a chunk at a time, so
memory does not grow with the length, and every chunk has the same shape, so that one program is
compiled. While a chunk's pictures are fetched and a thread encodes them, the device makes the next.
The frame times and the sound of the source are kept.

Where the source's person is lost for longer than the filled gaps there is nothing to synthesize.
`gaps` says what is shown then: "hold" keeps the last picture (before the first pose: the first
picture to come); "fade" fades within FADE_SECONDS to a plain picture in the mean colour of the
picture before, and back shortly before the next. After such a gap the synthesis starts anew, as at
the beginning of a video, because the frame before belongs to another pose.
"""

import dataclasses
import itertools
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import numpy as np

from motion_jax import __version__
from motion_jax.errors import UserError
from motion_jax.files import check_outputs, check_writable
from motion_jax.pose.track import PoseTrack
from motion_jax.progress import Meter, say
from motion_jax.retrieval.options import RetrievalOptions
from motion_jax.transfer.options import Method, TransferOptions
from motion_jax.video.tracks import follow_options

if TYPE_CHECKING:
    from motion_jax.pose.normalize import PoseStatistics
    from motion_jax.pose.ready import ReadyPoses

FADE_SECONDS = 0.5
# IPTC's term for pictures made by a trained model; readers of provenance know it.
SYNTHETIC = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"

T = TypeVar("T")


class Synthesizer(Protocol):
    """What a run gives to make pictures from poses, frame after frame."""

    def begin(self, poses: np.ndarray, face_boxes: np.ndarray) -> Iterator[np.ndarray]:
        """Starts the next frames: keypoints [n, 137, 3] in pixels of the run's size or ready
        pictures uint8 [n, H, W, 3], boxes [n, 4] → n pictures, uint8 [H, W, 3], as they are ready;
        goes on from the frames begun before."""

    def reset(self) -> None:
        """Forgets the frames begun before."""


@follow_options
def transfer(options: TransferOptions) -> Path:
    """Runs the whole of it; returns the path written.

    Raises UserError: for every bad input, before or without leaving anything half-made.
    """
    from motion_jax.pose.face import face_boxes
    from motion_jax.train.run import load_run
    from motion_jax.transfer.driving import of_pictures, seen
    from motion_jax.transfer.ready import check_drawable
    from motion_jax.transfer.stabilise import steadied, way
    from motion_jax.video.reader import probe

    if options.out.suffix.lower() != ".mp4":
        raise UserError(f"--out {options.out} does not end in .mp4; name an MP4 file.")
    if options.chunk < 1:
        raise UserError(f"--chunk {options.chunk} is less than 1; give a number of frames.")
    if options.max_gap < 0:
        raise UserError(f"--max-gap {options.max_gap} is negative; give a number of frames.")
    if options.face_boxes is not None and not options.ready_poses:
        raise UserError("--face-boxes goes with --ready-poses alone; keypoints tell faces anyway.")
    check_outputs(options, "out", "pose_pictures", any_name=True)
    _check_place(options.out)
    if options.method is not None:
        from motion_jax.transfer.retrieved import transfer_retrieved

        return transfer_retrieved(options)
    if options.run is None:
        raise UserError(
            "Say who is to move: --run RUN (trained), or --method nearest with --data DATASET "
            "(without training)."
        )
    if options.data is not None:
        raise UserError("--data goes with --method alone; a run knows its own dataset.")
    if options.retrieval != RetrievalOptions():
        raise UserError("--retrieval goes with --method alone; a run draws its frames.")
    run = load_run(options.run, options.step)
    run = run.tested(statistics=options.statistics, dropout_seed=options.dropout_seed)
    if options.region is not None and run.config.recipe.draws_poses and not options.ready_poses:
        raise UserError("--region goes with --ready-poses alone; poses are looked for everywhere.")
    if options.ready_poses or not run.config.recipe.draws_poses or of_pictures(run):
        from motion_jax.transfer.ready import transfer_ready

        return transfer_ready(options, run)
    info = probe(options.source)
    check_drawable(run)
    steadying = way(options, run, posed=True)
    track = prepare_track(source_poses(options), options)
    if options.normalize != "none":
        from motion_jax.pose.normalize import describe

        say(describe(*_statistics(track.keypoints[track.found], run)))
    keypoints, boxes, lost = normalised_poses(track, run, options.normalize)
    if steadying == "pose":
        keypoints = steadied(keypoints, track.times, lost, *run.size)
        boxes = face_boxes(keypoints, *run.size)
    if lost.any():
        say(
            f"The person is lost in {int(lost.sum())} of {len(lost)} frames; the picture is "
            f"{'held' if options.gaps == 'hold' else 'faded'} there."
        )
    if options.pose_pictures is not None:
        from motion_jax.port.pose_pictures import write_pose_pictures

        write_pose_pictures(options.pose_pictures, run, keypoints, boxes, lost, track.times)
    shown = seen(run, track, keypoints, options)
    render(run, keypoints, boxes, lost, track.times, options, info.has_audio, shown, steadying)
    say(f"Wrote {options.out}: {len(track)} synthetic frames.")
    return options.out


def render(
    run: object,
    keypoints: "np.ndarray | ReadyPoses",
    boxes: np.ndarray,
    lost: np.ndarray,
    times: np.ndarray,
    options: TransferOptions,
    has_audio: bool = False,
    shown: object = None,
    steadying: str = "none",
) -> None:
    """Poses as `normalised_poses` gives them, or ready pictures → the MP4 `options.out`, shown at
    `times` (seconds); `has_audio`: whether `options.source` has sound to keep; `shown`: what the
    networks are given (see driving.seen; None: the poses); `steadying`: "face" aligns the
    result."""
    shown = keypoints if shown is None else shown
    synthesizer = run.synthesizer(
        recurrent=options.recurrent, face=options.face, chunk=options.chunk
    )
    pictures = synthesize(synthesizer, shown, boxes, lost, times, options.chunk, options.gaps)
    if steadying == "face":
        from motion_jax.transfer.stabilise import face_aligned

        pictures = face_aligned(pictures, keypoints)
    content = shown_part(run, keypoints)
    if content is not None:
        top, left, bottom, right = content
        pictures = (np.ascontiguousarray(p[top:bottom, left:right]) for p in pictures)
    if options.side_by_side:
        pictures = _beside(pictures, keypoints, run, options, content or (0, 0, *run.size))
    write_video(pictures, times, options, tags(run, options), has_audio)


def shown_part(run: object, poses: "np.ndarray | ReadyPoses") -> tuple[int, int, int, int] | None:
    """(top, left, bottom, right) of the run's pictures that is no bar, where that is not all: as
    its letterboxed dataset says, or of frames that are translated, as they were laid in."""
    from motion_jax.data.fitting import in_frame
    from motion_jax.data.info import DatasetInfo

    if not run.config.recipe.draws_poses:
        return poses.content if poses.undistorted else None
    if "info" not in run.dataset:
        return None
    info = DatasetInfo.from_json(run.dataset["info"])
    if info.one_content is None:
        return None
    size = info.height, info.width
    return in_frame(info.one_content, size, run.size, bool(run.dataset.get("crop")))


def source_poses(options: TransferOptions) -> PoseTrack:
    """The poses of the chosen frames of the source, estimated (and cached) or read from files."""
    if options.poses is None:
        from motion_jax.pose.estimate import estimate_cached

        return estimate_cached(
            options.source,
            detail=options.detail,
            person=options.person,
            model=options.pose_model,
            start=options.start,
            end=options.end,
            fps=options.fps,
        )
    from motion_jax.pose.files import read_poses
    from motion_jax.video.reader import check_choice, choose, frame_times, nothing_between, probe

    chosen = (options.start, options.end, options.fps)
    check_choice(options.source, *chosen)
    info = probe(options.source)
    times = frame_times(options.source)
    indices, chosen_times = choose(times, *chosen)
    track = read_poses(options.poses, times, (info.height, info.width), options.person)
    if not len(indices):
        first, last = options.start or 0.0, options.end or np.inf
        after = times[times >= first]
        raise nothing_between(options.source, after[0] if len(after) else times[-1], first, last)
    return dataclasses.replace(
        track,
        keypoints=track.keypoints[indices],
        times=chosen_times,
        reasons=tuple(track.reasons[i] for i in indices),
        filled=None if track.filled is None else track.filled[indices],
    )


def prepare_track(track: PoseTrack, options: TransferOptions) -> PoseTrack:
    """Mends the poses, fills short gaps and smooths. Raises UserError where no frame has a
    person."""
    from motion_jax.pose.mend import mend, tell

    if not track.found.any():
        reason, count = Counter(track.reasons).most_common(1)[0]
        raise UserError(
            f"No person was found in any of the {len(track)} frames of {options.source} (mostly: "
            f"{reason}, {count} frames); use a video that shows one person from head to foot, or "
            "give the poses with --poses."
        )
    track, repairs = mend(
        track,
        swaps=options.swaps,
        bones=options.bones,
        max_gap=options.max_gap,
        filter=options.filter if options.smooth else None,
    )
    tell(options.source.name, repairs)
    return track


def normalised_poses(
    source_track: PoseTrack, run: object, method: Method = "global"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The source's poses as the target would take them. Pure.

    Args:
      source_track: N frames, in pixels of the source.
      run: has `size` (height, width) of its pictures and `dataset`, what dataset.json says of the
        training data: "info" with "height" and "width", and "target_statistics" (in pixels of the
        dataset's frames).
      method: see `TransferOptions.normalize`.

    Returns:
      keypoints float32 [N, 137, 3] in pixels of run.size, face boxes float32 [N, 4] in them, and
      lost bool [N]: frames without a pose (their keypoints and boxes are 0).
    """
    from motion_jax.pose.face import face_boxes

    height, width = run.size
    found = source_track.found
    keypoints = np.zeros((len(source_track), 137, 3), np.float32)
    if found.any():
        poses = source_track.keypoints[found]
        keypoints[found] = _fitted(poses, source_track.size, run, method)
    keypoints[keypoints[..., 2] <= 0] = 0
    boxes = face_boxes(keypoints, height, width)
    boxes[~found] = 0
    return keypoints, boxes.astype(np.float32), ~found


def _fitted(
    poses: np.ndarray, source_size: tuple[int, int], run: object, method: Method
) -> np.ndarray:
    """[n, 137, 3] in pixels of the source → [n, 137, 3] in pixels of the run's pictures."""
    height, width = run.size
    if method == "none":
        # The whole frame, undistorted, in the middle of the target's frame.
        scale = min(height / source_size[0], width / source_size[1])
        shift = [(width - scale * source_size[1]) / 2, (height - scale * source_size[0]) / 2]
        fitted = poses.copy()
        fitted[..., :2] = poses[..., :2] * scale + np.array(shift, np.float32)
        return fitted
    from motion_jax.pose.normalize import normalize

    source, target = _statistics(poses, run)
    fitted = np.array(normalize(poses, source, target, method=method), np.float32)
    rows, columns = (run.dataset["info"][side] for side in ("height", "width"))
    if run.dataset.get("crop"):
        # The run's pictures are the middle of the dataset's, at the same scale.
        fitted[..., 0] -= (columns - width) // 2
        fitted[..., 1] -= (rows - height) // 2
        return fitted
    fitted[..., 0] *= width / columns
    fitted[..., 1] *= height / rows
    return fitted


def _statistics(poses: np.ndarray, run: object) -> tuple["PoseStatistics", "PoseStatistics"]:
    """Of the source and of the target."""
    from motion_jax.pose.normalize import PoseStatistics, fit_target

    try:
        source = fit_target(poses)
    except ValueError as error:
        raise UserError(
            "The poses of the source hold no body joint to fit to the target; use --normalize none "
            "or a source that shows the body."
        ) from error
    if run.dataset and run.dataset.get("target_statistics", {}) is None:
        raise UserError(
            "The run's dataset has no keypoints (only ready pose pictures), so the target's body "
            "is not known to fit poses to: use --normalize none, or drive it with --ready-poses."
        )
    if not run.dataset:
        raise UserError(
            "The run was imported without a dataset, so the target's body is not known: use "
            "--normalize none, or import it again with --data DATASET of the target."
        )
    try:
        return source, PoseStatistics.from_json(run.dataset["target_statistics"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"The run's dataset.json does not describe the target's body as this version needs it "
            f"({error}); use --normalize none or train the run with this version."
        ) from error


def synthesize(
    synthesizer: Synthesizer,
    keypoints: "np.ndarray | ReadyPoses",
    boxes: np.ndarray,
    lost: np.ndarray,
    times: np.ndarray,
    chunk: int,
    gaps: Literal["hold", "fade"] = "hold",
) -> Iterator[np.ndarray]:
    """Yields one uint8 [H, W, 3] for each of the N frames, in order. keypoints: [N, 137, 3], or
    ready pose pictures.

    The synthesizer is given `chunk` frames each time, fewer at the end of a stretch. A chunk is
    begun before the pictures of the one before it are waited for. At least one frame must have a
    pose.
    """
    lost = np.asarray(lost, bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[True], lost, [True]]).astype(np.int8)))

    def begun() -> Iterator[tuple[int, int, int, Iterator[np.ndarray]]]:
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            synthesizer.reset()
            for first in range(start, stop, chunk):
                rows = np.arange(first, min(first + chunk, stop))
                yield start, stop, first, synthesizer.begin(keypoints[rows], boxes[rows])

    position, picture = 0, None
    for start, stop, first, pictures in _one_ahead(begun()):
        for number, made in zip(range(first, stop), pictures, strict=False):
            if number == start:
                yield from _gap(picture, made, times, position, start, gaps)
            picture = made
            yield picture
        position = stop
    yield from _gap(picture, None, times, position, len(lost), gaps)


def _one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The items, each after the next has been taken from the iterator."""
    waiting = deque(itertools.islice(items, 1))
    while waiting:
        waiting.extend(itertools.islice(items, 1))
        yield waiting.popleft()


def _gap(
    before: np.ndarray | None,
    after: np.ndarray | None,
    times: np.ndarray,
    start: int,
    stop: int,
    gaps: Literal["hold", "fade"],
) -> Iterator[np.ndarray]:
    """The pictures of the frames start ... stop - 1, between the pictures `before` and `after`."""
    if start == stop:
        return
    held = before if before is not None else after
    if gaps == "hold":
        for _ in range(start, stop):
            yield held
        return
    plain = np.broadcast_to(held.mean((0, 1), dtype=np.float32), held.shape)
    for i in range(start, stop):
        out = 0.0 if before is None else 1 - (times[i] - times[start - 1]) / FADE_SECONDS
        back = 0.0 if after is None else 1 - (times[stop] - times[i]) / FADE_SECONDS
        out, back = max(0.0, out), max(0.0, back)
        whole = max(1.0, out + back)
        picture = plain * (1 - (out + back) / whole)
        if out:
            picture = picture + before * np.float32(out / whole)
        if back:
            picture = picture + after * np.float32(back / whole)
        yield np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _beside(
    pictures: Iterator[np.ndarray],
    keypoints: "np.ndarray | ReadyPoses",
    run: object,
    options: TransferOptions,
    content: tuple[int, int, int, int],
) -> Iterator[np.ndarray]:
    """Source, pose and result in one picture, at the result's height (or a multiple of it); the
    source is left out where it is the pose. content: the part of the run's pictures that they
    are."""
    from motion_jax.report.montage import enlarge, side_by_side, to_height

    if not isinstance(keypoints, np.ndarray):
        poses = run.config.recipe.draws_poses and options.ready_poses
        labels = ["pose" if poses else "source", "result (synthetic)"]
        top, left, bottom, right = content
        for pose, picture in zip(keypoints, pictures, strict=True):
            pose = pose[top:bottom, left:right]
            yield side_by_side([enlarge(pose), picture], labels)
        return
    from motion_jax.pose.draw import draw_host
    from motion_jax.video.reader import read_frames

    height, width = run.size
    rows = content[2] - content[0]
    times = enlarge(np.zeros((rows, 1, 3), np.uint8)).shape[0] // rows
    top, left, bottom, right = (times * side for side in content)
    shown = times * height
    labels = ["source", "pose", "result (synthetic)"]
    frames = read_frames(options.source, start=options.start, end=options.end, fps=options.fps)
    scale = np.array([shown / height, shown / height, 1], np.float32)
    style = run.config.recipe.pose_style
    for frame, points, picture in zip(frames, keypoints, pictures, strict=True):
        pose = draw_host(points * scale, shown, width * times, style)[top:bottom, left:right]
        yield side_by_side([to_height(frame.image, bottom - top), pose, picture], labels)


def write_video(
    pictures: Iterator[np.ndarray],
    times: np.ndarray,
    options: TransferOptions,
    metadata: dict[str, str],
    has_audio: bool,
) -> None:
    """Writes `options.out`: N pictures uint8 [H, W, 3] shown at `times` (seconds of the source),
    with the tags, and the source's sound where it has some that is wanted."""
    from motion_jax.video.background import BackgroundWriter
    from motion_jax.video.writer import VideoWriter

    with Meter("Synthesizing", len(times)) as meter:
        first = next(pictures)
        writer = VideoWriter(
            options.out,
            *first.shape[:2],
            audio_from=options.source if has_audio and options.audio == "keep" else None,
            audio_start=float(times[0]),
            metadata=metadata,
        )
        with BackgroundWriter(writer) as background:
            for picture, time in zip(itertools.chain([first], pictures), times, strict=True):
                background.write(picture, float(time - times[0]))
                meter.advance()


def tags(run: object, options: TransferOptions) -> dict[str, str]:
    """What the MP4 says about itself."""
    name = Path(options.run).resolve().name
    return {
        "title": f"Synthetic video: {name} moving like {options.source.name}",
        "comment": (
            "AI-generated, synthetic: this picture was made by motion_jax, it is not a recording. "
            f"Run {name}, step {run.step}, checkpoint {run.checkpoint}, motion from "
            f"{options.source.name}."
        ),
        "digital_source_type": SYNTHETIC,
        "motion_jax_synthetic": "true",
        "motion_jax_version": __version__,
        "motion_jax_run": name,
        "motion_jax_step": str(run.step),
        "motion_jax_checkpoint": str(run.checkpoint),
        "motion_jax_source": options.source.name,
        "motion_jax_normalize": "none" if options.ready_poses else options.normalize,
    }


def _check_place(out: Path) -> None:
    """Proves that the output can be written, before any work and without making its folder yet."""
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; name the output FILE.mp4.")
    folder = out.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        check_writable(folder)
    except (OSError, UserError) as error:
        reason = getattr(error.__cause__ or error, "strerror", None) or "not possible"
        raise UserError(
            f"--out {out} cannot be written in {folder} ({reason}); choose a folder that you may "
            "write to."
        ) from error
