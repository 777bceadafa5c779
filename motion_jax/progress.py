"""Progress that a person can follow: a bar on a terminal, a line every few seconds elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

# stdout is kept for results (`--json`); what happens meanwhile goes to stderr.
console = Console(stderr=True, highlight=False, soft_wrap=True)

T = TypeVar("T")

LINE_EVERY_SECONDS = 5.0
# What took less has no rate worth a line.
LEAST_SECONDS = 1.0


def say(message: str) -> None:
    """One line to the user (stderr, no markup)."""
    console.print(message, markup=False)


class Meter:
    """Counts work done. Use as a context manager; `advance()` from the loop."""

    def __init__(self, description: str, total: int | None):
        self.description, self.total, self.done = description, total, 0
        self._bar = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=console,
            )

    def __enter__(self) -> "Meter":
        self._started = self._last_line = time.monotonic()
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task(self.description, total=self.total)
        else:
            say(f"{self.description} …")
        return self

    def advance(self, count: int = 1) -> None:
        self.done += count
        if self._bar:
            self._bar.advance(self._task, count)
        elif time.monotonic() - self._last_line >= LINE_EVERY_SECONDS:
            self._last_line = time.monotonic()
            self._line()

    def _line(self) -> None:
        seconds = time.monotonic() - self._started
        rate = self.done / seconds if seconds > 0 else 0.0
        if self.total:
            left = f", {(self.total - self.done) / rate:.0f} s left" if rate > 0 else ""
            share = f"{self.done}/{self.total} ({100 * self.done / self.total:.0f} %), "
            say(f"{self.description}: {share}{rate:.1f}/s{left}")
        else:
            say(f"{self.description}: {self.done}, {rate:.1f}/s")

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()
        elif self.done and time.monotonic() - self._started >= LEAST_SECONDS:
            self._line()


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yields the items while showing how far it is."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)
    with Meter(description, total) as meter:
        for item in items:
            yield item
            meter.advance()


def flush() -> None:
    sys.stderr.flush()
