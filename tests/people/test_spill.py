"""A run's own background, taken out of its people's edges."""

import cv2
import numpy as np

from motion_jax.transfer.spill import Spill

SIDE, PERSON, WALL = 96, (20, 20, 24), (40, 60, 200)


def before(picture, background):
    alpha = picture[..., 3:] / 255.0
    return alpha * picture[..., :3] + (1 - alpha) * np.asarray(background, float)


def someone(plate):
    """(true RGBA, the same before its plate with an edge and a shadow that are opaque)."""
    alpha = np.zeros((SIDE, SIDE), np.float32)
    cv2.rectangle(alpha, (35, 20), (60, 80), 1, -1)
    alpha = cv2.GaussianBlur(alpha, (0, 0), 1.5)
    cv2.ellipse(alpha, (48, 84), (30, 1), 0, 0, 360, 0.4, -1)
    true = np.dstack([np.full((SIDE, SIDE, 3), PERSON, np.float32), 255 * alpha])
    true = np.rint(true).astype(np.uint8)
    wide = cv2.dilate((alpha > 0.02).astype(np.uint8), np.ones((3, 3), np.uint8))
    opaque = np.dstack([np.rint(before(true, plate)), 255.0 * wide])
    return true, opaque.astype(np.uint8)


def test_edge_and_shadow_lose_the_colour_of_a_plain_wall():
    plate = np.full((SIDE, SIDE, 3), WALL, np.uint8)
    true, opaque = someone(plate)
    cleaned = Spill(plate).out_of(opaque)
    expected = before(true, (255, 255, 255))

    def off(picture):
        return np.abs(before(picture, (255, 255, 255)) - expected).mean()

    assert off(cleaned) < 0.45 * off(opaque)
    # Before its own wall it looks as it did.
    assert np.abs(before(cleaned, plate) - before(opaque, plate)).mean() < 1.0
    inside = np.s_[35:65, 43:53]
    np.testing.assert_array_equal(cleaned[inside], opaque[inside])


def test_before_a_mixed_wall_nothing_is_taken_for_it():
    plate = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
    _, opaque = someone(plate)
    np.testing.assert_array_equal(Spill(plate).out_of(opaque), opaque)


def test_a_person_of_the_walls_colour_stays():
    plate = np.full((SIDE, SIDE, 3), (PERSON[0] + 15, *PERSON[1:]), np.uint8)
    _, opaque = someone(plate)
    np.testing.assert_array_equal(Spill(plate).out_of(opaque), opaque)
