"""Being asked to stop: by Ctrl-C, by a scheduler, by a machine that is about to be taken away."""

import os
import signal
import threading
from typing import Any

from motion_jax.devices.processes import Job

# SIGUSR1 is what Slurm is asked to send some time before a job's limit (--signal=USR1@180).
ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Interrupted(Exception):
    """A signal asked for an end; everything is saved. Carries the exit status.

    together: all processes of the job end with it, at the same step.
    """

    together = True

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


class Signals:
    """Notes SIGINT, SIGTERM and SIGUSR1 instead of dying; a second Ctrl-C acts as usual. A context
    manager.

    Of several processes it is enough that one is asked: jax takes SIGTERM as notice of a preemption
    and lets all processes agree on the step after which they stop; the other signals are passed on
    as SIGTERM.
    """

    def __init__(self, job: Job) -> None:
        self.received = 0
        self._job = job
        self._before: dict[int, Any] = {}

    def asked(self, total_step: int) -> bool:
        """Whether to save and stop after this step: the same answer in all processes. To be called
        at every step."""
        if self._job.count == 1:
            return bool(self.received)
        from jax.experimental import multihost_utils

        return multihost_utils.reached_preemption_sync_point(total_step)

    @property
    def reason(self) -> str:
        if self.received:
            return signal.Signals(self.received).name
        return "a preemption notice to one of the processes"

    def status(self, preempted: int) -> int:
        """The exit status; preempted: that of a stop which a scheduler asked for."""
        return 128 + signal.SIGINT if self.received == signal.SIGINT else preempted

    def __enter__(self) -> "Signals":
        # Only the main thread may set handlers; elsewhere (a notebook's, a test's) they stay.
        if threading.current_thread() is threading.main_thread():
            noted = [n for n in ASKING if self._job.count == 1 or n != signal.SIGTERM]
            for number in noted:
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, _: object) -> None:
        # A scheduler's second signal says the same again, only more urgently.
        hint = b"."
        if number == signal.SIGINT:
            signal.signal(number, self._before[number])
            hint = b"; a second Ctrl-C stops at once."
        self.received = self.received or number
        # No print: it may interrupt another one.
        os.write(2, b"\nStopping after this step and saving" + hint + b"\n")
        if self._job.count > 1:
            os.kill(os.getpid(), signal.SIGTERM)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
