"""A folder of numbered pictures as a film, at the rate that --fps says."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from motion_jax.errors import UserError, option
from motion_jax.video.image_files import picture_files, picture_size, read_picture
from motion_jax.video.notes import note
from motion_jax.video.numbers import missing_files

# Times this close (seconds) are the same, as in video.reader.
_SAME = 6e-4


def known_rate(folder: Path, fps: float | None) -> float:
    """`fps`, frames a second. Raises UserError where it is None."""
    if fps is None:
        raise UserError(
            f"{folder} is a folder; name a video file, or say with {option('fps')} how many of "
            "its pictures are a second of film."
        )
    return fps


def files_of(folder: Path) -> list[Path]:
    """Its pictures in order. Says which are missing between them. Raises UserError where
    there is no picture."""
    files = picture_files(folder)
    if not files:
        raise UserError(f"{folder} is a folder without pictures; name a video file.")
    if missing := missing_files(files):
        note(
            folder,
            f"In {folder} {missing}; the film goes on without a pause with the {len(files)} "
            "pictures that there are.",
        )
    return files


def size_of(folder: Path) -> tuple[int, int]:
    """(height, width) of the first picture, to which all are brought."""
    return picture_size(files_of(folder)[0])


def chosen(
    folder: Path, start: float | None, end: float | None, fps: float | None
) -> list[tuple[float, Path]]:
    """(time, picture) of those with start <= time < end. Raises UserError where there is none."""
    files = files_of(folder)
    times = np.arange(len(files)) / known_rate(folder, fps)
    first, last = start or 0.0, np.inf if end is None else end
    inside = np.flatnonzero((times >= first - _SAME) & (times < last - _SAME))
    if not len(inside):
        raise UserError(
            f"{folder} has no picture between {option('start')} {first:g} and {option('end')} "
            f"{last:g} seconds: its last is at {times[-1]:.2f} s; choose other times."
        )
    return [(float(times[number]), files[number]) for number in inside]


def read(
    folder: Path, start: float | None, end: float | None, fps: float | None
) -> Iterator[tuple[float, UInt8[np.ndarray, "h w 3"]]]:
    """Yields (time, RGB picture); all pictures have the size of the first."""
    height, width = size_of(folder)
    for time, file in chosen(folder, start, end, fps):
        picture = read_picture(file)
        if picture.size != (width, height):
            note(
                folder,
                f"The pictures in {folder} have several sizes ({file.name} is {picture.width}x"
                f"{picture.height}); all are brought to {width}x{height}, the size of the first.",
            )
            picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        yield time, np.asarray(picture)
