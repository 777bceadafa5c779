"""The sliced Wasserstein distance of two sets of pictures."""

import cv2
import numpy as np
import pytest

from motion_jax.metrics.sliced import sliced_wasserstein


def _scenes(count: int, seed: int, sharp: float = 1.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        picture = np.full((48, 48, 3), (40, 90, 60), np.uint8)
        x, y = random.integers(10, 38, 2).tolist()
        cv2.circle(picture, (x, y), 8, (220, 150, 90), -1)
        pictures.append(cv2.GaussianBlur(picture, (0, 0), sharp))
    return np.stack(pictures)


def test_other_pictures_of_the_same_kind_are_nearest():
    real, same = _scenes(24, 0), _scenes(24, 1)
    blurred, tinted = _scenes(24, 2, 4.0), np.clip(_scenes(24, 3) * 0.8 + 10, 0, 255)
    near = sliced_wasserstein(same, real)
    assert near < 0.3 * sliced_wasserstein(blurred, real)
    assert near < 0.3 * sliced_wasserstein(tinted.astype(np.uint8), real)
    assert sliced_wasserstein(same, real) == near


def test_a_set_has_no_distance_from_itself_and_sets_may_differ_in_size():
    real = _scenes(8, 0)
    assert sliced_wasserstein(real[:6], real) < 0.15
    with pytest.raises(ValueError, match="holds no picture"):
        sliced_wasserstein(real[:0], real)
    with pytest.raises(ValueError, match="pictures of"):
        sliced_wasserstein(real[:, :40], real)
