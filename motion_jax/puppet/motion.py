"""How a puppet moves, the same for every puppet: angles, and places in lengths of the leg.

The same motion can be given to any character exactly, which is the true answer of a transfer.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Float64

BEATS_PER_MINUTE = 96.0
# How many beats a move lasts, and the change from one to the next.
BEATS_PER_MOVE = 4
BLEND_BEATS = 1.2
# How far a leg may be stretched: a straight one looks stiff and hides which way its knee bends.
REACH = 0.996


@dataclass(frozen=True)
class Motion:
    """Motion over N frames. "Side" is 0 for the person's right (left in the picture), 1 for left.
    Lengths are in lengths of the leg (hip to ankle), angles in radians.

    Attributes:
      fps: frames per second.
      root: of the middle of the hips: to the picture's right of the stage's middle; above the
        standing ankles.
      feet: of the ankles: to the picture's right of where they stand under the hips at rest; above
        the floor.
      lean: of the torso towards the picture's right.
      turn: of the body to its left, seen as narrower shoulders.
      shoulders: from hanging down, outwards and up.
      elbows: bend of the forearm, in the same direction.
      wrists: bend of the hand.
      head_tilt: towards the picture's right, on top of the lean.
      head_turn: towards the picture's right.
    """

    fps: float
    root: Float[np.ndarray, "n 2"]
    feet: Float[np.ndarray, "n side=2 2"]
    lean: Float[np.ndarray, " n"]
    turn: Float[np.ndarray, " n"]
    shoulders: Float[np.ndarray, "n side=2"]
    elbows: Float[np.ndarray, "n side=2"]
    wrists: Float[np.ndarray, "n side=2"]
    head_tilt: Float[np.ndarray, " n"]
    head_turn: Float[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.root)

    @property
    def times(self) -> Float64[np.ndarray, " n"]:
        """Seconds."""
        return np.arange(len(self)) / self.fps

    def __getitem__(self, frames: slice) -> "Motion":
        """The motion of some of the frames."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        return Motion(**{n: v if n == "fps" else v[frames] for n, v in parts.items()})


# Channels of the arms' and body's moves: one column each.
UPPER = ("shoulder_r", "shoulder_l", "elbow_r", "elbow_l", "wrist_r", "wrist_l", "lean", "tilt")
LOWER = ("x", "y", "foot_r_x", "foot_r_y", "foot_l_x", "foot_l_y", "turn")
Channels = dict[str, np.ndarray | float]


def _upper(name: str, beat: np.ndarray) -> Channels:
    """Arms and torso of one move, over beats."""
    swing, half = np.sin(np.pi * beat), np.sin(np.pi * beat / 2)
    pump = 0.5 - 0.5 * np.cos(2 * np.pi * beat)
    if name == "sway":
        return {
            "shoulder_r": 0.45 + 0.25 * swing, "shoulder_l": 0.45 - 0.25 * swing,
            "elbow_r": 0.5 + 0.4 * swing, "elbow_l": 0.5 - 0.4 * swing, "lean": 0.10 * swing,
        }  # fmt: skip
    if name == "arms_up":
        return {
            "shoulder_r": 2.6 + 0.3 * swing, "shoulder_l": 2.6 - 0.3 * swing,
            "elbow_r": 0.35 + 0.3 * swing, "elbow_l": 0.35 - 0.3 * swing,
            "wrist_r": 0.3 * swing, "wrist_l": -0.3 * swing, "lean": 0.16 * swing,
        }  # fmt: skip
    if name == "point":
        return {
            "shoulder_r": 2.2 + 0.2 * pump, "elbow_r": 0.15 + 0.2 * pump,
            "shoulder_l": 0.75, "elbow_l": -1.7 + 0.1 * swing, "lean": -0.14 + 0.06 * swing,
            "tilt": -0.12,
        }  # fmt: skip
    if name == "point_left":
        return {
            "shoulder_l": 2.2 + 0.2 * pump, "elbow_l": 0.15 + 0.2 * pump,
            "shoulder_r": 0.75, "elbow_r": -1.7 - 0.1 * swing, "lean": 0.14 + 0.06 * swing,
            "tilt": 0.12,
        }  # fmt: skip
    if name == "wave":
        return {
            "shoulder_r": 1.5 + 0.3 * swing, "elbow_r": 0.2 + 0.5 * np.sin(np.pi * beat - 0.8),
            "wrist_r": 0.6 * np.sin(np.pi * beat - 1.6),
            "shoulder_l": 1.5 - 0.3 * swing, "elbow_l": 0.2 - 0.5 * np.sin(np.pi * beat - 0.8),
            "wrist_l": -0.6 * np.sin(np.pi * beat - 1.6), "lean": 0.06 * swing,
        }  # fmt: skip
    if name == "cactus":
        return {
            "shoulder_r": 1.35 + 0.1 * half, "elbow_r": 1.5 + 0.25 * swing,
            "shoulder_l": 1.35 + 0.1 * half, "elbow_l": 1.5 - 0.25 * swing,
            "tilt": 0.18 * swing,
        }  # fmt: skip
    if name == "overhead_lean":
        return {
            "shoulder_r": 2.75 + 0.1 * half, "elbow_r": 0.75, "shoulder_l": 0.7,
            "elbow_l": -1.5, "lean": 0.24 + 0.10 * half, "tilt": 0.15,
        }  # fmt: skip
    # "pump": forearms across, then out, on the beat.
    return {
        "shoulder_r": 0.8 + 0.5 * pump, "elbow_r": -1.9 + 2.3 * pump,
        "shoulder_l": 0.8 + 0.5 * pump, "elbow_l": -1.9 + 2.3 * pump, "lean": 0.08 * half,
    }  # fmt: skip


