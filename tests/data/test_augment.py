"""Augmentation keeps picture and pose together."""

import numpy as np
import pytest

from motion_jax.data import augment as module
from motion_jax.data.augment import AugmentConfig, augment
from motion_jax.pose.face import face_boxes
from motion_jax.pose.skeleton import FLIP

HEIGHT, WIDTH = 48, 64


@pytest.fixture
def window():
    """Two frames, each with a white square of 4 pixels around every one of three joints."""
    random = np.random.default_rng(0)
    frames = np.zeros((2, HEIGHT, WIDTH, 3), np.uint8)
    keypoints = np.zeros((2, 137, 3), np.float32)
    for frame, points in zip(frames, keypoints, strict=True):
        for joint, (left, top) in {0: (20, 16), 4: (40, 12), 11: (24, 36)}.items():
            left += random.integers(0, 4)
            points[joint] = (left + 2, top + 2, 1)
            frame[top : top + 4, left : left + 4] = 255
    return {
        "frames": frames, "keypoints": keypoints,
        "face_boxes": face_boxes(keypoints, HEIGHT, WIDTH),
    }  # fmt: skip


def brightness_at(window):
    """Grey value of the picture at each observed joint, with the joint's indices."""
    found = np.argwhere(window["keypoints"][..., 2] > 0)
    places = window["keypoints"][found[:, 0], found[:, 1], :2]
    return [
        int(window["frames"][frame, int(y), int(x), 0])
        for (frame, _), (x, y) in zip(found, places, strict=True)
    ], found


def test_off_changes_nothing(window):
    config = AugmentConfig()
    assert not config.active and AugmentConfig(flip=True).active
    same = augment(window, config, np.random.default_rng(1))
    for name in window:
        np.testing.assert_array_equal(same[name], window[name])


@pytest.mark.parametrize("seed", range(6))
def test_joints_stay_on_what_they_mark(window, seed):
    config = AugmentConfig(scale=0.2, shift=0.1, flip=True)
    changed = augment(window, config, np.random.default_rng(seed))
    assert {k: (v.shape, v.dtype) for k, v in changed.items()} == {
        k: (v.shape, v.dtype) for k, v in window.items()
    }
    grey, found = brightness_at(changed)
    assert min(grey) > 200
    joints = {0, 4, 11}
    assert {int(joint) for _, joint in found} in (joints, {int(FLIP[j]) for j in joints})
    assert (changed["keypoints"][changed["keypoints"][..., 2] == 0] == 0).all()
    np.testing.assert_array_equal(
        changed["face_boxes"], face_boxes(changed["keypoints"], HEIGHT, WIDTH)
    )
    # Both frames moved alike.
    before = window["keypoints"][1, 0] - window["keypoints"][0, 0]
    after = changed["keypoints"][1, 0] - changed["keypoints"][0, 0]
    assert abs(abs(after[0]) - abs(before[0])) <= 0.2 * abs(before[0]) + 1e-4


def test_both_mirrored_and_not_happen(window):
    joints = [
        set(
            np.argwhere(
                augment(window, AugmentConfig(flip=True), np.random.default_rng(s))["keypoints"][
                    0, :, 2
                ]
            ).ravel()
        )
        for s in range(12)
    ]
    assert {frozenset(map(int, j)) for j in joints} == {
        frozenset({0, 4, 11}),
        frozenset({0, int(FLIP[4]), int(FLIP[11])}),
    }


def test_half_a_pixel_matters():
    """Twice as large about the middle: a keypoint on an edge of a pixel stays on that edge."""
    frames = np.zeros((1, 8, 8, 3), np.uint8)
    frames[0, 4:, 4:] = 200
    larger = module.move_frames(frames, 2.0, 0, 0)
    assert (larger[0, 4:, 4:, 0] > 100).all() and (larger[0, :4, :4] < 100).all()
    points = np.zeros((137, 3), np.float32)
    points[:2] = [(4, 4, 1), (6, 2, 1)]
    moved = module.move_keypoints(points, 8, 8, 2.0, 1, 0)
    np.testing.assert_allclose(moved[:3], [(5, 4, 1), (9, 0, 1), (0, 0, 0)])


