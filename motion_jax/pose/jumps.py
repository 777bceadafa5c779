"""Joints that jump away and are back a moment later: the estimator lost a limb, or the whole body,
for a frame or a few. No filter may blend that into the neighbours, so it is dropped, and
`smooth.fill_gaps` fills it.

A limb that really moves there and back does it in more time, or not so far: an arm thrown up and
down in an eighth of a second moves by less than half a torso. What happens again and again is no
jump, but a person or a camera that trembles; smoothing is for that.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from motion_jax.pose import long_arrays
from motion_jax.pose.drop import without_joints
from motion_jax.pose.skeleton import BODY_NAMES, INDEX
from motion_jax.pose.track import PoseTrack

# The time between the last joint before and the first one after a jump, in seconds, at most.
LONGEST = 0.17
# How far the joint is from the line between these two, in torso lengths, in each frame of a jump.
FAR = {
    "elbow": 0.4, "knee": 0.4,
    "wrist": 0.6, "ankle": 0.6, "big_toe": 0.6, "small_toe": 0.6, "heel": 0.6,
}  # fmt: skip
FAR_TRUNK = 0.25
# The share of that distance that the joint itself goes meanwhile, at most.
GONE_ON = 0.5
# A joint that is away in more of the frames around, of so many on each side, trembles.
AROUND, OFTEN = 12, 6
# Of the torso's lengths in a clip, what counts as its length: a bent one is short.
USUAL = 0.8

_LIMITS = np.array([FAR.get(name.split("_", 1)[-1], FAR_TRUNK) for name in BODY_NAMES])


@dataclass(frozen=True)
class Jumps:
    """The body joints that were away for a moment."""

    joints: Bool[np.ndarray, "n 25"]


def find_jumps(track: PoseTrack) -> Jumps:
    """The joints that are elsewhere for a moment and then back; none where no torso is seen."""
    times = np.asarray(track.times, np.float64)
    away = np.zeros((len(times), 25), bool)
    (torsos,) = long_arrays.gathered(lambda part: (_torsos(part),), track.keypoints)
    if len(times) < 3 or not len(torsos):
        return Jumps(away)
    limits = _LIMITS * float(np.quantile(torsos, USUAL))
    # Of so many frames a jump may be, and as many are looked at beyond each window.
    most = max(0, int(LONGEST / float(np.median(np.diff(times))) + 1e-6) - 1)
    for window in long_arrays.windows(track.keypoints):
        first = max(0, window.start - most - 1 - AROUND)
        part = slice(first, min(len(times), window.stop + most + 1 + AROUND))
        body = np.asarray(track.keypoints[part, :25], np.float64)
        body[..., 2] *= track.found[part, None]
        found = _seldom(_jumps(body, times[part], limits, most))
        away[window] = found[window.start - first : window.stop - first]
    return Jumps(away)


def _torsos(keypoints: Float[np.ndarray, "n 137 3"]) -> Float[np.ndarray, " m"]:
    neck, hip = keypoints[:, INDEX["neck"]], keypoints[:, INDEX["mid_hip"]]
    seen = (neck[:, 2] > 0) & (hip[:, 2] > 0)
    return np.linalg.norm(neck[seen, :2] - hip[seen, :2], axis=-1)


def _jumps(
    body: Float[np.ndarray, "n 25 3"],
    times: Float[np.ndarray, " n"],
    limits: Float[np.ndarray, "25"],
    most: int,
) -> Bool[np.ndarray, "n 25"]:
    places, seen = body[..., :2], body[..., 2] > 0
    away = np.zeros(seen.shape, bool)
    for length in range(1, most + 1):
        count = len(body) - length - 1
        if count < 1:
            break
        before, after = places[:count], places[length + 1 :]
        span = times[length + 1 :] - times[:count]
        gone = np.linalg.norm(after - before, axis=-1)
        jump = seen[:count] & seen[length + 1 :] & (span <= LONGEST)[:, None]
        for k in range(1, length + 1):
            middle = slice(k, k + count)
            share = ((times[middle] - times[:count]) / span)[:, None, None]
            line = before + share * (after - before)
            far = np.linalg.norm(places[middle] - line, axis=-1)
            jump &= seen[middle] & (far > limits) & (gone < GONE_ON * far)
        for k in range(1, length + 1):
            away[k : k + count] |= jump
    return away


def _seldom(away: Bool[np.ndarray, "n 25"]) -> Bool[np.ndarray, "n 25"]:
    """Without those that happen again and again."""
    before = np.concatenate([np.zeros((1, 25), int), np.cumsum(away, axis=0)])
    frames = np.arange(len(away))
    low, high = np.maximum(frames - AROUND, 0), np.minimum(frames + AROUND + 1, len(away))
    return away & (before[high] - before[low] <= OFTEN)


def drop_jumps(track: PoseTrack) -> tuple[PoseTrack, Jumps]:
    """The track without the joints that are away for a moment, and which they were."""
    found = find_jumps(track)
    return without_joints(track, found.joints), found
