"""Left and right mixed up by the estimator, found over time and put right.

An estimator that sees a person from the side, from behind or with crossed legs sometimes gives the
left limb the right one's name, for a frame or for seconds. In one frame that can hardly be told
from a person who turned round; over time it can: under the wrong names both joints jump at once to
each other's place. For the arms and for the legs each frame gets one of four states (nothing
exchanged, the whole limb, from the elbow or knee on, the wrist or ankle alone), and the cheapest
sequence of states is found exactly (Viterbi). It weighs, all in person sizes:

* how far each joint lies from where its last two places lead at constant speed. Speed has to be in
  it: legs that pass each other come nearer to each other's last places than to their own;
* what bones are longer than they ever are, since an exchange at the knee lengthens both shins;
* shoulders and hips that face opposite ways;
* shoulders that turn their back on us below a face that is seen;
* every change of state, and a little for every frame with exchanged sides, so that where nothing
  else tells which of two stretches is the wrong one, it is the shorter.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from motion_jax.pose.skeleton import FACE, INDEX, LEFT_HAND, RIGHT_HAND
from motion_jax.pose.smooth import person_size
from motion_jax.pose.track import PoseTrack

# In person sizes: what one change of a limb's state costs, what one limb's exchanged sides cost in
# a frame, and the most that one joint's distance counts (a larger one is a misjudged joint, which
# names no side). Shares: of a bone's excess, of the narrower of opposed shoulders and hips, of the
# shoulders' width under a face.
CHANGE = 0.3
EXCHANGED = 0.01
LARGEST_STEP = 0.3
LONG_BONE = 1.0
OPPOSED = 0.5
BACK_UNDER_FACE = 0.15
# A bone's usual length is this quantile of what is seen of it.
USUAL = 0.9
# A joint's place is guessed on for so many frames; after that nothing is known of its side.
BRIDGED = 3

_ENDS = {
    "arms": ("shoulder", "elbow", "wrist"),
    "legs": ("hip", "knee", "ankle"),
}
# For each state and each of the three levels of a limb: are the sides exchanged?
_STATES = np.array([(0, 0, 0), (1, 1, 1), (0, 1, 1), (0, 0, 1)])


@dataclass(frozen=True)
class Swaps:
    """Where left and right were exchanged, for the arms (shoulder, elbow, wrist with its hand) and
    for the legs (hip, knee, ankle with its foot)."""

    arms: Bool[np.ndarray, "n 3"]
    legs: Bool[np.ndarray, "n 3"]

    def frames(self) -> dict[str, int]:
        """{"arms", "legs"}: number of frames with anything exchanged."""
        return {"arms": int(self.arms.any(1).sum()), "legs": int(self.legs.any(1).sum())}


def find_swaps(track: PoseTrack) -> Swaps:
    """The frames in which the track's left and right limbs have each other's names."""
    keypoints = np.asarray(track.keypoints, np.float64)
    size, count = person_size(keypoints), len(keypoints)
    if size <= 0 or count < 3:
        return Swaps(np.zeros((count, 3), bool), np.zeros((count, 3), bool))
    keypoints = np.where(track.found[:, None, None], keypoints, 0)
    if track.filled is not None:
        keypoints = np.where(track.filled[..., None], 0, keypoints)
    keypoints[..., :2] /= size
    times = np.asarray(track.times, np.float64)
    steps, prices, seen = [], [], []
    for levels in _ENDS.values():
        points = keypoints[:, [[INDEX[f"{side}_{name}"] for side in _SIDES] for name in levels]]
        known = np.asarray((points[..., 2] > 0).all(-1))
        steps.append(_steps(points[..., :2], known, times))
        prices.append(_bones(points[..., :2], known))
        seen.append(known)
    single = prices[0][:, :, None] + prices[1][:, None, :] + _facing(keypoints)
    states = _cheapest(steps[0], steps[1], single)
    arms, legs = (_STATES[s].astype(bool) & known for s, known in zip(states, seen, strict=True))
    return Swaps(arms, legs)


_SIDES = ("left", "right")


def undo_swaps(track: PoseTrack) -> tuple[PoseTrack, Swaps]:
    """The track with every joint under its own name, and where they were exchanged.

    Hands go with their wrists, feet with their ankles; neck, mid-hip and head stay. A joint whose
    counterpart was not observed stays too: nothing tells its side.
    """
    swaps = find_swaps(track)
    keypoints = np.array(track.keypoints, np.float32)
    filled = None if track.filled is None else np.array(track.filled)
    for limb, levels in _ENDS.items():
        exchanged = getattr(swaps, limb)
        for level, name in enumerate(levels):
            frames = np.flatnonzero(exchanged[:, level])[:, None]
            left, right = moved_with(name)
            for values in (keypoints, filled):
                if values is not None:
                    a, b = values[frames, left], values[frames, right]
                    values[frames, left], values[frames, right] = b, a
    return dataclasses.replace(track, keypoints=keypoints, filled=filled), swaps


def moved_with(name: str) -> tuple[list[int], list[int]]:
    """The keypoints of the left and of the right that change places with this joint."""
    names = [name]
    if name == "ankle":
        names += ["big_toe", "small_toe", "heel"]
    left, right = ([INDEX[f"{side}_{each}"] for each in names] for side in _SIDES)
    if name == "wrist":
        left += range(LEFT_HAND.start, LEFT_HAND.stop)
        right += range(RIGHT_HAND.start, RIGHT_HAND.stop)
    return left, right


def _bones(points: np.ndarray, known: np.ndarray) -> np.ndarray:
    """[N, state]: by how much a limb's bones are too long in each state.

    points: [N, level, side, 2]; known: [N, level]."""
    prices = np.zeros((len(points), len(_STATES)))
    for level in (1, 2):
        both = known[:, level] & known[:, level - 1]
        if not both.any():
            continue
        own = np.linalg.norm(points[:, level] - points[:, level - 1], axis=-1)
        crossed = np.linalg.norm(points[:, level] - points[:, level - 1, ::-1], axis=-1)
        usual = np.quantile(own[both], USUAL)
        excess = [np.maximum(length - usual, 0).sum(-1) * both for length in (own, crossed)]
        for state, bits in enumerate(_STATES):
            prices[:, state] += LONG_BONE * excess[bits[level] ^ bits[level - 1]]
    return prices


def _facing(keypoints: np.ndarray) -> np.ndarray:
    """[N, state of the arms, state of the legs]: what is wrong with the way the body faces."""

    def at(name):
        return keypoints[:, INDEX[name], :2], keypoints[:, INDEX[name], 2] > 0

    (neck, has_neck), (hip, has_hip) = at("neck"), at("mid_hip")
    up = np.where((has_neck & has_hip)[:, None], neck - hip, (0, -1))
    up = up / np.maximum(np.linalg.norm(up, axis=-1), 1e-9)[:, None]
    across = np.stack([-up[:, 1], up[:, 0]], -1)

    def width(name):
        # Signed: above 0 where the front is seen; 0 where unknown.
        (left, has_left), (right, has_right) = at(f"left_{name}"), at(f"right_{name}")
        return ((left - right) * across).sum(-1) * (has_left & has_right)

    sign = 1 - 2 * _STATES[:, 0]
    shoulders = width("shoulder")[:, None] * sign
    hips = width("hip")[:, None] * sign
    a, b = shoulders[:, :, None], hips[:, None, :]
    opposed = np.where(a * b < 0, np.minimum(np.abs(a), np.abs(b)), 0)
    face = np.asarray((keypoints[:, FACE, 2] > 0).any(1))
    back = np.maximum(-shoulders, 0) * face[:, None]
    return (
        OPPOSED * opposed
        + BACK_UNDER_FACE * back[:, :, None]
        + EXCHANGED * ((_STATES.sum(1) > 0)[:, None] + (_STATES.sum(1) > 0)[None])
    )


def _bridge(
    points: np.ndarray, seen: np.ndarray, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """[N, level, side, 2] places, and whether there is one [N, level]: gaps of up to BRIDGED frames
    are bridged by going on at the last speed."""
    points, known = points.copy(), seen.copy()
    missing = np.full(seen.shape[1], BRIDGED + 1)
    speed = np.zeros(points.shape[1:])
    for t in range(1, len(points)):
        here = seen[t]
        missing = np.where(here, 0, missing + 1)
        step = times[t] - times[t - 1]
        new = np.where(known[t - 1][:, None, None], (points[t] - points[t - 1]) / step, 0)
        speed = np.where(here[:, None, None], new, speed)
        guessed = ~here & known[t - 1] & (missing <= BRIDGED)
        points[t] = np.where(guessed[:, None, None], points[t - 1] + speed * step, points[t])
        known[t] |= guessed
    return points, known


def _steps(points: np.ndarray, seen: np.ndarray, times: np.ndarray) -> np.ndarray:
    """[N, earlier, before, now]: what the steps of one limb cost in each state of three frames in a
    row: each joint's distance from where the two places before lead (from the place before, where
    there is one alone; 0 where there is none).

    points: [N, level, side, 2]; seen: [N, level]."""
    points, known = _bridge(points, seen, times)
    count = len(points)
    costs = np.zeros((count, points.shape[1], 2, 2))
    pair = np.zeros(known.shape, bool)
    pair[1:] = known[1:] & known[:-1]
    triple = np.zeros(known.shape, bool)
    triple[2:] = pair[2:] & pair[1:-1]
    ratio = np.ones(count)
    ratio[2:] = np.diff(times)[1:] / np.diff(times)[:-1]
    before = np.concatenate([points[:1], points[:-1]])
    earlier = np.concatenate([points[:1], points[:1], points[:-2]])
    # 1: that frame's sides are exchanged against this one's.
    for u in (0, 1):
        for v in (0, 1):
            last = before[:, :, ::-1] if v else before
            first = earlier[:, :, ::-1] if u else earlier
            lead = last + (last - first) * ratio[:, None, None, None]
            far = np.linalg.norm(points - lead, axis=-1)
            near = np.linalg.norm(points - last, axis=-1)
            distance = np.where(triple[..., None], far, np.where(pair[..., None], near, 0))
            costs[:, :, u, v] = np.minimum(distance, LARGEST_STEP).sum(-1)
    against = _STATES[:, None] ^ _STATES[None]  # [earlier or before, now, level]
    level = np.arange(points.shape[1])
    return costs[:, level, against[:, None], against[None]].sum(-1)


def _cheapest(arms: np.ndarray, legs: np.ndarray, single: np.ndarray) -> tuple[np.ndarray, ...]:
    """The states of the arms [N] and of the legs [N] in the cheapest sequence.

    arms, legs: of `_steps`; single: [N, arms, legs], what the states of one frame cost."""
    count, number = len(single), len(_STATES)
    every = number * number
    limb = np.indices((number, number)).reshape(2, every)
    change = CHANGE * (limb[:, :, None] != limb[:, None, :]).sum(0)
    single = single.reshape(count, every)

    def steps(t):
        # [earlier, before, now], each over the states of both limbs.
        both = arms[t][:, None, :, None, :, None] + legs[t][None, :, None, :, None, :]
        return both.reshape(every, every, every)

    # Over (state before, state now), with the best state earlier kept for each.
    total = single[0][:, None] + change + single[1][None] + steps(1)[0]
    choices = np.zeros((count, every, every), np.uint8)
    for t in range(2, count):
        paths = total[:, :, None] + steps(t)
        choices[t] = paths.argmin(0)
        total = paths.min(0) + change + single[t][None]
    states = np.zeros(count, int)
    before, states[-1] = np.unravel_index(total.argmin(), total.shape)
    for t in range(count - 1, 1, -1):
        states[t - 1] = before
        before = choices[t, before, states[t]]
    states[0] = before
    return limb[0, states], limb[1, states]
