"""Repairs of estimated poses: sides put right, impossible joints dropped, gaps filled, noise
filtered.

The order matters: exchanged sides would look like jumps and like bones that are too long, what is
dropped has to be filled, and no filter should blend a mistake into its neighbours.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool

from motion_jax.pose.bones import drop_long_bones
from motion_jax.pose.jumps import drop_jumps
from motion_jax.pose.options import Filter
from motion_jax.pose.sides import undo_swaps
from motion_jax.pose.skeleton import BODY_NAMES
from motion_jax.pose.smooth import BETA, MIN_CUTOFF, fill_gaps, smooth_track
from motion_jax.pose.track import PoseTrack
from motion_jax.pose.zero_lag import zero_lag_track
from motion_jax.progress import say


@dataclass(frozen=True)
class Repairs:
    """What was done to the poses of a video.

    Attributes:
      swapped: frames in which left and right changed places, of "arms" and of "legs".
      dropped: body joints that were dropped for a bone too long, by name.
      filled: keypoints (of 137 a frame) that were interpolated.
      jumped: joints that were dropped because they were elsewhere for a moment, by name.
    """

    swapped: dict[str, int]
    dropped: dict[str, int]
    filled: int
    jumped: dict[str, int] = field(default_factory=dict)

    @classmethod
    def together(cls, several: Iterable["Repairs"]) -> "Repairs":
        """The sum of several videos' repairs."""
        swapped: Counter[str] = Counter({"arms": 0, "legs": 0})
        dropped: Counter[str] = Counter()
        jumped: Counter[str] = Counter()
        filled = 0
        for each in several:
            swapped.update(each.swapped)
            dropped.update(each.dropped)
            jumped.update(each.jumped)
            filled += each.filled
        return cls(dict(swapped), dict(dropped.most_common()), filled, dict(jumped.most_common()))

    def to_json(self) -> dict:
        return {
            "swapped": self.swapped,
            "dropped": self.dropped,
            "filled": self.filled,
            "jumped": self.jumped,
        }

    def in_words(self) -> str:
        """What was mended; "" where nothing was."""
        parts = [
            f"left and right {limb} put right in {count} frame{'s' if count > 1 else ''}"
            for limb, count in self.swapped.items()
            if count
        ]
        for joints, what in (
            (self.dropped, "of impossible bones"), (self.jumped, "away for a moment"),
        ):  # fmt: skip
            if joints:
                count = sum(joints.values())
                names = ", ".join(name.replace("_", " ") for name in joints)
                parts.append(f"{count} joint{'s' if count > 1 else ''} {what} ({names})")
        return "; ".join(parts)


def mend(
    track: PoseTrack,
    *,
    swaps: bool = True,
    bones: bool = True,
    max_gap: int = 5,
    filter: Filter | None = "one-euro",
    min_cutoff: float = MIN_CUTOFF,
    beta: float = BETA,
) -> tuple[PoseTrack, Repairs]:
    """The track after all repairs, and what they were.

    Args:
      swaps: put left and right right, see sides.py.
      bones: drop joints of bones that are too long, see bones.py, and joints that are away for a
        moment, see jumps.py.
      max_gap: keypoints missing for at most so many frames are interpolated.
      filter: "one-euro" (forwards and backwards), "zero-lag" (see zero_lag.py), or None.
      min_cutoff, beta: of the one-euro filter, see `smooth.smooth_track`.

    Raises ValueError for a filter that does not exist.
    """
    swapped = {"arms": 0, "legs": 0}
    dropped: dict[str, int] = {}
    jumped: dict[str, int] = {}
    if swaps:
        track, exchanged = undo_swaps(track)
        swapped = exchanged.frames()
    if bones:
        track, long = drop_long_bones(track)
        dropped = _names(long.joints)
        track, jumps = drop_jumps(track)
        jumped = _names(jumps.joints)
    track = fill_gaps(track, max_gap)
    filled = 0 if track.filled is None else int(track.filled.sum())
    if filter == "one-euro":
        track = smooth_track(track, min_cutoff, beta, zero_phase=True)
    elif filter == "zero-lag":
        track = zero_lag_track(track)
    elif filter is not None:
        raise ValueError(f"filter is {filter!r}; choose one-euro or zero-lag")
    return track, Repairs(swapped, dropped, filled, jumped)


def _names(joints: Bool[np.ndarray, "n 25"]) -> dict[str, int]:
    return dict(Counter(BODY_NAMES[joint] for joint in joints.nonzero()[1]).most_common())


def tell(name: str, repairs: Repairs) -> None:
    """Says on the screen what was mended in the poses of a video, if anything was."""
    if words := repairs.in_words():
        say(f"Poses of {name} mended: {words}.")
