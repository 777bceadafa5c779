"""`motion-jax demo`: the whole main job on two drawn dancers, whose true answer is known.

Ada dances in one video, Ben in another. Ben becomes the target: a dataset, a trained model. Then
Ben is made to move like Ada, and the result is compared with Ben really drawn in Ada's motion.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from motion_jax import files, puppet
from motion_jax.config import load_config
from motion_jax.data import making
from motion_jax.data.pairs import Frames, stretches
from motion_jax.data.prepare_options import PrepareOptions
from motion_jax.data.records import open_dataset
from motion_jax.demos.options import DemoOptions
from motion_jax.evaluate.baseline import NearestFrame
from motion_jax.evaluate.noise import noises
from motion_jax.evaluate.report import Evaluation, text_table, verdict, write_report
from motion_jax.evaluate.score import compare, pieces
from motion_jax.plan.words import advise
from motion_jax.pose.draw import draw_host
from motion_jax.pose.face import face_boxes
from motion_jax.progress import say, track
from motion_jax.provenance.options import Provenance
from motion_jax.report import html, montage
from motion_jax.train.loop import train
from motion_jax.train.run import load_run
from motion_jax.transfer.command import run_tags, transfer
from motion_jax.transfer.film import Film
from motion_jax.transfer.fit import Body, fit_clip
from motion_jax.transfer.options import TransferOptions
from motion_jax.transfer.performance import source_track
from motion_jax.video.reader import read_frames

SOURCE, TARGET = "ada", "ben"
FPS = 25
SIZE = 128
# Seconds of film: of the target to train on, of the source to transfer.
TARGET_SECONDS, SOURCE_SECONDS = 32, 6
# Seeds of the two dances; the source's is one that the target never dances.
TARGET_DANCE, SOURCE_DANCE = 0, 1


def demo(options: DemoOptions) -> Evaluation:
    """Runs the whole job; returns the contents of evaluation.json."""
    out = options.out
    files.check_writable(out)
    config = load_config(options.config)
    dances = {
        TARGET: puppet.dance(TARGET_SECONDS * FPS, FPS, TARGET_DANCE),
        SOURCE: puppet.dance(SOURCE_SECONDS * FPS, FPS, SOURCE_DANCE),
    }
    say("1/4  Two drawn dancers, and a dataset from each")
    for name, dance in dances.items():
        folder = out / "videos" / name
        if not (folder / "poses").is_dir():
            puppet.make_video(folder, puppet.CHARACTERS[name], dance, SIZE, SIZE)
        made = PrepareOptions(
            videos=(folder / "video.mp4",),
            poses=folder / "poses",
            out=out / "datasets" / name,
            size=f"{SIZE}x{SIZE}",
            fit="squash",  # drawn at this size already: nothing is cut or scaled
            smooth=False,  # drawn joints do not tremble, and there is nothing to mend
            swaps=False,
            bones=False,
        )
        # As `prepare`, whose advice, to film more, is not for drawn dancers: it stays in the page.
        if making.make(made) or not (made.out / making.REPORT).is_file():
            making.write_report(made.out, advise, advice=False)
    say(f"2/4  Training on {TARGET}")
    run = out / "run"
    train(config, out / "datasets" / TARGET, run, command=f"motion-jax demo {options.config}")
    say(f"3/4  {TARGET} moves like {SOURCE}")
    result, examples, per_frame = _transfer_and_compare(out, run, dances[SOURCE], options.mark)
    say("4/4  Report")
    files.write_json(out / "evaluation.json", result)
    _report(out, result, examples, per_frame)
    _print(out, result)
    return result


def _transfer_and_compare(
    out: Path, folder: Path, dance: Any, mark: bool
) -> tuple[Evaluation, list, dict]:
    """Transfers the source's poses and scores every method against the true answer."""
    source = out / "videos" / SOURCE
    options = TransferOptions(
        run=folder,
        source=source / "video.mp4",
        poses=source / "poses",
        out=out / "transfer.mp4",
        mark=mark,
        normalize="limbs",
        horizontal="frame",  # both dance on one stage
        smooth=False,
        swaps=False,
        bones=False,
    )
    transfer(options)
    run = load_run(folder)
    clip = fit_clip(source_track(options), Body.of_run(run), options.normalize, options.horizontal)
    poses, boxes = clip.keypoints, clip.boxes
    height, width = run.size
    target = puppet.CHARACTERS[TARGET]
    true_poses = puppet.pose(target, dance, height, width)
    true_boxes = face_boxes(true_poses, height, width)
    dataset = open_dataset(out / "datasets" / TARGET)
    parts = stretches(dataset, run.config.data.holdout, "train")
    training = np.concatenate([np.arange(first, first + count) for first, count in parts])
    # Any: they have `feed` alike, of what each is shown.
    methods: dict[str, Any] = {
        "trained": run.synthesizer(),
        "frame_by_frame": run.synthesizer(recurrent=False),
        "nearest_frame": NearestFrame(Frames(dataset, height, width), training),
        # How much of the error is the fitting of one body's pose to another's.
        "trained_true_poses": run.synthesizer(),
    }

    def frames() -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        for i in track(range(len(poses)), "Comparing with the true answer"):
            real = puppet.draw(target, dance[i : i + 1], height, width)[0]
            made = {}
            for name, method in methods.items():
                exact = name == "trained_true_poses"
                points, box = (true_poses, true_boxes) if exact else (poses, boxes)
                moment = {"keypoints": points[i : i + 1], "face_boxes": box[i : i + 1]}
                nearest = name == "nearest_frame"
                seen = moment["keypoints"] if nearest else run.seen(moment)
                made[name] = method.feed(seen)[0]
            yield real, made

    labels = [f"{i / FPS:.2f} s" for i in range(len(poses))]
    stream = _filmed(frames(), out / "side_by_side.mp4", options, poses, run)
    found = compare(pieces(stream, true_poses, true_boxes, labels=labels), total=len(poses))
    result: Evaluation = {
        "methods": found.methods,
        "frames": found.frames,
        "training_frames": len(training),
        "run": str(folder),
        "step": run.step,
        "checkpoint": run.checkpoint,
        "data": str(dataset.folder),
        "size": f"{width}x{height}",
        "noise": noises(found.per_frame["trained"], found.per_frame["nearest_frame"]),
        "notes": [
            f"The true answer is {TARGET} drawn in the motion of {SOURCE}. All methods but the "
            f"last get {SOURCE}'s poses fitted to {TARGET}'s body; the last gets the drawn joints.",
        ],
    }
    return result, found.examples, found.per_frame