def test_colour_is_the_same_for_all_frames_and_leaves_poses():
    frames = np.full((2, 4, 4, 3), (200, 100, 50), np.uint8)
    grey = round(float(module.LUMA @ (200, 100, 50)))
    assert abs(module.colour(frames, 0, 1, 0).astype(int) - grey).max() <= 1
    np.testing.assert_array_equal(module.colour(frames, 0, 1, 1), frames)
    np.testing.assert_array_equal(module.colour(frames, 0.2, 1, 1)[0, 0, 0], (251, 151, 101))
    assert module.colour(frames, 0, 2, 1)[0, 0, 0].tolist() == [255, 72, 0]
    window = {
        "frames": frames,
        "keypoints": np.ones((2, 137, 3), np.float32),
        "face_boxes": np.full((2, 4), 7, np.float32),
    }
    config = AugmentConfig(brightness=0.3, contrast=0.3, saturation=0.3)
    changed = augment(window, config, np.random.default_rng(0))
    np.testing.assert_array_equal(changed["frames"][0], changed["frames"][1])
    assert (changed["frames"] != frames).any()
    np.testing.assert_array_equal(changed["keypoints"], window["keypoints"])
    np.testing.assert_array_equal(changed["face_boxes"], window["face_boxes"])


def without_keypoints(window):
    """A window that knows poses as pictures alone: red where the frame is white."""
    poses = window["frames"] * np.array([1, 0, 0], np.uint8)
    return window | {
        "keypoints": np.zeros_like(window["keypoints"]),
        "face_boxes": np.float32([[10, 30, 22, 42], [0, 0, 0, 0]]),
        "pose_pictures": poses,
    }


@pytest.mark.parametrize("seed", range(4))
def test_a_ready_pose_picture_moves_as_its_frame(window, seed):
    window = without_keypoints(window)
    config = AugmentConfig(scale=0.2, shift=0.1, flip=True, brightness=0.1)
    changed = augment(window, config, np.random.default_rng(seed))
    geometry = AugmentConfig(scale=0.2, shift=0.1, flip=True)
    plain = augment(window, geometry, np.random.default_rng(seed))
    np.testing.assert_array_equal(changed["pose_pictures"], plain["pose_pictures"])
    np.testing.assert_array_equal(plain["pose_pictures"][..., 0], plain["frames"][..., 0])
    assert (changed["frames"] != plain["frames"]).any(), "colours are the frame's alone"
    assert not changed["pose_pictures"][..., 1:].any()


def test_face_boxes_move_where_no_keypoint_tells_them(window):
    window = without_keypoints(window)
    marked = np.zeros_like(window["frames"])
    marked[0, 10:22, 30:42] = 255
    window["frames"] = marked
    for seed in range(8):
        config = AugmentConfig(scale=0.1, shift=0.1, flip=True)
        changed = augment(window, config, np.random.default_rng(seed))
        rows, columns = np.nonzero(changed["frames"][0, ..., 0] > 127)
        top, left, bottom, right = changed["face_boxes"][0]
        assert (bottom - top, right - left) == pytest.approx((12, 12), abs=1e-4)
        assert (top + bottom) / 2 == pytest.approx(rows.mean() + 0.5, abs=0.6)
        assert (left + right) / 2 == pytest.approx(columns.mean() + 0.5, abs=0.6)
        assert not changed["face_boxes"][1].any()


def test_a_random_piece_is_the_same_of_everything(window):
    places = set()
    for seed in range(40):
        config = AugmentConfig(crop=True)
        piece = augment(window, config, np.random.default_rng(seed), (40, 60))
        assert piece["frames"].shape == (2, 40, 60, 3)
        grey, found = brightness_at(piece)
        assert not len(grey) or min(grey) > 200
        seen = piece["keypoints"][0, 0]
        if seen[2]:
            places.add(tuple((window["keypoints"][0, 0] - seen)[:2].astype(int)))
    assert {x for x, _ in places} == set(range(5)) and {y for _, y in places} == set(range(9))
    middle = module.cut(window, 40, 60)
    np.testing.assert_array_equal(middle["frames"], window["frames"][:, 4:44, 2:62])
    points = without_keypoints(window)["keypoints"], window["face_boxes"]
    _, boxes = module.changed_points(*points, module.Change(corner=(0, 0)), 40, 20)
    assert not boxes.any(), "its middle is not in this piece"


def test_crop_draws_after_the_others(window):
    """Switching it on changes nothing of what the other settings draw."""
    config = AugmentConfig(shift=0.1, flip=True)
    with_crop = AugmentConfig(shift=0.1, flip=True, crop=True)
    same = [
        augment(window, c, np.random.default_rng(3), (HEIGHT, WIDTH)) for c in (config, with_crop)
    ]
    np.testing.assert_array_equal(same[0]["frames"], same[1]["frames"])
