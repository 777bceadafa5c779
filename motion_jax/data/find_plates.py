"""Plates: the background of each clip, without the person.

The plate of a clip is the median of its training frames, pixel by pixel, over those frames in which
the pose says that the person is elsewhere. Where the person is in front of a pixel in all of them,
it is filled from the pixels around it.

A camera that shakes a little is followed by a homography, light that changes by a factor for each
colour: the plate then lies in each training frame as the camera saw it. Other frames, of which
nobody knows that, get the plate as it is. A camera that travels has no plate.
"""

import bisect
import copy
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from motion_jax.data.pairs import stretches
from motion_jax.data.plates import Plates, moved
from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError, option
from motion_jax.pose.skeleton import BODY, LAYOUTS
from motion_jax.progress import say

# Frames that the median is taken of, at most.
SAMPLES = 120
# Half the thickness of a limb and what is around it, as a share of the person's height.
THICKNESS = 0.12
# A pixel that fewer frames than these, or a smaller share of them, show without the person is
# filled from those around it.
LEAST, SHARE = 3, 0.05
# A pixel near a limb that differs from the plate around it by more shows the person (grey levels).
DIFFERS = 24
# The median way of background points between frames, in pixels: under the first the camera stands
# still, over the second (a share of the longer side) it travels.
STILL, TRAVELS = 0.5, 0.1
# The share of points that must go the median way, or it says nothing of the camera.
CONSENSUS = 0.6
# Side of the square by which a point is followed, in pixels.
WINDOW = 21
# Points that a homography is believed of.
LEAST_POINTS = 12
# The light changes where the mean of a colour's background moves by more (standard deviation, grey
# levels).
LIGHT = 2.0


class CameraMoves(UserError):
    """A clip has no still background."""


def with_plates(dataset: PoseFrames, plates: Plates) -> PoseFrames:
    """The dataset, whose frames are given with these plates."""
    plated = copy.copy(dataset)
    plated.plates = plates
    return plated


def make_plates(dataset: PoseFrames, holdout: float) -> Plates:
    """The plates of a dataset, from its training part alone; says what the camera does.

    holdout: as pairs.stretches takes it. Raises CameraMoves where a camera travels.
    """
    training = stretches(dataset, holdout, "train")
    found = np.zeros(len(dataset), np.int64)
    ordered = sorted(training, key=lambda run: -run[1])
    pictures, motions, lights = [], {}, {}
    for number, (first, count) in enumerate(ordered):
        clip = _Clip(dataset, first, count)
        motion, light = clip.motion(), clip.light()
        pictures.append(clip.plate())
        if motion is not None:
            motions[first] = motion
        if light is not None:
            lights[first] = light
        start, length = dataset.clips[clip.number]  # its held-out end, too
        found[start : start + length] = number
    every_motion = np.tile(np.eye(3, dtype=np.float32), (len(dataset), 1, 1))
    for first, each in motions.items():
        every_motion[first : first + len(each)] = each
    every_light = np.ones((len(dataset), 3), np.float32)
    for first, each in lights.items():
        every_light[first : first + len(each)] = each
    if motions:
        say("The camera shakes a little; the background plate follows it, frame by frame.")
    if lights:
        say("The light changes; the background plate follows it, frame by frame.")
    return Plates(
        np.stack(pictures),
        found,
        every_motion if motions else None,
        every_light if lights else None,
    )


