"""Frames of a video file, upright, in RGB, with the times at which they are shown.

Times are seconds from the start of the video track. Frames are picked by three numbers, all in
those seconds: `start` (inclusive), `end` (exclusive) and `fps`. Without `fps` every frame in
[start, end) is given with its own time, however irregular. With `fps` there is one frame for each
tick start + k / fps before `end`, namely the frame whose time is nearest to the tick, and the time
given is the tick; the last tick is at most half a frame after the last frame.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from motion_jax.errors import UserError

# Containers with an index that leads exactly to the frame before a time. Elsewhere (AVI, GIF, TS)
# a late start decodes from the beginning, because times after a jump are guesses there.
_SEEKABLE = ("mov", "matroska")
# ffmpeg reads still pictures and text files as one-frame videos; a user who names one is mistaken.
_NOT_VIDEO = ("_pipe", "image2", "tty", "ass", "srt", "webvtt")
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
    with _open(path) as (container, stream):
        first = next(_decoded(path, container, stream, None), None)
        if first is None:
            raise _no_frames(path)
        height, width = _shown_size(first[1], _pixel_aspect(stream))
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
            rotation=_rotation(first[1]),
            has_audio=bool(container.streams.audio),
        )


def read_frames(
    path: Path,
    *,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
) -> Iterator[Frame]:
    """Yields the chosen frames in order of time, one at a time (memory: a few frames).

    Args:
      path: a video file of any kind that FFmpeg reads, GIF and AVI too.
      start, end: seconds, end exclusive; None means from the first frame, to the last. An `end`
        after the last frame is no error.
      fps: frames per second to resample to (see the module's text); None keeps every frame.

    Raises UserError: no such file, not a video, sound only, no frames, damaged or cut short before
    `end`, start at or after the end of the video, or a senseless choice of start, end or fps.
    """
    for index, (time, frame, aspect) in enumerate(_chosen(Path(path), start, end, fps)):
        yield Frame(index, time, _upright(frame, aspect))


def frame_times(
    path: Path,
    *,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
) -> np.ndarray:
    """float64 [N]: the times that `read_frames` would give, found by decoding without making
    pictures (headers are not to be trusted about the number of frames)."""
    return np.array([time for time, _, _ in _chosen(Path(path), start, end, fps)], np.float64)


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
    path: Path, start: float | None, end: float | None, fps: float | None
) -> Iterator[tuple[float, av.VideoFrame, float]]:
    """Yields (time, decoded frame, pixel aspect)."""
    check_choice(path, start, end, fps)
    first = 0.0 if start is None else start
    last = float("inf") if end is None else end
    with _open(path) as (container, stream):
        _check_whole(path, container, stream, end)
        source, aspect = _span(path, container, stream, first, last), _pixel_aspect(stream)
        if fps is None:
            for time, frame in source:
                yield time, frame, aspect
            return
        for k, frame in _nearest(source, first, fps):
            tick = first + k / fps
            if tick >= last - _SAME:
                return
            yield tick, frame, aspect


def _span(
    path: Path,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    first: float,
    last: float,
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Frames with first <= time < last; UserError where there is none."""
    time, given = None, 0
    for time, frame in _decoded(path, container, stream, first if first > 0 else None):
        if time >= last - _SAME:
            break
        if time >= first - _SAME:
            yield time, frame
            given += 1
    if given:
        return
    if time is None:
        raise _no_frames(path)
    raise nothing_between(path, time, first, last)


def nothing_between(path: Path, time: float, first: float, last: float) -> UserError:
    """No frame has first <= time < last; `time` is that of the next, or of the last of all."""
    if time < first:
        return UserError(
            f"{path} is shorter than needed: its last frame is at {time:.2f} s, and --start "
            f"{first:g} lies after it; give a smaller --start."
        )
    return UserError(
        f"{path} has no frame between --start {first:g} and --end {last:g} seconds (the next is "
        f"at {time:.2f} s); give a longer stretch."
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
        target = origin + int(Fraction(max(0.0, seek - _SAME)) / stream.time_base)
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
            for frame in packet.decode():
                if frame.pts is None:
                    time = 0.0 if latest is None else latest + usual
                else:
                    if origin is None:
                        origin = frame.pts
                    time = max(0.0, float((frame.pts - origin) * frame.time_base))
                if latest is not None and time <= latest:
                    time = latest + usual
                latest = time
                count += 1
                yield time, frame
    except av.error.FFmpegError as error:
        raise _damaged(path, latest, count) from error
    if by_duration:
        begin = (container.start_time or 0) / av.time_base
        if reached - begin < container.duration / av.time_base - max(1.0, 3 * usual):
            raise _damaged(path, latest, count)
    if count and _ends_early(path, container.format.name):
        raise _damaged(path, latest, count)


@contextmanager
def _open(path: Path):
    """Yields (container, its picture track); closes the file."""
    try:
        container = av.open(str(path))
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}; check the path of the video.") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder; name a video file.") from error
    except PermissionError as error:
        raise UserError(
            f"{path} may not be read (permission denied); change its rights."
        ) from error
    except (av.error.FFmpegError, OSError) as error:
        raise _unreadable(path) from error
    with container:
        name = container.format.name
        if any(part in name for part in _NOT_VIDEO):
            raise _unreadable(path)
        streams = [
            stream
            for stream in container.streams.video
            if not stream.disposition & av.stream.Disposition.attached_pic
        ]
        if not streams:
            if container.streams.audio:
                raise UserError(
                    f"{path} has sound but no pictures; name a file with a video track."
                )
            raise _unreadable(path)
        streams[0].thread_type = "AUTO"
        yield container, streams[0]


