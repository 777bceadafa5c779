"""The tests check annotated shapes: a wrong one is found where it is handed over."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from motion_jax.pose.skeleton import flip, scaled
from motion_jax.pose.track import PoseTrack


def test_a_wrong_shape_is_found():
    with pytest.raises(TypeCheckError, match="keypoints"):
        flip(np.zeros((4, 136, 3), np.float32), 64)
    assert flip(np.zeros((4, 137, 3), np.float32), 64).shape == (4, 137, 3)


def test_two_arrays_of_one_dataclass_have_one_length():
    with pytest.raises(TypeCheckError, match="times"):
        PoseTrack(np.zeros((4, 137, 3), np.float32), np.zeros(3), (48, 64), ("",) * 4)


def test_a_test_can_do_without(unchecked):
    assert scaled([[1.0, 2.0, 1.0]], 2, 2).tolist() == [[2.0, 4.0, 1.0]]
