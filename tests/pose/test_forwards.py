"""Poses of a live source: sides and bones put right, filtered forwards and held."""

import pickle

import numpy as np
import pytest
from test_sides import JOINTS, KINDS, danced, exchange, turning

from motion_jax import puppet
from motion_jax.errors import UserError
from motion_jax.pose.forwards import BONES_SECONDS, SETTLE, Forwards
from motion_jax.pose.options import PoseOptions
from motion_jax.pose.skeleton import INDEX, LEFT_HAND, RIGHT_HAND
from motion_jax.pose.smooth import OneEuro, one_euro, smooth_track
from motion_jax.pose.track import PoseTrack

FPS, SIZE = 25, 128


@pytest.fixture(scope="module")
def track() -> PoseTrack:
    """A dancer with noise."""
    poses = puppet.pose(puppet.CHARACTERS["ada"], puppet.dance(100, FPS, 2), SIZE, SIZE)
    noise = np.random.default_rng(0).normal(0, 0.7, (100, 137, 2))
    poses[..., :2] += np.where(poses[..., 2:] > 0, noise, 0)
    return PoseTrack(poses.astype(np.float32), np.arange(100) / FPS, (SIZE, SIZE), ("",) * 100)


def test_sample_by_sample_is_all_at_once():
    random = np.random.default_rng(0)
    values, times = random.normal(0, 1, (40, 3)), np.cumsum(random.uniform(0.01, 0.1, 40))
    seen = random.uniform(size=(40, 3)) > 0.4
    whole = one_euro(values, times, 2.0, 5.0, 1.0, seen, 2)
    running = OneEuro(2.0, 5.0, 1.0, 2)
    each = [running.step(*sample) for sample in zip(values, times, seen, strict=True)]
    np.testing.assert_array_equal(np.stack(each), whole)


def test_the_filter_is_the_one_way_filter_of_a_clip(track):
    """But for the person's size, which is measured over the first second alone."""
    whole = smooth_track(track, zero_phase=False).keypoints
    live = Forwards()
    shown = np.stack([live.next(t, p) for t, p in zip(track.times, track.keypoints, strict=True)])
    settled = track.times > SETTLE
    np.testing.assert_allclose(shown[settled], whole[settled], atol=0.01 * SIZE)
    raw, smooth = (np.diff(x[settled, 8, 0], 2).std() for x in (track.keypoints, shown))
    assert smooth < 0.7 * raw
    # Nothing of what comes later: the beginning of a clip gives the beginning of the result.
    live.reset()
    again = [live.next(t, p) for t, p in zip(track.times[:30], track.keypoints[:30], strict=True)]
    np.testing.assert_array_equal(np.stack(again), shown[:30])


def test_what_is_missing_is_held_for_a_while():
    pose = np.zeros((137, 3), np.float32)
    pose[:15] = (10, 20, 0.9)
    part = pose.copy()
    part[4] = 0
    live = Forwards(hold=2, smooth=False)
    np.testing.assert_array_equal(live.next(0.0, pose), pose)
    for i in (1, 2):
        np.testing.assert_array_equal(live.next(i / 25, part), pose)
    np.testing.assert_array_equal(live.next(3 / 25, part), part)
    # Nobody: the whole person is held, and then lost.
    np.testing.assert_array_equal(live.next(4 / 25, pose), pose)
    assert (live.next(5 / 25, None) == pose).all() and (live.next(6 / 25, None) == pose).all()
    assert live.next(7 / 25, None) is None
    np.testing.assert_array_equal(live.next(8 / 25, part), part)
    live.reset()
    assert live.next(0.0, None) is None, "the person is forgotten"


def shown(keypoints, live=None, first=0, **options):
    """Each pose as it is shown live; neither held nor smoothed."""
    live = live or Forwards(hold=0, smooth=False, **options)
    nothing = np.zeros((137, 3), np.float32)
    poses = (live.next((first + i) / FPS, pose) for i, pose in enumerate(keypoints))
    return np.stack([nothing if pose is None else pose for pose in poses])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limb", JOINTS)
@pytest.mark.parametrize("frames", [1, 7, 20])
def test_exchanged_limbs_are_put_right_at_once(limb, kind, frames):
    truth = danced("ben", 1, 60).astype(np.float32)
    wrong = truth.copy()
    exchange(wrong, limb, kind, slice(25, 25 + frames))
    assert (wrong != truth).any()
    np.testing.assert_array_equal(shown(wrong), truth)
    np.testing.assert_array_equal(shown(wrong, swaps=False, bones=False), wrong)


def test_an_exchange_behind_a_short_gap_is_seen_and_knees_that_stay_exchanged_are_believed():
    truth = danced("ben", 1, 400).astype(np.float32)
    wrong = truth.copy()
    exchange(wrong, "legs", KINDS[1], slice(100, 400))
    wrong[98:100] = 0
    result = shown(wrong, bones=False)
    np.testing.assert_array_equal(result[100:250], truth[100:250])
    np.testing.assert_array_equal(result[320:], wrong[320:])


def test_after_an_absence_nothing_is_known_of_knees_but_hips_are_as_the_shoulders():
    for kind, mended in ((KINDS[1], False), (KINDS[0], True)):
        truth = danced("ben", 1, 80).astype(np.float32)
        truth[20:40] = 0
        wrong = truth.copy()
        exchange(wrong, "legs", kind, slice(40, 80))
        result = shown(wrong, bones=False)
        np.testing.assert_array_equal(result, truth if mended else wrong)


