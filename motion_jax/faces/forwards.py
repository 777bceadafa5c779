"""Faces from frame to frame by the past alone: who is who, and where each is without trembling.

follow.py does it for films, with what comes after, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64

from motion_jax.faces.align import inside
from motion_jax.faces.find import HELD
from motion_jax.faces.follow import (
    BETA,
    MIN_CUTOFF,
    OVAL_BETA,
    OVAL_CUTOFF,
    TURN_BETA,
    paired,
    unlikeness,
)
from motion_jax.pose.smooth import OneEuro


@dataclass(frozen=True)
class Face:
    """One face in one frame.

    Attributes:
      number: whose it is, counted from 0 on.
      numbers: its alignment (align), steady; oval: points around it, in the square's places.
      hands: points of hands near it, in pixels; NaN: none.
      lost: frames since it was seen; 0: it was in this one.
    """

    number: int
    numbers: Float64[np.ndarray, "4"]
    oval: Float32[np.ndarray, "36 2"]
    hands: Float32[np.ndarray, "n 21 2"]
    lost: int = 0


class _Followed:
    """One face, as long as it is there.

    Attributes:
      face: as it was last.
    """

    def __init__(self, number: int, record: np.void, time: float, smooth: bool):
        self._measured, self._speed = record["numbers"].copy(), np.zeros(4)
        self._place = OneEuro(MIN_CUTOFF, BETA) if smooth else None
        self._turn = OneEuro(MIN_CUTOFF, TURN_BETA)
        self._around = OneEuro(OVAL_CUTOFF, OVAL_BETA)
        self.face = self._taken(number, record, time)

    def unlike(self, record: np.void) -> float:
        """How unlikely it is that a record of the next frame is of this face; inf: it is not."""
        passed = self.face.lost + 1
        expected = self._measured + self._speed * min(passed, 3)
        return unlikeness(expected, record["numbers"], passed)

    def see(self, record: np.void, time: float) -> None:
        """It was found again."""
        before, passed = self._measured, self.face.lost + 1
        self.face = self._taken(self.face.number, record, time)
        self._speed = (self._measured - before) / passed

    def miss(self) -> None:
        """It was not found in a frame: it is held where it was."""
        none = np.full_like(self.face.hands, np.nan)
        self.face = replace(self.face, lost=self.face.lost + 1, hands=none)

    def _taken(self, number: int, record: np.void, time: float) -> Face:
        numbers, before = record["numbers"].copy(), self._measured[3]
        # The angle goes on, past half a turn, too.
        numbers[3] = before + np.remainder(numbers[3] - before + np.pi, 2 * np.pi) - np.pi
        self._measured = numbers
        oval = inside(numbers, record["oval"])
        if self._place is not None:
            # Speeds count in sides of the square.
            seen, beta = np.ones(2, bool), BETA / float(np.exp(numbers[2]))
            place = self._place.step(numbers[:2], time, seen, beta)
            numbers = np.concatenate([place, self._turn.step(numbers[2:], time, seen)])
            oval = self._around.step(oval, time, np.ones(oval.shape, bool))
        return Face(number, numbers, np.asarray(oval, np.float32), record["hands"].copy())


class Faces:
    """All faces before a camera. smooth: without it they are as they were measured."""

    def __init__(self, smooth: bool = True):
        self._smooth = smooth
        self._here: list[_Followed] = []
        self._count = 0

    def reset(self) -> None:
        """Forgets everybody."""
        self._here.clear()

    def next(self, time: float, records: np.ndarray | Sequence[np.void]) -> list[Face]:
        """Everybody of the next frame, at `time` (seconds, increasing), whoever is lost for up to
        HELD frames held; far faces before near ones. records: of find.RECORD."""
        costs = [[one.unlike(record) for record in records] for one in self._here]
        found = paired(np.array(costs))
        for number, one in enumerate(self._here):
            if number in found:
                one.see(records[found[number]], time)
            else:
                one.miss()
        self._here = [one for one in self._here if one.face.lost <= HELD]
        for column in set(range(len(records))) - set(found.values()):
            self._here.append(_Followed(self._count, records[column], time, self._smooth))
            self._count += 1
        return sorted((one.face for one in self._here), key=lambda face: face.numbers[2])