def check_choice(path: Path, start: float | None, end: float | None, fps: float | None) -> None:
    """Raises UserError for a senseless choice of frames, whatever the video."""
    if start is not None and not start >= 0:
        raise UserError(f"--start {start:g} for {path} is negative; count seconds from 0.")
    if end is not None and not end > (start or 0.0):
        raise UserError(
            f"--end {end:g} for {path} is not after --start {start or 0.0:g}; give a later --end."
        )
    if fps is not None and not 0 < fps <= 1000:
        raise UserError(f"--fps {fps:g} for {path} is not between 0 and 1000 frames a second.")


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
        raise _damaged(path, limit, whole)


def _ends_early(path: Path, name: str) -> bool:
    """Whether a file whose kind says where it ends is shorter than that."""
    if not path.is_file():
        return False
    size = path.stat().st_size
    with open(path, "rb") as file:
        if name == "avi":
            head = file.read(8)
            return head[:4] == b"RIFF" and int.from_bytes(head[4:8], "little") + 8 > size
        if name == "gif":
            file.seek(max(0, size - 64))
            return not file.read().rstrip(b"\0").endswith(b";")
    return False


def _damaged(path: Path, seconds: float | None, count: int) -> UserError:
    if not count or seconds is None:
        return UserError(
            f"{path} is damaged or cut short: no frame of it can be read; copy it again from its "
            "source."
        )
    return UserError(
        f"{path} is damaged or cut short after {seconds:.2f} s ({count} frames can be read before "
        f"that); copy or re-encode it again, or use its good part with --end "
        f"{max(0.0, seconds - 0.1):.1f}."
    )


def _unreadable(path: Path) -> UserError:
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except OSError:
        head = b""
    if not head:
        return UserError(f"{path} is empty or cannot be read; name a video file.")
    if head[4:8] == b"ftyp":
        return UserError(
            f"{path} is cut short: it begins as an MP4 but its index, which should follow the "
            "frames, is missing; copy or record it again."
        )
    return UserError(
        f"{path} is not a video that can be read; name a video file (MP4, MOV, MKV, WebM, AVI, "
        "GIF), or convert it to MP4 first."
    )


def _no_frames(path: Path) -> UserError:
    return UserError(f"{path} has a video track but no frame in it; record or export it again.")


def _matrix(frame: av.VideoFrame) -> tuple[float, float, float, float]:
    """The display matrix's (a, b, c, d): a stored point (x, y) is shown at (a x + c y, b x + d y).

    ISO/IEC 14496-12 8.2.2: nine 32-bit fixed-point numbers (16.16 in the first two columns), rows
    (a, b, u), (c, d, v), (x, y, w).
    """
    data = frame.side_data.get(av.sidedata.sidedata.Type.DISPLAYMATRIX)
    if data is None:
        return 1.0, 0.0, 0.0, 1.0
    a, b, _, c, d = np.frombuffer(bytes(data), "<i4")[:5] / 65536.0
    return float(a), float(b), float(c), float(d)


def _rotation(frame: av.VideoFrame) -> int:
    a, b, _, _ = _matrix(frame)
    return int(round(np.degrees(np.arctan2(b, a)) / 90.0)) * 90 % 360


def _shown_size(frame: av.VideoFrame, aspect: float) -> tuple[int, int]:
    """(height, width) after turning and after widening non-square pixels."""
    width, height = _square_width(frame, aspect), frame.height
    a, b, _, _ = _matrix(frame)
    return (width, height) if abs(b) > abs(a) else (height, width)


def _square_width(frame: av.VideoFrame, aspect: float) -> int:
    """The width at which pixels that are `aspect` times as wide as high become square."""
    return max(1, round(frame.width * aspect))


def _pixel_aspect(stream: av.VideoStream) -> float:
    aspect = stream.sample_aspect_ratio
    return float(aspect) if aspect and 0.1 < aspect < 10 else 1.0


def _upright(frame: av.VideoFrame, aspect: float) -> np.ndarray:
    """uint8 [height, width, 3] RGB as shown: right angles of turning, and mirroring; a matrix with
    any other angle is rounded to the nearest right angle."""
    image = frame.to_ndarray(
        format="rgb24", width=_square_width(frame, aspect), height=frame.height
    )
    a, b, c, d = _matrix(frame)
    if abs(b) > abs(a):
        image = image.transpose(1, 0, 2)
        flip_x, flip_y = c < 0, b < 0
    else:
        flip_x, flip_y = a < 0, d < 0
    if flip_x:
        image = image[:, ::-1]
    if flip_y:
        image = image[::-1]
    return np.ascontiguousarray(image)
