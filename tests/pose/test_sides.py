"""Left and right put right: injected exchanges undone exactly, true motion left alone."""

import dataclasses

import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.pose.sides import find_swaps, moved_with, undo_swaps
from motion_jax.pose.skeleton import INDEX, LEFT_HAND, RIGHT_HAND
from motion_jax.pose.track import PoseTrack

JOINTS = {"arms": ("shoulder", "elbow", "wrist"), "legs": ("hip", "knee", "ankle")}
# Which of a limb's three joints are exchanged.
KINDS = ((True, True, True), (False, True, True), (False, False, True))


def track(keypoints, fps=25.0):
    return PoseTrack(
        keypoints=np.asarray(keypoints, np.float32),
        times=np.arange(len(keypoints)) / fps,
        size=(256, 256),
        reasons=("",) * len(keypoints),
    )


def danced(name="ada", seed=0, frames=200):
    return puppet.pose(puppet.CHARACTERS[name], puppet.dance(frames, 25, seed), 256, 256)


def exchange(keypoints, limb, kind, frames):
    """In place, as the estimator's mistake would have it."""
    for name, wanted in zip(JOINTS[limb], kind, strict=True):
        if wanted:
            left, right = moved_with(name)
            part = keypoints[frames]
            part[:, left], part[:, right] = part[:, right], part[:, left]


@pytest.mark.parametrize("name", ["ada", "ben"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_injected_swaps_are_undone_exactly_and_nothing_else_is_touched(name, seed):
    truth = danced(name, seed)
    wrong = truth.copy()
    rng = np.random.default_rng(seed)
    expected = {limb: np.zeros((len(truth), 3), bool) for limb in JOINTS}
    for limb in JOINTS:
        first = 6
        while first < 180:
            length, kind = int(rng.integers(1, 16)), KINDS[rng.integers(3)]
            exchange(wrong, limb, kind, slice(first, first + length))
            expected[limb][first : first + length] = kind
            first += length + int(rng.integers(20, 40))
    assert (wrong != truth).any()
    mended, swaps = undo_swaps(track(wrong))
    np.testing.assert_array_equal(swaps.arms, expected["arms"])
    np.testing.assert_array_equal(swaps.legs, expected["legs"])
    np.testing.assert_array_equal(mended.keypoints, truth)
    counts = swaps.frames()
    assert counts == {limb: int(rows.any(1).sum()) for limb, rows in expected.items()}
    assert all(counts.values())


@pytest.mark.parametrize("seed", range(4))
def test_a_trembling_dance_has_no_swaps(seed):
    keypoints = danced("ben", seed, 300)
    noise = np.random.default_rng(seed).normal(0, 2.0, keypoints[..., :2].shape)
    keypoints[..., :2] += noise * (keypoints[..., 2:] > 0)
    assert find_swaps(track(keypoints)).frames() == {"arms": 0, "legs": 0}


def turning(frames=120, rounds=2.0):
    """A figure that turns round itself: every pair of joints passes each other in the picture, the
    arms swinging and the legs walking at the same time."""
    keypoints = danced(frames=1).repeat(frames, 0)
    angle = np.linspace(0, 2 * np.pi * rounds, frames)
    middle = keypoints[:, [INDEX["mid_hip"]], 0]
    seen = keypoints[..., 2] > 0
    turned = middle + (keypoints[..., 0] - middle) * np.cos(angle)[:, None]
    stride = 12 * np.sin(3 * angle)[:, None]
    for limb in JOINTS.values():
        for name in limb[1:]:
            left, right = moved_with(name)
            turned[:, left] += stride
            turned[:, right] -= stride
    keypoints[..., 0] = np.where(seen, turned, 0)
    # From behind no face is found.
    keypoints[np.cos(angle) < 0.3, 25:95] = 0
    return keypoints


def test_turning_and_walking_are_no_swaps():
    keypoints = turning()
    width = keypoints[:, INDEX["left_shoulder"], 0] - keypoints[:, INDEX["right_shoulder"], 0]
    assert (np.diff(np.sign(width)) != 0).sum() == 4
    mended, swaps = undo_swaps(track(keypoints))
    assert swaps.frames() == {"arms": 0, "legs": 0}
    np.testing.assert_array_equal(mended.keypoints, keypoints)


def test_a_body_flipped_as_a_whole_is_flipped_back_where_the_face_says_so():
    """Longer than the rest of the clip: its length alone would blame the right frames."""
    truth = danced(frames=90)
    wrong = truth.copy()
    for limb in JOINTS:
        exchange(wrong, limb, KINDS[0], slice(10, 60))
    mended, swaps = undo_swaps(track(wrong))
    np.testing.assert_array_equal(np.flatnonzero(swaps.arms.all(1)), np.arange(10, 60))
    np.testing.assert_array_equal(mended.keypoints, truth)


def test_hands_and_feet_go_along():
    left, right = moved_with("wrist")
    assert left == [INDEX["left_wrist"], *range(LEFT_HAND.start, LEFT_HAND.stop)]
    assert right == [INDEX["right_wrist"], *range(RIGHT_HAND.start, RIGHT_HAND.stop)]
    left, right = moved_with("ankle")
    assert [INDEX[f"left_{n}"] for n in ("ankle", "big_toe", "small_toe", "heel")] == left
    assert len(right) == 4


def test_gaps_and_lost_frames_are_no_evidence():
    truth = danced(frames=80)
    wrong = truth.copy()
    exchange(wrong, "legs", KINDS[0], slice(20, 30))
    # The exchange begins behind two frames without a pose, and one knee is never seen.
    reasons = [""] * 80
    for frame in (18, 19):
        reasons[frame] = "lost"
        wrong[frame] = truth[frame] = 0
    for poses in (wrong, truth):
        poses[:, INDEX["left_knee"]] = poses[:, INDEX["right_knee"]] = 0
    mended, _ = undo_swaps(dataclasses.replace(track(wrong), reasons=tuple(reasons)))
    np.testing.assert_array_equal(mended.keypoints, truth)


def test_too_short_or_empty_tracks_stay():
    for keypoints in (danced(frames=2), np.zeros((5, 137, 3), np.float32)):
        mended, swaps = undo_swaps(track(keypoints))
        np.testing.assert_array_equal(mended.keypoints, keypoints)
        assert swaps.frames() == {"arms": 0, "legs": 0}
