"""How a command ends after Ctrl-C: with status 130, whatever it was doing; after SIGTERM with 143.

Most of a short command's time is spent importing libraries, and an interrupt within an import is
easily lost: Python drops exceptions in callbacks, and libraries turn them into errors of their own
or ignore what could not be imported. So it is noted here, raised again where it was dropped, and
an error that follows it counts as it. Native libraries crash if their loading is interrupted
(jaxlib does), so an interrupt waits for that. Afterwards the process ends at once, because the
threads of libraries that were interrupted half-way crash while the interpreter shuts down.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from motion_jax.interrupt import Terminated, at_once

INTERRUPTED, TERMINATED = 130, 143
# Seconds after which an interrupt that led to nothing is raised again.
AGAIN = 1.0
# Seconds after which it is tried again where a native library was being loaded.
LOADING = 0.05


@contextlib.contextmanager
def after_ctrl_c(whole_process: bool) -> Iterator["Noted"]:
    """Around a command: an interrupt ends it with a line and SystemExit 130; yields what notes it.

    Args:
      whole_process: whether the process runs only this command; then it ends here after an
        interrupt, and an interrupt after the command's work is done changes nothing.
    """
    noted = Noted()
    try:
        try:
            with noted:
                yield noted
        except KeyboardInterrupt:
            raise
        except Exception as error:
            if noted.seen:
                raise KeyboardInterrupt from error
            raise
        except SystemExit as error:
            if noted.seen and error.code not in (None, 0):
                raise KeyboardInterrupt from error
            raise
    except KeyboardInterrupt as error:
        with contextlib.suppress(OSError):
            what = "ended by SIGTERM" if noted.terminated else "interrupted"
            print(f"motion-jax: {what}", file=sys.stderr)
        status = TERMINATED if noted.terminated else INTERRUPTED
        if whole_process:
            leave(status)
        raise SystemExit(status) from error
    finally:
        if whole_process:
            with contextlib.suppress(ValueError):
                signal.signal(signal.SIGINT, signal.SIG_IGN)


def leave(status: int) -> None:
    """Ends the process without the interpreter's own ending; all of ours is cleaned up."""
    if "multiprocessing" in sys.modules:
        _end_workers()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def _end_workers() -> None:
    """Ends worker processes that a second interrupt kept us from waiting for, and removes the
    semaphores that were shared with them: Python's tracker, a process of its own, would warn of
    those that are left."""
    import multiprocessing.util

    for process in multiprocessing.active_children():
        process.kill()
        process.join()
    # What Python itself calls when it ends, of objects with a priority of 0 or more: those of
    # lower priority wait for threads.
    run_finalizers: Any = multiprocessing.util._run_finalizers  # type: ignore[attr-defined]
    run_finalizers(0)


def _raise(frame: FrameType | None, kind: type[KeyboardInterrupt]) -> None:
    """Raises it, now or, where a native library is being loaded, a little later."""
    loading = _loads_native(frame)
    delay = LOADING if loading else AGAIN
    signal.setitimer(signal.ITIMER_REAL, delay, delay)
    if not loading:
        raise kind


def _loads_native(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_qualname.startswith("ExtensionFileLoader."):
            return True
        frame = frame.f_back
    return False


class Noted:
    """Notes SIGINT besides raising KeyboardInterrupt; a context manager, for the main thread alone.

    Attributes:
      seen: whether there was one; terminated: whether SIGTERM was the first.
    """

    def __init__(self) -> None:
        self.seen = self.terminated = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Noted":
        self._hear(signal.SIGINT, (signal.default_int_handler, at_once), self._interrupt)
        return self

    def _hear(self, number: int, unheard: tuple[Any, ...], handler: Any) -> None:
        """Where one of `unheard` is what a signal does so far, the handler takes its place."""
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(number) not in unheard:
            return
        if not self._before:
            self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._again)
            self._hook, sys.unraisablehook = sys.unraisablehook, self._dropped
        self._before[number] = signal.signal(number, handler)

    def hear_sigterm(self) -> None:
        """From now on SIGTERM ends the command, too, unless somebody else hears it already."""
        self._hear(signal.SIGTERM, (signal.SIG_DFL,), self._terminate)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.seen = True
        _raise(frame, KeyboardInterrupt)

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        # `timeout` sends it twice, to the process and to its group: cleaning up goes on.
        if not self.seen:
            self.seen = self.terminated = True
            _raise(frame, Terminated)

    def _again(self, number: int, frame: FrameType | None) -> None:
        # While files are being removed and processes ended because of it, it is not lost.
        error = sys.exception()
        while error is not None:
            if isinstance(error, KeyboardInterrupt):
                return
            error = error.__context__
        _raise(frame, Terminated if self.terminated else KeyboardInterrupt)

    def _dropped(self, unraisable: Any) -> None:
        """Exceptions in callbacks and destructors come here instead of to their callers."""
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            self._hook(unraisable)

    def __exit__(self, *error: object) -> None:
        if not self._before:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = self._hook
        for number, handler in self._before.items():
            signal.signal(number, handler)
