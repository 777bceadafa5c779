"""Films with more colours or brightness than SDR: BT.2020, Display P3, PQ and HLG to BT.709.

    code values → light (BT.2100, relative to SDR's white) → BT.709's primaries (BT.2087)
    → highlights rolled off → code values of an SDR display (BT.1886)

SDR's white is at 203 cd/m2 (BT.2408). Light below KNEE times white keeps its brightness, so that an
SDR film that was stored as HDR comes back. Brighter light is rolled off so far that the film's own
highlights stay below white. A film without highlights is only cut off at white.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from motion_jax.errors import UserError
from motion_jax.video.pyav import av

Colorspace = av.video.reformatter.Colorspace

# Code points of ITU-T H.273 as FFmpeg numbers them.
PQ, HLG = 16, 18
_BT709, _BT2020, _P3_DCI, _P3 = 1, 9, 11, 12
_UNSPECIFIED = 2
_BT2020_MATRICES, _ICTCP = (9, 10), 14
_FULL = 2

WHITE = 203.0
KNEE = 0.8
# Coding overshoots: light below this is not a highlight.
NO_HIGHLIGHTS = 1.25
# BT.2100's nominal display of HLG.
HLG_PEAK, HLG_GAMMA = 1000.0, 1.2
DISPLAY_GAMMA = 2.4
# x, y of red, green, blue (BT.709, BT.2020, SMPTE EG 432-1) and of the white D65.
_PRIMARIES = {
    _BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    _BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    _P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_D65 = (0.3127, 0.3290)
_HLG_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)


@dataclass(frozen=True)
class Colour:
    """How a film's pictures are stored.

    Attributes:
      transfer: PQ, HLG, or 0 for an SDR curve.
      primaries: a key of _PRIMARIES.
      peak: of its highlights, in SDR whites; 1: none above white.
    """

    transfer: int
    primaries: int
    peak: float = 1.0

    def __str__(self) -> str:
        gamut = {_BT709: "BT.709", _BT2020: "BT.2020", _P3: "Display P3"}[self.primaries]
        curve = {PQ: "HDR (PQ), ", HLG: "HDR (HLG), "}.get(self.transfer, "")
        return curve + gamut


def colour_of(frame: av.VideoFrame) -> Colour | None:
    """The colour of a film by one of its frames; None where it is plain SDR of BT.709 or older,
    which needs nothing.

    Raises UserError for a coding that is not known here.
    """
    transfer = int(frame.color_trc)
    primaries = {_P3_DCI: _P3}.get(int(frame.color_primaries), int(frame.color_primaries))
    if transfer not in (PQ, HLG):
        return Colour(0, primaries) if primaries in (_BT2020, _P3) else None
    if int(frame.colorspace) == _ICTCP:
        raise UserError(
            "its colours are coded as ICtCp, which cannot be read here; convert it to SDR first"
        )
    return Colour(transfer, primaries if primaries in _PRIMARIES else _BT2020)


def peak_of(frames: Sequence[av.VideoFrame], colour: Colour) -> float:
    """The brightest light in some frames of a film, in SDR whites: all but one in a thousand of its
    pixels are darker; 1 where nothing is above white. Coarse colours (4:2:0) overshoot along edges,
    so only what is a few pixels wide counts."""
    peak = 1.0
    for frame in frames:
        width = min(frame.width, 480)
        light = _light(frame, colour, width, max(1, frame.height * width // frame.width))
        brightest = cv2.erode(light.max(2), np.ones((5, 5), np.uint8))
        peak = max(peak, float(np.quantile(brightest, 0.999)))
    return 1.0 if peak <= NO_HIGHLIGHTS else peak


def to_sdr(
    frame: av.VideoFrame, colour: Colour, width: int, height: int
) -> UInt8[np.ndarray, "h w 3"]:
    """Full-range R'G'B' of BT.709 as an SDR display would show it, in height x width pixels."""
    light = _light(frame, colour, width, height)
    if colour.peak > 1:
        brightest = cv2.max(cv2.max(light[..., 0], light[..., 1]), light[..., 2])
        # One factor for all three, so that a colour keeps its hue.
        light *= _rolled_off(brightest, colour.peak)[..., None]
    shown = cv2.pow(np.clip(light, 0, 1, out=light), 1 / DISPLAY_GAMMA)
    return cv2.convertScaleAbs(shown, alpha=255)


def _rolled_off(brightest: Float32[np.ndarray, "h w"], peak: float) -> Float32[np.ndarray, "h w"]:
    """The factors that bring light (in SDR whites) below 1: Reinhard's extended curve above KNEE,
    which reaches 1 at the peak."""
    above = np.maximum(brightest - KNEE, 0) / (1 - KNEE)
    limit = (peak - KNEE) / (1 - KNEE)
    curved = KNEE + (1 - KNEE) * above * (1 + above / limit**2) / (1 + above)
    return np.where(above > 0, curved / np.maximum(brightest, KNEE), np.float32(1))


def _light(
    frame: av.VideoFrame, colour: Colour, width: int, height: int
) -> Float32[np.ndarray, "h w 3"]:
    """Linear light of BT.709's primaries, 1 at SDR's white, in height x width pixels."""
    matrix = None
    if frame.colorspace == _UNSPECIFIED or frame.colorspace in _BT2020_MATRICES:
        matrix = Colorspace.BT2020 if colour.primaries == _BT2020 else Colorspace.ITU709
    codes = frame.reformat(
        format="rgb48le", width=width, height=height, src_colorspace=matrix, dst_colorspace=matrix
    ).to_ndarray()
    light = _curve(colour.transfer, frame.color_range == _FULL)[codes]
    if colour.transfer == HLG:
        # The opto-optical transfer: the display's light from the scene's.
        scene = np.maximum(light @ _HLG_LUMINANCE, 1e-6)
        light *= (HLG_PEAK / WHITE * scene ** np.float32(HLG_GAMMA - 1))[..., None]
    if colour.primaries != _BT709:
        light = cv2.transform(light, _to_bt709(colour.primaries))
    return light


@lru_cache(maxsize=4)
def _curve(transfer: int, full: bool) -> Float32[np.ndarray, "65536"]:
    """Light of each 16-bit code value in SDR whites; for HLG the scene's light (0 … 1).

    swscale fills 16 bits with a video's bits shifted up, so its white of limited range is 255 * 256
    (measured)."""
    codes = np.minimum(np.arange(65536) / (65535 if full else 65280), 1)
    if transfer == PQ:
        # BT.2100, table 4.
        m1, m2 = 2610 / 16384, 2523 / 4096 * 128
        c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
        power = codes ** (1 / m2)
        light = 10000 / WHITE * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    elif transfer == HLG:
        # BT.2100, table 5.
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(codes <= 0.5, codes**2 / 3, (np.exp((codes - c) / a) + b) / 12)
    else:
        light = codes**DISPLAY_GAMMA
    return light.astype(np.float32)


@lru_cache(maxsize=4)
def _to_bt709(primaries: int) -> Float32[np.ndarray, "3 3"]:
    """The matrix from linear light of some primaries to that of BT.709's."""
    return (np.linalg.inv(_to_xyz(_BT709)) @ _to_xyz(primaries)).astype(np.float32)


def _to_xyz(primaries: int) -> Float64[np.ndarray, "3 3"]:
    xyz = np.array([(x / y, 1, (1 - x - y) / y) for x, y in _PRIMARIES[primaries]]).T
    x, y = _D65
    return xyz * np.linalg.solve(xyz, [x / y, 1, (1 - x - y) / y])
