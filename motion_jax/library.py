"""What the command line does, as functions: `import motion_jax as mj`.

They take the same options, print nothing, tell an observer what happens, and raise UserError for
bad input, whose text says what to do.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8

from motion_jax import events
from motion_jax.compare.command import compare as compare_methods
from motion_jax.compare.options import CompareOptions
from motion_jax.config import Config, load_config
from motion_jax.data import prepare as preparing
from motion_jax.data.prepare_options import PrepareOptions
from motion_jax.errors import UserError
from motion_jax.evaluate.measure import measure
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.evaluate.steps import evaluate_all
from motion_jax.events import Observer, StopToken
from motion_jax.plan.methods import changed
from motion_jax.plan.words import advise
from motion_jax.pose.motion import motion_of
from motion_jax.pose.options import NORMALIZE, Normalize, PoseOptions
from motion_jax.pose.track import PoseTrack
from motion_jax.train import loop
from motion_jax.train.run import Run, load_person
from motion_jax.transfer import command
from motion_jax.transfer.background import (
    ALPHA,
    PLATE,
    before_background,
    check_background,
    check_matte,
)
from motion_jax.transfer.fit import Body
from motion_jax.transfer.options import Stabilise, TransferOptions
from motion_jax.transfer.performance import laid_clip
from motion_jax.transfer.pictures import check_drawable, driver_of
from motion_jax.transfer.player import Gaps, Networks, Player
from motion_jax.transfer.source import takes_frames_too, takes_poses
from motion_jax.transfer.stabilise import which_way

__all__ = ["Performer", "compare", "evaluate", "load", "poses", "prepare", "train", "transfer"]

# Of arrays without times, frames a second.
FPS = 25.0


def prepare(
    options: PrepareOptions, *, observer: Observer | None = None, stop: StopToken | None = None
) -> Path:
    """Turns videos of one person into a dataset; `motion-jax prepare`.

    Args:
      options: videos, the folder, size and all else.
      observer: is told what happens (see motion_jax.events).
      stop: asks for an end.

    Returns:
      The page of the dataset's quality report. The dataset is the folder `options.out`.
    Raises:
      UserError: for everything a user can mend; nothing is left that looks like a dataset.
      Stopped: was asked to; the same call goes on.
    """
    return preparing.prepare(options, advise=advise, observer=observer, stop=stop)


def poses(
    video: str | Path,
    options: PoseOptions | None = None,
    *,
    observer: Observer | None = None,
    stop: StopToken | None = None,
) -> PoseTrack:
    """The poses of one person in a video, estimated (or read from `options.poses`) and mended, as
    all verbs see them.

    Returns:
      Keypoints float32 [n, 137, 3] (x, y in pixels of the video, confidence 0...1), times in
      seconds, the size (height, width) of the video.
    Raises UserError where the video or its poses cannot be used, Stopped where it was asked to.
    """
    with events.watched(observer, stop):
        return motion_of(Path(video), options or PoseOptions()).track


def train(
    config: str | Path | Config,
    data: str | Path | None,
    run: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    vgg: str | Path | None = None,
    observer: Observer | None = None,
    stop: StopToken | None = None,
) -> Path:
    """Trains a config on a dataset, or goes on with it; `motion-jax train`.

    Args:
      config: the name of a shipped one ("small"), a Python file that defines `config`, or a Config.
      data: the dataset's folder; None for a recipe that takes none.
      run: the run directory; made where absent, continued where it holds this config's run.
      settings: other values by their dotted names: {"recipe.global_stage.steps": 1000}.
      vgg: VGG-19 weights (default: those of `motion-jax fetch vgg19`).
      observer: is told what happens.
      stop: asks for an end after the step under way.

    Returns:
      The run directory.
    Raises:
      UserError: settings, dataset and run directory that do not fit together; a loss that became
        NaN.
      Interrupted: was asked to stop, and has saved; the same call goes on.
    """
    if not isinstance(config, Config):
        config = load_config(str(config))
    if settings:
        config = changed(config, settings)
    folder = Path(run)
    loop.train(
        config,
        None if data is None else Path(data),
        folder,
        vgg=None if vgg is None else Path(vgg),
        command="motion_jax.train(...)",
        observer=observer,
        stop=stop,
    )
    return folder


def transfer(
    options: TransferOptions, *, observer: Observer | None = None, stop: StopToken | None = None
) -> Path:
    """Makes the film in which the trained person moves like the person in a video; `motion-jax
    transfer`. Returns the film's path. Raises as `prepare`; nothing half-made is left."""
    return command.transfer(options, observer=observer, stop=stop)


def evaluate(
    options: EvaluateOptions, *, observer: Observer | None = None, stop: StopToken | None = None
) -> Mapping[str, Any]:
    """Measures a run on held-out frames and writes its report; `motion-jax evaluate`.

    Returns:
      The contents of evaluation.json: "methods" by name with their figures, "verdict" in sentences;
      with step="all" those of steps.json.
    Raises as `prepare`.
    """
    with events.watched(observer, stop):
        if options.step == "all":
            # With json it prints no table of its own.
            return evaluate_all(dataclasses.replace(options, json=True))
        return measure(options)


