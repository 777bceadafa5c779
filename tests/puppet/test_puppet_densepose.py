"""The drawn dancers' DensePose against their drawing and their joints."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.pose import densepose, skeleton
from motion_jax.puppet.scene import background

SIZE = 128


@pytest.fixture(scope="module", params=["ada", "ben"])
def dancer(request):
    character = puppet.CHARACTERS[request.param]
    motion = puppet.dance(4, 4, seed=1)
    return character, motion, puppet.draw_iuv(character, motion, SIZE, SIZE)


def test_it_covers_what_is_drawn(dancer):
    """The same dancer before two scenes: where the pictures agree, there is the dancer."""
    character, motion, iuv = dancer
    scenes = "studio", "stage"
    drawn = [
        puppet.draw(replace(character, scene=s), motion, SIZE, SIZE).astype(int) for s in scenes
    ]
    empty = [cv2.resize(background(s, 2 * SIZE, 2 * SIZE), (SIZE, SIZE)) for s in scenes]
    opaque = 1 - np.abs(drawn[0] - drawn[1]).sum(-1) / np.abs(empty[0] - empty[1]).sum(-1)
    covered, shown = opaque > 0.5, iuv[..., 0] > 0
    assert (covered & shown).sum() / (covered | shown).sum() > 0.97


def test_parts_lie_where_the_joints_are(dancer):
    character, motion, iuv = dancer
    keypoints = puppet.pose(character, motion, SIZE, SIZE)
    for frame, points in zip(iuv, keypoints, strict=True):
        for wanted, a, b in (
            ((9,), "right_hip", "right_knee"), ((10,), "left_hip", "left_knee"),
            ((13,), "right_knee", "right_ankle"), ((14,), "left_knee", "left_ankle"),
            ((16, 18), "right_shoulder", "right_elbow"), ((15, 17), "left_shoulder", "left_elbow"),
            ((20, 22), "right_elbow", "right_wrist"), ((19, 21), "left_elbow", "left_wrist"),
        ):  # fmt: skip
            x, y, _ = (points[skeleton.INDEX[a]] + points[skeleton.INDEX[b]]) / 2
            # Hands may be drawn over a leg or the other arm.
            assert frame[int(y), int(x), 0] in (*wanted, 3, 4, 19, 20, 21, 22)
        x, y, _ = points[skeleton.INDEX["nose"]]
        assert frame[int(y), int(x), 0] in (23, 24, 3, 4)
    assert set(np.unique(iuv[..., 0])) == {0, 2, 3, 4, 5, 6, 9, 10, 13, 14, *range(15, 25)}


def test_u_and_v_run_along_the_limbs(dancer):
    character, motion, iuv = dancer
    keypoints = puppet.pose(character, motion, SIZE, SIZE)
    y, x = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    for frame, points in zip(iuv, keypoints, strict=True):
        assert not frame[frame[..., 0] == 0].any()
        for part, a, b in ((9, "right_hip", "right_knee"), (14, "left_knee", "left_ankle")):
            start, end = (points[skeleton.INDEX[name], :2] for name in (a, b))
            along = (x - start[0]) * (end - start)[0] + (y - start[1]) * (end - start)[1]
            inside = frame[..., 0] == part
            assert np.corrcoef(along[inside], frame[inside, 2])[0, 1] > 0.999
        # The head's halves meet in the middle of U.
        right, left = frame[frame[..., 0] == 23, 1], frame[frame[..., 0] == 24, 1]
        assert right.max() <= left.min() + 12


def test_it_is_read_as_densepose(dancer):
    iuv = dancer[2]
    assert densepose.recognise(list(iuv), "dancer") == densepose.Reading("iuv", 0)
    for drawing in ("iuv", "parts", "viridis"):
        reading = densepose.recognise([densepose.draw(f, drawing) for f in iuv], "dancer")
        again = reading.read(densepose.draw(iuv[0], drawing))
        np.testing.assert_array_equal(again[..., 0], iuv[0, ..., 0])
