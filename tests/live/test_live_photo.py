"""Where the camera is looked at for a photo."""

import numpy as np

from motion_jax.live.photo import Where
from motion_jax.pose.skeleton import FACE

IMAGE = np.zeros((120, 160, 3), np.uint8)


def face(x, y):
    pose = np.zeros((137, 3), np.float32)
    points = np.random.default_rng(0).uniform(-10, 10, pose[FACE].shape[0:1] + (2,))
    pose[FACE] = np.concatenate([points + [x, y], np.ones((len(points), 1))], axis=1)
    return pose


def test_the_cut_is_that_of_the_first_face_until_it_is_forgotten():
    seen = iter([None, np.zeros((137, 3), np.float32), face(60, 50), face(100, 60)])
    where = Where("face", (32, 32), lambda image, time: next(seen))
    assert where.next(IMAGE, 0.0) is None
    assert where.next(IMAGE, 0.1) is None  # Somebody, but no face.
    first = where.next(IMAGE, 0.2)
    assert first.left < 50 < 70 < first.left + first.width and first.width == first.height
    assert where.next(IMAGE, 0.3) is first
    where.forget()
    assert where.next(IMAGE, 0.4).left > first.left


def test_without_a_cut_the_middle_counts():
    region = Where("none", (32, 32), None).next(IMAGE, 0.0)
    assert (region.left, region.top, region.width, region.height) == (20, 0, 120, 120)


def test_a_face_too_small_is_looked_for_again():
    small = face(60, 50)
    small[..., :2] = 60 + 0.05 * (small[..., :2] - 60)
    seen = iter([small, face(60, 50)])
    where = Where("face", (32, 32), lambda image, time: next(seen))
    assert where.next(IMAGE, 0.0) is None
    assert where.next(IMAGE, 0.1) is not None
