"""Batches of frames that need not follow one another: random pairs of one clip, single pictures.

As in data/pairs.py the order is a pure function of (seed, global index): every frame is the first
of an example once in a pass over the data, and what else an example has is drawn.
"""

import bisect
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, Int64

from motion_jax.data.augment import AugmentConfig
from motion_jax.data.batches import Batches
from motion_jax.data.pairs import BatchSettings, Frames, Load, records_of, stretches
from motion_jax.data.published_augment import PublishedAugment, augmented_frames
from motion_jax.data.published_clips import person_of
from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError


class _Pairs(Load):
    """Two different frames of one of the runs (first record, number of records).

    people: of each run who is in it; where they are given, a person is drawn first, then a run,
    then the first frame. published: augments pairs, which then come in order of time.
    """

    def __init__(
        self,
        frames: Frames,
        runs: Sequence[tuple[int, int]],
        config: AugmentConfig,
        seed: int,
        published: PublishedAugment = PublishedAugment(),  # noqa: B008, it is frozen
        people: Sequence[str] | None = None,
    ):
        super().__init__(frames, records_of(runs), config, seed, 2)
        # Of each frame its run.
        self.runs = np.repeat(np.array(runs), [count for _, count in runs], axis=0)
        self.published = published
        self.people: list[list[tuple[int, int]]] = []
        if people is not None:
            each: dict[str, list[tuple[int, int]]] = {}
            for person, run in zip(people, runs, strict=True):
                each.setdefault(person, []).append(run)
            self.people = list(each.values())

    def __call__(self, examples: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        batch = super().__call__(examples)
        if not self.published.active:
            return batch
        for number, index in enumerate(examples[0]):
            draw = random.Random(int(self._draws(index, 2).integers(2**62)))
            pair = batch["frames"][number]
            batch["frames"][number] = augmented_frames(pair, self.published, draw)
        # Poses are not moved along.
        for name in ("keypoints", "face_boxes"):
            batch[name] = np.zeros_like(batch[name])
        return batch

    def _draws(self, index: Any, stream: int) -> np.random.Generator:
        """Of one example; stream 1 chooses frames, 2 augments (0 is AugmentConfig's)."""
        return np.random.default_rng((self.seed, int(index), stream))

    def records(
        self, indices: Int[np.ndarray, " b"], numbers: Int[np.ndarray, " b"]
    ) -> Int64[np.ndarray, "b 2"]:
        found = []
        for number, index in zip(numbers, indices, strict=True):
            record, (first, count) = self.starts[number], self.runs[number]
            draws = self._draws(index, 1)
            if self.people:
                runs = self.people[number % len(self.people)]
                first, count = runs[draws.integers(len(runs))]
                record = first + draws.integers(count)
            step = draws.integers(1, count)
            found.append((record, first + (record - first + step) % count))
        pairs = np.array(found, np.int64).reshape(-1, 2)
        return np.sort(pairs, axis=1) if self.published.active else pairs


class _Pictures(Load):
    """Single frames, without the axis of time."""

    def __call__(self, examples: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: values[:, 0] for name, values in super().__call__(examples).items()}


def pair_runs(dataset: PoseFrames, holdout: float) -> list[tuple[int, int]]:
    """The training runs of frames (first record, number) that have two or more. Raises UserError
    where there is none."""
    runs = [run for run in stretches(dataset, holdout, "train") if run[1] > 1]
    if not runs:
        raise UserError(
            f"No clip of {dataset.folder} leaves two frames for training after data.holdout = "
            f"{holdout:g}; prepare a longer video or hold out less."
        )
    return runs


def picture_records(dataset: PoseFrames, holdout: float) -> Int64[np.ndarray, " k"]:
    """The training records. Raises UserError where there is none."""
    runs = stretches(dataset, holdout, "train")
    if not runs:
        raise UserError(
            f"The dataset {dataset.folder} leaves no picture for training after data.holdout = "
            f"{holdout:g}; hold out less."
        )
    return records_of(runs)


def people_of(dataset: PoseFrames, runs: Sequence[tuple[int, int]]) -> list[str]:
    """Who is in each run (first record, number), by the names of the videos."""
    info = dataset.info
    starts = [start for _, _, start, _ in info.clips]
    found = []
    for first, _ in runs:
        _, source, _, _ = info.clips[bisect.bisect_right(starts, first) - 1]
        found.append(person_of(info.sources[source].get("file", str(source))))
    return found


def pairs(
    dataset: PoseFrames,
    *,
    holdout: float,
    published: PublishedAugment = PublishedAugment(),  # noqa: B008, it is frozen
    by_person: bool = False,
    **settings: Any,
) -> Batches:
    """Endless batches of two frames of one clip: as pairs.batches with a window of 2, whose other
    arguments it takes; published, by_person: see data.settings.Data. Raises UserError as
    pair_runs."""
    runs, common = pair_runs(dataset, holdout), BatchSettings(**settings)
    people = people_of(dataset, runs) if by_person else None
    load = _Pairs(common.frames(dataset), runs, common.augment, common.seed, published, people)
    return common.batches(load)


def pictures(dataset: PoseFrames, *, holdout: float, **settings: Any) -> Batches:
    """Endless batches of single pictures: frames uint8 [B, H, W, 3] and so on; arguments as
    pairs.batches'. Raises UserError as picture_records."""
    starts, common = picture_records(dataset, holdout), BatchSettings(**settings)
    load = _Pictures(common.frames(dataset), starts, common.augment, common.seed)
    return common.batches(load)
