"""Bones that are too long to be: a person's bones keep their length, and a picture only shortens
them.

What a bone may measure is learned from the clip itself: its usual length (an upper quantile over
all frames and both sides, because it is seen shortened most of the time), but never less than a
person with this torso has, because a clip may show a bone from its end alone. It grows with the
body where the person comes nearer. A bone far beyond that has a misjudged joint; of its two ends
that joint is blamed which has more such bones, else the one farther from the trunk. A blamed joint
counts as not observed, so that `smooth.fill_gaps` can fill it.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from motion_jax.pose.skeleton import INDEX, LEFT_HAND, RIGHT_HAND
from motion_jax.pose.track import PoseTrack

# A bone is too long from this number of times its usual length on, and beyond SLACK torso lengths
# more, because an ankle and a heel are hardly ever exact to that.
TOO_LONG = 1.4
SLACK = 0.06
USUAL = 0.8
# Adults' lengths as shares of the torso (mid-hip to neck), and the share of them that is allowed
# where a bone is hardly seen.
PROPORTIONS = {
    "shoulder": 0.33, "elbow": 0.53, "wrist": 0.47, "hip": 0.19, "knee": 0.75, "ankle": 0.75,
    "big_toe": 0.34, "small_toe": 0.34, "heel": 0.17,
}  # fmt: skip
LEAST = 0.9
# The body's size in a frame is the median of so many frames around it.
SIZE_WINDOW = 15

# Each joint and what it hangs on, near to far; the trunk's own joints are blamed last.
_PARENTS = {
    "shoulder": ("neck",),
    "elbow": ("shoulder",),
    "wrist": ("elbow", "shoulder"),
    "hip": ("mid_hip",),
    "knee": ("hip",),
    "ankle": ("knee", "hip"),
    "big_toe": ("ankle", "knee"),
    "small_toe": ("ankle", "knee"),
    "heel": ("ankle", "knee"),
}
_TRUNK = ("neck", "mid_hip")


@dataclass(frozen=True)
class LongBones:
    """The body joints that were blamed for a bone that is too long."""

    joints: Bool[np.ndarray, "n 25"]

    @property
    def count(self) -> int:
        return int(self.joints.sum())

    @property
    def frames(self) -> int:
        return int(self.joints.any(1).sum())


def _of(side: str, name: str) -> int:
    return INDEX[name if name in _TRUNK else f"{side}_{name}"]


# (child, parent, name, the joint between them that must be missing or None)
_BONES = [
    (_of(side, name), _of(side, parent), (name, *parents[:number]),
     _of(side, parents[0]) if number else None)
    for side in ("right", "left")
    for name, parents in _PARENTS.items()
    for number, parent in enumerate(parents)
]  # fmt: skip
_CHILDREN, _BONE_PARENTS = (np.array([bone[i] for bone in _BONES]) for i in (0, 1))


def usual_lengths(keypoints: Float[np.ndarray, "n 137 3"]) -> dict[str, float]:
    """What each joint's bone to its parent measures when seen from the side, in pixels, by the
    joint's name; {} where neither torso nor shoulders were seen."""

    def lengths(a: list[int], b: list[int]) -> np.ndarray:
        first, second = keypoints[:, a], keypoints[:, b]
        seen = (first[..., 2] > 0) & (second[..., 2] > 0)
        return np.linalg.norm(first[..., :2] - second[..., :2], axis=-1)[seen]

    seen = {"torso": lengths([INDEX["mid_hip"]], [INDEX["neck"]])}
    for name, parents in _PARENTS.items():
        pairs = [(_of(s, name), _of(s, parents[0])) for s in ("right", "left")]
        seen[name] = lengths(*(list(part) for part in zip(*pairs, strict=True)))
    usual = {name: float(np.quantile(v, USUAL)) for name, v in seen.items() if len(v)}
    torso = usual.pop("torso", 0.0) or usual.get("shoulder", 0.0) / PROPORTIONS["shoulder"]
    if torso <= 0:
        return {}
    return {
        name: max(usual.get(name, 0.0), LEAST * share * torso)
        for name, share in PROPORTIONS.items()
    }


def find_long_bones(track: PoseTrack) -> LongBones:
    """The joints that cannot be where they are."""
    from scipy.ndimage import median_filter

    keypoints = np.where(track.found[:, None, None], track.keypoints, 0).astype(np.float64)
    usual = usual_lengths(keypoints)
    if not usual:
        return LongBones(np.zeros((len(keypoints), 25), bool))
    size = median_filter(body_sizes(keypoints, usual), size=SIZE_WINDOW, mode="nearest")
    return misjudged(keypoints, usual, np.maximum(size, 1))


