"""The place of a film without its people, and where in each frame they are.

The clean plate is the median of frames from the whole film, pixel by pixel, of those in which
nobody stands there; what somebody always hides is painted in from around it (Telea 2004). A camera
that turns is followed by a homography from frame to frame: the plate then is as large as all that
it saw. Where too little of the background is seen to follow it, or a film moves through space, that
is said.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from motion_jax.data.find_plates import STILL, Follow, filled, masked_median, person_mask
from motion_jax.errors import UserError, option
from motion_jax.pose import long_arrays
from motion_jax.pose.people.observations import extent
from motion_jax.pose.skeleton import BODY, INDEX, LAYOUTS
from motion_jax.progress import say
from motion_jax.video.reader import Frame

# Frames that the median is taken of, at most, and the bytes of them that are worked on at once.
SAMPLES, BYTES = 60, 48 * 2**20
# What a person may cover, as a share of the height: half the thickness of a limb and its clothes.
THICKNESS = 0.10
# From the nose to the top of the head, in ways from neck to nose; half axes of the ellipse on the
# floor in which a shadow lies, in heights.
HEAD, SHADOW = 0.85, (0.25, 0.07)
# A frame is followed in a picture of so many pixels a side at most.
FOLLOWED = 480
# The plate of a camera that turns is at most so many frames large.
LARGEST = 8.0
# A pixel that differs from the plate by less shows the background, by more the person (grey
# levels, largest of the three colours).
SAME, OTHER = 10.0, 30.0
# Nearer than so many heights to a limb it is the person whatever it looks like; farther than so
# many it is not. Who stands in front is nearer by so much.
SURE, MOST, IN_FRONT = 0.025, 0.13, 0.03
# A plate that differs from what is seen of the background by more does not fit (grey levels).
FITS = 18.0


@dataclass(frozen=True)
class Clean:
    """The place of a film.

    Attributes:
      plate: RGB, of the frames' size, or of all that a turning camera saw.
      motion: of each frame the homography from the plate to the frame, in pixels; None: the camera
        stands still.
      unseen: share of the plate that was painted in.
    """

    plate: UInt8[np.ndarray, "_ _ 3"]
    motion: Float[np.ndarray, "n 3 3"] | None
    unseen: float

    def at(self, frame: int, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
        """As a frame of `size` (height, width) shows it."""
        if self.motion is None:
            return self.plate
        return cv2.warpPerspective(
            self.plate, self.motion[frame], size[::-1], borderMode=cv2.BORDER_REPLICATE
        )


def clean_plate(
    frames: Iterable[Frame],
    count: int,
    people: Callable[[int], Sequence[Float[np.ndarray, "137 3"]]],
    name: str,
) -> Clean:
    """The place of a film, from all of its frames in order.

    Args:
      count: how many there are.
      people: the poses of everybody in a frame, by its number.
      name: of the film, for messages.
    Raises:
      UserError: a camera that moves and cannot be followed, or turns too far.
    """
    wanted = set(np.unique(np.linspace(0, count - 1, min(count, SAMPLES)).round().astype(int)))
    samples: np.ndarray | None = None
    chosen: list[int] = []
    camera: _Camera | None = None
    for frame in frames:
        image = frame.image
        size = image.shape[:2]
        if samples is None or camera is None:
            samples = long_arrays.zeros((len(wanted), *image.shape), np.uint8)
            camera = _Camera(size, name)
        camera.see(image, covered(people(frame.index), size), frame.time)
        if frame.index in wanted:
            samples[len(chosen)] = image
            chosen.append(frame.index)
            long_arrays.release(samples)
    assert samples is not None and camera is not None, "a film has frames"
    samples = samples[: len(chosen)]
    masks = [covered(people(i), samples.shape[1:3]) for i in chosen]
    motion = camera.motion()
    if motion is None:
        plate, unseen = _median(samples, masks, None, samples.shape[1:3])
        return Clean(_painted(plate, unseen), None, float(unseen.mean()))
    away, (height, width) = _canvas(motion, samples.shape[1:3], name)
    motion = motion @ np.linalg.inv(away)
    back = [np.linalg.inv(motion[i]) for i in chosen]
    plate, unseen = _median(samples, masks, back, (height, width))
    say(f"The camera of {name} turns; the clean plate follows it, frame by frame.")
    return Clean(_painted(plate, unseen), motion, float(unseen.mean()))


def covered(
    poses: Sequence[Float[np.ndarray, "137 3"]], size: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    """Where people of these poses may be."""
    mask = np.zeros(size, np.uint8)
    for pose in poses:
        thickness = THICKNESS * extent(pose)
        mask |= person_mask(pose, *size, thickness).astype(np.uint8)
        if (head := _head(pose)) is not None:
            cv2.line(mask, *head, 1, max(1, round(2 * thickness)))
        if (ground := _ground(pose)) is not None:
            cv2.ellipse(mask, *ground, 0, 0, 360, 1, -1)
    return mask > 0


def _head(pose: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """From the nose to the top of the head, in pixels: no joint lies there, only hair."""
    nose, neck = pose[INDEX["nose"]], pose[INDEX["neck"]]
    if nose[2] <= 0 or neck[2] <= 0:
        return None
    top = nose[:2] + HEAD * (nose[:2] - neck[:2])
    first, second = (tuple(int(v) for v in np.rint(p)) for p in (nose[:2], top))
    return (first[0], first[1]), (second[0], second[1])


def _ground(pose: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Middle and half axes of the ellipse on the floor in which somebody's shadow lies, in pixels;
    None where no foot is seen."""
    feet = pose[[INDEX["right_ankle"], INDEX["left_ankle"]]]
    feet = feet[feet[:, 2] > 0, :2]
    if not len(feet):
        return None
    tall = extent(pose)
    middle = round(float(feet[:, 0].mean())), round(float(feet[:, 1].max()) + 0.03 * tall)
    wide = SHADOW[0] * tall + float(np.ptp(feet[:, 0])) / 2
    return middle, (max(1, round(wide)), max(1, round(SHADOW[1] * tall)))


