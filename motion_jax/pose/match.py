"""The most similar poses of a collection: exact k nearest neighbours on the device, in blocks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Int32

from motion_jax.pose.skeleton import BODY, INDEX

# Poses compared at once: 64 x 2048 x 25 joints x 2 numbers are 26 MB.
_QUERIES, _DATABASE = 64, 2048


def nearest(
    queries: Float[np.ndarray, "q 137 3"],
    database: Float[np.ndarray, "n 137 3"],
    k: int = 1,
    masked: bool = True,
    normalise: bool = False,
    least_common: float = 0.5,
) -> tuple[Float32[np.ndarray, "q {k}"], Int32[np.ndarray, "q {k}"]]:
    """The k poses of the database nearest to each query, by their body joints.

    The distance of two poses is the root of the mean squared distance of their joints.

    Args:
      queries, database: in pixels of frames of one size.
      k: 1 ... the database's number of poses.
      masked: average over the joints that both poses show; False compares all 25, where a
        missing joint lies at (0, 0).
      normalise: compare after moving the mid-hip to the origin and dividing by the torso's length,
        so that place and size do not matter; distances then are in torso lengths. False (for the
        same person before the same camera) compares plain pixels.
      least_common: with `masked`, a pose that shares fewer than this part of the query's joints is
        infinitely far, because few joints are easily near.

    Returns:
      distances, ascending, and indices; of equal distances the smaller
      index comes first. Infinite distances come last, and then the index means nothing.

    Raises ValueError: k out of range.
    """
    queries, database = _bodies(queries, normalise), _bodies(database, normalise)
    if not 1 <= k <= len(database):
        raise ValueError(f"k is {k}; it must be from 1 to the {len(database)} poses there are")
    count = len(queries)
    # Whole blocks: repeated shapes compile once, and rows of padding are never near.
    block = min(_DATABASE, 1 << max(0, len(database) - 1).bit_length())
    step = min(_QUERIES, 1 << max(0, count - 1).bit_length())
    distances, indices = _nearest(
        _padded(queries, step), _padded(database, block), len(database), k, masked, least_common
    )
    distances, indices = distances.reshape(-1, k)[:count], indices.reshape(-1, k)[:count]
    return np.asarray(distances), np.asarray(indices)


def _bodies(keypoints: np.ndarray, normalise: bool) -> np.ndarray:
    body = np.array(np.asarray(keypoints)[:, BODY], np.float32)
    seen = body[..., 2] > 0
    if normalise:
        hip, neck = body[:, INDEX["mid_hip"]], body[:, INDEX["neck"]]
        number = np.maximum(seen.sum(1), 1)[:, None]
        mean = (body[..., :2] * seen[..., None]).sum(1) / number
        both = (hip[:, 2:] > 0) & (neck[:, 2:] > 0)
        # Without a torso: the joints' centre, and their mean distance from it.
        away = np.linalg.norm(body[..., :2] - mean[:, None], axis=-1)
        spread = (away * seen).sum(1, keepdims=True) / number
        centre = np.where(hip[:, 2:] > 0, hip[:, :2], mean)
        torso = np.linalg.norm(hip[:, :2] - neck[:, :2], axis=-1, keepdims=True)
        size = np.maximum(np.where(both, torso, spread), 1e-3)
        body[..., :2] = (body[..., :2] - centre[:, None]) / size[:, None]
    body[..., :2] *= seen[..., None]
    body[..., 2] = seen
    return body


def _padded(body: np.ndarray, block: int) -> np.ndarray:
    """[n, 25, 3] -> [blocks, block, 25, 3]."""
    missing = -len(body) % block
    body = np.concatenate([body, np.zeros((missing, *body.shape[1:]), np.float32)])
    return body.reshape(-1, block, *body.shape[1:])


@functools.partial(jax.jit, static_argnames=("k", "masked"))
def _nearest(queries, database, count, k, masked, least_common):
    block = database.shape[1]
    starts = jnp.arange(len(database), dtype=jnp.int32) * block

    def distances(query, poses, start):
        square = jnp.square(query[:, None, :, :2] - poses[None, :, :, :2]).sum(-1)
        if masked:
            both = query[:, None, :, 2] * poses[None, :, :, 2]
            common = both.sum(-1)
            mean = (square * both).sum(-1) / jnp.maximum(common, 1)
            enough = common >= jnp.maximum(least_common * query[..., 2].sum(-1), 1)[:, None]
        else:
            mean, enough = square.mean(-1), True
        exists = start + jnp.arange(block) < count
        return jnp.where(enough & exists, jnp.sqrt(mean), jnp.inf)

    def of_queries(query):
        def merge(best, part):
            poses, start = part
            here = distances(query, poses, start)
            index = jnp.broadcast_to(start + jnp.arange(block, dtype=jnp.int32), here.shape)
            # The best so far come first, so that equal distances keep the smaller index.
            near = jnp.concatenate([best[0], here], 1)
            index = jnp.concatenate([best[1], index], 1)
            values, places = jax.lax.top_k(-near, k)
            return (-values, jnp.take_along_axis(index, places, 1)), None

        none = jnp.full((len(query), k), jnp.inf), jnp.zeros((len(query), k), jnp.int32)
        return jax.lax.scan(merge, none, (database, starts))[0]

    return jax.lax.map(of_queries, queries)
