"""Faces: FFHQ's alignment, who is who and how steady, what is laid back; no network in it."""

import numpy as np
import pytest

from motion_jax.faces import align, matte
from motion_jax.faces.find import RECORD, Faces
from motion_jax.faces.flicker import Flicker
from motion_jax.faces.follow import FADE, follow


def points(left, right, mouth):
    """478 points whose eyes and mouth lie at these places."""
    made = np.zeros((478, 3), np.float32)
    for indices, place in ((align.LEFT_EYE, left), (align.RIGHT_EYE, right), (align.MOUTH, mouth)):
        made[list(indices), :2] = place
    return made


def test_the_square_is_ffhqs():
    """Its rule with numbers: eyes 40 apart, the mouth 45 below: the square is as wide as 4 times
    the eyes are apart (2 * 2.0 * |e| is more than 2 * 1.8 * |m|), a little below the eyes."""
    numbers = align.alignment(points((80, 100), (120, 100), (100, 140)))
    np.testing.assert_allclose(numbers, [100, 104, np.log(160), 0], atol=1e-6)
    # A long face: 1.8 times the way to the mouth counts.
    long = align.alignment(points((80, 100), (120, 100), (100, 150)))
    np.testing.assert_allclose(np.exp(long[2]), 2 * 1.8 * 50)
    # A head that is tilted by 90 degrees, clockwise.
    tilted = align.alignment(points((100, 80), (100, 120), (60, 100)))
    np.testing.assert_allclose(tilted[3], np.pi / 2)


def test_places_go_there_and_back():
    numbers = np.array([50.0, 40.0, np.log(30.0), 0.3])
    there = np.array([[0.2, 0.9], [0.5, 0.5]])
    back = align.inside(numbers, align.outside(numbers, there))
    np.testing.assert_allclose(back, there)
    np.testing.assert_allclose(align.outside(numbers, there)[1], [50, 40])


