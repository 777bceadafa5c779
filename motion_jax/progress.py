"""What work says and how far it is, for whoever watches (see events.py)."""

import itertools
from collections.abc import Iterable, Iterator, Sized
from typing import Literal, TypeVar

from motion_jax import events

T = TypeVar("T")

_tasks = itertools.count()


def say(message: str) -> None:
    """One line to the user."""
    events.emit(events.Said(message))


def warn(message: str) -> None:
    """One line about something that went wrong and does not end the work."""
    events.emit(events.Warned(message))


class Meter:
    """Counts work done. Use as a context manager; `advance()` from the loop.

    Its units fill what is left of the part of the whole in which it begins.
    """

    def __init__(self, description: str, total: int | None):
        self.description, self.total, self.done = description, total, 0
        self._task = next(_tasks)

    def __enter__(self) -> "Meter":
        self._part = events.now().rest()
        self._emit("begun")
        return self

    def advance(self, count: int = 1) -> None:
        """Raises events.Stopped where a stop was asked for."""
        self.done += count
        self._emit("going")
        self._part.check()

    def _emit(self, state: Literal["begun", "going", "ended"]) -> None:
        share = self.done / self.total if self.total else None
        event = events.Progress(self._task, self.description, self.done, self.total, state)
        self._part.emit(event, share)

    def __exit__(self, *_: object) -> None:
        self._emit("ended")


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yields the items and tells how far the work is."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Meter(description, total) as meter:
        for item in items:
            yield item
            meter.advance()
