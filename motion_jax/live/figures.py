"""What a live session measures: how many, how old, how long, what was left out."""

import threading
from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Any

import numpy as np

# Values of each kind that are kept: the last minutes.
MOST = 20_000


class Figures:
    """Filled by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spent: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=MOST))
        # By output: (when it was shown, its age).
        self._ages: dict[str, deque[tuple[float, float]]] = defaultdict(lambda: deque(maxlen=MOST))
        self._by_marks: deque[float] = deque(maxlen=MOST)
        self.misread = 0

    def spent(self, stage: str, seconds: float) -> None:
        """A stage worked so long on a frame, its waiting not counted."""
        with self._lock:
            self._spent[stage].append(seconds)

    def aged(self, output: str, now: float, seconds: float) -> None:
        """An output showed a picture at `now`, so long after its frame was taken."""
        with self._lock:
            self._ages[output].append((now, seconds))

    def by_mark(self, seconds: float | None) -> None:
        """The same, read from the finished picture; None: its mark was not found, or another
        frame's."""
        with self._lock:
            if seconds is None:
                self.misread += 1
            else:
                self._by_marks.append(seconds)

    def rate(self, now: float, span: float | None = None) -> float:
        """Pictures shown a second by the output that shows most, in the last `span` seconds or in
        all."""
        with self._lock:
            return max((_rate(ages, now, span) for ages in self._ages.values()), default=0.0)

    def ages(self) -> dict[str, float]:
        """Of the pictures of all outputs, in milliseconds: p50, p95, p99, most."""
        with self._lock:
            return _milliseconds([s for ages in self._ages.values() for _, s in ages])

    def by_output(self) -> dict[str, dict[str, Any]]:
        """Of each output: "fps", over all its pictures, and "age_ms"."""
        with self._lock:
            return {
                name: {
                    "fps": round(_rate(ages, 0.0, None), 2),
                    "age_ms": _milliseconds([seconds for _, seconds in ages]),
                }
                for name, ages in self._ages.items()
            }

    def summary(self) -> dict[str, Any]:
        """Ages and stages, in milliseconds."""
        with self._lock:
            stages = {name: _milliseconds(list(values)) for name, values in self._spent.items()}
            found: dict[str, Any] = {"stages": stages}
            if self._by_marks or self.misread:
                found["age_by_marks_ms"] = _milliseconds(list(self._by_marks))
                found["marks_misread"] = self.misread
        return {"age_ms": self.ages(), **found}


def _rate(ages: Iterable[tuple[float, float]], now: float, span: float | None) -> float:
    times = [at for at, _ in ages if span is None or at >= now - span]
    return (len(times) - 1) / (times[-1] - times[0]) if times and times[-1] > times[0] else 0.0


def _milliseconds(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    values = np.array(seconds) * 1000
    points = {"p50": 50, "p95": 95, "p99": 99, "most": 100}
    return {name: round(float(np.percentile(values, at)), 2) for name, at in points.items()}
