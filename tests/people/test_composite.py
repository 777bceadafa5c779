"""Layers, places and the place without people, on arrays."""

import cv2
import numpy as np
import pytest
from company_film import SIZE, walkers
from walkers_body import BODY

from benchmarks.drawn_people import straight
from motion_jax.errors import UserError
from motion_jax.puppet import company
from motion_jax.transfer import clean, composite
from motion_jax.video.reader import Frame


def test_a_layer_over_a_canvas_is_porter_and_duffs():
    picture = np.zeros((8, 8, 4), np.uint8)
    picture[2:6, 2:6] = (200, 100, 50, 128)
    place = np.array([[1.0, 0, 3], [0, 1, 1]])
    canvas = np.full((16, 16, 3), 40, np.float32)
    composite.placed(picture, place, (16, 16)).over(canvas)
    alpha = 128 / 255
    expected = 40 * (1 - alpha) + np.array([200, 100, 50]) * alpha
    np.testing.assert_allclose(canvas[4:6, 6:8], np.broadcast_to(expected, (2, 2, 3)), atol=0.5)
    np.testing.assert_allclose(canvas[0], 40)
    clear = np.zeros((16, 16, 4), np.float32)
    composite.placed(picture, place, (16, 16)).over(clear)
    np.testing.assert_array_equal(composite.finished(clear)[5, 7], (200, 100, 50, 128))
    assert composite.placed(picture, np.array([[1.0, 0, 99], [0, 1, 0]]), (16, 16)) is None


def test_people_are_placed_by_their_feet_and_their_size():
    random = np.random.default_rng(0)
    before = np.zeros((20, 137, 3), np.float32)
    before[:, :25] = random.uniform(10, 50, (20, 25, 3))
    before[..., 2] = before[..., 2] > 0
    after = before.copy()
    after[..., :2] = after[..., :2] * 2.5 + (30, -12)
    after[before[..., 2] == 0] = 0
    lost = after.copy()
    lost[7] = 0
    times = np.arange(20) / 25
    for places in (composite.similarities(before, x, times) for x in (after, lost)):
        np.testing.assert_allclose(places[:, 0, 0], 2.5, atol=1e-4)
        np.testing.assert_allclose(places[[0, 6, 8], :, 2], [[30, -12]] * 3, atol=1e-2)


def test_who_is_near_does_not_tremble():
    keypoints = np.zeros((50, 137, 3), np.float32)
    keypoints[:, [11, 14]] = 1
    keypoints[:, 11, 1] = 100 + 3 * (np.arange(50) % 2)
    near = composite.standing(keypoints, np.arange(50) / 25)
    assert np.ptp(near[10:-10]) < 0.3 and abs(near.mean() - 101.5) < 1


def test_a_shadow_lies_below_the_feet():
    pose = np.zeros((137, 3), np.float32)
    pose[[0, 1, 8, 11, 14], 2] = 1
    pose[[0, 1, 8], :2] = (50, 20), (50, 30), (50, 55)
    pose[[11, 14], :2] = (42, 90), (58, 90)
    canvas = np.full((120, 100, 3), 100, np.float32)
    composite.darken(canvas, composite.contact_shadow(pose, 90.0, (120, 100)))
    assert canvas[92, 42, 0] < 70 and canvas[92, 58, 0] < 70 and canvas[30, 50, 0] > 99
    assert composite.contact_shadow(pose * 0, 90.0, (120, 100)) is None


def test_gains_bring_people_into_another_light():
    random = np.random.default_rng(1)
    here = random.integers(20, 150, (40, 40, 3)).astype(np.uint8)
    there = np.clip(here * np.array([1.3, 1.0, 0.7]), 0, 255).astype(np.uint8)
    np.testing.assert_allclose(composite.gains(here, there), [1.3, 1.0, 0.7], atol=0.02)
    assert composite.gains(here, np.zeros_like(here)).min() == composite.LEAST_GAIN


