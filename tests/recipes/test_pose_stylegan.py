"""Pose maps, levels that are faded in, and a run from training to a character that dances."""

import dataclasses
import json

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.cli.after import next_command
from motion_jax.cli.train import TrainOptions
from motion_jax.config import Config, Record, to_json
from motion_jax.data.dolls import Cast
from motion_jax.data.inputs import open_batches
from motion_jax.demos.anime import explained, facts, rows
from motion_jax.errors import UserError
from motion_jax.evaluate.characters import measure
from motion_jax.nets import pose_stylegan as nets
from motion_jax.puppet.bones import JOINT, figure
from motion_jax.puppet.doll import make_doll
from motion_jax.puppet.stances import rest
from motion_jax.recipes.pose_stylegan import (
    Characters,
    Growth,
    Losses,
    Networks,
    PoseStyleGAN,
    Stage,
    coloured,
    over_paper,
)
from motion_jax.train.loop import train
from motion_jax.train.run import load_run
from motion_jax.transfer import performers
from motion_jax.transfer.character_options import CharacterOptions
from motion_jax.transfer.characters import perform
from motion_jax.video.reader import read_frames

SIZE = 32
RECIPE = PoseStyleGAN(
    sizes=Networks(latent=4, style=4, channel_base=64, channel_max=4, pose=2, reader=2),
    characters=Characters(characters=6, poses=8, holdout=0.34),
    main_stage=Stage(steps=2, height=SIZE, width=SIZE, batch_size=2, learning_rate=1e-3),
    averaging=0.9,
)
CONFIG = Config(recipe=RECIPE, record=Record(sample_every=2, log_every=1, trace=False))


def joints_of_rest():
    found = figure(make_doll(0).body, rest(), 24.0, (SIZE / 2, 0.94 * SIZE))
    return found.joints


def test_maps_have_their_peaks_at_the_joints():
    joints = joints_of_rest() * [1 / SIZE, 1 / SIZE, 1]
    joints[:, JOINT["left_ear"]] = 0
    for size in (8, 32):
        drawn = jax.jit(nets.pose_maps, static_argnums=1)
        maps = np.asarray(drawn(jnp.asarray(joints, jnp.float32), size))[0]
        assert maps.shape[-1] == 20 + (19 if size >= 16 else 0)
        assert maps[..., JOINT["left_ear"]].max() == 0
        for number, (x, y, seen) in enumerate(joints[0]):
            if not seen:
                continue
            # A linear model finds the joint again: the mean place, weighted by the map.
            each = maps[..., number] / maps[..., number].sum()
            row, column = np.mgrid[:size, :size]
            place = np.array([(each * column).sum() + 0.5, (each * row).sum() + 0.5])
            assert np.abs(place - size * np.array([x, y])).max() < 0.5
    # The middle of a limb is on it, and a limb with an end that is not seen is not drawn.
    limb = 20 + 2
    ends = joints[0, nets.LIMBS[2], :2]
    row, column = (32 * ends.mean(0))[::-1].astype(int)
    assert maps[row, column, limb] > 0.5
    assert maps[..., 20 + 18].max() == 0


def test_looks_are_found_in_a_picture_and_painted_in_another_pose():
    """The colour of a forearm comes out at the forearm, wherever it is then."""
    before = (joints_of_rest() * [1 / SIZE, 1 / SIZE, 1]).astype(np.float32)
    ends = np.array([JOINT["right_elbow"], JOINT["right_wrist"]])
    number = nets.COUNT + [tuple(limb) for limb in nets.LIMBS].index(tuple(ends))
    picture = np.full((1, SIZE, SIZE, 4), -1.0, np.float32)
    row, column = np.mgrid[:SIZE, :SIZE] + 0.5
    middle = SIZE * before[0, ends, :2].mean(0)
    arm = np.hypot(column - middle[0], row - middle[1]) < 5
    picture[0, arm] = (1.0, -1.0, 0.0, 1.0)
    encoder = nets.Encoder((4, 4, 4, 4), style=4, looks=5)
    code, _ = jax.jit(encoder.init_with_output)(jax.random.key(0), picture, before)
    looks = np.asarray(code)[:, 4:].reshape(1, nets.PARTS, 5)
    np.testing.assert_allclose(looks[0, number, :3], (1, -1, 0), atol=0.02)
    after = before.copy()
    after[0, ends[1], :2] = after[0, ends[0], :2] + [-0.25, 0.0]
    drawn = np.asarray(jax.jit(nets.painted, static_argnums=2)(after, looks[..., :3], SIZE))[0]
    x, y = (SIZE * after[0, ends, :2].mean(0)).astype(int)
    np.testing.assert_allclose(drawn[y, x], (1, -1, 0), atol=0.35)
    assert np.abs(drawn[0, 0]).max() < 0.01


