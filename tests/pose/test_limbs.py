"""Poses of a person of another height, limb by limb: against drawn dancers, whose answer is known,
and figures that walk towards the camera."""

import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.pose.normalize import fit_target, normalize
from motion_jax.pose.skeleton import COUNT, FACE, INDEX, LEFT_HAND, RIGHT_HAND

BONES = [
    ("mid_hip", "neck"), ("left_shoulder", "left_elbow"), ("right_elbow", "right_wrist"),
    ("left_hip", "left_knee"), ("right_knee", "right_ankle"), ("right_ankle", "right_big_toe"),
    ("left_ankle", "left_heel"),
]  # fmt: skip
ANKLES = [INDEX["right_ankle"], INDEX["left_ankle"]]


def length(poses, bone):
    a, b = (poses[:, INDEX[name], :2] for name in bone)
    return np.linalg.norm(a - b, axis=-1)


@pytest.mark.parametrize(("source", "target"), [("ada", "ben"), ("ben", "ada")])
def test_a_drawn_dancers_motion_is_the_other_dancers(source, target):
    motion = puppet.dance(200, 25, 7)
    poses, answer = (
        puppet.pose(puppet.CHARACTERS[name], motion, 256, 256) for name in (source, target)
    )
    stats = fit_target(poses), fit_target(answer)
    result, plain = normalize(poses, *stats, "limbs"), normalize(poses, *stats)
    for bone in BONES:
        assert np.median(length(result, bone)) == pytest.approx(
            np.median(length(answer, bone)), rel=0.02
        ), bone

    def error(found, joints=slice(0, 25)):
        return np.linalg.norm((found - answer)[:, joints, :2], axis=-1).mean()

    # Pixels of a figure 150 high.
    assert error(result) < 1.1 and error(plain) > 2.5
    assert error(result, [INDEX["left_wrist"], INDEX["right_wrist"]]) < 1
    # Both feet, where both stand, are on the floor, not only the lower one.
    standing = poses[:, ANKLES, 1] > poses[:, ANKLES, 1].max() - 0.5
    assert standing.all(1).any()
    assert np.abs((result - answer)[:, ANKLES, 1])[standing].max() < 0.5
    # Hands hang on their wrists, as large as the target's; the face sits on the head.
    for hand, wrist in ((LEFT_HAND, "left_wrist"), (RIGHT_HAND, "right_wrist")):
        np.testing.assert_allclose(
            result[:, hand.start, :2], result[:, INDEX[wrist], :2], atol=1e-3
        )
        assert np.median(np.ptp(result[:, hand, :2], axis=1)) == pytest.approx(
            np.median(np.ptp(answer[:, hand, :2], axis=1)), rel=0.1
        )
    np.testing.assert_allclose(
        (result[:, FACE] - result[:, [INDEX["nose"]]])[..., :2],
        (answer[:, FACE] - answer[:, [INDEX["nose"]]])[..., :2],
        atol=1.5,
    )


def standing(leg, arm, torso):
    """A standing figure of [137, 3] with its feet at (0, 0), about 100 high."""
    joints = {
        "mid_hip": (0, -50 * leg), "neck": (0, -50 * leg - 30 * torso),
        "nose": (0, -50 * leg - 30 * torso - 14),
    }  # fmt: skip
    for side, sign in (("right", -1), ("left", 1)):
        shoulder = np.array([10 * sign, -50 * leg - 30 * torso])
        joints |= {
            f"{side}_shoulder": shoulder,
            f"{side}_elbow": shoulder + np.array([9 * sign, 13]) * arm,
            f"{side}_wrist": shoulder + np.array([15 * sign, 25]) * arm,
            f"{side}_hip": (6 * sign, -50 * leg),
            f"{side}_knee": (6 * sign, -24 * leg),
            f"{side}_ankle": (6 * sign, 0),
            f"{side}_big_toe": (9 * sign, 4),
            f"{side}_heel": (5 * sign, 3),
        }
    pose = np.zeros((COUNT, 3))
    for name, place in joints.items():
        pose[INDEX[name]] = *place, 0.9
    return pose


def coming(pose, close, far, at_close, at_far, share):
    """Walking from far to close; `share` [N] says where between (1: close)."""
    scale = (at_far + share * (at_close - at_far))[:, None]
    poses = np.tile(pose, (len(share), 1, 1))
    poses[..., :2] *= scale[..., None]
    poses[..., 0] += 100
    poses[..., 1] += (far + share * (close - far))[:, None]
    return np.where(pose[:, 2:] > 0, poses, 0).astype(np.float32)


@pytest.mark.parametrize(
    ("leg", "arm", "torso"), [(0.9, 1.3, 1.1), (0.55, 0.5, 0.6), (1.3, 1.1, 1.2)]
)
def test_limbs_have_the_targets_lengths_at_every_distance_from_the_camera(leg, arm, torso):
    """Long stays far away and short ones close by do not make the person grow or shrink."""
    there = np.concatenate([np.linspace(0, 1, 30), np.zeros(60), np.full(3, 0.5)])
    source = coming(standing(1.2, 0.8, 1.0), 500, 400, 2.0, 1.2, there)
    target = coming(standing(leg, arm, torso), 120, 100, 0.6, 0.4, np.linspace(0, 1, 40))
    result = normalize(source, fit_target(source), fit_target(target), "limbs")
    feet, known = result[:, ANKLES, 1].max(1), target[:, ANKLES, 1].max(1)
    for bone in BONES:
        expected = np.interp(feet, known, length(target, bone))
        np.testing.assert_allclose(length(result, bone), expected, rtol=0.05, err_msg=str(bone))
