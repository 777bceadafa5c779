"""Poses brought back to what a person's joints were seen to do."""

import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.pose import joints
from motion_jax.pose.skeleton import INDEX

FEET = [INDEX["right_ankle"], INDEX["left_ankle"]]


@pytest.fixture(scope="module")
def dance():
    return puppet.pose(puppet.CHARACTERS["ben"], puppet.dance(200, 25, 0), 128, 128)


def bent(pose, at, after, moved, degrees):
    """The pose with a bone turned at a joint."""
    turn = np.radians(degrees)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    changed, pivot = pose.copy(), pose[INDEX[at], :2]
    for name in (after, *moved):
        changed[INDEX[name], :2] = (pose[INDEX[name], :2] - pivot) @ matrix.T + pivot
    return changed


def angle(pose, name):
    [joint] = [each for each in joints.JOINTS if each.at == INDEX[name]]
    return float(joints.angles(pose[None], joint)[0][0])


def test_what_was_seen_is_left_alone(dance):
    within = [
        each and joints.Limits(each.middle, each.low - 0.5, each.high + 0.5)
        for each in joints.limits(dance)
    ]
    kept, beyond = joints.kept_within(dance, within)
    np.testing.assert_array_equal(kept, dance)
    assert not beyond.any()


@pytest.mark.parametrize("degrees", [80, -80])
def test_a_leg_that_bends_too_far_comes_back_to_the_nearest_that_was_seen(dance, degrees):
    # Legs that hardly move: a tenth of the dance.
    within = joints.limits(dance[:20])
    pose = dance[0]
    raised = bent(
        pose,
        "left_hip",
        "left_knee",
        ["left_ankle", "left_heel", "left_big_toe", "left_small_toe"],
        degrees,
    )
    [kept], [beyond] = joints.kept_within(raised[None], within)
    assert beyond
    [known] = [
        each
        for joint, each in zip(joints.JOINTS, within, strict=True)
        if joint.at == INDEX["left_hip"]
    ]
    away = (angle(kept, "left_hip") - known.middle + np.pi) % (2 * np.pi) - np.pi
    assert away == pytest.approx(known.high if degrees > 0 else known.low, abs=1e-3)
    for a, b in (("left_hip", "left_knee"), ("left_knee", "left_ankle"), ("neck", "left_hip")):
        lengths = [np.linalg.norm(one[INDEX[a], :2] - one[INDEX[b], :2]) for one in (raised, kept)]
        assert lengths[0] == pytest.approx(lengths[1], rel=1e-4)
    # The lower foot stands where it stood, and the right leg and the arms are as they were.
    assert kept[FEET, 1].max() == pytest.approx(raised[FEET, 1].max(), abs=1e-3)
    others = [INDEX["right_knee"], INDEX["right_ankle"], INDEX["left_wrist"]]
    trunk = INDEX["mid_hip"]
    np.testing.assert_allclose(
        (kept[others] - kept[trunk])[:, :2], (raised[others] - raised[trunk])[:, :2], atol=2.5
    )


def test_absent_points_stay_absent(dance):
    hidden = dance[:3].copy()
    hidden[0, INDEX["left_knee"]] = 0
    hidden[1] = 0
    hidden[2, FEET] = 0
    kept, _ = joints.kept_within(hidden, joints.limits(dance[50:52]))
    np.testing.assert_array_equal(kept[..., 2], hidden[..., 2])
    np.testing.assert_array_equal(kept[hidden[..., 2] == 0], 0)
    assert np.isfinite(kept).all()


def test_limits_are_kept_as_text(dance):
    dance = dance.copy()
    dance[:, INDEX["left_wrist"]] = 0
    within = joints.limits(dance)
    assert None in within
    assert joints.from_json(joints.to_json(within)) == within
    for wrong in ({"left_ear": [0, 0, 0]}, {"left_knee": [0, 0]}, {"left_knee": ["a", 0, 0]}):
        with pytest.raises((TypeError, ValueError)):
            joints.from_json(wrong)
