"""What Ctrl-C and a scheduler's signals ask of the command line's work."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from motion_jax.events import Event, Interrupted, Observer, Stoppable, StopToken, now, watched
from motion_jax.progress import say

# SIGUSR1 is what Slurm is asked to send some time before a job's limit (--signal=USR1@180).
ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Signals:
    """SIGINT, SIGTERM and SIGUSR1 ask the token for a stop while the work says that it answers a
    stop (events.Stoppable). Otherwise they act as usual, and so does a second Ctrl-C.

    A context manager, and an observer that passes every event on to `show`.

    Attributes:
      stop: the token.
      received: the first signal that was noted; 0 without.
    """

    def __init__(self, show: Observer) -> None:
        self.stop, self.received = StopToken(), 0
        self._show = show
        self._before: dict[int, Any] = {}

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, Stoppable):
            self._note_signals(event.processes) if event.processes else self._restore()
        self._show(event)

    def status(self, preempted: int = 0) -> int:
        """The exit status after a stop; preempted: after one that a scheduler asked for."""
        return 128 + signal.SIGINT if self.received == signal.SIGINT else preempted

    def __enter__(self) -> "Signals":
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _note_signals(self, processes: int) -> None:
        # Only the main thread may set handlers; elsewhere (a notebook's, a test's) they stay.
        if threading.current_thread() is not threading.main_thread():
            return
        # With several processes jax itself takes SIGTERM, as a notice of preemption.
        for number in [n for n in ASKING if processes == 1 or n != signal.SIGTERM]:
            self._before[number] = signal.signal(number, self._note)

    def _note(self, number: int, _: object) -> None:
        # A scheduler's second signal says the same again, only more urgently.
        hint = b"."
        if number == signal.SIGINT:
            signal.signal(number, self._before[number])
            hint = b"; a second Ctrl-C stops at once."
        self.received = self.received or number
        # No print: it may interrupt another one.
        os.write(2, b"\nStopping after this step and saving" + hint + b"\n")
        self.stop.stop(signal.Signals(number).name)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


@contextlib.contextmanager
def answered(preempted: int = 0) -> Iterator[None]:
    """Signals ask the work of the block to stop. A training that they stopped ends the program with
    a sentence and its exit status.

    preempted: the status after SIGTERM, SIGUSR1 or a preemption notice.
    """
    with Signals(now().observer) as signals, watched(signals, signals.stop):
        try:
            yield
        except Interrupted as interrupted:
            say(str(interrupted))
            sys.exit(signals.status(preempted))
