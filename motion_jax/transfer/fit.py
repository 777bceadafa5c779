"""A source's poses and frames, fitted to the target's body in the target's picture.

A source with an end is measured whole. A live one is measured over its first SETTLE seconds, and
keeps these measures: measuring on for ever would let the person drift.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError, option
from motion_jax.pose import joints, long_arrays
from motion_jax.pose.face import face_boxes
from motion_jax.pose.normalize import (
    FOOT_CONFIDENCE,
    Horizontal,
    PoseStatistics,
    fit_in_words,
    fit_target,
    normalize,
)
from motion_jax.pose.options import Joints
from motion_jax.pose.skeleton import INDEX
from motion_jax.pose.track import PoseTrack
from motion_jax.train.run import Run
from motion_jax.transfer.options import Method
from motion_jax.transfer.source import Clip

# Seconds over which a live source is measured.
SETTLE = 1.0
_ANKLES = [INDEX["right_ankle"], INDEX["left_ankle"]]
_NO_BODY = (
    f"The poses of the source hold no body joint to fit to the target; use {option('normalize')} "
    "none or a source that shows the body."
)


@dataclass(frozen=True)
class Body:
    """What is known of the target to fit poses to it.

    Attributes:
      size: (height, width) of the pictures to be made.
      statistics: of its body, in pixels of `frame`; None where they are not known.
      frame: (height, width) of the frames in which it was measured.
      bent: how far its joints bend, as they were seen (joints.limits); None: not known.
      crop: whether the pictures are the middle of those frames at the same scale; otherwise they
        are the whole frames, scaled.
      unknown: why the statistics are not known, in a sentence.
    """

    size: tuple[int, int]
    statistics: PoseStatistics | None
    frame: tuple[int, int] = (1, 1)
    crop: bool = False
    unknown: str = ""
    bent: Sequence[joints.Limits | None] | None = None

    @classmethod
    def of_run(cls, run: Run) -> "Body":
        """The person that a run was trained on."""
        known: dict[str, Any] = run.dataset
        if known and known.get("target_statistics", {}) is None:
            unknown = (
                "The run's dataset has no keypoints (only ready pose pictures), so the target's "
                f"body is not known to fit poses to: use {option('normalize')} none, or drive it "
                f"with {option('ready_poses')}."
            )
        elif not known:
            unknown = (
                "The run was imported without a dataset, so the target's body is not known: use "
                f"{option('normalize')} none, or import it again with {option('data')} DATASET of "
                "the target."
            )
        else:
            try:
                statistics = PoseStatistics.from_json(known["target_statistics"])
                frame = known["info"]["height"], known["info"]["width"]
                found = known.get("target_joints")
                bent = None if found is None else joints.from_json(found)
                return cls(run.size, statistics, frame, bool(known.get("crop")), bent=bent)
            except (KeyError, TypeError, ValueError) as error:
                unknown = (
                    "The run's dataset.json does not describe the target's body as this version "
                    f"needs it ({error}); use {option('normalize')} none or train the run with "
                    "this version."
                )
        return cls(run.size, None, unknown=unknown)

    @classmethod
    def of_dataset(
        cls,
        dataset: PoseFrames,
        keypoints: Float[np.ndarray, "m 137 3"],
        size: tuple[int, int] | None = None,
    ) -> "Body":
        """The person of a dataset, measured by these keypoints of it; size: of the pictures
        (default: the dataset's)."""
        statistics = fit_target(keypoints, dataset.info.pixel_aspect)
        bent = joints.limits(np.asarray(keypoints))
        return cls(size or dataset.size, statistics, dataset.size, bent=bent)


def fit_clip(
    track: PoseTrack, body: Body, method: Method = "global", horizontal: Horizontal = "center"
) -> Clip:
    """The poses of a source with an end; its statistics are those of all frames.

    Args:
      track: N frames, in pixels of the source.
      method, horizontal: see `TransferOptions`.normalize and .horizontal.

    Raises UserError where the source or the target is not known well enough to fit one to the
    other.
    """
    found, how = track.found, ""
    frames = np.flatnonzero(found)
    keypoints = long_arrays.zeros((len(track), 137, 3))
    if len(frames):
        poses, source = long_arrays.taken(track.keypoints, frames), None
        if method != "none":
            source, target = _both(poses, body)
            how = fit_in_words(source, target)
        laid = _laid(poses, track.size, source, body, method, horizontal)
        for window in long_arrays.windows(laid, keypoints):
            keypoints[frames[window]] = np.where(laid[window, :, 2:] > 0, laid[window], 0)
    boxes = boxes_of(keypoints, body.size)
    boxes[~found] = 0
    return Clip(keypoints, boxes, ~found, track.times, how)


def kept_within(clip: Clip, body: Body) -> tuple[Clip, int]:
    """(the clip with no joint bent further than the target's were seen to bend, in how many of its
    moments one was).

    Raises UserError where that is not known of the target.
    """
    within = limits_of(body)
    keypoints, count = long_arrays.copied(clip.keypoints), 0
    for window in long_arrays.windows(keypoints):
        keypoints[window], beyond = joints.kept_within(keypoints[window], within)
        count += int(beyond.sum())
    boxes = boxes_of(keypoints, body.size)
    boxes[clip.lost] = 0
    return replace(clip, keypoints=keypoints, boxes=boxes), count


def limits_of(body: Body) -> Sequence[joints.Limits | None]:
    """How far the target's joints bend. Raises UserError where that is not known."""
    if body.bent is None:
        raise UserError(
            f"{option('joints')} seen needs to know how far the target's joints bend, which the "
            "run's dataset.json does not say; give the command that trained the run again (it "
            "writes that, and does not train a finished run further), or leave the option out."
        )
    return body.bent


def boxes_of(
    keypoints: Float32[np.ndarray, "n 137 3"], size: tuple[int, int]
) -> Float32[np.ndarray, "n 4"]:
    """`face_boxes` of all poses of a clip in pictures of `size`."""
    (boxes,) = long_arrays.gathered(lambda part: (face_boxes(part, *size),), keypoints)
    return boxes


class RunningFit:
    """Fits the poses of a live source, each by what was seen until then.

    Args:
      size: (height, width) of the source's frames.
      body, method, horizontal: as for `fit_clip`.
      bend: see `TransferOptions`.joints.
      known: of the source, measured before: it is not measured again until `reset`.

    Attributes:
      source: what was measured, in pixels of the source; None: nothing yet.

    Raises UserError where the target's body is not known, or with bend = "seen" how far its joints
    bend.
    """

    def __init__(
        self,
        size: tuple[int, int],
        body: Body,
        method: Method = "global",
        horizontal: Horizontal = "center",
        known: PoseStatistics | None = None,
        bend: Joints = "free",
    ):
        if method != "none" and body.statistics is None:
            raise UserError(body.unknown)
        self._within = limits_of(body) if bend == "seen" else None
        self.size, self.body, self.method = size, body, method
        self.horizontal: Horizontal = horizontal
        self.reset()
        self._use(known)

    def reset(self) -> None:
        """Forgets the source: another one is measured next."""
        self.source: PoseStatistics | None = None
        self._begun: float | None = None
        self._settled = False
        self._seen: list[np.ndarray] = []
        self._standing: np.ndarray | None = None

    def _use(self, known: PoseStatistics | None) -> None:
        if known is not None:
            self.source, self._settled = known, True

    @property
    def settled(self) -> bool:
        """Whether the source was measured long enough."""
        return self._settled

    def next(
        self, time: float, pose: Float[np.ndarray, "137 3"]
    ) -> Float32[np.ndarray, "137 3"] | None:
        """A pose in pixels of the source, seen at `time` (seconds) → in pixels of the target's
        picture; None as long as no body joint was seen."""
        if self.method != "none":
            self._measure(time, pose)
            if self.source is None:
                return None
        if (pose[_ANKLES, 2] >= FOOT_CONFIDENCE).any():
            self._standing = pose
        # A frame without feet is placed by the last one that showed them.
        poses = np.stack([pose if self._standing is None else self._standing, pose])
        fitted = _laid(poses, self.size, self.source, self.body, self.method, self.horizontal)[1]
        fitted[fitted[:, 2] <= 0] = 0
        if self._within is not None:
            (fitted,), _ = joints.kept_within(fitted[None], self._within)
        return fitted

    def _measure(self, time: float, pose: np.ndarray) -> None:
        if self._settled or not (pose[:25, 2] > 0).any():
            return
        self._begun = time if self._begun is None else self._begun
        self._seen.append(pose)
        self.source = fit_target(np.stack(self._seen))
        if time - self._begun >= SETTLE:
            self._settled, self._seen = True, []


def _both(poses: np.ndarray, body: Body) -> tuple[PoseStatistics, PoseStatistics]:
    """Statistics of the source and of the target."""
    try:
        source = fit_target(poses)
    except ValueError as error:
        raise UserError(_NO_BODY) from error
    if body.statistics is None:
        raise UserError(body.unknown)
    return source, body.statistics


def _laid(
    poses: np.ndarray,
    size: tuple[int, int],
    source: PoseStatistics | None,
    body: Body,
    method: Method,
    horizontal: Horizontal,
) -> np.ndarray:
    """[n, 137, 3] in pixels of the source → the same in pixels of the target's pictures."""
    height, width = body.size
    if method == "none":
        # The whole frame, undistorted, in the middle of the target's frame.
        scale = min(height / size[0], width / size[1])
        shift = [(width - scale * size[1]) / 2, (height - scale * size[0]) / 2]
        laid = long_arrays.copied(poses)
        for window in long_arrays.windows(laid):
            points = laid[window, :, :2]
            points[...] = points * scale + np.array(shift, np.float32)
        return laid
    assert source is not None and body.statistics is not None, "refused before"
    rows, columns = body.frame
    widths = size[1], columns
    laid = normalize(
        poses, source, body.statistics, method=method, horizontal=horizontal, widths=widths
    )
    for window in long_arrays.windows(laid):
        points = laid[window]
        if body.crop:
            points[..., 0] -= (columns - width) // 2
            points[..., 1] -= (rows - height) // 2
        else:
            points[..., 0] *= width / columns
            points[..., 1] *= height / rows
    return laid


def placements(
    before: Float[np.ndarray, "n 137 3"], after: Float[np.ndarray, "n 137 3"]
) -> Float32[np.ndarray, "n 2 3"]:
    """For each frame the scale (of each axis) and shift that bring its keypoints from `before` to
    `after`, as cv2.warpAffine takes it.

    Fitted by least squares to the points that both show. A frame with fewer than two takes those of
    the nearest frame that has them. Raises UserError where no frame has two.
    """
    found = np.full((len(before), 2, 3), np.nan)
    pairs = zip(long_arrays.rows(before), long_arrays.rows(after), strict=True)
    for i, (old, new) in enumerate(pairs):
        both = (old[:, 2] > 0) & (new[:, 2] > 0)
        if both.sum() < 2:
            continue
        x, y = np.asarray(old[both, :2], float), np.asarray(new[both, :2], float)
        away = x - x.mean(0)
        spread = (away**2).sum(0)
        if (spread < 1e-6).any():
            continue
        scale = (away * (y - y.mean(0))).sum(0) / spread
        found[i] = np.column_stack([np.diag(scale), y.mean(0) - scale * x.mean(0)])
    known = np.flatnonzero(np.isfinite(found[:, 0, 0]))
    if not len(known):
        raise UserError(
            "The poses of the source show too little to place its frames in the target's picture; "
            "use a source that shows the body."
        )
    frames = np.arange(len(found))
    later = np.clip(np.searchsorted(known, frames), 0, len(known) - 1)
    left, right = known[np.maximum(later - 1, 0)], known[later]
    nearest = np.where(np.abs(frames - left) <= np.abs(right - frames), left, right)
    return found[nearest].astype(np.float32)


def laid_frames(
    frames: Iterable[UInt8[np.ndarray, "_ _ 3"]],
    places: Float32[np.ndarray, "n 2 3"],
    lost: Bool[np.ndarray, " n"],
    size: tuple[int, int],
) -> Iterator[UInt8[np.ndarray, "h w 3"] | None]:
    """Each frame by its placement in a picture of `size`; None where the person is lost."""
    for image, place, absent in zip(frames, places, lost, strict=True):
        yield None if absent else moved(image, place, *size)


def moved(
    image: UInt8[np.ndarray, "_ _ 3"], place: Float[np.ndarray, "2 3"], height: int, width: int
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """The image moved by its placement; what lies outside it repeats its edge. It is first made
    smaller by area averages, or fine patterns would become edges."""
    rows, columns = image.shape[:2]
    # People upside down or hugely enlarged are misjudged poses.
    scale = np.clip(np.abs([place[0, 0], place[1, 1]]), 1 / 64, 64)
    shrunk = np.minimum(scale, 1.0)
    size = max(1, round(columns * float(shrunk[0]))), max(1, round(rows * float(shrunk[1])))
    if size != (columns, rows):
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    # From pixels of the smaller picture; half a pixel because positions are those of corners.
    rest = place[:, :2] @ np.diag([columns / size[0], rows / size[1]])
    shift = place[:, 2] + rest.sum(1) * 0.5 - 0.5
    matrix = np.column_stack([rest, shift]).astype(np.float32)
    return cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
