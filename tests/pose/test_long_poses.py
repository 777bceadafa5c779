"""Poses of long videos: the same result as of short ones, in memory that does not grow."""

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.pose import long_arrays
from motion_jax.pose.estimate import load_track, save_track
from motion_jax.pose.mend import mend
from motion_jax.pose.normalize import fit_target
from motion_jax.pose.select import follow
from motion_jax.pose.track import PoseTrack
from motion_jax.transfer.fit import Body, fit_clip
from motion_jax.transfer.stabilise import steadied

# Megabytes by which memory may grow from 5,000 frames to 20,000. As float32 their poses take 25
# more.
GROWTH = 12


@pytest.fixture
def small(monkeypatch):
    """Everything lies in files, and windows are short."""

    def make(window: int) -> None:
        monkeypatch.setattr(long_arrays, "IN_MEMORY", 1)
        monkeypatch.setattr(long_arrays, "WINDOW", window)

    return make


@pytest.fixture(scope="module")
def track() -> PoseTrack:
    """Somebody who sways, with holes, exchanged arms, a bone too long, and lost frames."""
    rng = np.random.default_rng(5)
    count = 90
    times = np.cumsum(rng.uniform(0.02, 0.06, count))
    keypoints = np.zeros((count, 137, 3), np.float32)
    keypoints[..., :2] = rng.uniform(20, 200, (137, 2)) + rng.normal(0, 1, (count, 137, 2))
    keypoints[..., 0] += 30 * np.sin(times)[:, None]
    keypoints[..., 2] = rng.uniform(0.3, 1, (count, 137))
    for first in (3, 30, 31, 60):
        keypoints[first : first + 3, rng.integers(137, size=40)] = 0
    keypoints[40:43, [3, 4]], keypoints[40:43, [6, 7]] = (
        keypoints[40:43, [6, 7]],
        keypoints[40:43, [3, 4]].copy(),
    )
    keypoints[50, 4, 0] += 900
    reasons = [""] * count
    for frame in (16, 17, 70):
        keypoints[frame], reasons[frame] = 0, "lost"
    filled = (rng.random((count, 137)) < 0.05) & (keypoints[..., 2] > 0)
    return PoseTrack(keypoints, times, (240, 320), tuple(reasons), {}, filled)


def everything(track: PoseTrack) -> list[np.ndarray]:
    results = []
    body = Body((64, 64), fit_target(track.keypoints[:9]), (240, 320))
    for filter in ("one-euro", "zero-lag"):
        mended, repairs = mend(track, filter=filter, max_gap=4)
        results += [mended.keypoints, mended.filled, np.array(str((repairs, mended.reasons)))]
    for method in ("global", "limbs", "none"):
        clip = fit_clip(mended, body, method)
        steady = steadied(clip.keypoints, clip.times, clip.lost, 64, 64)
        results += [clip.keypoints, clip.boxes, steady, np.array(clip.how)]
        results += [moment.keypoints for moment in clip.moments()]
    return [np.array(result) for result in results]


def test_windows_change_nothing(track, small):
    whole = everything(track)
    for window in (1, 7, 64):
        small(window)
        for one, other in zip(whole, everything(track), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("people", [1, 2])
def test_following_from_a_file(track, small, people):
    frames = [[pose] * int((pose[:, 2] > 0).any()) for pose in track.keypoints]
    if people == 2:
        beside = np.array([400, 0, 0], np.float32)
        frames = [[*poses, *(pose + beside for pose in poses)] for poses in frames]
    found, reasons, most = follow(frames, "leftmost", "x")
    # Beside somebody else, the frame of the long bone leaves it open who is who.
    assert most == people and reasons.count("") == 88 - people
    np.testing.assert_array_equal(found[list(map(bool, reasons))], 0)
    usable = [not reason for reason in reasons]
    np.testing.assert_array_equal(found[usable], track.keypoints[usable])
    small(7)
    again, same, _ = follow(iter(frames), "leftmost", "x")
    np.testing.assert_array_equal(found, again)
    assert reasons == same


@pytest.mark.parametrize("has_filled", [True, False])
def test_the_cache_holds_what_numpy_would_write(track, small, tmp_path, has_filled):
    track = track if has_filled else dataclasses.replace(track, filled=None)
    small(7)
    save_track(tmp_path / "a.npz", track)
    with np.load(tmp_path / "a.npz") as stored:
        np.testing.assert_array_equal(stored["keypoints"], track.keypoints)
        np.savez_compressed(tmp_path / "b.npz", **stored)
    for name in ("a.npz", "b.npz"):
        read = load_track(tmp_path / name)
        np.testing.assert_array_equal(read.keypoints, track.keypoints)
        assert read.reasons == track.reasons and (read.filled is not None) == has_filled
        if has_filled:
            np.testing.assert_array_equal(read.filled, track.filled)
    damaged = bytearray((tmp_path / "a.npz").read_bytes())
    damaged[200] ^= 1
    (tmp_path / "c.npz").write_bytes(damaged)
    assert load_track(tmp_path / "c.npz") is None


def test_released_pages_keep_their_values(small):
    small(3)
    array = long_arrays.zeros((10, 2), np.float64)
    for window in long_arrays.windows(array):
        array[window] = window.start
    long_arrays.release(array[2:, 1], None, "other", np.ones(3))
    assert array[:, 1].tolist() == [0, 0, 0, 3, 3, 3, 6, 6, 6, 9]
    assert [w.start for w in long_arrays.windows(array, backwards=True)] == [9, 6, 3, 0]
    assert [row[0] for row in long_arrays.rows(array)] == array[:, 0].tolist()
    assert list(long_arrays.windows(np.zeros(0))) == [slice(0, 0)]


def test_a_full_disk_is_one_sentence(small, monkeypatch):
    class Full:
        def __init__(self, **_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def write(self, _):
            raise OSError(28, "No space left on device")

    small(3)
    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    with pytest.raises(UserError, match="disk is full"):
        long_arrays.zeros((4, 4))


@pytest.mark.parametrize("kind", ["files", "estimated"])
def test_memory_does_not_grow_with_the_length(kind, tmp_path):
    program = Path(__file__).with_name("long_poses.py")
    peaks = []
    for count in (5_000, 20_000):
        done = subprocess.run(
            [sys.executable, program, kind, str(count), tmp_path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        peaks.append(float(done.stdout))
    assert peaks[1] - peaks[0] < GROWTH, peaks
