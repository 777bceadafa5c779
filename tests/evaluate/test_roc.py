"""The ROC curve, against a case that is worked out by hand."""

import numpy as np
import pytest

from motion_jax.metrics import roc

# Of the four pairs of a positive and a negative example three are in order and one is a tie.
SCORES = np.array([0.9, 0.8, 0.8, 0.3])
POSITIVE = np.array([True, False, True, False])


def test_area_counts_ties_half():
    assert roc.area(SCORES, POSITIVE) == 3.5 / 4
    assert roc.area(-SCORES, POSITIVE) == 0.5 / 4


def test_curve_passes_equal_scores_together():
    false, true = roc.curve(SCORES, POSITIVE)
    np.testing.assert_array_equal(false, [0, 0, 0.5, 1])
    np.testing.assert_array_equal(true, [0, 0.5, 1, 1])


def test_found_at_a_rate_of_false_alarms():
    assert roc.found_at(SCORES, POSITIVE, 0.05) == 0.5
    assert roc.found_at(SCORES, POSITIVE, 0.5) == 1.0


def test_one_class_alone_has_no_curve():
    with pytest.raises(ValueError, match="both classes"):
        roc.area(SCORES, np.ones(4, bool))
