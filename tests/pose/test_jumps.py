"""Joints that are elsewhere for a moment: found, dropped, filled; true motion is left alone."""

import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.pose import long_arrays
from motion_jax.pose.jumps import drop_jumps, find_jumps
from motion_jax.pose.mend import mend
from motion_jax.pose.skeleton import FACE, INDEX, LEFT_HAND
from motion_jax.pose.track import PoseTrack


def track(keypoints, fps=25):
    return PoseTrack(
        keypoints=np.asarray(keypoints, np.float32),
        times=np.arange(len(keypoints)) / fps,
        size=(256, 256),
        reasons=("",) * len(keypoints),
    )


def danced(name="ada", seed=0, seconds=8, fps=25):
    motion = puppet.dance(round(seconds * fps), fps, seed)
    return puppet.pose(puppet.CHARACTERS[name], motion, 256, 256)


@pytest.mark.parametrize("fps", [15, 25, 60])
@pytest.mark.parametrize("name", sorted(puppet.CHARACTERS)[:2])
def test_a_true_dance_has_none(name, fps):
    for seed in range(3):
        assert not find_jumps(track(danced(name, seed, fps=fps), fps)).joints.any()


@pytest.mark.parametrize("length", [1, 2, 3])
def test_an_arm_is_away_and_back(length):
    truth = danced()
    wrong = truth.copy()
    frames = slice(50, 50 + length)
    wrong[frames, INDEX["left_wrist"], 1] += 60
    wrong[frames, LEFT_HAND, 1] += 60
    wrong[frames, INDEX["left_elbow"], 1] += 40
    found = find_jumps(track(wrong))
    assert np.flatnonzero(found.joints.any(1)).tolist() == list(range(50, 50 + length))
    assert found.joints.any(0).nonzero()[0].tolist() == sorted(
        INDEX[name] for name in ("left_elbow", "left_wrist")
    )
    dropped, _ = drop_jumps(track(wrong))
    assert not dropped.keypoints[frames, LEFT_HAND].any(), "with a wrist its hand"
    rest = np.ones(len(wrong), bool)
    rest[frames] = False
    np.testing.assert_array_equal(dropped.keypoints[rest], wrong[rest])
    mended, repairs = mend(track(wrong), filter=None, swaps=False)
    near = np.linalg.norm((mended.keypoints - truth)[frames, INDEX["left_wrist"], :2], axis=-1)
    assert near.max() < 8
    assert sum({**repairs.jumped, **repairs.dropped}.values()) >= length


def test_a_whole_body_elsewhere_and_what_is_no_jump():
    truth = danced()
    wrong = truth.copy()
    wrong[70, :, 0] += 40 * (wrong[70, :, 2] > 0)
    found = find_jumps(track(wrong))
    assert np.flatnonzero(found.joints.any(1)).tolist() == [70]
    assert found.joints[70, [INDEX["neck"], INDEX["nose"], INDEX["right_ankle"]]].any()
    assert not drop_jumps(track(wrong))[0].keypoints[70, FACE].any(), "with the nose the face"
    # A limb that stays away has moved; so has one that takes longer, and one of a slow film.
    stays, slow, few = truth.copy(), truth.copy(), truth.copy()
    stays[50:, INDEX["left_wrist"], 1] += 60
    slow[50:54, INDEX["left_wrist"], 1] += 60
    few[50, INDEX["left_wrist"], 1] += 60
    assert not find_jumps(track(stays)).joints.any()
    assert not find_jumps(track(slow)).joints.any()
    assert not find_jumps(track(few, fps=10)).joints.any()
    # A person who trembles from frame to frame.
    trembling = truth.copy()
    trembling[..., 0] += 15 * (truth[..., 2] > 0) * (-1) ** np.arange(len(truth))[:, None]
    assert not find_jumps(track(trembling)).joints[:100].any()
    # Without a torso nothing is known of lengths.
    blind = few.copy()
    blind[:, INDEX["neck"]] = 0
    assert not find_jumps(track(blind)).joints.any()


def test_a_long_video_in_windows_gives_the_same(monkeypatch):
    wrong = danced(seconds=6)
    for frame in (31, 32, 63, 64, 100):
        wrong[frame, INDEX["right_wrist"], 1] += 70
    whole = find_jumps(track(wrong)).joints
    assert whole.any(1).sum() == 5
    monkeypatch.setattr(long_arrays, "WINDOW", 32)
    np.testing.assert_array_equal(find_jumps(track(wrong)).joints, whole)
