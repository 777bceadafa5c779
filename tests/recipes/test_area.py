"""The area around the person: its size and place, cut out and laid back, in training as in use."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_dance import RECIPE

from motion_jax.errors import UserError
from motion_jax.pose.skeleton import FACE
from motion_jax.recipes import area, picture_losses
from motion_jax.recipes.crops import crop, paste
from motion_jax.recipes.pix2pixhd import Pix2PixHD, Stage

HEIGHT, WIDTH = 24, 40
STAGE = replace(RECIPE.global_stage, height=HEIGHT, width=WIDTH, num_D=1)
EDN = replace(
    RECIPE,
    global_stage=replace(STAGE, height=HEIGHT // 2, width=WIDTH // 2),
    local_stage=STAGE,
    face_stage=replace(STAGE, steps=0, decay_steps=0),
    background="plate",
    previous="none",
    area="person",
)
HD = Pix2PixHD(
    generator=EDN.generator,
    discriminator=EDN.discriminator,
    losses=picture_losses.Losses(perceptual="none", l1=5.0),
    global_stage=Stage(steps=10, height=HEIGHT, width=WIDTH, num_D=1),
    background="plate",
    area="person",
)
SIZED = [replace(recipe, area_height=16, area_width=12) for recipe in (EDN, HD)]


def person(x, y, count=1):
    """Poses of a few joints around (x, y), 4 pixels wide and 10 high."""
    keypoints = np.zeros((count, 137, 3), np.float32)
    keypoints[:, [0, 1, 8, 11, 14]] = [(x, y - 5, 1), (x, y - 2, 1), (x, y, 1),
                                       (x - 2, y + 5, 1), (x + 2, y + 5, 1)]  # fmt: skip
    return keypoints


def test_a_part_is_cut_out_and_laid_back():
    random = np.random.default_rng(0)
    images = jnp.asarray(random.integers(0, 256, (3, HEIGHT, WIDTH, 3), np.uint8))
    parts = jnp.asarray(random.integers(0, 256, (3, 16, 12, 3), np.uint8))
    places = jnp.array([[0, 0], [8, 28], [3, 7]])
    cut = crop(images, places, (16, 12))
    for image, part, (top, left) in zip(images, cut, places.tolist(), strict=True):
        np.testing.assert_array_equal(part, image[top : top + 16, left : left + 12])
    np.testing.assert_array_equal(paste(images, cut, places), images)
    np.testing.assert_array_equal(crop(paste(images, parts, places), places, (16, 12)), parts)


def test_the_place_is_around_all_joints_within_the_frame_and_moves_in_steps():
    def place(keypoints, step=2):
        return area.corners(jnp.asarray(keypoints), (16, 12), (HEIGHT, WIDTH), step).tolist()

    assert place(person(20, 12)) == [4, 14]
    assert place(person(21.9, 12)) == [4, 16], "in steps"
    assert place(person(21.9, 12), 4) == [4, 16] and place(person(21.9, 12), 8) == [0, 16]
    assert place(person(1, 1)) == [0, 0] and place(person(39, 30)) == [8, 28], "in the frame"
    # Two frames have one place.
    both = np.concatenate([person(10, 12), person(22, 12)])
    assert place(both) == [4, 10]
    assert place(np.stack([person(10, 12), person(22, 12)])) == [[4, 4], [4, 16]]
    # Who is not there is awaited in the middle; a face alone, and unsure hands, say nothing.
    nobody = np.zeros((1, 137, 3), np.float32)
    assert place(nobody) == [4, 14]
    nobody[:, FACE] = nobody[:, 100] = (1, 1, 1)
    nobody[:, 100, 2] = 0.04
    assert place(nobody) == [4, 14]


def test_the_size_holds_the_person_at_any_time():
    size = {"frame": (64, 96), "step": 2, "multiple": 8, "least": 16}
    still = person(30, 30, 6)
    # 10 high and 4 wide, 0.8 for what reaches beyond on each side, and a step.
    assert area.size_found(still, [(0, 6)], 2, **size) == (16, 16)
    size["least"] = 8
    assert area.size_found(still, [(0, 6)], 2, **size) == (16, 8)
    moves = np.concatenate([person(10, 30), person(20, 30), person(60, 30)])
    assert area.size_found(moves, [(0, 3)], 1, **size) == (16, 8)
    assert area.size_found(moves, [(0, 3)], 2, **size) == (16, 48), "both frames of a window"
    assert area.size_found(moves, [(0, 2)], 2, **size) == (16, 24), "of training alone"
    assert area.size_found(moves, [(0, 3)], 2, **size | {"frame": (64, 24)}) == (16, 24)
    assert area.size_found(0 * moves, [(0, 3)], 2, **size) == (64, 96), "nothing is known"


def test_poses_that_do_not_fit_are_known():
    poses = np.concatenate([person(20, 12), person(1, 12), person(20, 12)])
    poses[2, 4] = (35, 12, 1)
    assert SIZED[0].beyond(poses, "local").tolist() == [False, False, True]
    # What is outside of the frame is not seen anyway.
    assert not SIZED[0].beyond(person(39, 12), "local").any()
    assert not EDN.beyond(poses, "local").any()


def batch(stage, count=2, seed=0):
    random, (height, width) = np.random.default_rng(seed), (stage.height, stage.width)
    share = height / HEIGHT
    poses = np.stack([person(8, 12, 2), person(33, 15, 2)])[:count]
    poses[0, 1] += (6, 0, 0)
    poses[..., :2] *= share
    boxes = np.concatenate([poses[:, :, 0, 1::-1] - 2, poses[:, :, 0, 1::-1] + 2], -1)
    boxes[0, 0] = 0
    shape = count, 2, height, width, 3
    return {
        "keypoints": poses,
        "face_boxes": boxes,
        "frames": random.integers(0, 256, shape, np.uint8),
        "plates": random.integers(0, 256, shape, np.uint8),
    }


@pytest.mark.parametrize("recipe", SIZED, ids=lambda recipe: recipe.name)
def test_training_sees_the_pixels_of_the_area(recipe):
    for name, stage in recipe.stages().items():
        whole = {k: jnp.asarray(v) for k, v in batch(stage).items()}
        part = recipe.within(whole, name)
        rows, columns = recipe.drawn_size(name)
        assert (rows, columns) == (16 * stage.height // HEIGHT, 12 * stage.width // WIDTH)
        assert part["frames"].shape == part["plates"].shape == (2, 2, rows, columns, 3)
        places = recipe.place_of(whole["keypoints"], name)
        poses = recipe.draw(whole["keypoints"], stage.height, stage.width)
        drawn = recipe.pictured(part["keypoints"], name)
        for n, (top, left) in enumerate(places.tolist()):
            here = slice(None), slice(top, top + rows), slice(left, left + columns)
            for each in ("frames", "plates"):
                np.testing.assert_array_equal(part[each][n], whole[each][n][here])
            np.testing.assert_allclose(drawn[n], poses[n][here], atol=2e-5)
        shift = jnp.concatenate([places, places], -1)[:, None]
        np.testing.assert_allclose(part["face_boxes"] + shift, whole["face_boxes"], atol=1e-5)
        # The networks are made, and their work is reckoned, for pictures of that size.
        assert recipe.networks(name)["generator"].inputs[0].shape[1:3] == (rows, columns)


def test_a_step_trains_on_areas():
    recipe = SIZED[0]
    state = recipe.init(jax.random.key(0), "global")
    known = {k: jnp.asarray(v) for k, v in batch(recipe.global_stage).items()}
    _, metrics = recipe.train_step(state, known, "global", {})
    assert all(np.isfinite(value) for value in metrics.values())
    # What is far from the person changes nothing.
    other = known | {"frames": known["frames"].at[:, :, :, 12:13].set(0)}
    _, again = recipe.train_step(state, other, "global", {})
    assert metrics["G_L1"] == again["G_L1"]


@pytest.mark.parametrize("recipe", SIZED, ids=lambda recipe: recipe.name)
def test_the_rest_of_the_frame_is_the_plate(recipe):
    name = list(recipe.stages())[-1]
    random = np.random.default_rng(1)
    state = jax.tree.map(lambda x: 8 * x, recipe.init(jax.random.key(3), name).params)
    params = {"generator": state["generator"]}
    plates = random.integers(0, 256, (2, HEIGHT, WIDTH, 3), np.uint8)
    poses = np.concatenate([person(12, 12), person(16, 14)])
    clip = {"keypoints": poses, "face_boxes": np.zeros((2, 4), np.float32), "plates": plates}

    def made(clip):
        start = recipe.start(params, None, name)
        frames = recipe.synthesize(params, recipe.seen(clip), start, name)[0]
        return np.asarray(frames)

    frames = made(clip)
    shown = np.zeros((2, HEIGHT, WIDTH), bool)
    shown[0, 4:20, 6:18] = shown[1, 6:22, 10:22] = True
    before = plates.astype(np.float32) / 127.5 - 1
    np.testing.assert_allclose(frames[~shown], before[~shown], atol=1e-6)
    assert np.abs(frames - before)[shown].mean() > 0.01
    # Without a plate nothing is there, and the person is the same.
    layers = made({k: v for k, v in clip.items() if k != "plates"})
    assert layers.shape == (2, HEIGHT, WIDTH, 4) and (layers[..., 3][~shown] == -1).all()
    alpha = (layers[..., 3:] + 1) / 2
    np.testing.assert_allclose(
        frames, np.clip(alpha * layers[..., :3] + (1 - alpha) * before, -1, 1), atol=1e-5
    )
    # Wherever the person is, the picture is the same.
    np.testing.assert_allclose(layers[0, 4:20, 6:18], layers[1, 6:22, 10:22], atol=1e-4)


def test_what_cannot_be_is_said():
    for recipe in SIZED:
        recipe.validate()
    assert EDN.area_multiple == 4 and EDN.area_step == 2 and HD.area_step == 1
    for changes, sentence in (
        ({"previous": "own"}, "recipe.previous = 'none'"),
        ({"background": "drawn"}, "recipe.background = 'plate'"),
        ({"area": "all"}, "neither 'frame' nor 'person'"),
        ({"area": "frame"}, "are for recipe.area = 'person'"),
        ({"area_height": 18}, "is no multiple of 4 from 8 to 24"),
        ({"area_width": 44}, "from 8 to 40"),
        ({"global_stage": replace(EDN.global_stage, width=32)}, "no whole fraction"),
    ):
        with pytest.raises(UserError, match=sentence):
            replace(SIZED[0], **changes).validate()
    ready = {"pose_pictures": np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)}
    with pytest.raises(UserError, match="do not say where the person is"):
        SIZED[0].seen(ready)
