"""`motion-jax evaluate`: a trained run on held-out frames, against simpler ways to the same poses.

Methods: `trained` (the run as `transfer` uses it: recurrent, with its face stage), `frame_by_frame`
(the same networks, never shown the previous frame; only of recipes that are shown it) and
`nearest_frame` (the training frame of the nearest pose). All see the same poses of the same frames,
which training never saw.
"""

import contextlib
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from motion_jax import files
from motion_jax.data.pairs import Frames
from motion_jax.errors import UserError, option
from motion_jax.evaluate import report
from motion_jax.evaluate.baseline import NearestFrame, NearestPicture, baseline
from motion_jax.evaluate.films import films_section, measure_films
from motion_jax.evaluate.held_out import (
    Methods,
    Stretch,
    dataset_of,
    default_folder,
    held_and_training,
    held_out_pieces,
)
from motion_jax.evaluate.mixture import measure_mixture
from motion_jax.evaluate.noise import noises
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.evaluate.paper import (
    PaperProtocol,
    mediapipe_landmarks,
    resnet_embedding,
    section,
)
from motion_jax.evaluate.reestimate import (
    REAL,
    choose_detector,
    score_with_poses,
    still_detector,
)
from motion_jax.evaluate.report import NEAREST, Evaluation
from motion_jax.evaluate.score import Comparison, Piece, compare, load_lpips
from motion_jax.metrics.resnet import ResNetDistance
from motion_jax.metrics.resnet import load as load_resnet
from motion_jax.pairing.report import flattering
from motion_jax.pose.pose_pictures import poses_of
from motion_jax.pose.skeleton import NAME
from motion_jax.progress import Meter, say
from motion_jax.train.run import Run, fingerprint, load_chosen
from motion_jax.train.unfinished import unfinished
from motion_jax.weights.resnet50 import INSTALL, installed


def measure(options: EvaluateOptions) -> Evaluation:
    """Evaluates one checkpoint and writes evaluation.json, frames.csv and index.html; returns the
    contents of evaluation.json.

    Raises UserError for bad input, before anything is written.
    """

    if options.batch < 1:
        raise UserError(
            f"{option('batch')} {options.batch} is less than 1; give a number of frames."
        )
    run = load_chosen(options.run, options.step)
    if options.source and run.people:
        raise UserError(
            f"The run {options.run} knows {', '.join(run.people)}, and {option('source')} makes "
            f"films of one of them: say who it is, as in {options.run}:{run.people[0]}, or leave "
            f"{option('source')} out; held-out frames are measured of everybody."
        )
    run = run.tested(statistics=options.statistics, dropout_seed=options.dropout_seed)
    for source in options.source:
        from motion_jax.video.reader import probe

        probe(source)  # said before the minutes that scoring takes
    if run.mixture:
        return measure_mixture(options, run)
    frames, held, training = open_data(options, run)
    out = options.out or default_folder(options)
    lpips, no_lpips = load_lpips(options.lpips_network, options.lpips, run.size)
    resnet, no_resnet = load_resnet(run.size)
    detector = choose_detector(frames.dataset, options.reestimate, options.pose_model)
    total = sum(count for _, count in held)
    wants_photo = run.config.recipe.wants_photo
    with files.results_in(out), _protocol(run, options, resnet) as (paper, no_paper):
        pieces = paper.tap(
            metered(_pieces(run, frames, held, training, options), total, "Evaluating")
        )
        if wants_photo:
            pieces, total = without_photos(pieces), total - len(held)
        found, poses = score_with_poses(
            lambda stream: compare(
                stream, total=total, batch=options.batch, lpips=lpips, resnet=resnet
            ),
            pieces,
            detector,
            options.reestimate_frames,
        )
        films, sheets = measure_films(options, run, detector)
    height, width = run.size
    result: Evaluation = {
        "methods": poses.added_to(found.methods),
        "frames": found.frames,
        "training_frames": len(training),
        "run": str(options.run),
        "step": run.step,
        "checkpoint": run.checkpoint,
        "data": str(frames.dataset.folder),
        "size": f"{width}x{height}",
        "notes": _notes(run, frames, training, found.frames),
        "reestimated_real": poses.methods.get(REAL),
        "reestimated_frames": poses.frames,
        "lpips_network": options.lpips_network,
        "absent": poses.absent({"lpips": no_lpips, "resnet50": no_resnet}),
        "noise": _noise(found),
    }
    extra = [films_section(films, sheets)] if films else []
    if wants_photo:
        result["paper"] = paper.results(no_paper)
        extra.append(section(result["paper"], report.title))
    if still := unfinished(run):
        result["notes"] = [*result["notes"], str(still)]
        result["go_on"] = still.command
    result["verdict"] = report.verdict(result)
    if run.person is not None:
        result["who"] = run.person
    if films:
        result["films"] = films
    files.write_json(out / "evaluation.json", result)
    files.write_text(out / "frames.csv", _csv(found))
    report.write_report(
        out / "index.html",
        result,
        found.examples,
        found.per_frame,
        heading=f"Evaluation of {run.name}",
        extra=extra,
    )
    say(f"Report: {out / 'index.html'}")
    return result


