"""A film file that is open: its picture track decoded to frames, and how they are to be shown."""

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import cast

from motion_jax.errors import UserError, marked
from motion_jax.video import damage, tracks
from motion_jax.video.colour import colour_of, peak_of
from motion_jax.video.interlace import RUN, Timed, combed_fields, fields_of
from motion_jax.video.notes import note
from motion_jax.video.pyav import av
from motion_jax.video.upright import Shown, pixel_aspect, shown_size

# Two times this close (seconds) are the same: containers round to a millisecond.
SAME = 6e-4

# Containers with an index that leads exactly to the frame before a time. Elsewhere (AVI, GIF, TS)
# a late start decodes from the beginning, because times after a jump are guesses there.
_SEEKABLE = ("mov", "matroska")
# ffmpeg reads still pictures and text files as one-frame videos; a user who names one is mistaken.
_NOT_VIDEO = ("_pipe", "image2", "tty", "ass", "srt", "webvtt")
# Pictures of more pixels than this are no film but a mistake or an attack (16 times 8K's).
_MOST_PIXELS = 2**29
# Before a jump the frames are read from this many earlier: deinterlacing looks at its neighbours.
_NEIGHBOURS = 3
# Where in a film its brightest light is looked for, where it is HDR, and combs: away from titles
# first. In shares of its length.
_LIGHT_PLACES = (0.2, 0.4, 0.6, 0.8)
_COMB_PLACES = (0.5, 0.2, 0.8, 0.35, 0.65, 0.0, 0.9)
# Interlaced films have at most so many rows.
_MOST_ROWS = 1088
# FFmpeg's decoders of these decode several frames at a time, in threads that may wait for each
# other for ever where a file is damaged. They get threads within a frame instead.
_NO_FRAME_THREADS = ("hevc",)


@contextmanager
def open_film(path: Path, choice: tracks.Choice) -> Iterator["Film"]:
    """Opens a film within the block.

    Decoding never hangs, which costs speed with HEVC: its frames are decoded one after another.
    60 frames of 1920x1080 took 0.49 to 0.57 s this way and 0.48 to 0.52 s with frames in parallel
    (two busy cores; with many idle ones the difference is larger).

    Raises UserError: no such file, not readable, not a video, sound only, no such track.
    """
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
        raise damage.unreadable(path) from error
    with container:
        if any(part in container.format.name for part in _NOT_VIDEO):
            raise damage.unreadable(path)
        stream = tracks.picture_track(path, container, choice.video)
        if stream is None:
            if container.streams.audio:
                raise UserError(
                    f"{path} has sound but no pictures; name a file with a video track."
                )
            raise damage.unreadable(path)
        check_size(path, stream)
        within_a_frame = stream.codec_context.name in _NO_FRAME_THREADS
        stream.thread_type = "SLICE" if within_a_frame else "AUTO"
        yield Film(path, container, stream, choice.video)


