"""The puppets: their joints are what is drawn, their motion fits either of them exactly."""

import dataclasses

import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.pose import skeleton
from motion_jax.puppet import figure, motion

ADA, BEN = puppet.CHARACTERS["ada"], puppet.CHARACTERS["ben"]


def test_a_dance_is_deterministic_and_begins_the_same_whatever_its_length():
    short, long = puppet.dance(30, 25, seed=3), puppet.dance(200, 25, seed=3)
    other = puppet.dance(30, 25, seed=4)
    for field in dataclasses.fields(motion.Motion)[1:]:
        name = field.name
        np.testing.assert_allclose(getattr(short, name), getattr(long, name)[:30], err_msg=name)
    assert not np.allclose(short.shoulders, other.shoulders)
    assert len(long) == 200 and len(long[50:80]) == 30
    assert long.times[25] == 1.0
    # It goes somewhere: arms from the hips to above the head, hips up and down, feet off the floor.
    assert long.shoulders.max() > 2.2 and long.shoulders.min() < 0.8
    assert np.ptp(long.root[:, 1]) > 0.1


def test_a_dance_has_no_jumps():
    whole = puppet.dance(1500, 25, seed=0)
    for field in dataclasses.fields(motion.Motion)[1:]:
        values = getattr(whole, field.name)
        step = np.abs(np.diff(values, axis=0)).max()
        # At most a third of a full bend in a frame (a forearm's pump), and never a discontinuity:
        # no step is much greater than its neighbours.
        assert step < 0.6, field.name
        assert np.abs(np.diff(values, n=2, axis=0)).max() < 0.25, field.name


@pytest.mark.parametrize("character", [ADA, BEN], ids=lambda one: one.name)
def test_limbs_keep_their_length_and_standing_feet_the_floor(character):
    body = figure.joints(character, puppet.dance(400, 25, seed=1))
    for start, end, length in (
        ("hips", "knees", character.thigh), ("knees", "ankles", character.shin),
        ("shoulders", "elbows", character.upper_arm), ("elbows", "wrists", character.forearm),
    ):  # fmt: skip
        found = np.linalg.norm(getattr(body, end) - getattr(body, start), axis=-1)
        np.testing.assert_allclose(found, length, rtol=1e-9)
    # The lower foot stands (a step's change of feet passes both through the air for a moment).
    lowest = body.ankles[..., 1].max(axis=1) + character.ankle
    assert np.median(abs(lowest - figure.FLOOR)) < 1e-9 and lowest.max() <= figure.FLOOR + 1e-9


def test_keypoints_lie_in_the_picture_and_are_the_motions():
    moved = puppet.dance(400, 25, seed=2)
    found = puppet.pose(BEN, moved, 64, 96)
    assert found.shape == (400, 137, 3) and found.dtype == np.float32
    assert (found[:, :25, 2] == 1).all() and (found[..., 2] == 1).mean() > 0.99
    assert (found[found[..., 2] == 0] == 0).all()
    assert (found[..., 0] <= 96).all() and (found[..., 1] <= 64).all() and (found >= 0).all()
    # The person's right is on the picture's left, eyes are the pupils, the wrist is the hand's.
    index = skeleton.INDEX
    assert (found[:, index["right_hip"], 0] < found[:, index["left_hip"], 0]).all()
    np.testing.assert_array_equal(found[:, index["right_eye"]], found[:, 25 + 68])
    np.testing.assert_allclose(
        found[:, index["left_wrist"]], found[:, skeleton.LEFT_HAND.start], atol=1e-3
    )
    # Larger pictures scale the keypoints.
    np.testing.assert_allclose(
        puppet.pose(BEN, moved[:3], 128, 192)[..., :2], 2 * found[:3, :, :2], atol=1e-4
    )


