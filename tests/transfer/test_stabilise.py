"""Steadied poses and aligned pictures."""

import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.errors import UserError
from motion_jax.pose.skeleton import BODY
from motion_jax.transfer.options import TransferOptions
from motion_jax.transfer.source import Moment
from motion_jax.transfer.stabilise import (
    MARGIN,
    face_aligned,
    jitter,
    shifted,
    steadied,
    trunk,
    which_way,
)

SIZE, FPS = 128, 25


@pytest.fixture(scope="module")
def dance() -> tuple[np.ndarray, np.ndarray]:
    """(keypoints of a drawn dancer, seconds)."""
    poses = puppet.pose(puppet.CHARACTERS["ada"], puppet.dance(100, FPS, 2), SIZE, SIZE)
    return poses, np.arange(100) / FPS


def test_trembling_goes_and_motion_stays(dance):
    poses, times = dance
    noisy = poses.copy()
    noisy[..., :2] += np.random.default_rng(0).normal(0, 1, (100, 1, 2))
    steady = steadied(noisy, times, np.zeros(100, bool), SIZE, SIZE)
    assert jitter(steady) < 0.25 * jitter(noisy)
    truth, path = trunk(poses)[0], trunk(steady)[0]
    error = np.sqrt(((path - truth) ** 2).sum(-1).mean())
    assert error < 0.7 * np.sqrt(((trunk(noisy)[0] - truth) ** 2).sum(-1).mean())
    # Each pose moves as a whole.
    moved = steady[..., :2] - noisy[..., :2]
    seen = noisy[..., 2] > 0
    for one, mask in zip(moved, seen, strict=True):
        assert np.ptp(one[mask], axis=0).max() < 1e-4
    assert not steady[~seen].any()


def test_a_person_comes_back_into_the_picture(dance):
    poses, times = dance
    away = poses.copy()
    seen = away[..., 2] > 0
    away[..., 0] += np.where(seen, np.linspace(0, 70, 100)[:, None], 0).astype(np.float32)
    steady = steadied(away, times, np.zeros(100, bool), SIZE, SIZE)
    body = steady[:, BODY]
    inside = body[..., 2] > 0
    assert away[:, BODY, 0][inside].max() > SIZE
    assert body[..., 0][inside].max() <= SIZE * (1 - MARGIN) + 1e-3
    assert body[..., 0][inside].min() >= 0
    # Slowly: the correction itself does not tremble.
    correction = np.array([np.median((a - b)[m, 0]) for a, b, m in zip(away, steady, seen,
                                                                        strict=True)])  # fmt: skip
    assert np.abs(np.diff(correction)).max() < 4


def test_lost_frames_stay_and_part_what_is_beside_them(dance):
    poses, times = dance
    lost = np.zeros(100, bool)
    lost[40:45] = True
    given = poses.copy()
    given[lost] = 0
    together = steadied(given, times, lost, SIZE, SIZE)
    assert not together[lost].any()
    np.testing.assert_array_equal(
        together[45:], steadied(given[45:], times[45:], lost[45:], SIZE, SIZE)
    )


def test_the_face_stays_where_the_first_picture_has_it():
    pictures = np.zeros((4, 20, 24, 3), np.uint8)
    keypoints = np.zeros((4, 137, 3), np.float32)
    for i, (x, y) in enumerate([(10, 6), (13, 4), (2, 9), (2, 9)]):
        pictures[i] = 10 * (i + 1)
        pictures[i, y, x] = 255
        pictures[i, :, -1] = 77
        if i != 3:
            keypoints[i, 0] = (x, y, 1)
    moments = [Moment(0.0, {"keypoints": pose}) for pose in keypoints]
    made = [picture for _, picture in face_aligned(zip(moments, pictures, strict=True))]
    for i, picture in enumerate(made):
        assert (picture[6, 10] == 255).all(), i
        assert picture.shape == pictures[i].shape
    # Shifted to the left, the last column fills the gap.
    assert (made[1][2:, -4:] == 77).all() and (made[1][3, :20] == 20).all()


def test_shifting_repeats_the_edge():
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
    padded = np.pad(picture, 2, mode="edge")
    for down in (-2, 0, 1):
        for right in (-1, 0, 2):
            wanted = padded[2 - down : 5 - down, 2 - right : 6 - right]
            np.testing.assert_array_equal(shifted(picture, down, right), wanted)


def test_which_way_is_taken(tmp_path):
    def of(recurrent, posed=True, **settings):
        options = TransferOptions(tmp_path, tmp_path / "out.mp4", **settings)
        return which_way(options, single_frames=not recurrent, has_poses=posed)

    assert of(False) == "pose" and of(True) == "none"
    assert of(False, smooth=False) == "none" and of(False, posed=False) == "none"
    assert of(True, stabilise="pose") == "pose" and of(False, stabilise="none") == "none"
    with pytest.raises(UserError, match="stabilise face needs to know where the person is"):
        of(False, posed=False, stabilise="face")
