"""Lengths of limbs, and a figure rebuilt with other lengths."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from motion_jax.pose.skeleton import FACE, INDEX, LEFT_HAND, RIGHT_HAND


def _pairs(*names: tuple[str, str]) -> tuple[tuple[int, int], ...]:
    return tuple((INDEX[a], INDEX[b]) for a, b in names)


def _both(a: str, b: str) -> tuple[tuple[int, int], ...]:
    return _pairs((f"right_{a}", f"right_{b}"), (f"left_{a}", f"left_{b}"))


def _hand(start: int) -> tuple[tuple[int, int], ...]:
    # Wrist to the first joints of index, middle, ring and little finger.
    return tuple((start, start + joint) for joint in (5, 9, 13, 17))


# Each length and the pairs of keypoints that show it; a person's two sides are taken as equal.
LIMBS: dict[str, tuple[tuple[int, int], ...]] = {
    "torso": _pairs(("mid_hip", "neck")),
    "shoulders": _pairs(("neck", "right_shoulder"), ("neck", "left_shoulder")),
    "hips": _pairs(("mid_hip", "right_hip"), ("mid_hip", "left_hip")),
    "neck": _pairs(("neck", "nose")),
    "ears": _pairs(("right_ear", "left_ear")),
    "eyes": _pairs(("right_eye", "left_eye")),
    "upper_arm": _both("shoulder", "elbow"),
    "forearm": _both("elbow", "wrist"),
    "thigh": _both("hip", "knee"),
    "shin": _both("knee", "ankle"),
    "foot": _both("ankle", "big_toe"),
    "toes": _both("big_toe", "small_toe"),
    "heel": _both("ankle", "heel"),
    "hand": _hand(LEFT_HAND.start) + _hand(RIGHT_HAND.start),
}

# A limb pointing at the camera looks short, so a limb's length is a high quantile of what is seen;
# not the largest, which is a misjudged joint of one frame.
QUANTILE = 0.85
# Two people's proportions differ by less than this factor; more is a misjudgement.
LARGEST_DIFFERENCE = 2.0

# Joint, its parents from near to far, and the length that scales it against its parent, in an order
# in which parents come first. The head's joints move with the nose as one piece.
_TREE = [("neck", ("mid_hip",), "torso"), ("nose", ("neck", "mid_hip"), "neck")]
_TREE += [
    (f"{side}_{part}", ("nose", "neck", "mid_hip"), "head")
    for part in ("eye", "ear")
    for side in ("right", "left")
]
for _side in ("right", "left"):
    for _name, _parents, _length in (
        ("shoulder", (), "shoulders"),
        ("elbow", ("shoulder",), "upper_arm"),
        ("wrist", ("elbow", "shoulder"), "forearm"),
    ):
        _above = (*(f"{_side}_{parent}" for parent in _parents), "neck", "mid_hip")
        _TREE.append((f"{_side}_{_name}", _above, _length))
    for _name, _parents, _length in (
        ("hip", (), "hips"),
        ("knee", ("hip",), "thigh"),
        ("ankle", ("knee", "hip"), "shin"),
        ("big_toe", ("ankle", "knee"), "foot"),
        ("small_toe", ("big_toe", "ankle"), "toes"),
        ("heel", ("ankle", "knee"), "heel"),
    ):
        _above = (*(f"{_side}_{parent}" for parent in _parents), "mid_hip", "neck")
        _TREE.append((f"{_side}_{_name}", _above, _length))


def limb_lengths(parts: Iterable[Float[np.ndarray, "n 137 3"]]) -> dict[str, float]:
    """Length of each of `LIMBS` in pixels, of keypoints that come in parts; those never seen are
    left out."""
    seen = [[_seen_lengths(part, pairs) for pairs in LIMBS.values()] for part in parts]
    together = map(np.concatenate, zip(*seen, strict=True))
    return {
        name: float(np.quantile(lengths, QUANTILE))
        for name, lengths in zip(LIMBS, together, strict=True)
        if len(lengths)
    }


def _seen_lengths(keypoints: np.ndarray, pairs: tuple[tuple[int, int], ...]) -> np.ndarray:
    """[m]: the distances of these pairs of keypoints where both are seen."""
    first, second = np.array(pairs).T
    a, b = keypoints[:, first], keypoints[:, second]
    seen = (a[..., 2] > 0) & (b[..., 2] > 0)
    return np.linalg.norm(a[..., :2] - b[..., :2], axis=-1)[seen]


def limb_ratios(
    source: dict[str, float], target: dict[str, float], size: float
) -> dict[str, float]:
    """Target / source for every limb, divided by `size`, the scale that the whole figure gets: what
    is left is proportion. Limbs that one of them never shows have the ratio 1, but "hand" then has
    the forearm's; "head" is the ears' ratio, else the eyes', else the neck's."""
    ratios = {}
    for name in LIMBS:
        if source.get(name, 0) > 0 and target.get(name, 0) > 0:
            ratio = target[name] / source[name] / size
            ratios[name] = float(np.clip(ratio, 1 / LARGEST_DIFFERENCE, LARGEST_DIFFERENCE))
    head = next((ratios[name] for name in ("ears", "eyes", "neck") if name in ratios), 1.0)
    hand = ratios.get("hand", ratios.get("forearm", 1.0))
    return {name: 1.0 for name in LIMBS} | ratios | {"head": head, "hand": hand}


def leg_ratio(source: dict[str, float], target: dict[str, float], size: float) -> float:
    """As `limb_ratios` of thigh and shin together; 1 where one of them never shows its legs."""
    legs = [sum(each.get(name, 0) for name in ("thigh", "shin")) for each in (source, target)]
    both = all(each.get(name, 0) > 0 for each in (source, target) for name in ("thigh", "shin"))
    if not both:
        return 1.0
    return float(np.clip(legs[1] / legs[0] / size, 1 / LARGEST_DIFFERENCE, LARGEST_DIFFERENCE))


def rebuild(
    poses: Float[np.ndarray, "n 137 3"],
    moved: Float[np.ndarray, "n 137 2"],
    scale: Float[np.ndarray, " n"],
    source: dict[str, float],
    target: dict[str, float],
    size: float,
) -> Float[np.ndarray, "n 137 2"]:
    """The poses with the target's limbs: x and y.

    Args:
      poses: in the source's pixels (square ones).
      moved: where a plain scale and shift puts each keypoint.
      scale: that plain scale.
      source, target: `limb_lengths` of both.
      size: the typical plain scale, that of a frame as the lengths were measured.

    From the root (mid-hip) outwards every joint is set at its nearest observed parent's new place
    plus its old offset, scaled and in the target's proportion; a joint without observed parents
    stays at its plain place. Face points move and scale with the head, hands with the wrist.
    """
    ratios = limb_ratios(source, target, size)
    new = moved.copy()
    seen = poses[..., 2] > 0
    offsets = poses[..., :2] * scale[:, None, None]

    def attach(child: int | slice, parents: tuple[int, ...], ratio: float) -> None:
        open_frames = np.ones(len(poses), bool)
        for parent in parents:
            here = open_frames & seen[:, parent]
            open_frames &= ~here
            anchor = new[here, parent], offsets[here, parent]
            if isinstance(child, slice):
                anchor = tuple(point[:, None] for point in anchor)
            new[here, child] = anchor[0] + ratio * (offsets[here, child] - anchor[1])

    for name, parents, length in _TREE:
        attach(INDEX[name], tuple(INDEX[parent] for parent in parents), ratios[length])
    head = tuple(INDEX[name] for name in ("nose", "right_eye", "left_eye", "neck"))
    attach(FACE, head, ratios["head"])
    attach(LEFT_HAND, (INDEX["left_wrist"], INDEX["left_elbow"]), ratios["hand"])
    attach(RIGHT_HAND, (INDEX["right_wrist"], INDEX["right_elbow"]), ratios["hand"])
    return new