def test_the_same_motion_on_both_is_a_retargeting():
    """In lengths of the leg the ankles and hips of both are the same."""
    moved = puppet.dance(50, 25, seed=5)
    places = []
    for one in (ADA, BEN):
        body = figure.joints(one, moved)
        floor = figure.FLOOR - one.ankle
        side = figure.SIDES * one.hip
        places.append(np.concatenate([
            (body.ankles[..., 0] - side) / one.leg, (floor - body.ankles[..., 1]) / one.leg,
            body.hip[:, :1] / one.leg, (floor - body.hip[:, 1:]) / one.leg,
        ], axis=1))  # fmt: skip
    np.testing.assert_allclose(*places, atol=1e-12)


@pytest.mark.parametrize("character", [ADA, BEN], ids=lambda one: one.name)
def test_the_picture_shows_what_the_keypoints_say(character):
    moved = puppet.dance(60, 25, seed=1)[::20]
    pictures = puppet.draw(character, moved, 128, 128)
    assert pictures.shape == (3, 128, 128, 3) and pictures.dtype == np.uint8
    np.testing.assert_array_equal(pictures[1:2], puppet.draw(character, moved[1:2], 128, 128))
    found = puppet.pose(character, moved, 128, 128)
    for picture, points in zip(pictures, found, strict=True):

        def near(joint, picture=picture, points=points):
            x, y = points[joint, :2]
            return picture[max(int(y) - 1, 0) : int(y) + 2, max(int(x) - 1, 0) : int(x) + 2]

        # Hands are skin, pupils are dark, the middle of the hips is trousers or belt.
        for hand in (skeleton.LEFT_HAND, skeleton.RIGHT_HAND):
            seen = near(hand.start + 9).reshape(-1, 3).mean(axis=0)
            skin = np.array(character.skin)
            assert abs(seen / seen.sum() - skin / skin.sum()).max() < 0.1
        for pupil in (68, 69):
            assert near(skeleton.FACE.start + pupil).min() < 90
    # A drawn picture, not a stick figure: many colours, and it moves.
    assert len(np.unique(pictures[0].reshape(-1, 3), axis=0)) > 3000
    assert (np.abs(pictures[0].astype(int) - pictures[1]).max(axis=-1) > 30).mean() > 0.03


def test_the_two_are_different():
    moved = puppet.dance(1, 25, seed=0)
    ada, ben = (puppet.draw(one, moved, 64, 64)[0].astype(int) for one in (ADA, BEN))
    assert np.abs(ada - ben).mean() > 40
    assert BEN.leg / ADA.leg > 1.1
    assert abs(BEN.leg / BEN.torso - ADA.leg / ADA.torso) > 0.1
    assert abs(BEN.upper_arm / BEN.torso - ADA.upper_arm / ADA.torso) > 0.05


def test_wide_and_odd_frames():
    moved = puppet.dance(1, 25, seed=0)
    assert puppet.draw(ADA, moved, 48, 97).shape == (1, 48, 97, 3)
    # The figure is the same in a wider frame, only further from the left edge.
    near, wide = (puppet.pose(ADA, moved, 48, width) for width in (48, 96))
    np.testing.assert_allclose(wide[..., 0] - near[..., 0], 24, atol=1e-4)


def test_video_and_poses_as_files(tmp_path):
    from motion_jax.pose.files import read_poses
    from motion_jax.video.reader import read_frames

    moved = puppet.dance(5, 10, seed=0)
    video, poses = puppet.make_video(tmp_path / "ada", ADA, moved, 64, 64)
    frames = list(read_frames(video))
    assert [frame.image.shape for frame in frames] == [(64, 64, 3)] * 5
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    drawn = puppet.draw(ADA, moved, 64, 64)
    assert np.abs(frames[3].image.astype(int) - drawn[3]).mean() < 8
    track = read_poses(poses, moved.times, (64, 64), "largest")
    np.testing.assert_allclose(track.keypoints, puppet.pose(ADA, moved, 64, 64), atol=0.01)
