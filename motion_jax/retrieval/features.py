"""What two poses are compared by: places of joints, or directions of limbs."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from motion_jax.pose.skeleton import BODY, COCO_18, INDEX
from motion_jax.retrieval import search

# The 17 limbs of the tree of COCO's 18 joints.
LIMBS = tuple(
    (INDEX[a], INDEX[b])
    for side in ("right", "left")
    for a, b in (
        ("neck", f"{side}_shoulder"),
        (f"{side}_shoulder", f"{side}_elbow"),
        (f"{side}_elbow", f"{side}_wrist"),
        ("neck", f"{side}_hip"),
        (f"{side}_hip", f"{side}_knee"),
        (f"{side}_knee", f"{side}_ankle"),
        ("nose", f"{side}_eye"),
        (f"{side}_eye", f"{side}_ear"),
    )
) + ((INDEX["neck"], INDEX["nose"]),)
assert len(LIMBS) == len(COCO_18.body25) - 1

Space = Literal["joints", "angles"]


@dataclass(frozen=True)
class Points:
    """Poses as points that may be missing.

    values: 0 where missing.
    Their distance is the root of the mean of |difference|² over the points that both have.
    """

    values: Float32[np.ndarray, "*n p 2"]
    seen: Bool[np.ndarray, "*n p"]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: np.ndarray | Sequence[int] | slice) -> "Points":
        return Points(self.values[rows], self.seen[rows])


def points(
    keypoints: Float[np.ndarray, "n 137 3"], space: Space, height: float, aspect: float = 1.0
) -> Points:
    """Keypoints in pixels → what they are compared by.

    space: "joints": the 25 body joints' places in shares of the frame's `height`; "angles": the
      unit vectors u = (b - a) / |b - a| of the 17 `LIMBS`, which neither place nor size of the body
      change (|u - v|² = 2 (1 - cos of the angle between them)).
    aspect: width of a pixel by its height.
    """
    body = np.asarray(keypoints, np.float32)[:, BODY]
    values, seen = body[..., :2] * np.array([aspect, 1], np.float32), body[..., 2] > 0
    if space == "joints":
        values = values / np.float32(height)
    else:
        a, b = (list(ends) for ends in zip(*LIMBS, strict=True))
        along = values[:, b] - values[:, a]
        length = np.linalg.norm(along, axis=-1)
        seen = seen[:, a] & seen[:, b] & (length > 1e-3)
        values = along / np.maximum(length, 1e-3)[..., None]
    return Points(np.where(seen[..., None], values, 0).astype(np.float32), seen)


def with_medians(
    keypoints: Float[np.ndarray, "n 137 3"],
) -> tuple[Float32[np.ndarray, "n 137 3"], int]:
    """Missing body joints put where the joint is in the median over the frames that show it.

    keypoints: of one video. Returns them and how many joints were filled. A joint that no
    frame shows stays missing.
    """
    filled, count = np.array(keypoints, np.float32), 0
    for joint in range(BODY.start, BODY.stop):
        seen = filled[:, joint, 2] > 0
        if seen.any() and not seen.all():
            filled[~seen, joint, :2] = np.median(filled[seen, joint, :2], axis=0)
            filled[~seen, joint, 2] = filled[seen, joint, 2].min()
            count += int((~seen).sum())
    return filled, count


def between(a: Points, b: Points) -> Float32[np.ndarray, "..."]:
    """Distances of poses paired by broadcasting; infinite where nothing is shared."""
    both = a.seen & b.seen
    square = (np.square(a.values - b.values).sum(-1) * both).sum(-1)
    common = both.sum(-1)
    mean = square / np.maximum(common, 1)
    return np.where(common > 0, np.sqrt(mean), np.inf).astype(np.float32)


def nearest(
    queries: Points, database: Points, k: int, least_common: float = 0.5
) -> tuple[Float32[np.ndarray, "q {k}"], Int[np.ndarray, "q {k}"]]:
    """The k nearest poses of the database: distances, ascending, and indices.

    A pose that shares fewer than the part `least_common` of the query's points does not count (few
    points are easily near). Where fewer than k poses count, all do, and a missing point lies where
    it is in the mean over the database. Raises ValueError: k out of range.
    """
    everywhere = queries.seen.any(0) & database.seen.any(0)
    if queries.seen[:, everywhere].all() and database.seen[:, everywhere].all():
        # Nothing is missing: plain vectors.
        asked, known = (x.values[:, everywhere].reshape(len(x), -1) for x in (queries, database))
        square, indices = search.flat(asked, known, k)
        return np.sqrt(square / max(1, int(everywhere.sum()))), indices
    square, indices = search.masked(
        queries.values, queries.seen, database.values, database.seen, k, least_common
    )
    distances = np.sqrt(square)
    lonely = np.flatnonzero(~np.isfinite(distances).all(1))
    if len(lonely):
        alone = _centred(queries[lonely], database), _centred(database, database)
        distances[lonely], indices[lonely] = nearest(*alone, k)
    return distances, indices


def _centred(poses: Points, database: Points) -> Points:
    """Missing points at the mean of the database's."""
    number = np.maximum(database.seen.sum(0), 1)[:, None]
    middle = (database.values * database.seen[..., None]).sum(0) / number
    values = np.where(poses.seen[..., None], poses.values, middle)
    return dataclasses.replace(
        poses, values=values.astype(np.float32), seen=np.ones_like(poses.seen)
    )
