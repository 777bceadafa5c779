"""Stances drawn from a seed: people who stand, walk, dance and do anything that limbs allow."""

import functools
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from motion_jax.puppet import motion
from motion_jax.puppet.bones import BONE, BONES, Stance


def _unit(angle: np.ndarray | float, seen: np.ndarray | float = 1.0) -> np.ndarray:
    """From hanging straight down, by an angle towards the picture's right: x, y."""
    return np.stack([np.sin(angle) * seen, np.cos(angle) * seen], -1)


def rest(count: int = 1, arms: float = 0.55) -> Stance:
    """Standing upright, looking at the viewer, arms held off the body by an angle in radians."""
    bones = np.zeros((count, len(BONES), 2))
    for side, sign in (("right", -1.0), ("left", 1.0)):
        bones[:, BONE[f"{side}_shoulder"]] = (sign, 0.12)
        bones[:, BONE[f"{side}_hip"]] = (sign, 0.0)
        bones[:, BONE[f"{side}_upper_arm"]] = _unit(sign * arms)
        bones[:, BONE[f"{side}_forearm"]] = _unit(sign * 0.8 * arms)
        bones[:, BONE[f"{side}_thigh"]] = _unit(sign * 0.05)
        bones[:, BONE[f"{side}_shin"]] = _unit(sign * 0.03)
        bones[:, BONE[f"{side}_foot"]] = _unit(sign * 0.7)
    bones[:, BONE["spine"]] = bones[:, BONE["head"]] = (0.0, -1.0)
    root = np.column_stack([np.zeros(count), np.full(count, np.nan)])
    return Stance(bones, root, np.zeros(count), np.zeros(count))


def stances(seeds: Iterable[int]) -> Stance:
    """One stance of each seed: a third of them out of dances, a sixth walking, the others of random
    angles within what joints allow; one in seven is seen from behind."""
    parts = [_stance(int(seed)) for seed in seeds]
    return Stance(
        *(np.concatenate(each) for each in zip(*(_arrays(p) for p in parts), strict=True))
    )


def _arrays(stance: Stance) -> tuple[np.ndarray, ...]:
    return stance.bones, stance.root, stance.yaw, stance.pitch


# Of the dances that stances are taken from: how many, and how long each is.
_DANCES, _FRAMES = 12, 400


@functools.lru_cache(maxsize=_DANCES)
def _dance(number: int) -> Stance:
    return of_motion(motion.dance(_FRAMES, 25.0, 1000 + number))


def _stance(seed: int) -> Stance:
    random = np.random.default_rng((20, seed))
    kind = random.uniform()
    if kind < 0.33:
        frame = int(random.integers(_FRAMES))
        stance = _dance(int(random.integers(_DANCES)))[frame : frame + 1]
    elif kind < 0.5:
        stance = walk(random.uniform(0, 1, 1), random.choice([-1.0, 1.0]), random.uniform(0.6, 1.2))
    else:
        stance = _anything(random)
    yaw = stance.yaw + random.normal(0, 0.35)
    pitch = random.normal(0, 0.12, 1)
    if kind > 0.86:
        # From behind: the picture mirrored, sides kept.
        bones = stance.bones * np.array([-1.0, 1.0])
        return Stance(bones, stance.root * [[-1.0, 1.0]], np.pi + yaw, pitch)
    return Stance(stance.bones, stance.root, np.clip(yaw, -1.2, 1.2), pitch)


def _anything(random: np.random.Generator) -> Stance:
    """Angles drawn evenly; an arm in four, and a leg in four, points partly at the viewer."""
    bones = rest().bones
    lean = random.normal(0, 0.15)
    turn = np.cos(random.normal(0, 0.5))
    bones[:, BONE["spine"]] = -_unit(-lean)
    bones[:, BONE["head"]] = -_unit(-lean - random.normal(0, 0.2))
    spread = random.uniform(0, 0.5)
    for side, sign in (("right", -1.0), ("left", 1.0)):

        def seen(share: float = 0.25) -> float:
            return random.uniform(0.45, 1.0) if random.uniform() < share else 1.0

        across = sign * turn
        tilt = random.normal(0, 0.06) + lean * sign
        bones[:, BONE[f"{side}_shoulder"]] = (across, 0.12 + tilt)
        bones[:, BONE[f"{side}_hip"]] = (across, 0.0)
        # From the body's side up to above the head, and a little across the body.
        upper = random.uniform(-0.35, 3.0) if random.uniform() < 0.75 else random.normal(0.25, 0.15)
        bend = random.uniform(-0.3, 2.3) * random.choice([1.0, 1.0, -1.0])
        bones[:, BONE[f"{side}_upper_arm"]] = _unit(sign * upper - lean, seen())
        bones[:, BONE[f"{side}_forearm"]] = _unit(sign * (upper + bend) - lean, seen())
        thigh = spread + random.normal(0, 0.12)
        shin = thigh - random.uniform(0, 0.5)
        if random.uniform() < 0.3:
            thigh, shin = random.uniform(0.3, 1.6), random.uniform(-0.9, 0.6)
        bones[:, BONE[f"{side}_thigh"]] = _unit(sign * thigh, seen())
        bones[:, BONE[f"{side}_shin"]] = _unit(sign * shin, seen())
        bones[:, BONE[f"{side}_foot"]] = _unit(sign * (shin + random.uniform(0.2, 1.2)))
    return Stance(
        bones, np.array([[0.0, np.nan]]), random.normal(0, 0.3, 1), np.zeros(1)
    )  # fmt: skip


