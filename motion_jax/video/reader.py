"""Frames of a video file, upright, in RGB, with the times at which they are shown.

Times are seconds from the start of the video track. Frames are picked by three numbers, all in
those seconds: `start` (inclusive), `end` (exclusive) and `fps`. Without `fps` every frame in
[start, end) is given with its own time, however irregular. With `fps` there is one frame for each
tick start + k / fps before `end`, namely the frame whose time is nearest to the tick, and the time
given is the tick; the last tick is at most half a frame after the last frame.

Pictures are of one size, that of the first frame, in SDR of BT.709 and deinterlaced, whatever the
film is; what had to be done for it is said once (`video.notes`).
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from motion_jax.errors import UserError, option
from motion_jax.video import stills, tracks
from motion_jax.video.damage import damaged
from motion_jax.video.film import SAME, Film, check_size, open_film
from motion_jax.video.interlace import Timed, deinterlaced
from motion_jax.video.notes import note
from motion_jax.video.pyav import av
from motion_jax.video.upright import Shown, rotation, shown_size, upright

T = TypeVar("T")


@dataclass(frozen=True)
class VideoInfo:
    """What a video's header says.

    Attributes:
      path: the file.
      width, height: pixels as shown (after rotation flags and non-square pixels).
      frames: number of frames by the header, 0 where it does not say; `frame_times` counts.
      duration: seconds, 0.0 where the header does not say.
      fps: average frames per second (the true times may be irregular).
      rotation: degrees clockwise by which stored frames are turned for showing: 0, 90, 180, 270.
      has_audio: whether there is a sound track.
    """

    path: Path
    width: int
    height: int
    frames: int
    duration: float
    fps: float
    rotation: int
    has_audio: bool


@dataclass(frozen=True)
class Frame:
    """One frame: its number among those given (0, 1, ...), its time in seconds from the start of
    the video, and the picture in RGB."""

    index: int
    time: float
    image: UInt8[np.ndarray, "h w 3"]


def probe(path: Path) -> VideoInfo:
    """Reads the header and the first frame.

    Raises UserError: no such file, not a video, sound only, no frame in it.
    """
    path = Path(path)
    if path.is_dir():
        rate = stills.known_rate(path, tracks.current().rate)
        count = len(stills.files_of(path))
        height, width = stills.size_of(path)
        return VideoInfo(path, width, height, count, count / rate, rate, 0, False)
    choice = tracks.current()
    with open_film(path, choice) as film:
        shown, frames = film.begin()
        height, width = shown.size
        return VideoInfo(
            path=path,
            width=width,
            height=height,
            frames=film.stream.frames,
            duration=film.seconds,
            fps=film.fps,
            rotation=rotation(next(frames)[1]),
            has_audio=tracks.has_sound(path, film.container, choice.audio),
        )


def peculiarities(path: Path) -> str:
    """What makes a film's pictures other than those that a plain reading of it gives (its colour,
    the track); "" of a plain one. For what is kept about a film by its content."""
    path = Path(path)
    if path.is_dir():
        return ""
    with open_film(path, tracks.current()) as film:
        shown, frames = film.begin()
        words = [str(shown.colour)] if shown.colour else []
        words += ["interlaced"] if shown.fields or next(frames)[1].interlaced_frame else []
        first_track = film.container.streams.video[0].index
        words += [f"track {film.stream.index}"] if film.stream.index != first_track else []
        return ", ".join(words)


def read_frames(
    path: Path,
    *,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    choice: tracks.Choice | None = None,
) -> Generator[Frame, None, None]:
    """Yields the chosen frames in order of time, one at a time (memory: a few frames).

    Args:
      path: a video file of any kind that FFmpeg reads, GIF and AVI too; or a folder of numbered
        pictures, of which `fps` (or the command's --fps) are a second.
      start, end: seconds, end exclusive; None means from the first frame, to the last. An `end`
        after the last frame is no error.
      fps: frames per second to resample to (see the module's text); None keeps every frame.
      choice: of the track and the rate; None: what the command here was asked for.

    Raises UserError: no such file, not a video, sound only, no frames, damaged or cut short before
    `end`, start at or after the end of the video, or a senseless choice of start, end or fps.
    """
    path, choice = Path(path), choice or tracks.current()
    check_choice(path, start, end, fps)
    if path.is_dir():
        for index, (time, image) in enumerate(stills.read(path, start, end, fps or choice.rate)):
            yield Frame(index, time, image)
        return
    before: tuple[av.VideoFrame, np.ndarray] | None = None
    picked = _picked(path, start, end, fps, choice, whole=True)
    for index, (time, frame, shown) in enumerate(picked):
        # A frame that stands for several ticks is made a picture once.
        if before is None or before[0] is not frame:
            try:
                before = frame, upright(frame, shown)
            except av.error.FFmpegError as error:
                raise damaged(path, time, index) from error
        yield Frame(index, time, before[1])


def frame_times(
    path: Path,
    *,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
) -> Float64[np.ndarray, " n"]:
    """The times that `read_frames` would give, found by decoding without making pictures (headers
    are not to be trusted about the number of frames)."""
    path, choice = Path(path), tracks.current()
    check_choice(path, start, end, fps)
    if path.is_dir():
        times = [time for time, _ in stills.chosen(path, start, end, fps or choice.rate)]
    else:
        times = [time for time, _, _ in _picked(path, start, end, fps, choice)]
    return np.array(times, np.float64)


def choose(
    times: Float64[np.ndarray, " n"], start: float | None, end: float | None, fps: float | None
) -> tuple[Int64[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
    """(which frames `read_frames` gives of those at `times`, increasing seconds; the times that it
    gives to them)."""
    first = 0.0 if start is None else start
    last = np.inf if end is None else end
    inside = np.flatnonzero((times >= first - SAME) & (times < last - SAME))
    if fps is None or not len(inside):
        return inside, times[inside]
    ticks, picked = [], []
    for k, index in _nearest(((times[i], i) for i in inside), first, fps):
        tick = first + k / fps
        if tick >= last - SAME:
            break
        ticks.append(tick)
        picked.append(index)
    return np.array(picked, np.int64), np.array(ticks, np.float64)


def _picked(
    path: Path,
    start: float | None,
    end: float | None,
    fps: float | None,
    choice: tracks.Choice,
    whole: bool = False,
) -> Iterator[tuple[float, av.VideoFrame, Shown]]:
    """Yields (time, decoded frame, how it becomes a picture); whole: deinterlaced."""
    first = 0.0 if start is None else start
    last = float("inf") if end is None else end
    with open_film(path, choice) as film:
        film.check_whole(end)
        shown, frames = film.begin(first if first > 0 else None)
        if whole:
            frames = deinterlaced(frames, shown.fields)
        source = _of_one_size(path, _between(film, frames, first, last), shown)
        if fps is None:
            for time, frame in source:
                yield time, frame, shown
            return
        for k, frame in _nearest(source, first, fps):
            tick = first + k / fps
            if tick >= last - SAME:
                return
            yield tick, frame, shown


def _of_one_size(path: Path, frames: Iterator[Timed], shown: Shown) -> Iterator[Timed]:
    """The frames, saying where their size is no longer that of the first."""
    told = False
    for time, frame in frames:
        check_size(path, frame)
        size = shown_size(frame, shown.aspect)
        if size != shown.size and not told:
            told, (height, width) = True, shown.size
            note(
                path,
                f"The pictures of {path.name} change their size: from {time:.2f} s on they are "
                f"{size[1]}x{size[0]}; all are brought to {width}x{height}, the size of the first.",
            )
        yield time, frame


def _between(film: Film, frames: Iterator[Timed], first: float, last: float) -> Iterator[Timed]:
    """Those with first <= time < last. Raises UserError where there is none."""
    time, given = 0.0, False
    for time, frame in frames:
        if time >= last - SAME:
            break
        if time >= first - SAME:
            yield time, frame
            given = True
    if not given:
        raise nothing_between(film.path, time, first, last)


def nothing_between(path: Path, time: float, first: float, last: float) -> UserError:
    """No frame has first <= time < last; `time` is that of the next, or of the last of all."""
    if time < first:
        return UserError(
            f"{path} is shorter than needed: its last frame is at {time:.2f} s, and "
            f"{option('start')} {first:g} lies after it; give a smaller {option('start')}."
        )
    return UserError(
        f"{path} has no frame between {option('start')} {first:g} and {option('end')} {last:g} "
        f"seconds (the next is at {time:.2f} s); give a longer stretch."
    )


def _nearest(
    source: Iterable[tuple[float, T]], first: float, fps: float
) -> Iterator[tuple[int, T]]:
    """Yields (k, frame): for each tick first + k / fps the frame nearest in time (the earlier of
    two that are equally near), up to half a frame interval after the last frame."""
    k, before, interval = 0, None, 0.0
    for time, frame in source:
        if before is not None:
            interval = time - before[0]
            while first + k / fps - before[0] <= time - (first + k / fps) + 1e-9:
                yield k, before[1]
                k += 1
        before = (time, frame)
    if before is not None:
        reach = before[0] + max(interval / 2 - 1e-9, SAME)
        while first + k / fps <= reach:
            yield k, before[1]
            k += 1


def check_choice(path: Path, start: float | None, end: float | None, fps: float | None) -> None:
    """Raises UserError for a senseless choice of frames, whatever the video."""
    if start is not None and not start >= 0:
        raise UserError(
            f"{option('start')} {start:g} for {path} is negative; count seconds from 0."
        )
    if end is not None and not end > (start or 0.0):
        raise UserError(
            f"{option('end')} {end:g} for {path} is not after {option('start')} {start or 0.0:g}; "
            f"give a later {option('end')}."
        )
    if fps is not None and not 0 < fps <= 1000:
        raise UserError(
            f"{option('fps')} {fps:g} for {path} is not between 0 and 1000 frames a second."
        )
