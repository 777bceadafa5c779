"""Drawn faces before a camera: with a finder and a network that are told what to do."""

from types import SimpleNamespace

import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.faces import matte
from motion_jax.faces.find import HELD, RECORD
from motion_jax.live.faces import FADE, LOOK_SECONDS, DrawnFaces, FacesSeen
from motion_jax.transfer.source import Moment

IMAGE = np.full((121, 160, 3), 80, np.uint8)


def record(x=80.0, y=60.0, side=60.0):
    one = np.zeros(1, RECORD)
    one["numbers"] = x, y, np.log(side), 0.0
    one["oval"] = matte.usual_oval() * side + (x - side / 2, y - side / 2)
    one["hands"] = np.nan
    return one


class Finder:
    """Finds what it is told; remembers which pictures it was to look at for new faces."""

    def __init__(self, *found):
        self.found, self.looks = list(found), []

    def see(self, image, looks):
        self.looks.append(looks)
        return self.found.pop(0) if self.found else np.zeros(0, RECORD)

    def reset(self):
        self.looks.append("anew")


class Red:
    """Draws everything red, and solid."""

    size = 32

    def __call__(self, faces):
        made = np.zeros((*faces.shape[:3], 4), np.uint8)
        made[..., (0, 3)] = 255
        return made


def drawn(*found, hold=False):
    finder = Finder(*found)
    return DrawnFaces(SimpleNamespace(name="drawn"), FacesSeen(finder), Red(), hold), finder


def picture(faces, time, image=IMAGE):
    seen = faces.look(image, time)
    return None if seen is None else faces.begin([Moment(time, seen.shown)])[0]


def test_the_face_is_drawn_and_the_rest_stays():
    faces, _ = drawn(record())
    made = picture(faces, 0.0)
    assert made.shape == (120, 160, 3)  # H.264 takes even sizes alone.
    assert made[60, 80, 0] > 80 + 10 and made[60, 80, 1] < 20
    assert (made[:20] == 80).all() and (made[:, :30] == 80).all() and (IMAGE == 80).all()


def test_a_face_at_the_edge_of_the_picture_is_drawn_too():
    faces, _ = drawn(record(x=2.0, y=118.0))
    made = picture(faces, 0.0)
    assert made[119, 0, 1] < 20 and (made[:60] == 80).all()


def test_the_cameras_picture_is_never_shown_without_a_face():
    faces, _ = drawn(np.zeros(0, RECORD), record())
    assert picture(faces, 0.0) is None
    assert (faces.nobody(IMAGE, 0.0) == 0).all()
    last = picture(faces, 0.04)
    for i in range(HELD):  # It is drawn where it was, and the camera has moved on.
        held = picture(faces, 0.08 + i / 25, IMAGE + np.uint8(5))
        assert held[60, 80, 1] < 20
    assert picture(faces, 0.6) is None
    shown = 0.08 + (HELD - 1) / 25
    np.testing.assert_allclose(faces.nobody(IMAGE, shown + FADE / 2), held / 2, atol=1)
    assert (faces.nobody(IMAGE, 2.0) == 0).all() and last.any()


def test_with_hold_the_last_picture_stays():
    faces, _ = drawn(record(), hold=True)
    last = picture(faces, 0.0)
    for i in range(HELD):
        last = picture(faces, (i + 1) / 25)
    assert picture(faces, 9.0) is None
    np.testing.assert_array_equal(faces.nobody(IMAGE, 9.0), last)


def test_a_small_face_is_no_reason_to_show_the_cameras_picture():
    faces, _ = drawn(record(side=25.0))
    assert picture(faces, 0.0)[60, 80, 1] < 40


def test_new_faces_are_looked_for_now_and_then_and_always_while_nobody_is_there():
    faces, finder = drawn(np.zeros(0, RECORD), *(record() for _ in range(20)))
    for i in range(16):
        picture(faces, i / 25)
    after = int(LOOK_SECONDS * 25) + 1
    assert finder.looks[:2] == [True, True] and not any(finder.looks[2:after])
    assert sum(finder.looks[2:]) == 1
    faces.measure_anew()
    picture(faces, 0.7)
    assert finder.looks[-2:] == ["anew", True]


def test_the_size_is_the_cameras():
    faces, _ = drawn()
    with pytest.raises(UserError, match="folder does not tell"):
        _ = faces.size
    faces.camera_size = 121, 160
    assert faces.size == (120, 160)
