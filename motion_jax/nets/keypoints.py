"""Keypoints with local affine maps, as the First Order Motion Model has them (Siarohin et al.,
NeurIPS 2019), and the algebra of motions between them.

Coordinates are (x, y) in [-1, 1], the centres of the outermost pixels at -1 and 1.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array
from jaxtyping import Float

from motion_jax.nets.sampling import HIGHEST, coordinate_grid

# An inverse is never more than 1 / this times the matrix.
LEAST_DETERMINANT = 1e-3
# Twice the area of a triangle that counts as a line.
FLAT = 1e-7


@struct.dataclass
class Keypoints:
    """K points of each of n pictures.

    Attributes:
      value: coordinates, float32 [n, K, 2].
      jacobian: the affine map near each point, of an abstract reference frame to the picture,
        float32 [n, K, 2, 2]; None where only points are estimated.
      background: where each place of a driving picture's background is in the source: a matrix
        beside a shift, float32 [n, 2, 3]; None: in the same place.
    """

    # Any: shapes of arrays stand in their place where nothing is computed.
    value: Any
    jacobian: Any = None
    background: Any = None

    def __getitem__(self, index: Any) -> "Keypoints":
        """The points of some of the pictures."""
        return jax.tree.map(lambda x: x[index], self)


def determinant(matrix: Float[Array, "*n 2 2"]) -> Float[Array, "*n"]:
    """Of 2x2 matrices."""
    return matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] * matrix[..., 1, 0]


def inverse(matrix: Float[Array, "*n 2 2"]) -> Float[Array, "*n 2 2"]:
    """The inverses of 2x2 matrices, bounded.

    Exact where the determinant is at least LEAST_DETERMINANT in size; a smaller one counts as that,
    with its sign, so that a map that has collapsed makes neither infinities nor huge gradients.
    (The original inverts whatever comes: torch.inverse.)
    """
    found = determinant(matrix)
    least = jnp.where(found < 0, -LEAST_DETERMINANT, LEAST_DETERMINANT)
    found = jnp.where(jnp.abs(found) < LEAST_DETERMINANT, least, found)
    a, b, c, d = (matrix[..., i, j] for i in (0, 1) for j in (0, 1))
    adjugate = jnp.stack([jnp.stack([d, -b], -1), jnp.stack([-c, a], -1)], -2)
    return adjugate / found[..., None, None]


def product(a: Float[Array, "*#n 2 2"], b: Float[Array, "*#n 2 2"]) -> Array:
    """Of 2x2 matrices, in full float32 on every platform."""
    return jnp.matmul(a, b, precision=HIGHEST)


def applied(matrix: Float[Array, "*#n 2 2"], vector: Float[Array, "*#n 2"]) -> Array:
    """Matrix times vector, in full float32: sums of two products, which fuse with their use."""
    x, y = vector[..., 0], vector[..., 1]
    rows = [matrix[..., i, 0] * x + matrix[..., i, 1] * y for i in (0, 1)]
    return jnp.stack(rows, axis=-1)


def gaussians(
    points: Float[Array, "n k 2"], height: int, width: int, variance: float
) -> Float[Array, "n h w k"]:
    """A bump of height 1 at every point."""
    away = coordinate_grid(height, width)[None, :, :, None] - points[:, None, None]
    return jnp.exp(-0.5 * jnp.sum(jnp.square(away), axis=-1) / variance)


def sparse_motions(
    source: Keypoints, driving: Keypoints, height: int, width: int
) -> Float[Array, "n motions h w 2"]:
    """Where each pixel of the driving picture is looked up in the source, as each point says; the
    first motion is that of the background.

    T_k(z) = J_s J_d^-1 (z - p_d) + p_s (equation 4 of the paper).
    """
    grid = jnp.asarray(coordinate_grid(height, width))
    away = grid[None, None] - driving.value[:, :, None, None]
    if driving.jacobian is not None and source.jacobian is not None:
        change = product(source.jacobian, inverse(driving.jacobian))
        away = applied(change[:, :, None, None], away)
    moved = away + source.value[:, :, None, None]
    behind = background_places(driving, height, width)[:, None]
    behind = jnp.broadcast_to(behind, (len(moved), 1, height, width, 2))
    return jnp.concatenate([behind, moved], axis=1)


def background_places(
    driving: Keypoints, height: int, width: int
) -> Float[Array, "n height width 2"]:
    """Where each pixel of the driving picture's background is looked up in the source; n is 1 where
    it stands still."""
    grid = jnp.asarray(coordinate_grid(height, width))[None]
    if driving.background is None:
        return grid
    maps = driving.background[:, None, None]
    return applied(maps[..., :2], grid) + maps[..., 2]


def hull_area(points: Float[Array, "k 2"]) -> Float[Array, ""]:
    """The area of the convex hull of points, 0 or more. Pure.

    A pair of points is an edge of the hull, gone through counter-clockwise, where every other point
    is to its left; the area is half the sum of the edges' cross products (shoelace formula). On
    which side a third point lies is computed once for each three, so that rounding, which differs
    from program to program, cannot make of them a corner in one view and a line in another.
    """
    three, sign = _threes(len(points))
    p, q, r = (points[three[..., i]] for i in range(3))
    side = sign * _cross(q - p, r - p)
    a, b = points[:, None], points[None, :]
    along = b - a
    nobody_right = jnp.all(side >= -FLAT, axis=-1)
    # Of several points on one line only the longest pair is an edge.
    length = jnp.sum(jnp.square(along), axis=-1)
    on_line = (jnp.abs(side) <= FLAT) & (sign != 0)
    beyond = jnp.sum(along[:, :, None] * (points[None, None] - a[:, :, None]), axis=-1)
    outside = (beyond > length[:, :, None]) | (beyond < 0)
    edge = nobody_right & (length > 0) & ~jnp.any(on_line & outside, axis=-1)
    return jnp.maximum(0.5 * jnp.sum(jnp.where(edge, _cross(a, b), 0.0)), 0.0)


def _cross(u: Array, v: Array) -> Array:
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]


def _threes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """(the numbers of each three of `count` points in rising order, [k, k, k, 3]; 1 where that
    turns them as they are, -1 where it turns them the other way, 0 where two are the same)."""
    i, j, k = np.indices((count,) * 3)
    numbers = np.stack([i, j, k], axis=-1)
    return np.sort(numbers, axis=-1), np.sign(j - i) * np.sign(k - j) * np.sign(k - i)


Mode = Literal["relative", "absolute"]


def normalised(
    source: Keypoints,
    driving: Keypoints,
    first: Keypoints,
    *,
    movement: bool = True,
    jacobian: bool = True,
    adapt_scale: bool = False,
) -> Keypoints:
    """The points with which a source is animated.

    source, first: of one picture each ([1, K, ...]); `first` is the driving picture whose pose is
    taken for that of the source. movement: move the source's points as those of the driving picture
    moved since `first`; else the driving points as they are, and the other two mean nothing (as in
    the original). jacobian: change their affine maps likewise. adapt_scale: movements times the
    ratio of the sizes (roots of the hulls' areas) of source and `first`. With movement the
    source's background stands still, whatever is behind the driving pictures.
    """
    if not movement:
        return driving
    scale: Array | float = 1.0
    if adapt_scale:
        own, other = hull_area(source.value[0]), hull_area(first.value[0])
        scale = jnp.sqrt(own) / jnp.sqrt(jnp.maximum(other, 1e-9))
    value = source.value + scale * (driving.value - first.value)
    maps = driving.jacobian
    if jacobian and maps is not None and first.jacobian is not None:
        change = product(maps, inverse(first.jacobian))
        maps = product(change, jnp.broadcast_to(source.jacobian, change.shape))
    return Keypoints(value, maps)
