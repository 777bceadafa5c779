"""Plausibility and following, on poses made by hand."""

import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.pose import person

SIZE = (480, 640)


def standing(x=300.0, y=150.0, unit=100.0) -> np.ndarray:
    """A person seen from the front, shoulders' middle at (x, y), torso of `unit` pixels."""
    places = {
        0: (0, -0.4), 11: (0.3, 0), 12: (-0.3, 0), 13: (0.4, 0.5), 14: (-0.4, 0.5),
        15: (0.45, 0.9), 16: (-0.45, 0.9), 23: (0.2, 1), 24: (-0.2, 1), 25: (0.2, 1.7),
        26: (-0.2, 1.7), 27: (0.2, 2.4), 28: (-0.2, 2.4),
    }  # fmt: skip
    pose = np.ones((33, 4))
    pose[:, :2] = (x, y)
    for landmark, (right, down) in places.items():
        pose[landmark, :2] = (x + right * unit, y + down * unit)
    return pose


def look(frame, *poses, mirror=True):
    reflections = [person.mirrored(pose, SIZE[1]) for pose in poses] if mirror else []
    return person.examine(frame, poses, reflections, SIZE)


def test_measures():
    pose = standing(unit=100)
    assert person.torso(pose) == pytest.approx(100)
    assert person.upright(pose) == pytest.approx(1)
    np.testing.assert_allclose(person.centre(pose), (300, 150))
    np.testing.assert_allclose(person.mirrored(person.mirrored(pose, 640), 640), pose)
    assert person.disagreement(pose, pose + [25, 0, 0, 0]) == pytest.approx(0.25)
    # A back taken for a front is the same person.
    assert person.disagreement(pose, pose[person.MIRROR]) == 0


def test_mirror_test():
    pose = standing()
    assert [s.wrong for s in look(0, pose)] == [""]
    assert [s.wrong for s in look(0, pose, mirror=False)] == [
        "not seen again in the mirrored picture"
    ]
    shaken = person.mirrored(pose + [40, 0, 0, 0], SIZE[1])
    assert person.examine(0, [pose], [shaken], SIZE)[0].wrong
    # Without mirroring back, the reflection is elsewhere.
    assert person.examine(0, [standing(x=100)], [standing(x=100)], SIZE)[0].wrong


def test_size_and_shoulders():
    assert look(0, standing(unit=15))[0].wrong == "too small"
    outside = standing(x=-100)
    assert look(0, outside)[0].wrong == "no shoulder is seen"
    webcam = standing(y=300, unit=200)
    webcam[13:, 2:] = 0.01
    assert look(0, webcam)[0].confirmed


def test_one_body_reported_twice_counts_once():
    assert len(look(0, standing(), standing(x=310))) == 1
    assert len(look(0, standing(), standing(x=420))) == 2


def test_link_follows_by_position_and_size():
    looks = [look(8 * i, standing(150 + 10 * i), standing(500 - 10 * i, unit=90)) for i in range(8)]
    tracks = person.link(looks, 1 / 25)
    assert [len(track.sightings) for track in tracks] == [8, 8]
    for track in tracks:
        assert np.ptp([person.torso(s.pose) for s in track.sightings]) == 0


def test_link_never_swaps_people_who_meet():
    """Two alike come together, are one detection for a while, and come apart: who is who?"""
    looks = []
    for i in range(12):
        distance = abs(6 - i) * 25.0
        pair = [standing(320 - distance), standing(320 + distance)]
        looks.append(look(8 * i, *(pair if distance > 60 else pair[:1])))
    tracks = person.link(looks, 1 / 25)
    # Nobody's track goes on from before the meeting (i < 4) to after it (i > 8).
    assert all(not (t.frames[0] < 4 * 8 and t.frames[-1] > 8 * 8) for t in tracks)
    assert sum(len(t.sightings) >= 3 for t in tracks) == 4


def test_link_ends_after_a_long_absence():
    looks = [look(0, standing()), look(8, standing()), look(80, standing()), look(88, standing())]
    assert [t.frames for t in person.link(looks, 1 / 25)] == [[0, 8], [80, 88]]
    assert [t.frames for t in person.link(looks, 1 / 50)] == [[0, 8, 80, 88]]


def test_plausible_tracks():
    numbers = list(range(0, 80, 8))
    steady = person.link([look(n, standing()) for n in numbers], 0.04)[0]
    assert person.plausible(steady, numbers) == ""
    once = person.link([look(0, standing())], 0.04)[0]
    assert person.plausible(once, numbers) == "seen only once"
    assert person.plausible(once, [0]) == ""
    rare = person.link([look(n, standing()) for n in (0, 24, 56)], 0.04)[0]
    assert "most of the time" in person.plausible(rare, numbers)
    hands = standing(y=300)
    hands[:, 1] = 600 - hands[:, 1]
    table = person.link([look(n, hands) for n in numbers], 0.04)[0]
    assert person.plausible(table, numbers) == "upside down all the time"
    mixed = person.link(
        [look(n, hands if n in (16, 24) else standing(y=300)) for n in numbers], 0.04
    )[0]
    assert person.plausible(mixed, numbers) == ""


def test_choose():
    looks = [
        look(n, standing(100, unit=60), standing(320, unit=110), standing(540, unit=50))
        for n in (0, 8, 16)
    ]
    tracks = person.link(looks, 0.04)
    place = {
        who: person.choose(tracks, who, "clip.mp4", 0.04)
        for who in ("largest", "leftmost", "rightmost", "1", "2", "3")
    }
    middle = {who: person.centre(tracks[i].last.pose)[0] for who, i in place.items()}
    assert middle == pytest.approx(
        {"largest": 320, "leftmost": 100, "rightmost": 540, "1": 100, "2": 320, "3": 540}
    )
    with pytest.raises(UserError, match=r"person 4 is not in clip.mp4: it shows 3 people.*name"):
        person.choose(tracks, "4", "clip.mp4", 0.04)
    for wrong in ("0", "-1", "tallest", "1.5"):
        with pytest.raises(UserError, match="is not a choice"):
            person.choose(tracks, wrong, "clip.mp4", 0.04)


def test_expected_place():
    looks = [look(n, standing(200 + n)) for n in (16, 24, 32)]
    expected = person.expect(person.link(looks, 0.04)[0], 64, 8)
    assert expected.inside.tolist() == [9 <= n <= 39 for n in range(64)]
    np.testing.assert_allclose(expected.centre[20], (220, 150))
    assert expected.fits(20, standing(230))
    assert not expected.fits(20, standing(330))
    assert not expected.fits(20, standing(220, unit=30))
    assert not expected.fits(60, standing(232))
    left, top, right, bottom = expected.box[20]
    assert left < 220 - 45 and right > 220 + 45 and top < 110 and bottom > 390