@contextlib.contextmanager
def _protocol(
    run: Run, options: EvaluateOptions, resnet: ResNetDistance | None
) -> Iterator[tuple[PaperProtocol, dict[str, str]]]:
    """(what measures by the paper's protocol, why figures of it are absent): of runs that want a
    photo; of others one that measures nothing."""
    if not run.config.recipe.wants_photo:
        yield PaperProtocol(None, None, 0, measures=False), {}
        return
    bundle, why_not = still_detector(options.reestimate, options.pose_model)
    absent = {"AKD and MKR": why_not} if bundle is None else {}
    with contextlib.ExitStack() as stack:
        landmarks = None
        if bundle is not None:
            landmarks, close = mediapipe_landmarks(bundle)
            stack.callback(close)
        embedding = None
        if resnet is None:
            absent["identity distance"] = f"the weights of ResNet-50 are missing: {INSTALL}"
            if installed() is not None:
                absent["identity distance"] = "the frames are too small for ResNet-50"
        else:
            embedding = resnet_embedding(resnet.params, options.batch)
        yield PaperProtocol(landmarks, embedding, options.reestimate_frames), absent


def open_data(
    options: EvaluateOptions, run: Run
) -> tuple[Frames, list[Stretch], Int[np.ndarray, " n"]]:
    """(the dataset's frames at the run's size, the held-out stretches, records of the training
    part); of a run of which one person was chosen, of that person's clips alone.

    Raises UserError where the dataset is not there, has another skeleton or size, or holds no frame
    out.
    """
    if not run.config.recipe.paired:
        raise UserError(
            f"The run {options.run} makes pictures of what it is shown that are not paired, so "
            "there is no true frame to compare with; look at its samples, or at motion-jax "
            "transfer."
        )
    dataset = dataset_of(options, run)
    if dataset.info.skeleton != NAME:
        raise UserError(
            f"The dataset {dataset.folder} has the skeleton {dataset.info.skeleton!r}, the run "
            f"{options.run} needs {NAME!r}; prepare the dataset again."
        )
    frames = Frames(run.plated(dataset), *run.size, crop=run.config.data.augment.crop)
    holdout = run.config.data.holdout
    how = (
        f"with the run's holdout = {holdout:g}; train with {option('data.holdout')} 0.2 or give "
        f"another dataset with {option('data')}."
    )
    return frames, *held_and_training(dataset, holdout, how, options.max_frames, run.person)


def _pieces(
    run: Run,
    frames: Frames,
    held: list[Stretch],
    training: Int[np.ndarray, " n"],
    options: EvaluateOptions,
) -> Iterator[Piece]:
    """The held-out frames with what each method makes of their poses."""
    recipe = run.config.recipe
    # Any: they have `feed` and `reset` alike, of what each is shown.
    methods: dict[str, Any] = {
        "trained": run.synthesizer(recurrent=True, face=True, chunk=options.batch)
    }
    if recipe.wants_photo:
        methods["photo"] = Photo()
    elif recipe.recurrent:
        alone = run.synthesizer(recurrent=False, face=True, chunk=options.batch)
        methods["frame_by_frame"] = alone
    nearest = _nearest(run, frames, training, options.batch)

    def made(window: Mapping[str, Any]) -> dict[str, np.ndarray]:
        seen, poses = run.seen(window), poses_of(window)
        return {
            name: method.feed(poses if name == NEAREST else seen)
            for name, method in methods.items()
        }

    def begin(stretch: Stretch) -> Methods:
        # A run that wants a photo makes a clip again from its first frame.
        photo = recipe.reference(frames.window(stretch[0], 1)) if recipe.wants_photo else None
        if (own := nearest(stretch)) is not None:
            methods[NEAREST] = own
        for name, method in methods.items():
            if photo is None or name == NEAREST:
                method.reset()
            else:
                method.reset(photo)
        return made

    return held_out_pieces(frames, held, options.batch, begin)


