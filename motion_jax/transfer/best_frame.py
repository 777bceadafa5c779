"""Which frame of a film is in the pose of a photo."""

import numpy as np
from jaxtyping import Float
from scipy.spatial import ConvexHull, QhullError


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