def test_made_up_characters_are_mixtures_of_known_ones():
    generator = nets.Generator((2, 2, 2, 2), latent=64, style=2, pose=2, looks=3)
    random = np.random.default_rng(0)
    both = random.normal(size=(64, 1)).astype(np.float32)
    known = 3.0 + 2.0 * np.repeat(both, 2 + 3 * nets.PARTS, 1)
    variables = {"params": {}, "buffers": {"known": jnp.asarray(known)}}
    z = random.normal(size=(4000, 64)).astype(np.float32)
    w = np.asarray(generator.apply(variables, jnp.asarray(z), method="map"))
    np.testing.assert_allclose(w.mean(0), known.mean(0), atol=0.15)
    np.testing.assert_allclose(w.std(0), known.std(0), rtol=0.05)
    # What goes together in known characters does so in made-up ones.
    np.testing.assert_allclose(w[:, 0], w[:, -1], rtol=1e-4)


def test_without_weight_there_is_no_discriminator():
    plain = dataclasses.replace(RECIPE, losses=Losses(adversarial=0.0))
    assert "discriminator" in RECIPE.networks("main")
    assert set(plain.networks("main")) == {"generator", "encoder", "reader"}
    assert not plain.rhythm("main") and not {"D", "G", "r1"} & set(plain.metrics("main"))
    state = plain.init(jax.random.key(0), "main")
    with open_batches(None, plain.reading("main"), CONFIG.data, seed=1) as batches:
        batch = next(batches)
    step = jax.jit(plain.train_step, static_argnums=2)
    state, metrics = step(state, batch, "main", {})
    assert set(metrics) == {"L1", "matte", "pose", "read"}
    # The codes of the two characters that were met are kept, behind older ones.
    known = np.asarray(state.params["generator"]["buffers"]["known"])
    assert (np.abs(known).max(1) > 0).tolist() == [False, False, True, True]


def test_levels_are_faded_in_one_after_the_other():
    growing = dataclasses.replace(RECIPE, growth=Growth(steps=10, first=8))
    for step, expected in ((0, [1, 1, 0, 0]), (12, [1, 1, 0.4, 0]), (25, [1, 1, 1, 1])):
        np.testing.assert_allclose(growing.shares(jnp.asarray(step)), expected, atol=1e-6)
    assert RECIPE.shares(jnp.asarray(0)) is None
    picture = np.random.default_rng(0).normal(size=(1, 32, 32, 4)).astype(np.float32)
    softened = jax.jit(nets.softened)
    whole = softened(picture, jnp.ones(4))
    np.testing.assert_allclose(whole, picture, atol=1e-5)
    soft = softened(picture, jnp.array([1.0, 1, 0, 0]))
    assert np.asarray(soft).std() < 0.5 * np.asarray(picture).std()


def test_batches_are_rendered_and_kept_apart():
    reading = RECIPE.reading("main")
    with open_batches(None, reading, CONFIG.data, seed=1) as batches:
        first, second = next(batches), next(batches)
    with open_batches(None, reading, CONFIG.data, seed=1, start=2) as batches:
        again = next(batches)
    assert {n: (v.shape, str(v.dtype)) for n, v in first.items()} == reading.shapes()
    for name in first:
        np.testing.assert_array_equal(second[name], again[name])
    cast = Cast(6, 8, 0.34)
    for what, count in (("characters", 6), ("poses", 8)):
        seen, unseen = cast.part(what, True), cast.part(what, False)
        assert sorted([*seen, *unseen]) == list(range(count)) and len(unseen)