def walk(phase: Float[np.ndarray, " n"], way: float = 1.0, stride: float = 1.0) -> Stance:
    """Walking towards the picture's right (way = 1) or left, seen half from the side.

    Args:
      phase: 0 to 1 is two steps.
      stride: 1 is an easy walk.
    """
    n = len(phase)
    bones, angle = rest(n).bones, 2 * np.pi * np.asarray(phase)
    bones[:, BONE["spine"]] = -_unit(np.full(n, -0.06 * way))
    for side, sign in (("right", -1.0), ("left", 1.0)):
        swing = np.sin(angle) * sign
        bones[:, BONE[f"{side}_shoulder"]] = np.column_stack(
            [np.full(n, sign * 0.55), np.full(n, 0.12)]
        )
        bones[:, BONE[f"{side}_hip"]] = (sign * 0.5, 0.0)
        thigh = way * 0.48 * stride * swing
        # The knee bends while the leg comes forward.
        lifted = np.maximum(np.cos(angle) * sign, 0)
        bones[:, BONE[f"{side}_thigh"]] = _unit(thigh + 0.25 * way * lifted)
        shin = thigh - way * (0.12 + 0.85 * lifted * stride)
        bones[:, BONE[f"{side}_shin"]] = _unit(shin)
        bones[:, BONE[f"{side}_foot"]] = _unit(shin + way * 1.35)
        upper = -way * 0.5 * stride * swing
        bones[:, BONE[f"{side}_upper_arm"]] = _unit(upper + 0.08 * sign)
        bones[:, BONE[f"{side}_forearm"]] = _unit(
            upper + way * (0.35 + 0.3 * np.maximum(-swing, 0))
        )
    root = np.column_stack([np.zeros(n), np.full(n, np.nan)])
    return Stance(bones, root, np.full(n, 0.65 * way), np.zeros(n))


def of_motion(dance: motion.Motion) -> Stance:
    """A drawn dancer's motion (motion.py) as stances."""
    n = len(dance)
    bones = rest(n).bones
    lean = dance.lean
    bones[:, BONE["spine"]] = -_unit(-lean)
    bones[:, BONE["head"]] = -_unit(-(lean + dance.head_tilt))
    narrow = np.cos(0.7 * dance.turn)
    across = np.stack([np.cos(lean), np.sin(lean)], -1)
    for number, (side, sign) in enumerate((("right", -1.0), ("left", 1.0))):
        shoulder = sign * narrow[:, None] * across + 0.12 * _unit(-lean)
        bones[:, BONE[f"{side}_shoulder"]] = shoulder
        bones[:, BONE[f"{side}_hip"]] = (sign, 0.0)
        upper = sign * dance.shoulders[:, number] - lean
        bones[:, BONE[f"{side}_upper_arm"]] = _unit(upper)
        bones[:, BONE[f"{side}_forearm"]] = _unit(upper + sign * dance.elbows[:, number])
        hip = dance.root * [1.0, 1.0]
        foot = np.stack([dance.feet[:, number, 0], dance.feet[:, number, 1]], -1)
        # From hip to ankle in lengths of the leg, y down; both bones are half a leg.
        line = np.stack([foot[:, 0] - hip[:, 0], hip[:, 1] - foot[:, 1]], -1)
        far = np.clip(np.linalg.norm(line, axis=-1), 1e-3, 0.999)
        along = line / np.linalg.norm(line, axis=-1, keepdims=True)
        outward = np.stack([along[:, 1], -along[:, 0]], -1) * sign
        knee = 0.5 * far[:, None] * along + 0.5 * np.sqrt(1 - far[:, None] ** 2) * outward
        bones[:, BONE[f"{side}_thigh"]] = 2 * knee
        bones[:, BONE[f"{side}_shin"]] = 2 * (far[:, None] * along - knee)
        turned = sign * (0.7 + 1.1 * dance.feet[:, number, 1])
        bones[:, BONE[f"{side}_foot"]] = _unit(turned)
    return Stance(bones, np.asarray(dance.root, float), 0.8 * dance.head_turn, np.zeros(n))
