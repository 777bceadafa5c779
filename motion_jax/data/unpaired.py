"""Batches of two domains whose pictures do not belong together, for CycleGAN.

Domain A and B are the sources of one dataset that say so ("domain": "A" or "B"), or two datasets,
or the poses and the frames of one. As in data/pairs.py the order is a pure function of (seed,
global index): each pass over the larger domain has its own shuffled order, and to each of its
pictures one of the other domain is drawn.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from motion_jax.data.augment import AugmentConfig, augment
from motion_jax.data.batches import Batches
from motion_jax.data.pairs import BatchSettings, Frames, records_of, stretches
from motion_jax.data.records import PoseFrames, open_dataset
from motion_jax.errors import UserError, option
from motion_jax.memory import keep_freed_memory
from motion_jax.pose.pose_pictures import poses_of


@dataclass(frozen=True)
class Domain:
    """Some of a dataset's records.

    Attributes:
      dataset: where they are.
      letter: "A" or "B": those of the sources of that domain; None: all.
      poses: the poses count, not the frames.
    """

    dataset: PoseFrames
    letter: str | None = None
    poses: bool = False

    def runs(self, holdout: float, part: str) -> list[tuple[int, int]]:
        """As pairs.stretches: list of (first record, number of records)."""
        return stretches(self.dataset, holdout, part, self.letter)

    def records(self, holdout: float, part: str = "train") -> Int64[np.ndarray, " k"]:
        """The records of these runs."""
        return records_of(self.runs(holdout, part))


def domains(dataset: PoseFrames, other: str = "", poses: bool = False) -> tuple[Domain, Domain]:
    """Domains A and B.

    Args:
      dataset: holds both, or with `other` domain B alone.
      other: folder of the dataset that is domain A; "": there is none.
      poses: A is the poses of `dataset` (or of `other`), and B its frames.
    Raises UserError where the dataset has no domains and nothing says what else A is.
    """
    letters = {source.get("domain") for source in dataset.info.sources}
    first, letter_a, letter_b = dataset, None, None
    if other:
        first = open_dataset(Path(other))
    elif {"A", "B"} <= letters:
        letter_a, letter_b = "A", "B"
    elif not poses:
        raise UserError(
            f"The dataset {dataset.folder} has one domain only: import a folder with trainA and "
            f"trainB, name the dataset of domain A with {option('data.domain_a')}, or take the "
            f"dataset's own poses as domain A with {option('recipe.domain_A')} poses."
        )
    if poses and not (first.has_keypoints or first.info.pose_pictures):
        raise UserError(
            f"The dataset {first.folder} has neither keypoints nor ready pose pictures, so domain "
            f"A cannot be poses; leave {option('recipe.domain_A')} at frames."
        )
    return Domain(first, letter_a, poses), Domain(dataset, letter_b)


class _Load:
    """Grain's map from (global indices [B], numbers of pictures of the larger domain [B]) to the
    batch itself; all randomness comes from (seed, global index) alone."""

    def __init__(
        self, sides: dict[str, tuple[Frames, np.ndarray, bool]], config: AugmentConfig, seed: int
    ):
        """sides: {"A", "B": (frames, records, whether poses are taken)}."""
        self.sides, self.config, self.seed = sides, config, seed
        # What one pass over the data goes through.
        self.larger = max(sides, key=lambda side: len(sides[side][1]))
        self.starts = sides[self.larger][1]

    def __call__(self, examples: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        indices, numbers = examples
        keep_freed_memory()  # Here, because it concerns worker processes too.
        batch = {}
        for stream, (side, (frames, records, poses)) in enumerate(self.sides.items()):
            if side == self.larger:
                chosen = records[numbers]
            else:
                chosen = records[[self._random(i, 2).integers(len(records)) for i in indices]]
            batch[side] = self._pictures(frames, chosen, indices, poses, stream)
        return batch

    def _random(self, index: Any, stream: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, int(index), stream))

    def _pictures(
        self, frames: Frames, records: np.ndarray, indices: np.ndarray, poses: bool, stream: int
    ) -> np.ndarray:
        size = frames.height, frames.width

        def change(number: int, window: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return augment(window, self.config, self._random(indices[number], stream), size)

        batch = frames.batch(records[:, None], change if self.config.active else None)
        return (poses_of(batch) if poses else batch["frames"])[:, 0]

    def __repr__(self) -> str:
        # Grain names its worker's stages by this.
        counts = " and ".join(str(len(records)) for _, records, _ in self.sides.values())
        return f"Unpaired({counts})"


def batches(domains: tuple[Domain, Domain], *, holdout: float, **settings: Any) -> Batches:
    """Endless batches of the training part: {"A", "B": uint8 [B, H, W, 3]}, or of keypoints
    [B, 137, 3] where A is poses without ready pictures.

    Arguments and errors as pairs.batches'.
    """
    common, sides = BatchSettings(**settings), {}
    for name, domain in zip("AB", domains, strict=True):
        frames = common.frames(domain.dataset, len(domains))
        records = domain.records(holdout)
        if not len(records):
            raise UserError(
                f"Domain {name} in {domain.dataset.folder} has no picture for training after "
                f"data.holdout = {holdout:g}; give more pictures or hold out less."
            )
        sides[name] = frames, records, domain.poses
    return common.batches(_Load(sides, common.augment, common.seed))
