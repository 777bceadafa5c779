"""Batches without a dataset: a random key for each example."""

from collections.abc import Sequence

import numpy as np

from motion_jax.data.batches import Batches
from motion_jax.data.reading import noise_keys


class _Load:
    """Grain's map from (global indices [B], zeros [B]) to the keys."""

    def __init__(self, seed: int):
        self.seed, self.starts = seed, np.zeros(1, np.int64)

    def __call__(self, examples: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        return {"keys": noise_keys(self.seed, examples[0])}

    def __repr__(self) -> str:
        return f"Noise({self.seed})"


def batches(
    *,
    batch_size: int,
    seed: int,
    workers: int = 0,
    start: int = 0,
    rows: Sequence[int] | None = None,
) -> Batches:
    """Endless batches {"keys": uint32 [B, 2]}, each key a pure function of (seed, global index);
    arguments as pairs.batches'."""
    return Batches(_Load(seed), batch_size=batch_size, workers=workers, start=start, rows=rows)
