"""Writing a video in a thread, while the caller makes the next pictures."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from jaxtyping import UInt8

# Pictures that may wait for the encoder: 50 MB at 1024x512.
AHEAD = 32


class Writer(Protocol):
    """What takes the pictures of a film: a `VideoWriter`, or a `PictureFolder`."""

    def __enter__(self) -> Any: ...

    def write(self, image: UInt8[np.ndarray, "h w c"], time: float) -> None: ...

    def __exit__(self, *error: Any) -> bool | None: ...


class BackgroundWriter:
    """A `Writer` whose `write` returns at once; a context manager like it.

    FFmpeg lets other threads run while it converts and encodes. At most `ahead` pictures wait; then
    `write` waits too. An error of the encoder is raised by a later `write`, or when the block ends;
    in any case the file appears whole or not at all.
    """

    def __init__(self, writer: Writer, ahead: int = AHEAD):
        self._writer, self._ahead = writer, ahead
        self._waiting: deque[Future] = deque()

    def __enter__(self) -> "BackgroundWriter":
        self._writer.__enter__()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="video")
        return self

    def write(self, image: UInt8[np.ndarray, "h w c"], time: float) -> None:
        """As `VideoWriter.write`; the picture must not be changed afterwards."""
        while self._waiting and (len(self._waiting) >= self._ahead or self._waiting[0].done()):
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._writer.write, image, time))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        try:
            if error is None:
                while self._waiting:
                    self._waiting.popleft().result()
        except BaseException as late:
            self._finish(type(late), late, late.__traceback__)
            raise
        return self._finish(kind, error, trace)

    def _finish(self, *error: object) -> bool | None:
        # The encoder is not to be closed under a picture that is being written.
        self._thread.shutdown(wait=True, cancel_futures=True)
        return self._writer.__exit__(*error)
