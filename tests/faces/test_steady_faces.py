"""Faces followed by the past alone."""

import numpy as np
import pytest

from motion_jax.faces import matte
from motion_jax.faces.find import HELD, RECORD
from motion_jax.faces.forwards import Faces


def record(x, y=60.0, side=60.0, angle=0.0):
    one = np.zeros((), RECORD)
    one["numbers"] = x, y, np.log(side), angle
    one["oval"] = matte.usual_oval() * side + (x - side / 2, y - side / 2)
    one["hands"] = np.nan
    return one


def frames(places, faces):
    """What is told of records, frame by frame; places: of each frame its records."""
    return [faces.next(i / 25, np.array(here, RECORD)) for i, here in enumerate(places)]


def test_two_who_pass_each_other_are_kept_apart():
    one, two = np.linspace(50, 300, 50), np.linspace(300, 50, 50)
    told = frames([[record(a, 60), record(b, 90)] for a, b in zip(one, two, strict=True)], Faces())
    assert {tuple(sorted(face.number for face in here)) for here in told} == {(0, 1)}
    for here in told:
        assert {face.number: round(face.numbers[1]) for face in here} == {0: 60, 1: 90}


def test_who_is_lost_is_held_for_a_while_and_no_longer():
    told = frames([[record(100)]] + [[]] * (HELD + 2), Faces())
    assert [len(here) for here in told] == [1] + [1] * HELD + [0, 0]
    held = told[HELD][0]
    assert held.lost == HELD and held.numbers[0] == 100 and np.isnan(held.hands).all()
    again = frames([[record(100)]] + [[]] * 3 + [[record(102)]], Faces())
    assert again[-1][0].number == 0 and again[-1][0].lost == 0


def test_far_faces_come_before_near_ones():
    (here,) = frames([[record(100, side=90), record(300, side=40)]], Faces())
    assert [round(float(np.exp(face.numbers[2]))) for face in here] == [40, 90]


def test_a_face_at_rest_does_not_tremble_and_one_that_moves_lags_little():
    random = np.random.default_rng(0)
    noisy = [[record(100 + x)] for x in random.normal(0, 0.5, 100)]
    steady, raw = (
        np.array([here[0].numbers[0] for here in frames(noisy, Faces(smooth))])
        for smooth in (True, False)
    )
    assert np.diff(steady, 2).std() < 0.4 * np.diff(raw, 2).std()
    np.testing.assert_allclose(raw, [here[0]["numbers"][0] for here in noisy])
    swing = 200 + 60 * np.sin(np.arange(100) / 8)
    moving = frames([[record(x)] for x in swing], Faces())
    # Half a second's movement is 60 pixels; it stays within a tenth of the face's square.
    assert max(abs(here[0].numbers[0] - x) for here, x in zip(moving, swing, strict=True)) < 6.0


def test_a_head_turns_on_past_half_a_turn():
    angles = np.linspace(3.0, 3.6, 20)
    wrapped = (angles + np.pi) % (2 * np.pi) - np.pi
    told = frames([[record(100, angle=float(a))] for a in wrapped], Faces())
    seen = np.array([here[0].numbers[3] for here in told])
    assert {here[0].number for here in told} == {0}
    assert (np.diff(seen) >= 0).all() and seen[-1] == pytest.approx(3.6, abs=0.2)


def test_the_oval_lies_in_the_square():
    told = frames([[record(100 + i)] for i in range(5)], Faces())
    np.testing.assert_allclose(told[-1][0].oval, matte.usual_oval(), atol=1e-3)
