"""Poses of pictures that come one at a time, estimated in a process of its own.

MediaPipe starts threads, writes to stderr as it likes, and can end its process; none of that may
happen to a server or to a live picture. The picture goes to the process through shared memory.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from multiprocessing import connection, shared_memory
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from motion_jax.errors import UserError
from motion_jax.pose import bundles, detect, person
from motion_jax.pose.landmarks import to_keypoints

# Seconds that an answer may take: the first one waits for MediaPipe to be imported.
PATIENCE = 60.0
# What is asked for in place of a detail: everybody's body.
ALL = "all"


class Watcher:
    """Estimates one person's pose; a context manager.

    One that dies is started again once; the second time it is an error.

    Args:
      detail: "body", or "holistic" for face and hands too (twice the time); each call may ask for
        less.
      model: the .task bundle or a folder with it; None: see `bundles.find_bundle`.

    Attributes:
      restarts: how often the process died and was started again.

    Raises UserError where the model cannot be had.
    """

    def __init__(self, detail: str = "body", model: Path | None = None):
        # One bundle serves both: the holistic one holds the body's models.
        self._bundle = bundles.find_bundle(detail, model).path
        self._detail, self.restarts = detail, 0
        self._lock = threading.Lock()
        self._memory: shared_memory.SharedMemory | None = None
        self._process: Any = None

    def __enter__(self) -> "Watcher":
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        if self._memory is not None:
            self._memory.close()
            with contextlib.suppress(FileNotFoundError):
                self._memory.unlink()
            self._memory = None

    def look(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        time: float,
        detail: str | None = None,
        still: bool = False,
    ) -> Float32[np.ndarray, "137 3"] | None:
        """The pose in a picture, in its pixels; None where nobody plausible is seen.

        Args:
          time: seconds, increasing from picture to picture of one film.
          detail: of this picture; None: the watcher's.
          still: the picture stands alone, and belongs to no film.

        Raises UserError where the process died for the second time.
        """
        return self._answer(image, (image.shape, time, detail or self._detail, still))

    def look_at_all(
        self, image: UInt8[np.ndarray, "h w 3"], time: float, still: bool = False
    ) -> list[Float32[np.ndarray, "137 3"]]:
        """The bodies of everybody plausible in the next picture of a film; time, still, and raises:
        as for look."""
        return self._answer(image, (image.shape, time, ALL, still))

    def _answer(self, image: np.ndarray, question: tuple) -> Any:
        with self._lock:
            self._place(image)
            try:
                return self._asked(question)
            except (EOFError, OSError, TimeoutError) as error:
                if self.restarts:
                    raise UserError(
                        "The process that estimates poses ended twice; look for what stops it "
                        "(memory that runs out, for example) and start again."
                    ) from error
            self.restarts += 1
            self._stop()
            self._start()
            try:
                return self._asked(question)
            except (EOFError, OSError, TimeoutError) as error:
                raise UserError(
                    "The process that estimates poses ended twice at the same picture; give "
                    "another one."
                ) from error

    @property
    def process(self) -> int:
        """Its number."""
        return self._process.pid

    def _asked(self, question: tuple) -> Any:
        assert self._memory is not None, "placed before"
        self._pipe.send((self._memory.name, *question))
        if not self._pipe.poll(PATIENCE):
            raise TimeoutError
        return self._pipe.recv()

    def _place(self, image: np.ndarray) -> None:
        if self._memory is None or self._memory.size < image.nbytes:
            if self._memory is not None:
                self._memory.close()
                self._memory.unlink()
            self._memory = shared_memory.SharedMemory(create=True, size=image.nbytes)
        np.ndarray(image.shape, np.uint8, self._memory.buf)[...] = image

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_watch, args=(theirs, self._bundle), daemon=True, name="motion_jax-poses"
        )
        # It is not to take a Ctrl-C that is meant for this process, not even while it starts.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def _stop(self) -> None:
        self._pipe.close()
        self._process.join(2.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


def _watch(pipe: connection.Connection, bundle: Path) -> None:
    """The process: answers until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)
    landmarkers: dict[tuple[str, bool], Any] = {}
    memory: shared_memory.SharedMemory | None = None
    latest = -1
    with contextlib.suppress(EOFError, OSError):
        while True:
            name, shape, time, detail, still = pipe.recv()
            if memory is None or memory.name != name:
                if memory is not None:
                    memory.close()
                memory = shared_memory.SharedMemory(name)
            image = np.array(np.ndarray(shape, np.uint8, memory.buf))
            kind = detail, still
            if not still:
                latest = max(latest + 1, round(time * 1000))
            size = image.shape[:2]
            if detail == ALL:
                if kind not in landmarkers:
                    landmarkers[kind] = (
                        detect.still_landmarker(bundle, detect.MOST_PEOPLE)
                        if still
                        else detect.follower_of_all(bundle)
                    )
                people = detect.all_followed(landmarkers[kind], image, None if still else latest)
                seen = [each for each in people if not person.single_look(each.pose, size)]
                pipe.send([to_keypoints(each, size) for each in seen])
                continue
            if kind not in landmarkers:
                landmarkers[kind] = detect.follower_of(detail, bundle, still)
            found = detect.followed(landmarkers[kind], detail, image, None if still else latest)
            if found is None or person.single_look(found.pose, size):
                pipe.send(None)
            else:
                pipe.send(to_keypoints(found, size))
