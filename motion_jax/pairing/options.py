"""The options of `motion-jax pair`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from motion_jax.data.advice import DIFFERENT
from motion_jax.pose.options import NORMALIZE, Normalize

Compare = Literal["frame", "body"]


@dataclass(frozen=True)
class PairOptions:
    """Pair the frames of two people by their poses, for training pose2pics or pics2pics."""

    a: Path
    """Dataset of the person whose poses (or pictures) will drive: made by motion-jax prepare."""
    b: Path
    """Dataset of the person who is to appear."""
    out: Path
    """Folder of the dataset to make; new, or made by the same command before."""
    kind: Literal["pose2pics", "pics2pics"] = "pose2pics"
    """What is paired with B's picture: A's pose fitted to B's body, or A's picture."""
    k: int = 1
    """Each frame of A with its k nearest of B (held-out frames: with the nearest alone)."""
    max_distance: float = DIFFERENT
    """Drop pairs whose poses are further apart, in lengths of B's torso (root mean square over the
    joints that both show)."""
    mutual: bool = False
    """Keep a pair only where A's frame is also among the k nearest of A for B's frame."""
    compare: Compare = "frame"
    """Compare poses as they lie in B's picture ("frame"), or without place and size ("body")."""
    normalize: Normalize = NORMALIZE
    """How A's poses are fitted to B's body, as in transfer."""
    holdout: float = 0.2
    """Share of each clip, its end, that is held out; 0...0.9. Where a dataset marks clips as held
    out, its marks count."""
