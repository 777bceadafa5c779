"""Picture files of other projects' folders: listing, numbering, reading, resizing as they do."""

import contextlib
import io
import os
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from motion_jax.errors import UserError
from motion_jax.files import is_clutter
from motion_jax.video.notes import note
from motion_jax.video.numbers import SeveralOrders, SeveralSequences, frame_numbers

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
_NUMBERED = re.compile(r"(.*?)(\d+)")
# Beside each IUV picture the original tool writes one of people's numbers.
_NO_PICTURES = ("_inds.png",)
# Pillow's modes of more than 8 bits, all of one channel.
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
# Pictures have more different values than maps of labels.
_FEW_LABELS = 64
BICUBIC, NEAREST = Image.Resampling.BICUBIC, Image.Resampling.NEAREST


class Unreadable(UserError):
    """A picture that cannot be decoded to its end."""


def is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not is_clutter(name)


def list_pictures(folder: Path) -> list[Path]:
    """The pictures directly in a folder, sorted by name."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if is_picture(entry.name))
    return [Path(folder) / name for name in names]


def number(stem: str) -> tuple[str, int] | None:
    """("frame_", 12) of "frame_000012": what comes before a name's last number, which must be at
    its end, and the number; None where there is none."""
    match = _NUMBERED.fullmatch(stem)
    return (match[1], int(match[2])) if match else None


def in_order(files: Iterable[Path]) -> list[Path]:
    """Files by the number that varies in their names; where there is no such, by what comes before
    the number at their end, then by that; without numbers by name."""
    files = sorted(files)
    with contextlib.suppress(SeveralOrders, SeveralSequences):
        if numbers := frame_numbers([file.stem for file in files]):
            return [file for _, file in sorted(zip(numbers, files, strict=True))]

    def key(file: Path) -> tuple:
        found = number(file.stem)
        return (file.stem, -1, file.name) if found is None else (*found, file.name)

    return sorted(files, key=key)


def picture_files(folder: Path) -> list[Path]:
    """The pictures in a folder by their numbers; those of X_0012_IUV.png stand before the last
    word, and the X_0012_INDS.png beside them do not count."""
    files = [f for f in list_pictures(folder) if not f.name.lower().endswith(_NO_PICTURES)]
    ends = {file.stem.rsplit("_", 1)[-1].lower() for file in files}
    if ends == {"iuv"}:
        by_stem = {file.with_name(file.stem[:-4] + file.suffix): file for file in files}
        return [by_stem[name] for name in in_order(by_stem)]
    for file in files[:1]:
        tell_depth(file)
    try:
        frame_numbers([file.stem for file in files])
    except SeveralOrders as error:
        raise UserError(
            f"The pictures in {folder} can be ordered in two ways, {error}; rename them so that "
            "one number in their names counts the frames."
        ) from error
    except SeveralSequences:
        # Sequences one after the other, each in its order.
        pass
    return in_order(files)


def clips(stems: Sequence[str], frames: bool) -> list[tuple[int, int]]:
    """Runs (first, last + 1) of files, given in order, that are neighbours in time.

    frames: neighbours are the files whose numbers are one step apart, the step being the smallest
    difference of two numbers (published data is numbered in steps too). A larger step is a gap, and
    another name another video. Otherwise every picture is a run of its own.
    """
    if not frames:
        return [(i, i + 1) for i in range(len(stems))]
    numbers = [number(stem) for stem in stems]
    steps = [
        b[1] - a[1]
        for a, b in zip(numbers, numbers[1:], strict=False)
        if a and b and a[0] == b[0] and b[1] > a[1]
    ]
    step = min(steps, default=1)
    edges = [0]
    for i in range(1, len(stems)):
        a, b = numbers[i - 1], numbers[i]
        if not (a and b and a[0] == b[0] and b[1] - a[1] == step):
            edges.append(i)
    edges.append(len(stems))
    return [(a, b) for a, b in zip(edges, edges[1:], strict=False) if b > a]


def look_like_frames(stems: Sequence[str]) -> bool:
    """Whether names are those of a video's frames: one name before a number of at least four
    digits, the same in all, and at least nine of ten numbers one step apart."""
    numbers = [found for stem in stems if (found := number(stem)) is not None]
    if len(stems) < 2 or len(numbers) < len(stems):
        return False
    digits = {len(stem) - len(found[0]) for stem, found in zip(stems, numbers, strict=True)}
    if len({found[0] for found in numbers}) > 1 or len(digits) > 1 or digits.pop() < 4:
        return False
    values = np.sort([found[1] for found in numbers])
    steps = np.diff(values)
    return bool((steps == steps.min()).mean() >= 0.9)


def picture_size(file: Path) -> tuple[int, int]:
    """(height, width) from the header. Raises Unreadable."""
    try:
        with open(file, "rb") as stream:
            head = stream.read(24)
        if head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR":
            width, height = struct.unpack(">II", head[16:24])
            return height, width
        with Image.open(file) as image:
            return image.height, image.width
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        raise Unreadable(_damaged(file, error)) from error


def read_picture(file: Path, data: bytes | None = None) -> Image.Image:
    """The whole picture as 8-bit RGB, as the reference programs read it: an alpha channel is
    dropped, and a camera's note of how it was held does not count. Values of more than 8 bits are
    scaled by their depth.

    data: the file's bytes where they are at hand. Raises Unreadable: absent, damaged, cut short.
    """
    try:
        with Image.open(file if data is None else io.BytesIO(data)) as image:
            image.load()
            if image.mode in _DEEP:
                return Image.fromarray(_eight_bits(np.asarray(image), file)).convert("RGB")
            return image if image.mode == "RGB" else image.convert("RGB")
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        raise Unreadable(_damaged(file, error)) from error


def _eight_bits(values: np.ndarray, file: Path) -> np.ndarray:
    """Grey values of 16 bits, or of 32 bits as far as they are in the range of 16, or shares from 0
    to 1 → uint8. Raises Unreadable for others, of which nothing says what is white."""
    low, high = (float(end) for end in (values.min(), values.max()))
    if values.dtype.kind == "f":
        if not (low >= 0 and high <= 1):
            raise Unreadable(
                f"The picture {file} holds numbers from {low:g} to {high:g}, not shares from 0 to "
                "1; write it with 8 bits."
            )
        return np.rint(values * 255).astype(np.uint8)
    if low < 0 or high > 65535:
        raise Unreadable(
            f"The picture {file} holds numbers from {low:g} to {high:g}, more than 16 bits; write "
            "it with 8 bits."
        )
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def tell_depth(file: Path) -> None:
    """Says of the folder of a picture that it holds grey values of more than 8 bits, and what they
    look like: brightness, or labels or depths, of which scaling leaves little. Says nothing of
    others, and of what cannot be read."""
    try:
        with Image.open(file) as image:
            if image.mode not in _DEEP:
                return
            values = np.asarray(image)
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError):
        return
    different, high = len(np.unique(values)), float(values.max())
    if values.dtype.kind == "f":
        said = "shares from 0 to 1 (white)"
    else:
        said = "16-bit grey values, divided by 257 to 8 bits (65535 is white)"
    if values.dtype.kind != "f" and different <= _FEW_LABELS and high < 65535:
        said += (
            f"; {different} different values up to {high:g} look like a map of labels, not like "
            "brightness: give each label a colour of its own, or its differences are lost"
        )
    elif values.dtype.kind != "f" and high < 65535 / 4:
        said += (
            f"; values up to {high:g} alone look like a map of depths, not like brightness: "
            "stretch them to 0 … 65535, or the pictures stay dark"
        )
    note(file.parent, f"The pictures in {file.parent} (such as {file.name}) hold {said}.")


def _damaged(file: Path, error: Exception) -> str:
    words = str(error).split("<")[0].strip() or type(error).__name__
    return f"The picture {file} is damaged or no picture ({words}); mend or remove it."


def stored_as(data: bytes) -> str | None:
    """ "png" or "jpeg" where these bytes can be kept as they are, because every reader makes the
    same 8-bit RGB picture of them; else None."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        # Depth 8, colour type 2 (RGB without alpha), and no colour that stands for transparent.
        plain = data[24:26] == b"\x08\x02" and b"tRNS" not in data[:4096]
        return "png" if plain else None
    if data[:2] == b"\xff\xd8":
        return "jpeg" if _plain_jpeg(data) else None
    return None


