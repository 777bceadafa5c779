"""What a live session measures: how many, how old, how long, what was left out."""

import threading
from collections import defaultdict, deque
from typing import Any

import numpy as np

# Values of each kind that are kept: the last minutes.
MOST = 20_000


class Figures:
    """Filled by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spent: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=MOST))
        self._ages: deque[tuple[float, float]] = deque(maxlen=MOST)
        self._by_marks: deque[float] = deque(maxlen=MOST)
        self.misread = 0

    def spent(self, stage: str, seconds: float) -> None:
        """A stage worked so long on a frame, its waiting not counted."""
        with self._lock:
            self._spent[stage].append(seconds)

    def aged(self, now: float, seconds: float) -> None:
        """A picture was shown at `now`, so long after its frame was taken."""
        with self._lock:
            self._ages.append((now, seconds))

    def by_mark(self, seconds: float | None) -> None:
        """The same, read from the finished picture; None: its mark was not found, or another
        frame's."""
        with self._lock:
            if seconds is None:
                self.misread += 1
            else:
                self._by_marks.append(seconds)

    def rate(self, now: float, span: float | None = None) -> float:
        """Pictures shown a second, in the last `span` seconds or in all."""
        with self._lock:
            times = [at for at, _ in self._ages if span is None or at >= now - span]
        if len(times) < 2:
            return 0.0
        return (len(times) - 1) / (times[-1] - times[0]) if times[-1] > times[0] else 0.0

    def ages(self) -> dict[str, float]:
        """Milliseconds: p50, p95, p99, most."""
        with self._lock:
            return _milliseconds([seconds for _, seconds in self._ages])

    def summary(self) -> dict[str, Any]:
        """Ages and stages, in milliseconds."""
        with self._lock:
            stages = {name: _milliseconds(list(values)) for name, values in self._spent.items()}
            found: dict[str, Any] = {"stages": stages}
            if self._by_marks or self.misread:
                found["age_by_marks_ms"] = _milliseconds(list(self._by_marks))
                found["marks_misread"] = self.misread
        return {"age_ms": self.ages(), **found}


def _milliseconds(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    values = np.array(seconds) * 1000
    points = {"p50": 50, "p95": 95, "p99": 99, "most": 100}
    return {name: round(float(np.percentile(values, at)), 2) for name, at in points.items()}
