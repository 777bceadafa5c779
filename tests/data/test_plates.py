"""Plates: the background of a clip without the person, still, shaken, under changing light."""

import cv2
import numpy as np
import pytest

from motion_jax.data import records
from motion_jax.data.augment import AugmentConfig
from motion_jax.data.find_plates import filled, make_plates, person_mask, with_plates
from motion_jax.data.pairs import Frames, batches
from motion_jax.data.plates import Plates, read_plates, write_plates
from motion_jax.errors import UserError
from motion_jax.pose.skeleton import INDEX

HEIGHT, WIDTH, FRAMES = 96, 128, 40
# Hip, neck, head and feet of a person 50 pixels high whose hip is at 0.
BODY = {
    "nose": (0, -22), "neck": (0, -16), "mid_hip": (0, 0), "right_hip": (-3, 0),
    "left_hip": (3, 0), "right_ankle": (-4, 26), "left_ankle": (4, 26),
    "right_shoulder": (-5, -16), "left_shoulder": (5, -16), "right_knee": (-3, 13),
    "left_knee": (3, 13),
}  # fmt: skip


def texture(seed=0):
    """A background with something to see everywhere, smooth enough to be moved by parts of
    pixels."""
    noise = np.random.default_rng(seed).integers(0, 256, (HEIGHT + 40, WIDTH + 40, 3))
    smooth = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 2.0)
    smooth = (smooth - smooth.mean()) * 5 + 110
    return np.clip(smooth, 0, 255).astype(np.uint8)


