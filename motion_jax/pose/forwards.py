"""Poses of a live source, mended with nothing but the past.

What `mend` does to a whole video looks ahead: limbs are exchanged where that is cheapest over the
whole video, bones are measured in all of it, gaps are interpolated to what comes after them, and
filters run both ways. Here each of these has its causal kind, in the same order:

* exchanged sides are put right by the cheapest sequence of states up to now (`sides.SwapsSoFar`):
  a limb's sides stay with those of the last frames that they move less from, and a change of sides
  has its price. What was exchanged for longer than that explains is believed at last;
* a bone that is too long for what it measured in the last BONES_SECONDS is shortened along its
  direction. What is out of proportion for more than a fifth of that time is believed, too;
* a joint that is missing for a while is held where it was;
* the one-euro filter runs forwards alone.

The memory of each is bounded: poses of the last frames, at most MOST_FRAMES.
"""

from collections import deque

import numpy as np
from jaxtyping import Float, Float32

from motion_jax.errors import UserError, option
from motion_jax.pose.bones import SIZE_WINDOW, body_size, put_back, usual_lengths
from motion_jax.pose.options import PoseOptions
from motion_jax.pose.sides import SwapsSoFar, exchange, swap_costs
from motion_jax.pose.smooth import (
    BETA,
    DERIVATIVE_CUTOFF,
    MIN_CUTOFF,
    RESET_AFTER,
    OneEuro,
    person_size,
)

# Seconds over which the person's size is measured, by which the filter knows fast from slow.
SETTLE = 1.0
# Seconds over which bones are measured.
BONES_SECONDS = 4.0
MOST_FRAMES = 256
# Frames by which sides are judged: of those before this one, enough to bridge a gap at both places
# that a joint comes from, and to know how long bones are at the moment.
SIDES_FRAMES = 10


class Sides:
    """Puts left and right limbs right as poses come."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, np.ndarray]] = deque(maxlen=SIDES_FRAMES)
        self._swaps = SwapsSoFar()

    def next(self, time: float, pose: Float32[np.ndarray, "137 3"]) -> Float32[np.ndarray, "137 3"]:
        """The pose (pixels; not seen: confidence 0) with every joint under its own name."""
        self._recent.append((time, pose))
        keypoints = np.array([pose for _, pose in self._recent], np.float64)
        size = person_size(keypoints)
        if size <= 0:
            # Nobody for so long that what was known of the sides is out of date.
            self._swaps = SwapsSoFar()
            return pose
        keypoints[..., :2] /= size
        swaps = self._swaps.next(swap_costs(keypoints, np.array([at for at, _ in self._recent])))
        mended = pose[None].copy()
        exchange(mended, swaps)
        return mended[0]


class Bones:
    """Puts joints back that make a bone far longer than it can be, as poses come."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, np.ndarray]] = deque(maxlen=MOST_FRAMES)
        self._sizes: deque[float] = deque(maxlen=SIZE_WINDOW)

    def next(self, time: float, pose: Float32[np.ndarray, "137 3"]) -> Float32[np.ndarray, "137 3"]:
        """The pose (pixels; not seen: confidence 0) with no bone out of proportion."""
        self._recent.append((time, pose))
        while self._recent[0][0] < time - BONES_SECONDS:
            self._recent.popleft()
        usual = usual_lengths(np.array([pose for _, pose in self._recent]))
        if not usual:
            return pose
        self._sizes.append(body_size(pose, usual))
        return put_back(pose, usual, max(1.0, float(np.median(self._sizes))))


class Forwards:
    """Mends poses as they come, each by those before it.

    Args:
      hold: frames for which a keypoint that is missing stays where it was; 0: it is missing.
      smooth: whether the one-euro filter runs.
      min_cutoff: Hz; beta: Hz per (person size / second), as for `smooth.smooth_track`.
      swaps: whether left and right limbs are put right; bones: whether joints of bones too long
        are put back.
    """

    def __init__(
        self,
        hold: int = 10,
        smooth: bool = True,
        min_cutoff: float = MIN_CUTOFF,
        beta: float = BETA,
        *,
        swaps: bool = True,
        bones: bool = True,
    ):
        self.hold, self.smooth, self.min_cutoff, self.beta = hold, smooth, min_cutoff, beta
        self.swaps, self.bones = swaps, bones
        self.reset()

    @classmethod
    def of(cls, options: PoseOptions) -> "Forwards":
        """As the options say. Raises UserError for a filter that looks ahead."""
        if options.smooth and options.filter != "one-euro":
            raise UserError(
                f"{option('filter')} {options.filter} looks ahead, which a live source does not "
                "allow; use one-euro."
            )
        return cls(options.max_gap, options.smooth, swaps=options.swaps, bones=options.bones)

    def reset(self) -> None:
        """Forgets the person: another one follows."""
        self._filter = OneEuro(self.min_cutoff, 0.0, DERIVATIVE_CUTOFF, RESET_AFTER)
        self._shown = np.zeros((137, 3), np.float32)
        # Frames since each keypoint was seen.
        self._missing = np.full(137, self.hold + 1)
        self._begun: float | None = None
        self._sizes: list[float] = []
        self._repairs: list[Sides | Bones] = []
        if self.swaps:
            self._repairs.append(Sides())
        if self.bones:
            self._repairs.append(Bones())

    def next(
        self, time: float, pose: Float[np.ndarray, "137 3"] | None
    ) -> Float32[np.ndarray, "137 3"] | None:
        """The pose (pixels) that was seen at `time` (seconds, increasing), None where nobody was →
        the pose to show; None where nobody was for longer than is held."""
        pose = np.zeros((137, 3), np.float32) if pose is None else np.asarray(pose, np.float32)
        for repair in self._repairs:
            pose = repair.next(time, pose)
        seen = pose[:, 2] > 0
        size = self._person_size(time, pose)
        result = pose.copy()
        if self.smooth:
            beta = self.beta / size if size > 0 else 0.0
            result[:, :2] = self._filter.step(pose[:, :2], time, seen[:, None], beta)
        self._missing = np.where(seen, 0, np.minimum(self._missing + 1, self.hold + 1))
        held = ~seen & (self._missing <= self.hold)
        result = np.where(seen[:, None], result, np.where(held[:, None], self._shown, 0))
        self._shown = result.astype(np.float32)
        return self._shown.copy() if (self._shown[:, 2] > 0).any() else None

    def _person_size(self, time: float, pose: np.ndarray) -> float:
        """Pixels: the median over the first SETTLE seconds with a person; 0: not known yet."""
        if self._begun is None or time - self._begun <= SETTLE:
            size = person_size(pose[None])
            if size > 0:
                self._begun = time if self._begun is None else self._begun
                self._sizes.append(size)
        return float(np.median(self._sizes)) if self._sizes else 0.0
