"""The poses of one video: what every source of keypoints gives and every user of them takes."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class PoseTrack:
    """Keypoints of one person over the frames of one video.

    Attributes:
      keypoints: float32 [N, 137, 3], (x, y, confidence) in pixels of the source frame, measured
        from the left and top edges (so that scaling the picture scales the keypoints); confidence
        0...1, and 0 means not observed (x and y are then 0 too).
      times: float64 [N], seconds from the start of the video.
      size: (height, width) of the source frames in pixels, after rotation flags.
      reasons: for each frame "" where the followed person was found, otherwise why not in a few
        words ("no person", "implausible: ...", "lost", ...).
      estimator: name, version, model file and its SHA-256, options.
      filled: bool [N, 137], True where a keypoint was interpolated, not measured.
    """

    keypoints: np.ndarray
    times: np.ndarray
    size: tuple[int, int]
    reasons: tuple[str, ...]
    estimator: dict = field(default_factory=dict)
    filled: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def found(self) -> np.ndarray:
        """bool [N]: frames with a usable pose."""
        return np.array([reason == "" for reason in self.reasons], dtype=bool)
