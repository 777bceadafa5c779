import numpy as np
import pytest

from motion_jax.pose.skeleton import COUNT
from motion_jax.pose.smooth import fill_gaps, median_smooth, one_euro, runs, smooth_track
from motion_jax.pose.track import PoseTrack


def track(keypoints, reasons=None, times=None):
    count = len(keypoints)
    return PoseTrack(
        keypoints=np.asarray(keypoints, np.float32),
        times=np.arange(count) / 25 if times is None else times,
        size=(100, 100),
        reasons=tuple(reasons or [""] * count),
    )


def walking(count=12, missing=()):
    """All joints move right by 2 pixels a frame; (frame, joint) pairs are missing."""
    keypoints = np.ones((count, COUNT, 3), np.float32)
    keypoints[..., 0] = 10 + 2 * np.arange(count)[:, None] + np.arange(COUNT)
    keypoints[..., 1] = 20 + np.arange(COUNT)
    keypoints[..., 2] = 0.5 + 0.01 * np.arange(count)[:, None]
    for frame, joint in missing:
        keypoints[frame, joint] = 0
    return keypoints


def test_one_euro_published_values():
    """The authors' ground truth (casiez/OneEuroFilter, groundTruth.csv: 120 Hz, 1 Hz, beta 0.1)."""
    noisy = [-0.0385099, -0.0280664, 0.048622, 0.111498, 0.053026, 0.120548, 0.00972308, 0.074193,
             -0.0236801, 0.0462396, 0.0892027, 0.158329]  # fmt: skip
    filtered = [-0.0385099, -0.0379872, -0.0334427, -0.0252696, -0.0207099, -0.0119912,
                -0.0106507, -0.00526521, -0.00641239, -0.00308863, 0.00291027,
                0.0135545]  # fmt: skip
    result = one_euro(np.array(noisy), np.arange(12) / 120, 1.0, 0.1)
    np.testing.assert_allclose(result, filtered, atol=1e-6)


def test_one_euro_by_hand_with_uneven_times():
    values, times = [1.0, 3.0, 2.0], [0.0, 0.1, 0.3]

    def alpha(cutoff, period):
        return 1 / (1 + 1 / (2 * np.pi * cutoff * period))

    speed = alpha(1.5, 0.1) * (3 - 1) / 0.1
    first = 1 + alpha(0.7 + 0.2 * abs(speed), 0.1) * (3 - 1)
    speed += alpha(1.5, 0.2) * ((2 - first) / 0.2 - speed)
    second = first + alpha(0.7 + 0.2 * abs(speed), 0.2) * (2 - first)
    result = one_euro(np.array(values), np.array(times), 0.7, 0.2, 1.5)
    np.testing.assert_allclose(result, [1, first, second], rtol=1e-12)


def test_one_euro_missing_samples():
    values = np.array([1.0, 2.0, 99.0, 3.0, 4.0])
    times = np.arange(5) / 10
    seen = np.array([True, True, False, True, True])
    result = one_euro(values, times, observed=seen)
    # A missing sample changes nothing but the time until the next one.
    rest = one_euro(values[seen], times[seen])
    np.testing.assert_allclose(result[seen], rest)
    assert result[2] == 99
    # Missing for more frames than allowed: it begins anew.
    anew = one_euro(values, times, observed=seen, reset_after=0)
    np.testing.assert_allclose(anew[3:], one_euro(values[3:], times[3:]))
    np.testing.assert_allclose(one_euro(values, times, observed=seen, reset_after=1), result)


def test_one_euro_signals_are_independent():
    values = np.random.default_rng(0).normal(size=(9, 3, 2))
    seen = np.random.default_rng(1).random((9, 3, 1)) < 0.7
    times = np.cumsum([0.1, 0.2, 0.1] * 3)
    together = one_euro(values, times, 1, 0.5, observed=seen, reset_after=1)
    alone = one_euro(values[:, 1, 0], times, 1, 0.5, observed=seen[:, 1, 0], reset_after=1)
    np.testing.assert_array_equal(together[:, 1, 0], alone)


def test_one_euro_refuses_bad_times(unchecked):
    with pytest.raises(ValueError, match="times"):
        one_euro(np.zeros(3), np.array([0, 1, 1]))
    with pytest.raises(ValueError, match="3 samples"):
        one_euro(np.zeros(3), np.arange(2))


