"""Pictures put together for people to compare: grids, labels, differences. Host side, uint8 RGB."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

# Below this height a label is not readable beside the picture, so the picture is enlarged.
READABLE = 192
GAP = 4
BACKGROUND = 24
LABEL_COLOUR = (235, 235, 235)


def grid(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]], columns: int, gap: int = GAP
) -> UInt8[np.ndarray, "h w 3"]:
    """Pictures row by row with `gap` pixels between them.

    images: of any sizes; smaller ones are centred in cells of the largest size.
    Raises ValueError without a picture or for columns < 1.
    """
    if not images:
        raise ValueError("a grid needs at least one picture")
    if columns < 1:
        raise ValueError(f"a grid needs at least one column, not {columns}")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height = max(image.shape[0] for image in images)
    width = max(image.shape[1] for image in images)
    result = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, 3), BACKGROUND, np.uint8
    )
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        top = row * (height + gap) + (height - image.shape[0]) // 2
        left = column * (width + gap) + (width - image.shape[1]) // 2
        result[top : top + image.shape[0], left : left + image.shape[1]] = image
    return result


def enlarge(image: UInt8[np.ndarray, "_ _ 3"], least: int = READABLE) -> UInt8[np.ndarray, "_ _ 3"]:
    """The picture times the smallest whole number that makes its height at least `least`.

    Each pixel becomes a square: a report must not make a small result look smoother than it is.
    """
    factor = max(1, -(-least // max(1, image.shape[0])))
    return np.repeat(np.repeat(image, factor, axis=0), factor, axis=1) if factor > 1 else image


def labelled(image: UInt8[np.ndarray, "_ w 3"], text: str) -> UInt8[np.ndarray, "_ w 3"]:
    """The picture under a bar with the text, wrapped to its width; no scaling, and no bar where the
    text is empty."""
    if not text:
        return image
    return np.concatenate([label_bar(text, image.shape[1]), image], axis=0)


def label_bar(
    text: str, width: int, lines: int | None = None, size: int | None = None
) -> UInt8[np.ndarray, "bar {width} 3"]:
    """A dark bar `width` pixels wide with the text, as many lines as it needs (or `lines`), in
    letters of `size` pixels (default: by the width)."""
    font = _font(size or _font_size(width))
    wrapped = wrap(text, font, width - 8)
    line_height = sum(font.getmetrics()) + 1
    rows = max(len(wrapped), lines or 0)
    bar = Image.new("RGB", (width, rows * line_height + 6), (BACKGROUND,) * 3)
    pen = ImageDraw.Draw(bar)
    for i, line in enumerate(wrapped):
        pen.text((4, 3 + i * line_height), line, fill=LABEL_COLOUR, font=font)
    return np.asarray(bar)


def letters(labels: Sequence[str], width: int, least: int = 8) -> int:
    """The size of letters, in pixels, at which each label fits one line of that width; not smaller
    than `least`."""
    size = _font_size(width)
    while size > least and any(len(wrap(x, _font(size), width - 8)) > 1 for x in labels):
        size -= 1
    return size


def _font_size(width: int) -> int:
    return int(np.clip(width / 16, 12, 30))


class Font(Protocol):
    """What of Pillow's fonts is used to wrap lines."""

    def getlength(self, text: str) -> float: ...


def _font(size: int) -> Any:
    # Pillow's own font: the same on every machine.
    return ImageFont.load_default(size)


def wrap(text: str, font: Font, width: float) -> list[str]:
    """The text in lines no wider than `width` pixels; words too long for a line are broken."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def side_by_side(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    labels: Sequence[str] | None = None,
    *,
    least: int = READABLE,
) -> UInt8[np.ndarray, "h w 3"]:
    """Pictures in one row at one height, each under its label.

    All are scaled to the tallest one's height (Lanczos), after that one is enlarged by a whole
    number to at least `least` pixels in height, so that labels over 64-pixel pictures can be read.
    The size of the result depends only on the sizes of the pictures and on the labels: usable for
    video.
    labels: one for each or None.
    """
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"{len(labels)} labels for {len(images)} pictures")
    tallest = max(images, key=lambda image: image.shape[0])
    height = enlarge(tallest, least).shape[0]
    scaled = [to_height(image, height) for image in images]
    if labels is not None and any(labels):
        # One size of letters, small enough for the narrowest picture.
        size = _font_size(min(image.shape[1] for image in scaled))
        pairs = list(zip(labels, scaled, strict=True))
        lines = max(len(wrap(text, _font(size), x.shape[1] - 8)) for text, x in pairs)
        scaled = [
            np.concatenate([label_bar(text, x.shape[1], lines, size), x]) for text, x in pairs
        ]
    divider = np.full((scaled[0].shape[0], GAP, 3), BACKGROUND, np.uint8)
    parts = [scaled[0]]
    for image in scaled[1:]:
        parts += [divider, image]
    return np.concatenate(parts, axis=1)


def to_height(image: UInt8[np.ndarray, "_ _ 3"], height: int) -> UInt8[np.ndarray, "{height} _ 3"]:
    """The picture scaled to the height, its proportions kept; whole factors repeat pixels."""
    if image.shape[0] == height:
        return image
    if height % image.shape[0] == 0:
        factor = height // image.shape[0]
        return np.repeat(np.repeat(image, factor, axis=0), factor, axis=1)
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def difference(
    image: UInt8[np.ndarray, "*h w 3"], other: UInt8[np.ndarray, "_ _ 3"], gain: float = 3.0
) -> UInt8[np.ndarray, "*h w 3"]:
    """How far two pictures differ: the mean absolute difference over the channels times `gain`,
    as grey on black (white: differ by 255 / gain or more).

    Raises ValueError for different shapes.
    """
    if image.shape != other.shape:
        raise ValueError(f"pictures of {image.shape} and {other.shape} have no difference")
    amount = np.abs(image.astype(np.float32) - other.astype(np.float32)).mean(axis=-1) * gain
    grey = np.clip(np.rint(amount), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)