def _lower(name: str, beat: np.ndarray) -> Channels:
    """Hips and feet of one move, over beats."""
    swing, half = np.sin(np.pi * beat), np.sin(np.pi * beat / 2)
    bounce = 0.5 - 0.5 * np.cos(2 * np.pi * beat)
    lift_right, lift_left = np.maximum(swing, 0) ** 1.5, np.maximum(-swing, 0) ** 1.5
    if name == "bounce":
        return {"x": 0.08 * swing, "y": -0.09 * bounce, "foot_r_x": -0.12, "foot_l_x": 0.12}
    if name == "step_touch":
        return {
            "x": 0.26 * half, "y": -0.05 * bounce,
            "foot_r_x": -0.15 + 0.27 * half, "foot_l_x": 0.15 + 0.27 * half,
            "foot_r_y": 0.09 * lift_right, "foot_l_y": 0.09 * lift_left, "turn": 0.25 * half,
        }  # fmt: skip
    if name == "squat":
        return {
            "y": -0.12 - 0.2 * bounce, "foot_r_x": -0.30, "foot_l_x": 0.30, "x": 0.10 * half,
        }  # fmt: skip
    if name == "knees":
        return {
            "x": 0.05 * swing, "y": -0.03 * bounce, "foot_r_x": -0.10 - 0.10 * lift_right,
            "foot_l_x": 0.10 + 0.10 * lift_left, "foot_r_y": 0.42 * lift_right,
            "foot_l_y": 0.42 * lift_left,
        }  # fmt: skip
    if name == "kick":
        return {
            "x": 0.07 * swing, "y": -0.04, "foot_r_x": -0.12 - 0.48 * lift_right,
            "foot_l_x": 0.12 + 0.48 * lift_left, "foot_r_y": 0.30 * lift_right,
            "foot_l_y": 0.30 * lift_left,
        }  # fmt: skip
    # "lunge": the weight from one bent leg onto the other.
    return {
        "x": 0.30 * swing, "y": -0.16 - 0.04 * bounce, "foot_r_x": -0.42, "foot_l_x": 0.42,
        "turn": 0.3 * swing,
    }  # fmt: skip


UPPER_MOVES = (
    "sway", "arms_up", "point", "wave", "cactus", "point_left", "pump", "overhead_lean",
)  # fmt: skip
LOWER_MOVES = ("bounce", "step_touch", "squat", "knees", "lunge", "kick")


