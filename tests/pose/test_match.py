import numpy as np
import pytest

from motion_jax.pose import match
from motion_jax.pose.match import nearest


def poses(count, seed, missing=0.0):
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(0, 100, (count, 137, 3)).astype(np.float32)
    keypoints[rng.random((count, 137)) < missing] = 0
    return keypoints


def brute_force(queries, database, least_common=0.5):
    result = np.full((len(queries), len(database)), np.inf)
    for i, query in enumerate(queries[:, :25]):
        for j, pose in enumerate(database[:, :25]):
            both = (query[:, 2] > 0) & (pose[:, 2] > 0)
            if both.sum() >= max(1, least_common * (query[:, 2] > 0).sum()):
                apart = np.square(query[both, :2] - pose[both, :2]).sum(1)
                result[i, j] = np.sqrt(apart.mean())
    return result


def test_exact_over_several_blocks(monkeypatch):
    monkeypatch.setattr(match, "_QUERIES", 4)
    monkeypatch.setattr(match, "_DATABASE", 16)
    queries, database = poses(6, 0, 0.3), poses(37, 1, 0.3)
    distances, indices = nearest(queries, database, k=3)
    expected = brute_force(queries, database)
    order = np.argsort(expected, axis=1, kind="stable")[:, :3]
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(distances, np.take_along_axis(expected, order, 1), rtol=1e-5)


def test_ties_absences_and_limits():
    database = poses(5, 0)
    database[3] = database[1]
    distances, indices = nearest(database[1:2], database, k=2)
    assert indices.tolist() == [[1, 3]] and distances.tolist() == [[0, 0]]
    # One joint in common, at the same place, is not the nearest pose.
    lonely = np.zeros((1, 137, 3), np.float32)
    lonely[0, 4] = database[1, 4]
    distances, indices = nearest(database[1:2], np.concatenate([lonely, database[2:3]]), k=2)
    assert indices[0, 0] == 1 and np.isinf(distances[0, 1])
    with pytest.raises(ValueError, match="k is 6"):
        nearest(database, database, k=6)


def test_normalised_ignores_place_and_size():
    query, database = poses(1, 0), poses(4, 1)
    database[2] = query[0] * np.array([0.5, 0.5, 1]) + np.array([200, 30, 0])
    distances, indices = nearest(query, database, normalise=True)
    assert indices.item() == 2 and distances.item() < 1e-4
    assert nearest(query, database)[1].item() != 2


def test_unmasked_takes_missing_joints_as_the_origin():
    query, database = poses(2, 0, 0.5), poses(3, 1, 0.5)
    distances, _ = nearest(query, database, masked=False)
    plain = [(p[:, :25, :2] * (p[:, :25, 2:] > 0)).reshape(len(p), -1) for p in (query, database)]
    expected = np.linalg.norm(plain[0][:, None] - plain[1][None], axis=-1).min(1) / 5
    np.testing.assert_allclose(distances[:, 0], expected, rtol=1e-5)
