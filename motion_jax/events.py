"""What work tells whoever watches it, and how it is asked to stop. Knows no terminal and no page.

    stop = StopToken()
    train(config, data, run, observer=show, stop=stop)    # and elsewhere: stop.stop("the button")

An observer is one callable that is given every event, in order and one at a time, by the thread
that works (or one of its threads): it should return quickly, and what it raises ends the work.
Every event says which share of the whole is done; it never falls. A verb that calls another one
(`compare` trains) hands its own observer and token on, and the inner verb's shares become a part of
the outer one's.

Without an observer a call is silent, but for the logger "motion_jax" of Python's logging, which
gets what is said at the level INFO and warnings at WARNING (those reach stderr unless configured).
"""

import contextlib
import contextvars
import dataclasses
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from motion_jax.errors import plain, worded


@dataclass(frozen=True)
class Event:
    """share: how much of the whole is done, 0 to 1; filled in when the event is emitted."""

    share: float = field(default=0.0, kw_only=True)


@dataclass(frozen=True)
class StageBegun(Event):
    """A stage of the recipe in training; in other verbs "poses", "frames" and the like."""

    name: str


@dataclass(frozen=True)
class StageEnded(Event):
    """Also where the stage was stopped or failed."""

    name: str


@dataclass(frozen=True)
class Step(Event):
    """A training step's figures, as logged: one log interval after the step was run.

    Attributes:
      stage: its name; step: number in the stage, from 1; steps: of the stage.
      images: pictures seen in all; images_per_second: since the step logged before.
      input_wait: share of that time spent waiting for data, 0 to 1.
      seconds_left: of the stage; None before the time of a step is known.
      metrics: losses by name.
      total_step: number over all stages, by which samples are named; 0: not told.
    """

    stage: str
    step: int
    steps: int
    images: int
    images_per_second: float
    input_wait: float
    learning_rate: float
    seconds_left: float | None
    metrics: Mapping[str, float]
    total_step: int = 0


@dataclass(frozen=True)
class Progress(Event):
    """Units of one task that are done.

    Attributes:
      task: a number that tells tasks apart; description: what it is.
      done: units; total: how many there will be, None where nobody knows.
      state: "begun" and "ended" come once for each task.
    """

    task: int
    description: str
    done: int
    total: int | None
    state: Literal["begun", "going", "ended"]


@dataclass(frozen=True)
class Expected(Event):
    """How long the whole takes from here, where that is planned and not only seen from its shares.

    seconds: estimated.
    """

    seconds: float


@dataclass(frozen=True)
class PictureMade(Event):
    """A picture that somebody may want to see.

    Attributes:
      what: "sample" (of a training, several moments in one picture) or "frame" (of a film).
      number: total steps trained, or the frame's number from 0.
      picture: gives it, uint8 [H, W, 3]; to be called at once or never; nobody may change it.
    """

    what: Literal["sample", "frame"]
    number: int
    picture: Callable[[], Any]


@dataclass(frozen=True)
class FileWritten(Event):
    """A result, whole: a sample, a page, a film, a dataset's description."""

    path: Path


@dataclass(frozen=True)
class Said(Event):
    """A line for people. marked: with marks where options are named (see errors.py)."""

    marked: str

    @property
    def message(self) -> str:
        """The line, options named as fields."""
        return plain(self.marked)


@dataclass(frozen=True)
class Warned(Said):
    """A line about something that went wrong and does not end the work."""


@dataclass(frozen=True)
class Stoppable(Event):
    """From now on a stop is answered by saving first (training). processes: how many train
    together (jax itself takes SIGTERM where there are several); 0: this holds no longer."""

    processes: int


@dataclass(frozen=True)
class Ending(Event):
    """This process ends right after this, with `status`, since one of several that train together
    failed. marked: why, as in Said. Comes from any of its threads."""

    marked: str
    status: int


@dataclass(frozen=True)
class Done(Event):
    """The verb is done; result: what it made (a folder or a file)."""

    verb: str
    result: Path


class Observer(Protocol):
    def __call__(self, event: Event, /) -> None: ...