def dance(frames: int, fps: float = 25.0, seed: int = 0) -> Motion:
    """A dance: moves of arms and legs in an order drawn from the seed, with smooth changes between
    them, and slow wandering of every joint, so that no two bars are quite alike.

    The same for any number of frames: a longer dance begins as the shorter one does.
    """
    random = np.random.default_rng(seed)
    beat = np.arange(frames) / fps * BEATS_PER_MINUTE / 60
    # Drawn in this order for every length, with as many moves as an hour needs.
    upper = _channels(_upper, UPPER, _order(random, UPPER_MOVES), beat)
    lower = _channels(_lower, LOWER, _order(random, LOWER_MOVES), beat)
    wander = {name: _wander(random, beat) for name in (*UPPER, *LOWER, "look")}
    for name in UPPER:
        upper[name] += (0.05 if name in ("lean", "tilt") else 0.16) * wander[name]
    lower["x"] += 0.16 * wander["x"]
    lower["y"] -= 0.03 * np.abs(wander["y"])
    lower["turn"] += 0.2 * wander["turn"]
    feet = np.zeros((frames, 2, 2))
    for number, side in enumerate("rl"):
        # Both feet wander with the hips, each a little on its own.
        own = 0.05 * wander[f"foot_{side}_x"]
        feet[:, number, 0] = lower[f"foot_{side}_x"] + 0.16 * wander["x"] + own
        feet[:, number, 1] = np.maximum(lower[f"foot_{side}_y"], 0)
    height = np.minimum(0.99 + lower["y"], _highest(lower["x"], feet))
    return Motion(
        fps=fps,
        root=np.stack([lower["x"], height], axis=-1),
        feet=feet,
        lean=upper["lean"],
        turn=lower["turn"],
        shoulders=np.stack([upper["shoulder_r"], upper["shoulder_l"]], axis=-1),
        elbows=np.stack([upper["elbow_r"], upper["elbow_l"]], axis=-1),
        wrists=np.stack([upper["wrist_r"], upper["wrist_l"]], axis=-1),
        head_tilt=upper["tilt"] - 0.5 * upper["lean"],
        head_turn=np.clip(0.75 * wander["look"] + 0.6 * lower["turn"], -0.75, 0.75),
    )


def talk(frames: int, fps: float = 25.0, seed: int = 0, still: bool = False) -> Motion:
    """Somebody who stands and talks: looks around, nods, leans. still: looks straight ahead.

    The same for any number of frames: a longer one begins as the shorter one does.
    """
    random = np.random.default_rng((seed, 2))
    beat = np.arange(frames) / fps * BEATS_PER_MINUTE / 60
    names = ("look", "tilt", "lean", "x", "y", "shoulders")
    wander = {name: (0.0 if still else 1.0) * _wander(random, 2 * beat) for name in names}
    sides = np.zeros((frames, 2))
    return Motion(
        fps=fps,
        root=np.stack([0.05 * wander["x"], 0.98 + 0.015 * wander["y"]], axis=-1),
        feet=np.zeros((frames, 2, 2)),
        lean=0.09 * wander["lean"],
        turn=0.3 * wander["look"],
        shoulders=0.15 + 0.1 * wander["shoulders"][:, None] * np.ones(2),
        elbows=sides,
        wrists=sides,
        head_tilt=0.22 * wander["tilt"],
        head_turn=np.clip(0.8 * wander["look"], -0.75, 0.75),
    )


def _order(random: np.random.Generator, moves: tuple[str, ...]) -> list[str]:
    """Moves for an hour: all of them before any is repeated, never one twice in a row."""
    order: list[str] = []
    for _ in range(-(-1800 // len(moves))):
        block = random.permutation(moves).tolist()
        if order and block[0] == order[-1]:
            block = block[::-1]
        order += block
    return order


def _channels(
    move: Callable[[str, np.ndarray], Channels],
    names: tuple[str, ...],
    order: list[str],
    beat: np.ndarray,
) -> dict[str, np.ndarray]:
    """The moves one after another, with smooth changes between them."""
    result = {name: np.zeros(len(beat)) for name in names}
    last = int(beat[-1] // BEATS_PER_MOVE) + 1 if len(beat) else 0
    for number in range(last + 1):
        begin, end = number * BEATS_PER_MOVE, (number + 1) * BEATS_PER_MOVE
        weight = _smoothstep((beat - begin) / BLEND_BEATS + 0.5)
        if number == 0:
            weight = np.ones_like(beat)
        weight = weight * (1 - _smoothstep((beat - end) / BLEND_BEATS + 0.5))
        inside = weight > 0
        if not inside.any():
            continue
        values = move(order[number % len(order)], beat[inside])
        for name in names:
            result[name][inside] += weight[inside] * values.get(name, 0.0)
    return result


def _smoothstep(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _wander(random: np.random.Generator, beat: np.ndarray) -> np.ndarray:
    """A slow random curve, roughly from -1 to 1: three sines of random period and phase."""
    periods = random.uniform(5.0, 19.0, 3)
    phases = random.uniform(0, 2 * np.pi, 3)
    weights = random.uniform(0.4, 1.0, 3)
    waves = np.sin(2 * np.pi * beat[:, None] / periods + phases)
    return waves @ (weights / weights.sum()) * 1.4


def _highest(x: np.ndarray, feet: np.ndarray) -> np.ndarray:
    """[N]: the highest that the hips can be without overstretching a leg."""
    across = np.clip(feet[..., 0] - x[:, None], -0.9, 0.9)
    return (np.sqrt(REACH**2 - across**2) + feet[..., 1]).min(axis=1)
