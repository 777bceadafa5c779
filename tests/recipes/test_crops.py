"""Where the square around a face lies."""

import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.recipes.crops import crop_corners


@pytest.mark.parametrize(
    ("box", "corner", "seen"),
    [
        ((4, 10, 20, 30), (8, 16), 1),
        # Centres between two pixels go to the nearer one, and half-way ones further down and right.
        ((4, 10, 21.2, 30.8), (9, 16), 1),
        ((4, 10, 21, 31), (9, 17), 1),
        # Inside the picture, at its edges too.
        ((0, 0, 2, 2), (0, 0), 1),
        ((60, 60, 64, 64), (56, 56), 1),
        ((0, 0, 0, 0), (0, 0), 0),
    ],
)
def test_a_square_lies_around_the_boxs_centre(box, corner, seen):
    corners, found = crop_corners(jnp.asarray([box], jnp.float32), 8, 64, 64)
    np.testing.assert_array_equal(corners, [corner])
    np.testing.assert_array_equal(found, [seen])
