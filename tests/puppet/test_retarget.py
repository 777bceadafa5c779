"""Motion of a person on a character's bones: directions kept, lengths replaced, feet that stand."""

import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.pose.skeleton import INDEX
from motion_jax.puppet import bones
from motion_jax.puppet.bones import BONE, BONES, JOINT
from motion_jax.puppet.doll import make_doll
from motion_jax.puppet.retarget import NoBody, on_body, performance, slide
from motion_jax.puppet.stances import rest

FRAMES = 60


@pytest.fixture(scope="module")
def act():
    dance = puppet.dance(FRAMES, 25.0, 3)
    keypoints = puppet.pose(puppet.CHARACTERS["ada"], dance, 256, 256)
    return keypoints, performance(keypoints, dance.times)


def test_directions_are_the_persons(act):
    keypoints, found = act
    for name in ("right_upper_arm", "left_forearm", "right_thigh"):
        _, start, end = BONES[BONE[name]]
        line = keypoints[:, INDEX[end], :2] - keypoints[:, INDEX[start], :2]
        line = line / np.linalg.norm(line, axis=-1, keepdims=True)
        ours = found.stance.bones[:, BONE[name]]
        ours = ours / np.linalg.norm(ours, axis=-1, keepdims=True)
        assert (line * ours).sum(-1).min() > 0.999
    assert np.linalg.norm(found.stance.bones, axis=-1).max() < 1.2
    assert 0.6 * 256 < found.height < 1.1 * 256


def test_standing_feet_stand(act):
    _, found = act
    body = make_doll(4).body
    assert found.stands.mean() > 0.3

    def slid(stance, aside):
        place = (found.place[:, 0] / found.height + aside)[:, None] * [100.0, 0.0]
        return slide(bones.figure(body, stance, 100.0, place), found.stands)

    stance, aside = on_body(body, found)
    pinned, loose = slid(stance, aside), slid(found.stance, np.zeros(FRAMES))
    assert pinned < 0.25 * loose
    assert pinned < 0.002
    # Legs are not torn: bones keep at most their lengths.
    legs = [BONE[f"{side}_{part}"] for side in ("right", "left") for part in ("thigh", "shin")]
    assert np.linalg.norm(stance.bones[:, legs], axis=-1).max() < 1.0001


def test_feet_touch_the_floor_but_for_jumps(act):
    _, found = act
    body = make_doll(9).body
    stance, _ = on_body(body, found)
    joints = bones.figure(body, stance, 100.0, (0.0, 0.0)).joints
    lowest = joints[:, [JOINT["right_big_toe"], JOINT["left_big_toe"]], 1].max(1)
    assert lowest.max() < 2.5 and np.median(lowest) > -6


def test_gaps_are_filled_and_nobody_is_refused(act):
    keypoints, whole = act
    lost = keypoints.copy()
    lost[20:23] = 0
    found = performance(lost, np.arange(FRAMES) / 25)
    assert found.lost[20:23].all() and found.lost.sum() == 3
    assert np.abs(found.stance.bones - whole.stance.bones).max() < 0.8
    with pytest.raises(NoBody):
        performance(np.zeros((4, 137, 3), np.float32), np.arange(4) / 25)


def test_one_frame_and_a_body_without_legs(act):
    keypoints, _ = act
    one = keypoints[:1].copy()
    one[:, [10, 11, 13, 14]] = 0
    found = performance(one, np.zeros(1))
    assert not found.stands.any()
    stance, aside = on_body(make_doll(1).body, found)
    assert np.isfinite(stance.root[:, 1]).all() and np.isfinite(aside).all()
    resting = rest().bones[0, BONE["right_thigh"]]
    np.testing.assert_allclose(stance.bones[0, BONE["right_thigh"]], resting, atol=1e-6)
