"""Which of several people before a camera is followed."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from motion_jax.pose import select
from motion_jax.pose.person import check_person
from motion_jax.pose.skeleton import BODY


class Whom:
    """Follows one person from frame to frame.

    Args:
      person: who is chosen at first, and anew after LONGEST_ABSENCE frames: "largest", "leftmost",
        "rightmost", or a number from 1, counted from left to right; while fewer are there, nobody.

    Raises UserError for another text.
    """

    def __init__(self, person: str):
        check_person(person)
        self._person = person
        self._last: np.ndarray | None = None
        self._absent = 0

    def next(
        self, people: Sequence[Float[np.ndarray, "137 3"]]
    ) -> Float[np.ndarray, "137 3"] | None:
        """Of the poses of a frame the followed person's; None where that person is not there, or it
        is a guess who it is."""
        if self._last is None or self._absent > select.LONGEST_ABSENCE:
            found = self._chosen(people)
        else:
            found = self._again(self._last, people)
        if found is None:
            self._absent += 1
            return None
        self._last, self._absent = found, 0
        return found

    def _chosen(self, people: Sequence[np.ndarray]) -> np.ndarray | None:
        order = sorted(people, key=_across)
        if not order:
            return None
        if self._person == "largest":
            return max(order, key=select.size_of)
        if self._person in ("leftmost", "rightmost"):
            return order[0 if self._person == "leftmost" else -1]
        number = int(self._person)
        return order[number - 1] if number <= len(order) else None

    def _again(self, last: np.ndarray, people: Sequence[np.ndarray]) -> np.ndarray | None:
        farthest = min(
            select.FARTHEST + select.FARTHER_A_FRAME * self._absent, select.FARTHEST_OF_ALL
        )
        near = sorted(((select.distance(last, pose), i) for i, pose in enumerate(people)))
        if not near or near[0][0] > farthest:
            return None
        if len(near) > 1 and near[1][0] - near[0][0] < select.AMBIGUOUS:
            return None
        return people[near[0][1]]


def _across(pose: np.ndarray) -> float:
    body = pose[BODY]
    return float(np.median(body[body[:, 2] > 0, 0]))