def test_colours_are_multiplied_and_laid_over_paper():
    clear = jnp.array([[[[1.0, -1.0, 0.0, -1.0]]]])
    np.testing.assert_allclose(coloured(clear), -1.0)
    solid = jnp.array([[[[1.0, -1.0, 0.0, 1.0]]]])
    np.testing.assert_allclose(over_paper(coloured(solid)), solid[..., :3], atol=1e-6)
    paper = np.asarray(over_paper(coloured(clear)))[0, 0, 0]
    np.testing.assert_allclose((paper + 1) * 127.5, (236, 240, 246), rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"main_stage": dataclasses.replace(RECIPE.main_stage, height=48, width=48)}, "512 pixels"),
        ({"main_stage": dataclasses.replace(RECIPE.main_stage, batch_size=6)}, "multiple of 4"),
        ({"growth": Growth(first=24)}, "no resolution"),
        ({"characters": Characters(holdout=0.0)}, "no such share"),
        ({"averaging": 1.0}, "no decay"),
    ],
)
def test_what_cannot_be_is_refused(change, words):
    with pytest.raises(UserError, match=words):
        dataclasses.replace(RECIPE, **change).validate()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("anime") / "run"
    train(CONFIG, None, folder)
    return folder


@pytest.fixture(scope="module")
def walker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("walker")
    return puppet.make_video(folder, puppet.CHARACTERS["ben"], puppet.dance(6), 64, 64)


def test_a_run_draws_a_character(run, walker, tmp_path):
    assert (run / "samples" / "step-0000002.png").is_file()
    film, poses = walker
    out = tmp_path / "dance.mp4"
    options = CharacterOptions(run=run, source=film, poses=poses, out=out, character=("3",))
    perform(options)
    frames = [frame.image for frame in read_frames(out)]
    assert len(frames) == 6 and frames[0].shape == (64, 64, 3)
    # A pose that is held makes the same picture: nothing flickers.
    loaded = load_run(run)
    performer = performers.of_network(loaded, ("3",))
    found = performers.stood(performer, rest(2))
    one, two = (performer.picture(found, frame) for frame in (0, 1))
    np.testing.assert_array_equal(one, two)
    # Another seed is another character.
    other = performers.of_network(loaded, ("4",))
    assert not np.array_equal(one, other.picture(found, 0))


def test_a_character_is_taken_from_a_picture(run, tmp_path):
    doll = performers.DollPerformer(2, 96)
    picture = doll.picture(performers.stood(doll, rest()), 0)
    path = tmp_path / "me.png"
    cv2.imwrite(str(path), picture[..., [2, 1, 0, 3]])
    loaded = load_run(run)
    performer = performers.of_network(loaded, (str(path), str(path)))
    assert performer.name == "me"
    shown = performers.framed(path, SIZE)
    rows = np.flatnonzero((shown[..., 3] > 127).any(1))
    assert abs(rows[-1] + 1 - 0.94 * SIZE) <= 1 and abs(len(rows) - 0.74 * SIZE) <= 2
    cv2.imwrite(str(path), picture[..., 2::-1])
    with pytest.raises(UserError, match="no clear background"):
        performers.of_network(loaded, (str(path),))
    with pytest.raises(UserError, match="neither a number nor a picture"):
        performers.of_network(loaded, ("nobody.png",))


def test_the_table_is_measured_against_the_truth(run):
    result = measure(load_run(run), count=2)
    assert len(result["examples"]) == 6 and result["flicker"] == 0
    found = {(part, method): l1 for part, method, l1, *_ in rows(result)}
    assert len(found) == 9 and all(np.isfinite(list(found.values())))
    # Two steps teach nothing; the rig bends the true picture.
    assert result["parts"]["both"]["rig"]["iou"] > 0.5
    assert result["parts"]["both"]["rig"]["l1"] < result["parts"]["both"]["trained"]["l1"]
    assert result["identity_of_truth"] >= 0.5
    why = result["perceptual"]
    assert not why or f"No distance by ResNet-50: {why}." in explained(result)
    assert "0 grey levels" in facts(result)["two pictures of one pose differ by"]


def test_training_ends_with_the_command_that_makes_it_dance(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(to_json(CONFIG)))
    line = next_command("train", TrainOptions(run=tmp_path))
    wanted = f"--run {tmp_path} --character 1 --source VIDEO --out OUT.mp4"
    assert line == f"motion-jax animate {wanted}"
