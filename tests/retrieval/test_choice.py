"""Which frame is shown: the rule with lambda, and dynamic programming against every way."""

import itertools

import numpy as np
import pytest

from motion_jax.retrieval.choice import path, thresholded
from motion_jax.retrieval.features import Points, between


def line(places) -> Points:
    """Poses of one point on a line."""
    places = np.asarray(places, np.float32)
    values = np.stack([places, np.zeros_like(places)], -1)[:, None]
    return Points(values, np.ones(values.shape[:2], bool))


def test_a_frame_is_kept_until_another_is_nearer_by_more_than_lambda():
    database = line([0.0, 1.0, 2.0])
    queries = line([0.1, 0.55, 0.75, 0.4, 2.1])
    nearest = np.array([0, 1, 1, 0, 2])
    # Nearest distances 0.1, 0.45, 0.25, 0.4, 0.1: the median is 0.25, so lambda is 0.25 times this.
    # 0.55: 0.45 < 0.55 - λ?  0.75: 0.25 < 0.75 - λ?  0.4 (from frame 1): 0.4 < 0.6 - λ?
    assert thresholded(queries, database, nearest, 0.0).tolist() == [0, 1, 1, 0, 2]
    assert thresholded(queries, database, nearest, 0.5).tolist() == [0, 0, 1, 0, 2]
    assert thresholded(queries, database, nearest, 1.0).tolist() == [0, 0, 1, 1, 2]
    assert thresholded(queries, database, nearest, 100.0).tolist() == [0] * 5


def test_as_near_is_not_nearer():
    database = line([0.0, 1.0])
    assert thresholded(line([0.0, 0.5]), database, np.array([0, 1]), 0.0).tolist() == [0, 0]


def cost(way, distances, candidates, database, following, jump) -> float:
    total = sum(distances[t, c] for t, c in enumerate(way))
    for t in range(1, len(way)):
        before, here = candidates[t - 1, way[t - 1]], candidates[t, way[t]]
        total += jump * float(between(database[[following[before]]], database[[here]])[0])
    return total


@pytest.mark.parametrize("jump", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_no_way_is_cheaper(seed, jump):
    random = np.random.default_rng(seed)
    database = Points(random.random((12, 3, 2), np.float32), random.random((12, 3)) > 0.2)
    database.seen[:, 0] = True
    following = np.minimum(np.arange(12) + 1, 11)
    candidates = np.stack([random.permutation(12)[:4] for _ in range(5)])
    distances = np.sort(random.random((5, 4)), axis=1)
    args = distances, candidates, database, following, jump
    costs = {way: cost(way, *args) for way in itertools.product(range(4), repeat=5)}
    best = min(costs, key=costs.get)
    found = path(*args)
    number = tuple(int(np.flatnonzero(candidates[t] == f)[0]) for t, f in enumerate(found))
    assert costs[number] == pytest.approx(costs[best], abs=1e-6)
    if jump == 0:
        assert number == (0,) * 5, "without a cost of jumps: the nearest each time"


def test_what_was_filmed_in_a_row_is_preferred():
    database = line([0.0, 1.0, 2.0, 0.0, 5.0, 2.0])
    following = np.array([1, 2, 2, 4, 5, 5])
    candidates = np.array([[3, 0], [1, 4], [5, 2]])
    distances = np.array([[0.10, 0.11], [0.0, 4.0], [0.10, 0.11]])
    assert path(distances, candidates, database, following, 0.0).tolist() == [3, 1, 5]
    # 3 goes on with 4, which is far from 1; 0 goes on with 1. 2 and 5 are the same pose.
    assert path(distances, candidates, database, following, 1.0).tolist() == [0, 1, 5]


def test_one_moment_and_infinite_distances():
    database = line([0.0, 1.0])
    following = np.array([1, 1])
    assert path(np.array([[0.5, 0.6]]), np.array([[1, 0]]), database, following, 1.0).tolist() == [
        1
    ]
    far = np.array([[np.inf, 0.6]])
    assert path(far, np.array([[1, 0]]), database, following, 1.0).tolist() == [0]
