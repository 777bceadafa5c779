"""The terminal as an observer: bars and live lines where stderr is a terminal, a line every few
seconds elsewhere. stdout is kept for results (`--json`)."""

import sys
import time
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.text import Text

from motion_jax.errors import worded
from motion_jax.events import Ending, Event, Progress, Said, StageBegun, StageEnded, Step

# Between lines of a task, and of training, where the output is not a terminal.
LINE_EVERY_SECONDS = 5.0
STEP_EVERY_SECONDS = 10.0
# A task that took less has no meaningful rate.
LEAST_SECONDS = 1.0


@dataclass
class _Task:
    """A task under way: since when, when its last line was said and how much was done then, when
    something was done first and how much, its bar on a terminal."""

    started: float
    said: float
    said_done: int = 0
    first: tuple[float, int] | None = None
    bar: Bar | None = None
    id: TaskID = TaskID(0)


@dataclass
class Terminal:
    """Shows events on stderr. A callable, as events.Observer."""

    console: Console = field(
        default_factory=lambda: Console(stderr=True, highlight=False, soft_wrap=True)
    )
    _tasks: dict[int, _Task] = field(default_factory=dict)
    _live: Live | None = None
    _stepped: float = 0.0

    def __call__(self, event: Event, /) -> None:
        match event:
            case Said():
                self._say(worded(event.marked))
            case Progress():
                self._progress(event)
            case Step():
                self._step(event)
            case StageBegun():
                self._stepped = time.monotonic()
            case StageEnded():
                if self._live:
                    self._live.stop()
                    self._live = None
            case Ending():
                # Nothing else tidies up after this.
                self.console.show_cursor(True)
                message = worded(event.marked)
                print(f"motion-jax: error: {message}", file=sys.stderr, flush=True)

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False)

    def _progress(self, event: Progress) -> None:
        if event.state == "begun":
            self._tasks[event.task] = self._begin(event)
            return
        task = self._tasks[event.task]
        if event.done and task.first is None:
            task.first = time.monotonic(), event.done
        if event.state == "ended":
            del self._tasks[event.task]
            if task.bar:
                task.bar.stop()
            elif event.done != task.said_done and time.monotonic() - task.started >= LEAST_SECONDS:
                self._say(_line(event, task.started, 0))
        elif task.bar:
            task.bar.update(task.id, completed=event.done)
        elif (
            task.first
            and event.done != task.said_done
            and time.monotonic() - task.said >= LINE_EVERY_SECONDS
        ):
            task.said, task.said_done = time.monotonic(), event.done
            self._say(_line(event, *task.first))

    def _begin(self, event: Progress) -> _Task:
        task = _Task(time.monotonic(), time.monotonic())
        if self.console.is_terminal:
            task.bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self.console,
            )
            task.bar.start()
            task.id = task.bar.add_task(event.description, total=event.total)
        else:
            self._say(f"{event.description} …")
        return task

    def _step(self, event: Step) -> None:
        left = "…" if event.seconds_left is None else _clock(event.seconds_left)
        losses = "  ".join(f"{name} {value:.3g}" for name, value in event.metrics.items())
        line = (
            f"{event.stage} {event.step}/{event.steps}  {event.images} images  "
            f"{event.images_per_second:.1f} images/s  "
            f"input wait {100 * event.input_wait:.0f} %  "
            f"lr {event.learning_rate:.2g}  left {left}  {losses}"
        )
        if self.console.is_terminal:
            if self._live is None:
                self._live = Live(console=self.console, refresh_per_second=4)
                self._live.start()
            self._live.update(Text(line))
            return
        now = time.monotonic()
        due = now - self._stepped >= STEP_EVERY_SECONDS
        if due or event.seconds_left is None or event.step == event.steps:
            self._stepped = now
            self._say(line)


def _line(event: Progress, since: float, before: int) -> str:
    """How far a task is; rate and time left are those since a moment when `before` was done: what
    came first waited for compilation and for files, too."""
    seconds, moved = time.monotonic() - since, event.done - before
    rate = moved / seconds if seconds > 0 else 0.0
    parts = [f"{event.description}: {event.done}"]
    if event.total:
        parts = [f"{parts[0]}/{event.total} ({100 * event.done / event.total:.0f} %)"]
    if rate > 0:
        parts.append(f"{rate:.1f}/s" if rate >= 0.1 else f"{60 * rate:.1f} a minute")
        if event.total and event.total > event.done:
            parts.append(f"{_rough((event.total - event.done) / rate)} left")
    return ", ".join(parts)


def _rough(seconds: float) -> str:
    """In the largest unit that tells enough."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
