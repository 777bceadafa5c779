"""Which frames of B belong to a frame of A: k nearest neighbours among normalised poses.

A's poses are first fitted to B's body and place in the picture as `transfer` fits a driving pose,
so that a network that learns from the pairs is later shown poses of the same kind. The distance of
two poses is the root of the mean squared distance of the joints that both show, in lengths of B's
torso.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int8, Int64

from motion_jax.data.records import PoseFrames
from motion_jax.pairing.options import Compare
from motion_jax.pose.match import nearest
from motion_jax.pose.normalize import Method, PoseStatistics, fit_target, normalize
from motion_jax.pose.skeleton import BODY

# Why a pair is left out, in the order in which the reasons are tested.
REASONS = ("kept", "no common joints", "too far", "not mutual")
KEPT, NOTHING_COMMON, TOO_FAR, NOT_MUTUAL = range(4)


@dataclass(frozen=True)
class Matches:
    """The k nearest of B for each of Q frames of A.

    Attributes:
      a, b: records.
      distance: ascending, in torso lengths; infinite where no frame of B shows half
        of the joints.
      reason: an index into REASONS; KEPT makes a pair.
      asked: number of frames of B that could have been chosen.
    """

    a: Int64[np.ndarray, "q k"]
    b: Int64[np.ndarray, "q k"]
    distance: Float32[np.ndarray, "q k"]
    reason: Int8[np.ndarray, "q k"]
    asked: int

    @property
    def kept(self) -> Bool[np.ndarray, "q k"]:
        """Which make a pair."""
        return self.reason == KEPT


def fitted(
    poses: Float[np.ndarray, "n 137 3"],
    other: Float[np.ndarray, "m 137 3"],
    aspects: tuple[float, float],
    method: Method,
) -> Float32[np.ndarray, "n 137 3"]:
    """A's poses as B's body would take them, in pixels of B's frames.

    Args:
      poses, other: keypoints of A and of B, each in pixels of its own frames.
      aspects: width of a pixel by its height, of A and of B.
      method: of pose.normalize.normalize; "none" leaves the poses as they are.
    Raises ValueError where one of them has no body joint.
    """
    source, target = (
        fit_target(keypoints, aspect)
        for keypoints, aspect in zip((poses, other), aspects, strict=True)
    )
    return normalize(poses, source, target, method=method)


def torso_length(keypoints: Float[np.ndarray, "n 137 3"], aspect: float = 1.0) -> float:
    """The torso of B's statistics in pixels; a third of the body's height where too little of it is
    seen."""
    statistics: PoseStatistics = fit_target(keypoints, aspect)
    if (torso := statistics.limbs.get("torso", 0.0)) > 0:
        return float(torso)
    body = np.asarray(keypoints)[:, BODY]
    seen = body[..., 2] > 0
    heights = [
        float(np.ptp(one[mask, 1])) for one, mask in zip(body, seen, strict=True) if any(mask)
    ]
    return max(float(np.median(heights)) / 3, 1.0)


def match(
    a: Int[np.ndarray, " q"],
    b: Int[np.ndarray, " n"],
    poses_a: Float[np.ndarray, "q 137 3"],
    poses_b: Float[np.ndarray, "n 137 3"],
    *,
    k: int,
    torso: float,
    max_distance: float,
    mutual: bool = False,
    compare: Compare = "frame",
    aspect: float = 1.0,
) -> Matches:
    """The k nearest of the records b for each of the records a.

    Args:
      a, b: records of A and B.
      poses_a, poses_b: in pixels of B's frames (A's as from `fitted`).
      k: 1 ... the number of B's records.
      torso: length of B's torso in pixels, the unit of the distances.
      max_distance: a pair further apart is dropped.
      mutual: a pair also needs A's frame to be among the k nearest of A for B's frame.
      compare: "frame": as they lie in the picture; "body": without place and size.
      aspect: width of a pixel by its height.
    Raises ValueError for k out of range.
    """
    scale = np.array([aspect, 1, 1], np.float32)
    left, right = np.asarray(poses_a) * scale, np.asarray(poses_b) * scale
    plain = compare == "frame"
    distance, index = nearest(left, right, k, normalise=not plain)
    distance = distance / np.float32(torso if plain else 1.0)
    reason = np.full(distance.shape, KEPT, np.int8)
    if mutual:
        _, back = nearest(right, left, min(k, len(a)), normalise=not plain)
        returned = (back[index] == np.arange(len(a))[:, None, None]).any(-1)
        reason[~returned] = NOT_MUTUAL
    reason[distance > max_distance] = TOO_FAR
    reason[~np.isfinite(distance)] = NOTHING_COMMON
    return Matches(
        np.repeat(np.asarray(a, np.int64)[:, None], k, 1),
        np.asarray(b, np.int64)[index],
        distance.astype(np.float32),
        reason,
        len(b),
    )


@dataclass(frozen=True)
class Run:
    """Pairs of consecutive frames of A, all of one rank: a clip of the dataset to be.

    Attributes:
      rank: 0 for nearest frames, 1 for second nearest, ...
      a, b: records.
      held_out: whether they are kept out of training.
    """

    rank: int
    a: Int64[np.ndarray, " n"]
    b: Int64[np.ndarray, " n"]
    distance: Float32[np.ndarray, " n"]
    held_out: bool


@dataclass(frozen=True)
class Paired:
    """What was found.

    Attributes:
      a, b: the datasets.
      poses: A's poses in pixels of B's frames.
      matches: {"train": …, "heldout": …}; a part without frames is left out.
      runs: the pairs, as they lie in the dataset.
      torso: length of B's torso in pixels.
    """

    a: PoseFrames
    b: PoseFrames
    poses: Float32[np.ndarray, "n 137 3"]
    matches: dict[str, Matches]
    runs: list[Run]
    torso: float


def runs(matches: Matches, clips: Int[np.ndarray, " q"], held_out: bool) -> list[Run]:
    """The kept pairs, cut wherever a frame of A is missing or its clip ends, by rank and then by
    time. clips: the clip of each frame of A."""
    found = []
    for rank in range(matches.a.shape[1]):
        kept = np.flatnonzero(matches.kept[:, rank])
        if not len(kept):
            continue
        cut = (np.diff(matches.a[kept, rank]) != 1) | (np.diff(clips[kept]) != 0)
        for part in np.split(kept, np.flatnonzero(cut) + 1):
            rows = (part, rank)
            found.append(
                Run(rank, matches.a[rows], matches.b[rows], matches.distance[rows], held_out)
            )
    return found
