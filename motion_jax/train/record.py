"""What a run reports while it trains: its figures, as events and in files (journal.py).

Metrics of a step are read one log interval late, when the device has long finished them, so that
logging never makes it wait.
"""

import contextlib
import json
import math
import time
from collections import deque
from pathlib import Path
from typing import Any

import jax

from motion_jax import events
from motion_jax.errors import UserError
from motion_jax.files import write_text
from motion_jax.train.checksum import examined
from motion_jax.train.journal import Journal

# Steps that the loop may be ahead of the device: enough for the device never to wait for it.
IN_FLIGHT = 3


class NotFinite(UserError):
    """A loss or a parameter became NaN or infinite, in every process alike. stage: its name; since:
    the step since which training is spoilt, where it is known."""

    together = True
    since: int | None = None

    def __init__(self, message: str, stage: str = ""):
        super().__init__(message)
        self.stage = stage


class Recorder:
    """Logs one stage. A context manager.

    Args:
      folder: the run's.
      stage: its name.
      offset: total steps of the stages before it.
      steps: steps of this stage; frames_per_step: pictures that a step sees.
      seconds, images: of earlier processes of this run.
      last_good: says which checkpoint is the last good one, for the message about a NaN.
      writes: whether this process of a job is the one that writes and shows.
    """

    def __init__(
        self,
        folder: Path,
        *,
        stage: str,
        offset: int,
        start: int,
        steps: int,
        frames_per_step: int,
        log_every: int,
        seconds: float,
        images: int,
        last_good: Any,
        writes: bool = True,
    ):
        self.stage, self.offset, self.steps, self.log_every = stage, offset, steps, log_every
        self.frames_per_step, self.images, self.last_good = frames_per_step, images, last_good
        self._seconds_before = seconds
        self._journal = Journal(folder, offset + start) if writes else None
        self._pending: tuple[int, dict[str, jax.Array], float] | None = None
        self._latest: dict[str, jax.Array] = {}
        self._begun = self._marked = time.monotonic()
        self._marked_step, self._start = start, start
        self._waited, self._dispatched = 0.0, start
        self._rate, self._share_waited = 0.0, 0.0
        # (seconds left, share that is over) of a stage that ends by the clock; the loop sets it.
        self.clock: tuple[float, float] | None = None
        self._in_flight: deque[dict[str, jax.Array]] = deque()
        # Each loss of the logged steps since `means` was last asked.
        self._sums: dict[str, list[float]] = {}

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is None:
            self._flush()
        if self._journal:
            self._journal.close()

    @property
    def seconds(self) -> float:
        """Training time so far, over all processes of the run."""
        return self._seconds_before + time.monotonic() - self._begun

    def waited(self, seconds: float) -> None:
        """Adds time that the loop spent waiting for input."""
        self._waited += seconds

    def step(self, step: int, metrics: dict[str, jax.Array], learning_rate: float) -> None:
        """After the step number `step` (from 1) was dispatched."""
        self.images += self.frames_per_step
        self._dispatched = step
        if step == self._start + 1:
            # What came before is compiling, and the first wait for worker processes to begin.
            self._marked, self._waited = time.monotonic(), 0.0
        # Not all steps have all numbers: the latest of each are logged.
        self._latest = self._latest | metrics
        # A slow device must not fall behind by minutes: signals would be answered that much later.
        self._in_flight.append(metrics)
        if len(self._in_flight) > IN_FLIGHT:
            jax.block_until_ready(self._in_flight.popleft())
        if step % self.log_every == 0 or step == self.steps or step == self._start + 1:
            self._flush()
            self._pending = (step, self._latest, learning_rate)

    def _flush(self) -> None:
        if self._pending is None:
            return
        step, metrics, learning_rate = self._pending
        self._pending = None
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        rate, waited = self._speed(step)
        row = {
            "stage": self.stage,
            "step": step,
            "total_step": self.offset + step,
            # Those seen when this step was done, not those of steps under way.
            "images": self.images - (self._dispatched - step) * self.frames_per_step,
            "seconds": round(self.seconds, 2),
            "images_per_second": round(rate, 3),
            "input_wait": round(waited, 4),
            "learning_rate": learning_rate,
            **values,
        }
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            # JSON has no NaN.
            row |= {name: str(row[name]) for name in bad}
        if self._journal:
            self._journal.write(row, {**values, "images_per_second": rate})
        if bad:
            raise self._not_finite(f"loss {bad[0]}", values[bad[0]], step)
        for name, value in values.items():
            self._sums.setdefault(name, []).append(value)
        if self._journal:
            self._tell(row, values)

    def _speed(self, step: int) -> tuple[float, float]:
        """(pictures a second, share of the time spent waiting for input) since this was last
        measured. The row of the last step comes right after the one before it, when nothing has
        been done since: then both are what they were.

        step: one that is done.
        """
        now = time.monotonic()
        done = max(step, self._dispatched - len(self._in_flight))
        steps, elapsed = done - self._marked_step, max(now - self._marked, 1e-9)
        if steps > IN_FLIGHT or not self._rate:
            self._rate = steps * self.frames_per_step / elapsed
            self._share_waited = min(self._waited / elapsed, 1.0)
            self._marked, self._marked_step, self._waited = now, done, 0.0
        return self._rate, self._share_waited

    def means(self) -> dict[str, float]:
        """The mean of each loss over the logged steps since this was last asked."""
        sums, self._sums = self._sums, {}
        return {name: sum(values) / len(values) for name, values in sums.items()}

    def check(self, step: int, metrics: dict[str, jax.Array], state: Any) -> int:
        """Waits for a step that is about to be saved, and writes the rows up to it, so that none is
        missing after a resume. Returns the state's checksum.

        Raises NotFinite for its losses and for the parameters after it: losses are of the
        parameters before it, so they show a NaN one step late.
        """
        self._flush()
        for name, value in jax.device_get(metrics).items():
            if not math.isfinite(value):
                raise self._not_finite(f"loss {name}", float(value), step)
        finite, checksum = examined(state)
        for name, good in finite.items():
            if not good:
                raise self._not_finite(f"parameters of the {name}", math.nan, step)
        return checksum

    def _not_finite(self, what: str, value: float, step: int) -> NotFinite:
        return NotFinite(
            f"The {what} became {value} at step {step} of the {self.stage} stage; "
            f"{self.last_good()}; lower recipe.{self.stage}_stage.learning_rate and start another "
            "run.",
            self.stage,
        )

    def _tell(self, row: dict[str, Any], values: dict[str, float]) -> None:
        rate, done = row["images_per_second"] / self.frames_per_step, row["step"]
        steps, left, share = self.steps, None, done / self.steps
        # A single step says little about the rest.
        if done > self._start + 1 and rate > 0:
            left = (steps - done) / rate
        if self.clock is not None:
            seconds, over = self.clock
            share = max(share, over)
            if left is not None:
                left = min(left, seconds)
                # More steps are planned than the time is enough for: what it is enough for.
                steps = min(steps, self._dispatched + round(left * rate))
        step = events.Step(
            self.stage,
            done,
            steps,
            row["images"],
            row["images_per_second"],
            row["input_wait"],
            row["learning_rate"],
            left,
            values,
            row["total_step"],
        )
        events.emit(step, at=share)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl; a last line cut short by a crash is left out."""
    path = folder / "metrics.jsonl"
    rows = []
    for line in path.read_text().splitlines() if path.is_file() else ():
        with contextlib.suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows


def rewind_metrics(folder: Path, total_step: int) -> None:
    """Drops the rows after a step: that work was lost and is done again."""
    rows = read_metrics(folder)
    kept = [row for row in rows if row["total_step"] <= total_step]
    if rows:
        write_text(folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in kept))