@dataclass(frozen=True)
class Film:
    """An open file and its picture track; `number`: the one that was asked for, if any."""

    path: Path
    container: av.container.InputContainer
    stream: av.VideoStream
    number: int | None

    @property
    def seconds(self) -> float:
        """The length by the header, 0.0 where it does not say."""
        if self.stream.duration:
            assert self.stream.time_base is not None  # FFmpeg gives every track one.
            return float(self.stream.duration * self.stream.time_base)
        return (self.container.duration or 0) / av.time_base

    @property
    def fps(self) -> float:
        """Frames a second by the header, on average; 0.0 where it does not say."""
        return float(self.stream.average_rate or self.stream.guessed_rate or 0)

    @property
    def _seekable(self) -> bool:
        return self.container.format.name.startswith(_SEEKABLE)

    def begin(self, seek: float | None = None) -> tuple[Shown, Iterator[Timed]]:
        """(how all frames become pictures, the frames as of `frames`, at least one).

        Says what is peculiar about the film. Raises UserError where there is no frame, and for
        colours that are not known.
        """
        path, shown = self.path, None
        if path.is_file():
            about = path.stat()
            shown = _shown_by_file(str(path), about.st_size, about.st_mtime_ns, self.number)
        # By the header, 1 says that the film is not interlaced, 0 nothing.
        order = int(getattr(self.stream.codec_context, "field_order", 0) or 0)
        frames = self.frames(seek, neighbours=order != 1 or bool(shown and shown.fields))
        first = next(frames, None)
        if first is None:
            raise damage.no_frames(path)
        if shown is None:
            # A pipe cannot be opened twice.
            shown = _shown_by_frame(path, first[1], self.stream)
        elif shown.colour is not None:
            note(path, f"{path.name} is {shown.colour}; its pictures are shown in SDR of BT.709.")
        if shown.fields:
            also = "" if fields_of(self.stream) else ", though nothing in it says so"
            note(path, f"{path.name} is interlaced{also}; its pictures are deinterlaced.")
        return shown, itertools.chain([first], frames)

    def frames(self, seek: float | None = None, neighbours: bool = False) -> Iterator[Timed]:
        """Yields (seconds from the track's start, frame) in order, from the key frame before
        `seek`, or with `neighbours` from a few frames before it.

        Frames without a time of their own (AVI with packed B-frames), or with one that is not after
        the frame before, get the time of that frame plus one frame at the average rate.

        Raises UserError where the file is damaged or ends early.
        """
        path, container, stream = self.path, self.container, self.stream
        usual = 1.0 / self.fps if self.fps else 0.04
        origin = stream.start_time
        if seek is not None and origin is not None and self._seekable:
            early = seek - SAME - (_NEIGHBOURS * usual if neighbours else 0)
            assert stream.time_base is not None  # FFmpeg gives every track one.
            target = origin + int(Fraction(max(0.0, early)) / stream.time_base)
            container.seek(target, stream=stream, backward=True)
        latest, count, reached = None, 0, 0.0
        # Matroska has no list of frames; its header says how long the longest track is, so the
        # packets of all tracks are looked at.
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
                    if frame.interlaced_frame:
                        note(path, f"{path.name} is interlaced; its pictures are deinterlaced.")
                    yield time, frame
        except av.error.FFmpegError as error:
            raise damage.damaged(path, latest, count) from error
        if by_duration:
            begin = (container.start_time or 0) / av.time_base
            if reached - begin < (container.duration or 0) / av.time_base - max(1.0, 3 * usual):
                raise damage.damaged(path, latest, count)
        if count and damage.ends_early(path, container.format.name):
            raise damage.damaged(path, latest, count)

    def runs(self, length: int, places: Sequence[float]) -> Iterator[list[av.VideoFrame]]:
        """At most `length` neighbouring frames from the key frame before each of some places (0 to
        1) of the film, and where that was given already, from where it ended; as many from the
        beginning of a film that cannot be jumped in."""
        if not self._seekable or not self.seconds:
            places, length = [0.0], length * len(places)
        visits: Counter[float] = Counter()
        for place in places:
            # Whatever is wrong there is said when the film is read.
            with contextlib.suppress(UserError, av.error.FFmpegError):
                frames = self.frames(place * self.seconds)
                for begin, first in frames:
                    past = visits[begin] * (length - 1)
                    visits[begin] += 1
                    onward = itertools.chain([first], (frame for _, frame in frames))
                    yield list(itertools.islice(onward, past, past + length))
                    break

    def check_whole(self, end: float | None) -> None:
        """Raises UserError, before any work is done, where the index of an MP4 lists frames before
        `end` (seconds) that lie after the end of the file."""
        path, stream = self.path, self.stream
        if not self.container.format.name.startswith("mov") or not path.is_file():
            return
        size, origin = path.stat().st_size, stream.start_time or 0
        lost = [entry.timestamp for entry in stream.index_entries if entry.pos + entry.size > size]
        if not lost:
            return
        assert stream.time_base is not None  # FFmpeg gives every track one.
        # Entries are in order of decoding; a frame of reordering may be lost before the first one.
        limit = max(0.0, float((min(lost) - origin) * stream.time_base))
        if end is None or end > limit:
            raise damage.damaged(path, limit, len(stream.index_entries) - len(lost))


def _shown_by_frame(path: Path, frame: av.VideoFrame, stream: av.VideoStream) -> Shown:
    aspect = pixel_aspect(stream)
    try:
        colour = colour_of(frame)
    except UserError as error:
        raise UserError(f"{path}: {marked(error)}.") from error
    return Shown(shown_size(frame, aspect), aspect, colour, fields_of(stream))


@lru_cache(maxsize=256)
def _shown_by_file(name: str, size: int, changed: int, number: int | None) -> Shown:
    """By the film's first frame and by some others; `size` and `changed` are for the cache."""
    path = Path(name)
    with open_film(path, tracks.Choice(video=number)) as film:
        first = next(film.frames(), None)
        if first is None:
            raise damage.no_frames(path)
        frame = first[1]
        shown = _shown_by_frame(path, frame, film.stream)
        try:
            if shown.colour is not None and shown.colour.transfer:
                others = [other for run in film.runs(1, _LIGHT_PLACES) for other in run]
                peak = peak_of([frame, *others], shown.colour)
                return replace(shown, colour=replace(shown.colour, peak=peak))
            if shown.fields or frame.interlaced_frame or film.stream.height > _MOST_ROWS:
                return shown
            return replace(shown, fields=combed_fields(film.runs(RUN, _COMB_PLACES)))
        except av.error.FFmpegError as error:
            # The frames can be decoded, but not converted.
            raise damage.damaged(path, None, 0) from error


def check_size(path: Path, pictures: av.VideoStream | av.VideoFrame) -> None:
    """Raises UserError where they say that they are of more pixels than any film."""
    if pictures.width * pictures.height > _MOST_PIXELS:
        raise UserError(
            f"{path} says that its pictures are {pictures.width}x{pictures.height} pixels, more "
            "than any film has; it is damaged or no film, so give another."
        )