def shadow_matte(
    frame: UInt8[np.ndarray, "h w 3"],
    plate: UInt8[np.ndarray, "h w 3"],
    pose: Float[np.ndarray, "137 3"],
) -> Float32[np.ndarray, "h w"]:
    """Where the floor below somebody is darker than without people, 0...1."""
    matte = np.zeros(frame.shape[:2], np.float32)
    if (ground := _ground(pose)) is None:
        return matte
    inside = np.zeros(frame.shape[:2], np.uint8)
    cv2.ellipse(inside, *ground, 0, 0, 360, 1, -1)
    darker = (plate.astype(np.float32) - frame).max(-1)
    soft = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), max(1.0, ground[1][1] / 4))
    return np.clip((darker - 3) / 5, 0, 1) * soft


class _Camera:
    """Follows the background from frame to frame, in small pictures."""

    def __init__(self, size: tuple[int, int], name: str):
        self._name = name
        self._scale = min(1.0, FOLLOWED / max(size))
        self._size = max(1, round(size[1] * self._scale)), max(1, round(size[0] * self._scale))
        self._whole = size
        self._from: Follow | None = None
        self._from_motion = np.eye(3)
        self._before: tuple[np.ndarray, np.ndarray] | None = None
        self._found: list[np.ndarray] = []

    def see(self, image: np.ndarray, people: np.ndarray, time: float) -> None:
        """The next frame. Raises UserError where it cannot be followed."""
        small = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(people.astype(np.uint8), self._size, interpolation=cv2.INTER_NEAREST) > 0
        if self._from is None:
            self._from = Follow(small, mask)
            self._found.append(np.eye(3))
        else:
            step = self._from.homography(small)
            if step is None and self._before is not None:
                # Too far from the frame that was followed last: the one before is nearer.
                self._from, self._from_motion = Follow(*self._before), self._found[-1]
                step = self._from.homography(small)
            if step is None:
                step = self._plain(small, mask, time)
            self._found.append(step @ self._from_motion)
        self._before = small, mask

    def _plain(self, small: np.ndarray, mask: np.ndarray, time: float) -> np.ndarray:
        """Where nothing can be followed: a plain wall, of which no motion shows either."""
        assert self._before is not None, "a frame was seen"
        free = ~(mask | self._before[1])
        apart = np.abs(small.astype(np.int16) - self._before[0])[free]
        if free.mean() > 0.05 and len(apart) and float(apart.mean()) < 4.0:
            self._from_motion = self._found[-1]
            self._from = Follow(small, mask)
            return np.eye(3)
        raise UserError(
            f"At {time:.2f} s of {self._name} too little of what is behind the people is seen to "
            "follow the camera, so nobody can be taken out there; choose another stretch with "
            f"{option('start')} and {option('end')}, or another {option('background')}."
        )

    def motion(self) -> Float[np.ndarray, "n 3 3"] | None:
        """Of each frame the homography from the first one, in pixels of the film; None: the camera
        stands still."""
        height, width = self._whole
        scale = np.diag([self._size[0] / width, self._size[1] / height, 1.0])
        motion = np.linalg.inv(scale) @ np.array(self._found) @ scale
        x, y = np.meshgrid(np.linspace(0.1, 0.9, 5) * width, np.linspace(0.1, 0.9, 5) * height)
        points = np.stack([x.ravel(), y.ravel(), np.ones(25)])
        moved = motion @ points
        moved = moved[:, :2] / moved[:, 2:]
        # The median: a homography from few points is not exact far from them.
        far = np.median(np.linalg.norm(moved - points[None, :2], axis=1), axis=1)
        return (
            None if np.quantile(far, 0.95) < max(2 * STILL, 0.003 * max(height, width)) else motion
        )


