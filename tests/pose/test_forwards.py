"""Poses of a live source: filtered forwards and held."""

import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.pose.forwards import SETTLE, Forwards
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