def compare(
    options: CompareOptions, *, observer: Observer | None = None, stop: StopToken | None = None
) -> Mapping[str, Any]:
    """Several methods on the same videos under one budget; `motion-jax compare`.

    Returns:
      The contents of table.json: "methods" with their figures, "recommendation".
    Raises as `prepare`; what is trained is kept.
    """
    return compare_methods(options, "motion_jax.compare(...)", observer=observer, stop=stop)


def load(run: str | Path, step: str = "latest") -> "Performer":
    """A trained run, ready to draw.

    Args:
      run: its directory, made by `train` or `motion-jax import`; of one that knows several people
        RUN:WHO, as runs/both:anna.
      step: which checkpoint: "latest", "best", or its step.
    Raises UserError where the folder is no run, or holds no checkpoint.
    """
    return Performer(load_person(Path(run), step))


class Performer:
    """A trained person, who takes the poses that are given; made by `load`.

    Attributes:
      run: the run directory's contents: config, parameters, facts of its dataset.
    """

    def __init__(self, run: Run):
        self.run = run

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pictures, in pixels."""
        return self.run.size

    def frames(
        self,
        keypoints: PoseTrack | Float[np.ndarray, "n 137 3"],
        *,
        size: tuple[int, int] | None = None,
        times: Float[np.ndarray, " n"] | None = None,
        normalize: Normalize = NORMALIZE,
        background: Literal["plate", "green", "alpha"] | Path = "plate",
        stabilise: Stabilise = "auto",
        gaps: Gaps = "hold",
        recurrent: bool = True,
        face: bool = True,
        chunk: int = 16,
    ) -> Iterator[UInt8[np.ndarray, "h w c"]]:
        """A picture for each pose, in order: what `transfer` writes into its film, bit for bit.

        Each picture is drawn in the run's own pose style, sees the one before it where the recipe
        does, has the face stage and the background plate where the run has them.

        Args:
          keypoints: of consecutive frames: x, y in pixels and confidence 0...1 (0: not seen) of
            body, hands and face as motion_jax/pose/skeleton.py orders them; or what `poses` gives.
            A frame without any body joint shows nobody.
          size: (height, width) of the frames that the pixels are of; of a PoseTrack its own.
            Default: the size of the pictures.
          times: seconds, ascending (default: 25 frames a second).
          normalize: how the poses are fitted to the target's body: "limbs", "global", or "none"
            where they are the target's own.
          background: as in TransferOptions, and so are the others below.
          stabilise: against a trembling person.
          gaps: what is shown while nobody is.
          recurrent: whether the generator sees its previous frame.
          face: whether the face stage is used.
          chunk: frames in one call of the compiled program.

        Yields:
          uint8 [H, W, 3], RGB; with background="alpha" [H, W, 4].
        Raises UserError for a run that is shown pictures instead of poses, poses without any body,
        arrays of other shapes, and options that do not fit the run.
        """
        run, recipe = self.run, self.run.config.recipe
        if not takes_poses(run) or driver_of(run) or takes_frames_too(run):
            raise UserError(
                f"The run {run.folder} is shown pictures of the source, not poses alone; use "
                "motion_jax.transfer with a video."
            )
        check_drawable(run)
        track = self._track(keypoints, size, times)
        transparent = background == ALPHA
        options = TransferOptions(
            source=Path("poses"),
            # Never written; only its name is looked at.
            out=Path("film.mov" if transparent else "film.mp4"),
            run=run.folder,
            normalize=normalize,
            background=background,
            stabilise=stabilise,
            gaps=gaps,
            recurrent=recurrent,
            face=face,
            chunk=chunk,
        )
        if background != PLATE:
            check_background(options)
        check_matte(background, run)
        way = which_way(options, single_frames=not recipe.recurrent, has_poses=True)
        if way == "face":
            raise UserError(
                "stabilise 'face' moves finished pictures of a film; use motion_jax.transfer."
            )
        if not track.found.any():
            raise UserError(
                "None of the poses shows a body joint, so nothing can be drawn; give keypoints "
                "whose confidence is above 0."
            )
        clip = laid_clip(track, Body.of_run(run), options, steady=way == "pose")
        moments = before_background(clip.moments(), background, run.size)
        networks = Networks(run, recurrent, face, chunk, before=not transparent)
        return (picture for _, picture in Player(networks, chunk, gaps).play(moments))

    def _track(
        self, keypoints: Any, size: tuple[int, int] | None, times: np.ndarray | None
    ) -> PoseTrack:
        if isinstance(keypoints, PoseTrack):
            if size is not None or times is not None:
                raise UserError(
                    "The poses are a PoseTrack, which has size and times of its own; leave size "
                    "and times out."
                )
            return keypoints
        points = np.asarray(keypoints, np.float32)
        if points.ndim != 3 or points.shape[1:] != (137, 3):
            raise UserError(
                f"keypoints of shape {list(points.shape)}: give [frames, 137, 3]; see "
                "motion_jax/pose/skeleton.py, and pose.skeleton.from_body for bodies of 25 joints."
            )
        when = np.arange(len(points)) / FPS if times is None else np.asarray(times, np.float64)
        if when.shape != (len(points),):
            raise UserError(f"{len(points)} poses and {when.size} times; give one for each.")
        seen = points[:, :25, 2] > 0
        reasons = tuple("" if one.any() else "no person" for one in seen)
        return PoseTrack(points, when, size or self.size, reasons)
