"""Work shared among spawned processes, with one progress display and a way to stop.

Spawned, not forked: MediaPipe, JAX and FFmpeg start threads, and a forked copy of a process with
threads may hang. The result of a job must not depend on how many processes there are.
"""

import concurrent.futures
import contextlib
import contextvars
import importlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.spawn
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from motion_jax import files
from motion_jax.errors import UserError, option
from motion_jax.events import Stopped
from motion_jax.progress import Meter

# One thread at a time replaces what processes are told when they start.
_telling = threading.Lock()

J = TypeVar("J")
R = TypeVar("R")

# In a worker: units done by all of them, and whether the work is no longer wanted.
_done: Any = None
_stop: Any = None


def worker_count(workers: int | None) -> int:
    """The number of processes asked for; None: one for each core that this process may use.

    Raises UserError where it is less than 1."""
    if workers is None:
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
    if workers < 1:
        raise UserError(f"{option('workers')} {workers} is too few; give 1 or more.")
    return workers


def advance(count: int = 1) -> None:
    """Called by a job: so many units are done. Outside a worker nobody counts.

    Raises events.Stopped where the job's work is no longer wanted."""
    if _stop is None:
        return
    if _stop.is_set():
        raise Stopped("Stopped: not wanted any more.")
    with _done.get_lock():
        _done.value += count


@dataclass
class _Pool:
    executor: concurrent.futures.ProcessPoolExecutor
    done: Any
    stop: Any
    log: Path


# Threads have pools of their own: a context variable is not seen by other threads.
_open: contextvars.ContextVar[_Pool | None] = contextvars.ContextVar("pool", default=None)


@contextlib.contextmanager
def pool(workers: int, preload: Sequence[str] = ()) -> Iterator[None]:
    """Keeps processes for all `run_jobs` in the block (an outer block's, where there is one); they
    import the modules `preload` meanwhile."""
    if _open.get() is not None:
        yield
        return
    context = multiprocessing.get_context("spawn")
    done, stop = context.Value("q", 0), context.Event()
    folder = Path(tempfile.gettempdir())
    with files.writing(folder):
        descriptor, name = tempfile.mkstemp(".log", f"motion_jax-worker-{os.getpid()}-", folder)
    os.close(descriptor)
    log = Path(name)
    executor = concurrent.futures.ProcessPoolExecutor(
        workers, context, _begin, (done, stop, str(log))
    )
    token = _open.set(_Pool(executor, done, stop, log))
    try:
        if preload:
            with _spawning():
                for _ in range(workers):
                    executor.submit(_import, tuple(preload))
        yield
    finally:
        _open.reset(token)
        stop.set()
        executor.shutdown(wait=True, cancel_futures=True)
        log.unlink(missing_ok=True)


def run_jobs(
    job: Callable[[J], R], inputs: Sequence[J], workers: int, description: str, total: int
) -> list[R]:
    """[job(input) for all inputs], in at most so many processes; shows progress out of `total`.

    What the libraries in a worker write to stderr on their own goes to a file, and is shown only
    where a process died. Raises what a job raises (the other jobs stop at their next `advance`),
    events.Stopped where a stop was asked for, and RuntimeError where a process died."""
    with pool(max(1, min(workers, len(inputs)))):
        here = _open.get()
        assert here is not None  # `pool` opened it.
        before = here.done.value
        try:
            with Meter(description, total) as meter:
                with _spawning():
                    futures = [here.executor.submit(job, value) for value in inputs]
                waiting = set(futures)
                while waiting:
                    finished, waiting = concurrent.futures.wait(
                        waiting, 0.5, concurrent.futures.FIRST_EXCEPTION
                    )
                    for future in finished:
                        future.result()
                    meter.advance(here.done.value - before - meter.done)
            return [future.result() for future in futures]
        except concurrent.futures.process.BrokenProcessPool as error:
            tail = here.log.read_text(errors="replace")[-1000:]
            words = f"its last words: {tail}" if tail.strip() else "it said nothing"
            raise RuntimeError(f"{description}: a process died; {words}") from error
        except BaseException:
            here.stop.set()
            raise


@contextlib.contextmanager
def _spawning() -> Iterator[None]:
    """Around what starts processes. They inherit that Ctrl-C is held back, until `_begin` ignores
    it; otherwise one that is still importing would end with a traceback. They do not run the
    caller's script again, where jobs never are: it needs no `if __name__ == "__main__":`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with _without_main():
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Processes that this thread starts are not told which script the first one runs."""
    with _telling:
        told: Any = multiprocessing.spawn.get_preparation_data
        here = threading.get_ident()

        def without(name: str) -> dict[str, Any]:
            found = told(name)
            if threading.get_ident() != here:
                return found
            return {key: value for key, value in found.items() if not key.startswith("init_main")}

        multiprocessing.spawn.get_preparation_data = without
        try:
            yield
        finally:
            multiprocessing.spawn.get_preparation_data = told


def _import(names: tuple[str, ...]) -> None:
    for name in names:
        importlib.import_module(name)


def _leave_with_parent() -> None:
    """Ends this process when the first one is killed: it would wait for more work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # This runs in workers alone.
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def _begin(done: Any, stop: Any, log: str) -> None:
    # Ctrl-C reaches the whole group of processes; the first one decides and sets `stop`. One that
    # came while this process started was held back, and is forgotten here.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    global _done, _stop
    _done, _stop = done, stop
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 2)
    os.close(descriptor)
