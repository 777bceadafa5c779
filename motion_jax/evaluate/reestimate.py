"""Poses estimated again, on the results: does the detector find the body where it should be?

The frames of some held-out stretches are written to temporary videos, one for each method and
stretch, and go through the same estimator as `motion-jax prepare`. The true frames do too: what is
missed on those, at this size, is the detector's fault.
"""

import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError
from motion_jax.evaluate.score import Figures, Piece
from motion_jax.metrics import frames as metrics
from motion_jax.pose import bundles
from motion_jax.progress import say
from motion_jax.report import montage

REAL = "real"
# Shorter stretches give the estimator too little to be sure of a person.
SHORTEST = 12
# Small frames are enlarged so that the video's halved colour resolution costs nothing.
HEIGHT = 256
# Of the temporary videos.
FPS = 25.0

# Names of the figures: those over all joints, and whether anybody is found.
FIGURES = ("pose_distance", "missed_detections", "person_found")

T = TypeVar("T")


@dataclass(frozen=True)
class Detector:
    """What poses are estimated with.

    Attributes:
      bundle: path of the model; None: poses are not estimated.
      detail: what it finds.
      why_not: why there is no bundle, for people.
    """

    bundle: Path | None
    detail: Literal["holistic", "body"]
    why_not: str = ""


def choose_detector(dataset: PoseFrames, wish: str, model: Path | None) -> Detector:
    """Whether poses can be estimated again, and with what.

    Args:
      wish: "yes", "no", or "auto" (yes where the dataset's poses were estimated and the detector's
        model is on this machine).
      model: --pose-model.
    Raises UserError for "yes" where the model cannot be had, or what runs it is not installed.
    """
    estimators = [source.get("estimator") or {} for source in dataset.info.sources]
    details = [(estimator.get("options") or {}).get("detail") for estimator in estimators]
    detail: Literal["holistic", "body"] = "body" if "body" in details else "holistic"
    if wish == "no":
        return Detector(None, detail, "not asked for (--reestimate no)")
    if not dataset.has_keypoints:
        return Detector(None, detail, "the dataset has no keypoints to compare with")
    if absent := _absent():
        if wish == "yes":
            raise UserError(
                f"--reestimate yes needs {absent}, which is not installed here; install it, or "
                "leave the option out."
            )
        return Detector(None, detail, f"{absent} is not installed here")
    if wish == "auto" and not all(e.get("name") == "mediapipe" for e in estimators):
        why_not = (
            "the dataset's poses come from files, and another estimator's joints are not the same "
            "points; --reestimate yes does it nevertheless"
        )
        return Detector(None, detail, why_not)
    if wish == "auto" and (why_not := _not_here(detail, model)):
        return Detector(None, detail, why_not)
    return Detector(bundles.find_bundle(detail, model).path, detail)


def still_detector(wish: str, model: Path | None) -> tuple[Path | None, str]:
    """(the model that finds landmarks in single pictures, ""), or (None, why not). Nothing is
    needed of the dataset: real and generated pictures are looked at alike. Arguments and errors as
    of choose_detector."""
    if wish == "no":
        return None, "not asked for (--reestimate no)"
    if absent := _absent():
        return None, f"{absent} is not installed here"
    if wish == "auto" and (why_not := _not_here("holistic", model)):
        return None, why_not
    return bundles.find_bundle("holistic", model).path, ""


def _not_here(detail: str, model: Path | None) -> str:
    """Why the model of the detector would have to be downloaded; "": it is here."""
    file = bundles.kind_of(detail).file
    folders = [os.environ.get("MOTION_JAX_MODELS"), bundles.models_folder()]
    if model is not None or any(
        folder and (Path(folder).expanduser() / file).is_file() for folder in folders
    ):
        return ""
    return (
        f"the pose model {file} is not on this machine; give its place with --pose-model or in "
        "$MOTION_JAX_MODELS"
    )


def _absent() -> str:
    """A package that estimating poses in a video needs and this machine lacks: machines that only
    train and evaluate may. "": none."""
    needed = {"mediapipe": "mediapipe", "av": "PyAV"}
    return next((name for each, name in needed.items() if not importlib.util.find_spec(each)), "")


@dataclass(frozen=True)
class PoseFigures:
    """What the poses found in the pictures say.

    Attributes:
      methods: {method: its figures, see `summary`}, and "real": those of the true frames.
      frames: number of frames that they are means over.
      why_not: why there are none; "": there are.
    """

    methods: dict[str, Figures]
    frames: int
    why_not: str

    def added_to(self, methods: Mapping[str, Figures]) -> dict[str, Figures]:
        """The figures of each method with those of its poses, None each where there are none."""
        nothing: Figures = dict.fromkeys(FIGURES)
        return {name: known | self.methods.get(name, nothing) for name, known in methods.items()}

    def absent(self, perceptual: Mapping[str, str]) -> dict[str, str]:
        """{figure that no method has: why}. perceptual: why these distances are absent; "": one is
        not."""
        reasons = dict(perceptual) | dict.fromkeys(FIGURES, self.why_not)
        return {name: reason for name, reason in reasons.items() if reason}


