"""Where people are just before they are found and just after they are lost.

Who comes out from behind a tree, or in at the edge, is seen a few frames before a detector finds
them. Whoever is taken out of a film must be gone from the first moment on.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

# So many seconds before and after they are looked for where they were, or came from; their way is
# that of so many seconds beside.
LINGER, WAY = 0.5, 0.2


def nearest_found(
    found: Bool[np.ndarray, " n"], times: Float[np.ndarray, " n"], seconds: float = LINGER
) -> Int[np.ndarray, " n"]:
    """Of each frame the nearest one, at most so many seconds away, in which somebody is found; the
    frame itself where they are; -1: none."""
    known = np.flatnonzero(found)
    if not len(known):
        return np.full(len(found), -1)
    after = np.searchsorted(known, np.arange(len(found))).clip(0, len(known) - 1)
    before = (after - 1).clip(0)
    away = np.abs(times[known[[before, after]]] - times)
    nearest = np.where(away[0] < away[1], known[before], known[after])
    return np.where(away.min(0) <= seconds, nearest, -1)


def lingering(
    keypoints: Float[np.ndarray, "n 137 3"],
    nearest: Int[np.ndarray, " n"],
    times: Float[np.ndarray, " n"],
    frame: int,
) -> Float[np.ndarray, "137 3"]:
    """The pose of the nearest frame in which somebody is found, moved to where they would be in
    another one if they went on as there.

    nearest: see nearest_found; there is one.
    """
    at = int(nearest[frame])
    pose = np.array(keypoints[at])
    first, last = np.searchsorted(times, [times[at] - WAY, times[at] + WAY])
    # On the other side of it than the frame.
    inner = range(at + 1, last) if at > frame else range(first, at)
    beside = [i for i in inner if nearest[i] == i]
    if frame == at or not beside:
        return pose
    other = beside[-1 if at > frame else 0]
    both = (pose[:25, 2] > 0) & (keypoints[other][:25, 2] > 0)
    if both.any():
        moved = (pose[:25, :2] - keypoints[other][:25, :2])[both].mean(0)
        pose[pose[:, 2] > 0, :2] += moved * (times[frame] - times[at]) / (times[at] - times[other])
    return pose