@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_true_motion_stays_as_it_is(noise):
    """Legs that cross, a body that turns round, and dances."""
    for poses in (turning(), danced("ada", 2, 150), danced("ben", 3, 150)):
        moved = np.random.default_rng(0).normal(0, noise, poses[..., :2].shape)
        poses[..., :2] += moved * (poses[..., 2:] > 0)
        poses = poses.astype(np.float32)
        np.testing.assert_array_equal(shown(poses), poses)


def length(poses, a, b):
    return np.linalg.norm(poses[:, INDEX[a], :2] - poses[:, INDEX[b], :2], axis=-1)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_stretched_forearm_is_put_back_along_its_direction_with_its_hand(side):
    truth = danced("ada", 0, 80).astype(np.float32)
    wrong, wrist = truth.copy(), INDEX[f"{side}_wrist"]
    hand = LEFT_HAND if side == "left" else RIGHT_HAND
    other = RIGHT_HAND if side == "left" else LEFT_HAND
    bone = truth[60:64, wrist, :2] - truth[60:64, INDEX[f"{side}_elbow"], :2]
    far = 3 * bone
    wrong[60:64, wrist, :2] += far
    wrong[60:64, hand, :2] += far[:, None]
    result = shown(wrong, swaps=False)
    # Of the same length as its usual one, in the direction in which it was seen: nearly the truth.
    part, true = result[60:64], truth[60:64]
    lengths = length(part, f"{side}_wrist", f"{side}_elbow")
    assert (lengths < 1.4 * length(truth, f"{side}_wrist", f"{side}_elbow").max()).all()
    now = part[:, wrist, :2] - part[:, INDEX[f"{side}_elbow"], :2]
    cosine = (now * bone).sum(-1) / np.linalg.norm(now, axis=-1) / np.linalg.norm(bone, axis=-1)
    np.testing.assert_allclose(cosine, 1, atol=1e-4)
    moved = part[:, wrist, :2] - wrong[60:64, wrist, :2]
    np.testing.assert_allclose(
        part[:, hand, :2], wrong[60:64, hand, :2] + moved[:, None], atol=1e-3
    )
    np.testing.assert_array_equal(part[..., 2], true[..., 2])
    untouched = np.ones(137, bool)
    untouched[wrist] = untouched[hand] = False
    assert untouched[other].all()
    np.testing.assert_array_equal(part[:, untouched], true[:, untouched])
    np.testing.assert_array_equal(result[:60], truth[:60])
    np.testing.assert_array_equal(result[64:], truth[64:])
    np.testing.assert_array_equal(shown(wrong, swaps=False, bones=False), wrong)


def test_a_leg_torn_off_at_the_knee_comes_back_whole():
    truth = danced("ada", 0, 80).astype(np.float32)
    wrong = truth.copy()
    leg = [INDEX[f"left_{name}"] for name in ("knee", "ankle", "big_toe", "small_toe", "heel")]
    wrong[60, leg, 0] += 150
    result = shown(wrong, swaps=False)
    assert (
        length(result, "left_hip", "left_knee")[60]
        < 1.4 * length(truth, "left_hip", "left_knee").max()
    )
    # Its other bones keep their lengths and directions.
    for a, b in (("left_knee", "left_ankle"), ("left_ankle", "left_big_toe")):
        bone = [poses[60, INDEX[a], :2] - poses[60, INDEX[b], :2] for poses in (result, truth)]
        np.testing.assert_allclose(*bone, atol=1e-3)


def test_proportions_that_stay_are_believed():
    """Somebody with very long arms, or a puppet."""
    poses = danced("ada", 0, 150).astype(np.float32)
    for side in ("left", "right"):
        shoulder = poses[:, INDEX[f"{side}_shoulder"], :2].copy()
        for name in ("elbow", "wrist"):
            joint = INDEX[f"{side}_{name}"]
            poses[:, joint, :2] = shoulder + 3 * (poses[:, joint, :2] - shoulder)
    settled = round(FPS * BONES_SECONDS)
    np.testing.assert_array_equal(shown(poses)[settled:], poses[settled:])


def test_in_two_parts_it_is_as_in_one_and_its_memory_is_bounded():
    rng = np.random.default_rng(0)
    poses = danced("ada", 2, 190).astype(np.float32)
    for limb, start in (("legs", 10), ("arms", 90), ("legs", 140)):
        exchange(poses, limb, KINDS[0], slice(start, start + 9))
    poses[rng.integers(0, 190, 12), INDEX["left_wrist"], 0] += 200
    poses[170:175] = 0
    whole = shown(poses, Forwards())
    live = Forwards()
    parts = [shown(poses[a:b], live, a) for a, b in ((0, 130), (130, 131))]
    size = len(pickle.dumps(live))
    parts.append(shown(poses[131:], live, 131))
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert len(pickle.dumps(live)) < 1.02 * size
    live.reset()
    np.testing.assert_array_equal(shown(poses[:30], live), whole[:30])


def test_the_options_are_those_of_a_video():
    live = Forwards.of(PoseOptions(max_gap=3, smooth=False, swaps=False))
    assert (live.hold, live.smooth, live.swaps, live.bones) == (3, False, False, True)
    with pytest.raises(UserError, match="looks ahead.*use one-euro"):
        Forwards.of(PoseOptions(filter="zero-lag"))
    assert not Forwards.of(PoseOptions(filter="zero-lag", smooth=False)).smooth
