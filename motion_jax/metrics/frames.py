"""How far pictures are from the true ones: jitted, float32, one figure a frame.

All pictures are RGB with values 0...255, `real` is the true frame and `fake` the synthesised one.
A figure that cannot be had for a frame (no face in it, no frame before it) is NaN; `mean` leaves
those out. Definitions:

- PSNR = 10 log10(255² / mean squared error over pixels and channels), in dB, at most 100.
- SSIM after Wang, Bovik, Sheikh & Simoncelli (2004): Gaussian window of 11x11 pixels, sigma 1.5,
  K1 = 0.01, K2 = 0.03, range 255, population (not sample) variances, only windows that lie wholly
  inside the frame; the mean over the channels R, G, B. A frame smaller than 11 pixels gets the
  largest odd window that fits.
- Crops (`body_…`, `face_…`): PSNR over the pixels of the crop; SSIM as the mean of the full frame's
  SSIM map over the windows whose centre lies in the crop, so a crop may be smaller than the window
  and no border is made up. The body crop is the box around all observed keypoints of the true pose
  plus 10 % of its longer side, inside the frame; the face crop is the record's face box.
- Flicker = mean over pixels and channels of |(fake_t - fake_{t-1}) - (real_t - real_{t-1})|, grey
  levels 0...255: motion that should be there costs nothing, change that should not be does.
  Background flicker: the same over the pixels outside the body crops of both frames.
- Pose distance and missed detections after Everybody Dance Now (2018, appendix): the mean Euclidean
  distance in pixels over the joints found in both pictures, and the number of joints found in the
  true picture and not in the synthesised one. Pictures in which nobody is found have neither.
- Sharpness: the variance of the Laplacian of the grey levels in the body crop, of the synthesised
  picture over that of the true one: 1 is as sharp, half of that looks blurred.
- Person found: the share of frames with a person in which the detector finds a joint of the body in
  the synthesised picture.
"""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Float32, Real, Shaped, UInt8

from motion_jax.pose.skeleton import BODY, FACE, LEFT_HAND, RIGHT_HAND

HIGHEST_PSNR = 100.0
WINDOW = 11
SIGMA = 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
BODY_MARGIN = 0.1
# Re-estimated joints below this confidence count as not found.
FOUND = 0.1

GROUPS: dict[str, tuple[slice, ...]] = {
    "all": (slice(0, 137),),
    "body": (BODY,),
    "face": (FACE,),
    "hands": (LEFT_HAND, RIGHT_HAND),
}


def gaussian_window(size: int) -> Float32[np.ndarray, " {size}"]:
    """Weights along one axis, whose sum is 1."""
    offsets = np.arange(size) - (size - 1) / 2
    weights = np.exp(-(offsets**2) / (2 * SIGMA**2))
    return (weights / weights.sum()).astype(np.float32)


def window_size(height: int, width: int) -> int:
    """11, or the largest odd number that fits a smaller frame."""
    smallest = min(height, width)
    return min(WINDOW, smallest - 1 + smallest % 2)


def _blur(x: Array, size: int) -> Array:
    """[..., H, W, C] filtered by the window over H and W, only where it fits."""
    weights = gaussian_window(size)
    for axis in (-3, -2):
        kept = x.shape[axis] - size + 1
        parts = (
            float(weight) * jax.lax.slice_in_dim(x, i, i + kept, axis=x.ndim + axis)
            for i, weight in enumerate(weights)
        )
        x = sum(parts, start=jnp.zeros(()))
    return x


def ssim_map(
    real: Shaped[Array, "*n h w 3"], fake: Shaped[Array, "*n h w 3"]
) -> Float32[Array, "*n rows columns"]:
    """Pictures of 0...255 → the similarity at H - k + 1 rows and W - k + 1 columns, averaged over
    the channels.

    k is `window_size`; entry (i, j) belongs to the window centred at pixel (i + k//2, j + k//2).
    """
    size = window_size(real.shape[-3], real.shape[-2])
    # Variances do not change with the zero point, and around 128 float32 keeps more of them.
    a, b = real.astype(jnp.float32) - 128, fake.astype(jnp.float32) - 128
    mean_a, mean_b = _blur(a, size), _blur(b, size)
    variances = _blur(a * a, size) - mean_a**2 + _blur(b * b, size) - mean_b**2
    covariance = _blur(a * b, size) - mean_a * mean_b
    mean_a, mean_b = mean_a + 128, mean_b + 128
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    structure = (2 * covariance + C2) / (variances + C2)
    return (luminance * structure).mean(-1)


