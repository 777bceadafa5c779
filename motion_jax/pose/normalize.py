"""Fits the source's poses to the target's body and place, so that the network sees poses like those
it was trained on.

Image y grows downwards: "close" to the camera means a larger y of the feet. S, the foot value of a
frame, is the y of the lower ankle (the one that stands; the paper's text takes the mean of both,
with which every lifted leg looks like a step away from the camera; its program takes the lower).
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32

from motion_jax.pose import long_arrays
from motion_jax.pose.limbs import LIMBS, leg_ratio, limb_lengths, rebuild
from motion_jax.pose.normalize_edn import normalize_edn
from motion_jax.pose.skeleton import INDEX, midpoint

Method = Literal["global", "limbs", "none", "edn_reference"]
Horizontal = Literal["center", "keep", "frame"]

# Feet count as seen from this confidence on, and a video shows them if this share of its poses
# does.
FOOT_CONFIDENCE = 0.3
FOOT_SHARE = 0.2
# "far" is the smallest S within this share of (close - median) above the median.
FAR_FRACTION = 0.7
# Nobody is larger or smaller by more than this factor: a scale beyond it is a misjudgement.
LARGEST_SCALE = 20.0
# A person's height in the picture shrinks with the distance of the feet from the horizon. With the
# camera at eye level the horizon cuts the eyes and the height shrinks as fast as S rises; with the
# camera at the knees about 2.5 times as fast. Faster is a misjudged height.
STEEPEST = 2.5


@dataclass(frozen=True)
class Standing:
    """S where a person is close to the camera and far from it, and the height there, in pixels."""

    close: float
    far: float
    height_close: float
    height_far: float


@dataclass(frozen=True)
class PoseStatistics:
    """What normalisation needs to know of a person in a video; from keypoints alone.

    Lengths and places are in pixels of the frames that the keypoints belong to, x stretched by
    `pixel_aspect`. None: never seen.
    """

    # Number of frames with any body joint.
    frames: int
    # Width of a pixel divided by its height: 1, or (frame width / stored width) / (frame height /
    # stored height) where frames were squashed.
    pixel_aspect: float
    # S where the person is close and far; None where the feet are out of view.
    foot_close: float | None
    foot_far: float | None
    # Height (head to the middle of the ankles) at foot_close and at foot_far.
    height_close: float | None
    height_far: float | None
    # Median x of the mid-hip (the neck where no hips are seen).
    root_x: float | None
    # Median place of the neck (the head where no shoulders are seen).
    neck_x: float | None
    neck_y: float | None
    # Lengths by name, see `limbs.LIMBS`, half way between close and far; right and left are one.
    limbs: dict[str, float]

    @property
    def standing(self) -> Standing | None:
        """None where the feet are out of view."""
        if (
            self.foot_close is None
            or self.foot_far is None
            or self.height_close is None
            or self.height_far is None
        ):
            return None
        return Standing(self.foot_close, self.foot_far, self.height_close, self.height_far)

    def to_json(self) -> dict:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: dict | str) -> "PoseStatistics":
        """From `to_json`'s dictionary, or that as a JSON text. Raises ValueError that names what is
        missing or not known."""
        value = json.loads(value) if isinstance(value, str) else value
        names = {field.name for field in dataclasses.fields(cls)}
        if wrong := names ^ set(value):
            raise ValueError(f"pose statistics of another version: {', '.join(sorted(wrong))}")
        return cls(**value)


def fit_target(
    keypoints: Float[np.ndarray, "n 137 3"], pixel_aspect: float = 1.0
) -> PoseStatistics:
    """Statistics of the keypoints of a target or of a source. Uses every frame; the same
    keypoints always give the same numbers. Raises ValueError where no frame has a body joint."""
    keypoints = np.asarray(keypoints)

    def measures(part: np.ndarray) -> tuple[np.ndarray, ...]:
        part = _square(part, pixel_aspect)
        body = np.asarray((part[:, :25, 2] > 0).any(1))
        return body, *_feet(part), _root(part), _neck(part)

    body, foot, height, seen, root, neck = long_arrays.gathered(measures, keypoints)
    frames = int(body.sum())
    if not frames:
        raise ValueError("no frame has any body joint")
    tall = seen & (height > 0)
    close = far = height_close = height_far = None
    factor = np.ones((len(keypoints), 1, 1))
    if tall.sum() >= max(1, FOOT_SHARE * frames):
        close, far = _close_and_far(foot[tall])
        height_close, height_far = _heights(foot[tall], height[tall], close, far)
        factor = _to_middle(foot, seen, close, far, height_close / height_far)
    middle = (
        _square(keypoints[window], pixel_aspect) * factor[window]
        for window in long_arrays.windows(keypoints)
    )
    return PoseStatistics(
        frames=frames,
        pixel_aspect=float(pixel_aspect),
        foot_close=close,
        foot_far=far,
        height_close=height_close,
        height_far=height_far,
        root_x=_median(root, 0),
        neck_x=_median(neck, 0),
        neck_y=_median(neck, 1),
        limbs=limb_lengths(middle),
    )


def _to_middle(
    foot: np.ndarray, seen: np.ndarray, close: float, far: float, larger: float
) -> np.ndarray:
    """[N, 1, 3]: what makes each frame's lengths those of the person half way between close and
    far, who is `larger` times as large at close as at far."""
    frames = np.arange(len(foot))
    p = np.interp(frames, frames[seen], (foot[seen] - far) / max(close - far, 1e-9))
    factor = (1 + larger) / 2 / (1 + np.clip(p, 0, 1) * (larger - 1))
    return np.stack([factor, factor, np.ones_like(factor)], -1)[:, None]


def _square(keypoints: np.ndarray, aspect: float) -> np.ndarray:
    return np.asarray(keypoints, np.float64) * np.array([aspect, 1, 1])


def _first_known(*candidates: np.ndarray) -> np.ndarray:
    """The first of several [N, 3] points that is known in each frame."""
    result = candidates[0]
    for candidate in candidates[1:]:
        result = np.where(result[:, 2:] > 0, result, candidate)
    return result


def _at(keypoints: np.ndarray, name: str) -> np.ndarray:
    return keypoints[:, INDEX[name]]


def _head(keypoints: np.ndarray) -> np.ndarray:
    return _first_known(
        _at(keypoints, "nose"),
        midpoint(_at(keypoints, "right_ear"), _at(keypoints, "left_ear")),
        midpoint(_at(keypoints, "right_eye"), _at(keypoints, "left_eye")),
    )


def _neck(keypoints: np.ndarray) -> np.ndarray:
    return _first_known(_at(keypoints, "neck"), _head(keypoints))


def _root(keypoints: np.ndarray) -> np.ndarray:
    return _first_known(_at(keypoints, "mid_hip"), _neck(keypoints))


def _feet(keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """S [N], height [N] (0: head unknown) and whether S is known [N]."""
    ankles = keypoints[:, [INDEX["right_ankle"], INDEX["left_ankle"]]]
    seen = ankles[..., 2] >= FOOT_CONFIDENCE
    foot = np.where(seen, ankles[..., 1], -np.inf).max(1)
    known = np.asarray(seen.any(1))
    middle = np.where(seen[..., None], ankles[..., :2], 0).sum(1)
    middle /= np.maximum(seen.sum(1), 1)[:, None]
    head = _head(keypoints)
    height = np.linalg.norm(head[:, :2] - middle, axis=-1)
    height[(head[:, 2] <= 0) | ~known] = 0
    return np.where(known, foot, 0), height, known


def _median(points: np.ndarray, axis: int) -> float | None:
    known = points[:, 2] > 0
    return float(np.median(points[known, axis])) if known.any() else None


def _close_and_far(foot: np.ndarray) -> tuple[float, float]:
    """Paper: close = largest S, far = smallest S less than 0.7 (close - median) above the median.
    The largest 1 % are left out, so that one misjudged ankle does not decide; where no frame lies
    in the band, far is the median, or close itself if the feet never move."""
    median, close = np.median(foot), np.quantile(foot, 0.99)
    band = foot[(foot < median) & (median - foot < FAR_FRACTION * (close - median))]
    return float(close), float(band.min() if len(band) else min(median, close))


def _heights(foot: np.ndarray, height: np.ndarray, close: float, far: float) -> tuple[float, float]:
    """The person's upright height at close and at far: the largest (95th percentile) among the
    frames near there, widened until they are 5 at least, because people bend and sit; at far at
    most as at close, and at least what `STEEPEST` allows."""
    overall = np.quantile(height, 0.95)

    def upright(place):
        distance = np.abs(foot - place)
        enough = np.sort(distance)[min(4, len(foot) - 1)]
        within = max(0.05 * (close - far), 0.02 * overall, enough)
        return float(np.quantile(height[distance <= within], 0.95))

    at_close = upright(close)
    if overall > 1.1 * at_close:
        at_close = float(overall)
    steepest = at_close - STEEPEST * (close - far)
    return at_close, float(np.clip(upright(far), max(steepest, 0.2 * at_close), at_close))


def fit_in_words(source: PoseStatistics, target: PoseStatistics) -> str:
    """One sentence on how "global" and "limbs" will fit this source to this target, for the log."""
    here, there = source.standing, target.standing
    if here and there:
        close = there.height_close / here.height_close
        far = there.height_far / here.height_far
        return f"Fitted by height and feet: scale {close:.3f} close to the camera, {far:.3f} far."
    who = "target" if here else "source"
    name, scale = _upper_scale(source, target)
    return f"Feet out of view in the {who}: fitted by the {name}, scale {scale:.3f}, at the neck."


def _upper_scale(source: PoseStatistics, target: PoseStatistics) -> tuple[str, float]:
    """The most telling length that both show, and target / source of it."""
    for name in ("torso", "shoulders", "neck", "ears", "eyes", *LIMBS):
        a, b = source.limbs.get(name, 0), target.limbs.get(name, 0)
        if a > 0 and b > 0 and 1 / LARGEST_SCALE <= b / a <= LARGEST_SCALE:
            return name, b / a
    return "frame alone, because no length is seen in both", 1.0


def normalize(
    keypoints: Float[np.ndarray, "n 137 3"],
    source: PoseStatistics,
    target: PoseStatistics,
    method: Method = "global",
    horizontal: Horizontal = "center",
    widths: tuple[float, float] | None = None,
    target_keypoints: Float[np.ndarray, "m 137 3"] | None = None,
    target_width: int | None = None,
) -> Float32[np.ndarray, "n 137 3"]:
    """Source poses as the target would take them, in the target's pixels.

    Methods:
      "global": Everybody Dance Now's (ICCV appendix), corrected: one scale and shift a frame. With
        p = (S - far) / (close - far) of the source, clamped to 0...1, the scale goes from the ratio
        of heights at far to that at close, and S to its place between the target's far and close;
        the anchor is the frame's own foot. What clamping cuts off (jumps) is kept as scaled motion.
        Where the source's range is smaller, in body heights, than the target's, the target's range
        is shrunk around its middle, so that motion is not stretched. Frames without feet take scale
        and shift from their neighbours. Where the feet of either person are out of view, the scale
        is that of the torso (else shoulders, neck, head) and the neck goes to the target's neck,
        see `fit_in_words`.
      "limbs": as "global" for place and size, and every limb gets the target's length: rebuilt from
        the root along the skeleton, with face and hands moved and scaled with the head and wrists.
        The way that the root goes sideways gets the legs' proportion, or feet would slide.
      "none": a copy.
      "edn_reference": the original program's, see `normalize_edn`; needs `target_keypoints` and
        `target_width` (the constant anchor's x is half of it), and ignores the statistics.

    Args:
      horizontal: "center" (default) brings the source's median place to the target's and scales
        motion around it, because a dancer who stands elsewhere than the target would leave a narrow
        frame; "keep" scales about each frame's own root and leaves it where it is, as the paper;
        "frame" scales about the middle of the picture, for two films of one stage.
      widths: for "frame", the widths of the source's and of the target's pictures in pixels.

    Confidences do not change; unobserved keypoints stay zero. Raises ValueError for an unknown
    method.
    """
    keypoints = np.asarray(keypoints, np.float32)
    if method == "none":
        return long_arrays.copied(keypoints)
    if method == "edn_reference":
        if target_keypoints is None or target_width is None:
            raise ValueError("edn_reference needs target_keypoints and target_width")
        return normalize_edn(keypoints, target_keypoints, target_width)
    if method not in ("global", "limbs"):
        raise ValueError(f"method is {method!r}; choose global, limbs, none or edn_reference")
    scale, size, start, goal = _transform(keypoints, source, target, horizontal, widths)
    legs = leg_ratio(source.limbs, target.limbs, size)
    result = long_arrays.zeros(keypoints.shape)
    for window in long_arrays.windows(result, keypoints):
        poses, grown = _square(keypoints[window], source.pixel_aspect), scale[window]
        moved = poses[..., :2] - start[window, None]
        moved = moved * grown[:, None, None] + goal[window, None]
        if method == "limbs":
            plain = moved
            moved = rebuild(poses, plain, grown, source.limbs, target.limbs, size)
            moved += _replant(poses, plain, moved)[:, None]
            way = _root(poses)
            way = np.where(way[:, 2] > 0, way[:, 0] - start[window, 0], 0.0)
            moved[..., 0] += ((legs - 1) * way * grown)[:, None]
        poses[..., :2] = moved
        poses[..., 0] /= target.pixel_aspect
        result[window] = np.where(poses[..., 2:] > 0, poses, 0)
    return result


def _transform(
    keypoints: np.ndarray,
    source: PoseStatistics,
    target: PoseStatistics,
    horizontal: str,
    widths: tuple[float, float] | None,
) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
    """Scale [N], the typical scale, and the point [N, 2] of the source that goes to the point
    [N, 2] of the target."""
    count = len(keypoints)
    foot, known, root = long_arrays.gathered(
        lambda part: _foot_and_root(_square(part, source.pixel_aspect)), keypoints
    )
    here, there = source.standing, target.standing
    if here and there:
        if not known.any():
            foot, known = np.full(count, here.close), np.ones(count, bool)
        frames = np.arange(count)
        foot = np.interp(frames, frames[known], foot[known])
        scale, size, goal_y = _depth(foot, here, there)
        start_y = foot
        source_x, target_x = source.root_x, target.root_x
    else:
        size = _upper_scale(source, target)[1]
        scale = np.full(count, size)
        # Any common point will do where one of them shows neither neck nor head.
        start, goal = source.neck_y, target.neck_y
        if start is None or goal is None:
            start = goal = 0.0
        start_y, goal_y = np.full(count, start), np.full(count, goal)
        source_x, target_x = source.neck_x, target.neck_x
    if source_x is None or target_x is None:
        source_x = target_x = 0.0
    start_x, goal_x = np.full(count, source_x), np.full(count, target_x)
    if horizontal == "keep":
        start_x = goal_x = np.where(root[:, 2] > 0, root[:, 0], source_x)
    elif horizontal == "frame":
        if widths is None:
            raise ValueError("frame needs the widths of the pictures")
        start_x = np.full(count, widths[0] / 2 * source.pixel_aspect)
        goal_x = np.full(count, widths[1] / 2 * target.pixel_aspect)
    elif horizontal != "center":
        raise ValueError(f"horizontal is {horizontal!r}; choose center, keep or frame")
    return scale, size, np.stack([start_x, start_y], -1), np.stack([goal_x, goal_y], -1)


def _foot_and_root(poses: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    foot, _, known = _feet(poses)
    return foot, known, _root(poses)


def _depth(
    foot: np.ndarray, source: Standing, target: Standing
) -> tuple[np.ndarray, float, np.ndarray]:
    """Scale [N], the scale half way between far and close (where the limbs were measured), and the
    target's S [N], for every S [N] of the source."""
    source_range = source.close - source.far
    close, far = target.close, target.far
    height_close, height_far = target.height_close, target.height_far
    size = (height_close + height_far) / (source.height_close + source.height_far)
    # In body heights, because the two videos may have different resolutions.
    wanted = source_range * target.height_close / source.height_close
    if wanted < close - far:
        share = wanted / (close - far)
        middle, half = (close + far) / 2, wanted / 2
        close, far = middle + half, middle - half
        # Heights at the new ends, on the line through the old ones.
        mean, half = (height_close + height_far) / 2, share * (height_close - height_far) / 2
        height_close, height_far = mean + half, mean - half
    at_close, at_far = height_close / source.height_close, height_far / source.height_far
    if source_range > 0:
        p = np.clip((foot - source.far) / source_range, 0, 1)
    else:
        p = np.full(len(foot), 0.5)
    scale = at_far + p * (at_close - at_far)
    inside = source.far + p * source_range
    return scale, size, far + p * (close - far) + scale * (foot - inside)


def _replant(poses: np.ndarray, plain: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """[n, 2] shifts that put rebuilt figures (`moved`) where the plain transform has them: the
    lower ankle's y (the neck's where no ankle is seen) and the root's x."""
    ankles = [INDEX["right_ankle"], INDEX["left_ankle"]]
    seen = poses[:, ankles, 2] >= FOOT_CONFIDENCE

    standing = seen.any(1)

    def lowest(points):
        return np.where(seen, points[:, ankles, 1], -np.inf).max(1)[standing]

    shift = np.zeros((len(poses), 2))
    shift[standing, 1] = lowest(plain) - lowest(moved)
    neck = ~standing & (poses[:, INDEX["neck"], 2] > 0)
    shift[neck, 1] = (plain - moved)[neck, INDEX["neck"], 1]
    return shift
