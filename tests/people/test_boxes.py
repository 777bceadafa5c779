"""Boxes of other trackers, and the parts of a picture in which people are looked for."""

import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.pose.people.boxes import read_boxes
from motion_jax.pose.people.detector import Finder, tiles


def test_boxes_of_the_mot_challenge(tmp_path):
    path = tmp_path / "det.txt"
    path.write_text("1,3,10,20,30,40,1,-1,-1,-1\n2,-1,5.5,6,10,10,0.9\n2,4,0,0,9,9,0\n\n")
    boxes = read_boxes(path, 5, (100, 100))
    assert set(boxes) == {0, 1} and boxes[0][0][0] == 3 and boxes[1][0][0] == -1
    np.testing.assert_array_equal(boxes[0][0][1], [10, 20, 40, 60])
    assert len(boxes[1]) == 1, "confidence 0 marks what does not count"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n", "line 1 no frame,id"),
        ("9,1,0,0,5,5,1\n", "the frame 9, and the video has 5"),
        ("1,1,500,0,5,5,1\n", "outside the video's 100x100"),
        ("1,1,0,0,-5,5,1\n", "line 1 no frame,id"),
        ("\n", "holds no box"),
    ],
)
def test_boxes_that_are_none(tmp_path, text, message):
    path = tmp_path / "det.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_boxes(path, 5, (100, 100))
    with pytest.raises(UserError, match="cannot be read"):
        read_boxes(tmp_path / "none.txt", 5, (100, 100))


def test_tiles_cover_the_picture():
    for size in ((720, 1280), (1280, 720), (500, 500)):
        covered = np.zeros(size, bool)
        for left, top, right, bottom in tiles(*size, True):
            assert left >= 0 and top >= 0 and right <= size[1] + 1e-6 and bottom <= size[0] + 1e-6
            covered[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))] = True
        assert covered.all()
    assert not tiles(500, 500, False)


def a_pose(x: float, y: float, size: float = 40.0) -> np.ndarray:
    """Somebody upright whose torso is `size` pixels long, shoulders' middle at (x, y)."""
    pose = np.ones((33, 4), np.float32)
    pose[:, 0], pose[:, 1] = x, y
    pose[0, 1] = y - 0.5 * size
    pose[[11, 12], 0] += (0.3 * size, -0.3 * size)
    pose[[23, 24], 0] += (0.2 * size, -0.2 * size)
    pose[[23, 24], 1] += size
    pose[25:, 1] = y + 2 * size
    return pose


def test_who_is_missed_is_looked_for_again(monkeypatch, tmp_path):
    there = [a_pose(100, 60), a_pose(300, 60)]

    def poses_in(landmarker, image):
        height, width = image.shape[:2]
        if width == 400:
            # A frame later the detector no longer sees the second person in the whole picture.
            return [p.copy() for p in there[: landmarker.seen]]
        left = int(image[0, 0, 0]) * 2
        return [
            np.concatenate([p[:, :2] - (left, 0), p[:, 2:]], axis=1)
            for p in there
            if left < p[0, 0] < left + width
        ]

    class Many:
        seen = 2
        close = staticmethod(lambda: None)

    monkeypatch.setattr(
        "motion_jax.pose.people.detector.detect.still_landmarker", lambda bundle, people: Many()
    )
    monkeypatch.setattr("motion_jax.pose.people.detector.detect.poses_in", poses_in)
    # Red says where a part was cut out; everybody reaches the upper edge.
    image = np.zeros((200, 400, 3), np.uint8)
    image[..., 0] = np.arange(400) // 2
    finder = Finder(tmp_path)
    found, confirmed = finder.see(image, False, False)
    assert len(found) == 2 and confirmed == [-1, -1]
    Many.seen = 1
    again, _ = finder.see(image, False, False)
    assert len(again) == 2
    np.testing.assert_allclose(again[1][:, 0], there[1][:, 0], atol=2)
    finder.reset()
    assert len(finder.see(image, False, False)[0]) == 1, "a fresh piece knows nobody"
