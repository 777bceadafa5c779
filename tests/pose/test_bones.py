"""Joints of bones that are too long: found, blamed on the right joint, never on true poses."""

import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.pose.bones import drop_long_bones, find_long_bones, quantile, usual_lengths
from motion_jax.pose.skeleton import INDEX, LEFT_HAND, RIGHT_HAND
from motion_jax.pose.track import PoseTrack


def track(keypoints):
    return PoseTrack(
        keypoints=np.asarray(keypoints, np.float32),
        times=np.arange(len(keypoints)) / 25,
        size=(256, 256),
        reasons=("",) * len(keypoints),
    )


def danced(name="ada", seed=0, frames=120):
    return puppet.pose(puppet.CHARACTERS[name], puppet.dance(frames, 25, seed), 256, 256)


@pytest.mark.parametrize("name", ["ada", "ben"])
@pytest.mark.parametrize("seed", range(3))
def test_true_poses_have_no_long_bones(name, seed):
    keypoints = danced(name, seed, 300)
    assert find_long_bones(track(keypoints)).count == 0
    mended, _ = drop_long_bones(track(keypoints))
    np.testing.assert_array_equal(mended.keypoints, keypoints)


# Far away: (which joints moved together, which of them are blamed, what is missing besides).
@pytest.mark.parametrize(
    ("moved", "blamed"),
    [
        (["left_elbow"], ["left_elbow"]),
        (["right_wrist"], ["right_wrist"]),
        (["left_elbow", "left_wrist"], ["left_elbow", "left_wrist"]),
        (["right_knee"], ["right_knee"]),
        (["left_knee", "left_ankle"], ["left_knee", "left_ankle"]),
        (["left_shoulder"], ["left_shoulder"]),
    ],
)
def test_the_misjudged_joint_is_blamed_and_no_other(moved, blamed):
    keypoints = danced()
    for name in moved:
        keypoints[40:43, INDEX[name], 0] += 150
    if "left_ankle" in moved:
        for part in ("big_toe", "small_toe", "heel"):
            keypoints[40:43, INDEX[f"left_{part}"], 0] += 150
    found = find_long_bones(track(keypoints))
    names = {name for name, joint in INDEX.items() if found.joints[:, joint].any()}
    feet = {f"left_{part}" for part in ("big_toe", "small_toe", "heel")}
    assert names - feet == set(blamed)
    assert np.flatnonzero(found.joints.any(1)).tolist() == [40, 41, 42] and found.frames == 3


def test_hands_and_feet_go_with_wrist_and_ankle():
    keypoints = danced()
    keypoints[10, INDEX["left_wrist"], :2] += 120
    keypoints[20, INDEX["right_ankle"], 0] += 120
    mended, found = drop_long_bones(track(keypoints))
    assert (keypoints[10, LEFT_HAND, 2] > 0).all()
    assert (mended.keypoints[10, LEFT_HAND] == 0).all()
    assert (mended.keypoints[10, RIGHT_HAND] == keypoints[10, RIGHT_HAND]).all()
    gone = [INDEX[f"right_{part}"] for part in ("ankle", "big_toe", "small_toe", "heel")]
    assert (mended.keypoints[20, gone] == 0).all() and found.count >= 2
    kept = np.ones(keypoints.shape[:2], bool)
    kept[10, LEFT_HAND] = kept[10, INDEX["left_wrist"]] = False
    kept[20, gone] = False
    np.testing.assert_array_equal(mended.keypoints[kept], keypoints[kept])


def test_coming_nearer_and_showing_a_bone_from_its_end_are_no_errors():
    keypoints = danced(frames=100)
    middle = np.array([128, 240])
    # Three times as large at the end; and the arms stretched to the camera but for a few frames.
    scale = np.linspace(1, 3, 100)[:, None, None]
    keypoints[..., :2] = (keypoints[..., :2] - middle) * scale + middle
    for side in ("left", "right"):
        shoulder = keypoints[:, [INDEX[f"{side}_shoulder"]], :2]
        for name in ("elbow", "wrist"):
            joint = INDEX[f"{side}_{name}"]
            near = shoulder[:, 0] + 0.2 * (keypoints[:, joint, :2] - shoulder[:, 0])
            keypoints[:90, joint, :2] = near[:90]
    keypoints[:, 25:] = 0
    assert find_long_bones(track(keypoints)).count == 0


def test_lengths_grow_with_the_torso_and_nothing_is_known_without_one():
    keypoints = danced()
    usual = usual_lengths(keypoints)
    doubled = usual_lengths(keypoints * np.array([2, 2, 1]))
    assert usual["knee"] > 20
    for name, length in usual.items():
        assert doubled[name] == pytest.approx(2 * length, rel=1e-5)
    keypoints[:, [INDEX[n] for n in ("neck", "left_shoulder", "right_shoulder")]] = 0
    assert usual_lengths(keypoints) == {}
    assert find_long_bones(track(keypoints)).count == 0


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_quantile_is_that_of_numpy_to_the_bit(dtype):
    random = np.random.default_rng(0)
    for n in [1, 2, 3, 6, 11, 40]:
        for values in (random.normal(size=n), random.normal(size=(n, 2)), np.ones(n)):
            values = values.astype(dtype)
            for share in (0.0, 0.5, 0.8, 0.9, 1.0):
                assert quantile(values, share) == float(np.quantile(values, share))