class _Clip:
    """The training part of a clip: `count` records from `first` on."""

    def __init__(self, dataset: PoseFrames, first: int, count: int):
        self.dataset, self.first, self.count = dataset, first, count
        starts = [start for start, _ in dataset.clips]
        self.number = bisect.bisect_right(starts, first) - 1
        # Even spread, each once.
        self.sample = np.unique(np.linspace(0, count - 1, min(count, SAMPLES)).round().astype(int))
        self.keypoints = dataset.keypoints()[first : first + count]
        body = self.keypoints[:, BODY]
        seen = body[..., 2] > 0
        low = np.where(seen, body[..., 1], np.inf).min(1)
        high = np.where(seen, body[..., 1], -np.inf).max(1)
        heights = (high - low)[seen.sum(1) > 1]
        self.thickness = THICKNESS * float(np.quantile(heights, 0.8)) if len(heights) else 0.0
        self.frames = np.stack([self._frame(i) for i in self.sample])
        self.masks = np.stack([self.person(i) for i in self.sample])
        self._motion: np.ndarray | None = None
        self._light: np.ndarray | None = None

    def _frame(self, i: int) -> np.ndarray:
        return self.dataset[self.first + i]["frame"]

    def person(self, i: int) -> Bool[np.ndarray, "h w"]:
        """Where the person may be in a frame; nowhere where no pose is known."""
        height, width = self.dataset.size
        if not self.dataset.has_keypoints and self.dataset.info.pose_pictures:
            return _drawn(self.dataset[self.first + i]["pose_picture"])
        return person_mask(self.keypoints[i], height, width, self.thickness)

    # --- the camera ----------------------------------------------------------------------------

    def motion(self) -> Float32[np.ndarray, "n 3 3"] | None:
        """Of each frame the homography from the plate; None where the camera stands still. Raises
        CameraMoves where it travels."""
        middle = len(self.sample) // 2
        ways = self._ways(middle, self.frames)
        known = np.isfinite(ways[:, 0])
        if known.mean() < 0.5:
            return None  # a plain wall: nothing to follow, and nothing that shows
        way = np.linalg.norm(ways[known] - np.median(ways[known], axis=0), axis=1)
        far = np.quantile(way, 0.95)
        if far < STILL:
            return None
        longer = max(self.dataset.size)
        if far > TRAVELS * longer:
            raise CameraMoves(
                f"The camera moves in clip {self.number} of {self.dataset.folder} (its background "
                f"by {far:.0f} pixels), so there is no still background to put the person before; "
                f"train with {option('recipe.background')} drawn."
            )
        # The frame in the middle of the shaking is the one that the plate lies in.
        distance = np.linalg.norm(ways - np.median(ways[known], axis=0), axis=1)
        reference = int(np.nanargmin(distance))
        follow = Follow(self.frames[reference], self.masks[reference])
        found = [follow.homography(self._frame(i)) for i in range(self.count)]
        last = np.eye(3)
        for i, matrix in enumerate(found):
            last = found[i] = last if matrix is None else matrix
        self._motion = np.array(found, np.float32)
        # The plate is made of the frames as the reference would have seen them.
        back = [np.linalg.inv(self._motion[i]) for i in self.sample]
        self.frames = np.stack([moved(f, m) for f, m in zip(self.frames, back, strict=True)])
        self.masks = np.stack(
            [moved(f.astype(np.uint8), m) > 0 for f, m in zip(self.masks, back, strict=True)]
        )
        return self._motion

    def _ways(self, reference: int, frames: np.ndarray) -> Float[np.ndarray, "n 2"]:
        """How far the background of each frame is from that of one of them; NaN where unknown."""
        follow = Follow(frames[reference], self.masks[reference])
        ways = np.stack([follow.way(frame) for frame in frames])
        # What is too far away to be found again is followed from frame to frame.
        outwards = (range(reference + 1, len(frames)), range(reference - 1, -1, -1))
        for order, before in zip(outwards, (-1, 1), strict=True):
            for i in order:
                if np.isnan(ways[i]).any():
                    step = Follow(frames[i + before], self.masks[i + before]).way(frames[i])
                    ways[i] = ways[i + before] + step
        return ways

    # --- the light -----------------------------------------------------------------------------

    def light(self) -> Float32[np.ndarray, "n 3"] | None:
        """Of each frame factors of red, green and blue; None where the light does not change."""
        plate = self._median(self.frames)
        factors = np.stack(
            [_factors(f, plate, m) for f, m in zip(self.frames, self.masks, strict=True)]
        )
        level = plate.reshape(-1, 3).mean(0)
        if ((factors.std(0) * level) < LIGHT).all():
            return None
        found = []
        for i in range(self.count):
            frame, mask = self._frame(i), self.person(i)
            if self._motion is not None:
                back = np.linalg.inv(self._motion[i])
                frame, mask = moved(frame, back), moved(mask.astype(np.uint8), back) > 0
            found.append(_factors(frame, plate, mask))
        self._light = np.array(found, np.float32)
        # 1 is the light of most frames.
        self._light /= np.median(self._light, axis=0)
        return self._light

    # --- the plate -----------------------------------------------------------------------------

    def plate(self) -> UInt8[np.ndarray, "h w 3"]:
        """After motion and light, which it takes into account."""
        frames = self.frames
        if self._light is not None:
            even = frames / self._light[self.sample][:, None, None]
            frames = np.clip(np.rint(even), 0, 255).astype(np.uint8)
        return self._median(frames)

    def _median(self, frames: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        plate, unseen = masked_median(frames, self.masks)
        if unseen.all():
            return np.median(frames, axis=0).astype(np.uint8)
        if not unseen.any():
            return plate
        # Hair and clothes reach beyond the mask: what is always beside hidden pixels and differs
        # from the wall around them is the person, too. Of a wall with a pattern nobody can tell.
        wide, around = (_grown(unseen, times * self.thickness) for times in (0.5, 1.5))
        if _plain(plate, wide, around):
            ring = np.abs(plate.astype(np.int16) - filled(plate, wide)).max(-1) > DIFFERS
            unseen |= wide & ring
            plate, unseen = self._looked_through(frames, filled(plate, unseen), unseen)
        return filled(plate, unseen)

    def _looked_through(
        self,
        frames: UInt8[np.ndarray, "n h w 3"],
        plate: UInt8[np.ndarray, "h w 3"],
        unseen: Bool[np.ndarray, "h w"],
    ) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
        """The plate with what the frames show of it near the limbs (what looks like the plate, and
        lies beside such pixels), and what is still unseen."""
        differs = np.abs(frames.astype(np.int16) - plate).max(-1) > DIFFERS
        differs &= self.masks | unseen
        person = np.stack([_grown(each, 2) for each in differs])
        again, still = masked_median(frames, person)
        found = unseen & ~still
        return np.where(found[..., None], again, plate), unseen & still


def _grown(mask: Bool[np.ndarray, "h w"], by: float) -> Bool[np.ndarray, "h w"]:
    size = 2 * round(by) + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((size, size), np.uint8)) > 0


