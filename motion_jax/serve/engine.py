"""One thread makes all pictures: requests wait for it in turn, streams with their newest frame."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from motion_jax.serve.pictures import Refused
from motion_jax.transfer.player import Player
from motion_jax.transfer.resident import Resident, Seen, cut
from motion_jax.transfer.source import Moment

# Seconds that a client is told to wait where the queue is full.
RETRY = 1
# Streams at once.
MOST_STREAMS = 64


@dataclass
class _Request:
    """One picture that somebody waits for."""

    resident: Resident
    seen: Seen
    future: "Future[np.ndarray]"
    arrived: float


@dataclass(eq=False)
class Stream:
    """Frames of one client, each picture made after the one before it; only the newest waits.

    Attributes:
      dropped: frames that a newer one took the place of.
    """

    resident: Resident
    player: Player
    done: Callable[[Any, np.ndarray | None], None]
    dropped: int = 0
    waiting: tuple[Any, float, Seen | None] | None = None


@dataclass
class Engine:
    """Makes pictures, one after another or `batch` at a time, in a thread of its own.

    Args:
      batch: requests made together; limit: requests that may wait.

    Attributes:
      busy: seconds spent making pictures; made: pictures; dropped: frames of streams passed over;
        refused: requests for which there was no room.
    """

    batch: int = 4
    limit: int = 16
    busy: float = 0.0
    made: int = 0
    dropped: int = 0
    refused: int = 0
    _requests: deque[_Request] = field(default_factory=deque)
    _streams: list[Stream] = field(default_factory=list)
    _ready: deque[Stream] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._ends = False
        self._thread = threading.Thread(target=self._run, name="pictures", daemon=True)

    def __enter__(self) -> "Engine":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._ends = True
            self._changed.notify()
        self._thread.join()
        for request in self._requests:
            request.future.cancel()

    @property
    def depth(self) -> int:
        """Requests that wait."""
        return len(self._requests)

    @property
    def streams(self) -> int:
        """Streams that are open."""
        return len(self._streams)

    def submit(self, resident: Resident, seen: Seen) -> "Future[np.ndarray]":
        """A picture that stands alone, uint8 [h, w, 3 or 4]. Raises Refused (503) where no further
        request may wait."""
        with self._changed:
            self._check_open(len(self._requests) >= self.limit)
            request = _Request(resident, seen, Future(), time.monotonic())
            self._requests.append(request)
            self._changed.notify()
        return request.future

    def open(self, resident: Resident, done: Callable[[Any, np.ndarray | None], None]) -> Stream:
        """A new stream; done: is told each mark that was given to `put` and the picture (None
        where nobody was seen yet), by the engine's thread. Raises Refused (503)."""
        stream = Stream(resident, resident.player(), done)
        with self._changed:
            self._check_open(len(self._streams) >= MOST_STREAMS)
            self._streams.append(stream)
        return stream

    def put(self, stream: Stream, mark: Any, time: float, seen: Seen | None) -> None:
        """A frame of the stream; takes the place of one that still waits.

        mark: comes back with the picture; time: seconds of the stream, increasing; seen: None where
        nobody is.
        """
        with self._changed:
            if stream.waiting is None:
                self._ready.append(stream)
            else:
                stream.dropped += 1
                self.dropped += 1
            stream.waiting = mark, time, seen
            self._changed.notify()

    def close(self, stream: Stream) -> None:
        """The stream ends; what still waits of it is forgotten."""
        with self._changed:
            stream.waiting = None
            self._streams = [one for one in self._streams if one is not stream]
            self._ready = deque(one for one in self._ready if one is not stream)

    def _check_open(self, full: bool) -> None:
        if full or self._ends:
            self.refused += 1
            raise Refused("The server is busy; ask again in a second.", 503, RETRY)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ends or self._requests or self._ready)
                if self._ends:
                    return
                requests = self._next_requests()
                stream = self._ready.popleft() if self._ready else None
                frame = None
                if stream is not None:
                    frame, stream.waiting = stream.waiting, None
            if requests:
                self._answer(requests)
            if stream is not None and frame is not None:
                self._advance(stream, *frame)

    def _next_requests(self) -> list[_Request]:
        """The first that waits, and those after it that can be made with it."""
        taken: list[_Request] = []
        while self._requests and len(taken) < self.batch:
            after = self._requests[0]
            if not after.future.set_running_or_notify_cancel():
                self._requests.popleft()  # Whoever asked has gone.
                continue
            taken.append(self._requests.popleft())
            if not (self._requests and _alike(taken[0], self._requests[0])):
                break
        return taken

    def _answer(self, requests: list[_Request]) -> None:
        begun = time.monotonic()
        try:
            pictures = requests[0].resident.alone([request.seen for request in requests])
        except BaseException as error:  # Whatever it is, somebody waits for it.
            for request in requests:
                request.future.set_exception(error)
            return
        finally:
            self.busy += time.monotonic() - begun
        self.made += len(pictures)
        for request, picture in zip(requests, pictures, strict=True):
            request.future.set_result(picture)

    def _advance(self, stream: Stream, mark: Any, at: float, seen: Seen | None) -> None:
        begun = time.monotonic()
        picture = stream.player.next(Moment(at, None if seen is None else seen.shown))
        if picture is not None and seen is not None:
            picture = cut(picture, seen)
        self.busy += time.monotonic() - begun
        self.made += 1
        stream.done(mark, picture)


def _alike(a: _Request, b: _Request) -> bool:
    """Whether one call of a program makes both."""
    return a.resident is b.resident and list(a.seen.shown) == list(b.seen.shown)
