"""Bones that are impossibly long: a person's bones keep their length, and a picture only shortens
them.

What a bone may measure is learned from the clip itself: its usual length (an upper quantile over
all frames and both sides, because it is seen shortened most of the time), but never less than a
person with this torso has, because a clip may show a bone from its end alone. It grows with the
body where the person comes nearer. A bone far beyond that has a misjudged joint; of its two ends
the joint with more such bones is blamed, else the one farther from the trunk. A blamed joint
counts as not observed, so that `smooth.fill_gaps` can fill it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from motion_jax.pose import long_arrays
from motion_jax.pose.drop import without_joints
from motion_jax.pose.skeleton import INDEX, LEFT_HAND, RIGHT_HAND
from motion_jax.pose.track import PoseTrack

# A bone is too long if it exceeds its usual length by this factor and by SLACK torso lengths more,
# because an ankle and a heel are hardly ever exact to that.
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


def usual_lengths(keypoints: Float[np.ndarray, "n 137 3"]) -> dict[str, float]:
    """What each joint's bone to its parent measures when seen from the side, in pixels, by the
    joint's name; {} where neither torso nor shoulders were seen."""
    return _usual(long_arrays.gathered(_seen_lengths, keypoints))


def quantile(values: Float[np.ndarray, "..."], share: float) -> float:
    """np.quantile of a few numbers, to the bit, in a tenth of its time: live poses ask for a dozen
    of them each. There is at least one."""
    ordered = np.sort(values, axis=None)
    place = share * (len(ordered) - 1)
    low = int(place)
    if low + 1 == len(ordered):
        return float(ordered[low])
    below, above, part = ordered[low], ordered[low + 1], place - low
    # From the nearer of the two, as numpy does it.
    step = above - below
    return float(below + step * part if part < 0.5 else above - step * (1 - part))