def _inside(boxes: Array, height: int, width: int, offset: int = 0) -> Array:
    """[N, 4] boxes → float32 [N, height, width], 1 where pixel (row + offset, column + offset) has
    its centre in the box."""
    rows, columns = (jnp.arange(n) + offset + 0.5 for n in (height, width))
    top, left, bottom, right = (boxes[:, i, None] for i in range(4))
    vertical = (rows >= top) & (rows < bottom)
    horizontal = (columns >= left) & (columns < right)
    return (vertical[:, :, None] & horizontal[:, None, :]).astype(jnp.float32)


def _mean_where(values: Array, mask: Array) -> Array:
    """Mean over the last two axes where the mask is 1; NaN where it is nowhere 1."""
    count = mask.sum((-2, -1))
    return jnp.where(count > 0, (values * mask).sum((-2, -1)) / jnp.maximum(count, 1), jnp.nan)


def _decibel(mse: Array) -> Array:
    lowest = 255.0**2 * 10 ** (-HIGHEST_PSNR / 10)
    return 10 * jnp.log10(255.0**2 / jnp.maximum(mse, lowest))


@jax.jit
def psnr(real: Shaped[Array, "*n h w 3"], fake: Shaped[Array, "*n h w 3"]) -> Float32[Array, "*n"]:
    """In dB over the full frame; the pictures' values are 0...255."""
    error = real.astype(jnp.float32) - fake.astype(jnp.float32)
    return _decibel(jnp.mean(error**2, axis=(-3, -2, -1)))


@jax.jit
def ssim(real: Shaped[Array, "*n h w 3"], fake: Shaped[Array, "*n h w 3"]) -> Float32[Array, "*n"]:
    """At most 1, over the full frame; the pictures' values are 0...255."""
    return ssim_map(real, fake).mean((-2, -1))


@jax.jit
def frame_scores(
    real: Shaped[Array, "n h w 3"],
    fake: Shaped[Array, "n h w 3"],
    body_boxes: Real[Array, "n 4"],
    face_boxes: Real[Array, "n 4"],
) -> dict[str, Float32[Array, " n"]]:
    """PSNR and SSIM of the full frame, the body crop and the face crop: psnr, ssim, body_psnr,
    body_ssim, face_psnr, face_ssim.

    Args:
      real, fake: in 0...255.
      body_boxes, face_boxes: (top, left, bottom, right) in pixels; all zero: none.
    """
    height, width = real.shape[1:3]
    error = real.astype(jnp.float32) - fake.astype(jnp.float32)
    squared = jnp.mean(error**2, axis=-1)
    similarity = ssim_map(real, fake)
    offset = window_size(height, width) // 2
    result = {"psnr": _decibel(squared.mean((-2, -1))), "ssim": similarity.mean((-2, -1))}
    for name, boxes in (("body", body_boxes), ("face", face_boxes)):
        result[f"{name}_psnr"] = _decibel(_mean_where(squared, _inside(boxes, height, width)))
        rows, columns = similarity.shape[1:]
        centres = _inside(boxes, rows, columns, offset)
        result[f"{name}_ssim"] = _mean_where(similarity, centres)
    return result


@jax.jit
def flicker(
    real: Shaped[Array, "n h w 3"], fake: Shaped[Array, "n h w 3"], body_boxes: Real[Array, "n 4"]
) -> dict[str, Float32[Array, " n-1"]]:
    """Change between neighbours that the true frames do not have: flicker and background_flicker
    in grey levels, entry i between frames i and i + 1.

    Args:
      real, fake: consecutive frames of one clip, 0...255.
      body_boxes: in pixels.
    """
    real, fake = real.astype(jnp.float32), fake.astype(jnp.float32)
    change = jnp.abs(jnp.diff(fake, axis=0) - jnp.diff(real, axis=0)).mean(-1)
    body = _inside(body_boxes, *real.shape[1:3])
    background = 1 - jnp.maximum(body[1:], body[:-1])
    return {"flicker": change.mean((-2, -1)), "background_flicker": _mean_where(change, background)}


def body_boxes(
    keypoints: Float[np.ndarray, "n 137 3"], height: int, width: int
) -> Float32[np.ndarray, "n 4"]:
    """Boxes (top, left, bottom, right) around the observed keypoints.

    keypoints: in pixels of the frame. Boxes are larger by BODY_MARGIN times their longer side on
    every side, of whole pixels, inside the frame; zeros where nothing is observed or all of it lies
    outside the frame.
    """
    keypoints = np.asarray(keypoints, np.float32)
    boxes = np.zeros((len(keypoints), 4), np.float32)
    for box, points in zip(boxes, keypoints, strict=True):
        seen = points[points[:, 2] > 0]
        if not len(seen):
            continue
        (left, top), (right, bottom) = seen[:, :2].min(0), seen[:, :2].max(0)
        room = BODY_MARGIN * max(right - left, bottom - top)
        top, left = max(0, np.floor(top - room)), max(0, np.floor(left - room))
        bottom, right = min(height, np.ceil(bottom + room)), min(width, np.ceil(right + room))
        if bottom > top and right > left:
            box[:] = top, left, bottom, right
    return boxes