def _nearest(
    run: Run, frames: Frames, training: Int[np.ndarray, " n"], batch: int
) -> Callable[[Stretch], NearestFrame | NearestPicture | None]:
    """Stretch → the baseline for it. Of a run that knows several people it shows the person who is
    seen in the stretch, as long as training frames do; None where the dataset has no baseline."""
    who = frames.dataset.identities
    if not run.people or who is None:
        every = baseline(frames, training, batch)
        return lambda _: every
    whose, made = who.argmax(1), {}

    def of(stretch: Stretch) -> NearestFrame | NearestPicture | None:
        person = int(whose[stretch[0]])
        if person not in made:
            own = training[whose[training] == person]
            made[person] = baseline(frames, own if len(own) else training, batch)
        return made[person]

    return of


def without_photos(stream: Iterable[Piece]) -> Iterator[Piece]:
    """The pieces without the frame that begins each clip: it is the photo from which the clip is
    made again, and a copy of it is no result."""
    begins = False
    for piece in stream:
        skipped = int(piece.first)
        begins = begins or piece.first
        if len(piece.real) > skipped:
            pictures = piece.pose_pictures
            yield Piece(
                real=piece.real[skipped:],
                fakes={name: fakes[skipped:] for name, fakes in piece.fakes.items()},
                keypoints=piece.keypoints[skipped:],
                face_boxes=piece.face_boxes[skipped:],
                first=begins,
                labels=piece.labels[skipped:],
                pose_pictures=None if pictures is None else pictures[skipped:],
            )
            begins = False


class Photo:
    """The photo as it is, whatever the film shows: what any animation of it must beat."""

    def reset(self, photo: UInt8[np.ndarray, "1 h w 3"]) -> None:
        """Another photo."""
        self._photo = photo

    def feed(self, seen: Any) -> UInt8[np.ndarray, "n h w 3"]:
        """As many copies as are asked for."""
        return np.repeat(self._photo, len(seen), axis=0)


def metered(stream: Iterable[Piece], total: int, what: str) -> Iterator[Piece]:
    """The same pieces, while it is shown how many of `total` frames they are."""
    with Meter(what, total) as meter:
        for piece in stream:
            yield piece
            meter.advance(len(piece.real))


def _notes(run: Run, frames: Frames, training: Int[np.ndarray, " n"], count: int) -> list[str]:
    """What must be known to read the figures; count: of the held-out frames."""
    notes, dataset = [], frames.dataset
    info = dataset.info
    if run.person is not None:
        notes.append(
            f"Only {run.person} is measured: the run drew nobody else, and held-out and training "
            "frames of others do not count."
        )
    if fingerprint(dataset) != run.dataset.get("fingerprint"):
        notes.append(
            "This is not the dataset that the run was trained on: the nearest frame chooses from "
            f"the {len(training)} frames of its training part, the model has seen none of them."
        )
    if info.options.get("made_by") == "pair" and not info.held_out:
        notes.append(flattering(info.options["holdout"]))
    if not dataset.has_keypoints:
        nearest = (
            "the nearest frame is the one whose pose picture differs least."
            if info.pose_pictures
            else "there is no nearest frame to compare with."
        )
        notes.append(
            "The dataset has no keypoints, so there are no figures of the body and no pose "
            f"distance; {nearest}"
        )
    (height, width), whole = run.size, dataset.size
    if (height, width) != whole:
        notes.append(
            f"Compared at {width}x{height}, the size of the run's pictures; the dataset's frames "
            f"are {whole[1]}x{whole[0]}."
        )
    notes += run.config.recipe.caveats()
    if (info.contents != (0, 0, *dataset.size)).any():
        notes.append("The bars of letterboxed frames are cut off and not measured.")
    if count < 50:
        notes.append(f"Only {count} frames: the means are uncertain.")
    return notes


def _noise(found: Comparison) -> dict[str, float | None]:
    """Between the first method and the nearest frame; empty without one."""
    if NEAREST not in found.per_frame:
        return {}
    first = next(iter(found.per_frame.values()))
    return noises(first, found.per_frame[NEAREST])


def _csv(found: Comparison) -> str:
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