def _seen_lengths(keypoints: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of the torso and of each bone of `_PARENTS`, both sides together, where it is seen: [m]."""

    def lengths(a: list[int], b: list[int]) -> np.ndarray:
        first, second = keypoints[:, a], keypoints[:, b]
        seen = (first[..., 2] > 0) & (second[..., 2] > 0)
        return np.linalg.norm(first[..., :2] - second[..., :2], axis=-1)[seen]

    sides = ("right", "left")
    return lengths([INDEX["mid_hip"]], [INDEX["neck"]]), *(
        lengths([_of(side, name) for side in sides], [_of(side, parents[0]) for side in sides])
        for name, parents in _PARENTS.items()
    )


def _usual(lengths: tuple[np.ndarray, ...]) -> dict[str, float]:
    """`usual_lengths` of what `_seen_lengths` gives."""
    usual = {
        name: quantile(seen, USUAL)
        for name, seen in zip(("torso", *_PARENTS), lengths, strict=True)
        if len(seen)
    }
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

    found = track.found

    def bodies(keypoints: np.ndarray, found: np.ndarray) -> np.ndarray:
        return np.where(found[:, None, None], keypoints[:, :25], 0).astype(np.float64)

    blamed = np.zeros((len(found), 25), bool)
    usual = _usual(
        long_arrays.gathered(lambda *part: _seen_lengths(bodies(*part)), track.keypoints, found)
    )
    if not usual:
        return LongBones(blamed)
    normal = _normal(usual)
    (upper,) = long_arrays.gathered(
        lambda *part: (_upper_ratios(bodies(*part), normal),), track.keypoints, found
    )
    size = np.maximum(median_filter(upper, size=SIZE_WINDOW, mode="nearest"), 1)
    longest = _longest(usual) * size[:, None]
    for window in long_arrays.windows(track.keypoints):
        body = bodies(track.keypoints[window], found[window])
        blamed[window] = _blamed(body, longest[window])
    return LongBones(blamed)


_CHILDREN, _BONE_PARENTS = (np.array([bone[i] for bone in _BONES]) for i in (0, 1))


def _normal(usual: dict[str, float]) -> np.ndarray:
    """[bone]: the usual lengths; a joint that hangs on its grandparent may be as far as both bones
    are long."""
    return np.array([sum(usual[name] for name in bone[2]) for bone in _BONES])


def _longest(usual: dict[str, float]) -> np.ndarray:
    """[bone]: the length from which on a bone is too long."""
    return TOO_LONG * _normal(usual) + SLACK * usual["knee"] / PROPORTIONS["knee"]


def _bone_lengths(body: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[n, bone]: how long each of `_BONES` is, and whether it is seen."""
    length = np.linalg.norm(body[:, _CHILDREN, :2] - body[:, _BONE_PARENTS, :2], axis=-1)
    return length, (body[:, _CHILDREN, 2] > 0) & (body[:, _BONE_PARENTS, 2] > 0)


def _upper_ratios(body: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """[n]: an upper quantile of how many times longer than usual a frame's bones are; 1 where few
    are seen."""
    length, seen = _bone_lengths(body)
    ratios = np.where(seen, length / normal, np.nan)
    some = np.isfinite(ratios).sum(1) >= 3
    upper = np.ones(len(ratios))
    if some.any():
        upper[some] = np.nanquantile(ratios[some], 0.75, axis=1)
    return upper


def _blamed(body: np.ndarray, longest: np.ndarray) -> np.ndarray:
    """bool [n, 25]: the joints that are to blame for bones longer than `longest` [n, bone]."""
    blamed = np.zeros((len(body), 25), bool)
    long, _ = _bone_lengths(body)
    long = long > longest
    while True:
        there = (body[..., 2] > 0) & ~blamed
        bad = long & there[:, _CHILDREN] & there[:, _BONE_PARENTS]
        for number, bone in enumerate(_BONES):
            if bone[3] is not None:
                bad[:, number] &= ~there[:, bone[3]]
        frames = np.flatnonzero(bad.any(1))
        if not len(frames):
            return blamed
        score = np.zeros((len(frames), 25))
        for number, (child, parent, *_) in enumerate(_BONES):
            score[:, child] += bad[frames, number]
            score[:, parent] += bad[frames, number]
        # Among equals the one farther from the trunk.
        score = np.where(score > 0, score + _DEPTH / 100, 0)
        score[:, [INDEX[name] for name in _TRUNK]] = 0
        blamed[frames, score.argmax(1)] = True


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


def body_size(pose: Float[np.ndarray, "137 3"], usual: dict[str, float]) -> float:
    """How many times larger than usual the body is seen; 1 where fewer than three bones tell."""
    return float(_upper_ratios(pose[None, :25], _normal(usual))[0])


def put_back(
    pose: Float[np.ndarray, "137 3"], usual: dict[str, float], size: float
) -> Float[np.ndarray, "137 3"]:
    """The pose with misjudged joints moved along their bones to where those have their usual length
    times `size`; a hand goes with its wrist, and what was at an ankle of the foot goes with it."""
    [moved] = _blamed(pose[None, :25], size * _longest(usual)[None])
    if not moved.any():
        return pose
    result, normal = pose.copy(), _normal(usual)
    # Those nearer to the trunk first.
    for child in np.argsort(_DEPTH, kind="stable"):
        bones = [i for i in np.flatnonzero(child == _CHILDREN) if pose[_BONE_PARENTS[i], 2] > 0]
        if not bones or not pose[child, 2] > 0:
            continue
        bone = min(bones, key=lambda i: len(_BONES[i][2]))
        parent = _BONE_PARENTS[bone]
        along = pose[child, :2] - pose[parent, :2]
        share = min(1.0, size * normal[bone] / max(float(np.linalg.norm(along)), 1e-9))
        moved[child] |= child in _FEET and moved[parent] and share * TOO_LONG >= 1
        if moved[child]:
            result[child, :2] = result[parent, :2] + share * along
    for side, hand in (("left", LEFT_HAND), ("right", RIGHT_HAND)):
        shift = result[INDEX[f"{side}_wrist"], :2] - pose[INDEX[f"{side}_wrist"], :2]
        result[hand, :2] += np.where(result[hand, 2:] > 0, shift, 0)
    return result


def drop_long_bones(track: PoseTrack) -> tuple[PoseTrack, LongBones]:
    """The track without the joints of bones that are too long, and which they were."""
    found = find_long_bones(track)
    return without_joints(track, found.joints), found