def misjudged(
    keypoints: Float[np.ndarray, "n 137 3"],
    usual: dict[str, float],
    size: Float[np.ndarray, " n"],
) -> LongBones:
    """The joints to blame for bones longer than `usual_lengths` (not {}) times the size of the body
    in each frame allow."""
    blamed = np.zeros((len(keypoints), 25), bool)
    seen = keypoints[:, :25, 2] > 0
    slack = SLACK * usual["knee"] / PROPORTIONS["knee"]
    length, normal = _lengths(keypoints, usual)
    long = length > (TOO_LONG * normal + slack) * size[:, None]
    while True:
        there = seen & ~blamed
        bad = long & there[:, _CHILDREN] & there[:, _BONE_PARENTS]
        for number, bone in enumerate(_BONES):
            if bone[3] is not None:
                bad[:, number] &= ~there[:, bone[3]]
        frames = np.flatnonzero(bad.any(1))
        if not len(frames):
            return LongBones(blamed)
        score = np.zeros((len(frames), 25))
        for number, (child, parent, *_) in enumerate(_BONES):
            score[:, child] += bad[frames, number]
            score[:, parent] += bad[frames, number]
        # Among equals the one farther from the trunk.
        score = np.where(score > 0, score + _DEPTH / 100, 0)
        score[:, [INDEX[name] for name in _TRUNK]] = 0
        blamed[frames, score.argmax(1)] = True


def _lengths(keypoints: np.ndarray, usual: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Of every bone its length in each frame [N, bone] and its usual length [bone]: a joint that
    hangs on its grandparent may be as far as both bones are long."""
    points = keypoints[..., :2]
    length = np.linalg.norm(points[:, _CHILDREN] - points[:, _BONE_PARENTS], axis=-1)
    return length, np.array([sum(usual[name] for name in bone[2]) for bone in _BONES])


# How many bones lie between each joint and the trunk.
_DEPTH = np.zeros(25)
for _child, _parent, _, _between in _BONES:
    if _between is None:
        _DEPTH[_child] = _DEPTH[_parent] + 1

_FEET = [
    _of(side, name)
    for side in ("left", "right")
    for name in PROPORTIONS
    if _PARENTS[name][0] == "ankle"
]
_HANDS = ((INDEX["left_wrist"], LEFT_HAND), (INDEX["right_wrist"], RIGHT_HAND))


def body_sizes(
    keypoints: Float[np.ndarray, "n 137 3"], usual: dict[str, float]
) -> Float[np.ndarray, " n"]:
    """How many times larger than usual the body is seen in each frame; 1 where fewer than three
    bones tell."""
    length, normal = _lengths(keypoints, usual)
    seen = keypoints[..., 2] > 0
    ratios = np.where(seen[:, _CHILDREN] & seen[:, _BONE_PARENTS], length / normal, np.nan)
    some = np.isfinite(ratios).sum(1) >= 3
    upper = np.ones(len(ratios))
    if some.any():
        upper[some] = np.nanquantile(ratios[some], 0.75, axis=1)
    return upper


def put_back(
    pose: Float[np.ndarray, "137 3"],
    usual: dict[str, float],
    size: float,
    joints: Bool[np.ndarray, " 25"],
) -> Float[np.ndarray, "137 3"]:
    """The pose with these joints moved along their bones to where those have their usual length
    times `size`; a hand goes with its wrist, and what was at an ankle of the foot goes with it."""
    result, moved = pose.copy(), joints.copy()
    # Those nearer to the trunk first.
    for child in np.argsort(_DEPTH, kind="stable"):
        bones = [bone for bone in _BONES if bone[0] == child and pose[bone[1], 2] > 0]
        if not bones or not pose[child, 2] > 0:
            continue
        _, parent, names, _ = min(bones, key=lambda bone: len(bone[2]))
        along = pose[child, :2] - pose[parent, :2]
        longest = size * sum(usual[name] for name in names)
        share = min(1.0, longest / max(float(np.linalg.norm(along)), 1e-9))
        moved[child] |= child in _FEET and moved[parent] and share * TOO_LONG >= 1
        if moved[child]:
            result[child, :2] = result[parent, :2] + share * along
    for wrist, hand in _HANDS:
        seen = result[hand, 2] > 0
        result[hand, :2] += np.where(seen[:, None], result[wrist, :2] - pose[wrist, :2], 0)
    return result


def drop_long_bones(track: PoseTrack) -> tuple[PoseTrack, LongBones]:
    """The track without the joints of bones that are too long, and which they were.

    With a wrist its hand goes, with an ankle its foot.
    """
    found = find_long_bones(track)
    dropped = np.zeros(track.keypoints.shape[:2], bool)
    dropped[:, :25] = found.joints
    for wrist, hand in _HANDS:
        dropped[:, hand] |= found.joints[:, [wrist]]
    for side in ("left", "right"):
        for part in ("big_toe", "small_toe", "heel"):
            dropped[:, INDEX[f"{side}_{part}"]] |= found.joints[:, INDEX[f"{side}_ankle"]]
    keypoints = np.where(dropped[..., None], 0, track.keypoints).astype(np.float32)
    filled = None if track.filled is None else track.filled & ~dropped
    return dataclasses.replace(track, keypoints=keypoints, filled=filled), found
