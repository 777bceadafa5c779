"""Poses of a source that the target never made: no frame of the target is like them, so a network
guesses, and retrieval shows another pose. Said before anything is made."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from motion_jax.data.advice import DIFFERENT, percent
from motion_jax.data.coverage import JOINTS, nearest_distances, pose_vectors
from motion_jax.pose.skeleton import INDEX

# Seconds: shorter moments are passed over too quickly to be seen.
LEAST_SECONDS = 0.2
# Moments that a sentence names.
NAMED = 3
# Poses of each that are compared, evenly spread over a longer film.
MOST = 10_000
PARTS = {
    "arms": ("elbow", "wrist"),
    "legs": ("knee", "ankle"),
    "trunk": ("nose", "neck", "shoulder", "hip"),
}


@dataclass(frozen=True)
class Stretch:
    """Consecutive frames without a similar one of the target.

    Attributes:
      begin, end: seconds of the source.
      part: "arms", "legs" or "trunk", which differs most from the nearest pose.
    """

    begin: float
    end: float
    part: str


def unseen_stretches(
    keypoints: Float[np.ndarray, "n 137 3"],
    lost: Bool[np.ndarray, " n"],
    times: Float[np.ndarray, " n"],
    target: Float[np.ndarray, "m 137 3"],
) -> tuple[list[Stretch], float]:
    """(the stretches, the longest first; the share of the source's poses that are in none like the
    target's, 0 to 1).

    Args:
      keypoints: of the source, as the target would take them; place and size do not matter.
      lost: frames without a pose; times: seconds.
      target: poses of the target's film.
    """
    # A source of hours lies in a file; its poses are not all read.
    kept = np.arange(0, len(times), -(-len(times) // MOST) or 1)
    times, lost = np.asarray(times)[kept], np.asarray(lost)[kept]
    rows = np.flatnonzero(~lost)
    database = target[(target[:, :25, 2] > 0).any(1)]
    if not len(rows) or not len(database):
        return [], 0.0
    database = database[:: -(-len(database) // MOST)]
    queries, known = pose_vectors(keypoints[kept[rows]]), pose_vectors(database)
    far = np.zeros(len(times), bool)
    far[rows] = nearest_distances(queries, known) > DIFFERENT
    ends = np.flatnonzero(np.diff(np.concatenate([[False], far, [False]]).astype(int)))
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.04
    found = []
    for first, last in ends.reshape(-1, 2):
        seconds = float(times[last - 1] - times[first]) + step
        if seconds >= LEAST_SECONDS:
            middle = queries[np.searchsorted(rows, (first + last - 1) // 2)]
            begin = float(times[first])
            found.append(Stretch(begin, begin + seconds, _part(middle, known)))
    found.sort(key=lambda stretch: stretch.begin - stretch.end)
    return found, float(far[rows].mean())


def _part(pose: np.ndarray, known: np.ndarray) -> str:
    """What of the pose differs most from the nearest one."""
    apart = known - pose
    nearest = apart[np.square(apart).sum(1).argmin()].reshape(-1, 2)
    off = np.linalg.norm(nearest, axis=1)
    names = {number: name for name, number in INDEX.items()}
    means = {
        part: np.mean(
            [off[i] for i, joint in enumerate(JOINTS) if any(w in names[joint] for w in words)]
        )
        for part, words in PARTS.items()
    }
    return max(means, key=lambda part: means[part])


def in_words(stretches: list[Stretch], share: float) -> str:
    """For people; "" where every pose has a similar one."""
    if not stretches:
        return ""
    named = sorted(stretches[:NAMED], key=lambda stretch: stretch.begin)
    moments = ", ".join(f"{s.begin:.1f} to {s.end:.1f} s ({s.part})" for s in named)
    more = len(stretches) - len(named)
    if more:
        moments += f" and {more} shorter moment{'s' if more > 1 else ''}"
    return (
        f"The target's film has no frame like {percent(share)} of the source's poses: {moments}. "
        "There a network guesses, and the nearest frame shows another pose: film such movements of "
        "the target, too, or choose another stretch of the source."
    )


def sentence(
    keypoints: Float[np.ndarray, "n 137 3"],
    lost: Bool[np.ndarray, " n"],
    times: Float[np.ndarray, " n"],
    target: Float[np.ndarray, "m 137 3"],
) -> str:
    """`in_words` of `unseen_stretches`."""
    return in_words(*unseen_stretches(keypoints, lost, times, target))
