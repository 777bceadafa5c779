"""Drawn people without number: each is another, and always the same."""

import numpy as np

from motion_jax.puppet import CHARACTERS, crowd, dance, draw


def test_people_differ_and_are_always_the_same():
    people = [crowd.character(seed) for seed in range(40)]
    assert people[7] == crowd.character(7)
    assert len({person.shirt for person in people}) > 35
    assert {person.hairstyle for person in people} == {"bob", "short_beard"}


def test_faces_fill_the_picture_and_their_points_lie_on_them():
    take = crowd.take(0)
    assert take.framing == "face" and crowd.take(1).framing == "dancer"
    motion = take.motion(3, 2.0, 0)
    frames, points = take.frames(motion, 48), take.keypoints(motion, 48)
    assert frames.shape == (3, 48, 48, 3)
    face = points[:, 25:93]
    extent = np.ptp(face[..., 1], axis=1)
    assert (extent > 12).all() and (extent < 40).all()
    # The tip of the nose is skin.
    x, y = points[0, 25 + 30, :2].astype(int)
    near = np.abs(frames[0, y, x].astype(int) - take.puppet.skin).mean()
    assert near < 60
    # It moves, and what is out of the picture is unobserved.
    assert np.abs(np.diff(face[..., 0].mean(axis=1))).max() > 0.5
    below = points[..., 1] > 48
    assert not points[below].any() and (points[:, 10, 2] == 0).all()


def test_the_whole_view_is_what_it_was():
    """A dancer fills the frame as without a view."""
    motion = dance(2, seed=3)[1:]
    take = crowd.Take(CHARACTERS["ada"], "dancer")
    expected = draw(CHARACTERS["ada"], motion, 32, 32)
    np.testing.assert_array_equal(take.frames(motion, 32), expected)
