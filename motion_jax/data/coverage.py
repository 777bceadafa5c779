"""How much of the space of poses a dataset covers: a model can draw what it has seen.

A pose is described by its body joints without place and size: relative to the middle of the hips
(of the shoulders where no hip is seen), in torso lengths. Joints that were not observed take their
mean over the dataset, so that they neither add nor hide a difference.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from motion_jax.pose.skeleton import BODY, INDEX

# Joints that describe a pose; the face's and the feet's points follow from these.
JOINTS = tuple(
    INDEX[name]
    for name in (
        "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder",
        "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip",
        "left_knee", "left_ankle",
    )
)  # fmt: skip

LIMBS = {
    "right upper arm": ("right_shoulder", "right_elbow"),
    "right forearm": ("right_elbow", "right_wrist"),
    "left upper arm": ("left_shoulder", "left_elbow"),
    "left forearm": ("left_elbow", "left_wrist"),
    "right thigh": ("right_hip", "right_knee"),
    "right shin": ("right_knee", "right_ankle"),
    "left thigh": ("left_hip", "left_knee"),
    "left shin": ("left_knee", "left_ankle"),
    "spine": ("mid_hip", "neck"),
}
# Into how many directions the circle is divided (of 15 degrees).
DIRECTIONS = 24
# A direction must be seen in this many frames to count: one frame may be a mistake.
LEAST_FRAMES = 2
_BLOCK = 512


@dataclass(frozen=True)
class Coverage:
    """Of one dataset.

    Attributes:
      plane: the poses in the plane of their two main components, torso lengths.
      explained: share of the poses' variance that the plane shows, 0...1.
      directions: for each limb the share of the 24 directions in the picture it was seen in.
      late: frames in the last fifth of their clip (by default held out of training).
      distances: for each late frame the distance to the most similar frame that is not late, root
        mean square over the joints in torso lengths.
      place: (left, right) shares of the frame's width between which the hips were (5th and 95th
        percentile).
      height: median height of the observed body in shares of the frame's height.
    """

    plane: Float32[np.ndarray, "n 2"]
    explained: float
    directions: dict[str, float]
    late: Bool[np.ndarray, " n"]
    distances: Float32[np.ndarray, " late"]
    place: tuple[float, float]
    height: float


def pose_vectors(keypoints: Float[np.ndarray, "n 137 3"]) -> Float32[np.ndarray, "n 28"]:
    """The poses without place and size: x, y of each of JOINTS in torso lengths."""
    body = np.asarray(keypoints, np.float64)[:, BODY]
    seen = body[..., 2] > 0
    points = np.where(seen[..., None], body[..., :2], np.nan)

    def middle(first: str, second: str) -> np.ndarray:
        return (points[:, INDEX[first]] + points[:, INDEX[second]]) / 2

    hips, shoulders = middle("right_hip", "left_hip"), middle("right_shoulder", "left_shoulder")
    torso = np.linalg.norm(hips - shoulders, axis=1)
    across = points[:, INDEX["right_shoulder"]] - points[:, INDEX["left_shoulder"]]
    width = np.linalg.norm(across, axis=1)
    known = torso[np.isfinite(torso)]
    # One unit for the dataset: a torso seen from above is short, and the person is not smaller.
    unit = np.median(known) if len(known) else 1.4 * _median(width, 1.0)
    origin = np.where(np.isfinite(hips), hips, shoulders)
    relative = (points[:, JOINTS] - origin[:, None]) / max(float(unit), 1e-6)
    flat = relative.reshape(len(relative), -1)
    counts = np.isfinite(flat).sum(0)
    means = np.nansum(flat, axis=0) / np.maximum(counts, 1)
    return np.where(np.isfinite(flat), flat, means).astype(np.float32)


def _median(values: np.ndarray, otherwise: float) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else otherwise


def nearest_distances(
    queries: Float[np.ndarray, "q d"], database: Float[np.ndarray, "n d"]
) -> Float32[np.ndarray, " q"]:
    """Root mean square distance per joint to the nearest row."""
    result = np.empty(len(queries), np.float32)
    squares = (database.astype(np.float64) ** 2).sum(1)
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK].astype(np.float64)
        squared = (block**2).sum(1)[:, None] + squares - 2 * block @ database.T.astype(np.float64)
        nearest = squared.min(1)
        result[start : start + _BLOCK] = np.sqrt(np.maximum(nearest, 0) / (queries.shape[1] / 2))
    return result


def limb_directions(keypoints: Float[np.ndarray, "n 137 3"]) -> dict[str, float]:
    """For each limb the share of the 24 directions it points in, in two frames or more."""
    result = {}
    for name, (start, end) in LIMBS.items():
        a, b = keypoints[:, INDEX[start]], keypoints[:, INDEX[end]]
        both = (a[:, 2] > 0) & (b[:, 2] > 0)
        across, down = (b - a)[both, 0], (b - a)[both, 1]
        turn = np.arctan2(down, across) / (2 * np.pi) % 1
        bins = np.minimum((turn * DIRECTIONS).astype(int), DIRECTIONS - 1)
        counts = np.bincount(bins, minlength=DIRECTIONS)
        result[name] = float((counts >= LEAST_FRAMES).mean())
    return result


def measure(
    keypoints: Float[np.ndarray, "n 137 3"],
    clips: list[tuple[int, int]],
    height: int,
    width: int,
    late_share: float = 0.2,
) -> Coverage:
    """Coverage of a dataset.

    Args:
      keypoints: in pixels of height x width frames.
      clips: (first record, number of records) of each clip.
      late_share: share of each clip, its end, that is compared with the rest.
    """
    poses = pose_vectors(keypoints)
    centred = poses - poses.mean(0)
    _, strengths, axes = np.linalg.svd(np.cov(centred.T) if len(poses) > 1 else np.zeros((28, 28)))
    plane = centred @ axes[:2].T
    late = np.zeros(len(poses), bool)
    for start, length in clips:
        late[start + length - round(length * late_share) : start + length] = True
    early = poses[~late]
    distances = nearest_distances(poses[late], early) if len(early) else np.zeros(0, np.float32)
    hips = keypoints[:, INDEX["mid_hip"]]
    across = hips[hips[:, 2] > 0, 0] / width
    place = tuple(np.percentile(across, [5, 95]).tolist()) if len(across) else (0.0, 1.0)
    seen = keypoints[:, BODY, 2] > 0
    rows = np.where(seen, keypoints[:, BODY, 1], np.nan)
    some = seen.any(1)
    tall = (np.nanmax(rows[some], 1) - np.nanmin(rows[some], 1)) if some.any() else np.zeros(1)
    return Coverage(
        plane=plane.astype(np.float32),
        explained=float(strengths[:2].sum() / max(strengths.sum(), 1e-12)),
        directions=limb_directions(keypoints),
        late=late,
        distances=distances,
        place=place,
        height=float(np.median(tall) / height),
    )
