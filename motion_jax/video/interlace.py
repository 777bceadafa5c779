"""Interlaced films: two fields in each frame, half a frame apart, woven like a comb.

FFmpeg's bwdif makes a whole picture of each frame's first field, with the neighbouring fields'
help. As many frames come out as go in, and frames that are not interlaced stay as they are.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import av.filter

# Decoders of these say of each frame whether it is interlaced; of others the container may know.
_FLAGGED = ("h264", "hevc", "mpeg2video", "mpeg1video", "vc1", "dvvideo", "prores", "mjpeg")
# AVFieldOrder: which field is shown first where the container says that there are two.
_TOP_FIRST, _BOTTOM_FIRST = (2, 5), (3, 4)

Timed = tuple[float, av.VideoFrame]


def fields_of(stream: av.VideoStream) -> str | None:
    """ "tff" or "bff" where only the container says that a film is interlaced, else None."""
    context = stream.codec_context
    order = int(getattr(context, "field_order", 0) or 0)
    if context.name in _FLAGGED:
        return None
    return "tff" if order in _TOP_FIRST else "bff" if order in _BOTTOM_FIRST else None


def deinterlaced(frames: Iterable[Timed], fields: str | None = None) -> Iterator[Timed]:
    """The same (time, frame) with interlaced frames made whole.

    Args:
      fields: of `fields_of`: all frames are interlaced, whatever they say.
    """
    filtering: _Filter | None = None
    before: Timed | None = None
    for time, frame in frames:
        if filtering and not filtering.takes(frame):
            yield from filtering.rest()
            filtering, before = None, None
        if filtering is None and (fields or frame.interlaced_frame):
            filtering = _Filter(frame, fields)
            if before is not None:
                # It is no picture any more, but the filter looks at the frame before.
                filtering.push(None, before[1])
        if filtering is None:
            yield time, frame
            before = time, frame
            continue
        filtering.push(time, frame)
        yield from filtering.ready()
    if filtering:
        yield from filtering.rest()


class _Filter:
    """FFmpeg's graph for frames of one size and format."""

    def __init__(self, frame: av.VideoFrame, fields: str | None):
        self._kind = (frame.width, frame.height, frame.format.name)
        self._waiting: deque[tuple[float | None, av.VideoFrame]] = deque()
        self._graph = av.filter.Graph()
        self._number = 0
        source = self._graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=Fraction(1, 25),
        )
        which = f"deint=all:parity={fields}" if fields else "deint=interlaced:parity=auto"
        bwdif = self._graph.add("bwdif", f"mode=send_frame:{which}")
        back = self._graph.add("format", f"pix_fmts={frame.format.name}")
        sink = self._graph.add("buffersink")
        source.link_to(bwdif)
        bwdif.link_to(back)
        back.link_to(sink)
        self._graph.configure()

    def takes(self, frame: av.VideoFrame) -> bool:
        return self._kind == (frame.width, frame.height, frame.format.name)

    def push(self, time: float | None, frame: av.VideoFrame) -> None:
        self._waiting.append((time, frame))
        # The filter wants times in order; the true ones are kept here.
        frame.pts = self._number
        self._number += 1
        self._graph.push(frame)

    def rest(self) -> Iterator[Timed]:
        self._graph.push(None)
        yield from self.ready()

    def ready(self) -> Iterator[Timed]:
        while self._waiting:
            try:
                made = self._graph.pull()
            except (BlockingIOError, EOFError):
                return
            assert isinstance(made, av.VideoFrame)  # As what was pushed.
            time, given = self._waiting.popleft()
            made.colorspace, made.color_range = given.colorspace, given.color_range
            made.color_primaries, made.color_trc = given.color_primaries, given.color_trc
            if time is not None:
                yield time, made
