"""Frames of a video file, upright, in RGB, with the times at which they are shown.

Times are seconds from the start of the video track. Frames are picked by three numbers, all in
those seconds: `start` (inclusive), `end` (exclusive) and `fps`. Without `fps` every frame in
[start, end) is given with its own time, however irregular. With `fps` there is one frame for each
tick start + k / fps before `end`, namely the frame whose time is nearest to the tick, and the time
given is the tick; the last tick is at most half a frame after the last frame.

Pictures are of one size, that of the first frame, in SDR of BT.709 and deinterlaced, whatever the
film is; what had to be done for it is said once (`video.notes`).
"""

import contextlib
import itertools
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import cast

import av
import numpy as np

from motion_jax.errors import UserError, marked, option
from motion_jax.video import stills, tracks
from motion_jax.video.colour import colour_of, peak_of
from motion_jax.video.damage import damaged, ends_early, no_frames, unreadable
from motion_jax.video.interlace import deinterlaced, fields_of
from motion_jax.video.notes import note
from motion_jax.video.upright import Shown, pixel_aspect, rotation, shown_size, upright

# Containers with an index that leads exactly to the frame before a time. Elsewhere (AVI, GIF, TS)
# a late start decodes from the beginning, because times after a jump are guesses there.
_SEEKABLE = ("mov", "matroska")
# ffmpeg reads still pictures and text files as one-frame videos; a user who names one is mistaken.
_NOT_VIDEO = ("_pipe", "image2", "tty", "ass", "srt", "webvtt")
# Pictures of more pixels than this are no film but a mistake or an attack (16 times 8K's).
_MOST_PIXELS = 2**29
# Before a jump the frames are read from this many earlier: deinterlacing looks at its neighbours.
_NEIGHBOURS = 3
# How many places of a film are looked at for the brightest light of an HDR film.
_PLACES = 5
# Two times this close (seconds) are the same: containers round to a millisecond.
_SAME = 6e-4


@dataclass(frozen=True)
class VideoInfo:
    """What a video's header says.

    Attributes:
      path: the file.
      width, height: pixels as shown (after rotation flags and non-square pixels).
      frames: number of frames by the header, 0 where it does not say; `count_frames` counts.
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
    the video, and the picture, uint8 [height, width, 3], RGB."""

    index: int
    time: float
    image: np.ndarray


def probe(path: Path) -> VideoInfo:
    """Reads the header and the first frame.

    Raises UserError: no such file, not a video, sound only, no frame in it.
    """
    path = Path(path)
    if path.is_dir():
        rate, count = stills.rate(path, None), len(stills.files_of(path))
        height, width = stills.size_of(path)
        return VideoInfo(path, width, height, count, count / rate, rate, 0, False)
    with _open(path) as (container, stream):
        first = next(_decoded(path, container, stream, None), None)
        if first is None:
            raise no_frames(path)
        height, width = _shown(path, first[1], stream).size
        duration = 0.0
        if stream.duration:
            duration = float(stream.duration * stream.time_base)
        elif container.duration:
            duration = container.duration / av.time_base
        rate = stream.average_rate or stream.guessed_rate
        return VideoInfo(
            path=path,
            width=width,
            height=height,
            frames=stream.frames,
            duration=duration,
            fps=float(rate) if rate else 0.0,
            rotation=rotation(first[1]),
            has_audio=tracks.has_sound(path, container),
        )


def peculiarities(path: Path) -> str:
    """What makes a film's pictures other than those that a plain reading of it gives (its colour,
    the track); "" of a plain one. For what is kept about a film by its content."""
    path = Path(path)
    if path.is_dir():
        return ""
    with _open(path) as (container, stream):
        first = next(_decoded(path, container, stream, None), None)
        if first is None:
            raise no_frames(path)
        words = [str(colour)] if (colour := _shown(path, first[1], stream).colour) else []
        words += ["interlaced"] if first[1].interlaced_frame or fields_of(stream) else []
        first_track = container.streams.video[0].index
        words += [f"track {stream.index}"] if stream.index != first_track else []
        return ", ".join(words)


