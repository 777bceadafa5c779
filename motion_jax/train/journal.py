"""metrics.jsonl and the TensorBoard file of a run, written so that no failure to write stops it."""

import contextlib
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from motion_jax.errors import UserError, marked
from motion_jax.progress import warn

BOARD_SECONDS = 30.0


@contextlib.contextmanager
def going_on(what: str) -> Iterator[None]:
    """Where the block could not write something, says so in one line and goes on."""
    try:
        yield
    except (UserError, OSError) as error:
        # What to do about it concerns only commands that end here.
        reason = marked(error).splitlines()[0].split(";")[0].rstrip(".")
        warn(f"{what} could not be written ({reason}); training goes on.")


class Journal:
    """Appends rows of metrics. What cannot be written is kept and tried again with the next row.

    begin: the total step after which TensorBoard drops what an earlier process wrote.
    """

    def __init__(self, folder: Path, begin: int):
        self._path, self._folder = folder / "metrics.jsonl", folder / "tensorboard"
        self._begin, self._failing = begin, False
        self._unwritten: list[str] = []
        self._board: Any = None
        self._flushed = time.monotonic()

    def write(self, row: dict[str, Any], scalars: dict[str, float]) -> None:
        self._unwritten.append(json.dumps(row) + "\n")
        try:
            self._append("".join(self._unwritten))
            self._unwritten = []
            self._scalars(scalars, row["total_step"])
            self._failing = False
        except OSError as error:
            if not self._failing:
                warn(f"{self._path} cannot be written ({error}); training goes on and tries again.")
            self._failing = True

    def _append(self, text: str) -> None:
        """All of the text or nothing."""
        with open(self._path, "ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            data = text.encode()
            try:
                while data:
                    data = data[file.write(data) :]
            except OSError:
                file.truncate(size)
                raise

    def _scalars(self, scalars: dict[str, float], step: int) -> None:
        # Not SummaryWriter: a full disk ends its thread, and then adding a value waits for ever.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.summary import scalar

        if self._board is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            suffix = f".{os.getpid()}.{self._begin}"
            self._board = EventsWriter(str(self._folder / "events"), filename_suffix=suffix)
            start = SessionLog(status=SessionLog.START)
            begin = Event(wall_time=time.time(), step=self._begin, session_log=start)
            self._board.write_event(begin)
        for name, value in scalars.items():
            if math.isfinite(value):
                summary = scalar(name, value)
                self._board.write_event(Event(wall_time=time.time(), step=step, summary=summary))
        if time.monotonic() - self._flushed >= BOARD_SECONDS:
            self._flushed = time.monotonic()
            self._board.flush()

    def close(self) -> None:
        """Tries for the last time to write the rows that are left."""
        with going_on(str(self._path)):
            if self._unwritten:
                self._append("".join(self._unwritten))
        with going_on(str(self._folder)):
            if self._board is not None:
                self._board.close()