def a_room(width: int) -> np.ndarray:
    """A picture with much to follow."""
    random = np.random.default_rng(3)
    small = random.integers(30, 220, (12, width // 10, 3)).astype(np.uint8)
    return cv2.resize(small, (width, 120), interpolation=cv2.INTER_CUBIC)


def someone(x: float) -> np.ndarray:
    pose = np.zeros((137, 3), np.float32)
    pose[:25, :2] = BODY * 100 + (x - 50, 10)
    pose[:25, 2] = 1
    return pose


def shown(room, left, x):
    """The room from `left` on, 160 wide, somebody at x in front."""
    view = room[:, left : left + 160].copy()
    mask = clean.covered([someone(x)], view.shape[:2])
    view[mask] = (250, 20, 20)
    return view


def test_the_place_without_people():
    room = a_room(160)
    places = np.linspace(20, 140, 12)
    frames = [Frame(i, i / 25, shown(room, 0, x)) for i, x in enumerate(places)]
    found = clean.clean_plate(frames, 12, lambda i: [someone(places[i])], "film")
    assert found.motion is None and found.unseen == 0
    assert np.abs(found.at(3, (120, 160)).astype(int) - room).mean() < 0.5
    # Somebody who never moves hides what is behind: that is painted in.
    still = [Frame(i, i / 25, shown(room, 0, 80)) for i in range(4)]
    found = clean.clean_plate(still, 4, lambda i: [someone(80)], "film")
    assert 0.05 < found.unseen < 0.6
    assert (np.abs(found.plate.astype(int) - (250, 20, 20)).max(-1) > 60).mean() > 0.99


def test_a_camera_that_turns_is_followed():
    room, lefts = a_room(320), np.arange(0, 120, 6)
    frames = [Frame(i, i / 25, shown(room, left, 60 + 2 * i)) for i, left in enumerate(lefts)]
    found = clean.clean_plate(frames, 20, lambda i: [someone(60 + 2 * i)], "film")
    assert found.motion is not None and found.plate.shape[1] > 260
    for i in (0, 10, 19):
        true = room[:, lefts[i] : lefts[i] + 160]
        assert np.median(np.abs(found.at(i, (120, 160)).astype(int) - true)) < 4, i
    blank = [
        Frame(i, i / 25, np.full((120, 160, 3), 90 + 60 * (i % 2), np.uint8)) for i in range(4)
    ]
    with pytest.raises(UserError, match="too little of what is behind the people is seen"):
        clean.clean_plate(blank, 4, lambda i: [], "film")


def test_who_stands_in_front_owns_the_pixels():
    room = a_room(160)
    frame = room.copy()
    behind, front = someone(70), someone(84)
    frame[clean.covered([behind], frame.shape[:2])] = (20, 250, 20)
    frame[clean.covered([front], frame.shape[:2])] = (250, 20, 20)
    one, other = clean.mattes(frame, room, [behind, front], [90.0, 95.0])
    red, green = (frame == (250, 20, 20)).all(-1), (frame == (20, 250, 20)).all(-1)
    assert other[red].mean() > 0.8 and one[green].mean() > 0.8
    assert one[red].mean() < 0.15 and other[green].mean() < 0.25
    gone = clean.taken_out(frame, room, [other], [one])
    assert np.abs(gone - room)[red].mean() < np.abs(frame.astype(float) - room)[red].mean() / 3


def test_matched_colours_are_nearer_to_the_truth():
    film, lit = walkers([(0.0, 0.0)], 4), np.array([0.95, 0.8, 0.62])
    here = company.draw_frame(film, 0, *SIZE, without={0}, shadows=False)
    there = (here * lit).astype(np.uint8)
    true = company.draw_frame(film, 0, *SIZE, shadows=False) * lit
    layer = company.layer(film.dancers[0], 0, *SIZE)
    person, off = layer[..., 3] > 0.5, {}
    for name, gains in (("as filmed", None), ("matched", composite.gains(here, there))):
        canvas = there.astype(np.float32)
        composite.placed(straight(layer), np.eye(2, 3), SIZE, gains).over(canvas)
        off[name] = 10 * np.log10(255**2 / np.mean((canvas - true)[person] ** 2))
    assert off["matched"] > 35 > 22 > off["as filmed"], off