def scene(height=120, width=160):
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = [128 + 90 * np.sin(x / 19 + c) * np.cos(y / 23 - c) for c in range(3)]
    return np.clip(np.stack(waves, -1), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("side", [40.0, 90.0])
def test_what_is_cut_out_and_laid_back_is_the_frame(side):
    frame = scene()
    numbers = np.array([80.0, 60.0, np.log(side), 0.4])
    cut = align.cut(frame, numbers, 64)
    middle = cut[32, 32].astype(int)
    assert np.abs(middle - frame[60, 80]).max() <= 3
    solid = np.dstack([cut, np.full((64, 64), 255, np.uint8)])
    canvas = frame.astype(np.float32)
    mask = matte.head_matte(matte.usual_oval(), 64)
    matte.laid_back(canvas, solid, mask, numbers)
    assert np.abs(canvas - frame).max() < 8 and np.abs(canvas - frame).mean() < 0.5
    # And something was laid there: another colour shows.
    solid[..., :3] = 255
    matte.laid_back(canvas, solid, mask, numbers)
    assert canvas[60, 80].min() > 250
    np.testing.assert_array_equal(canvas[2, 2], frame[2, 2])


def test_beyond_the_frame_it_is_mirrored():
    frame = scene()
    cut = align.cut(frame, np.array([0.0, 60.0, np.log(80.0), 0.0]), 80)
    # Columns 39 and 40 are the frame's first; before them it is seen in a mirror, and blurred.
    assert np.abs(cut[:, 36].astype(int) - cut[:, 43]).mean() < 4


def test_a_hand_in_front_stays_in_front():
    numbers = np.array([32.0, 32.0, np.log(64.0), 0.0])
    whole = matte.head_matte(matte.usual_oval(), 64)
    hand = np.full((2, 21, 2), np.nan, np.float32)
    hand[0] = np.linspace((20, 40), (30, 50), 21)
    less = matte.without_hands(whole, numbers, hand)
    assert whole[45, 25] > 0.9 and less[45, 25] < 0.1
    np.testing.assert_allclose(less[20, 40], whole[20, 40])
    assert matte.without_hands(whole, numbers, hand[1:]) is whole


def test_colours_come_into_the_films_light():
    given = np.full((64, 64, 3), 100, np.uint8)
    made = np.dstack([given, np.full((64, 64), 255, np.uint8)])
    made[..., 0] = 80
    mask = matte.head_matte(matte.usual_oval(), 64)
    red, green, blue = matte.colour_gains(given, made, mask)
    np.testing.assert_allclose([red, green, blue], [104 / 84, 1, 1], rtol=1e-5)


def film(paths, count, missing=()):
    """Faces that walk: {person: (x of each frame, y)}; none of person 0 in the missing frames."""
    records = []
    for frame in range(count):
        for person, (x, y) in enumerate(paths):
            if person == 0 and frame in missing:
                continue
            one = np.zeros((), RECORD)
            one["frame"] = frame
            one["numbers"] = x[frame], y, np.log(60.0), 0.0
            one["oval"] = matte.usual_oval() * 60 + (x[frame] - 30, y - 30)
            one["hands"] = np.nan
            records.append(one)
    return Faces(np.array(records, RECORD), np.arange(count) / 25, (200, 400), 0)


def test_two_who_pass_each_other_are_kept_apart():
    one, two = np.linspace(50, 300, 50), np.linspace(300, 50, 50)
    tracks = follow(film([(one, 60.0), (two, 90.0)], 50))
    assert [len(track) for track in tracks] == [50, 50]
    for track, x, y in zip(tracks, (one, two), (60.0, 90.0), strict=True):
        np.testing.assert_allclose(track.numbers[:, 1], y, atol=1e-6)
        np.testing.assert_allclose(track.numbers[:, 0], x, atol=3.0)
        assert track.opacity.min() == 1.0


def test_who_is_lost_for_a_moment_is_held_and_for_longer_fades():
    x = np.linspace(50, 150, 60)
    (held,) = follow(film([(x, 60.0)], 60, missing=range(20, 28)))
    assert len(held) == 60 and held.seen.sum() == 52 and held.opacity.min() == 1.0
    np.testing.assert_allclose(held.numbers[20:28, 0], x[20:28], atol=2.0)
    before, after = follow(film([(x, 60.0)], 60, missing=range(20, 40)))
    assert (before.first, len(before), after.first) == (0, 20, 40)
    np.testing.assert_allclose(before.opacity[-FADE:], np.arange(FADE, 0, -1) / (FADE + 1))
    assert before.opacity[0] == 1.0 and after.opacity[0] < 0.2 and after.opacity[-1] == 1.0


def test_a_face_at_rest_does_not_tremble_and_one_that_moves_does_not_lag():
    random = np.random.default_rng(0)
    still = 100 + random.normal(0, 0.5, 100)
    (steady,) = follow(film([(still, 60.0)], 100))
    (raw,) = follow(film([(still, 60.0)], 100), smooth=False)
    trembling = [np.diff(track.numbers[:, 0], 2).std() for track in (steady, raw)]
    assert trembling[0] < 0.4 * trembling[1]
    np.testing.assert_allclose(raw.numbers[:, 0], still)
    swing = 200 + 60 * np.sin(np.arange(100) / 8)
    (moving,) = follow(film([(swing, 60.0)], 100))
    # Within a twentieth of the square's side.
    assert np.abs(moving.numbers[:, 0] - swing).max() < 3.0


def test_what_is_seen_for_a_moment_is_no_face():
    x = np.full(30, 100.0)
    faces = film([(x, 60.0)], 30)
    ghost = film([(np.full(30, 300.0), 120.0)], 30).records[10:12]
    records = np.sort(np.concatenate([faces.records, ghost]), order="frame", kind="stable")
    assert len(follow(Faces(records, faces.times, faces.size, 0))) == 1


def test_flicker_is_what_motion_does_not_explain():
    frames = [np.roll(scene(96, 96), k, axis=1) for k in (0, 2)]
    head = np.zeros((96, 96), np.float32)
    head[24:72, 24:72] = 1
    moving, flashing = Flicker(), Flicker()
    moving.add(head, tuple(frames), tuple(frames))
    made, given = moving.figures()
    assert made == given < 2.0
    brighter = np.clip(frames[1].astype(int) + 20, 0, 255).astype(np.uint8)
    flashing.add(head, tuple(frames), (frames[0], brighter))
    made, given = flashing.figures()
    assert made > 10 > given
