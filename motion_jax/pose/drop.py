"""Body joints taken out of a track: they count as not observed from then on."""

import dataclasses

import numpy as np
from jaxtyping import Bool

from motion_jax.pose import long_arrays
from motion_jax.pose.skeleton import COUNT, FACE, INDEX, LEFT_HAND, RIGHT_HAND
from motion_jax.pose.track import PoseTrack

# What hangs on a joint and goes with it.
_WITH: dict[str, list[int] | slice] = {
    "left_wrist": LEFT_HAND,
    "right_wrist": RIGHT_HAND,
    "nose": FACE,
} | {
    f"{side}_ankle": [INDEX[f"{side}_{part}"] for part in ("big_toe", "small_toe", "heel")]
    for side in ("left", "right")
}


def without_joints(track: PoseTrack, joints: Bool[np.ndarray, "n 25"]) -> PoseTrack:
    """The track without these joints of each frame. With a wrist its hand goes, with an ankle its
    foot, with the nose the face."""
    keypoints = long_arrays.copied(track.keypoints)
    filled = None if track.filled is None else long_arrays.copied(track.filled, bool)
    for window in long_arrays.windows(keypoints, filled):
        here = joints[window]
        dropped = np.zeros((len(here), COUNT), bool)
        dropped[:, :25] = here
        for joint, points in _WITH.items():
            dropped[:, points] |= here[:, [INDEX[joint]]]
        keypoints[window][dropped] = 0
        if filled is not None:
            filled[window] &= ~dropped
    return dataclasses.replace(track, keypoints=keypoints, filled=filled)
