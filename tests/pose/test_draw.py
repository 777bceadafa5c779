"""The golden values are the reference's, made with OpenCV 4.11; OpenCV 5 fills the same pixels."""

import numpy as np
import pytest
from PIL import Image

from motion_jax.pose.draw import PoseStyle, draw_edn, draw_host, draw_on_canvas
from motion_jax.pose.skeleton import COUNT, FACE, LEFT_HAND


def canvas(height, width):
    return np.full((height, width, 3), 255, np.uint8)


def two_joints():
    keypoints = np.zeros((COUNT, 3), np.float32)
    keypoints[1], keypoints[8] = (300, 200, 1), (340, 320, 1)
    return keypoints


def painted(picture):
    return int((picture != 255).any(-1).sum())


def test_golden_limb():
    picture = canvas(400, 640)
    draw_on_canvas(picture, two_joints(), PoseStyle())
    assert painted(picture) == 1265
    assert picture[260, 320].tolist() == [255, 102, 102]
    assert picture[200, 300].tolist() == picture[320, 340].tolist() == [255, 0, 0]


def test_golden_hand():
    picture, keypoints = canvas(200, 200), np.zeros((COUNT, 3), np.float32)
    keypoints[95:98] = (100, 100, 0.9), (120, 110, 0.9), (135, 125, 0.04)
    draw_on_canvas(picture, keypoints, PoseStyle())
    assert painted(picture) == 137
    assert picture[100, 100].tolist() == [231, 90, 54]
    assert picture[110, 120].tolist() == [231, 115, 64]
    assert picture[105, 110].tolist() == [241, 171, 140]
    assert picture[125, 135].tolist() == [255, 255, 255]


def test_reference_picture_is_resized_and_reversed():
    picture = draw_edn(two_joints(), canvas=(400, 640), height=200, width=640)
    full = canvas(400, 640)
    draw_on_canvas(full, two_joints(), PoseStyle())
    expected = np.asarray(Image.fromarray(full[..., ::-1].copy()).resize((640, 200), 1))
    np.testing.assert_array_equal(picture, expected)
    # The mid-hip (255, 0, 0) on the canvas is blue in the saved file.
    assert draw_edn(two_joints())[152, 181].tolist() == pytest.approx([0, 0, 255], abs=40)
    assert draw_edn(two_joints(), 1080, 1920)[320, 340].tolist() == [0, 0, 255]
    assert draw_edn(two_joints()).shape == (512, 1024, 3)


def test_whole_limbs_go_over_all_joints_one_by_one():
    keypoints = np.zeros((COUNT, 3), np.float32)
    keypoints[1], keypoints[2], keypoints[5] = (50, 50, 1), (90, 50, 1), (90, 51, 1)
    picture = canvas(100, 140)
    draw_on_canvas(picture, keypoints, PoseStyle())
    # Neck (255, 0, 0) to both shoulders, the one over the other.
    once = np.array([255, 102, 102])
    assert (np.abs(picture[50, 70] - np.rint(0.4 * once + 0.6 * np.array([255, 0, 0]))) <= 1).all()


def test_face_points():
    keypoints = np.zeros((COUNT, 3), np.float32)
    keypoints[FACE, 0] = 20 + 25 * (np.arange(70) % 10)
    keypoints[FACE, 1] = 20 + 25 * (np.arange(70) // 10)
    keypoints[FACE, 2] = 0.5

    def dots(number):
        picture = canvas(200, 280)
        draw_on_canvas(picture, keypoints, PoseStyle(face_points=number))
        return painted(picture)

    disc = dots(8) // 8
    assert [dots(number) for number in (0, 9, 22, 70)] == [0, 9 * disc, 22 * disc, 70 * disc]
    keypoints[FACE, 2] = 0.19
    assert dots(8) == 0
    keypoints[FACE, 2] = 0.3
    keypoints[FACE.start + 27, 2] = 0
    assert dots(8) == 7 * disc


@pytest.mark.parametrize("body", ["body25", "body23", "coco18"])
def test_layouts_draw(body):
    keypoints = np.zeros((COUNT, 3), np.float32)
    keypoints[:25, :2] = np.random.default_rng(0).uniform(20, 180, (25, 2))
    keypoints[:25, 2] = 1
    picture = canvas(200, 200)
    draw_on_canvas(picture, keypoints, PoseStyle(body=body))
    assert painted(picture) > 2000


def test_style_refuses_nonsense():
    for wrong in ({"face_points": 7}, {"body": "body24"}, {"stroke": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            PoseStyle(**wrong)


def test_host_drawing_is_the_same_at_any_size():
    keypoints = two_joints() * np.array([2, 2, 1], np.float32)
    keypoints[LEFT_HAND] = 800, 300, 0.5
    large = draw_host(keypoints, 1080, 1920)
    exact = draw_edn(keypoints, 1080, 1920)
    assert np.abs(large.astype(int) - exact).mean() < 0.1
    small = draw_host(keypoints * np.array([0.1, 0.1, 1], np.float32), 108, 192)
    expected = np.asarray(Image.fromarray(large).resize((192, 108), Image.Resampling.BOX))
    assert np.abs(small.astype(int) - expected).mean() < 0.1
    # The limb is as long, and twice as wide with twice the stroke.
    thick = draw_host(two_joints(), 400, 640, PoseStyle(stroke=4))
    thin = draw_host(two_joints(), 400, 640, PoseStyle(stroke=2))
    ink = [(255 - p.astype(float))[230:290, 290:350].sum() for p in (thin, thick)]
    assert ink[1] / ink[0] == pytest.approx(2, abs=0.2)


def test_nothing_and_nonsense_draw_nothing():
    keypoints = np.zeros((COUNT, 3), np.float32)
    assert painted(draw_host(keypoints, 50, 60)) == 0
    keypoints[1], keypoints[8] = (1e12, 5, 1), (np.nan, 5, 1)
    assert painted(draw_host(keypoints, 50, 60)) == 0
    keypoints[1], keypoints[8] = (-30, 20, 1), (90, 25, 1)
    assert painted(draw_host(keypoints, 50, 60)) > 0
