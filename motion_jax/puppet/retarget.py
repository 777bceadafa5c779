"""A person's motion onto a drawn character: directions from the person, lengths from the character.

Feet that stand on the floor stay where they stand: the body is moved so that they do, and what is
left is bent out of the legs.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from motion_jax.pose.limbs import limb_lengths
from motion_jax.pose.skeleton import INDEX
from motion_jax.puppet.bones import BONE, JOINT, SIDES, Body, Figure, Stance, figure
from motion_jax.puppet.stances import rest

# A foot stands while its ankle moves less than this a frame at 25 frames a second, in heights of
# the person.
STANDS = 0.02
# Of a run of frames in which a foot stands, at least so many.
_LEAST_RUN = 3
# Both feet are off the floor where the lower one is this much above where it was lowest within a
# second, in lengths of the leg.
_JUMP = 0.1
# Seconds over which directions of the head are averaged.
_HEAD_SECONDS = 0.16
# Which length of pose.limbs a bone has.
_LENGTHS = {
    "spine": "torso", "shoulder": "shoulders", "hip": "hips", "upper_arm": "upper_arm",
    "forearm": "forearm", "thigh": "thigh", "shin": "shin", "foot": "foot",
}  # fmt: skip


class NoBody(Exception):
    """No frame shows hips and neck."""


@dataclass(frozen=True)
class Performance:
    """How a person moves, for any character.

    Attributes:
      stance: of each frame; its root is 0 to the side, and without height.
      stands: whether the right and the left foot stand on the floor.
      jump: how far both are above it, in lengths of the leg.
      place: of the person in the frame, in pixels: x of the hips, y of the floor.
      height: of the person in pixels.
      lost: frames in which the person was not found; they have the stance of the nearest one.
    """

    stance: Stance
    stands: Bool[np.ndarray, "n 2"]
    jump: Float[np.ndarray, " n"]
    place: Float[np.ndarray, "n 2"]
    height: float
    lost: Bool[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.stance)


def performance(
    keypoints: Float[np.ndarray, "n 137 3"], times: Float[np.ndarray, " n"]
) -> Performance:
    """Of a person's poses in pixels of a video, one a frame; frames without a pose are zeros.

    Raises NoBody where no frame shows hips and neck.
    """
    n = len(keypoints)
    points, seen = np.asarray(keypoints[:, :25, :2], float), keypoints[:, :25, 2] > 0
    found = seen[:, INDEX["mid_hip"]] & seen[:, INDEX["neck"]]
    if not found.any():
        raise NoBody
    lengths = limb_lengths([np.asarray(keypoints)])
    bones = rest(n).bones

    def vector(start: str, end: str) -> np.ndarray | None:
        """Of every frame, what is missing filled in between; None where it was never seen."""
        a, b = INDEX[start], INDEX[end]
        known = seen[:, a] & seen[:, b]
        return _filled(points[:, b] - points[:, a], known) if known.any() else None

    def set_bone(name: str, start: str, end: str) -> None:
        found = vector(start, end)
        length = lengths.get(_LENGTHS[name.removeprefix("right_").removeprefix("left_")], 0.0)
        if found is None or length <= 0:
            return
        found = found / length
        bones[:, BONE[name]] = found / np.maximum(np.linalg.norm(found, axis=-1), 1.0)[:, None]

    set_bone("spine", "mid_hip", "neck")
    for side in SIDES:
        set_bone(f"{side}_shoulder", "neck", f"{side}_shoulder")
        set_bone(f"{side}_hip", "mid_hip", f"{side}_hip")
        set_bone(f"{side}_upper_arm", f"{side}_shoulder", f"{side}_elbow")
        set_bone(f"{side}_forearm", f"{side}_elbow", f"{side}_wrist")
        set_bone(f"{side}_thigh", f"{side}_hip", f"{side}_knee")
        set_bone(f"{side}_shin", f"{side}_knee", f"{side}_ankle")
        set_bone(f"{side}_foot", f"{side}_ankle", f"{side}_big_toe")
    # A character's shoulders hang a little; a person's neck point lies on their line.
    for side in SIDES:
        bones[:, BONE[f"{side}_shoulder"], 1] += 0.12
    frame_seconds = float(np.median(np.diff(times))) if n > 1 else 0.04
    up, yaw, pitch = _head(vector, lengths, n, frame_seconds)
    bones[:, BONE["head"]] = up
    leg = lengths.get("thigh", 0.0) + lengths.get("shin", 0.0)
    torso = lengths.get("torso", 0.0)
    height = leg / 0.47 if leg > 0.8 * torso else torso / 0.29
    stands, jump, floor = _feet(points, seen, height, frame_seconds)
    hips = _filled(points[:, INDEX["mid_hip"]], seen[:, INDEX["mid_hip"]])
    if floor is None:
        floor = np.full(n, float(np.median(hips[:, 1])) + 0.51 * height)
    root = np.column_stack([np.zeros(n), np.full(n, np.nan)])
    return Performance(
        Stance(bones, root, yaw, pitch),
        stands,
        jump,
        np.column_stack([hips[:, 0], floor]),
        float(height),
        ~found,
    )


def _filled(
    values: Float[np.ndarray, "n 2"], known: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, "n 2"]:
    """Frames that are not known lie on the line between those that are."""
    frames = np.arange(len(values))
    at = np.flatnonzero(known)
    return np.stack([np.interp(frames, at, values[at, axis]) for axis in range(2)], -1)


def _head(
    vector: Callable[[str, str], np.ndarray | None],
    lengths: dict[str, float],
    n: int,
    step: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Up [n, 2], yaw and pitch of the head."""
    towards = [vector("neck", name) for name in ("right_ear", "left_ear", "nose")]
    up, yaw, pitch = np.tile([0.0, -1.0], (n, 1)), np.zeros(n), np.zeros(n)
    if towards[0] is not None and towards[1] is not None:
        middle = (towards[0] + towards[1]) / 2
    elif towards[2] is not None:
        middle = towards[2]
    else:
        return up, yaw, pitch
    far = np.linalg.norm(middle, axis=-1, keepdims=True)
    up = np.where(far > 1e-6, middle / np.maximum(far, 1e-6), up)
    up = _averaged(up, step)
    up = up / np.maximum(np.linalg.norm(up, axis=-1, keepdims=True), 1e-6)
    one, two, nose = towards
    if one is None or two is None or nose is None or lengths.get("ears", 0) <= 0:
        return up, yaw, pitch
    right = np.stack([-up[:, 1], up[:, 0]], -1)
    half = lengths["ears"] / 2
    nose = nose - middle
    across = (two - one) / 2
    sine, cosine = (nose * right).sum(-1) / half, (across * right).sum(-1) / half
    high = (nose * up).sum(-1) / half
    mixed = _averaged(np.stack([sine, cosine, high], -1), step)
    yaw = np.arctan2(mixed[:, 0], np.clip(mixed[:, 1], -1, 1))
    # A face seen nearly from the front: what the nose lies below the ears is its own, not a nod.
    pitch = np.clip(0.8 * (mixed[:, 2] - np.median(mixed[:, 2])), -0.4, 0.4)
    return up, yaw, pitch