def _canvas(
    motion: Float[np.ndarray, "n 3 3"], size: tuple[int, int], name: str
) -> tuple[Float[np.ndarray, "3 3"], tuple[int, int]]:
    """(from the first frame's places to those of a picture of all that was seen, its size)."""
    height, width = size
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1.0]]).T
    back = np.linalg.inv(motion) @ corners
    places = back[:, :2] / back[:, 2:]
    low, high = places.min((0, 2)), places.max((0, 2))
    extents = np.ceil(high - low).astype(int)
    if (back[:, 2] <= 0).any() or np.prod(extents.astype(float)) > LARGEST * height * width:
        raise UserError(
            f"The camera of {name} turns or travels too far for one picture of the place, so "
            f"nobody can be taken out; choose a shorter stretch with {option('start')} and "
            f"{option('end')}, or another {option('background')}."
        )
    away = np.eye(3)
    away[:2, 2] = -low
    return away, (int(extents[1]), int(extents[0]))


def _median(
    samples: UInt8[np.ndarray, "k h w 3"],
    masks: Sequence[Bool[np.ndarray, "h w"]],
    back: Sequence[Float[np.ndarray, "3 3"]] | None,
    size: tuple[int, int],
) -> tuple[UInt8[np.ndarray, "H W 3"], Bool[np.ndarray, "H W"]]:
    """The median of what the frames show without people, and where too few do; a band of rows at a
    time."""
    height, width = size
    plate, unseen = np.zeros((height, width, 3), np.uint8), np.ones(size, bool)
    rows = max(1, BYTES // max(1, len(samples) * width * 3 * 3))
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        if back is None:
            part = np.array(samples[:, top:bottom])
            hidden = np.stack([mask[top:bottom] for mask in masks])
        else:
            moved, over = [], []
            up = np.eye(3)
            up[1, 2] = -top
            for sample, mask, matrix in zip(samples, masks, back, strict=True):
                shape = (width, bottom - top)
                moved.append(cv2.warpPerspective(np.array(sample), up @ matrix, shape))
                seen = cv2.warpPerspective((~mask).astype(np.uint8) * 255, up @ matrix, shape)
                over.append(seen < 250)
            part, hidden = np.stack(moved), np.stack(over)
        plate[top:bottom], unseen[top:bottom] = _seen_median(part, hidden)
        long_arrays.release(samples)
    return plate, unseen


def _seen_median(
    frames: UInt8[np.ndarray, "k h w 3"], hidden: Bool[np.ndarray, "k h w"]
) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    median, _ = masked_median(frames, hidden)
    # A turning camera shows the edges in few frames; two are enough where nobody is.
    return median, (~hidden).sum(0) < min(2, len(frames))


def _painted(
    plate: UInt8[np.ndarray, "h w 3"], unseen: Bool[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """The plate with what was never seen painted in from around it."""
    if not unseen.any() or unseen.all():
        return plate
    smooth = filled(plate, unseen)
    return cv2.inpaint(smooth, unseen.astype(np.uint8), 3, cv2.INPAINT_TELEA)


# --- where people are in a frame ---------------------------------------------------------------


def limb_distance(
    pose: Float[np.ndarray, "137 3"], size: tuple[int, int]
) -> Float32[np.ndarray, "h w"]:
    """From each pixel to the nearest limb or the inside of the trunk, in heights of the person."""
    body = pose[BODY]
    seen, points = body[:, 2] > 0, np.rint(body[:, :2]).astype(int)
    away = np.ones(size, np.uint8)
    for first, second in LAYOUTS["body25"].limbs:
        if seen[first] and seen[second]:
            ends = tuple(map(int, points[first])), tuple(map(int, points[second]))
            cv2.line(away, *ends, 0, 1)
    if (head := _head(pose)) is not None:
        cv2.line(away, *head, 0, 1)
    for point in points[seen]:
        cv2.circle(away, tuple(map(int, point)), 1, 0, -1)
    trunk = [2, 5, 12, 9]
    if seen[trunk].all():
        cv2.fillConvexPoly(away, cv2.convexHull(points[trunk]), 0)
    if away.all():
        return np.full(size, np.inf, np.float32)
    return cv2.distanceTransform(away, cv2.DIST_L2, 3) / extent(pose)


def mattes(
    frame: UInt8[np.ndarray, "h w 3"],
    plate: UInt8[np.ndarray, "h w 3"],
    poses: Sequence[Float[np.ndarray, "137 3"]],
    near: Sequence[float],
) -> list[Float32[np.ndarray, "h w"]]:
    """How much of each pixel each person of a frame covers, 0...1.

    A pixel belongs to the person whose limbs are nearest, those in front before those behind, and
    counts as far as it differs from the plate.

    Args:
      near: how near each person is (`composite.standing`).
    """
    size = frame.shape[:2]
    if not poses:
        return []
    apart = np.abs(frame.astype(np.int16) - plate).max(-1).astype(np.float32)
    differs = np.clip((cv2.GaussianBlur(apart, (0, 0), 0.8) - SAME) / (OTHER - SAME), 0, 1)
    order = np.argsort(np.argsort(near))  # the nearest has the highest number
    away = np.stack([limb_distance(pose, size) for pose in poses])
    owner = (away - IN_FRONT * order[:, None, None]).argmin(0)
    found = []
    for number in range(len(poses)):
        own = away[number]
        inside = np.clip((MOST - own) / 0.02, 0, 1)
        sure = np.clip((SURE - own) / 0.01, 0, 1)
        alpha = np.maximum(differs * inside, sure) * (owner == number)
        found.append(cv2.GaussianBlur(alpha.astype(np.float32), (0, 0), 0.7))
    return found


def taken_out(
    frame: UInt8[np.ndarray, "h w 3"],
    plate: UInt8[np.ndarray, "h w 3"],
    gone: Sequence[Float32[np.ndarray, "h w"]],
    kept: Sequence[Float32[np.ndarray, "h w"]],
) -> Float32[np.ndarray, "h w 3"]:
    """The frame with the plate in the place of those who are gone, in the light of the pixels
    around them; those who are kept stay as they are."""
    result = frame.astype(np.float32)
    if not gone:
        return result
    mask = np.maximum.reduce(list(gone))
    staying = np.maximum.reduce([np.zeros_like(mask), *kept])
    reach = max(2, round(0.006 * frame.shape[0]))
    round_kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    wide = cv2.GaussianBlur(cv2.dilate(mask, round_kernel), (0, 0), reach / 2)
    ring = (cv2.dilate(wide, round_kernel) > 0.02) & (wide < 0.02) & (staying < 0.02)
    light = np.zeros(3, np.float32)
    if ring.sum() > 50:
        light = np.median(result[ring] - plate[ring], axis=0)
        light = np.where(np.abs(light) < FITS, light, 0).astype(np.float32)
    cover = (wide * (1 - np.clip(staying, 0, 1)))[..., None]
    result += cover * (plate.astype(np.float32) + light - result)
    return np.clip(result, 0, 255)


def misfit(
    frame: UInt8[np.ndarray, "h w 3"],
    plate: UInt8[np.ndarray, "h w 3"],
    people: Bool[np.ndarray, "h w"],
) -> float:
    """How much what is seen of the background differs from the plate: the median over its pixels
    (grey levels)."""
    free = ~people
    if free.mean() < 0.02:
        return 0.0
    apart = np.abs(frame[free].astype(np.int16) - plate[free]).max(-1)
    return float(np.median(apart))


def stretches_of(
    numbers: Sequence[int], times: Float[np.ndarray, " n"]
) -> Iterator[tuple[float, float]]:
    """(first, last) seconds of runs of frame numbers."""
    frames: Int[np.ndarray, " k"] = np.asarray(numbers, int)
    if not len(frames):
        return
    for run in np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1):
        yield float(times[run[0]]), float(times[run[-1]])
