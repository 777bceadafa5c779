"""Every recipe through the whole program: training, stopping, samples, transfer, evaluation."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from motion_jax.config import Config, Data, Record, load_config
from motion_jax.errors import UserError
from motion_jax.evaluate.evaluate import evaluate
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes import cyclegan, pix2pix, pix2pixhd
from motion_jax.train.checkpoint import Checkpoints, parameter_hash
from motion_jax.train.loop import train
from motion_jax.train.record import read_metrics
from motion_jax.train.run import load_run
from motion_jax.train.step import abstract_state
from motion_jax.transfer.command import prepared
from motion_jax.transfer.options import TransferOptions
from motion_jax.video.reader import read_frames
from motion_jax.video.writer import VideoWriter

STYLE = PoseStyle(face_points=0, hands=False, stroke=2.0)
STAGE = pix2pix.Stage(steps=3, decay_steps=1, height=32, width=32, batch_size=2)
RECIPES = {
    "pix2pix": pix2pix.Pix2Pix(
        generator=pix2pix.Generator(ngf=2, n_downsampling=5),
        discriminator=pix2pix.Discriminator(ndf=2, n_layers=1),
        main_stage=STAGE,
        pose_style=STYLE,
        averaging=0.9,
    ),
    "pix2pixhd": pix2pixhd.Pix2PixHD(
        generator=pix2pixhd.Generator(ngf=2, n_downsampling=1, n_blocks=1, n_blocks_local=1),
        discriminator=pix2pixhd.Discriminator(ndf=2, n_layers=1),
        losses=pix2pixhd.Losses(perceptual="none", l1=10.0),
        global_stage=pix2pixhd.Stage(steps=1, height=16, width=16, num_D=1),
        local_stage=pix2pixhd.Stage(steps=2, height=32, width=32, num_D=1),
        pose_style=STYLE,
    ),
    "cyclegan": cyclegan.CycleGAN(
        generator=pix2pix.Generator("resnet", 2, n_blocks=0, norm="instance", dropout=False),
        discriminator=pix2pix.Discriminator("pixel", 2, norm="instance"),
        losses=cyclegan.Losses(identity=0.0),
        main_stage=STAGE,
        pool_size=2,
    ),
}
RECORD = Record(
    log_every=1, sample_every=100, sample_seconds=0.1, checkpoint_every=1, keep=9, trace=False
)
LOSSES = {
    "pix2pix": {"G_GAN", "G_L1", "D_real", "D_fake"},
    "pix2pixhd": {"G_GAN", "G_GAN_Feat", "G_L1", "D_real", "D_fake"},
    "cyclegan": {f"{loss}_{side}" for loss in ("D", "G", "cycle") for side in "AB"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, dataset, unpaired):
    """name -> (config, dataset, run folder), each trained once."""
    made = {}

    def run(name):
        if name not in made:
            config = Config(recipe=RECIPES[name], data=Data(holdout=0.25), record=RECORD)
            data = unpaired if name == "cyclegan" else dataset
            folder = tmp_path_factory.mktemp("recipes") / name
            train(config, data, folder)
            made[name] = config, data, folder
        return made[name]

    return run


def final_state(config, folder):
    with Checkpoints(folder / "checkpoints", read_only=True) as checkpoints:
        step = checkpoints.latest()
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        name = checkpoints.record(step)["stage"]
        return step, checkpoints.restore(step, abstract_state(config, name, sharding))


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_can_be_stopped_and_gone_on_with(runs, name, tmp_path):
    import shutil

    config, data, folder = runs(name)
    rows = read_metrics(folder)
    assert [row["total_step"] for row in rows] == [1, 2, 3]
    assert LOSSES[name] <= set(rows[-1])
    assert list((folder / "samples").glob("*3.png")) and list((folder / "samples").glob("*3.mp4"))
    assert json.loads((folder / "config.json").read_text())["recipe"]["type"] == name
    # What a kill after two steps would have left.
    shutil.copytree(folder, tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "checkpoints" / "3")
    train(config, data, tmp_path / "again")
    (step, whole), (_, again) = final_state(config, folder), final_state(config, tmp_path / "again")
    assert step == 3
    for part in ("params", "optimizer", "averaged"):
        assert parameter_hash(getattr(whole, part)) == parameter_hash(getattr(again, part))
    if name == "cyclegan":
        assert parameter_hash(whole.pools) == parameter_hash(again.pools)
        assert whole.pools["A"]["count"] == 2
    if name == "pix2pix":
        # Running statistics are averaged with the parameters; no optimiser knows them.
        assert set(whole.averaged["generator"]) == {"params", "batch_stats"}
        counts = whole.params["discriminator"]["batch_stats"]
        assert counts["layer_1_norm"]["count"] == 9


@pytest.mark.parametrize("name", ["pix2pix", "pix2pixhd"])
def test_evaluation(runs, name, tmp_path, capsys):
    _, _, folder = runs(name)
    result = evaluate(EvaluateOptions(folder, out=tmp_path, reestimate="no", json=True))
    assert set(result["methods"]) == {"trained", "nearest_frame"}
    assert result["methods"]["trained"]["psnr"] > 0


def test_a_cyclegan_of_frames_has_no_truth_to_be_compared_with(runs):
    with pytest.raises(UserError, match="not paired, so there is no true frame"):
        evaluate(EvaluateOptions(runs("cyclegan")[2]))


@pytest.fixture
def source(tmp_path):
    with VideoWriter(tmp_path / "source.mp4", 32, 32) as writer:
        for i in range(3):
            # Some texture: a plain picture has no variance to be normalised by.
            picture = np.random.default_rng(i).integers(0, 256, (4, 4, 3), np.uint8)
            writer.write(picture.repeat(8, 0).repeat(8, 1), i / 25)
    return tmp_path / "source.mp4"


def test_transfer_shows_a_cyclegan_the_frames(runs, source, tmp_path):
    """Without poses; bit for bit what the run makes of them."""
    folder = runs("cyclegan")[2]
    driven = prepared(TransferOptions(source, tmp_path / "out.mp4", folder, chunk=2))
    shown = [picture for _, picture in driven.player.play(driven.moments)]
    frames = np.stack([frame.image for frame in read_frames(source)])
    made = load_run(folder).synthesizer().feed(frames)
    np.testing.assert_array_equal(np.stack(shown), made)
    assert (made[0] != made[1]).any() and (made[0] != frames[0]).any()


def test_ways_to_run_a_trained_generator(runs):
    run = load_run(runs("pix2pix")[2])
    keypoints = np.zeros((3, 137, 3), np.float32)
    keypoints[:, [0, 1, 8], :] = [(16, 4, 1), (16, 8, 1), (16, 20, 1)]
    keypoints[2, 8, 0] += 9
    made = {
        name: run.tested(**changes).synthesizer(chunk=chunk).feed(keypoints)
        for name, chunk, changes in (
            ("batch", 1, {}),
            ("chunked", 3, {}),
            ("running", 1, {"statistics": "running"}),
            ("dropout", 1, {"dropout_seed": 0}),
        )
    }
    # A picture is normalised by itself, whatever comes with it; equal poses give equal pictures.
    np.testing.assert_array_equal(made["batch"], made["chunked"])
    for pictures in made.values():
        np.testing.assert_array_equal(pictures[0], pictures[1])
    assert (made["running"] != made["batch"]).any()
    # Five halvings leave no level with dropout.
    np.testing.assert_array_equal(made["dropout"], made["batch"])
    with pytest.raises(UserError, match="neither batch norm nor dropout"):
        load_run(runs("pix2pixhd")[2]).tested(statistics="running")


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        (replace(RECIPES["pix2pix"], main_stage=replace(STAGE, width=48)),
         "main_stage.width = 48 must be divisible by 32 .* the U-Net's 5 halvings.*: 32 and 64. "
         "No number of halvings fits 48x32; recipe.generator.kind resnet"),
        (replace(RECIPES["pix2pix"], main_stage=replace(STAGE, width=128, height=384),
                 generator=pix2pix.Generator()),
         "must be divisible by 256 .*512. Or give recipe.generator.n_downsampling 7, the most "
         "that fit 128x384."),
        (replace(RECIPES["pix2pix"], generator=pix2pix.Generator(n_downsampling=4)),
         "has 5 halvings or more"),
        (replace(RECIPES["pix2pix"], discriminator=pix2pix.Discriminator(n_layers=4)),
         "a PatchGAN of 4 strided layers needs pictures of at least 48"),
        (replace(RECIPES["pix2pix"], main_stage=replace(STAGE, steps=0)), "trains nothing"),
        (replace(RECIPES["cyclegan"], pool_size=-1), "pool_size = -1 is less than 0"),
        (replace(RECIPES["cyclegan"], main_stage=replace(STAGE, batch_size=0)), "at least 1"),
        (replace(RECIPES["pix2pixhd"], losses=pix2pixhd.Losses(),
                 global_stage=pix2pixhd.Stage(steps=1, height=8, width=8)), "at least 16 pixels"),
    ],
)  # fmt: skip
def test_settings_that_cannot_work(recipe, sentence):
    with pytest.raises(UserError, match=sentence):
        recipe.validate()


def test_shipped_configs_can_be_changed_on_the_command_line():
    from motion_jax.cli.train import parse

    for name in RECIPES:
        options, config = parse(
            load_config(name), name, ["--recipe.generator.ngf", "8", "--recipe.dtype", "bfloat16"]
        )
        assert config.recipe.generator.ngf == 8 and config.recipe.dtype == "bfloat16"
    assert parse(load_config("pix2pix"), "", ["--width", "16"])[1].recipe.discriminator.ndf == 16
    with pytest.raises(UserError, match="did you mean recipe.main_stage.steps"):
        parse(load_config("cyclegan"), "", ["--recipe.main-stage.stepz", "3"])
