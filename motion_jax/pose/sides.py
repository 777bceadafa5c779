"""Left and right mixed up by the estimator, found over time and put right.

An estimator that sees a person from the side, from behind or with crossed legs sometimes gives the
left limb the right one's name, for a frame or for seconds. In one frame that can hardly be told
from a person who turned round. Over time it can: under the wrong names both joints jump at once to
each other's place. For the arms and for the legs each frame gets one of four states (nothing
exchanged, the whole limb, from the elbow or knee on, the wrist or ankle alone), and the cheapest
sequence of states is found exactly (Viterbi). It weighs, all in person sizes:

* how far each joint lies from where it would be at the speed of its last two places. Speed has to
  count: legs that pass each other come nearer to each other's last places than to their own;
* by how much bones are longer than usual, since an exchange at the knee lengthens both shins;
* shoulders and hips that face opposite ways;
* shoulders that turn their back on us below a face that is seen;
* every change of state, and a little for every frame with exchanged sides, so that where nothing
  else tells which of two stretches is the wrong one, it is the shorter.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped

from motion_jax.pose import long_arrays
from motion_jax.pose.bones import quantile
from motion_jax.pose.skeleton import FACE, INDEX, LEFT_HAND, RIGHT_HAND
from motion_jax.pose.smooth import body_sizes
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
# A joint's place is guessed for so many frames; after that nothing is known of its side.
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
    (sizes,) = long_arrays.gathered(
        lambda part: (body_sizes(part.astype(np.float64)),), track.keypoints
    )
    size, count = float(np.median(sizes)) if len(sizes) else 0.0, len(track)
    swaps = Swaps(np.zeros((count, 3), bool), np.zeros((count, 3), bool))
    if size <= 0 or count < 3:
        return swaps
    found, times = track.found, np.asarray(track.times, np.float64)

    def measured() -> Iterator[tuple[slice, np.ndarray]]:
        """The measured keypoints in person sizes, of one window of frames after another."""
        for window in long_arrays.windows(track.keypoints, track.filled):
            usable = found[window, None]
            if track.filled is not None:
                usable = usable & ~track.filled[window]
            keypoints = np.where(usable[..., None], track.keypoints[window], 0).astype(np.float64)
            keypoints[..., :2] /= size
            yield window, keypoints

    lengths = [
        [_seen_lengths(*_limb(keypoints, levels)) for levels in _ENDS.values()]
        for _, keypoints in measured()
    ]
    usual = [
        [_quantile(np.concatenate(seen)) for seen in zip(*windows, strict=True)]
        for windows in zip(*lengths, strict=True)
    ]

    def costs() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Of each frame what `_cheapest` takes; notes in `swaps` which limbs are seen."""
        steps = _Steps(), _Steps()
        for window, keypoints in measured():
            here = _costs(keypoints, times[window], usual, steps)
            swaps.arms[window], swaps.legs[window] = here.known
            yield from zip(here.arms, here.legs, here.single, strict=True)

    arms, legs = _cheapest(costs(), count)
    return Swaps(_STATES[arms].astype(bool) & swaps.arms, _STATES[legs].astype(bool) & swaps.legs)


_SIDES = ("left", "right")


@dataclass(frozen=True)
class SwapCosts:
    """What the states of frames cost, in person sizes.

    Attributes:
      arms, legs: their steps', see `_Steps.costs`.
      single: of one frame, [frame, state of the arms, state of the legs].
      known: of the arms and of the legs: where both sides of a joint were seen.
    """

    arms: Float[np.ndarray, "n 4 4 4"]
    legs: Float[np.ndarray, "n 4 4 4"]
    single: Float[np.ndarray, "n 4 4"]
    known: tuple[Bool[np.ndarray, "n 3"], Bool[np.ndarray, "n 3"]]


def _costs(
    keypoints: np.ndarray,
    times: np.ndarray,
    usual: list[list[float]],
    steps: "tuple[_Steps, _Steps]",
) -> SwapCosts:
    """Of frames in person sizes; usual: the lengths of the arms' and the legs' two bones; steps:
    of the frames before."""
    (arms, has_arms), (legs, has_legs) = (_limb(keypoints, ends) for ends in _ENDS.values())
    of_arms = _bones(arms, has_arms, usual[0])[:, :, None]
    of_legs = _bones(legs, has_legs, usual[1])[:, None, :]
    return SwapCosts(
        steps[0].costs(arms, has_arms, times),
        steps[1].costs(legs, has_legs, times),
        of_arms + of_legs + _facing(keypoints),
        (has_arms, has_legs),
    )