def pose_distance(
    true: Float[np.ndarray, "n 137 3"], found: Float[np.ndarray, "n 137 3"]
) -> dict[str, Float32[np.ndarray, " n"]]:
    """Poses re-estimated from synthesised frames against those of the true frames.

    true, found: in pixels of one frame size; a joint is found where its confidence is at least
    FOUND. Returns for each of GROUPS pose_distance_GROUP (pixels; NaN where no joint is found in
    both) and missed_GROUP (joints), and person_found (1 or 0; NaN where the true frame shows
    nobody). Raises ValueError for different numbers of poses.
    """
    true, found = np.asarray(true, np.float32), np.asarray(found, np.float32)
    if true.shape != found.shape:
        raise ValueError(f"poses of shapes {true.shape} and {found.shape}")
    there, seen = true[..., 2] >= FOUND, found[..., 2] >= FOUND
    distance = np.linalg.norm(true[..., :2] - found[..., :2], axis=-1)
    result = {}
    for name, parts in GROUPS.items():
        joints = np.concatenate([np.arange(part.start, part.stop) for part in parts])
        both = (there & seen)[:, joints]
        count = both.sum(1)
        total = np.where(both, distance[:, joints], 0).sum(1)
        result[f"pose_distance_{name}"] = np.where(
            count > 0, total / np.maximum(count, 1), np.nan
        ).astype(np.float32)
        result[f"missed_{name}"] = (there & ~seen)[:, joints].sum(1).astype(np.float32)
    found_body, true_body = seen[:, BODY].any(1), there[:, BODY].any(1)
    result["person_found"] = np.where(true_body, found_body, np.nan).astype(np.float32)
    return result


def sharpness(
    real: UInt8[np.ndarray, "n h w 3"],
    fake: UInt8[np.ndarray, "n h w 3"],
    boxes: Real[np.ndarray, "n 4"],
) -> Float32[np.ndarray, " n"]:
    """Of the body crops (top, left, bottom, right, pixels), relative to the true picture's; NaN
    where the crop is smaller than 3 pixels or the true one has no edge."""
    found = np.full(len(real), np.nan, np.float32)
    for i, box in enumerate(np.asarray(boxes).round().astype(int)):
        top, left, bottom, right = box
        if bottom - top < 3 or right - left < 3:
            continue
        edges = []
        for picture in (real[i], fake[i]):
            grey = picture[top:bottom, left:right].mean(-1, dtype=np.float32)
            inner = grey[1:-1, 1:-1]
            around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
            edges.append(float((around - 4 * inner).var()))
        if edges[0] > 0:
            found[i] = edges[1] / edges[0]
    return found


def mean(values: Real[np.ndarray, " n"]) -> float | None:
    """Mean over the frames that have a figure; None where none has."""
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else None


def means(per_frame: Mapping[str, Real[np.ndarray, " _"]]) -> dict[str, float | None]:
    """`mean` of each of several arrays."""
    return {name: mean(values) for name, values in per_frame.items()}


class FlickerMeter:
    """`flicker` over frames that come in pieces: keeps the last frame of the piece before.

    Every piece is padded to one length, so that one program is compiled for all.
    """

    def __init__(self, length: int):
        self.length = length
        self.reset()

    def reset(self) -> None:
        """The next frame has no frame before it (a new clip begins)."""
        self._last: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def feed(
        self,
        real: UInt8[np.ndarray, "n h w 3"],
        fake: UInt8[np.ndarray, "n h w 3"],
        boxes: Real[np.ndarray, "n 4"],
    ) -> dict[str, Float32[np.ndarray, " n"]]:
        """At most `length` frames → flicker and background_flicker; NaN for a frame that has none
        before it."""
        count = len(real)
        first = self._last or (real[0], fake[0], boxes[0])
        fresh = self._last is None
        self._last = (real[-1].copy(), fake[-1].copy(), boxes[-1].copy())
        joined = [
            pad(np.concatenate([start[None], rest]), self.length + 1)
            for start, rest in zip(first, (real, fake, boxes), strict=True)
        ]
        result = {k: np.array(v)[:count] for k, v in flicker(*joined).items()}
        if fresh:
            for values in result.values():
                values[0] = np.nan
        return result


def pad(
    values: Shaped[np.ndarray, " n *entry"], length: int
) -> Shaped[np.ndarray, " {length} *entry"]:
    """The array with its last entry repeated to `length` entries."""
    missing = length - len(values)
    return np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) if missing else values


@functools.cache
def definitions() -> str:
    """The definitions above, for reports."""
    return __doc__.split("Definitions:", 1)[1].strip()
