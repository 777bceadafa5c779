"""One moment in, one picture out, whatever makes the pictures: a trained run, a dataset's frames.

A player is resident: what it needs is loaded and compiled once, and `reset` comes between videos.

While the source's person is lost no picture can be made. `gaps` says what is shown then: "hold"
keeps the last picture (before the first pose: the first picture to come); "fade" fades within
FADE_SECONDS to a plain picture in the mean colour of the picture before, and back shortly before
the next. After a gap the maker is reset as at the beginning of a video, because the picture before
belongs to another pose.
"""

import copy
import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from jaxtyping import UInt8

from motion_jax.train.run import Run
from motion_jax.transfer.source import Moment

FADE_SECONDS = 0.5
Gaps = Literal["hold", "fade"]

T = TypeVar("T")
# A moment and the picture made of it, uint8 [H, W, 3].
Shot = tuple[Moment, np.ndarray]


class Maker(Protocol):
    """What makes pictures of moments, one after another."""

    def begin(self, moments: Sequence[Moment]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """Starts the next moments, all of which show the person → their pictures, as they become
        ready; goes on from the moments before."""

    def reset(self) -> None:
        """Forgets the moments before."""


class Networks:
    """The networks of a trained run.

    Args:
      recurrent, face: see `Run.synthesizer`.
      chunk: moments in one call of the compiled program.
      before: whether a run with a plate lays the person before it, or before what moments have as
        "plates"; without, pictures are uint8 [H, W, 4], the last channel the alpha.
      settings: further ones of Synthesizer.
    """

    def __init__(
        self,
        run: Run,
        recurrent: bool = True,
        face: bool = True,
        chunk: int = 16,
        before: bool = True,
        **settings: Any,
    ):
        self._seen = (
            run.seen if before else lambda moments: run.config.recipe.seen(run.told(moments))
        )
        self._synthesizer = run.synthesizer(recurrent=recurrent, face=face, chunk=chunk, **settings)

    def another(self) -> "Networks":
        """One with a previous picture of its own; programs and parameters are shared."""
        other = copy.copy(self)
        other._synthesizer = self._synthesizer.another()
        return other

    def go_on_from(self, other: "Networks") -> None:
        """The next picture comes after the other's last one: see Synthesizer."""
        self._synthesizer.go_on_from(other._synthesizer)

    def reset(self) -> None:
        """Forgets the previous picture."""
        self._synthesizer.reset()

    def begin(self, moments: Sequence[Moment]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """See `Maker`."""
        known = [moment.shown for moment in moments if moment.shown is not None]
        shown = {name: np.stack([each[name] for each in known]) for name in known[0]}
        return self._synthesizer.begin(self._seen(shown))


class Player:
    """Plays moments.

    Args:
      maker: makes the pictures.
      chunk: how many moments of a source with an end it is given at once.
      gaps: see above.
    """

    def __init__(self, maker: Maker, chunk: int = 16, gaps: Gaps = "hold"):
        self._maker, self._chunk, self._gaps = maker, chunk, gaps
        self.reset()

    def reset(self) -> None:
        """Another video begins."""
        self._last: tuple[float, np.ndarray] | None = None
        self._after_gap = True

    def play(self, moments: Iterable[Moment]) -> Iterator[Shot]:
        """Each moment of a source with an end, in order, with its picture.

        Each chunk is begun before the pictures of the one before it are waited for. Raises
        ValueError where no moment shows the person.
        """
        self.reset()
        for gap, chunk, pictures in _one_ahead(self._begun(moments)):
            shots = zip(chunk, pictures, strict=True)
            first = next(shots, None)
            yield from self._filled(gap, None if first is None else (first[0].time, first[1]))
            for moment, picture in itertools.chain([first] if first else (), shots):
                self._last = (moment.time, picture)
                yield moment, picture

    def next(self, moment: Moment) -> UInt8[np.ndarray, "h w 3"] | None:
        """The picture of the next moment of a live source; None before the first that shows the
        person."""
        if moment.shown is None:
            self._after_gap = True
            if self._last is None:
                return None
            return self._last[1] if self._gaps == "hold" else _faded(moment.time, self._last, None)
        if self._after_gap:
            self._maker.reset()
            self._after_gap = False
        picture = next(iter(self._maker.begin([moment])))
        self._last = (moment.time, picture)
        return picture

    def _begun(
        self, moments: Iterable[Moment]
    ) -> Iterator[tuple[list[Moment], list[Moment], Iterator[np.ndarray]]]:
        """(the gap before a chunk, the chunk, its pictures), each chunk begun when it is taken."""
        gap: list[Moment] = []
        for lost, stretch in itertools.groupby(moments, lambda moment: moment.shown is None):
            if lost:
                gap = list(stretch)
                continue
            self._maker.reset()
            while chunk := list(itertools.islice(stretch, self._chunk)):
                yield gap, chunk, self._maker.begin(chunk)
                gap = []
        if gap:
            yield gap, [], iter(())

    def _filled(self, gap: list[Moment], after: tuple[float, np.ndarray] | None) -> Iterator[Shot]:
        before = self._last
        if gap and before is None and after is None:
            raise ValueError("no moment shows the person")
        for moment in gap:
            if self._gaps == "hold":
                held = before or after
                assert held is not None, "raised above"
                yield moment, held[1]
            else:
                yield moment, _faded(moment.time, before, after)


def _one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The items, each after the next has been taken from the iterator."""
    waiting = deque(itertools.islice(items, 1))
    while waiting:
        waiting.extend(itertools.islice(items, 1))
        yield waiting.popleft()


def _faded(
    time: float,
    before: tuple[float, np.ndarray] | None,
    after: tuple[float, np.ndarray] | None,
) -> np.ndarray:
    """The picture at `time` in a gap between two pictures and their times."""
    nearest = before or after
    assert nearest is not None, "a gap is beside a picture"
    held = nearest[1]
    plain = np.broadcast_to(held.mean((0, 1), dtype=np.float32), held.shape)
    out = 0.0 if before is None else max(0.0, 1 - (time - before[0]) / FADE_SECONDS)
    back = 0.0 if after is None else max(0.0, 1 - (after[0] - time) / FADE_SECONDS)
    whole = max(1.0, out + back)
    picture = plain * (1 - (out + back) / whole)
    if before is not None and out:
        picture = picture + before[1] * np.float32(out / whole)
    if after is not None and back:
        picture = picture + after[1] * np.float32(back / whole)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
