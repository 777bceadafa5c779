"""Pictures between pictures, and several blended into one."""

import cv2
import numpy as np
import pytest

from motion_jax.retrieval.flow import Between, blend, flow, warp


def blob(x: float, size: int = 96) -> np.ndarray:
    """A textured disc at x on a dark ground."""
    v, u = np.mgrid[0:size, 0:size].astype(np.float32)
    inside = (np.hypot(u - x, v - 48) < 16)[..., None]
    pattern = np.stack(
        [127 + 100 * np.sin((u - x) * k) * np.cos(v * k) for k in (0.3, 0.4, 0.5)], -1
    )
    return cv2.GaussianBlur(np.where(inside, pattern, 20).astype(np.uint8), (0, 0), 1)


def psnr(a, b) -> float:
    return 10 * np.log10(255**2 / np.square(a.astype(float) - b).mean())


def test_half_way_the_disc_is_half_way():
    a, b = blob(40), blob(48)
    middle = Between(a, b)(0.5)
    assert psnr(middle, blob(44)) > psnr(cv2.addWeighted(a, 0.5, b, 0.5, 0), blob(44)) + 6
    assert psnr(Between(a, b)(0.25), blob(42)) > psnr(middle, blob(42))


def test_what_flow_cannot_follow_is_shown_once():
    """A disc that jumps across the picture: one of the two, never both half transparent."""
    a, b = blob(20), blob(76)
    between = Between(a, b)
    for t, shown in ((0.3, a), (0.7, b)):
        picture = between(t)
        faded = cv2.addWeighted(a, 1 - t, b, t, 0)
        inside = (np.abs(a.astype(int) - b) > 60).any(-1)
        assert psnr(picture[inside], shown[inside]) > psnr(faded[inside], shown[inside]) + 5


def test_the_ends_are_the_pictures():
    a, b = blob(40), blob(48)
    between = Between(a, b)
    assert between(0) is a and between(1) is b
    assert Between(a, a)(0.3) is a, "a frame that is held is not made anew"


def test_flow_says_where_things_went():
    found = flow(blob(40), blob(44))
    np.testing.assert_allclose(np.median(found[40:56, 34:46], axis=(0, 1)), [4, 0], atol=0.6)
    np.testing.assert_array_equal(warp(blob(40), np.zeros((96, 96, 2), np.float32)), blob(40))


def test_several_meet_in_their_mean():
    pictures = [blob(40), blob(46)]
    mixed = blend(pictures, [1, 1])
    assert (
        psnr(mixed, blob(43))
        > psnr(cv2.addWeighted(*[pictures[0], 0.5, pictures[1], 0.5, 0]), blob(43)) + 5
    )
    nearer = blend(pictures, [5, 1])
    assert psnr(nearer, blob(41)) > psnr(mixed, blob(41))
    assert blend(pictures, [1, 0]) is pictures[0]


def test_pictures_too_small_for_flow_are_faded():
    a, b = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 16, np.uint8)
    assert Between(a, b)(0.5).mean() == pytest.approx(8, abs=0.6)