def _plain_jpeg(data: bytes) -> bool:
    """Three components, and no EXIF block (it may ask for turning the picture)."""
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xE1 and data[at + 4 : at + 8] == b"Exif":
            return False
        if marker == 0xEE and data[at + 4 : at + 9] == b"Adobe":
            return False
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return data[at + 9] == 3
        at += 2 + length
    return False


@dataclass(frozen=True)
class Resize:
    """How pictures become the dataset's, with the names and formulas of the reference programs
    (get_transform of pix2pixHD's and pix2pix's data/base_dataset.py), without their randomness.

    Attributes:
      mode: "resize_and_crop" (to load_size x load_size), "scale_width" and "scale_width_and_crop"
        (width = load_size, height in proportion), "crop" (as it is), "none" (as it is, rounded to
        `multiple`), "size" (to `size`). Crops themselves are the loader's (data.augment.crop).
      load_size, crop_size: pixels.
      multiple: of the sides with "none" and "scale_width".
      least: lowest height with "scale_width" and "scale_width_and_crop": pix2pix takes its crop
        size, pix2pixHD none.
      size: (height, width) for "size".
      fit: with "size", see fitting.place; None: "stretch".
    """

    mode: str = "none"
    load_size: int = 286
    crop_size: int = 256
    multiple: int = 16
    least: int = 0
    size: tuple[int, int] | None = None
    fit: str | None = None

    @property
    def crops(self) -> bool:
        """Whether training cuts a random piece out."""
        return self.mode.endswith("crop")

    def result(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of a picture of this size afterwards."""
        if self.mode == "size":
            assert self.size is not None  # Given with that mode.
            return self.size
        if self.mode == "resize_and_crop":
            return self.load_size, self.load_size
        if self.mode == "crop":
            return height, width
        if self.mode == "none":
            return self._rounded(height), self._rounded(width)
        scaled = max(int(self.load_size * height / width), self.least)
        if self.mode == "scale_width_and_crop":
            return scaled, self.load_size
        return self._rounded(scaled), self._rounded(self.load_size)

    def _rounded(self, side: int) -> int:
        # Python's rounding of halves to even is the reference's too.
        return max(int(round(side / self.multiple) * self.multiple), self.multiple)


def resized(image: Image.Image, size: tuple[int, int], method: Image.Resampling) -> Image.Image:
    """An image at (height, width); unchanged where it has that size."""
    height, width = size
    return image if image.size == (width, height) else image.resize((width, height), method)
