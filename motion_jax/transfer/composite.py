"""Several people in one picture: layers with a matte over one another, shadows, colours.

Colours are float32 0...255 RGB; a layer's are multiplied by its opacity, 0...1, which is its fourth
channel (Porter & Duff 1984).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from motion_jax.pose import long_arrays
from motion_jax.pose.skeleton import INDEX

# How dark a shadow is below the body and below a foot on the floor, and its size in heights of the
# person: half width of each, and half height as a share of that.
BELOW_BODY, BELOW_FOOT = 0.28, 0.40
BODY_WIDE, FOOT_WIDE, FLAT = 0.16, 0.055, 0.2
# Scale and depth of a person do not tremble: standard deviation of the smoothing, in seconds.
STEADY = 0.2
# Of Shades of Grey: the norm that stands for the light's colour (Finlayson & Trezzi 2004), and how
# far colours are changed at most.
NORM, LEAST_GAIN, MOST_GAIN = 6.0, 0.6, 1.6

_ANKLES = [INDEX["right_ankle"], INDEX["left_ankle"]]


@dataclass(frozen=True)
class Layer:
    """Part of a picture.

    Attributes:
      pixels: RGB times opacity, and opacity.
      top, left: where it lies.
    """

    pixels: Float32[np.ndarray, "h w 4"]
    top: int
    left: int

    def over(self, canvas: Float32[np.ndarray, "h w c"]) -> None:
        """Lays it over a canvas of RGB, or of RGB times opacity and opacity."""
        height, width = self.pixels.shape[:2]
        part = canvas[self.top : self.top + height, self.left : self.left + width]
        part *= 1 - self.pixels[..., 3:]
        part += self.pixels[..., : canvas.shape[-1]]


def placed(
    picture: UInt8[np.ndarray, "h w 4"],
    place: Float[np.ndarray, "2 3"],
    size: tuple[int, int],
    gains: Float[np.ndarray, "3"] | None = None,
) -> Layer | None:
    """A run's picture with its matte, moved into a picture of `size` (height, width).

    Args:
      place: from its places, measured from the left and top edges, to those of the picture.
      gains: of red, green and blue.
    Returns:
      None where it lies outside.
    """
    rows, columns = picture.shape[:2]
    corners = place[:, :2] @ np.array([[0, columns, 0, columns], [0, 0, rows, rows]], float)
    corners += place[:, 2:]
    left, top = np.maximum(np.floor(corners.min(1)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(corners.max(1)).astype(int) + 1, size[::-1])
    if right <= left or bottom <= top:
        return None
    alpha = picture[..., 3:].astype(np.float32) / 255
    colours = picture[..., :3].astype(np.float32)
    if gains is not None:
        colours = np.minimum(colours * np.asarray(gains, np.float32), 255)
    layer = np.concatenate([colours * alpha, alpha], axis=-1)
    scale = float(np.sqrt(abs(np.linalg.det(place[:, :2]))))
    matrix = np.asarray(place, float).copy()
    if scale < 1:
        # Made smaller by area averages first, or fine patterns would become others.
        small = max(1, round(columns * scale)), max(1, round(rows * scale))
        layer = cv2.resize(layer, small, interpolation=cv2.INTER_AREA)
        matrix[:, :2] = matrix[:, :2] @ np.diag([columns / small[0], rows / small[1]])
    # OpenCV counts from the middles of pixels.
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5 - (left, top)
    way = cv2.INTER_LINEAR if scale <= 1 else cv2.INTER_CUBIC
    moved = cv2.warpAffine(layer, matrix, (int(right - left), int(bottom - top)), flags=way)
    np.clip(moved[..., 3], 0, 1, out=moved[..., 3])
    np.clip(moved[..., :3], 0, 255 * moved[..., 3:], out=moved[..., :3])
    return Layer(moved, int(top), int(left))


def cut(frame: UInt8[np.ndarray, "h w 3"], alpha: Float32[np.ndarray, "h w"]) -> Layer:
    """What a matte shows of a frame."""
    pixels = np.concatenate([frame * alpha[..., None], alpha[..., None]], axis=-1)
    return Layer(pixels.astype(np.float32), 0, 0)


def similarities(
    before: Float[np.ndarray, "n 137 3"],
    after: Float[np.ndarray, "n 137 3"],
    times: Float[np.ndarray, " n"],
) -> Float32[np.ndarray, "n 2 3"]:
    """For each frame the scale and shift that bring a person from `before` to `after`.

    The scale is that of the spreads of the body joints that both show, smoothed over time; the
    shift brings the feet to the feet (the lower ankle, which stands), or the middle to the middle
    where no feet are seen. Frames without a pose take those of the frames around them.
    """
    scales, here, there = np.full(len(times), np.nan), [], []
    for number, (old, new) in enumerate(
        zip(long_arrays.rows(before), long_arrays.rows(after), strict=True)
    ):
        both = (old[:25, 2] > 0) & (new[:25, 2] > 0)
        if both.sum() < 2:
            here.append((np.nan, np.nan))
            there.append((np.nan, np.nan))
            continue
        x, y = old[:25][both, :2].astype(float), new[:25][both, :2].astype(float)
        spread = np.sqrt(((x - x.mean(0)) ** 2).sum())
        if spread > 1e-3:
            scales[number] = np.sqrt(((y - y.mean(0)) ** 2).sum()) / spread
        ankles = [i for i in _ANKLES if both[i]]
        if ankles:
            stands = max(ankles, key=lambda i: new[i, 1])
            x, y = old[[stands], :2].astype(float), new[[stands], :2].astype(float)
            middle = both.copy()
            # Across, the whole body says where it is; down, the foot that stands.
            across = old[:25][middle, 0].mean(), new[:25][middle, 0].mean()
            here.append((across[0], x[0, 1]))
            there.append((across[1], y[0, 1]))
        else:
            here.append(tuple(x.mean(0)))
            there.append(tuple(y.mean(0)))
    scale = np.exp(smoothed(np.log(scales), times))
    shift = np.array(there) - scale[:, None] * np.array(here)
    for axis in range(2):
        shift[:, axis] = _between(shift[:, axis])
    result = np.zeros((len(times), 2, 3), np.float32)
    result[:, 0, 0] = result[:, 1, 1] = scale
    result[:, :, 2] = shift
    return result


def standing(
    keypoints: Float[np.ndarray, "n 137 3"], times: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """How near a person is in each frame: y of the foot that stands, or of the lowest point that is
    seen; smoothed, so that two do not change places at every step."""
    lowest = np.full(len(times), np.nan)
    for number, pose in enumerate(long_arrays.rows(keypoints)):
        feet = pose[_ANKLES]
        seen = feet[feet[:, 2] > 0, 1] if (feet[:, 2] > 0).any() else pose[pose[:, 2] > 0, 1]
        if len(seen):
            lowest[number] = seen.max()
    return smoothed(lowest, times)


def smoothed(
    values: Float[np.ndarray, " n"], times: Float[np.ndarray, " n"], seconds: float = STEADY
) -> Float[np.ndarray, " n"]:
    """Gaussian means over time; NaN takes what is around it (0 where all are NaN)."""
    filled = _between(np.asarray(values, float))
    if len(times) < 2:
        return filled
    sigma = seconds / max(float(np.median(np.diff(times))), 1e-6)
    radius = min(max(1, round(3 * sigma)), len(times) - 1)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(sigma, 1e-6)) ** 2)
    padded = np.pad(filled, radius, mode="reflect", reflect_type="odd")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")


def _between(values: np.ndarray) -> np.ndarray:
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return np.zeros_like(values)
    return np.interp(np.arange(len(values)), known, values[known])


def contact_shadow(
    pose: Float[np.ndarray, "137 3"], floor: float, size: tuple[int, int]
) -> tuple[slice, slice, Float32[np.ndarray, "h w"]] | None:
    """A soft darkness on the floor below a person: (rows, columns, 0 none ... 1 black).

    pose: in pixels of the picture; floor: y of the foot that stands (`standing`).
    Returns None where no foot is seen.
    """
    feet = pose[_ANKLES]
    feet = feet[feet[:, 2] > 0]
    points = pose[:25][pose[:25, 2] > 0, :2]
    if not len(feet) or len(points) < 4:
        return None
    tall = float(np.ptp(points[:, 1])) or 1.0
    floor = floor + 0.03 * tall
    spots = [(float(points[:, 0].mean()), BODY_WIDE * tall, BELOW_BODY)]
    for x, y, _ in feet:
        lifted = max(floor - 0.03 * tall - float(y), 0.0) / tall
        spots.append((float(x), FOOT_WIDE * tall, BELOW_FOOT * float(np.exp(-lifted / 0.05))))
    reach = 2.5 * BODY_WIDE * tall
    low = max(0, int(floor - reach * FLAT)), max(0, int(min(s[0] for s in spots) - reach))
    high = (
        min(size[0], int(floor + reach * FLAT) + 1),
        min(size[1], int(max(s[0] for s in spots) + reach) + 1),
    )
    if high[0] <= low[0] or high[1] <= low[1]:
        return None
    y, x = np.mgrid[low[0] : high[0], low[1] : high[1]].astype(np.float32) + 0.5
    light = np.ones(y.shape, np.float32)
    for at, wide, dark in spots:
        far = ((x - at) / wide) ** 2 + ((y - floor) / (wide * FLAT)) ** 2
        light *= 1 - dark * np.exp(-far)
    return slice(low[0], high[0]), slice(low[1], high[1]), 1 - light


def darken(
    canvas: Float32[np.ndarray, "h w c"],
    shadow: tuple[slice, slice, Float32[np.ndarray, "_ _"]],
) -> None:
    """Lays a shadow over a canvas of RGB, or of RGB times opacity and opacity."""
    rows, columns, dark = shadow
    part = canvas[rows, columns]
    part *= 1 - dark[..., None]
    if canvas.shape[-1] == 4:
        part[..., 3] += dark


def light_of(picture: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "3"]:
    """The colour and strength of the light in a picture: the means of its colours by the 6-norm
    (Shades of Grey, Finlayson & Trezzi 2004), RGB 0...255."""
    values = picture.reshape(-1, 3).astype(np.float64) / 255
    return 255 * (values**NORM).mean(0) ** (1 / NORM)


def gains(
    here: UInt8[np.ndarray, "_ _ 3"], there: UInt8[np.ndarray, "_ _ 3"]
) -> Float[np.ndarray, "3"]:
    """Factors of red, green and blue that bring a person filmed in front of `here` into the light
    of `there`."""
    ratio = light_of(there) / np.maximum(light_of(here), 1e-3)
    return np.clip(ratio, LEAST_GAIN, MOST_GAIN)


def finished(canvas: Float32[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w c"]:
    """A canvas as a picture: RGB, or RGBA with colours not multiplied by opacity."""
    if canvas.shape[-1] == 3:
        return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
    alpha = canvas[..., 3:]
    colours = canvas[..., :3] / np.maximum(alpha, 1e-3)
    whole = np.concatenate([colours, 255 * alpha], axis=-1)
    return np.clip(np.rint(whole), 0, 255).astype(np.uint8)
