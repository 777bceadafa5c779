"""Which picture and which sound track of a file counts, where it has several.

Players show the tracks that are marked as default, and so does this; --video-track and
--audio-track name others, counted from 1 as players count them. What a command was asked for holds
for all its films and in the processes that it starts, so it lies in the environment.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import av

from motion_jax.errors import UserError, option
from motion_jax.video import notes

_NAMES = {"video": "MOTION_JAX_VIDEO_TRACK", "audio": "MOTION_JAX_AUDIO_TRACK"}
_RATE = "MOTION_JAX_FOLDER_RATE"
_DEFAULT = av.stream.Disposition.default

Made = TypeVar("Made", bound=Callable[..., Any])


@contextlib.contextmanager
def chosen(
    video: int | None, audio: int | None = None, rate: float | None = None
) -> Iterator[None]:
    """Within the block, films are read by these tracks (numbers from 1; None: the default one), and
    folders of pictures as films of so many frames a second.

    Raises UserError for a number below 1.
    """
    before = {name: os.environ.get(name) for name in (*_NAMES.values(), _RATE)}
    if rate is not None:
        os.environ[_RATE] = repr(float(rate))
    for kind, number in (("video", video), ("audio", audio)):
        if number is None:
            continue
        if number < 1:
            raise UserError(
                f"{option(f'{kind}_track')} {number} is no track; they are counted from 1."
            )
        os.environ[_NAMES[kind]] = str(number)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def follow_options(verb: Made) -> Made:
    """A function of options that have video_track, and perhaps audio_track, reads films by them."""

    @functools.wraps(verb)
    def reading(options: Any, *rest: Any, **named: Any) -> Any:
        audio, rate = (getattr(options, name, None) for name in ("audio_track", "fps"))
        with chosen(options.video_track, audio, rate), notes.command():
            return verb(options, *rest, **named)

    # It takes and returns what `verb` does.
    return cast(Made, reading)


def asked_for(kind: str) -> int | None:
    """The number that --video-track or --audio-track gave ("video" or "audio")."""
    number = os.environ.get(_NAMES[kind])
    return int(number) if number else None


def asked_rate() -> float | None:
    """Frames a second of folders of pictures, by --fps."""
    rate = os.environ.get(_RATE)
    return float(rate) if rate else None


def picture_track(path: Path, container: av.container.InputContainer) -> av.VideoStream | None:
    """The track of moving pictures; None where the file has none. A cover is no such track.

    Raises UserError where --video-track names one that is not there, or the codec is not known.
    """
    cover = av.stream.Disposition.attached_pic
    tracks = [one for one in container.streams.video if not one.disposition & cover]
    found = _choose(path, "video", [one for one in tracks if _known(one)], "picture")
    if found is None and tracks:
        raise UserError(
            f"The pictures of {path} are coded in a way that cannot be read here; convert it to "
            "MP4 (H.264) first."
        )
    return found


def sound_track(path: Path, container: av.container.InputContainer) -> av.AudioStream | None:
    """The sound track; None where the file has none that can be read. Raises UserError as
    `picture_track`."""
    return _choose(path, "audio", _sounds(container), "sound")


def has_sound(path: Path, container: av.container.InputContainer) -> bool:
    """Whether there is a sound track, without a word about which. Raises UserError where
    --audio-track names one that is not there."""
    if asked_for("audio") is not None:
        return sound_track(path, container) is not None
    return bool(_sounds(container))


def _sounds(container: av.container.InputContainer) -> list[av.AudioStream]:
    return [one for one in container.streams.audio if _known(one)]


def _known(track: av.VideoStream | av.AudioStream) -> bool:
    """Whether there is a decoder for it; PyAV's types do not say that there may be none."""
    context: av.CodecContext | None = track.codec_context
    return context is not None


def _choose(path: Path, kind: str, tracks: list[Any], what: str) -> Any:
    number = asked_for(kind)
    if not tracks:
        return None
    if number is not None:
        if number > len(tracks):
            raise UserError(
                f"{path} has no {what} track {number}, which {option(f'{kind}_track')} asks for; "
                f"it has {_listed(tracks)}."
            )
        return tracks[number - 1]
    place = next((i for i, one in enumerate(tracks) if one.disposition & _DEFAULT), 0)
    if len(tracks) > 1:
        marked = tracks[place].disposition & _DEFAULT
        why = "the one marked as default" if marked else "the first, since none is the default"
        notes.note(
            path,
            f"{path.name} has {_listed(tracks)} of {what}; number {place + 1} is taken, {why} "
            f"(--{kind}-track chooses another).",
        )
    return tracks[place]


def _listed(tracks: list[Any]) -> str:
    """3 tracks (1: 160x96, 2: 1280x720, eng, 3: "Comments")."""
    words = []
    for number, track in enumerate(tracks, 1):
        title = track.metadata.get("title")
        language = track.metadata.get("language", "und")
        about = [] if track.type == "audio" else [f"{track.width}x{track.height}"]
        about += [] if language == "und" else [language]
        about += [f'"{title}"'] if title else []
        words.append(f"{number}: {', '.join(about)}" if about else str(number))
    return f"{len(tracks)} track{'s' if len(tracks) > 1 else ''} ({'; '.join(words)})"