def test_smoothing_is_the_same_at_every_resolution_and_quietens():
    keypoints = walking(30)
    keypoints[..., :2] += np.random.default_rng(0).normal(0, 0.5, keypoints[..., :2].shape)
    smooth = smooth_track(track(keypoints)).keypoints
    large = smooth_track(track(keypoints * np.array([3, 3, 1]))).keypoints
    np.testing.assert_allclose(large[..., :2], 3 * smooth[..., :2], rtol=1e-5)
    np.testing.assert_array_equal(smooth[..., 2], keypoints[..., 2])

    def trembling(points):
        return np.square(np.diff(points[..., :2], 2, axis=0)).mean()

    assert trembling(smooth) < 0.5 * trembling(keypoints)
    truth = walking(30)[5:-5, :, 0]
    one_way = smooth_track(track(keypoints), zero_phase=False).keypoints[5:-5, :, 0]
    assert (one_way - truth).mean() < -0.25
    assert abs((smooth[5:-5, :, 0] - truth).mean()) < 0.1


def test_filled_values_are_not_filtered_as_if_measured():
    keypoints = walking(12, missing=[(5, 3), (6, 3)])
    keypoints[..., :2] += np.random.default_rng(0).normal(0, 0.5, keypoints[..., :2].shape)
    keypoints[5:7, 3] = 0
    filled = fill_gaps(track(keypoints), 3)
    assert filled.filled[5:7, 3].all() and filled.filled.sum() == 2
    smooth = smooth_track(filled).keypoints
    # As if they had been missing, then interpolated between the smooth neighbours.
    without = smooth_track(track(keypoints)).keypoints
    measured = ~filled.filled
    np.testing.assert_array_equal(smooth[measured], without[measured])
    expected = smooth[4, 3, 0] + (smooth[7, 3, 0] - smooth[4, 3, 0]) / 3
    assert smooth[5, 3, 0] == pytest.approx(expected, rel=1e-5)


def test_short_gaps_are_filled():
    keypoints = walking(12, missing=[(0, 7), (4, 3), (5, 3), (2, 9), (3, 9), (4, 9), (5, 9)])
    result = fill_gaps(track(keypoints), 3)
    # Linear, with the smaller confidence of the neighbours.
    np.testing.assert_allclose(result.keypoints[4, 3], [10 + 8 + 3, 23, 0.53], rtol=1e-5)
    assert result.filled[4:6, 3].all()
    # Four frames are too many, and nothing is before the first frame.
    assert (result.keypoints[2:6, 9] == 0).all() and (result.keypoints[0, 7] == 0).all()
    assert result.filled.sum() == 2
    # By time, not by frame.
    times = np.arange(12) / 25
    times[5:] += 1 / 25
    uneven = fill_gaps(track(walking(12, missing=[(4, 3)]), times=times), 3)
    assert uneven.keypoints[4, 3, 0] == pytest.approx(13 + 6 + 4 / 3, rel=1e-4)


def test_whole_frames_become_usable():
    keypoints = walking(14)
    reasons = [""] * 14
    for frame in (3, 4, 8, 9, 10, 13):
        keypoints[frame] = 5
        reasons[frame] = "lost"
    before = track(keypoints, reasons)
    assert runs(before) == [(0, 3), (5, 8), (11, 13)]
    after = fill_gaps(before, 2)
    assert runs(after) == [(0, 8), (11, 13)]
    assert runs(after, shortest=3) == [(0, 8)]
    # What stood in a rejected frame is no measurement.
    np.testing.assert_allclose(after.keypoints[3], walking(14)[3] * [1, 1, 0] + [0, 0, 0.52], 1e-4)
    assert after.filled[3:5].all() and not after.filled[8:11].any()
    assert (after.keypoints[8:11] == 0).all()
    assert after.reasons[8] == "lost" and before.reasons[3] == "lost"
    # Half of the body must come back: here the neighbours share one joint out of six.
    keypoints[5, 6:], keypoints[2, 1:] = 0, 0
    keypoints[2, 20:25] = 1
    assert (0, 3) in runs(fill_gaps(track(keypoints, reasons), 2))


def test_median_golden_values():
    first = np.array([(1, 2, 0.5), (0, 0, 0), (5, 6, 0.7)])[:, None]
    second = np.array([(1, 2, 0.5), (0, 0, 0), (0, 0, 0)])[:, None]
    np.testing.assert_allclose(median_smooth(first, 3), [[[3, 4, 0.6]]], rtol=1e-6)
    np.testing.assert_allclose(median_smooth(second, 3), [[[0, 0, 0]]])
    assert median_smooth(walking(12)).shape == (6, COUNT, 3)
    np.testing.assert_allclose(median_smooth(walking(12)), walking(12)[3:-3])
    with pytest.raises(ValueError, match="window of 7"):
        median_smooth(walking(5))
