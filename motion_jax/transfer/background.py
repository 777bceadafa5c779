"""What is behind the person in a transfer, for runs whose generator makes a person and a matte."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from motion_jax.errors import UserError, option
from motion_jax.train.run import Run
from motion_jax.transfer.options import TransferOptions
from motion_jax.transfer.roles import wants_cast
from motion_jax.transfer.source import Moment
from motion_jax.video.image_files import is_picture, read_picture
from motion_jax.video.reader import probe, read_frames

PLATE, GREEN, ALPHA, SOURCE = "plate", "green", "alpha", "source"
# Of chroma keying: pure green.
KEY = (0, 255, 0)


def check_background(options: TransferOptions) -> None:
    """Raises UserError for a background that is not there, or that the film cannot hold."""
    background, out, transparent = options.background, options.out, options.background == ALPHA
    if transparent and options.side_by_side:
        raise UserError(
            f"{option('background')} {ALPHA} and {option('side_by_side')} do not go together; "
            "leave one of them out."
        )
    if transparent and out.suffix.lower() not in (".mov", ".webm", ""):
        raise UserError(
            f"{option('background')} {ALPHA} is written as ProRes 4444 (name the output FILE.mov), "
            "VP9 (FILE.webm) or numbered PNG files (a folder)."
        )
    if not transparent and out.suffix.lower() != ".mp4":
        raise UserError(f"{option('out')} {out} does not end in .mp4; name an MP4 file.")
    if background == SOURCE and not wants_cast(options):
        raise UserError(
            f"{option('background')} {SOURCE} is the film in which people of a cast are replaced: "
            f"give {option('cast')} A=RUN, or another background."
        )
    if background not in (PLATE, GREEN, ALPHA, SOURCE) and not Path(background).is_file():
        raise UserError(
            f"{option('background')} {background} is neither a picture nor a video file that is "
            f"there, nor {PLATE}, {GREEN} or {ALPHA}."
        )


def check_matte(background: str | Path, run: Run) -> None:
    """Raises UserError where the run has no matte, and another background is asked for."""
    if background != PLATE and run.config.recipe.background != "plate":
        raise UserError(
            f"{option('background')} {background} needs a run that draws the person apart from the "
            f"background; {run.folder} makes whole pictures: train with "
            f"{option('recipe.background')} plate."
        )


def before_background(
    moments: Iterable[Moment], background: str | Path, size: tuple[int, int]
) -> Iterable[Moment]:
    """The moments with what is behind the person in each; for the run's own plate, and for none
    (ALPHA), as they are.

    Raises UserError for a file that cannot be read.
    """
    if background in (PLATE, ALPHA):
        return moments
    if background == GREEN:
        return _all_before(moments, np.broadcast_to(np.array(KEY, np.uint8), (*size, 3)))
    path = Path(background)
    if is_picture(path.name):
        picture = np.asarray(read_picture(path))
        return _all_before(moments, covering(picture, *size))
    probe(path)  # What is wrong with it is said before the first picture.
    return _before_video(moments, path, size)


def shown_behind(
    times: Iterator[float], background: str | Path, size: tuple[int, int]
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Of each time (seconds) what a picture or video file shows, as `before_background` takes it.
    Raises UserError for a file that cannot be read."""
    nothing = {"keypoints": np.zeros((137, 3), np.float32)}
    moments = (Moment(time, nothing) for time in times)
    for moment in before_background(moments, background, size):
        assert moment.shown is not None, "somebody is shown in each"
        yield moment.shown["plates"]


def covering(
    picture: UInt8[np.ndarray, "_ _ 3"], height: int, width: int
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """The middle of a picture, at a size that fills height x width without stretching."""
    rows, columns = picture.shape[:2]
    scale = max(height / rows, width / columns)
    size = max(round(columns * scale), width), max(round(rows * scale), height)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    large = cv2.resize(picture, size, interpolation=way)
    top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    return np.ascontiguousarray(large[top : top + height, left : left + width])


def _all_before(moments: Iterable[Moment], plate: np.ndarray) -> Iterator[Moment]:
    return (_before(moment, plate) for moment in moments)


def _before(moment: Moment, plate: np.ndarray) -> Moment:
    shown = moment.shown
    return moment if shown is None else Moment(moment.time, {**shown, "plates": plate})


def _before_video(moments: Iterable[Moment], path: Path, size: tuple[int, int]) -> Iterator[Moment]:
    """Before the frames of a video at the same times, from its beginning; it is repeated."""
    frames = _endless(path)
    plate, after = covering(next(frames)[1], *size), next(frames)
    start: float | None = None
    for moment in moments:
        start = moment.time if start is None else start
        shown = None
        while after[0] <= moment.time - start + 1e-6:
            shown, after = after[1], next(frames)
        if shown is not None:
            plate = covering(shown, *size)
        yield _before(moment, plate)


def _endless(path: Path) -> Iterator[tuple[float, UInt8[np.ndarray, "_ _ 3"]]]:
    """(time, picture) of a video that begins again after its last frame."""
    passed = 0.0
    for _ in itertools.count():
        first: float | None = None
        times: list[float] = []
        for frame in read_frames(path):
            first = frame.time if first is None else first
            times.append(frame.time - first)
            yield passed + times[-1], frame.image
        # Its last frame is shown as long as the one before it.
        passed += times[-1] + (times[-1] - times[-2] if len(times) > 1 else 1 / 25)
