"""Pictures for poses out of a dataset's own frames.

keypoints → nearest frames (features, search) → one for each moment (choice) → pictures (flow)
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Int, Int64, UInt8

from motion_jax.data.pairs import Frames
from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError, option
from motion_jax.pose import skeleton
from motion_jax.progress import say
from motion_jax.retrieval import choice, features, flow
from motion_jax.retrieval.options import METHODS, RetrievalOptions

# Frames, and pictures made of them, that are kept, since moments near in time share them.
KEPT = 64


@dataclass(frozen=True)
class Chosen:
    """What is shown at T moments.

    Attributes:
      records: of the dataset: the chosen frame first, then the next nearest.
      weights: each row's sum is 1.
      distances: of the chosen frame's pose, in shares of the frame's height ("nearest") or of the
        limbs' length ("nearest-angle").
    """

    records: Int64[np.ndarray, "t k"]
    weights: Float32[np.ndarray, "t k"]
    distances: Float32[np.ndarray, " t"]


class Retriever:
    """Makes pictures for poses out of frames of a dataset.

        made = Retriever(dataset, "nearest", RetrievalOptions(), records=training)
        for picture in made.pictures(keypoints): ...   # as many as there are keypoints

    Args:
      dataset: of the target, see `open_dataset`.
      method: "nearest" (places of the joints) or "nearest-angle" (directions of the limbs).
      options: see RetrievalOptions; its `fps` does not count here (`pictures` takes times).
      records: the only frames that may be shown, ascending; for held-out evaluation those of the
        training part (`stretches(dataset, holdout, "train")`). None: all.
      size: (height, width) of the pictures and of the poses given: the dataset's or a whole
        fraction of it (default: the dataset's).

    Raises UserError: a dataset without keypoints or of an unknown skeleton, fewer frames than the
    options ask for, options out of range.
    """

    def __init__(
        self,
        dataset: PoseFrames,
        method: str = "nearest",
        options: RetrievalOptions | None = None,
        records: Int[np.ndarray, " m"] | None = None,
        size: tuple[int, int] | None = None,
    ):
        options = options or RetrievalOptions()
        if method not in METHODS:
            raise UserError(f"There is no method {method!r}; choose {' or '.join(METHODS)}.")
        if problem := options.error():
            raise UserError(problem)
        self.method, self.options = method, options
        self.size = size or dataset.size
        self.frames = Frames(dataset, *self.size)
        keypoints = compatible_keypoints(dataset)
        allowed = np.arange(len(dataset)) if records is None else np.asarray(records, np.int64)
        self.records = allowed[(keypoints[allowed, skeleton.BODY, 2] > 0).any(1)]
        if len(self.records) < max(1, options.k):
            raise UserError(
                f"{option('retrieval.k')} {options.k} is more than the {len(self.records)} frames "
                f"with a pose that the dataset {dataset.folder} offers; choose a smaller k."
            )
        if options.missing == "median":
            keypoints = _clip_medians(dataset, keypoints, self.records)
        self._aspect = dataset.info.pixel_aspect
        scale = np.array([1 / self.frames.factor, 1 / self.frames.factor, 1], np.float32)
        self.poses = self._points(keypoints[self.records] * scale)
        self._following = _following(dataset, self.records)
        self._interval = _interval(dataset)
        self._frame = functools.lru_cache(KEPT)(lambda record: self.frames.read(record)[0])
        self._blended = functools.lru_cache(KEPT)(self._blend)

    def _points(self, keypoints: np.ndarray) -> features.Points:
        space: Literal["joints", "angles"] = "joints" if self.method == "nearest" else "angles"
        return features.points(keypoints, space, self.size[0], self._aspect)

    def choose(self, keypoints: Float[np.ndarray, "t 137 3"], steps: int = 1) -> Chosen:
        """Which frames are shown for poses of consecutive moments, in pixels of `size`.

        steps: how many frames of the target pass from a moment to the next, for "path".
        """
        options = self.options
        if options.missing == "median":
            keypoints, filled = features.with_medians(keypoints)
            if filled:
                say(f"{filled} joints were not seen in the source; their median is taken.")
        queries = self._points(keypoints)
        wanted = max(options.k, options.candidates if options.choice == "path" else 1)
        wanted = min(wanted, len(self.records))
        distances, near = features.nearest(queries, self.poses, wanted)
        origin = np.arange(len(queries))
        if options.choice == "path":
            later = np.arange(len(self.records))
            for _ in range(steps):
                later = self._following[later]
            taken = choice.path(distances, near, self.poses, later, options.jump)
        elif options.choice == "threshold":
            taken = choice.thresholded(queries, self.poses, near[:, 0], options.threshold)
            # A frame that is kept keeps what is blended into it: the picture must stand still.
            kept = np.concatenate([[False], taken[1:] == taken[:-1]])
            origin = np.maximum.accumulate(np.where(kept, 0, origin))
        else:
            taken = near[:, 0].astype(np.int64)
        shown = np.stack(
            [_with_others(t, near[o], options.k) for t, o in zip(taken, origin, strict=True)]
        )
        apart = features.between(
            features.Points(queries.values[origin, None], queries.seen[origin, None]),
            self.poses[shown],
        )
        weights = 1 / np.maximum(np.where(np.isfinite(apart), apart, 1e6), 1e-6)
        return Chosen(
            self.records[shown],
            (weights / weights.sum(1, keepdims=True)).astype(np.float32),
            features.between(queries, self.poses[taken]),
        )

    def pictures(
        self,
        keypoints: Float[np.ndarray, "t 137 3"],
        times: Float[np.ndarray, " t"] | None = None,
        at: Float[np.ndarray, " s"] | None = None,
    ) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """One picture for each of the times `at`.

        Args:
          keypoints: in pixels of `size`.
          times: seconds, ascending (default: at the dataset's own frame rate).
          at: seconds, ascending (default: `times`); between two chosen frames the picture is
            interpolated, before the first and after the last it is that one.
        """
        if times is None:
            times = np.arange(len(keypoints)) * self._interval
        at = times if at is None else at
        if not len(keypoints):
            return
        keys = np.arange(0, len(keypoints), self.options.every)
        if keys[-1] != len(keypoints) - 1:
            keys = np.append(keys, len(keypoints) - 1)
        times = times[keys]
        apart = float(np.median(np.diff(times))) if len(keys) > 1 else self._interval
        chosen = self.choose(keypoints[keys], max(1, round(apart / self._interval)))
        pair = -1
        between: flow.Between | None = None
        for time in at:
            # Times are often sums, so a frame's own time may differ from `time` by rounding.
            left = int(np.clip(np.searchsorted(times, time + 1e-6) - 1, 0, len(keys) - 1))
            right = min(left + 1, len(keys) - 1)
            length = times[right] - times[left]
            part = 0.0 if right == left else float(np.clip((time - times[left]) / length, 0, 1))
            if part < 1e-3 or part > 1 - 1e-3:
                yield self._picture(chosen, left if part < 0.5 else right)
                continue
            if pair != left:
                ends = self._picture(chosen, left), self._picture(chosen, right)
                pair, between = left, flow.Between(*ends)
            assert between is not None, "no left is -1"
            yield between(part)

    def next(
        self, keypoints: Float[np.ndarray, "137 3"], before: int | None, seconds: float = 0.0
    ) -> tuple[int, UInt8[np.ndarray, "h w 3"]]:
        """The next moment of a live source: (the row of `records` that is shown, the picture).

        The cheapest of the nearest candidates by the costs of "path", from the row shown `before`,
        so many seconds ago; None: nothing was shown.
        """
        queries, jump = self._points(keypoints[None]), self.options.jump
        wanted = min(max(self.options.k, self.options.candidates), len(self.records))
        [distances], [near] = features.nearest(queries, self.poses, wanted)
        cost = np.where(np.isfinite(distances), distances, 1e6)
        if before is not None and jump:
            expected = before
            for _ in range(max(1, round(seconds / self._interval))):
                expected = int(self._following[expected])
            step = features.between(self.poses[[expected]], self.poses[near])
            cost = cost + jump * np.where(np.isfinite(step), step, 2.0)
        row = int(near[cost.argmin()])
        shown = _with_others(row, near, self.options.k)
        weights = 1 / np.maximum(features.between(queries, self.poses[shown]), 1e-6)
        weights = (weights / weights.sum()).astype(np.float32)
        return row, self._blended(tuple(self.records[shown].tolist()), tuple(weights.tolist()))

    def _picture(self, chosen: Chosen, moment: int) -> np.ndarray:
        records, weights = chosen.records[moment].tolist(), chosen.weights[moment].tolist()
        # The same array for the same frames: nothing is interpolated while one is held.
        return self._blended(tuple(records), tuple(weights))

    def _blend(self, records: tuple[int, ...], weights: tuple[float, ...]) -> np.ndarray:
        return flow.blend([self._frame(record) for record in records], weights)


def compatible_keypoints(dataset: PoseFrames) -> Float32[np.ndarray, "n 137 3"]:
    """The dataset's keypoints in this version's layout.

    Bodies of OpenPose's 25, 23 or 18 joints are converted. Raises UserError for other skeletons and
    where no frame has a keypoint.
    """
    name = dataset.info.skeleton
    converted = {
        skeleton.NAME: lambda points: points,
        "body25": lambda points: skeleton.from_body(points[:, :25]),
        "body23": lambda points: skeleton.from_body(points[:, :23]),
        "coco18": lambda points: skeleton.from_body(points[:, :18]),
    }
    if name not in converted:
        raise UserError(
            f"The dataset {dataset.folder} has the skeleton {name!r}, which cannot be converted "
            f"into {skeleton.NAME!r}; prepare it again from its videos with motion-jax prepare."
        )
    if not dataset.has_keypoints:
        raise UserError(
            f"The dataset {dataset.folder} has no keypoints (only ready pose pictures), so poses "
            "cannot be compared; prepare one from the target's video with motion-jax prepare."
        )
    return converted[name](dataset.keypoints())


def _with_others(taken: int, near: np.ndarray, k: int) -> np.ndarray:
    """[k]: the chosen frame, and the nearest others."""
    others = near[near != taken][: k - 1]
    return np.concatenate([[taken], others]).astype(np.int64)


def _clip_medians(dataset: PoseFrames, keypoints: np.ndarray, records: np.ndarray) -> np.ndarray:
    """Missing joints of each clip's frames at their median over the clip's `records`."""
    keypoints = keypoints.copy()
    for start, length in dataset.clips:
        inside = records[(records >= start) & (records < start + length)]
        keypoints[inside], _ = features.with_medians(keypoints[inside])
    return keypoints


def _following(dataset: PoseFrames, records: np.ndarray) -> np.ndarray:
    """int64 [M]: the row of the record that was filmed after each; its own row where that record is
    not among them."""
    rows = np.arange(len(records))
    clip = np.searchsorted([start for start, _ in dataset.clips], records, side="right")
    goes_on = (np.diff(records) == 1) & (np.diff(clip) == 0)
    return np.where(np.append(goes_on, False), rows + 1, rows)


def _interval(dataset: PoseFrames) -> float:
    """Seconds from a frame to the next: the median over all clips."""
    times = dataset.times()
    steps = [np.diff(times[start : start + length]) for start, length in dataset.clips]
    steps = [step for step in np.concatenate(steps) if step > 0]
    return float(np.median(steps)) if steps else 0.04
