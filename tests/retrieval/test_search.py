"""Exact nearest neighbours against numpy's brute force, with ties and missing points."""

import numpy as np
import pytest

from motion_jax.retrieval import search


def brute(queries: np.ndarray, database: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    every = ((queries[:, None].astype(np.float64) - database[None]) ** 2).sum(-1)
    order = np.argsort(every, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(every, order, 1), order


@pytest.mark.parametrize(
    ("count", "queries", "k"), [(1, 1, 1), (33, 5, 33), (700, 40, 7), (9000, 600, 3)]
)
def test_the_same_as_comparing_with_every_row(count, queries, k):
    random = np.random.default_rng(count)
    database = random.standard_normal((count, 6), np.float32)
    asked = random.standard_normal((queries, 6), np.float32)
    distances, indices = search.flat(asked, database, k)
    expected, order = brute(asked, database, k)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(distances, expected, rtol=1e-5, atol=1e-6)
    assert indices.dtype == np.int32 and distances.dtype == np.float32


def test_of_equal_rows_the_first():
    """Whole numbers far from the origin: the product's rounding hides which is nearer, and many
    rows are the same."""
    random = np.random.default_rng(0)
    database = 4000 + random.integers(0, 4, (10000, 5)).astype(np.float32)
    asked = database[random.integers(0, 10000, 20)]
    distances, indices = search.flat(asked, database, 40)
    expected, order = brute(asked, database, 40)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(distances, expected)


def test_points_that_are_missing_do_not_count():
    random = np.random.default_rng(1)
    points, asked = random.random((900, 8, 2)), random.random((30, 8, 2))
    seen, asked_seen = random.random((900, 8)) > 0.4, random.random((30, 8)) > 0.3
    distances, indices = search.masked(asked, asked_seen, points, seen, 5)
    both = asked_seen[:, None] & seen[None]
    square = ((asked[:, None] - points[None]) ** 2).sum(-1)
    common = both.sum(-1)
    mean = (square * both).sum(-1) / np.maximum(common, 1)
    mean[common < np.maximum(0.5 * asked_seen.sum(1)[:, None], 1)] = np.inf
    np.testing.assert_array_equal(indices, np.argsort(mean, axis=1, kind="stable")[:, :5])
    np.testing.assert_allclose(distances, np.sort(mean, axis=1)[:, :5], rtol=1e-5)


def test_the_same_poses_as_the_evaluation_finds():
    from motion_jax.pose.match import nearest

    random = np.random.default_rng(2)
    poses = random.random((400, 137, 3)).astype(np.float32) * [100, 100, 1]
    poses[random.random((400, 137)) > 0.7] = 0
    body = poses[:, :25]
    distances, indices = search.masked(
        body[:50, :, :2], body[:50, :, 2] > 0, body[50:, :, :2], body[50:, :, 2] > 0, 4
    )
    expected, order = nearest(poses[:50], poses[50:], k=4)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(np.sqrt(distances), expected, rtol=1e-4)


def test_nothing_in_common_is_infinitely_far():
    points, seen = np.ones((3, 4, 2)), np.eye(4, dtype=bool)[:3]
    distances, _ = search.masked(points[:1], ~seen[:1], points, seen, 3)
    assert np.isinf(distances).all()


def test_senseless_k():
    rows = np.zeros((3, 2), np.float32)
    for k in (0, 4):
        with pytest.raises(ValueError, match=f"k is {k}.*3 rows"):
            search.flat(rows, rows, k)
    assert search.flat(rows[:0], rows, 2)[0].shape == (0, 2)


@pytest.mark.parametrize("away", [0.0, 1000.0])
def test_few_rows_need_the_long_way(away, monkeypatch):
    """Ordinary rows, near the origin or far from it, are told apart by the blocks alone."""
    random = np.random.default_rng(3)
    database = random.standard_normal((20000, 10), np.float32) + np.float32(away)
    asked = random.standard_normal((60, 10), np.float32) + np.float32(away)
    every, calls = search._every, []
    monkeypatch.setattr(search, "_every", lambda *given: calls.append(1) or every(*given))
    _, indices = search.flat(asked, database, 5)
    assert len(calls) < 3
    np.testing.assert_array_equal(indices, brute(asked, database, 5)[1])