def score_with_poses(
    score: Callable[[Iterable[Piece]], T], stream: Iterable[Piece], detector: Detector, most: int
) -> tuple[T, PoseFigures]:
    """What `score` makes of a stream of pieces, and what poses are found in its pictures.

    most: frames of each method in which poses are looked for.
    """
    if detector.bundle is None:
        return score(stream), PoseFigures({}, 0, detector.why_not)
    with Reestimation(detector.bundle, detector.detail, most) as reestimation:
        found = score(reestimation.tap(stream))
        figures, frames = reestimation.results()
    short = "the held-out stretches are too short for the pose estimator"
    return found, PoseFigures(figures, frames, "" if frames else short)


class Reestimation:
    """Taps a stream of pieces, keeps its first frames in temporary videos, and then estimates poses
    on them. A context manager: the videos are removed at its end.

    bundle, detail: see `Detector`. most: frames of each method that are kept.
    """

    def __init__(self, bundle: Path, detail: Literal["holistic", "body"], most: int):
        self.bundle, self.detail, self.most = bundle, detail, most
        self._clips: list[tuple[dict[str, Path], np.ndarray, int]] = []

    def __enter__(self) -> "Reestimation":
        self._temporary = tempfile.TemporaryDirectory(prefix="motion_jax_")
        self._folder = Path(self._temporary.name)
        return self

    def __exit__(self, *_: object) -> None:
        self._temporary.cleanup()

    def tap(self, stream: Iterable[Piece]) -> Iterator[Piece]:
        """Yields the same pieces."""
        from motion_jax.video.writer import VideoWriter

        writers: dict[str, VideoWriter] = {}
        poses: list[np.ndarray] = []
        left, factor = self.most, 1

        def close() -> None:
            if not writers:
                return
            for writer in writers.values():
                writer.__exit__(None, None, None)
            paths = {name: writer.path for name, writer in writers.items()}
            self._clips.append((paths, np.concatenate(poses), factor))
            writers.clear()
            poses.clear()

        for piece in stream:
            if piece.first:
                close()
            count = min(left, len(piece.real))
            if count > 0 and (piece.first or writers):
                shown = {REAL: piece.real, **piece.fakes}
                height, width = montage.enlarge(piece.real[0], HEIGHT).shape[:2]
                factor = height // piece.real.shape[1]
                done = sum(map(len, poses))
                for name, frames in shown.items():
                    if name not in writers:
                        path = self._folder / f"{len(self._clips)}-{name}.mp4"
                        writers[name] = VideoWriter(path, height, width, crf=6).__enter__()
                    for i, frame in enumerate(frames[:count]):
                        writers[name].write(montage.enlarge(frame, HEIGHT), (done + i) / FPS)
                poses.append(piece.keypoints[:count])
                left -= count
            yield piece
        close()

    def results(self) -> tuple[dict[str, Figures], int]:
        """({method or "real": its figures, see `summary`}, number of frames that they are means
        over)."""
        found: dict[str, list[dict]] = {}
        frames = 0
        if self._clips:
            methods = len(self._clips[0][0]) > 1
            shown = "the true frames and on each method's" if methods else "the film's frames"
            say(f"Estimating poses on {shown} …")
        for paths, true, factor in self._clips:
            if len(true) < SHORTEST:
                continue
            frames += len(true)
            for name, path in paths.items():
                scale = np.array([factor, factor, 1], np.float32)
                estimated = self._estimate(path, len(true)) / scale
                found.setdefault(name, []).append(metrics.pose_distance(true, estimated))
        return {name: summary(parts) for name, parts in found.items()}, frames

    def _estimate(self, path: Path, count: int) -> np.ndarray:
        """[count, 137, 3] in pixels of the video; zeros where nobody is found."""
        from motion_jax.pose.estimate import estimate_video

        try:
            track = estimate_video(path, detail=self.detail, model=self.bundle)
        except UserError as error:
            if not str(error).startswith("No person found"):
                raise
            return np.zeros((count, 137, 3), np.float32)
        keypoints = track.keypoints * track.found[:, None, None]
        if len(keypoints) != count:
            raise RuntimeError(f"{path} has {len(keypoints)} frames, {count} were written")
        return keypoints.astype(np.float32)


def summary(parts: list[dict[str, np.ndarray]]) -> Figures:
    """Means, of all joints under the names of `FIGURES`, of body, face and hands with _body and so
    on behind. Missed joints are those of frames in which somebody was found: frames without anybody
    are counted by person_found alone. parts: of metrics.frames.pose_distance."""
    result: Figures = {}
    # NaN where the true frame shows nobody either.
    nobody = np.concatenate([part["person_found"] for part in parts]) == 0
    for group in metrics.GROUPS:
        suffix = "" if group == "all" else f"_{group}"
        for name, key in zip(FIGURES[:2], ("pose_distance", "missed"), strict=True):
            values = np.concatenate([part[f"{key}_{group}"] for part in parts])
            if key == "missed":
                values = np.where(nobody, np.nan, values)
            result[name + suffix] = metrics.mean(values)
    values = np.concatenate([part["person_found"] for part in parts])
    return result | {"person_found": metrics.mean(values)}
