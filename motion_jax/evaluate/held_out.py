"""The held-out frames of a dataset, with what each method makes of their poses."""

import bisect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from motion_jax.data.identities import check_shows
from motion_jax.data.pairs import Frames, limit, stretches
from motion_jax.data.records import PoseFrames, open_dataset
from motion_jax.errors import UserError, option
from motion_jax.evaluate.content import within
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.evaluate.score import Piece
from motion_jax.files import parted
from motion_jax.train.run import Run

# (first record, number of records): consecutive frames of one clip.
Stretch = tuple[int, int]
# A window of frames (see data.pairs.Frames.window) -> the pictures of each method.
Methods = Callable[[Mapping[str, Any]], Mapping[str, UInt8[np.ndarray, "n h w 3"]]]


def held_and_training(
    dataset: PoseFrames,
    holdout: float,
    how: str,
    most: int | None = None,
    person: str | None = None,
) -> tuple[list[Stretch], Int[np.ndarray, " n"]]:
    """(the held-out stretches, the records of the training part).

    Args:
      holdout: share of each clip that is held out, where the dataset does not mark clips.
      how: ends the sentence of the error, with a remedy.
      most: held-out frames together, from the beginning of each stretch; None: all.
      person: of the clips of one person alone, by the names of the sources; None: of all.
    Raises UserError where either part is empty, and for a `most` below 1.
    """
    if person is not None:
        check_shows(dataset, person)
    held, training = (
        stretches(dataset, holdout, part, person=person) for part in ("heldout", "train")
    )
    if not held or not training:
        missing = "training" if held else "held-out"
        whose = "" if person is None else f" of {person}"
        raise UserError(f"The dataset {dataset.folder} has no {missing} frames{whose} {how}")
    if most is not None:
        if most < 1:
            raise UserError(f"{option('max_frames')} {most} is less than 1; give a number.")
        held = limit(held, most)
    return held, np.concatenate([np.arange(first, first + count) for first, count in training])


def dataset_of(options: EvaluateOptions, run: Run) -> PoseFrames:
    """The dataset that is named, or that the run was trained on. Raises UserError where it is not
    there."""
    path = options.data or run.data_path
    if options.data is None and not path.is_dir():
        raise UserError(
            f"The run {options.run} was trained on {path}, which is not there; give the dataset's "
            f"place with {option('data')}."
        )
    return open_dataset(path)


def default_folder(options: EvaluateOptions) -> Path:
    """Where an evaluation is written if nothing is said: RUN/evaluation, of RUN:WHO
    RUN/evaluation/WHO."""
    folder, who = parted(options.run)
    return folder / "evaluation" / (who or "")


def held_out_pieces(
    frames: Frames, held: list[Stretch], batch: int, begin: Callable[[Stretch], Methods]
) -> Iterator[Piece]:
    """Pieces of at most `batch` held-out frames, without the bars of letterboxed ones.

    begin: called at the beginning of each stretch; gives what makes the methods' pictures for its
    frames, in order.
    """
    times, starts = frames.dataset.times(), [first for first, _ in frames.dataset.clips]
    for first, count in held:
        clip, made = bisect.bisect_right(starts, first) - 1, begin((first, count))
        for start in range(first, first + count, batch):
            end = min(start + batch, first + count)
            window = frames.window(start, end - start)
            piece = Piece(
                real=window["frames"],
                fakes=made(window),
                keypoints=window["keypoints"],
                face_boxes=window["face_boxes"],
                first=start == first,
                labels=[f"clip {clip}, {time:.2f} s" for time in times[start:end]],
                pose_pictures=window.get("pose_pictures"),
            )
            yield from within(piece, frames, start)
