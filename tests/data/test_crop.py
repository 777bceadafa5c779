"""The fixed region of a video: geometry by hand."""

import numpy as np
import pytest

from motion_jax.data.crop import Region, choose_region, cut_out, into_region, person_extent
from motion_jax.pose import skeleton
from motion_jax.pose.track import PoseTrack


def track(boxes, size, lost=()):
    """Poses whose extreme joints are the corners (left, top, right, bottom)."""
    keypoints = np.zeros((len(boxes), 137, 3), np.float32)
    for frame, (left, top, right, bottom) in enumerate(boxes):
        keypoints[frame, skeleton.INDEX["right_wrist"]] = (left, top, 1)
        keypoints[frame, skeleton.INDEX["left_ankle"]] = (right, bottom, 1)
    reasons = tuple("lost" if frame in lost else "" for frame in range(len(boxes)))
    return PoseTrack(keypoints, np.arange(len(boxes)) / 25, size, reasons)


def test_crop_follows_the_extent_over_the_whole_video():
    poses = track([(100, 100, 180, 260), (300, 120, 380, 280), (0, 0, 640, 480)], (480, 640), {2})
    assert person_extent(poses) == pytest.approx((102, 100.2, 378, 279.8), abs=0.5)
    region = choose_region(poses, 64, 64, margin=0.0)
    assert region.width == region.height == 276
    assert region.left == pytest.approx(102, abs=1) and region.top == pytest.approx(52, abs=1)
    with_margin = choose_region(poses, 64, 64, margin=0.1)
    assert with_margin.width == pytest.approx(276 * 1.2, abs=2)
    wide = choose_region(poses, 32, 64, margin=0.0)
    assert wide.width / wide.height == pytest.approx(2, rel=0.01)
    assert wide.height >= 179


def test_crop_moves_inside_where_it_fits_and_is_centred_where_not():
    corner = choose_region(track([(0, 200, 60, 470)] * 2, (480, 640)), 64, 64, margin=0.0)
    assert (corner.left, corner.top, corner.width) == (0, 200, 270)
    tall = choose_region(track([(20, 0, 80, 400)] * 2, (400, 100)), 64, 64, margin=0.3)
    assert (tall.left, tall.top, tall.width, tall.height) == (-150, 0, 400, 400)


def test_room_for_the_crown_of_the_head():
    poses = track([(100, 200, 180, 360)] * 2, (480, 640))
    poses.keypoints[:, skeleton.INDEX["nose"]] = (140, 160, 1)
    poses.keypoints[:, skeleton.INDEX["neck"]] = (140, 200, 1)
    assert person_extent(poses)[1] == pytest.approx(130)


def test_letterbox_and_squash():
    poses = track([(0, 0, 100, 200)], (200, 100))
    assert choose_region(poses, 64, 64, "letterbox") == Region(-50, 0, 200, 200)
    assert choose_region(poses, 32, 64, "letterbox") == Region(-150, 0, 400, 200)
    assert choose_region(poses, 64, 64, "squash") == Region(0, 0, 100, 200)


@pytest.mark.parametrize(
    "region", [Region(10, 20, 80, 40), Region(-20, -10, 160, 80), Region(5, 5, 16, 8)]
)
def test_keypoints_stay_on_the_picture(region):
    image = np.zeros((60, 120, 3), np.uint8)
    image[24:32, 12:20] = 255
    frame = cut_out(image, region, 32, 64)
    rows, columns = np.nonzero(frame[..., 0] > 127)
    middle = np.zeros((137, 3), np.float32)
    middle[3] = (16, 28, 0.7)
    x, y, confidence = into_region(middle, region, 32, 64)[3]
    if confidence:
        assert confidence == np.float32(0.7)
        assert abs(columns.mean() + 0.5 - x) < 0.6 and abs(rows.mean() + 0.5 - y) < 0.6
    else:
        assert region.height == 8  # That region does not show it.
    assert (into_region(middle, region, 32, 64)[4] == 0).all()


def test_black_outside_the_source():
    frame = cut_out(np.full((10, 10, 3), 200, np.uint8), Region(-10, 0, 30, 10), 16, 48)
    assert frame.shape == (16, 48, 3)
    assert frame[:, :15].max() == 0 and frame[:, 33:].max() == 0 and frame[:, 18:30].min() == 200
