"""What poses are compared by: masks, medians, and angles that know no size."""

import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.retrieval.features import LIMBS, between, nearest, points, with_medians


@pytest.fixture(scope="module")
def poses() -> np.ndarray:
    return puppet.pose(puppet.CHARACTERS["ben"], puppet.dance(30, 25, 0), 128, 128)


def test_seventeen_limbs_are_a_tree():
    joints = {0, 1, *range(2, 8), *range(9, 19)}
    assert len(LIMBS) == 17 and {j for limb in LIMBS for j in limb} == joints
    reached = {1}
    for _ in LIMBS:
        reached |= {b for a, b in LIMBS if a in reached}
    assert reached == joints


def test_angles_know_neither_size_nor_place_nor_limbs(poses):
    changed = poses * np.float32([1.7, 1.7, 1])
    changed[..., 0] += 40 * (poses[..., 2] > 0)
    # A longer right forearm, with the wrist alone beyond it.
    longer = changed.copy()
    longer[:, 4, :2] += 0.8 * (changed[:, 4, :2] - changed[:, 3, :2])
    original = points(poses, "angles", 128)
    for other in (changed, longer):
        np.testing.assert_allclose(between(original, points(other, "angles", 128)), 0, atol=1e-5)
    assert between(points(poses, "joints", 128), points(longer, "joints", 128)).min() > 0.05


def test_the_distance_of_angles(poses):
    """One arm turned by θ: the mean over the 17 limbs of 2 (1 - cos θ)."""
    turned, theta = poses.copy(), 0.4
    arm = poses[:, 4, :2] - poses[:, 3, :2]
    turn = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
    turned[:, 4, :2] = poses[:, 3, :2] + arm @ turn.T
    a, b = points(poses, "angles", 128), points(turned, "angles", 128)
    expected = np.sqrt(2 * (1 - np.cos(theta)) / a.seen.sum(1))
    np.testing.assert_allclose(between(a, b), expected, rtol=1e-4)


def test_wide_pixels_are_set_right(poses):
    squashed = poses * np.float32([0.5, 1, 1])
    original = points(poses, "angles", 128)
    np.testing.assert_allclose(
        between(original, points(squashed, "angles", 128, aspect=2.0)), 0, atol=1e-5
    )
    assert between(original, points(squashed, "angles", 128)).mean() > 0.1


def test_missing_joints_are_masked(poses):
    """A joint that is missing does not change which pose is nearest; at (0, 0) it would."""
    database = points(poses, "joints", 128)
    asked = poses.copy()
    asked[:, 4] = asked[:, 11] = 0
    distances, indices = nearest(points(asked, "joints", 128), database, 2)
    np.testing.assert_array_equal(indices[:, 0], np.arange(30))
    assert not distances[:, 0].any() and (distances[:, 1] > 0).all()


def test_missing_joints_at_their_median(poses):
    shown = poses.copy()
    shown[3:6, 4] = 0
    shown[:, 24] = 0
    filled, count = with_medians(shown)
    assert count == 3
    rest = np.delete(poses[:, 4, :2], [3, 4, 5], axis=0)
    np.testing.assert_allclose(filled[3:6, 4, :2], [np.median(rest, axis=0)] * 3)
    assert (filled[3:6, 4, 2] > 0).all()
    np.testing.assert_array_equal(filled[:, 24], 0)
    untouched = np.ones(poses.shape[:2], bool)
    untouched[3:6, 4] = untouched[:, 24] = False
    np.testing.assert_array_equal(filled[untouched], poses[untouched])


def test_poses_with_too_little_in_common_are_compared_all_the_same(poses):
    """Only a hand was seen of the query: no pose shares half of the rest's joints."""
    asked, database = poses[:1].copy(), poses.copy()
    asked[:, 4:] = 0
    database[:, :3] = 0
    distances, indices = nearest(points(asked, "joints", 128), points(database, "joints", 128), 3)
    assert np.isfinite(distances).all() and len(set(indices[0].tolist())) == 3
