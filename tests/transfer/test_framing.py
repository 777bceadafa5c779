"""What a photo and a film are cut to, and the frame that is in the photo's pose."""

import numpy as np
import pytest

from motion_jax.data.crop import Region
from motion_jax.errors import UserError
from motion_jax.nets.keypoints import Keypoints
from motion_jax.pose.skeleton import BODY, COUNT, FACE
from motion_jax.pose.track import PoseTrack
from motion_jax.transfer.animator import drawn, smoothed
from motion_jax.transfer.best_frame import best_frame, landmark_distances
from motion_jax.transfer.framing import around_face, framing, middle, pasted


def test_the_middle_has_the_proportions_of_the_run():
    assert middle(100, 300, (64, 64)) == Region(100, 0, 100, 100)
    assert middle(300, 100, (64, 64)) == Region(0, 100, 100, 100)
    assert middle(100, 100, (64, 128)) == Region(0, 25, 100, 50)


def test_one_cut_holds_all_faces_and_the_head_around_them():
    # A face of 20 pixels that moves to the right by 40.
    extents = np.array([[30.0 + x, 50, 50 + x, 70] for x in range(0, 41, 4)])
    region = around_face(extents, (64, 64))
    assert region.width == region.height
    assert region.left < 30 - 10 and region.left + region.width > 90 + 10
    assert region.top < 50 - 10 and region.top + region.height > 70 + 10


def test_a_cut_of_two_pixels_is_refused(tmp_path):
    with pytest.raises(UserError, match="2x2 pixels, too little"):
        framing(tmp_path / "x.png", "none", (2, 3), (64, 64))


def test_a_part_is_put_back_with_soft_edges():
    photo = np.zeros((60, 80, 3), np.uint8)
    part = np.full((16, 16, 3), 200, np.uint8)
    result = pasted(photo, Region(20, 10, 40, 40), part)
    assert (result[30, 40] == 200).all() and not result[:10].any() and not result[:, :20].any()
    assert 0 < result[30, 21, 0] < 200
    # At the photo's own edge nothing fades; what lies beyond it is left out.
    result = pasted(photo, Region(-10, -10, 40, 40), part)
    assert (result[0, 0] == 200).all() and not result[35:].any()


def test_the_best_frame_has_the_photos_shape_whatever_its_place_and_size():
    random = np.random.default_rng(0)
    photo = random.normal(size=(5, 2))
    film = random.normal(size=(6, 5, 2))
    film[3], film[5] = 0.5 * photo + 0.3, 0.5 * photo + 0.1
    number, distances = best_frame(photo, film)
    assert number == 3 and distances[3] == pytest.approx(0, abs=1e-12) and distances[0] > 0.1
    # Points on one line have no hull.
    line = np.stack([np.linspace(0, 1, 4)] * 2, 1)
    assert best_frame(line, np.stack([line, 2 * line]))[0] == 0


def poses(keypoints, lost=()):
    reasons = tuple("lost" if i in lost else "" for i in range(len(keypoints)))
    return PoseTrack(keypoints, np.arange(len(keypoints)) / 25, (100, 100), reasons)


@pytest.mark.parametrize("kind, part", [("face", FACE), ("person", BODY)])
def test_landmarks_tell_which_frame_is_in_the_photos_pose(kind, part):
    random = np.random.default_rng(0)
    keypoints = np.zeros((6, COUNT, 3), np.float32)
    keypoints[..., :2], keypoints[..., 2] = random.uniform(0, 100, (6, COUNT, 2)), 1
    photo = keypoints[:1].copy()
    # The photo's pose elsewhere and smaller; what is not compared differs. Frame 1 is lost.
    for frame in (1, 3):
        keypoints[frame, part, :2] = 0.5 * photo[0, part, :2] + 7
    keypoints[0] = keypoints[5]
    distances = landmark_distances(poses(photo), poses(keypoints, lost=(1,)), kind)
    assert np.argmin(distances) == 3 and distances[1] == np.inf
    assert distances[3] == pytest.approx(0, abs=1e-9) and distances[0] > 0.01
    # The points of the sum that the original takes, but by point: for all the same order.
    count = 68 if kind == "face" else 25
    points = keypoints[:, part][:, :count, :2]
    _, sums = best_frame(photo[0, part][:count, :2], points)
    np.testing.assert_allclose(np.delete(distances, 1), np.delete(sums, 1) / count)


def test_too_few_common_points_say_nothing():
    random = np.random.default_rng(0)
    keypoints = np.zeros((2, COUNT, 3), np.float32)
    keypoints[:, BODY, :2], keypoints[:, BODY, 2] = random.uniform(0, 100, (2, 25, 2)), 1
    photo = keypoints[:1].copy()
    keypoints[1, :10] = 0  # 15 of 25 are fewer than three quarters.
    distances = landmark_distances(poses(photo), poses(keypoints), "person")
    assert distances[0] == 0 and distances[1] == np.inf
    assert landmark_distances(poses(photo), poses(keypoints[1:]), "person") is None
    assert landmark_distances(poses(photo), poses(keypoints), "face") is None


def test_smoothing_takes_trembling_away():
    random = np.random.default_rng(0)
    value = random.normal(0, 0.01, (50, 3, 2)).astype(np.float32)
    points = Keypoints(value, np.tile(np.eye(2, dtype=np.float32), (50, 3, 1, 1)))
    found = smoothed(points, np.arange(50) / 25)
    assert np.diff(found.value, axis=0).std() < 0.5 * np.diff(value, axis=0).std()
    np.testing.assert_allclose(found.jacobian, points.jacobian)


def test_keypoints_are_drawn_where_they_are():
    canvas = drawn(np.zeros((32, 32, 3), np.uint8), np.array([[-1.0, -1.0], [0.0, 0.0]]), 2)
    assert canvas.shape == (64, 64, 3)
    assert canvas[0, 0].any() and canvas[32, 32].any() and not canvas[60, 5].any()
