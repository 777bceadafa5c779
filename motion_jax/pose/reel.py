"""Pictures in order, of a video or a folder, as one thing to read from anywhere in it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8

from motion_jax.errors import UserError
from motion_jax.errors import option as named
from motion_jax.pose.detect import Source, frames
from motion_jax.pose.region import Cut, find_region
from motion_jax.video.image_files import Unreadable, picture_files, read_picture
from motion_jax.video.reader import frame_times

FOLDER_FPS = 25.0
_SAMPLES = 4


@dataclass(frozen=True)
class Reel:
    """Pictures in order.

    Attributes:
      path: the video or folder.
      times: seconds.
      files: those of a folder, else empty.
      film: of a video, else None.
      cut: the part of each picture that counts; None: all.
    """

    path: Path
    times: Float64[np.ndarray, " n"]
    files: tuple[Path, ...] = ()
    film: Source | None = None
    cut: Cut | None = None

    def __len__(self) -> int:
        return len(self.times)

    def name(self, number: int) -> str:
        """What a picture is called in messages."""
        return str(self.files[number]) if self.files else f"{self.path}, frame {number},"

    def read(self, first: int, last: int) -> Iterator[UInt8[np.ndarray, "h w 3"] | Unreadable]:
        """The pictures first ... last - 1, RGB; of a damaged one the error."""
        if self.film is None:
            for file in self.files[first:last]:
                try:
                    picture = np.asarray(read_picture(file))
                except Unreadable as error:
                    yield error
                    continue
                yield self._part(picture, file)
            return
        reading = frames(self.film, first, last)
        for _, image in reading:
            yield self._part(image, self.path)

    def _part(self, picture: np.ndarray, file: Path) -> np.ndarray:
        if self.cut is None:
            return picture
        if picture.shape[0] < self.cut.bottom or picture.shape[1] < self.cut.right:
            raise UserError(
                f"{file} is {picture.shape[1]}x{picture.shape[0]} pixels, smaller than the others "
                f"of {self.path}; give pictures of one size."
            )
        return self.cut.of(picture)

    def samples(self) -> list[UInt8[np.ndarray, "_ _ 3"]]:
        """Some readable pictures, spread over all of them."""
        numbers = np.unique(np.linspace(0, len(self) - 1, _SAMPLES).round().astype(int))
        found = [picture for n in numbers for picture in self.read(int(n), int(n) + 1)]
        good = [picture for picture in found if not isinstance(picture, Unreadable)]
        if not good:
            raise next(picture for picture in found if isinstance(picture, Unreadable))
        return good

    def at(self, region: str | None, option: str = "--region") -> "Reel":
        """The same with the region of `pose.region.find_region` alone."""
        samples = self.samples()
        sizes = {picture.shape[:2] for picture in samples}
        if region is None or len(sizes) > 1:
            if region is not None:
                raise UserError(
                    f"{option} {region} wants pictures of one size, and those of {self.path} have "
                    f"several; resize them, or leave {option} out."
                )
            return self
        return replace(self, cut=find_region(region, samples, option))


def open_reel(
    path: Path, *, start: float | None = None, end: float | None = None, fps: float | None = None
) -> Reel:
    """A video, as video.reader.read_frames takes these arguments, or a folder of numbered pictures,
    `fps` a second (25 by default).

    Raises UserError where there is no picture.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"There is no file or folder {path}; check its name.")
    if path.is_file():
        times = frame_times(path, start=start, end=end, fps=fps)
        return Reel(path, times, film=Source(path, start, end, fps, times))
    files = picture_files(path)
    times = np.arange(len(files)) / (fps or FOLDER_FPS)
    chosen = (times >= (start or 0.0)) & (times < (np.inf if end is None else end))
    files = [file for file, taken in zip(files, chosen, strict=True) if taken]
    if not files:
        raise UserError(
            f"The folder {path} holds no pictures (between {named('start')} and {named('end')}); "
            "give a folder of PNG or JPEG files."
        )
    return Reel(path, times[chosen], files=tuple(files))
