"""Interlaced films: two fields in each frame, half a frame apart, woven like a comb.

FFmpeg's bwdif makes a whole picture of each frame's first field, with the neighbouring fields'
help. As many frames come out as go in, and frames that are not interlaced stay as they are.

Frames or their container may say that they are interlaced. Where neither does, what moves shows it
(`combed_fields`).
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Int16

from motion_jax.video.pyav import av

# Decoders of these say of each frame whether it is interlaced; of others the container may know.
_FLAGGED = ("h264", "hevc", "mpeg2video", "mpeg1video", "vc1", "dvvideo", "prores", "mjpeg")
# AVFieldOrder: which field is shown first where the container says that there are two.
_TOP_FIRST, _BOTTOM_FIRST = (2, 5), (3, 4)

# Neighbouring frames that are looked at in one place of a film for combs.
RUN = 6
# Of each frame so many columns are looked at, which is enough to see what moves.
_COLUMNS = 320
# Grey levels by which a moving pixel differs at least from the frame before, and a line of a comb
# from both of its neighbours.
_MOVES, _TOOTH = 12, 6
# The share of the picture that moves at least in a frame that counts.
_LEAST_MOTION = 0.002
# The fields that fit badly make more combs than the others by this factor, and the frame itself has
# at least this share of theirs: without combs of its own it is progressive, whatever moves how.
_MORE, _OWN = 1.3, 0.1
# Frames that count at least, and the share of them that have combs. Telecined film, which is left
# as it is, has them in two of five frames.
_LEAST_FRAMES, _SHARE = 5, 0.7
# So many frames that are all alike are enough.
_ENOUGH = 10

Timed = tuple[float, av.VideoFrame]


def fields_of(stream: av.VideoStream) -> str | None:
    """ "tff" or "bff" where only the container says that a film is interlaced, else None."""
    context = stream.codec_context
    order = int(getattr(context, "field_order", 0) or 0)
    if context.name in _FLAGGED:
        return None
    return "tff" if order in _TOP_FIRST else "bff" if order in _BOTTOM_FIRST else None


def combed_fields(runs: Iterable[Sequence[av.VideoFrame]]) -> str | None:
    """ "tff" or "bff" where the pictures of a film are interlaced though they do not say so.

    In an interlaced film the top field of a frame fits its own bottom field as well as that of the
    neighbouring frame which is nearer in time, and badly that of the other. In a progressive film
    the fields of two frames fit equally badly whichever is taken of which, and those of one frame
    fit best. So stripes, which look like combs, are told from them. Only what moves counts.

    Args:
      runs: of neighbouring frames, from several places of the film.
    """
    votes: Counter[str] = Counter()
    for run in runs:
        greys = [_grey(frame) for frame in run if not frame.interlaced_frame]
        votes.update(filter(None, map(_fields_by_motion, greys, greys[1:])))
        if votes.total() >= _ENOUGH and len(votes) == 1:
            break
    for fields in ("tff", "bff"):
        if votes[fields] >= max(_LEAST_FRAMES, _SHARE * votes.total()):
            return fields
    return None


def _grey(frame: av.VideoFrame) -> Int16[np.ndarray, "h w"]:
    grey = frame.to_ndarray(format="gray")
    return grey[:, :: -(-grey.shape[1] // _COLUMNS)].astype(np.int16)


def _fields_by_motion(
    before: Int16[np.ndarray, "h w"], now: Int16[np.ndarray, "_ _"]
) -> str | None:
    """ "tff", "bff" or "progressive" by the grey values of two neighbouring frames; None where too
    little moves, or their sizes differ."""
    if before.shape != now.shape or len(now) < 4:
        return None
    moves = np.abs(now - before) > _MOVES
    moves = moves[1:-1] | moves[:-2] | moves[2:]
    if moves.mean() < _LEAST_MOTION:
        return None
    new_top, new_bottom = before.copy(), before.copy()
    new_top[::2], new_bottom[1::2] = now[::2], now[1::2]
    own, top, bottom = (_combs(grey, moves) for grey in (now, new_top, new_bottom))
    worst = max(top, bottom)
    if own <= _OWN * worst or worst <= _MORE * max(own, min(top, bottom)):
        return "progressive"
    return "tff" if bottom == worst else "bff"


def _combs(grey: Int16[np.ndarray, "h w"], where: Bool[np.ndarray, "h-2 w"]) -> int:
    """How much lines differ from both of their neighbours in the same direction, added up."""
    above, below = grey[1:-1] - grey[:-2], grey[1:-1] - grey[2:]
    teeth = np.maximum(np.minimum(above, below), np.minimum(-above, -below))
    return int(np.maximum(teeth - _TOOTH, 0)[where].sum(dtype=np.int64))


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
