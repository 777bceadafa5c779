"""Batches of frames that need not follow one another: random pairs of one clip, single pictures.

As in data/pairs.py the order is a pure function of (seed, global index): every frame is the first
of an example once in a pass over the data, and what else an example has is drawn.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from motion_jax.data.augment import AugmentConfig
from motion_jax.data.pairs import CACHE_BYTES, Batches, Frames, Load, stretches
from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError


class _Pairs(Load):
    """Two different frames of one of the runs (first record, number of records)."""

    def __init__(
        self, frames: Frames, runs: Sequence[tuple[int, int]], config: AugmentConfig, seed: int
    ):
        each = [np.arange(first, first + count) for first, count in runs]
        super().__init__(frames, np.concatenate(each), config, seed, 2)
        # Of each frame its run.
        self.runs = np.repeat(np.array(runs), [count for _, count in runs], axis=0)

    def records(self, indices: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        chosen = self.starts[numbers]
        others = []
        for record, index, (first, count) in zip(chosen, indices, self.runs[numbers], strict=True):
            # 1: another stream of numbers than the augmentation's.
            random = np.random.default_rng((self.seed, int(index), 1))
            step = random.integers(1, count)
            others.append(first + (record - first + step) % count)
        return np.stack([chosen, others], axis=1)


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


def picture_records(dataset: PoseFrames, holdout: float) -> np.ndarray:
    """The training records, int64 [K]. Raises UserError where there is none."""
    runs = stretches(dataset, holdout, "train")
    if not runs:
        raise UserError(
            f"The dataset {dataset.folder} leaves no picture for training after data.holdout = "
            f"{holdout:g}; hold out less."
        )
    return np.concatenate([np.arange(first, first + count) for first, count in runs])


def pairs(dataset: PoseFrames, *, holdout: float, **settings: Any) -> Batches:
    """Endless batches of two frames of one clip: as pairs.batches with a window of 2, whose other
    arguments it takes. Raises UserError as pair_runs."""
    runs = pair_runs(dataset, holdout)
    return _batches(dataset, lambda *of: _Pairs(of[0], runs, *of[1:]), **settings)


def pictures(dataset: PoseFrames, *, holdout: float, **settings: Any) -> Batches:
    """Endless batches of single pictures: frames uint8 [B, H, W, 3] and so on; arguments as
    pairs.batches'. Raises UserError as picture_records."""
    starts = picture_records(dataset, holdout)
    return _batches(dataset, lambda *of: _Pictures(of[0], starts, *of[1:]), **settings)


def _batches(
    dataset: PoseFrames,
    load: Callable[..., Load],
    *,
    height: int,
    width: int,
    batch_size: int,
    seed: int,
    augment: AugmentConfig | None = None,
    workers: int = 0,
    start: int = 0,
    rows: Sequence[int] | None = None,
    cache_bytes: int = CACHE_BYTES,
) -> Batches:
    config = augment or AugmentConfig()
    frames = Frames(dataset, height, width, cache_bytes // max(workers, 1), config.crop)
    return Batches(
        load(frames, config, seed), batch_size=batch_size, workers=workers, start=start, rows=rows
    )
