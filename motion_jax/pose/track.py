"""The poses of one video: what every source of keypoints gives and every user of them takes."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float32, Float64


@dataclass(frozen=True)
class PoseTrack:
    """Keypoints of one person over the frames of one video.

    Attributes:
      keypoints: (x, y, confidence) in pixels of the source frame, measured
        from the left and top edges (so that scaling the picture scales the keypoints); confidence
        0...1, and 0 means not observed (x and y are then 0 too).
      times: seconds from the start of the video.
      size: (height, width) of the source frames in pixels, after rotation flags.
      reasons: for each frame "" where the followed person was found, otherwise why not in a few
        words ("no person", "implausible: ...", "lost", ...).
      estimator: name, version, model file and its SHA-256, options.
      filled: True where a keypoint was interpolated, not measured.
    """

    keypoints: Float32[np.ndarray, "n 137 3"]
    times: Float64[np.ndarray, " n"]
    size: tuple[int, int]
    reasons: tuple[str, ...]
    estimator: dict = field(default_factory=dict)
    filled: Bool[np.ndarray, "n 137"] | None = None

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def found(self) -> Bool[np.ndarray, " n"]:
        """Frames with a usable pose."""
        return np.array([reason == "" for reason in self.reasons], dtype=bool)
