"""Whether somebody is there, and what is shown meanwhile: never the camera's own picture.

wait    nobody was seen yet: the background
live    somebody is: the person
coast   lost for a moment (COAST seconds): the pose is held
lost    for longer: the last picture fades into the background within FADE seconds
live    again: it fades back within RETURN seconds, and the network begins anew
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from motion_jax.pose.skeleton import INDEX

State = Literal["wait", "live", "coast", "lost"]
COAST, FADE, RETURN = 0.3, 0.5, 0.2
# Frames in a row with a person that begin a session.
FIRST = 3
# A jump of the hips by so many torso lengths from one frame to the next is another person.
JUMP = 1.0
_NECK, _HIPS = INDEX["neck"], INDEX["mid_hip"]


@dataclass(frozen=True)
class Presented:
    """What is to be shown at a moment.

    Attributes:
      state: see above.
      pose: the one to draw; None: no new picture is made.
      fresh: the network begins anew.
      another: somebody else is there, who is to be measured.
      faded: how much of the background is shown, 0 to 1.
    """

    state: State
    pose: Float[np.ndarray, "137 3"] | None
    fresh: bool
    another: bool
    faded: float


class Presence:
    """Follows one person's comings and goings."""

    def __init__(self, first: int = FIRST):
        self._first = first
        self.state: State = "wait"
        self.changes: list[tuple[float, State]] = []
        self._seen = 0
        self._last: tuple[float, np.ndarray] | None = None
        self._back: float | None = None
        self._faded = 1.0

    def next(self, time: float, pose: Float[np.ndarray, "137 3"] | None) -> Presented:
        """The pose that was seen at `time` (seconds), in any pixels; None where nobody was."""
        another = pose is not None and self._jumped(pose)
        if another or pose is None:
            return self._without(time)
        self._seen += 1
        fresh = another_person = False
        if self.state in ("wait", "lost"):
            if self._seen < (self._first if self.state == "wait" else 1):
                return Presented(self.state, None, False, False, self._faded)
            # Whoever comes after a while may be somebody else.
            fresh, another_person = True, True
            self._back = time
        self._change(time, "live")
        self._last = time, pose
        self._faded = 0.0
        if self._back is not None:
            self._faded = max(0.0, 1 - (time - self._back) / RETURN)
            self._back = self._back if self._faded else None
        return Presented("live", pose, fresh, another_person, self._faded)

    def _without(self, time: float) -> Presented:
        self._seen = 0
        if self._last is None or self.state == "wait":
            return Presented("wait", None, False, False, 1.0)
        away = time - self._last[0]
        if away <= COAST:
            self._change(time, "coast")
            return Presented("coast", self._last[1], False, False, self._faded)
        self._change(time, "lost")
        self._faded = min(1.0, max(self._faded, (away - COAST) / FADE))
        return Presented("lost", None, False, False, self._faded)

    def _jumped(self, pose: np.ndarray) -> bool:
        """Whether this must be somebody else than a moment ago."""
        if self._last is None or self.state not in ("live", "coast"):
            return False
        before = self._last[1]
        points = pose[_HIPS], before[_HIPS], before[_NECK]
        if any(point[2] <= 0 for point in points):
            return False
        torso = np.linalg.norm((before[_NECK] - before[_HIPS])[:2])
        return bool(np.linalg.norm((pose[_HIPS] - before[_HIPS])[:2]) > JUMP * torso > 0)

    def _change(self, time: float, state: State) -> None:
        if state != self.state:
            self.state = state
            self.changes.append((time, state))
