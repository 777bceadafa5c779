"""Exact k nearest neighbours in blocks, on the device.

Distances to a block of the database come from one matrix product, ‖x‖² - 2 q·x. (For the product
the rows' mean is moved to the origin: smaller numbers are rounded by less.) Of each group of
`GROUP` rows only the least distance is kept, so that `GROUP` times fewer have to be sorted: the k
nearest rows lie in the k groups with the least minima. The rows of those groups, and of `SPARE`
more, are then compared again by Σ (q - x)², where nothing cancels, and sorted by (distance, index).
A query for which rounding of the product may have hidden a nearer row is compared with every row;
that is rare.

Memory: the database as it is, and BLOCK x QUERIES distances.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Float32, Int

GROUP = 32
SPARE = 5
BLOCK = 8192
QUERIES = 512
# Farther than any row, and small enough that sums do not overflow.
FAR = 1e30
EPSILON = float(np.finfo(np.float32).eps)


def flat(
    queries: Float32[np.ndarray, "q d"], database: Float32[np.ndarray, "n d"], k: int
) -> tuple[Float32[np.ndarray, "q {k}"], Int[np.ndarray, "q {k}"]]:
    """The k rows of the database nearest to each query, by squared Euclidean distance.

    Args:
      queries, database: finite.
      k: 1 ... the number of the database's rows.

    Returns:
      squared distances, ascending, and indices; of equal distances the smaller index comes first.
    Raises ValueError: k out of range.
    """
    queries, database = np.asarray(queries, np.float32), np.asarray(database, np.float32)
    return _search(queries, database, k, None)


def masked(
    queries: Float[np.ndarray, "q p 2"],
    queries_seen: Bool[np.ndarray, "q p"],
    database: Float[np.ndarray, "n p 2"],
    seen: Bool[np.ndarray, "n p"],
    k: int,
    least_common: float = 0.5,
) -> tuple[Float32[np.ndarray, "q {k}"], Int[np.ndarray, "q {k}"]]:
    """Does what `flat` does for rows of points of which some are missing.

    The squared distance is the mean of |q - x|² over the points that both rows have.

    Args:
      least_common: a row that shares less than this part of the query's points is infinitely far,
        because few points are easily near.

    Returns: as `flat`; infinite distances come last, and their indices mean nothing.
    """
    return _search(_packed(queries, queries_seen), _packed(database, seen), k, least_common)


def _packed(points: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """float32 [n, 3 P]: whether each point is there (0 or 1), its x, its y (0 where missing)."""
    seen = np.asarray(seen, np.float32)
    points = np.where(seen[..., None] > 0, np.asarray(points, np.float32), 0)
    return np.concatenate([seen, points[..., 0], points[..., 1]], axis=1)


def _search(
    queries: np.ndarray, database: np.ndarray, k: int, mask: float | None
) -> tuple[np.ndarray, np.ndarray]:
    count = len(database)
    if not 1 <= k <= count:
        raise ValueError(f"k is {k}; it must be from 1 to the {count} rows there are")
    if not len(queries):
        return np.zeros((0, k), np.float32), np.zeros((0, k), np.int32)
    # Few rows are searched in small blocks, whose sizes repeat, so that few programs are compiled.
    block = min(BLOCK, max(GROUP, 1 << (count - 1).bit_length()))
    if count < block:
        database = np.pad(database, ((0, block - count), (0, 0)))
    step = min(QUERIES, 1 << (len(queries) - 1).bit_length())
    on_device = jnp.asarray(database)
    centre, largest = _middle(on_device, count, mask)
    parts = []
    for first in range(0, len(queries), step):
        part = queries[first : first + step]
        padded = np.pad(part, ((0, step - len(part)), (0, 0)))
        parts.append(_block(padded, on_device, centre, largest, count, k, block, mask))
    values, places, sure = (
        np.concatenate(each)[: len(queries)] for each in zip(*parts, strict=True)
    )
    for row in np.flatnonzero(~sure):
        values[row], places[row] = _every(queries[row], on_device, count, k, mask)
    return values, places


@functools.partial(jax.jit, static_argnames=("count", "k", "block", "mask"))
def _block(queries, database, centre, largest, count, k, block, mask):
    """(squared distances [q, k], indices [q, k], whether they are certain [q])."""
    blocks = -(-count // block)
    groups = block // GROUP
    moved = _moved(queries, centre, mask)
    made = _query_features(moved, mask)

    def minima(_, number):
        # The last block begins earlier, to be whole; rows of the block before it do not count.
        start = jnp.minimum(number * block, len(database) - block)
        rows = jax.lax.dynamic_slice_in_dim(database, start, block)
        index = start + jnp.arange(block)
        real = (index >= number * block) & (index < count)
        scores = _scores(made, _moved(rows, centre, mask), real[:, None], mask)
        # A group is every `groups`-th row, so that whole vectors are compared.
        return None, scores.reshape(-1, GROUP, groups).min(1)

    _, least = jax.lax.scan(minima, None, jnp.arange(blocks))
    least = least.transpose(1, 0, 2).reshape(len(queries), blocks * groups)
    chosen = min(k + SPARE, blocks * groups)
    # These must not be sliced: XLA's CPU compiler would then sort the whole rows.
    values, winners = jax.lax.top_k(-least, chosen)
    start = jnp.minimum(winners // groups * block, len(database) - block)
    index = start[..., None] + winners[..., None] % groups + groups * jnp.arange(GROUP)
    real = (index >= (winners // groups * block)[..., None]) & (index < count)
    index = index.reshape(len(queries), -1)
    exact = _exact(queries[:, None], database[index], mask)
    exact = jnp.where(real.reshape(index.shape), exact, jnp.inf)
    found, places = _least(exact, index, k)
    if chosen == blocks * groups:
        return found, places, jnp.ones(len(queries), bool)
    own = jnp.sum(jnp.square(moved), -1)
    rest = jnp.max(-values, 1)  # No row outside these groups scores less.
    rest = rest + own if mask is None else rest
    # More than rounding can change a sum of so many terms of this size: Σ |terms| is at most
    # 2 (‖x‖² + ‖q‖²), each is rounded D + 3 times by EPSILON / 2, and likewise in the exact sum.
    worst = 3 * (database.shape[1] + 3) * EPSILON * (largest + own)
    return found, places, (rest - worst > found[:, -1]) | (rest >= FAR)


@functools.partial(jax.jit, static_argnames=("count", "mask"))
def _middle(database, count, mask):
    """The mean of the rows [D], and the largest ‖x - mean‖²: the nearer rows are to the origin, the
    less the product rounds."""
    real = (jnp.arange(len(database)) < count)[:, None]
    if mask is None:
        centre = jnp.sum(jnp.where(real, database, 0), 0) / count
    else:
        seen = jnp.split(database, 3, axis=-1)[0]
        number = jnp.maximum(seen.sum(0), 1)
        mean = database.sum(0) / jnp.tile(number, 3)
        centre = mean.at[: len(number)].set(0)
    moved = jnp.where(real, _moved(database, centre, mask), 0)
    return centre, jnp.max(jnp.sum(jnp.square(moved), -1))


def _moved(rows, centre, mask):
    """Rows with the centre at the origin; missing points stay 0."""
    if mask is None:
        return rows - centre
    return rows - centre * jnp.tile(jnp.split(rows, 3, axis=-1)[0], 3)


@functools.partial(jax.jit, static_argnames=("count", "k", "mask"))
def _every(query, database, count, k, mask):
    """One query [D] against every row: squared distances [k] and indices [k]."""
    exact = jnp.where(jnp.arange(len(database)) < count, _exact(query, database, mask), jnp.inf)
    values, places = jax.lax.top_k(-exact, k)  # Of equal values the smaller index comes first.
    return -values, places


def _least(distances, indices, k):
    """The k least of [q, n] by (distance, index)."""
    distances, indices = jax.lax.sort((distances, indices), num_keys=2)
    return distances[:, :k], indices[:, :k].astype(jnp.int32)


def _query_features(queries, mask):
    if mask is None:
        return jnp.concatenate([-2 * queries, jnp.ones((len(queries), 1))], -1)
    seen, x, y = jnp.split(queries, 3, axis=-1)
    return jnp.concatenate([x * x + y * y, seen, -2 * x, -2 * y], -1), seen, seen.sum(-1)


def _scores(made, rows, real, mask):
    """[q, block]: in the order of the squared distances; without a mask they lack ‖q‖². They are at
    least FAR for rows that are not `real` [block, 1]. That is done to the rows, because a pass over
    the result would take as long as the product."""
    product = functools.partial(jnp.dot, precision=jax.lax.Precision.HIGHEST)
    if mask is None:
        # ‖x‖² is one more column: a sum after the product would be another pass over it.
        square = jnp.where(real, jnp.sum(jnp.square(rows), -1, keepdims=True), FAR)
        return product(made, jnp.concatenate([rows, square], -1).T)
    features, own, points = made
    seen, x, y = jnp.split(rows, 3, axis=-1)
    there = jnp.concatenate([seen, x * x + y * y, x, y], -1)
    common = product(own, jnp.where(real, seen, 0).T)
    return _mean(product(features, there.T), common, points[:, None], mask)


def _exact(queries, rows, mask):
    """Over the last axis Σ (q - x)², or with a mask the mean over the common points."""
    if mask is None:
        return jnp.sum(jnp.square(queries - rows), -1)
    own, x, y = jnp.split(queries, 3, axis=-1)
    seen, u, v = jnp.split(rows, 3, axis=-1)
    both = own * seen
    total = jnp.sum(both * (jnp.square(x - u) + jnp.square(y - v)), -1)
    return _mean(total, both.sum(-1), own.sum(-1), mask)


def _mean(total, common, points, mask):
    enough = common >= jnp.maximum(mask * points, 1)
    return jnp.where(enough, total / jnp.maximum(common, 1), jnp.inf)
