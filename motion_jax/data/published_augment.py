"""The augmentation of the First Order Motion Model's program, step by step in its order: flip,
resize, crop, colours. It knows pictures alone; data/augment.py moves poses with them.

One of Python's own random generators makes all choices, so that the same seed gives what the
published program gives. Its rotation, which none of its settings uses, is not here.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageEnhance
from scipy import ndimage

Clip = Float32[np.ndarray, "t _ _ 3"]


@dataclass(frozen=True)
class PublishedAugment:
    """How pairs of a clip's frames are varied; off is False, 0, or (1, 1). For first_order; its own
    settings: docs/first-order.md."""

    time_flip: bool = False
    """Exchange the two frames of every second pair, which are otherwise in order of time."""
    mirror: bool = False
    """Mirror every second one of the other pairs."""
    resize: tuple[float, float] = (1.0, 1.0)
    """Scale by a factor between these two, to the nearest pixel, then cut the size out again at a
    random place; what is too small is filled with its edge."""
    brightness: float = 0.0
    """Multiply by 1-brightness to 1+brightness."""
    contrast: float = 0.0
    """The same of the distance from the picture's mean grey."""
    saturation: float = 0.0
    """The same of the distance from grey."""
    hue: float = 0.0
    """Turn the colours by up to this share of the circle, either way; at most 0.5."""

    @property
    def active(self) -> bool:
        """Whether anything is on."""
        return self != PublishedAugment()


def augmented(
    clip: Clip, settings: PublishedAugment, draw: random.Random, size: tuple[int, int]
) -> Clip:
    """The clip, values 0...1, varied; its frames are of `size` (height, width) afterwards."""
    clip = flipped(clip, settings, draw)
    if settings.resize != (1.0, 1.0):
        clip = resized(clip, draw.uniform(*settings.resize))
        clip = cropped(clip, *size, draw)
    if settings.brightness or settings.contrast or settings.saturation or settings.hue:
        clip = coloured(clip, settings, draw)
    return np.ascontiguousarray(clip, np.float32)


def flipped(clip: Clip, settings: PublishedAugment, draw: random.Random) -> Clip:
    """Half of all clips backwards, half of the others mirrored. The numbers are drawn whether they
    are used or not."""
    if draw.random() < 0.5 and settings.time_flip:
        return clip[::-1]
    if draw.random() < 0.5 and settings.mirror:
        return clip[:, :, ::-1]
    return clip


def resized(clip: Clip, factor: float) -> Clip:
    """By the nearest pixel; blurred before where it shrinks."""
    height, width = clip.shape[1:3]
    rows, columns = int(height * factor), int(width * factor)
    shrinks = np.array([1, height / rows, width / columns, 1])
    blur = np.maximum(0, (shrinks - 1) / 2)
    smooth = ndimage.gaussian_filter(clip, blur, mode="constant") if blur.any() else clip
    return ndimage.zoom(smooth, 1 / shrinks, order=0, mode="grid-constant", grid_mode=True)


def cropped(clip: Clip, height: int, width: int, draw: random.Random) -> Clip:
    """One place for all frames. The published program asks about the wrong side whether there is
    anything to choose, which makes a difference where one side alone fits exactly."""
    room = [(wanted - have) for wanted, have in zip((height, width), clip.shape[1:3], strict=True)]
    edges = [(max(each, 0) // 2, (max(each, 0) + 1) // 2) for each in room]
    clip = np.pad(clip, ((0, 0), *edges, (0, 0)), mode="edge")
    down, across = clip.shape[1] - height, clip.shape[2] - width
    left = draw.randint(0, across) if down else 0
    top = draw.randint(0, down) if across else 0
    return clip[:, top : top + height, left : left + width]


def coloured(clip: Clip, settings: PublishedAugment, draw: random.Random) -> Clip:
    """The same factors, in the same drawn order, for all frames, on pictures of 8 bits."""
    changes: list[Callable[[Image.Image], Image.Image]] = []
    enhancers = (
        (settings.brightness, ImageEnhance.Brightness),
        (settings.contrast, ImageEnhance.Contrast),
        (settings.saturation, ImageEnhance.Color),
    )
    for reach, enhancer in enhancers:
        if reach:
            factor = draw.uniform(max(0, 1 - reach), 1 + reach)
            changes.append(partial(_enhanced, enhancer, factor))
    if settings.hue:
        turn = draw.uniform(-settings.hue, settings.hue)
        changes.append(partial(hue_turned, turn))
    draw.shuffle(changes)
    found = []
    for frame in clip:
        picture = Image.fromarray(np.rint(255 * frame).astype(np.uint8))
        for change in changes:
            picture = change(picture)
        found.append(np.asarray(picture, np.float32) / 255)
    return np.stack(found)


def _enhanced(enhancer: Any, factor: float, picture: Image.Image) -> Image.Image:
    return enhancer(picture).enhance(factor)


def hue_turned(turn: float, picture: Image.Image) -> Image.Image:
    """turn: shares of the circle of colours."""
    hsv = np.array(picture.convert("HSV"))
    hsv[..., 0] += np.uint8(round(turn * 255) % 256)
    return Image.fromarray(hsv, "HSV").convert("RGB")


def augmented_frames(
    frames: UInt8[np.ndarray, "t h w 3"],
    settings: PublishedAugment,
    draw: random.Random,
) -> UInt8[np.ndarray, "t h w 3"]:
    """`augmented` for pictures of 8 bits, which keep their size."""
    clip = augmented(frames.astype(np.float32) / 255, settings, draw, frames.shape[1:3])
    return np.rint(clip * 255).astype(np.uint8)