def _filmed(
    stream: Iterator[tuple[np.ndarray, dict[str, np.ndarray]]],
    path: Path,
    options: Any,
    poses: np.ndarray,
    run: Any,
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Passes the stream on while writing it side by side into a video."""
    labels = ["source", "pose", "result", "true answer", "nearest frame"]
    height, width = run.size
    provenance = Provenance.of(options.mark)
    with Film(path, run_tags(run, options), provenance=provenance) as film:
        for (real, made), shot, points in zip(
            stream, read_frames(options.source), poses, strict=True
        ):
            pose = draw_host(points, height, width, run.config.recipe.pose_style)
            panels = [shot.image, pose, made["trained"], real, made["nearest_frame"]]
            film.add(montage.side_by_side(panels, labels), shot.time)
            yield real, made


def _report(out: Path, result: Evaluation, examples: list, per_frame: dict) -> None:
    links = [
        html.link("run/report/index.html", "the training run"),
        html.link(f"datasets/{TARGET}/report/index.html", f"the dataset of {TARGET}"),
        html.link(f"datasets/{SOURCE}/report/index.html", f"the dataset of {SOURCE}"),
    ]
    extra = [
        html.section(
            "In motion",
            html.video("side_by_side.mp4", "source, pose, result, true answer, nearest frame"),
        ),
        html.section("More", "<p>" + " · ".join(links) + "</p>"),
    ]
    write_report(
        out / "report.html",
        result,
        examples,
        per_frame,
        heading=f"Demo: {TARGET} moves like {SOURCE}",
        extra=extra,
    )


def _print(out: Path, result: Evaluation) -> None:

    console = Console(highlight=False, soft_wrap=True)
    console.print(verdict(result), markup=False)
    console.print(text_table(result))
    console.print(f"Video:  {out / 'side_by_side.mp4'}", markup=False)
    console.print(f"Report: {out / 'report.html'}", markup=False)
