"""Decoded frames as pictures to look at: upright, with square pixels, of one size, in SDR."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import UInt8

from motion_jax.video import colour as colours
from motion_jax.video.pyav import av

SideData = av.sidedata.sidedata.SideData
SideDataContainer = av.sidedata.sidedata.SideDataContainer
Type = av.sidedata.sidedata.Type


@dataclass(frozen=True)
class Shown:
    """How all frames of a film become pictures.

    Attributes:
      size: (height, width) of the pictures; frames of another size are brought to it.
      aspect: how many times as wide as high the stored pixels are.
      colour: None where the film is plain SDR.
      fields: "tff" or "bff" where all frames are interlaced, whatever they say: the top or the
        bottom field is the first; None: they are as they say.
    """

    size: tuple[int, int]
    aspect: float
    colour: colours.Colour | None = None
    fields: str | None = None


def _matrix(frame: av.VideoFrame) -> tuple[float, float, float, float]:
    """The display matrix's (a, b, c, d): a stored point (x, y) is shown at (a x + c y, b x + d y).

    ISO/IEC 14496-12 8.2.2: nine 32-bit fixed-point numbers (16.16 in the first two columns), rows
    (a, b, u), (c, d, v), (x, y, w).
    """
    # PyAV's stubs know no keys but names there.
    found = cast(SideDataContainer, frame.side_data)
    data: SideData | None = found.get(Type.DISPLAYMATRIX)
    if data is None:
        return 1.0, 0.0, 0.0, 1.0
    a, b, _, c, d = np.frombuffer(bytes(data), "<i4")[:5] / 65536.0
    return float(a), float(b), float(c), float(d)


def rotation(frame: av.VideoFrame) -> int:
    """Degrees clockwise by which a frame is turned for showing: 0, 90, 180, 270."""
    a, b, _, _ = _matrix(frame)
    return int(round(np.degrees(np.arctan2(b, a)) / 90.0)) * 90 % 360


def shown_size(frame: av.VideoFrame, aspect: float) -> tuple[int, int]:
    """(height, width) after turning and after widening non-square pixels."""
    width, height = _square_width(frame, aspect), frame.height
    a, b, _, _ = _matrix(frame)
    return (width, height) if abs(b) > abs(a) else (height, width)


def _square_width(frame: av.VideoFrame, aspect: float) -> int:
    """The width at which pixels that are `aspect` times as wide as high become square."""
    return max(1, round(frame.width * aspect))


def pixel_aspect(stream: av.VideoStream) -> float:
    """How many times as wide as high the stored pixels are; 1.0 where that is not said."""
    aspect = stream.sample_aspect_ratio
    return float(aspect) if aspect and 0.1 < aspect < 10 else 1.0


def upright(frame: av.VideoFrame, shown: Shown) -> UInt8[np.ndarray, "h w 3"]:
    """The RGB picture, turned by right angles and mirrored as the frame says; any other angle is
    rounded to the nearest right angle. A frame of another size than the film's is stretched to it,
    as FFmpeg does."""
    a, b, c, d = _matrix(frame)
    turned = abs(b) > abs(a)
    width, height = shown.size if turned else shown.size[::-1]
    usual = (_square_width(frame, shown.aspect), frame.height) == (width, height)
    smooth: dict[str, Any] = {} if usual else {"interpolation": "BICUBIC"}
    if shown.colour is None:
        image = frame.to_ndarray(format="rgb24", width=width, height=height, **smooth)
    else:
        image = colours.to_sdr(frame, shown.colour, width, height)
    if turned:
        image = image.transpose(1, 0, 2)
        flip_x, flip_y = c < 0, b < 0
    else:
        flip_x, flip_y = a < 0, d < 0
    if flip_x:
        image = image[:, ::-1]
    if flip_y:
        image = image[::-1]
    return np.ascontiguousarray(image)
