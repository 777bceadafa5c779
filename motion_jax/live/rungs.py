"""How the rate is kept: what is left out where a machine is too slow, in which order, and when it
comes back."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

# Seconds that a stage must be too slow, or fast enough again; and between two changes.
SLOW_FOR, FAST_FOR, REST = 2.0, 10.0, 5.0
# Shares of the time of a frame.
TOO_SLOW, FAST = 1.15, 0.6
MOST = 900  # times that are kept
LOOK = 0.25  # seconds between looks at them


@dataclass(frozen=True)
class Rung:
    """One way to work.

    Attributes:
      name: for people.
      stage: which stage it relieves, "pose" or "picture".
    """

    name: str
    stage: str


HANDS = Rung("hands and face of the pose left out", "pose")
EVERY_SECOND = Rung("a pose for every second frame, moved on in between", "pose")
SMALLER = Rung("a smaller network", "picture")


@dataclass
class Ladder:
    """Which rungs are in force. They are taken in the order given, each only where its stage is the
    slow one, and given back in the reverse order.

    Args:
      interval: seconds of a frame.
      rungs: those that this session has.

    Attributes:
      taken: in force now; changes: (seconds, "down" or "up", name) of each change.
    """

    interval: float
    rungs: tuple[Rung, ...]
    taken: list[Rung] = field(default_factory=list)
    changes: list[tuple[float, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._times: dict[str, deque[tuple[float, float]]] = {
            "pose": deque(maxlen=MOST),
            "picture": deque(maxlen=MOST),
        }
        # Since when these times are of one way to work; when the session began.
        self._since: float | None = None
        self._begun: float | None = None
        self._changed = self._looked = float("-inf")

    def note(self, now: float, stage: str, seconds: float) -> Rung | None:
        """A stage worked so long on a frame; the rung that changed by it, or None.

        now: seconds on any clock.
        """
        self._begun = now if self._begun is None else self._begun
        self._since = now if self._since is None else self._since
        self._times[stage].append((now, seconds))
        if now - self._changed < REST or now - self._looked < LOOK:
            return None
        self._looked = now
        return self._down(now) or self._up(now)

    def has(self, rung: Rung) -> bool:
        return rung in self.taken

    def _down(self, now: float) -> Rung | None:
        if self._since is None or now - self._since < SLOW_FOR:
            return None
        for rung in self.rungs:
            slowest = self._slowest(rung.stage, now, SLOW_FOR)
            if rung in self.taken or slowest is None:
                continue
            if slowest > TOO_SLOW * self.interval:
                self.taken.append(rung)
                self._change(now, "down", rung)
                return rung
        return None

    def _up(self, now: float) -> Rung | None:
        if not self.taken or now - self._changed < FAST_FOR:
            return None
        rung = self.taken[-1]
        slowest = self._slowest(rung.stage, now, FAST_FOR)
        if slowest is None or slowest > FAST * self.interval:
            return None
        self.taken.pop()
        self._change(now, "up", rung)
        return rung

    def _slowest(self, stage: str, now: float, span: float) -> float | None:
        """The 95th percentile of a stage's times in the last `span` seconds."""
        recent = [spent for at, spent in self._times[stage] if at >= now - span]
        return float(np.percentile(recent, 95)) if recent else None

    def _change(self, now: float, way: str, rung: Rung) -> None:
        self._changed = now
        begun = now if self._begun is None else self._begun
        self.changes.append((now - begun, way, rung.name))
        # What was measured before is of another way to work.
        for times in self._times.values():
            times.clear()
        self._since = None
