"""The queue: a process of its own, which starts jobs one after another in each lane.

`ensure` starts it where none runs. It outlives whoever asked (a page, a terminal) and ends by
itself when nothing is left to do. When it is killed, the job that it started goes on, and the next
queue finds it by its lock; when the job was killed, too (the machine went down), it is begun again
and goes on from its last checkpoint.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from motion_jax import files
from motion_jax.jobs import book
from motion_jax.jobs.book import LANES, Job, Lane
from motion_jax.jobs.record import summary

# Seconds between looks, and without work before the queue ends.
LOOK, IDLE = 0.2, 3.0
# A job that was killed so often is not begun again, unless it lived this long (seconds) in between.
TRIES, LONG = 3, 600.0
LOCK, LOG = ".queue.lock", ".queue.log"


def ensure(root: Path) -> None:
    """Starts the queue of a folder of projects where none runs and something is to be done."""
    if all(job.is_over for job in book.of_root(root)):
        return
    files.check_writable(root)
    with book.locked(root / LOCK) as mine:
        if mine is None:
            return
    with open(root / LOG, "ab") as log:
        subprocess.run(
            [sys.executable, "-m", "motion_jax.jobs", str(root.resolve())],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Neither Ctrl-C in the asker's terminal nor its end reaches it.
            start_new_session=True,
        )


def run(root: Path, idle: float = IDLE) -> None:
    """Does what waits in a folder of projects, until nothing did for `idle` seconds; at once where
    another process does already."""
    # Jobs inherit what is ignored, and must hear when they are asked to stop.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    while True:
        with book.locked(root / LOCK) as mine:
            if mine is None:
                return
            _Queue(root).work(idle)
        # Who asked while the lock was still held has started no queue.
        if all(job.is_over for job in book.of_root(root)):
            return


@dataclass
class _Running:
    """A job that runs. process: None where an earlier queue started it."""

    job: Job
    process: subprocess.Popen[bytes] | None
    told: int = 0

    def status(self) -> int | None:
        """Its exit status; None while it runs; 128 and a signal's number where that killed it."""
        if self.process is not None:
            status = self.process.poll()
            return 128 - status if status is not None and status < 0 else status
        if book.is_alive(self.job):
            return None
        said = summary(self.job.events)
        return 128 + signal.SIGKILL if said.status is None else said.status

    def tell(self) -> None:
        """Passes on stops that were asked for: twice as Ctrl-C, then for good."""
        while self.told < self.job.stops:
            self.told += 1
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if self.told <= 2:
                    os.kill(self.job.pid, signal.SIGINT)
                else:
                    # The process began a session, so its group has its number.
                    os.killpg(self.job.pid, signal.SIGKILL)


class _Queue:
    def __init__(self, root: Path):
        self._root = root
        self._running: dict[Lane, _Running] = {}

    def work(self, idle: float) -> None:
        busy = time.monotonic()
        # Where the machine has no time for it, a turn may take longer than `idle`.
        while self._turn() or time.monotonic() - busy < idle:
            if self._running:
                busy = time.monotonic()
            time.sleep(LOOK)

    def _turn(self) -> bool:
        """Whether anything runs or began."""
        jobs = [job for job in book.of_root(self._root) if not job.is_over]
        for job in jobs:
            if job.state == "running" and job.lane not in self._running:
                self._running[job.lane] = _Running(job, None)
            elif job.state == "waiting" and job.stops:
                book.write(job, state="stopped", ended=time.time())
        for lane, running in list(self._running.items()):
            status = running.status()
            if status is None:
                running.tell()
                continue
            del self._running[lane]
            _end(running.job, status)
        for lane in set(LANES) - set(self._running):
            waiting = (j for j in jobs if j.lane == lane and j.state == "waiting" and not j.stops)
            first = next(waiting, None)
            if first is not None and (begun := _begin(first)) is not None:
                self._running[lane] = begun
        return bool(self._running)


def _begin(job: Job) -> _Running | None:
    """Starts a job's process; None where one of it is still ending."""
    with book.locked(job.folder / "lock") as lock:
        if lock is None:
            return None
        # Written first: were the queue killed between the two, the job would be taken for killed.
        job = book.write(job, state="running", begun=time.time(), ended=None, pid=0)
        environment = dict(os.environ)
        if job.lane == "side":
            environment["JAX_PLATFORMS"] = "cpu"
        with open(job.log, "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "motion_jax.cli", "--events", str(job.events), *job.words],
                cwd=job.project,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                # The lock lives as long as the process does.
                pass_fds=(lock,),
            )
    return _Running(book.write(job, pid=process.pid), process)


def _end(job: Job, status: int) -> None:
    said = summary(job.events)
    asked, now = job.stops > 0, time.time()
    killed = status > 128 and status != 130
    tries = 1 if now - (job.begun or now) > LONG else job.tries + 1
    if status == 0:
        book.write(job, state="done", status=0, ended=now)
    elif asked:
        book.write(job, state="stopped", status=status, ended=now)
    elif killed and job.again and tries < TRIES:
        book.write(job, state="waiting", status=status, tries=tries)
    elif killed:
        error = "The process was ended from outside (perhaps there was too little memory)."
        book.write(job, state="killed", status=status, ended=now, error=error, tries=tries)
    elif status == 130:
        book.write(job, state="stopped", status=status, ended=now)
    else:
        error = said.message or f"The command ended with status {status}; its log says more."
        book.write(job, state="failed", status=status, ended=now, error=error)
