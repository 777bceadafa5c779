"""`motion-jax evaluate`: a trained run on held-out frames, against simpler ways to the same poses.

Methods: `trained` (the run as `transfer` uses it: recurrent, with its face stage), `frame_by_frame`
(the same networks, never shown the previous frame; only of recipes that are shown it) and
`nearest_frame` (the training frame of the nearest pose). All see the same poses of the same frames,
which training never saw.
"""

import bisect
import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from motion_jax import files
from motion_jax.data.pairs import Frames, limit, stretches
from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError, option
from motion_jax.evaluate import report
from motion_jax.evaluate.baseline import baseline
from motion_jax.evaluate.content import within
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.evaluate.score import Piece, compare
from motion_jax.metrics.lpips import BACKBONES, load
from motion_jax.pairing.report import flattering
from motion_jax.pose.pose_pictures import poses_of
from motion_jax.pose.skeleton import NAME
from motion_jax.progress import Meter, say
from motion_jax.train.run import fingerprint, load_run

# The method that any trained one must beat.
NEAREST = "nearest_frame"


def measure(options: EvaluateOptions) -> dict[str, Any]:
    """Evaluates one checkpoint and writes evaluation.json, frames.csv and index.html.

    Returns the contents of evaluation.json: "methods" {method: {metric: mean or None}}, "absent"
    {metric: why it is None}, "frames", "run", "step", "checkpoint", "data", "size", "notes".
    Raises UserError for bad input, before anything is written.
    """
    from motion_jax.evaluate.reestimate import choose_detector, score_with_poses

    if options.batch < 1:
        raise UserError(
            f"{option('batch')} {options.batch} is less than 1; give a number of frames."
        )
    run = load_run(options.run, options.step)
    run = run.tested(statistics=options.statistics, dropout_seed=options.dropout_seed)
    frames, held, training = open_data(options, run)
    out = options.out or options.run / "evaluation"
    lpips, no_lpips = load(options.lpips_network, options.lpips)
    least = BACKBONES[options.lpips_network].least
    if lpips and min(run.size) < least:
        lpips, no_lpips = None, f"frames under {least} pixels are too small for it"
    detector = choose_detector(frames.dataset, options.reestimate, options.pose_model)
    files.check_writable(out)
    total = sum(count for _, count in held)
    found, poses = score_with_poses(
        lambda stream: compare(stream, total=total, batch=options.batch, lpips=lpips),
        metered(_pieces(run, frames, held, training, options), total, "Evaluating"),
        detector,
        options.reestimate_frames,
    )
    result = _result(options, run, frames, found, training)
    for name, figures in result["methods"].items():
        figures |= poses.of(name)
    result["reestimated_real"] = poses.methods.get("real")
    result["reestimated_frames"] = poses.frames
    result["lpips_network"] = options.lpips_network
    reasons = {"lpips": no_lpips, **poses.absent()}
    result["absent"] = {name: reason for name, reason in reasons.items() if reason}
    files.write_json(out / "evaluation.json", result)
    files.write_text(out / "frames.csv", _csv(found))
    report.write_report(
        out / "index.html",
        result,
        found.examples,
        found.per_frame,
        heading=f"Evaluation of {options.run.resolve().name}",
    )
    say(f"Report: {out / 'index.html'}")
    return result


def open_data(options: EvaluateOptions, run: Any) -> tuple[Any, list[tuple[int, int]], np.ndarray]:
    """(the dataset's frames at the run's size, held-out runs of frames (first record, number),
    records of the training part).

    Raises UserError where the dataset is not there, has another skeleton or size, or holds no frame
    out.
    """
    if not run.config.recipe.paired:
        raise UserError(
            f"The run {options.run} makes pictures of what it is shown that are not paired, so "
            "there is no true frame to compare with; look at its samples, or at motion-jax "
            "transfer."
        )
    path = options.data or run.data_path
    if options.data is None and not path.is_dir():
        raise UserError(
            f"The run {options.run} was trained on {path}, which is not there; give the dataset's "
            f"place with {option('data')}."
        )
    dataset = open_dataset(path)
    if dataset.info.skeleton != NAME:
        raise UserError(
            f"The dataset {path} has the skeleton {dataset.info.skeleton!r}, the run "
            f"{options.run} needs {NAME!r}; prepare the dataset again."
        )
    height, width = run.size
    frames = Frames(dataset, height, width, crop=run.config.data.augment.crop)
    holdout = run.config.data.holdout
    held = stretches(dataset, holdout, "heldout")
    parts = stretches(dataset, holdout, "train")
    if not held or not parts:
        missing = "held-out" if not held else "training"
        raise UserError(
            f"The dataset {path} has no {missing} frames with the run's holdout = {holdout:g}; "
            f"train with {option('data.holdout')} 0.2 or give another dataset with "
            f"{option('data')}."
        )
    if options.max_frames is not None:
        if options.max_frames < 1:
            raise UserError(
                f"{option('max_frames')} {options.max_frames} is less than 1; give a number."
            )
        held = limit(held, options.max_frames)
    training = np.concatenate([np.arange(first, first + count) for first, count in parts])
    return frames, held, training


