"""Batches of frames that need not follow one another: random pairs of one clip, single pictures.

As in data/pairs.py the order is a pure function of (seed, global index): every frame is the first
of an example once in a pass over the data, and what else an example has is drawn.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, Int64

from motion_jax.data.augment import AugmentConfig
from motion_jax.data.pairs import Batches, BatchSettings, Frames, Load, records_of, stretches
from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError


class _Pairs(Load):
    """Two different frames of one of the runs (first record, number of records)."""

    def __init__(
        self, frames: Frames, runs: Sequence[tuple[int, int]], config: AugmentConfig, seed: int
    ):
        super().__init__(frames, records_of(runs), config, seed, 2)
        # Of each frame its run.
        self.runs = np.repeat(np.array(runs), [count for _, count in runs], axis=0)

    def records(
        self, indices: Int[np.ndarray, " b"], numbers: Int[np.ndarray, " b"]
    ) -> Int64[np.ndarray, "b 2"]:
        firsts = self.starts[numbers]
        others = []
        for record, index, (first, count) in zip(firsts, indices, self.runs[numbers], strict=True):
            # 1: another stream of numbers than the augmentation's.
            random = np.random.default_rng((self.seed, int(index), 1))
            step = random.integers(1, count)
            others.append(first + (record - first + step) % count)
        return np.stack([firsts, others], axis=1)


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


def pairs(dataset: PoseFrames, *, holdout: float, **settings: Any) -> Batches:
    """Endless batches of two frames of one clip: as pairs.batches with a window of 2, whose other
    arguments it takes. Raises UserError as pair_runs."""
    runs, common = pair_runs(dataset, holdout), BatchSettings(**settings)
    load = _Pairs(common.frames(dataset), runs, common.augment, common.seed)
    return common.batches(load)


def pictures(dataset: PoseFrames, *, holdout: float, **settings: Any) -> Batches:
    """Endless batches of single pictures: frames uint8 [B, H, W, 3] and so on; arguments as
    pairs.batches'. Raises UserError as picture_records."""
    starts, common = picture_records(dataset, holdout), BatchSettings(**settings)
    load = _Pictures(common.frames(dataset), starts, common.augment, common.seed)
    return common.batches(load)
