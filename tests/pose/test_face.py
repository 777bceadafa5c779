import numpy as np
import pytest

from motion_jax.pose.face import edn_face_box, edn_grow, face_boxes
from motion_jax.pose.skeleton import COUNT, INDEX


def pose(**points):
    keypoints = np.zeros((COUNT, 3), np.float32)
    for name, (x, y) in points.items():
        keypoints[INDEX[name]] = x, y, 0.8
    return keypoints


@pytest.mark.parametrize(
    ("nose", "box"),
    [
        ((1065.937, 159.441), (11, 139, 504, 632)),
        ((1074.771, 159.398), (11, 139, 508, 636)),
        ((1089.440, 156.579), (10, 138, 516, 644)),
    ],
)
def test_reference_boxes(nose, box):
    assert edn_face_box(nose) == box


@pytest.mark.parametrize(
    ("y", "x", "grown"),
    [
        ((0, 30), (10, 60), (0, 128, 0, 128)),
        ((470, 512), (980, 1024), (384, 512, 896, 1024)),
        ((100, 166), (200, 274), (69, 197, 173, 301)),
    ],
)
def test_reference_growth(y, x, grown):
    assert (*edn_grow(*y, 512), *edn_grow(*x, 1024)) == grown


def test_square_around_the_nose_else_the_ears():
    poses = np.stack(
        [
            pose(nose=(50, 40), right_ear=(10, 10), left_ear=(20, 20)),
            pose(right_ear=(40, 50), left_ear=(60, 70)),
            pose(left_ear=(60, 70)),
            pose(right_ear=(40, 50)),
            pose(neck=(50, 50)),
        ]
    )
    boxes = face_boxes(poses, 100, 100)
    expected = [(40, 50), (60, 50), (70, 60), (50, 40)]
    for box, (y, x) in zip(boxes, expected, strict=False):
        assert box.tolist() == [y - 12.5, x - 12.5, y + 12.5, x + 12.5]
    assert boxes[4].tolist() == [0, 0, 0, 0]


def test_stays_inside_the_frame():
    poses = np.stack([pose(nose=(1, 2)), pose(nose=(199, 99)), pose(nose=(250, 50))])
    boxes = face_boxes(poses, 100, 200)
    assert boxes.tolist() == [[0, 0, 25, 25], [75, 175, 100, 200], [0, 0, 0, 0]]
    # A frame narrower than a quarter of its height.
    assert face_boxes(pose(nose=(5, 50)), 100, 10).tolist() == [45, 0, 55, 10]


def test_a_face_without_a_body():
    keypoints = np.zeros((COUNT, 3), np.float32)
    keypoints[25:95] = 50, 60, 1
    assert face_boxes(keypoints, 100, 100).tolist() == [47.5, 37.5, 72.5, 62.5]