def _pieces(
    run: Any,
    frames: Any,
    held: list[tuple[int, int]],
    training: np.ndarray,
    options: EvaluateOptions,
) -> Iterator[Any]:
    """The held-out frames with what each method makes of their poses."""
    recipe = run.config.recipe
    methods = {"trained": run.synthesizer(recurrent=True, face=True, chunk=options.batch)}
    if recipe.recurrent:
        alone = run.synthesizer(recurrent=False, face=True, chunk=options.batch)
        methods["frame_by_frame"] = alone
    nearest = baseline(frames, training, options.batch)
    if nearest is not None:
        methods[NEAREST] = nearest
    dataset, times = frames.dataset, frames.dataset.times()
    starts = [first for first, _ in dataset.clips]
    for first, count in held:
        clip = bisect.bisect_right(starts, first) - 1
        for method in methods.values():
            method.reset()
        for start in range(first, first + count, options.batch):
            length = min(options.batch, first + count - start)
            window = frames.window(start, length)
            seen, poses = recipe.seen(window), poses_of(window)
            piece = Piece(
                real=window["frames"],
                fakes={
                    name: method.feed(poses if name == NEAREST else seen)
                    for name, method in methods.items()
                },
                keypoints=window["keypoints"],
                face_boxes=window["face_boxes"],
                pose_pictures=window.get("pose_pictures"),
                first=start == first,
                labels=[f"clip {clip}, {times[r]:.2f} s" for r in range(start, start + length)],
            )
            yield from within(piece, frames, start)


def metered(stream: Iterable[Any], total: int, what: str) -> Iterator[Any]:
    """The same pieces, while it is shown how many of `total` frames they are."""
    with Meter(what, total) as meter:
        for piece in stream:
            yield piece
            meter.advance(len(piece.real))


def _result(
    options: EvaluateOptions, run: Any, frames: Any, found: Any, training: np.ndarray
) -> dict[str, Any]:
    notes = []
    if fingerprint(frames.dataset) != run.dataset.get("fingerprint"):
        notes.append(
            "This is not the dataset that the run was trained on: the nearest frame chooses from "
            f"the {len(training)} frames of its training part, the model has seen none of them."
        )
    info = frames.dataset.info
    if info.options.get("made_by") == "pair" and not info.held_out:
        notes.append(flattering(info.options["holdout"]))
    if not frames.dataset.has_keypoints:
        notes.append(
            "The dataset has no keypoints, so there are no figures of the body and no pose "
            "distance; "
            + (
                "the nearest frame is the one whose pose picture differs least."
                if info.pose_pictures
                else "there is no nearest frame to compare with."
            )
        )
    notes += run.config.recipe.caveats()
    if (frames.dataset.info.contents != (0, 0, *frames.dataset.size)).any():
        notes.append("The bars of letterboxed frames are cut off and not measured.")
    if len(found.labels) < 50:
        notes.append(f"Only {found.frames} frames: the means are uncertain.")
    height, width = run.size
    return {
        "methods": found.methods,
        "frames": found.frames,
        "training_frames": len(training),
        "run": str(options.run),
        "step": run.step,
        "checkpoint": run.checkpoint,
        "data": str(frames.dataset.folder),
        "size": f"{width}x{height}",
        "notes": notes,
    }


def _csv(found: Any) -> str:
    """One row for each frame and method."""
    text = io.StringIO()
    writer = csv.writer(text)
    names = list(next(iter(found.per_frame.values())))
    writer.writerow(["frame", "label", "method", *names])
    for i, label in enumerate(found.labels):
        for method, figures in found.per_frame.items():
            values = [figures[name][i] for name in names]
            shown = ["" if np.isnan(value) else f"{value:.6g}" for value in values]
            writer.writerow([i, label, method, *shown])
    return text.getvalue()
