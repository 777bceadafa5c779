"""Drawn poses through a trained run: a skeleton video or a folder of labels drives it directly.

There is nothing to estimate, to smooth or to normalise: the pictures are resized and shown to the
network as they are.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from motion_jax.data.fitting import BLACK
from motion_jax.errors import UserError
from motion_jax.pose.ready import ReadyPoses
from motion_jax.progress import say
from motion_jax.transfer.command import TransferOptions, render
from motion_jax.transfer.driving import check_ready, of_pictures
from motion_jax.transfer.stabilise import way


def transfer_ready(options: TransferOptions, run: Any) -> Path:
    """As `transfer` for a source of drawn poses, or of the frames that a CycleGAN is shown; returns
    the path written.

    Raises UserError for every bad input, before or without leaving anything half-made.
    """
    from motion_jax.video.reader import probe

    if options.poses is not None:
        raise UserError(
            "--poses does not go with --ready-poses, nor with a run that is shown the source's "
            "frames; leave one of them out."
        )
    if not options.source.exists():
        raise UserError(f"There is no file or folder {options.source}; check --source.")
    check_ready(run)
    way(options, run, posed=False)
    has_audio = False if options.source.is_dir() else probe(options.source).has_audio
    info = shown_info(run)
    convert, bars = _conversion(options, run, info)
    poses = ReadyPoses(
        options.source,
        *run.size,
        interpolation=info.get("pose_interpolation", "area"),
        start=options.start,
        end=options.end,
        fps=options.fps,
        convert=convert,
        bars=bars,
    )
    if "poses" in run.config.recipe.shows and not info.get("pose_pictures"):
        say(
            "The run was not trained on ready pose pictures: these must be drawn as its own are "
            "(recipe.pose_style), or the result is poor."
        )
    posed = "poses" in run.config.recipe.shows
    if poses.undistorted:
        say(
            f"The pictures are {poses.shape[1]}x{poses.shape[0]}, the run is {run.size[1]}x"
            f"{run.size[0]}: bars are added, so that nothing is stretched"
            f"{'' if posed else ', and cut off from the result'}."
        )
    boxes = _boxes(options, poses, run)
    lost = np.zeros(len(poses), bool)
    if options.pose_pictures is not None:
        from motion_jax.port.pose_pictures import write_pose_pictures

        write_pose_pictures(options.pose_pictures, run, poses, boxes, lost, poses.times)
    render(run, poses, boxes, lost, poses.times, options, has_audio)
    say(f"Wrote {options.out}: {len(poses)} synthetic frames.")
    return options.out


def shown_info(run: Any) -> dict[str, Any]:
    """What is known of the dataset whose poses (or domain A) the run's generator is shown."""
    return run.dataset.get("domain_a") or run.dataset.get("info", {})


def _conversion(
    options: TransferOptions, run: Any, info: dict[str, Any]
) -> tuple[Callable[[np.ndarray], np.ndarray] | None, Sequence[int] | None]:
    """(what makes a pose picture of each of the source's, colour of the bars); None: as they are.

    Of a run that was trained on DensePose, the source's DensePose of any kind is drawn alike.
    """
    if (paired := of_pictures(run)) is not None and options.region is None:
        return paired.cutter(options.source), BLACK
    drawing, ready = info.get("densepose"), "poses" in run.config.recipe.shows
    bars = None if ready else BLACK
    if drawing is None and options.region is None:
        return None, bars
    from motion_jax.pose import densepose
    from motion_jax.pose.reel import open_reel

    reel = open_reel(options.source, start=options.start, end=options.end, fps=options.fps)
    reel = reel.at(options.region)
    cut = reel.cut.of if reel.cut else (lambda picture: picture)
    if drawing is None or not ready:
        return (lambda picture: np.ascontiguousarray(cut(picture))), bars
    reading = densepose.recognise(reel.samples(), str(options.source))
    densepose.check_drawing(reading, drawing, str(options.source))
    say(f"{options.source}: DensePose ({reading.kind}), shown to the network as {drawing}.")
    bars = densepose.draw(np.zeros(3, np.uint8), drawing)
    return (lambda picture: densepose.draw(reading.read(cut(picture)), drawing)), bars


def _boxes(options: TransferOptions, poses: ReadyPoses, run: Any) -> np.ndarray:
    """[N, 4] in pixels of the run: from face texts, or zeros, which switch the face stage off."""
    if options.face_boxes is not None:
        from motion_jax.data.edn_files import read_face_texts

        return poses.place_boxes(read_face_texts(options.face_boxes, len(poses)))
    if options.face and "face" in run.config.recipe.parts(run.params):
        say(
            "Drawn poses do not tell where faces are, so the face stage is left out; --face-boxes "
            "FOLDER tells it."
        )
    return np.zeros((len(poses), 4), np.float32)


def check_drawable(run: Any) -> None:
    """Keypoints can be drawn as the network knows poses, or a UserError says what to do."""
    info = run.dataset.get("info", {})
    if info.get("pose_pictures") and info.get("pose_style") is None:
        raise UserError(
            "The run was trained on ready pose pictures and its dataset does not say how they were "
            "drawn: drive it with a video of such pictures and --ready-poses, or import the "
            "dataset again with --drawn-as."
        )