def _plain(
    plate: UInt8[np.ndarray, "h w 3"],
    wide: Bool[np.ndarray, "h w"],
    around: Bool[np.ndarray, "h w"],
) -> bool:
    """Whether smooth filling would tell what is there: whether it does just outside `wide`, where
    the plate is known."""
    known = around & ~wide
    error = np.abs(plate.astype(np.int16) - filled(plate, around)).max(-1)[known]
    return len(error) > 0 and float(np.quantile(error, 0.9)) < DIFFERS


def masked_median(
    frames: UInt8[np.ndarray, "n h w 3"], masks: Bool[np.ndarray, "n h w"]
) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """The median of what is not masked, and where too few frames are not."""
    # Masked pixels sort behind all others.
    values = frames.astype(np.uint16)
    values[masks] = 256
    values.sort(axis=0)
    count = (~masks).sum(0)
    places = (np.clip(at, 0, len(frames) - 1) for at in (count // 2, (count - 1) // 2))
    high, low = (np.take_along_axis(values, at[None, ..., None], axis=0)[0] for at in places)
    median = np.clip((low + high + 1) // 2, 0, 255).astype(np.uint8)
    return median, count < max(LEAST, SHARE * len(frames))


def filled(
    picture: UInt8[np.ndarray, "h w 3"], unknown: Bool[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture with unknown pixels filled smoothly from those around them: averages over ever
    larger neighbourhoods, coarse to fine."""
    if not unknown.any():
        return picture
    weight = (~unknown).astype(np.float32)
    levels = [(picture * weight[..., None], weight)]
    while min(levels[-1][1].shape) > 1 and (levels[-1][1] == 0).any():
        levels.append(tuple(cv2.pyrDown(each) for each in levels[-1]))  # type: ignore[arg-type]
    values, weight = levels[-1]
    below = values / np.maximum(weight, 1e-6)[..., None]
    for values, weight in reversed(levels[:-1]):
        size = weight.shape[1], weight.shape[0]
        above = cv2.resize(below, size, interpolation=cv2.INTER_LINEAR)
        known = np.minimum(weight, 1.0)[..., None]
        below = known * values / np.maximum(weight, 1e-6)[..., None] + (1 - known) * above
    smooth = np.clip(np.rint(below), 0, 255).astype(np.uint8)
    return np.where(unknown[..., None], smooth, picture)


def person_mask(
    keypoints: Float[np.ndarray, "137 3"], height: int, width: int, thickness: float
) -> Bool[np.ndarray, "{height} {width}"]:
    """Pixels that are at most `thickness` pixels from a limb, or inside the trunk."""
    mask = np.zeros((height, width), np.uint8)
    body = keypoints[BODY]
    seen, points = body[:, 2] > 0, np.rint(body[:, :2]).astype(int)
    if not seen.any():
        return mask > 0
    wide = max(round(2 * thickness), 1)
    for first, second in LAYOUTS["body25"].limbs:
        if seen[first] and seen[second]:
            ends = tuple(map(int, points[first])), tuple(map(int, points[second]))
            cv2.line(mask, *ends, 1, wide)
    for point in points[seen]:
        cv2.circle(mask, tuple(map(int, point)), wide // 2, 1, -1)
    trunk = [2, 5, 12, 9]  # shoulders and hips, around
    if seen[trunk].all():
        cv2.fillConvexPoly(mask, cv2.convexHull(points[trunk]), 1)
    return mask > 0


def _drawn(picture: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    """Where a ready pose picture shows the person, and a tenth of that around it."""
    ground = np.median(picture.reshape(-1, 3), axis=0)
    shown = (np.abs(picture.astype(int) - ground).max(-1) > 16).astype(np.uint8)
    rows = np.flatnonzero(shown.any(1))
    if not len(rows):
        return shown > 0
    size = 2 * max(round(THICKNESS * (rows[-1] - rows[0])), 1) + 1
    return cv2.dilate(shown, np.ones((size, size), np.uint8)) > 0


def _factors(
    frame: UInt8[np.ndarray, "h w 3"],
    plate: UInt8[np.ndarray, "h w 3"],
    person: Bool[np.ndarray, "h w"],
) -> Float[np.ndarray, "3"]:
    """How much lighter the background of a frame is than the plate; 1 where none is seen."""
    if person.mean() > 0.95:
        return np.ones(3)
    return (frame[~person].mean(0) + 1) / (plate[~person].mean(0) + 1)


# Any: its types do not know that points need not be given, and may not be found.
_features: Any = cv2.goodFeaturesToTrack
_flow: Any = cv2.calcOpticalFlowPyrLK
_homography: Any = cv2.findHomography


class Follow:
    """Points of the background of one frame, found again in others."""

    def __init__(self, frame: UInt8[np.ndarray, "h w 3"], person: Bool[np.ndarray, "h w"]):
        self.grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        # A point is followed by what is around it: nothing of the person may be in there.
        around = np.ones((WINDOW, WINDOW), np.uint8)
        mask = (cv2.dilate(person.astype(np.uint8), around) == 0).astype(np.uint8) * 255
        least = max(min(self.grey.shape) / 40, 3)
        found = _features(self.grey, 300, 0.02, least, mask=mask)
        self.points = np.array([] if found is None else found, np.float32).reshape(-1, 1, 2)

    def _found(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(points here, the same there), of those that lead back to where they came from."""
        if len(self.points) < LEAST_POINTS:
            return np.zeros((0, 2)), np.zeros((0, 2))
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        size = WINDOW, WINDOW
        there, good, _ = _flow(self.grey, grey, self.points, None, winSize=size)
        back, also, _ = _flow(grey, self.grey, there, None, winSize=size)
        near = np.linalg.norm((back - self.points)[:, 0], axis=1) < 0.5
        kept = (good[:, 0] == 1) & (also[:, 0] == 1) & near
        return self.points[kept, 0], there[kept, 0]

    def way(self, frame: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "2"]:
        """The median way of the background, (x, y); NaN where it is not known."""
        here, there = self._found(frame)
        ways = there - here
        # Of a room that is seen again most points are.
        if len(here) < max(LEAST_POINTS, len(self.points) / 2):
            return np.full(2, np.nan)
        way = np.median(ways, axis=0)
        # Shadows and a plain wall's noise go each their own way; what a camera does, all points do.
        if (np.linalg.norm(ways - way, axis=1) < STILL).mean() < CONSENSUS:
            return np.full(2, np.nan)
        return way

    def homography(self, frame: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "3 3"] | None:
        """From this frame to another; None where it is not known."""
        here, there = self._found(frame)
        if len(here) < LEAST_POINTS:
            return None
        # USAC's MAGSAC is the most exact of OpenCV's; seeded, so that it is the same every time.
        cv2.setRNGSeed(0)
        matrix, inside = _homography(here, there, cv2.USAC_MAGSAC, 1.0)
        if inside is None or inside.sum() < LEAST_POINTS:
            return None
        return matrix