def read_frames(
    path: Path,
    *,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
) -> Generator[Frame, None, None]:
    """Yields the chosen frames in order of time, one at a time (memory: a few frames).

    Args:
      path: a video file of any kind that FFmpeg reads, GIF and AVI too; or a folder of numbered
        pictures, of which `fps` (or the command's --fps) are a second.
      start, end: seconds, end exclusive; None means from the first frame, to the last. An `end`
        after the last frame is no error.
      fps: frames per second to resample to (see the module's text); None keeps every frame.

    Raises UserError: no such file, not a video, sound only, no frames, damaged or cut short before
    `end`, start at or after the end of the video, or a senseless choice of start, end or fps.
    """
    path = Path(path)
    if path.is_dir():
        check_choice(path, start, end, fps)
        for index, (time, image) in enumerate(stills.read(path, start, end, fps)):
            yield Frame(index, time, image)
        return
    before: tuple[av.VideoFrame, np.ndarray] | None = None
    for index, (time, frame, shown) in enumerate(_chosen(path, start, end, fps, whole=True)):
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
) -> np.ndarray:
    """float64 [N]: the times that `read_frames` would give, found by decoding without making
    pictures (headers are not to be trusted about the number of frames)."""
    path = Path(path)
    if path.is_dir():
        check_choice(path, start, end, fps)
        return np.array([time for time, _ in stills.chosen(path, start, end, fps)], np.float64)
    return np.array([time for time, _, _ in _chosen(path, start, end, fps)], np.float64)


def count_frames(
    path: Path,
    *,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
) -> int:
    """How many frames `read_frames` gives."""
    return len(frame_times(path, start=start, end=end, fps=fps))


