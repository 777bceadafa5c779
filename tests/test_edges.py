"""Canny edges on the device against OpenCV's."""

import cv2
import numpy as np
import pytest

from motion_jax.nets import edges


def _pictures() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (41, 53, 3), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    smooth = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)
    shapes = np.full((64, 48, 3), 40, np.uint8)
    cv2.ellipse(shapes, (24, 30), (15, 22), 20, 0, 360, (200, 120, 90), -1)
    cv2.rectangle(shapes, (4, 4), (20, 50), (90, 60, 250), 1)
    dark = (shapes // 40).astype(np.uint8)
    return [noise, smooth, shapes, cv2.GaussianBlur(shapes, (0, 0), 2), dark, noise // 2 + 127]


@pytest.mark.parametrize("number", range(6))
def test_edges_are_those_of_opencv(number):
    picture = _pictures()[number]
    level = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(edges.grey(picture), level)
    median = np.median(level)
    wanted = cv2.Canny(level, 2 / 3 * median, min(4 / 3 * median, 255)) > 0
    found = np.asarray(edges.canny(picture))
    np.testing.assert_array_equal(found, wanted)
    # Not of the pictures that have none.
    assert found.any() or number in (4, 5)


def test_each_picture_of_a_batch_has_its_own_thresholds():
    pictures = np.stack([cv2.resize(p, (40, 40)) for p in _pictures()])
    together = np.asarray(edges.canny(pictures))
    for picture, found in zip(pictures, together, strict=True):
        np.testing.assert_array_equal(found, np.asarray(edges.canny(picture)))
