"""Poses of a person within what the person's joints were seen to do: brought there, or changed a
little.

Every joint has an angle in the picture: from the direction of the bone before it to that of the
bone after it. Its limits are the least and the greatest angle of the training poses, a few strays
left out; a changed angle stays between them, and every bone keeps its length in the picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32

from motion_jax.pose.skeleton import FACE, INDEX, LEFT_HAND, NAMES, RIGHT_HAND

# Shares of the training poses whose angles count as strays, on each side.
STRAYS = 0.01
# Frames over which a change of an angle takes place, as the width of a Gaussian.
SLOW = 8.0


@dataclass(frozen=True)
class Joint:
    """before, at, after: points of the skeleton, the joint is `at`; moved: those that turn with
    the bone after it, `after` among them."""

    before: int
    at: int
    after: int
    moved: tuple[int, ...]


def _joint(before: str, at: str, after: str, names: Sequence[str], more: Sequence[int]) -> Joint:
    moved = (INDEX[after], *(INDEX[name] for name in names), *more)
    return Joint(INDEX[before], INDEX[at], INDEX[after], moved)


def _joints() -> list[Joint]:
    found = []
    for side, hand in (("right", RIGHT_HAND), ("left", LEFT_HAND)):
        points = range(hand.start, hand.stop)
        foot = [f"{side}_{part}" for part in ("big_toe", "small_toe", "heel")]
        shoulder, elbow, wrist, hip, knee, ankle = (
            f"{side}_{part}" for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        )
        found += [
            _joint("neck", shoulder, elbow, [wrist], points),
            _joint(shoulder, elbow, wrist, [], points),
            _joint("neck", hip, knee, [ankle, *foot], ()),
            _joint(hip, knee, ankle, foot, ()),
            _joint(knee, ankle, foot[0], foot[1:], ()),
        ]
    head = [f"{side}_{part}" for side in ("right", "left") for part in ("eye", "ear")]
    found.append(_joint("mid_hip", "neck", "nose", head, range(FACE.start, FACE.stop)))
    return found


_FEET = [INDEX[f"{side}_ankle"] for side in ("right", "left")]
# From the trunk outwards, so that a forearm turns after its arm.
JOINTS = sorted(_joints(), key=lambda joint: -len(joint.moved))


def angles(
    poses: Float[np.ndarray, "n 137 3"], joint: Joint
) -> tuple[Float[np.ndarray, " n"], np.ndarray]:
    """(radians from -pi to pi, whether all three points are seen)."""
    points = poses[:, [joint.before, joint.at, joint.after]]
    seen = np.asarray((points[..., 2] > 0).all(1))
    one, other = points[:, 1, :2] - points[:, 0, :2], points[:, 2, :2] - points[:, 1, :2]
    cross = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    return np.arctan2(cross, (one * other).sum(1)), seen


@dataclass(frozen=True)
class Limits:
    """Of a joint: its angles lie around `middle`, between `low` and `high` from there (radians)."""

    middle: float
    low: float
    high: float


def limits(poses: Float[np.ndarray, "n 137 3"]) -> list[Limits | None]:
    """Of each of JOINTS; None where it was never seen."""
    found: list[Limits | None] = []
    for joint in JOINTS:
        turned, seen = angles(poses, joint)
        if not seen.any():
            found.append(None)
            continue
        turned = turned[seen]
        middle = float(np.arctan2(np.sin(turned).mean(), np.cos(turned).mean()))
        away = _wrapped(turned - middle)
        low, high = np.quantile(away, [STRAYS, 1 - STRAYS])
        found.append(Limits(middle, float(low), float(high)))
    return found


def to_json(known: Sequence[Limits | None]) -> dict[str, Any]:
    """{joint's name: [middle, low, high] in radians}; those never seen are left out."""
    pairs = zip(JOINTS, known, strict=True)
    return {NAMES[joint.at]: list(astuple(each)) for joint, each in pairs if each is not None}


def from_json(value: Mapping[str, Any]) -> list[Limits | None]:
    """From `to_json`'s. Raises KeyError, TypeError or ValueError for anything else."""
    if unknown := set(value) - {NAMES[joint.at] for joint in JOINTS}:
        raise ValueError(f"{min(unknown)} is no joint")
    found = {name: Limits(*map(float, numbers)) for name, numbers in value.items()}
    return [found.get(NAMES[joint.at]) for joint in JOINTS]


def kept_within(
    poses: Float[np.ndarray, "n 137 3"], within: Sequence[Limits | None]
) -> tuple[Float32[np.ndarray, "n 137 3"], Bool[np.ndarray, " n"]]:
    """(the poses with each joint that bends beyond its limits brought back to the nearest of them,
    which of the poses had one). The lower foot then stands as low as it stood before."""
    changed = np.array(poses, np.float32)
    beyond = np.zeros(len(poses), bool)
    for joint, known in zip(JOINTS, within, strict=True):
        if known is None:
            continue
        turned, seen = angles(changed, joint)
        away = _wrapped(turned - known.middle)
        by = np.where(seen, np.clip(away, known.low, known.high) - away, 0.0)
        beyond |= np.abs(by) > np.radians(1.0)
        _turn(changed, joint, by)
    # Far up where a foot is not seen, so that a pose without feet stays where it is.
    seen = poses[:, _FEET, 2] > 0
    before, after = (np.where(seen, one[:, _FEET, 1], -1e6).max(1) for one in (poses, changed))
    changed[..., 1] += np.where(changed[..., 2] > 0, (before - after)[:, None], 0)
    return changed, beyond


def perturbed(
    poses: Float[np.ndarray, "n 137 3"],
    within: Sequence[Limits | None],
    degrees: float,
    random: np.random.Generator,
) -> Float32[np.ndarray, "n 137 3"]:
    """The poses of a clip with every joint turned by slowly changing angles of that standard
    deviation, as far as its limits allow. A joint that is beyond them already turns back alone."""
    changed = np.array(poses, np.float32)
    for joint, known in zip(JOINTS, within, strict=True):
        noise = np.radians(degrees) * _slow(len(poses), random)
        if known is None:
            continue
        turned, seen = angles(changed, joint)
        away = _wrapped(turned - known.middle)
        least, most = np.minimum(known.low, away), np.maximum(known.high, away)
        by = np.where(seen, np.clip(away + noise, least, most) - away, 0.0)
        _turn(changed, joint, by)
    return changed


def _turn(poses: np.ndarray, joint: Joint, by: np.ndarray) -> None:
    moved = list(joint.moved)
    pivot = poses[:, joint.at, None, :2]
    away = poses[:, moved, :2] - pivot
    cos, sin = np.cos(by)[:, None], np.sin(by)[:, None]
    turned = np.stack(
        [cos * away[..., 0] - sin * away[..., 1], sin * away[..., 0] + cos * away[..., 1]], -1
    )
    # What is not turned stays as it was, to the bit.
    turns = (poses[:, moved, 2:] > 0) & (by != 0)[:, None, None]
    poses[:, moved, :2] = np.where(turns, pivot + turned, poses[:, moved, :2])


def _slow(count: int, random: np.random.Generator) -> np.ndarray:
    """Smooth noise of variance 1."""
    reach = int(3 * SLOW)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SLOW) ** 2)
    white = random.normal(size=count + 2 * reach)
    return np.convolve(white, taps / np.linalg.norm(taps), "valid")


def _wrapped(angle: np.ndarray) -> np.ndarray:
    return (angle + np.pi) % (2 * np.pi) - np.pi