def _averaged(values: Float[np.ndarray, "n k"], step: float) -> Float[np.ndarray, "n k"]:
    """Over a short time, before and after alike."""
    half = max(round(_HEAD_SECONDS / max(step, 1e-3) / 2), 0)
    if not half or len(values) < 2:
        return values
    weights = np.hanning(2 * half + 3)[1:-1]
    padded = np.pad(values, ((half, half), (0, 0)), mode="edge")
    columns = [np.convolve(column, weights / weights.sum(), "valid") for column in padded.T]
    return np.stack(columns, -1)


def _feet(
    points: np.ndarray, seen: np.ndarray, height: float, step: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Whether each foot stands, how high a jump is, and y of the floor (None without feet)."""
    n = len(points)
    ankles = [INDEX[f"{side}_ankle"] for side in SIDES]
    if not all(seen[:, ankle].any() for ankle in ankles):
        return np.zeros((n, 2), bool), np.zeros(n), None
    places = np.stack([_filled(points[:, ankle], seen[:, ankle]) for ankle in ankles], 1)
    lower = places[..., 1].max(1)
    window = max(round(0.5 / max(step, 1e-3)), 1)
    padded = np.pad(lower, window, mode="edge")
    floor = np.array([padded[i : i + 2 * window + 1].max() for i in range(n)])
    floor = _averaged(floor[:, None], max(step / 4, 1e-3))[:, 0]
    leg = 0.47 * height
    jump = np.maximum((floor - lower) / leg - _JUMP, 0.0)
    moved = np.linalg.norm(np.diff(places, axis=0), axis=-1)
    speed = np.maximum(np.pad(moved, ((1, 0), (0, 0))), np.pad(moved, ((0, 1), (0, 0))))
    still = speed < STANDS * height * (step / 0.04)
    low = (floor[:, None] - places[..., 1]) < 0.25 * leg
    # The ankle is above the sole.
    return still & low & seen[:, ankles], jump, floor + 0.03 * height


def on_body(body: Body, act: Performance) -> tuple[Stance, Float[np.ndarray, " n"]]:
    """The performance on a character: its stance with the height of the hips, and how far the
    character stands to the picture's right of `act.place`, in its own heights."""
    stance = act.stance
    n = len(stance)
    flat = figure(body, stance, 1.0, (0.0, 0.0))
    # Hips above the floor, which the lower foot touches but for jumps.
    high = -flat.hips[:, 1] + act.jump * body.leg
    ankles = _ankles(body, stance) + np.stack([np.zeros(n), -high], -1)[:, None]
    ratio = body.leg / 0.47
    path = (act.place[:, 0] - act.place[0, 0]) / act.height * ratio
    world = ankles[..., 0] + path[:, None]
    targets = np.full((n, 2), np.nan)
    for foot in range(2):
        for first, last in _runs(act.stands[:, foot]):
            targets[first:last, foot] = np.median(world[first:last, foot])
    away = targets - world
    known = np.isfinite(away).any(1)
    shift = np.zeros(n)
    if known.any():
        mean = np.nanmean(away[known], axis=1)
        shift = np.interp(np.arange(n), np.flatnonzero(known), mean)
    # What one body cannot do for two feet is bent out of the legs.
    left = np.where(np.isfinite(away), away - shift[:, None], 0.0)
    bones = stance.bones.copy()
    for number, side in enumerate(SIDES):
        bones = _bent(body, bones, side, _eased(left[:, number]))
    root = np.column_stack([np.zeros(n), (high - body.ankle) / body.leg])
    start = (act.place[0, 0] - act.place[:, 0]) / act.height
    return replace(stance, bones=bones, root=root), start + path + shift


def _ankles(body: Body, stance: Stance) -> Float[np.ndarray, "n 2 2"]:
    """From the middle of the hips, in heights of the character."""
    vectors = stance.bones * np.asarray(body.lengths)[:, None]
    return np.stack(
        [
            sum(vectors[:, BONE[f"{side}_{part}"]] for part in ("hip", "thigh", "shin"))
            for side in SIDES
        ],
        1,
    )


def _runs(stands: Bool[np.ndarray, " n"]) -> list[tuple[int, int]]:
    """(first, behind the last) of each run that is long enough."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], stands.astype(np.int8), [0]])))
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= _LEAST_RUN]


def _eased(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Where a correction begins or ends, it does so over three frames beside it."""
    result = values.copy()
    for share, steps in ((0.67, 1), (0.33, 2)):
        for way in (steps, -steps):
            moved = np.roll(values, way)
            moved[:steps] = 0 if way > 0 else moved[:steps]
            moved[len(moved) - steps :] = 0 if way < 0 else moved[len(moved) - steps :]
            result = np.where((values == 0) & (result == 0), share * moved, result)
    return result


def _bent(
    body: Body, bones: Float[np.ndarray, "n 16 2"], side: str, aside: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n 16 2"]:
    """The leg so that its ankle is so much further to the right, the knee on the same side."""
    thigh, shin = BONE[f"{side}_thigh"], BONE[f"{side}_shin"]
    long = body.lengths[thigh], body.lengths[shin]
    a, b = bones[:, thigh] * long[0], bones[:, shin] * long[1]
    target = a + b + np.stack([aside, np.zeros_like(aside)], -1)
    la, lb = np.linalg.norm(a, axis=-1), np.linalg.norm(b, axis=-1)
    far = np.linalg.norm(target, axis=-1)
    # Foreshortened bones may become longer, to their full lengths at most.
    grow = np.maximum(far / np.maximum(la + lb, 1e-6), 1.0)
    la, lb = np.minimum(la * grow, long[0]), np.minimum(lb * grow, long[1])
    reach = np.clip(far, np.abs(la - lb) + 1e-6, np.maximum(la + lb, 1e-6))
    unit = target / np.maximum(far, 1e-6)[:, None]
    along = (la**2 - lb**2 + reach**2) / (2 * reach)
    aside_ = np.sqrt(np.maximum(la**2 - along**2, 0.0))
    normal = np.stack([-unit[:, 1], unit[:, 0]], -1)
    which = np.sign((a * normal).sum(-1))
    knee = along[:, None] * unit + (which * aside_)[:, None] * normal
    moved = np.abs(aside) > 1e-9
    bones = bones.copy()
    bones[moved, thigh] = (knee / long[0])[moved]
    bones[moved, shin] = ((reach[:, None] * unit - knee) / long[1])[moved]
    return bones


def slide(found: Figure, stands: Bool[np.ndarray, "n 2"]) -> float:
    """How far standing feet move a frame, in shares of the character's height: the mean over all
    pairs of frames in both of which a foot stands; NaN where there are none."""
    ankles = found.joints[:, [JOINT[f"{side}_ankle"] for side in SIDES], 0].astype(float)
    moved = np.abs(np.diff(ankles, axis=0)) / found.scale[1:, None]
    both = stands[1:] & stands[:-1]
    return float(moved[both].mean()) if both.any() else float("nan")