def swap_costs(
    keypoints: Float[np.ndarray, "n 137 3"], times: Float[np.ndarray, " n"]
) -> SwapCosts:
    """Of frames (in person sizes, at these seconds) of which none is known before."""
    usual = [
        [_quantile(seen) for seen in _seen_lengths(*_limb(keypoints, ends))]
        for ends in _ENDS.values()
    ]
    return _costs(keypoints, times, usual, (_Steps(), _Steps()))


class SwapsSoFar:
    """The cheapest states as far as the past tells, a frame at a time: `find_swaps` without what
    comes after. Its memory is what the cheapest sequence to each pair of states costs."""

    def __init__(self) -> None:
        self._total: np.ndarray | None = None

    def next(self, costs: SwapCosts) -> Swaps:
        """Where the last frame of these has its sides exchanged, by it and all frames before."""
        single = costs.single[-1].reshape(-1)
        if self._total is None:
            self._total = np.broadcast_to(single, (single.size,) * 2)
        else:
            self._total, _ = _one_more(self._total, costs.arms[-1], costs.legs[-1], single)
            # Only differences matter; the sum itself would grow for ever.
            self._total = self._total - self._total.min()
        state = np.unravel_index(self._total.argmin(), self._total.shape)[1]
        exchanged = [
            _STATES[[limb[state]]].astype(bool) & known[-1:]
            for limb, known in zip(_LIMBS, costs.known, strict=True)
        ]
        return Swaps(*exchanged)


