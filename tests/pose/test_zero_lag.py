"""The zero-lag filter: exact on parabolas, no lag, no sight across gaps; less noise on a dance."""

import dataclasses

import numpy as np
import pytest
from scipy.signal import savgol_filter

from motion_jax import puppet
from motion_jax.pose import zero_lag
from motion_jax.pose.smooth import fill_gaps, smooth_track
from motion_jax.pose.track import PoseTrack
from motion_jax.pose.zero_lag import local_parabola, zero_lag_track


def track(keypoints, reasons=None):
    return PoseTrack(
        keypoints=np.asarray(keypoints, np.float32),
        times=np.arange(len(keypoints)) / 25,
        size=(256, 256),
        reasons=tuple(reasons or [""] * len(keypoints)),
    )


def signal(values):
    return np.asarray(values, np.float64)[:, None, None]


def test_a_parabola_passes_unchanged_at_uneven_times_and_beside_gaps():
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.02, 0.06, 60))
    values = signal(3 + 2 * times - 4 * times**2)
    seen = rng.random((60, 1)) > 0.2
    result = local_parabola(values, times, seen, 0.08)
    np.testing.assert_allclose(result, values, atol=1e-9)


def test_it_is_savitzky_and_golays_filter_where_all_weights_are_equal(monkeypatch):
    """scipy's, away from the ends; a huge width with a small reach makes the Gaussian flat."""
    values = np.random.default_rng(1).normal(size=80)
    times = np.arange(80) / 25
    monkeypatch.setattr(zero_lag, "REACH", 3.2 / 25 / 1000)
    result = local_parabola(signal(values), times, np.ones((80, 1), bool), 1000.0)
    expected = savgol_filter(values, 7, 2)
    np.testing.assert_allclose(result[3:-3, 0, 0], expected[3:-3], rtol=1e-6, atol=1e-6)


def test_a_pulse_stays_where_it_is_and_is_mirrored_in_time():
    values = np.zeros(41)
    values[20] = 1
    times, seen = np.arange(41) / 25, np.ones((41, 1), bool)
    result = local_parabola(signal(values), times, seen)[:, 0, 0]
    np.testing.assert_allclose(result, result[::-1], atol=1e-12)
    assert result.argmax() == 20 and 0.2 < result[20] < 0.9


def test_long_gaps_part_and_unobserved_samples_neither_count_nor_change():
    values = np.concatenate([np.zeros(20), np.full(6, 99.0), np.ones(20)])
    seen = np.ones((46, 1), bool)
    seen[20:26] = False
    result = local_parabola(signal(values), np.arange(46) / 25, seen, 0.5, reset_after=5)
    np.testing.assert_allclose(result[:, 0, 0], values, atol=1e-9)
    joined = local_parabola(signal(values), np.arange(46) / 25, seen, 0.5, reset_after=6)
    assert abs(joined[19, 0, 0]) > 0.01 and joined[22, 0, 0] == 99
    # Three samples alone are not smoothed.
    few = np.zeros((46, 1), bool)
    few[[3, 4, 5]] = True
    noisy = signal(np.random.default_rng(0).normal(size=46))
    np.testing.assert_array_equal(local_parabola(noisy, np.arange(46) / 25, few), noisy)


def test_bad_times_and_widths_are_refused():
    seen = np.ones((3, 1), bool)
    with pytest.raises(ValueError, match="later than the last"):
        local_parabola(signal([1, 2, 3]), np.array([0, 1, 1]), seen)
    with pytest.raises(ValueError, match="width is 0"):
        local_parabola(signal([1, 2, 3]), np.array([0, 1, 2]), seen, 0.0)


def test_noise_on_a_dance_falls_below_what_one_euro_leaves_and_nothing_lags():
    truth = puppet.pose(puppet.CHARACTERS["ben"], puppet.dance(250, 25, 1), 256, 256)
    noisy = truth.copy()
    seen = truth[..., 2:] > 0
    noisy[..., :2] += seen * np.random.default_rng(0).normal(0, 1.5, truth[..., :2].shape)

    def error(mended):
        return np.linalg.norm((mended.keypoints - truth)[:, :25, :2], axis=-1).mean()

    smooth = zero_lag_track(track(noisy))
    assert error(smooth) < 0.95 * error(smooth_track(track(noisy))) < 0.8 * error(track(noisy))
    np.testing.assert_array_equal(smooth.keypoints[..., 2], noisy[..., 2])
    # What is left of the error has nothing to do with the speed: no lag.
    clean = zero_lag_track(track(truth)).keypoints[1:-1, :25, :2]
    speed = (truth[2:, :25, :2] - truth[:-2, :25, :2]) * 25 / 2
    lag = ((truth[1:-1, :25, :2] - clean) * speed).sum() / (speed**2).sum()
    assert abs(lag) < 1e-3


def test_filled_keypoints_are_interpolated_between_smoothed_ones():
    keypoints = np.zeros((30, 137, 3), np.float32)
    keypoints[:, 4] = 1
    keypoints[:, 4, 0] = np.random.default_rng(2).normal(50, 3, 30)
    keypoints[:, 4, 1] = 20
    keypoints[10:13] = 0
    raw = fill_gaps(track(keypoints, ["lost" if 10 <= n < 13 else "" for n in range(30)]), 5)
    smooth = zero_lag_track(raw)
    assert smooth.filled[10:13, 4].all()
    ends = smooth.keypoints[[9, 13], 4, 0]
    assert abs(ends - raw.keypoints[[9, 13], 4, 0]).min() > 1e-3
    np.testing.assert_allclose(
        smooth.keypoints[10:13, 4, 0], np.interp([10, 11, 12], [9, 13], ends), rtol=1e-5
    )
    empty = dataclasses.replace(raw, keypoints=np.zeros_like(keypoints), filled=None)
    assert zero_lag_track(empty) is empty


def test_few_frames_a_second_are_smoothed_too():
    keypoints = np.ones((40, 137, 3), np.float32)
    keypoints[..., :2] += np.random.default_rng(3).normal(50, 3, (40, 137, 2))
    slow = dataclasses.replace(track(keypoints), times=np.arange(40) / 5)
    smooth = zero_lag_track(slow).keypoints
    assert 0.3 < smooth[..., 0].std() / keypoints[..., 0].std() < 0.9
