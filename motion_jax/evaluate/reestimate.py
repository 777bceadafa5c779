"""Poses estimated anew on the results: does the detector find the body where it should be?

The frames of some held-out stretches are written to temporary videos, one for each method and
stretch, and go through the same estimator as `motion-jax prepare`. The true frames do too: what is
missed on those, at this size, is the detector's fault.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError
from motion_jax.evaluate.score import Piece
from motion_jax.metrics import frames as metrics
from motion_jax.pose import bundles
from motion_jax.pose.estimate import estimate_video
from motion_jax.progress import say
from motion_jax.report import montage
from motion_jax.video.writer import VideoWriter

REAL = "real"
# Shorter stretches give the estimator too little to be sure of a person.
SHORTEST = 12
# Small frames are enlarged so that the video's halved colour resolution costs nothing.
HEIGHT = 256

T = TypeVar("T")


def choose_detector(
    dataset: PoseFrames, wish: str, model: Path | None
) -> tuple[Path | None, str, str]:
    """Whether and with what poses can be estimated anew.

    Args:
      wish: "yes", "no", or "auto" (yes where the dataset's poses were estimated and the detector's
        model is on this machine).
      model: --pose-model.

    Returns:
      (path of the model bundle or None, "holistic" or "body", why not).
    Raises UserError for "yes" where the model cannot be had.
    """
    estimators = [source.get("estimator") or {} for source in dataset.info.sources]
    detail = "body" if any(_detail(e) == "body" for e in estimators) else "holistic"
    if wish == "no":
        return None, detail, "not asked for (--reestimate no)"
    if not dataset.has_keypoints:
        return None, detail, "the dataset has no keypoints to compare with"
    if wish == "auto" and not all(e.get("name") == "mediapipe" for e in estimators):
        return None, detail, (
            "the dataset's poses come from files, and another estimator's joints are not the same "
            "points; --reestimate yes does it nevertheless"
        )  # fmt: skip
    file = bundles.kind_of(detail).file
    if wish == "auto" and model is None:
        folders = [os.environ.get("MOTION_JAX_MODELS"), bundles.models_folder()]
        if not any(folder and (Path(folder).expanduser() / file).is_file() for folder in folders):
            return None, detail, (
                f"the pose model {file} is not on this machine; give its place with --pose-model "
                "or in $MOTION_JAX_MODELS"
            )  # fmt: skip
    return bundles.find_bundle(detail, model).path, detail, ""


def _detail(estimator: dict) -> str:
    return (estimator.get("options") or {}).get("detail", "")


@dataclass(frozen=True)
class PoseFigures:
    """What came of it.

    Attributes:
      methods: {method: its figures, see `summary`}, and "real": those of the true frames.
      frames: number of frames that they are means over.
      why_not: why there are none; "": there are.
    """

    methods: dict[str, dict]
    frames: int
    why_not: str

    def of(self, method: str) -> dict:
        """Figures of a method; None each where there are none."""
        nothing = {"pose_distance": None, "missed_detections": None}
        return self.methods.get(method) or nothing

    def absent(self) -> dict[str, str]:
        """{figure that nobody has: why}."""
        return dict.fromkeys(("pose_distance", "missed_detections"), self.why_not)


def score_with_poses(
    score: Callable[[Iterable[Piece]], T],
    stream: Iterable[Piece],
    detector: tuple[Path | None, str, str],
    most: int,
) -> tuple[T, PoseFigures]:
    """What `score` makes of a stream of pieces, and what poses are found in its pictures.

    detector: as `choose_detector` gives it; most: frames of each method that are looked at.
    """
    bundle, detail, why_not = detector
    if bundle is None:
        return score(stream), PoseFigures({}, 0, why_not)
    with Reestimation(bundle, detail, most) as again:
        found = score(again.tap(stream))
        figures, frames = again.results()
    if not frames:
        why_not = "the held-out stretches are too short for the pose estimator"
    return found, PoseFigures(figures, frames, why_not)


class Reestimation:
    """Taps a stream of pieces, keeps the frames of its first `most` in temporary videos, and then
    estimates poses on them. A context manager: the videos are removed at its end.

    bundle, detail: see `choose_detector`. most: frames of each method. fps: of the videos.
    """

    def __init__(self, bundle: Path, detail: str, most: int, fps: float = 25.0):
        self.bundle, self.detail, self.most, self.fps = bundle, detail, most, fps
        self._clips: list[tuple[dict[str, Path], np.ndarray, int]] = []

    def __enter__(self) -> "Reestimation":
        self._temporary = tempfile.TemporaryDirectory(prefix="motion_jax_")
        self._folder = Path(self._temporary.name)
        return self

    def __exit__(self, *_: object) -> None:
        self._temporary.cleanup()

    def tap(self, stream: Iterable[Piece]) -> Iterator[Piece]:
        """Yields the same pieces."""
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
                        time = (done + i) / self.fps
                        writers[name].write(montage.enlarge(frame, HEIGHT), time)
                poses.append(piece.keypoints[:count])
                left -= count
            yield piece
        close()

    def results(self) -> tuple[dict[str, dict], int]:
        """({method or "real": {pose_distance, missed_detections and both for body, face, hands}},
        number of frames that they are means over)."""
        found: dict[str, list[dict]] = {}
        frames = 0
        if self._clips:
            say("Estimating poses anew on the true frames and on each method's …")
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


def summary(parts: list[dict]) -> dict[str, float | None]:
    """Means over all frames, the group "all" under the plain names."""
    result: dict[str, float | None] = {}
    for group in metrics.GROUPS:
        suffix = "" if group == "all" else f"_{group}"
        for name, key in (("pose_distance", "pose_distance"), ("missed_detections", "missed")):
            values = np.concatenate([part[f"{key}_{group}"] for part in parts])
            result[name + suffix] = metrics.mean(values)
    return result
