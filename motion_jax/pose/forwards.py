"""Poses of a live source, mended with nothing but the past.

What `mend` does to a whole video looks ahead: gaps are interpolated to what comes after them,
limbs are exchanged where that is cheapest over the whole video, and filters run both ways. Live, a
joint that is missing for a while is held where it was, and the one-euro filter runs forwards alone.
"""

import numpy as np

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


class Forwards:
    """Mends poses as they come, each by those before it.

    Args:
      hold: frames for which a keypoint that is missing stays where it was; 0: it is missing.
      smooth: whether the one-euro filter runs.
      min_cutoff: Hz; beta: Hz per (person size / second), as for `smooth.smooth_track`.
    """

    def __init__(
        self,
        hold: int = 10,
        smooth: bool = True,
        min_cutoff: float = MIN_CUTOFF,
        beta: float = BETA,
    ):
        self.hold, self.smooth, self.min_cutoff, self.beta = hold, smooth, min_cutoff, beta
        self.reset()

    def reset(self) -> None:
        """Forgets the person: another one follows."""
        self._filter = OneEuro(self.min_cutoff, 0.0, DERIVATIVE_CUTOFF, RESET_AFTER)
        self._shown = np.zeros((137, 3), np.float32)
        # Frames since each keypoint was seen.
        self._missing = np.full(137, np.iinfo(np.int32).max // 2)
        self._begun: float | None = None
        self._sizes: list[float] = []

    def next(self, time: float, pose: np.ndarray | None) -> np.ndarray | None:
        """The pose [137, 3] (pixels) that was seen at `time` (seconds, increasing), None where
        nobody was → float32 [137, 3]; None where nobody was for longer than is held."""
        pose = np.zeros((137, 3), np.float32) if pose is None else np.asarray(pose, np.float32)
        seen = pose[:, 2] > 0
        size = self._person_size(time, pose)
        result = pose.copy()
        if self.smooth:
            beta = self.beta / size if size > 0 else 0.0
            result[:, :2] = self._filter.step(pose[:, :2], time, seen[:, None], beta)
        self._missing = np.where(seen, 0, self._missing + 1)
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
