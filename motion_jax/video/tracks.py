"""Which picture and which sound track of a file counts, where it has several.

Players show the tracks that are marked as default, and so does this; --video-track and
--audio-track name others, counted from 1 as players count them. What a command was asked for is a
`Choice`. It holds for the thread that runs the command, for all films that are read there; what is
read in other threads and processes is given the choice as a value.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from motion_jax.errors import UserError, option
from motion_jax.video import notes
from motion_jax.video.pyav import av

_DEFAULT = av.stream.Disposition.default

Made = TypeVar("Made", bound=Callable[..., Any])


@dataclass(frozen=True)
class Choice:
    """How films are read.

    Attributes:
      video, audio: numbers of the tracks, from 1; None: the default one.
      rate: pictures a second of a folder of pictures; None: not said.
    """

    video: int | None = None
    audio: int | None = None
    rate: float | None = None


_NOTHING_ASKED = Choice()
_current: ContextVar[Choice] = ContextVar("how films are read", default=_NOTHING_ASKED)


def current() -> Choice:
    """What the command that runs here was asked for."""
    return _current.get()


@contextlib.contextmanager
def chosen(
    video: int | None, audio: int | None = None, rate: float | None = None
) -> Iterator[None]:
    """Within the block, films are read as these values of a `Choice` say; None: as outside of it.

    Raises UserError for a track below 1.
    """
    for kind, number in (("video", video), ("audio", audio)):
        if number is not None and number < 1:
            raise UserError(
                f"{option(f'{kind}_track')} {number} is no track; they are counted from 1."
            )
    outer = current()
    token = _current.set(
        Choice(
            outer.video if video is None else video,
            outer.audio if audio is None else audio,
            outer.rate if rate is None else rate,
        )
    )
    try:
        yield
    finally:
        _current.reset(token)


def follow_options(verb: Made) -> Made:
    """A function of options that have video_track, and perhaps audio_track and fps, reads films by
    them."""

    @functools.wraps(verb)
    def reading(options: Any, *rest: Any, **named: Any) -> Any:
        audio, rate = (getattr(options, name, None) for name in ("audio_track", "fps"))
        with chosen(options.video_track, audio, rate), notes.command():
            return verb(options, *rest, **named)

    # It takes and returns what `verb` does.
    return cast(Made, reading)


def picture_track(
    path: Path, container: av.container.InputContainer, number: int | None
) -> av.VideoStream | None:
    """The track of moving pictures; None where the file has none. A cover is no such track.

    number: of the track, from 1; None: the default one.
    Raises UserError where there is no such track, or the codec is not known.
    """
    cover = av.stream.Disposition.attached_pic
    tracks = [track for track in container.streams.video if not track.disposition & cover]
    readable = [track for track in tracks if _has_decoder(track)]
    if tracks and not readable:
        raise UserError(
            f"The pictures of {path} are coded in a way that cannot be read here; convert it to "
            "MP4 (H.264) first."
        )
    return _pick(path, "video", readable, number)


def sound_track(
    path: Path, container: av.container.InputContainer, number: int | None
) -> av.AudioStream | None:
    """The sound track; None where the file has none that can be read. `number` and errors as of
    `picture_track`."""
    return _pick(path, "audio", _sounds(container), number)


def has_sound(path: Path, container: av.container.InputContainer, number: int | None) -> bool:
    """Whether there is a sound track, without a word about which. Raises UserError where track
    `number` is not there."""
    if number is not None:
        return sound_track(path, container, number) is not None
    return bool(_sounds(container))


def _sounds(container: av.container.InputContainer) -> list[av.AudioStream]:
    return [track for track in container.streams.audio if _has_decoder(track)]


def _has_decoder(track: av.VideoStream | av.AudioStream) -> bool:
    # PyAV's types do not say that there may be none.
    context: av.CodecContext | None = track.codec_context
    return context is not None


def _pick(path: Path, kind: str, tracks: list[Any], number: int | None) -> Any:
    """The track of this number of a kind ("video" or "audio"), or the default one."""
    if not tracks:
        return None
    shows = {"video": "picture", "audio": "sound"}[kind]
    if number is not None:
        if number > len(tracks):
            raise UserError(
                f"{path} has no {shows} track {number}, which {option(f'{kind}_track')} asks for; "
                f"it has {_listed(tracks)}."
            )
        return tracks[number - 1]
    place = next((i for i, track in enumerate(tracks) if track.disposition & _DEFAULT), 0)
    if len(tracks) > 1:
        marked = tracks[place].disposition & _DEFAULT
        why = "the one marked as default" if marked else "the first, since none is the default"
        notes.note(
            path,
            f"{path.name} has {_listed(tracks)} of {shows}; number {place + 1} is taken, {why} "
            f"(--{kind}-track chooses another).",
        )
    return tracks[place]


def _listed(tracks: list[Any]) -> str:
    """3 tracks (1: 160x96; 2: 1280x720, eng; 3: "Comments")."""
    words = []
    for number, track in enumerate(tracks, 1):
        title = track.metadata.get("title")
        language = track.metadata.get("language", "und")
        about = [] if track.type == "audio" else [f"{track.width}x{track.height}"]
        about += [] if language == "und" else [language]
        about += [f'"{title}"'] if title else []
        words.append(f"{number}: {', '.join(about)}" if about else str(number))
    return f"{len(tracks)} track{'s' if len(tracks) > 1 else ''} ({'; '.join(words)})"
