"""Which of the nearest frames is shown at each moment."""

import numpy as np
from jaxtyping import Float, Int, Int64

from motion_jax.retrieval.features import Points, between


def thresholded(
    queries: Points, database: Points, nearest: Int[np.ndarray, " t"], threshold: float
) -> Int64[np.ndarray, " t"]:
    """Indices into the database by frame thresholding: the frame before is kept until the nearest
    one is clearly nearer. With B̂_t the nearest frame,

        B_t = B̂_t if d(A_t, B̂_t) < d(A_t, B_(t-1)) - λ, else B_(t-1).

    Args:
      nearest: the nearest frame B̂_t of each query.
      threshold: λ in units of the median of d(A_t, B̂_t).
    """
    chosen = np.array(nearest, np.int64)
    least = between(queries, database[chosen])
    known = least[np.isfinite(least)]
    limit = threshold * float(np.median(known)) if len(known) else 0.0
    for t in range(1, len(chosen)):
        before = between(queries[t : t + 1], database[chosen[t - 1 : t]])[0]
        if not least[t] < before - limit:
            chosen[t] = chosen[t - 1]
    return chosen


def path(
    distances: Float[np.ndarray, "t c"],
    candidates: Int[np.ndarray, "t c"],
    database: Points,
    following: Int[np.ndarray, " n"],
    jump: float,
) -> Int64[np.ndarray, " t"]:
    """The cheapest way through the candidates, by dynamic programming.

    The cost is Σ d_t + jump · Σ d(what follows B_(t-1), B_t): to go on from a frame to the one that
    was filmed next costs nothing, to any other it costs the distance between the poses of the two
    (Schödl et al.: Video Textures. SIGGRAPH 2000). Of equally cheap ways the one through earlier
    candidates is taken.

    Args:
      distances, candidates: of the frames to choose from at each moment.
      following: of each pose of the database the frame filmed next; itself where there is none.
      jump: weight of the jumps, 0 or more.
    """
    distances = np.where(np.isfinite(distances), distances, 1e6).astype(np.float64)
    cost, came = distances[0], np.zeros(candidates.shape, np.int64)
    for t in range(1, len(candidates)):
        goes_on = database[following[candidates[t - 1]]]
        here = database[candidates[t]]
        seen = Points(goes_on.values[:, None], goes_on.seen[:, None])
        step = between(seen, Points(here.values[None], here.seen[None]))
        # Poses that share nothing are as far apart as two poses can be, in either space.
        step = np.where(np.isfinite(step), step, 2.0)
        total = cost[:, None] + jump * step
        came[t] = total.argmin(0)
        cost = total.min(0) + distances[t]
    way = np.zeros(len(candidates), np.int64)
    last = int(cost.argmin()) if len(candidates) else 0
    for t in range(len(candidates) - 1, -1, -1):
        way[t] = candidates[t, last]
        last = came[t, last]
    return way
