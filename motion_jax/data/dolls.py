"""Batches of drawn characters, rendered while training goes on: nothing is stored."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from motion_jax.data.batches import Batches
from motion_jax.data.reading import Dolls
from motion_jax.puppet.bones import Figure, Stance, figure
from motion_jax.puppet.doll import Doll, make_doll
from motion_jax.puppet.doll_draw import draw_doll
from motion_jax.puppet.stances import stances

# Of a picture's height: a character's height, and where the floor is.
TALL, FLOOR = 0.74, 0.94


@dataclass(frozen=True)
class Cast:
    """The characters and stances of a training, and which of them it does not see.

    Args: as Dolls has them.
    """

    characters: int
    poses: int
    holdout: float

    def part(self, what: str, seen: bool) -> Int[np.ndarray, " n"]:
        """Numbers of "characters" or "poses", of training or kept out of it."""
        count = getattr(self, what)
        first = count - round(count * self.holdout)
        return np.arange(first) if seen else np.arange(first, count)


@functools.lru_cache(maxsize=4)
def all_stances(count: int) -> Stance:
    """The stances of a training, by their numbers."""
    return stances(range(count))


def placed(
    doll: Doll,
    stance: Stance,
    size: tuple[int, int],
    tall: float = TALL,
    aside: float = 0.0,
) -> Figure:
    """The figure of a doll in a picture of (height, width): standing on its floor, its hips in the
    middle. tall: in heights of the picture; aside: in its widths."""
    height, width = size
    return figure(doll.body, stance, tall * height, (width * (0.5 + aside), FLOOR * height))


class _Load:
    """Grain's map from (global indices [B], zeros [B]) to the batch; all randomness comes from
    (seed, global index) alone."""

    def __init__(self, reading: Dolls, seed: int):
        self.reading, self.seed, self.starts = reading, seed, np.zeros(1, np.int64)
        cast = Cast(reading.characters, reading.poses, reading.holdout)
        self.characters = cast.part("characters", True)
        self.poses = cast.part("poses", True)

    def __call__(self, examples: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        made = [self._one(int(index)) for index in examples[0]]
        return {
            name: np.stack([each[number] for each in made])
            for number, name in enumerate(("frames", "joints", "reference", "reference_joints"))
        }

    def _one(self, index: int) -> tuple[np.ndarray, ...]:
        """RGBA and joints of a character in a stance, and in another one."""
        random = np.random.default_rng((self.seed, index))
        size = self.reading.height, self.reading.width
        doll = make_doll(int(random.choice(self.characters)))
        chosen = random.choice(self.poses, 2)
        every = all_stances(self.reading.poses)
        found = []
        for pose in chosen:
            tall, aside = TALL * random.uniform(0.9, 1.08), random.normal(0, 0.03)
            here = placed(doll, every[int(pose) : int(pose) + 1], size, tall, aside)
            found.append((draw_doll(doll, here, *size), here.joints[0]))
        return *found[0], *found[1]

    def __repr__(self) -> str:
        return f"Dolls({self.reading.characters} x {self.reading.poses})"


def batches(
    reading: Dolls,
    *,
    batch_size: int,
    seed: int,
    workers: int = 0,
    start: int = 0,
    rows: Sequence[int] | None = None,
) -> Batches:
    """Endless batches of training characters in training stances, each example a pure function of
    (seed, global index); arguments as pairs.batches'."""
    load = _Load(reading, seed)
    return Batches(load, batch_size=batch_size, workers=workers, start=start, rows=rows)
