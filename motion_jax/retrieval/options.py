"""Options of retrieval, as `motion-jax transfer --method nearest` takes them after --retrieval."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from motion_jax.errors import option

METHODS = ("nearest", "nearest-angle")


@dataclass(frozen=True)
class RetrievalOptions:
    """How frames of the target are chosen and put together (--method nearest, nearest-angle)."""

    k: int = 1
    """Frames a moment: the chosen one, and with 2 or more the next nearest blended into it by
    optical flow (softer, and steadier where poses tremble)."""
    choice: Literal["path", "threshold", "nearest"] = "path"
    """Which frame is taken: "path" weighs pose distance against visible jumps over the whole video
    (dynamic programming), "threshold" keeps the frame before until another is nearer by more than
    lambda, "nearest" takes the nearest each time."""
    candidates: int = 40
    """Nearest frames that "path" chooses from at each moment."""
    jump: float = 1.0
    """Weight of a jump for "path": the distance of the new frame's pose from the pose that the
    target really took next is multiplied by it. 0 is the same as "nearest"."""
    threshold: Annotated[float, tyro.conf.arg(name="lambda")] = 0.1
    """Lambda of "threshold", in units of the median nearest distance."""
    missing: Literal["masked", "median"] = "masked"
    """Joints that were not seen: compare only what both poses show, or put the joint's median over
    the video there."""
    every: int = 1
    """Choose a frame for every n-th frame of the source, and fill in by motion interpolation."""
    fps: float | None = None
    """Frame rate of the result, filled in by motion interpolation (default: the source's times)."""

    def error(self) -> str | None:
        """What is wrong with the numbers, in one sentence; None where nothing is."""
        for name, least in (("k", 1), ("candidates", 1), ("every", 1), ("jump", 0)):
            value = getattr(self, name)
            if not least <= value < float("inf"):
                return (
                    f"{option(f'retrieval.{name}')} {value:g} is not a number of {least} or more."
                )
        if not 0 <= self.threshold < float("inf"):
            return f"{option('retrieval.lambda')} {self.threshold:g} is not a number of 0 or more."
        if self.fps is not None and not 0 < self.fps <= 1000:
            return (
                f"{option('retrieval.fps')} {self.fps:g} is not above 0 and at most 1000 frames a "
                "second."
            )
        return None
