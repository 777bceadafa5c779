"""How much what was made of faces trembles: what changes from frame to frame besides what the film
itself moves.

The film's own motion, by dense optical flow (DIS, Kroeger et al. 2016), brings each frame onto the
next; what is left of the difference is the error, mean over the head in grey levels 0...255. The
same of the source is what no translation can be better than.
"""

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

# Heads are measured at this many pixels a side.
SIDE = 160


@dataclass
class Flicker:
    """Collects it over a film.

    Attributes:
      made, given: errors of each pair of frames.
    """

    made: list[float] = field(default_factory=list)
    given: list[float] = field(default_factory=list)
    _flow: Any = None

    def add(
        self,
        matte: Float32[np.ndarray, "h w"],
        given: tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]],
        made: tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]],
    ) -> None:
        """One face in one part of two frames, before and now: of the source and of the result.
        matte: where the head is now."""
        if self._flow is None:
            # OpenCV's stubs lack it.
            make: Any = cv2.DISOpticalFlow.create
            self._flow = make(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        scale = min(1.0, SIDE / max(matte.shape))
        size = tuple(max(round(side * scale), 16) for side in matte.shape[::-1])
        pictures = [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in (*given, *made)]
        head = cv2.resize(matte, size, interpolation=cv2.INTER_AREA) > 0.5
        if not head.any():
            return
        first, second = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in pictures[:2])
        # From the picture now to where its pixels were before.
        flow = self._flow.calc(second, first, None)
        x, y = np.meshgrid(*(np.arange(side, dtype=np.float32) for side in size))
        for before, now, errors in (
            (pictures[0], pictures[1], self.given),
            (pictures[2], pictures[3], self.made),
        ):
            moved = cv2.remap(
                before, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )  # fmt: skip
            apart = np.abs(moved.astype(np.float32) - now.astype(np.float32)).mean(-1)
            errors.append(float(apart[head].mean()))

    @property
    def known(self) -> bool:
        return bool(self.made)

    def figures(self) -> tuple[float, float]:
        """(of the result, of the source), grey levels, mean over faces and frames."""
        return float(np.mean(self.made)), float(np.mean(self.given))
