"""Which frame of a film is in the pose of a photo."""

import numpy as np
from jaxtyping import Float
from scipy.spatial import ConvexHull, QhullError

from motion_jax.pose import long_arrays
from motion_jax.pose.skeleton import BODY, FACE
from motion_jax.pose.track import PoseTrack

# What is compared of a pose, and what it is called: the 68 points of a face (the pupils tell where
# one looks, not where the head is), or the joints of a body.
LANDMARKS = {
    "face": (slice(FACE.start, FACE.start + 68), "the points of the face"),
    "person": (BODY, "the joints of the body"),
}
# With fewer points in common, or without more of the photo's than this share, two poses say nothing
# of each other.
FEWEST, LEAST_SHARE = 6, 0.75


def shape_of(points: Float[np.ndarray, "k 2"]) -> Float[np.ndarray, "k 2"]:
    """Points without their place and size: minus their mean, over the root of their convex hull's
    area. Points on one line have no area: over their spread."""
    points = np.asarray(points, np.float64)
    centred = points - points.mean(axis=0)
    try:
        size = np.sqrt(ConvexHull(centred).volume)  # in two dimensions the area
    except (QhullError, ValueError):
        size = np.sqrt(np.square(centred).sum() / len(centred))
    return centred / max(size, 1e-9)


def best_frame(
    source: Float[np.ndarray, "k 2"], driving: Float[np.ndarray, "n k 2"]
) -> tuple[int, Float[np.ndarray, " n"]]:
    """(the frame whose points lie most like the source's, the distance of every frame); of equal
    ones the first. The distance is the sum of squared differences of `shape_of`."""
    own = shape_of(source)
    distances = np.array([np.square(own - shape_of(points)).sum() for points in driving])
    return int(np.argmin(distances)), distances


def landmark_distances(
    photo: PoseTrack, film: PoseTrack, kind: str
) -> Float[np.ndarray, " n"] | None:
    """How far each frame's face or body is from the photo's, in place and size alike: the distance
    of `best_frame`, by point. inf where nobody, or too little, is seen; None: in all of them.

    Points count that are seen in both. kind: of LANDMARKS.
    """
    which, _ = LANDMARKS[kind]
    own = photo.keypoints[0, which]
    least = max(FEWEST, LEAST_SHARE * np.count_nonzero(own[:, 2] > 0))
    distances = np.full(len(film), np.inf)
    found = film.found
    for window in long_arrays.windows(film.keypoints):
        for frame in range(window.start, window.stop):
            points = film.keypoints[frame, which]
            both = (own[:, 2] > 0) & (points[:, 2] > 0)
            if found[frame] and np.count_nonzero(both) >= least:
                away = shape_of(own[both, :2]) - shape_of(points[both, :2])
                distances[frame] = np.square(away).sum() / np.count_nonzero(both)
    return distances if np.isfinite(distances).any() else None