def choose(
    times: np.ndarray, start: float | None, end: float | None, fps: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """The same choice as `read_frames` for frames whose times are known.

    Args:
      times: float64 [N], increasing seconds.

    Returns:
      (indices int64 [M] into times, times float64 [M] given to them).
    """
    first = 0.0 if start is None else start
    last = np.inf if end is None else end
    inside = np.flatnonzero((times >= first - _SAME) & (times < last - _SAME))
    if fps is None or not len(inside):
        return inside, times[inside]
    ticks, picked = [], []
    for k, index in _nearest(((times[i], i) for i in inside), first, fps):
        tick = first + k / fps
        if tick >= last - _SAME:
            break
        ticks.append(tick)
        picked.append(index)
    return np.array(picked, np.int64), np.array(ticks, np.float64)


def _chosen(
    path: Path, start: float | None, end: float | None, fps: float | None, whole: bool = False
) -> Iterator[tuple[float, av.VideoFrame, Shown]]:
    """Yields (time, decoded frame, how it becomes a picture); whole: deinterlaced."""
    check_choice(path, start, end, fps)
    first = 0.0 if start is None else start
    last = float("inf") if end is None else end
    with _open(path) as (container, stream):
        _check_whole(path, container, stream, end)
        frames = _span(path, container, stream, first, last, whole)
        begun = next(frames, None)
        if begun is None:
            return
        shown = _shown(path, begun[1], stream)
        source = _of_one_size(path, itertools.chain([begun], frames), shown)
        if fps is None:
            for time, frame in source:
                yield time, frame, shown
            return
        for k, frame in _nearest(source, first, fps):
            tick = first + k / fps
            if tick >= last - _SAME:
                return
            yield tick, frame, shown


def _of_one_size(
    path: Path, frames: Iterator[tuple[float, av.VideoFrame]], shown: Shown
) -> Iterator[tuple[float, av.VideoFrame]]:
    """The frames, saying where their size is no longer that of the first."""
    told = False
    for time, frame in frames:
        if frame.width * frame.height > _MOST_PIXELS:
            raise _too_large(path, frame.width, frame.height)
        size = shown_size(frame, shown.aspect)
        if size != shown.size and not told:
            told, (height, width) = True, shown.size
            note(
                path,
                f"The pictures of {path.name} change their size: from {time:.2f} s on they are "
                f"{size[1]}x{size[0]}; all are brought to {width}x{height}, the size of the first.",
            )
        yield time, frame


def _shown(path: Path, frame: av.VideoFrame, stream: av.VideoStream) -> Shown:
    """How the film's frames become pictures; `frame`: one of them, of use where the film cannot be
    opened twice (a pipe)."""
    if not path.is_file():
        aspect = pixel_aspect(stream)
        return Shown(shown_size(frame, aspect), aspect, colour_of(frame))
    about = path.stat()
    shown = _shown_by_file(str(path), about.st_size, about.st_mtime_ns, tracks.asked_for("video"))
    if shown.colour is not None:
        note(path, f"{path.name} is {shown.colour}; its pictures are shown in SDR of BT.709.")
    return shown


@lru_cache(maxsize=256)
def _shown_by_file(name: str, size: int, changed: int, track: int | None) -> Shown:
    """By the film's first frame, and of HDR by some others; the other arguments are for the
    cache."""
    path = Path(name)
    with _open(path) as (container, stream):
        first = next(_decoded(path, container, stream, None), None)
        if first is None:
            raise no_frames(path)
        aspect = pixel_aspect(stream)
        size_of_all = shown_size(first[1], aspect)
        try:
            colour = colour_of(first[1])
        except UserError as error:
            raise UserError(f"{path}: {marked(error)}.") from error
        if colour is None or not colour.transfer:
            return Shown(size_of_all, aspect, colour)
        try:
            peak = peak_of([first[1], *_samples(path, container, stream)], colour)
        except av.error.FFmpegError as error:
            raise damaged(path, None, 0) from error
        return Shown(size_of_all, aspect, replace(colour, peak=peak))


def _samples(
    path: Path, container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[av.VideoFrame]:
    """Key frames spread over a film, where it can be jumped in."""
    assert stream.time_base is not None  # FFmpeg gives every track one.
    length = stream.duration and float(stream.duration * stream.time_base)
    length = length or (container.duration or 0) / av.time_base
    if not container.format.name.startswith(_SEEKABLE):
        return
    for place in range(1, _PLACES):
        # Whatever is wrong there is said when the film is read.
        with contextlib.suppress(UserError, av.error.FFmpegError):
            seconds = length * place / _PLACES
            if found := next(_decoded(path, container, stream, seconds), None):
                yield found[1]


def _span(
    path: Path,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    first: float,
    last: float,
    whole: bool,
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Frames with first <= time < last, `whole`: deinterlaced; UserError where there is none."""
    time, given = None, 0
    frames = _decoded(path, container, stream, first if first > 0 else None)
    if whole:
        frames = deinterlaced(frames, fields_of(stream))
    for time, frame in frames:
        if time >= last - _SAME:
            break
        if time >= first - _SAME:
            yield time, frame
            given += 1
    if given:
        return
    if time is None:
        raise no_frames(path)
    raise nothing_between(path, time, first, last)


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


def _nearest(source: Iterator[tuple[float, object]], first: float, fps: float):
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
        reach = before[0] + max(interval / 2 - 1e-9, _SAME)
        while first + k / fps <= reach:
            yield k, before[1]
            k += 1


def _decoded(
    path: Path,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    seek: float | None,
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Yields (seconds from the track's start, frame) in order, from the key frame before `seek`.

    Frames without a time of their own (AVI with packed B-frames), or with one that is not after
    the frame before, get the time of that frame plus one frame at the average rate.
    """
    rate = stream.average_rate or stream.guessed_rate
    usual = 1.0 / float(rate) if rate else 0.04
    origin = stream.start_time
    if seek is not None and origin is not None and container.format.name.startswith(_SEEKABLE):
        early = seek - _SAME - (_NEIGHBOURS * usual if _may_be_interlaced(stream) else 0)
        assert stream.time_base is not None  # FFmpeg gives every track one.
        target = origin + int(Fraction(max(0.0, early)) / stream.time_base)
        container.seek(target, stream=stream, backward=True)
    latest, count, reached = None, 0, 0.0
    # Matroska has no list of frames; its header says how long the longest track is, so the packets
    # of all tracks are looked at.
    by_duration = container.format.name.startswith(("matroska", "flv")) and container.duration
    packets = container.demux() if by_duration else container.demux(stream)
    try:
        for packet in packets:
            if packet.pts is not None:
                reached = max(
                    reached, float((packet.pts + (packet.duration or 0)) * packet.time_base)
                )
            if packet.stream.index != stream.index:
                continue
            # The packet is of the picture track.
            for frame in cast(list[av.VideoFrame], packet.decode()):
                if frame.pts is None:
                    time = 0.0 if latest is None else latest + usual
                else:
                    if origin is None:
                        origin = frame.pts
                    assert frame.time_base is not None  # It comes with the pts.
                    time = max(0.0, float((frame.pts - origin) * frame.time_base))
                if latest is not None and time <= latest:
                    time = latest + usual
                latest = time
                count += 1
                if frame.interlaced_frame or count == 1 and fields_of(stream):
                    note(path, f"{path.name} is interlaced; its pictures are deinterlaced.")
                yield time, frame
    except av.error.FFmpegError as error:
        raise damaged(path, latest, count) from error
    if by_duration:
        begin = (container.start_time or 0) / av.time_base
        if reached - begin < (container.duration or 0) / av.time_base - max(1.0, 3 * usual):
            raise damaged(path, latest, count)
    if count and ends_early(path, container.format.name):
        raise damaged(path, latest, count)


@contextmanager
def _open(path: Path):
    """Yields (container, its picture track); closes the file."""
    try:
        container = av.open(str(path), metadata_errors="replace")
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}; check the path of the video.") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder; name a video file.") from error
    except PermissionError as error:
        raise UserError(
            f"{path} may not be read (permission denied); change its rights."
        ) from error
    except (av.error.FFmpegError, OSError) as error:
        raise unreadable(path) from error
    with container:
        name = container.format.name
        if any(part in name for part in _NOT_VIDEO):
            raise unreadable(path)
        stream = tracks.picture_track(path, container)
        if stream is None:
            if container.streams.audio:
                raise UserError(
                    f"{path} has sound but no pictures; name a file with a video track."
                )
            raise unreadable(path)
        if stream.width * stream.height > _MOST_PIXELS:
            raise _too_large(path, stream.width, stream.height)
        stream.thread_type = "AUTO"
        yield container, stream


def _too_large(path: Path, width: int, height: int) -> UserError:
    return UserError(
        f"{path} says that its pictures are {width}x{height} pixels, more than any film has; it is "
        "damaged or no film, so give another."
    )


def _may_be_interlaced(stream: av.VideoStream) -> bool:
    """By its header: 1 says that it is not, 0 nothing."""
    return int(getattr(stream.codec_context, "field_order", 0) or 0) != 1


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


def _check_whole(path: Path, container, stream, end: float | None) -> None:
    """Fails before any work is done where the index of an MP4 lists frames, wanted here, that lie
    after the end of the file."""
    if not container.format.name.startswith("mov") or not path.is_file():
        return
    size, origin = path.stat().st_size, stream.start_time or 0
    lost = [entry.timestamp for entry in stream.index_entries if entry.pos + entry.size > size]
    if not lost:
        return
    # Entries are in order of decoding; a frame of reordering may be lost before the first one.
    limit = max(0.0, float((min(lost) - origin) * stream.time_base))
    if end is None or end > limit:
        whole = len(stream.index_entries) - len(lost)
        raise damaged(path, limit, whole)