class Stopped(Exception):
    """The work was asked to stop, and did; nothing half-made is left that looks whole.

    reason: who asked.
    """

    def __init__(self, message: str = "Stopped.", reason: str = ""):
        super().__init__(message, reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.args[0]


class Interrupted(Stopped):
    """Of training: everything is saved, and the same call goes on from there.

    together: all processes of the job end with it, at the same step.
    """

    together = True


class StopToken:
    """Asks work to stop, from any thread. A request cannot be taken back."""

    def __init__(self) -> None:
        # No lock: a signal's handler may set it in the middle of anything.
        self._reason: str | None = None

    def stop(self, reason: str = "a request") -> None:
        """reason: who asks, as in "Stopped by ..."; the first one counts."""
        if self._reason is None:
            self._reason = reason

    @property
    def asked(self) -> bool:
        return self._reason is not None

    @property
    def reason(self) -> str:
        """Who asked first; empty where nobody did."""
        return self._reason or ""


class _Whole:
    """One watched call."""

    def __init__(self, observer: Observer | None, stop: StopToken):
        self.observer, self.stop = observer, stop
        self.lock = threading.RLock()
        self.reached, self.muted = 0.0, False


@dataclass(frozen=True)
class Part:
    """A part of a watched call: from `begin` to `end` of the whole."""

    _whole: _Whole
    begin: float = 0.0
    end: float = 1.0

    @property
    def observer(self) -> Observer:
        """Where events go; without one, the logger."""
        return self._whole.observer or _log

    def rest(self) -> "Part":
        """What is left of this part."""
        return dataclasses.replace(self, begin=min(max(self.begin, self._whole.reached), self.end))

    def emit(self, event: Event, at: float | None = None) -> None:
        """To the observer. at: how much of this part is done now, 0 to 1."""
        whole = self._whole
        # A process that ends waits for no observer.
        locked = whole.lock.acquire(timeout=1.0 if isinstance(event, Ending) else -1)
        try:
            if at is not None:
                reached = self.begin + min(max(at, 0.0), 1.0) * (self.end - self.begin)
                whole.reached = max(whole.reached, reached)
            if whole.observer is None:
                _log(event)
            elif not whole.muted or isinstance(event, Stoppable | Ending):
                whole.observer(dataclasses.replace(event, share=whole.reached))
        finally:
            if locked:
                whole.lock.release()

    def check(self) -> None:
        """Raises Stopped where a stop was asked for. Work calls it wherever it may end early."""
        if self._whole.stop.asked:
            reason = self._whole.stop.reason
            raise Stopped(f"Stopped by {reason}.", reason)


_now: contextvars.ContextVar[Part | None] = contextvars.ContextVar("watched", default=None)
_log_of = logging.getLogger("motion_jax")


def _log(event: Event) -> None:
    if isinstance(event, Said):
        _log_of.log(logging.WARNING if isinstance(event, Warned) else logging.INFO, event.message)
    elif isinstance(event, Ending):
        _log_of.error(plain(event.marked))


def now() -> Part:
    """The part of a watched call that this thread works on."""
    return _now.get() or Part(_Whole(None, StopToken()))


def emit(event: Event, at: float | None = None) -> None:
    """To the observer of the call that this thread works for. at: see Part.emit."""
    now().emit(event, at)


def check() -> None:
    """See Part.check."""
    now().check()


def stop_token() -> StopToken:
    """What stops the call that this thread works for."""
    return now()._whole.stop


def mute() -> None:
    """From now on the observer of this call hears of nothing but Stoppable and Ending: another
    process of the job tells the rest."""
    now()._whole.muted = True


@contextlib.contextmanager
def watched(observer: Observer | None = None, stop: StopToken | None = None) -> Iterator[None]:
    """What the block does is told to the observer and stopped by the token.

    Where one of them is None, the caller's counts. A new observer gets shares of this block alone.
    """
    outer = _now.get()
    if outer is not None and observer is None and stop is None:
        yield
        return
    if outer is None:
        part = Part(_Whole(observer, stop or StopToken()))
    else:
        whole = _Whole(observer or outer._whole.observer, stop or outer._whole.stop)
        whole.muted = observer is None and outer._whole.muted
        part = Part(whole) if observer else Part(whole, outer.begin, outer.end)
    token = _now.set(part)
    try:
        yield
    finally:
        _now.reset(token)


@contextlib.contextmanager
def part(begin: float, end: float) -> Iterator[None]:
    """The block does the work from `begin` to `end` of what is to be done here (both 0 to 1)."""
    here = now()
    width = here.end - here.begin
    inner = dataclasses.replace(
        here, begin=here.begin + begin * width, end=here.begin + end * width
    )
    token = _now.set(inner)
    try:
        yield
    finally:
        _now.reset(token)


@contextlib.contextmanager
def stage(name: str, begin: float = 0.0, end: float = 1.0) -> Iterator[None]:
    """A `part` that has a name."""
    with part(begin, end):
        emit(StageBegun(name), at=0.0)
        done = None
        try:
            yield
            done = 1.0
        finally:
            emit(StageEnded(name), at=done)


def inherit() -> Callable[[], None]:
    """For a new thread to call first: what it does then belongs to the call that this thread works
    for, and has its context variables. `ThreadPoolExecutor(initializer=inherit())`."""
    values = list(contextvars.copy_context().items())

    def begin() -> None:
        for variable, value in values:
            variable.set(value)

    return begin


def lines(write: Callable[[str], Any]) -> Observer:
    """An observer for a small program: writes what is said, line by line, and nothing else."""

    def observe(event: Event) -> None:
        if isinstance(event, Said):
            write(worded(event.marked) + "\n")

    return observe