def _limb(keypoints: np.ndarray, levels: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """[n, level, side, 2] places of a limb's joints, and whether both sides are seen [n, level]."""
    points = keypoints[:, [[INDEX[f"{side}_{name}"] for side in _SIDES] for name in levels]]
    return points[..., :2], np.asarray((points[..., 2] > 0).all(-1))


def undo_swaps(track: PoseTrack) -> tuple[PoseTrack, Swaps]:
    """The track with every joint under its own name, and where they were exchanged.

    Hands go with their wrists, feet with their ankles; neck, mid-hip and head stay. A joint whose
    counterpart was not observed stays too: nothing tells its side.
    """
    swaps = find_swaps(track)
    keypoints = long_arrays.copied(track.keypoints)
    filled = None if track.filled is None else long_arrays.copied(track.filled, bool)
    for window in long_arrays.windows(keypoints, filled):
        here = Swaps(swaps.arms[window], swaps.legs[window])
        exchange(keypoints[window], here)
        if filled is not None:
            exchange(filled[window], here)
    return dataclasses.replace(track, keypoints=keypoints, filled=filled), swaps


def exchange(values: Shaped[np.ndarray, "n 137 *more"], swaps: Swaps) -> None:
    """Exchanges, in place, what is known of the left and the right keypoints in those frames."""
    for limb, levels in _ENDS.items():
        for name, exchanged in zip(levels, getattr(swaps, limb).T, strict=True):
            frames = np.flatnonzero(exchanged)[:, None]
            left, right = moved_with(name)
            a, b = values[frames, left], values[frames, right]
            values[frames, left], values[frames, right] = b, a


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


def _seen_lengths(points: np.ndarray, known: np.ndarray) -> list[np.ndarray]:
    """[m, side]: the lengths of a limb's two bones where both are seen; see `_limb`."""
    lengths = np.linalg.norm(np.diff(points, axis=1), axis=-1)
    return [lengths[known[:, level] & known[:, level + 1], level] for level in (0, 1)]


def _quantile(lengths: np.ndarray) -> float:
    return quantile(lengths, USUAL) if len(lengths) else np.inf


def _bones(points: np.ndarray, known: np.ndarray, usual: list[float]) -> np.ndarray:
    """[n, state]: by how much a limb's bones are longer than the two usual lengths in each state;
    see `_limb`."""
    prices = np.zeros((len(points), len(_STATES)))
    for level in (1, 2):
        both = known[:, level] & known[:, level - 1]
        own = np.linalg.norm(points[:, level] - points[:, level - 1], axis=-1)
        crossed = np.linalg.norm(points[:, level] - points[:, level - 1, ::-1], axis=-1)
        excess = [
            np.maximum(length - usual[level - 1], 0).sum(-1) * both for length in (own, crossed)
        ]
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


class _Steps:
    """What the steps of one limb cost, of one window of frames after another."""

    def __init__(self) -> None:
        # The last two frames, with guessed places, and the state of the guessing.
        self._points, self._known = np.zeros((0, 3, 2, 2)), np.zeros((0, 3), bool)
        self._times = np.zeros(0)
        self._missing, self._speed = np.full(3, BRIDGED + 1), np.zeros((3, 2, 2))

    def costs(self, points: np.ndarray, seen: np.ndarray, times: np.ndarray) -> np.ndarray:
        """[n, earlier, before, now]: what the steps cost in each state of three frames in a row:
        each joint's distance from where the two places before lead (from the place before, where
        there is one alone; 0 where there is none). See `_limb`."""
        begun = len(self._points)
        points = np.concatenate([self._points, points])
        known = np.concatenate([self._known, seen])
        times = np.concatenate([self._times, times])
        self._bridge(points, known, times, begun)
        self._points, self._known, self._times = points[-2:], known[-2:], times[-2:]
        return _step_costs(points, known, times)[begun:]

    def _bridge(self, points: np.ndarray, known: np.ndarray, times: np.ndarray, begun: int) -> None:
        """Bridges gaps of up to BRIDGED frames, in place, by going on at the last speed."""
        for t in range(max(begun, 1), len(points)):
            here = known[t].copy()
            self._missing = np.where(here, 0, self._missing + 1)
            step = times[t] - times[t - 1]
            new = np.where(known[t - 1][:, None, None], (points[t] - points[t - 1]) / step, 0)
            self._speed = np.where(here[:, None, None], new, self._speed)
            guessed = ~here & known[t - 1] & (self._missing <= BRIDGED)
            lead = points[t - 1] + self._speed * step
            points[t] = np.where(guessed[:, None, None], lead, points[t])
            known[t] |= guessed


def _step_costs(points: np.ndarray, known: np.ndarray, times: np.ndarray) -> np.ndarray:
    """`_Steps.costs` of frames whose gaps are bridged."""
    count = len(points)
    costs = np.zeros((count, points.shape[1], 2, 2))
    pair = np.zeros(known.shape, bool)
    pair[1:] = known[1:] & known[:-1]
    triple = np.zeros(known.shape, bool)
    triple[2:] = pair[2:] & pair[1:-1]
    ratio = np.ones(count)
    ratio[2:] = np.diff(times)[1:] / np.diff(times)[:-1]
    before = np.concatenate([points[:1], points[:-1]])
    earlier = np.concatenate([points[:1], before[:-1]])
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


# Of the 16 states of both limbs those of the arms and of the legs; what a change costs.
_LIMBS = np.indices((len(_STATES),) * 2).reshape(2, -1)
_CHANGES = CHANGE * (_LIMBS[:, :, None] != _LIMBS[:, None, :]).sum(0)


def _one_more(
    total: np.ndarray, arms: np.ndarray, legs: np.ndarray, single: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The least that each (state before, state now) costs after one more frame, and the state
    before those.

    total: [earlier, before]; arms, legs: of `_Steps.costs`, this frame's; single: [now]."""
    steps = arms[:, None, :, None, :, None] + legs[None, :, None, :, None, :]
    paths = total[:, :, None] + steps.reshape((len(_CHANGES),) * 3)
    return paths.min(0) + _CHANGES + single.reshape(-1), paths.argmin(0)


def _cheapest(
    frames: Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The states of the arms [N] and of the legs [N] in the cheapest sequence.

    frames: of each of the `count` frames what the arms' and the legs' steps cost
    [earlier, before, now], see `_Steps.costs`, and what their states cost [arms, legs]."""
    shape = _CHANGES.shape
    # Over (state before, state now), with the best state earlier kept for each.
    total = np.broadcast_to(next(frames)[2].reshape(-1), shape)
    choices = long_arrays.zeros((count, *shape), np.uint8)
    for window in long_arrays.windows(choices):
        for t in range(max(window.start, 1), window.stop):
            total, choices[t] = _one_more(total, *next(frames))
    states = np.zeros(count, int)
    before, states[-1] = np.unravel_index(total.argmin(), shape)
    for window in long_arrays.windows(choices, backwards=True):
        for t in range(window.stop - 1, max(window.start, 2) - 1, -1):
            states[t - 1] = before
            before = choices[t, before, states[t]]
    states[0] = before
    return _LIMBS[0, states], _LIMBS[1, states]