def dataset(folder, background, walks=True, person=True):
    """A dark person who walks over backgrounds: `background(i)` -> uint8 [H, W, 3]."""
    rows = []
    for i in range(FRAMES):
        keypoints = np.zeros((137, 3), np.float32)
        x = 20 + 88 * i / FRAMES if walks else WIDTH / 2
        frame = background(i).copy()
        for name, (right, down) in BODY.items():
            keypoints[INDEX[name]] = x + right, HEIGHT / 2 + down, 1
        if person:
            left = round(x) - 5
            frame[HEIGHT // 2 - 26 : HEIGHT // 2 + 28, left : left + 11] = (20, 10, 30)
        rows.append(
            {"frame": frame, "keypoints": keypoints, "face_box": np.zeros(4, np.float32),
             "clip": 0, "index": i, "time": i / 25}
        )  # fmt: skip
    path = records.shard_path(folder, 0, 1)
    records.write_shard(path, rows, HEIGHT, WIDTH, "png")
    info = records.DatasetInfo(
        HEIGHT, WIDTH, ((0, 0, 0, FRAMES),), ({"file": "a.mp4"},), picture="png"
    )
    records.finish_dataset(folder, info, [FRAMES])
    return records.open_dataset(folder)


def still(_):
    return texture()[20:-20, 20:-20]


def error(a, b):
    return np.abs(a.astype(float) - b).mean()


def test_the_plate_is_the_room_without_the_person(tmp_path):
    noise = np.random.default_rng(1)

    def noisy(i):
        return np.clip(still(i) + noise.normal(0, 3, still(i).shape), 0, 255).astype(np.uint8)

    plates = make_plates(dataset(tmp_path / "d", noisy), 0.25)
    assert not plates.follows
    assert error(plates.of(0, True), still(0)) < 1.5, "noise is averaged out, and nobody is left"
    # The held-out end of the clip has the same plate.
    np.testing.assert_array_equal(plates.of_record, 0)


def test_what_the_person_always_hides_is_filled_from_around_it(tmp_path):
    def plain(_):
        ramp = np.linspace(60, 160, WIDTH)[None, :, None]
        return np.broadcast_to(ramp, (HEIGHT, WIDTH, 3)).astype(np.uint8)

    plates = make_plates(dataset(tmp_path / "d", plain, walks=False), 0.25)
    assert np.abs(plates.of(0, True).astype(int) - plain(0)).max() < 25


def test_a_pattern_beside_the_person_stays(tmp_path):
    made = dataset(tmp_path / "d", still, walks=False)
    plate = make_plates(made, 0.25).of(0, True)
    # A little further than the mask reaches, and everywhere else, the room is as it is.
    mask = person_mask(made.keypoints()[0], HEIGHT, WIDTH, 9)
    assert error(plate[~mask], still(0)[~mask]) < 1
    assert error(plate, still(0)) < 8


def test_filled_keeps_what_is_known():
    picture = np.random.default_rng(0).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    unknown = np.zeros((33, 47), bool)
    unknown[5:30, 9:40] = True
    made = filled(picture, unknown)
    np.testing.assert_array_equal(made[~unknown], picture[~unknown])
    assert made[unknown].std() < picture[unknown].std() / 2
    np.testing.assert_array_equal(filled(picture, np.zeros_like(unknown)), picture)
    grey = np.full_like(picture, 77)
    np.testing.assert_allclose(filled(grey, unknown), 77, atol=1)


def test_a_shaking_camera_is_followed(tmp_path):
    random = np.random.default_rng(2)
    shifts = random.uniform(-3, 3, (FRAMES, 2))

    def shaken(i):
        matrix = np.array([[1, 0, -20 + shifts[i, 0]], [0, 1, -20 + shifts[i, 1]]])
        return cv2.warpAffine(texture(), matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC)

    made = dataset(tmp_path / "d", shaken)
    plates = make_plates(made, 0.25)
    assert plates.motion is not None and plates.light is None
    inner = np.s_[10:-10, 10:-10]
    followed, alone = (
        np.mean([error(plates.of(i, way)[inner], shaken(i)[inner]) for i in range(30)])
        for way in (True, False)
    )
    assert followed < 4 and alone > 3 * followed
    # At half the size they are followed as well.
    half = plates.resized(HEIGHT // 2, WIDTH // 2)
    small = cv2.resize(shaken(5), (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
    assert error(half.of(5, True)[6:-6, 6:-6], small[6:-6, 6:-6]) < 6


def test_changing_light_is_followed(tmp_path):
    factors = 1 + 0.2 * np.sin(np.arange(FRAMES) / 3)

    def lit(i):
        return np.clip(still(i) * factors[i] * [1, 1, 0.9], 0, 255).astype(np.uint8)

    plates = make_plates(dataset(tmp_path / "d", lit), 0.25)
    assert plates.light is not None and plates.motion is None
    found = plates.light[:30] / plates.light[0]
    wanted = (factors[:30] / factors[0])[:, None]
    np.testing.assert_allclose(found, np.broadcast_to(wanted, found.shape), rtol=0.05)
    assert error(plates.of(7, True), lit(7)) < error(plates.of(7, False), lit(7)) / 2


def test_a_camera_that_travels_has_no_plate(tmp_path):
    def travels(i):
        wide = np.tile(texture(), (1, 3, 1))
        return wide[20:-20, 2 * i : 2 * i + WIDTH]

    with pytest.raises(UserError, match=r"The camera moves in clip 0 .* train with") as caught:
        make_plates(dataset(tmp_path / "d", travels), 0.25)
    assert "recipe.background" in str(caught.value)


def test_plates_are_kept_with_a_run(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 8, 10, 3), dtype=np.uint8)
    clips = [(0, 3), (3, 4)]
    write_plates(tmp_path, Plates(pictures, np.array([1, 1, 1, 0, 0, 0, 0])), clips)
    again = read_plates(tmp_path, clips)
    np.testing.assert_array_equal(again.pictures, pictures)
    np.testing.assert_array_equal(again.of_record, [1, 1, 1, 0, 0, 0, 0])
    # Of other clips nothing is known: they get the longest clip's.
    np.testing.assert_array_equal(read_plates(tmp_path, [(0, 2)]).of_record, [0, 0])
    (tmp_path / "plates" / "1.png").unlink()
    with pytest.raises(UserError, match="plates of the run .* are missing or damaged"):
        read_plates(tmp_path, clips)


def test_a_plate_is_varied_as_its_frame(tmp_path):
    # Nobody is in these frames, so each is its plate, whatever augmentation does to both.
    made = dataset(tmp_path / "d", still, person=False)
    made = with_plates(made, make_plates(made, 0.25))
    change = AugmentConfig(
        scale=0.2, shift=0.1, flip=True, brightness=0.1, contrast=0.3, saturation=0.3
    )
    settings = {"height": HEIGHT // 2, "width": WIDTH // 2, "batch_size": 4, "seed": 0}
    with batches(made, window=2, holdout=0.25, augment=change, **settings) as reading:
        for _ in range(4):
            batch = next(reading)
            assert batch["plates"].shape == (4, 2, HEIGHT // 2, WIDTH // 2, 3)
            assert np.abs(batch["plates"].astype(int) - batch["frames"]).max() <= 2
    with batches(made, window=2, holdout=0.25, **settings) as reading:
        assert np.abs(next(reading)["plates"].astype(int) - still(0)[::2, ::2].mean()).max() > 20


def test_frames_without_plates_give_none(tmp_path):
    window = Frames(dataset(tmp_path / "d", still), HEIGHT, WIDTH).window(0, 2)
    assert "plates" not in window


def test_a_pose_masks_the_trunk_and_what_is_around_the_limbs():
    keypoints = np.zeros((137, 3), np.float32)
    assert not person_mask(keypoints, HEIGHT, WIDTH, 4).any()
    for name, (right, down) in BODY.items():
        keypoints[INDEX[name]] = 60 + right, 48 + down, 1
    mask = person_mask(keypoints, HEIGHT, WIDTH, 3)
    assert mask[40, 60] and mask[48 + 26, 60 - 4] and mask[48 + 26, 60 - 7]
    assert not mask[48 + 26, 60 - 12]
