"""Events as lines of JSON in a file, for programs that watch from outside (`motion-jax --events
FILE VERB ...`), and what such a file says by now.

A line has "event" (the class's name in events.py), "at" (seconds since 1970), "share" and the
event's other fields; of a line for people "message", its options worded as flags. Pictures are left
out: they come as files. The first line of a process is "Began", its last one "Ended" with the exit
status; a process that was killed has no last line.
"""

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from motion_jax.errors import UserError, worded
from motion_jax.events import (
    Done,
    Ending,
    Event,
    Expected,
    FileWritten,
    Observer,
    PictureMade,
    Progress,
    Said,
    StageBegun,
    Step,
    Stoppable,
)
from motion_jax.interrupt import Terminated

# Seconds between lines of one task's progress.
EVERY = 0.25
# Of an events file, what a summary keeps.
LINES_KEPT = 200


class Recorder:
    """An observer that writes every event and passes it on.

    What cannot be written (a full disk) is left out: it must not end the work.

    Args:
      path: the file; lines are added to what is there.
      show: the observer behind.

    Raises UserError where the file cannot be opened.
    """

    def __init__(self, path: Path, show: Observer):
        self._path, self._show, self._told = path, show, dict[int, float]()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write("Began", {})
        except OSError as error:
            raise UserError(
                f"--events {path} cannot be written ({error.strerror}); name another file."
            ) from error

    def __call__(self, event: Event, /) -> None:
        if not self._skipped(event):
            self._line(type(event).__name__, _fields(event))
        self._show(event)

    def ended(self, status: int, message: str = "") -> None:
        """The last line. message: the error's sentence, where there was one."""
        self._line("Ended", {"status": status, "message": message})

    def _skipped(self, event: Event) -> bool:
        if isinstance(event, PictureMade):
            return True
        if not isinstance(event, Progress) or event.state != "going":
            return False
        now = time.monotonic()
        if now - self._told.get(event.task, 0.0) < EVERY:
            return True
        self._told[event.task] = now
        return False

    def _line(self, name: str, values: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._write(name, values)

    def _write(self, name: str, values: dict[str, Any]) -> None:
        line = json.dumps({"event": name, "at": round(time.time(), 3), **values})
        # In one piece, so that a reader sees whole lines.
        with open(self._path, "ab", buffering=0) as file:
            file.write(line.encode() + b"\n")


def _fields(event: Event) -> dict[str, Any]:
    if isinstance(event, Said | Ending):
        marked = event.marked
        return {"share": event.share, "message": worded(marked)}
    if isinstance(event, FileWritten | Done | Step | Progress):
        values = asdict(event)
        return {key: str(v) if isinstance(v, Path) else v for key, v in values.items()}
    return asdict(event)


@contextlib.contextmanager
def recorded(path: Path, show: Observer) -> Any:
    """Around a command: yields the Recorder; the file's last line says how the command ended."""
    recorder = Recorder(path, show)
    try:
        yield recorder
    except UserError as error:
        recorder.ended(2, worded(error.marked))
        raise
    except KeyboardInterrupt as error:
        recorder.ended(143 if isinstance(error, Terminated) else 130)
        raise
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        recorder.ended(status)
        raise
    except BaseException as error:
        recorder.ended(1, f"{type(error).__name__}: {error}")
        raise
    recorder.ended(0)


@dataclass
class Summary:
    """What an events file says by now, of the newest process that wrote it.

    Attributes:
      began, last: of that process, its first and its newest line, seconds since 1970; 0: none.
      share: how much is done, 0 to 1; first_share: of that process's first progress, at first_at.
      stage: its name; task: what is under way, with done and total (0: not known).
      expected: seconds that the whole was to take at `expected_at`, where it was planned; None.
      step: the last training step's figures, as events.Step; {} before.
      said: the last lines for people; files: what was written.
      stoppable: whether a stop is answered by saving.
      status: exit status; None: it has not ended; message: why it failed.
    """

    began: float = 0.0
    last: float = 0.0
    share: float = 0.0
    first_share: float = 0.0
    first_at: float = 0.0
    stage: str = ""
    task: str = ""
    done: int = 0
    total: int = 0
    expected: float | None = None
    expected_at: float = 0.0
    step: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    stoppable: bool = False
    status: int | None = None
    message: str = ""

    def seconds_left(self) -> float | None:
        """An estimate for the whole: what was planned, else from how fast the share grew; None
        before that is known, and where it takes longer than was planned."""
        if self.expected is not None:
            left = self.expected - (self.last - self.expected_at)
            return left if left > 1.0 else None
        grown, taken = self.share - self.first_share, self.last - self.first_at
        if not self.first_at or grown <= 0.002 or taken < 2.0 or self.share >= 1.0:
            return None
        return taken / grown * (1.0 - self.share)


class Follower:
    """Reads an events file as it grows; each call reads only what is new."""

    def __init__(self, path: Path):
        self._path, self._place, self.summary = path, 0, Summary()

    def read(self) -> Summary:
        try:
            with open(self._path, "rb") as file:
                file.seek(0, 2)
                if file.tell() < self._place:  # Another file under this name.
                    self._place, self.summary = 0, Summary()
                file.seek(self._place)
                data = file.read()
        except OSError:
            return self.summary
        whole, newline, _ = data.rpartition(b"\n")
        self._place += len(whole) + len(newline)
        for line in whole.splitlines():
            # A line that was cut off by a full disk says nothing.
            with contextlib.suppress(ValueError, TypeError):
                value = json.loads(line)
                if isinstance(value, dict):
                    self._take(value)
        return self.summary

    def _take(self, line: dict[str, Any]) -> None:
        name, now = line.get("event"), self.summary
        if name == "Began":
            # What earlier processes of this job said stays to be read.
            now = self.summary = Summary(began=line["at"], said=now.said, files=now.files)
        now.last = line.get("at", now.last)
        share = line.get("share")
        if isinstance(share, int | float) and share > now.share:
            now.share = share
            if not now.first_at:
                now.first_share, now.first_at = share, now.last
        take = _TAKES.get(str(name))
        if take is not None:
            take(now, line)


def _said(now: Summary, line: dict[str, Any]) -> None:
    now.said = [*now.said[-LINES_KEPT + 1 :], str(line["message"])]


def _progress(now: Summary, line: dict[str, Any]) -> None:
    now.task, now.done, now.total = line["description"], line["done"], line["total"] or 0


def _expected(now: Summary, line: dict[str, Any]) -> None:
    now.expected, now.expected_at = float(line["seconds"]), now.last


def _stepped(now: Summary, line: dict[str, Any]) -> None:
    now.step, now.stage = line, line["stage"]


def _begun(now: Summary, line: dict[str, Any]) -> None:
    # Its first step comes when its program is compiled.
    now.stage, now.step = line["name"], {}


def _written(now: Summary, line: dict[str, Any]) -> None:
    if line["path"] not in now.files:
        now.files = [*now.files[-LINES_KEPT + 1 :], line["path"]]


def _ended(now: Summary, line: dict[str, Any]) -> None:
    now.status, now.message = int(line["status"]), str(line.get("message", ""))


_TAKES: dict[str, Callable[[Summary, dict[str, Any]], None]] = {
    "Said": _said,
    "Warned": _said,
    Progress.__name__: _progress,
    Step.__name__: _stepped,
    Expected.__name__: _expected,
    StageBegun.__name__: _begun,
    FileWritten.__name__: _written,
    Stoppable.__name__: lambda now, line: setattr(now, "stoppable", bool(line["processes"])),
    "Ended": _ended,
}


def summary(path: Path) -> Summary:
    """Of a whole file."""
    return Follower(path).read()
