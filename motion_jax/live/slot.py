"""One place for the newest thing: nothing in the live path waits behind something older."""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """Nothing more will come."""


class Slot(Generic[T]):
    """Holds one thing from one thread for another; a newer one takes its place.

    Attributes:
      dropped: things that nobody took.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._thing: T | None = None
        self._closed = False
        self.dropped = 0

    def put(self, thing: T) -> None:
        with self._changed:
            if self._thing is not None:
                self.dropped += 1
            self._thing = thing
            self._changed.notify()

    def take(self, patience: float | None = None) -> T | None:
        """The thing, once; None after `patience` seconds without one. Raises Closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._thing is not None or self._closed, patience)
            if self._thing is None:
                if self._closed:
                    raise Closed
                return None
            thing, self._thing = self._thing, None
            return thing

    def close(self) -> None:
        """What lies in it can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
