"""A run whose background moves: training, going on, evaluation, photos that move, exports."""

import json
import shutil
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from tiny_first_order import RECIPE

from motion_jax.config import Config, Data, Record
from motion_jax.data.crop import cut_out
from motion_jax.errors import UserError
from motion_jax.evaluate.evaluate import evaluate
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.port.export_run import export
from motion_jax.port.options import ExportOptions
from motion_jax.recipes.first_order import BackgroundMotion
from motion_jax.train.checkpoint import Checkpoints, parameter_hash
from motion_jax.train.loop import train
from motion_jax.train.run import load_run
from motion_jax.train.step import abstract_state
from motion_jax.transfer.animate import animate
from motion_jax.transfer.animate_options import AnimateOptions
from motion_jax.transfer.animator import Animator, smoothed
from motion_jax.transfer.framing import middle
from motion_jax.video.reader import read_frames
from motion_jax.video.writer import VideoWriter

CONFIG = Config(
    recipe=replace(
        RECIPE,
        losses=replace(RECIPE.losses, gan=0.0),
        background_motion=BackgroundMotion("affine", 2, 4, 2, 0.5),
        # So that what is looked up where can be seen.
        generator=replace(RECIPE.generator, skips=True),
        main_stage=replace(RECIPE.main_stage, steps=2, milestones=()),
        averaging=0.9,
    ),
    data=Data(holdout=0.25),
    record=Record(
        log_every=1, sample_every=100, sample_seconds=0.1, checkpoint_every=1, keep=9, trace=False
    ),
)


@pytest.fixture(scope="module")
def moving(tmp_path_factory, dataset):
    folder = tmp_path_factory.mktemp("background") / "run"
    train(CONFIG, dataset, folder)
    return folder


def state_of(folder):
    with Checkpoints(folder / "checkpoints", read_only=True) as checkpoints:
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        return checkpoints.restore(checkpoints.latest(), abstract_state(CONFIG, "main", sharding))


def test_it_is_trained_and_gone_on_with_exactly(moving, dataset, tmp_path):
    begun = CONFIG.recipe.init(jax.random.key(CONFIG.seed), "main").params["background"]["params"]
    whole = state_of(moving)
    assert np.abs(whole.params["background"]["params"]["bias"] - begun["bias"]).max() > 0
    assert whole.params["background"]["batch_stats"]["down_0"]["norm"]["count"] == 2
    shutil.copytree(moving, tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "checkpoints" / "2")
    train(CONFIG, dataset, tmp_path / "again")
    again = state_of(tmp_path / "again")
    for part in ("params", "optimizer", "averaged"):
        ours, theirs = (getattr(each, part)["background"] for each in (whole, again))
        assert parameter_hash(ours) == parameter_hash(theirs)


def test_films_are_made_again(moving, tmp_path):
    result = evaluate(EvaluateOptions(moving, out=tmp_path, reestimate="no", json=True))
    assert set(result["methods"]) == {"trained", "photo", "nearest_frame"}


@pytest.mark.parametrize("mode", ["relative", "absolute"])
def test_a_photo_moves(moving, tmp_path, monkeypatch, mode):
    """What drives the film is what the model saw of its frames, smoothed; the background, too, in
    absolute motion alone."""
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / "me.png")
    with VideoWriter(tmp_path / "film.mp4", 40, 32) as writer:
        for i in range(3):
            writer.write(random.integers(0, 256, (40, 32, 3), np.uint8), i / 25)
    driven, pictures = [], Animator.pictures

    def noted(self, points):
        driven.append(points)
        return pictures(self, points)

    monkeypatch.setattr(Animator, "pictures", noted)
    options = AnimateOptions(
        moving, tmp_path / "me.png", tmp_path / "film.mp4", tmp_path / "out.mp4", mode=mode,
        crop="none",
    )  # fmt: skip
    animate(options)
    assert len(list(read_frames(options.out))) == 3
    if mode == "relative":
        assert driven[0].background is None
        return
    run = load_run(moving)
    shots = list(read_frames(options.driving))
    photo = np.asarray(Image.open(options.photo))
    frames = [cut_out(shot.image, middle(40, 32, run.size), 32, 32) for shot in shots]
    pairs = [jnp.asarray(np.stack([photo, frame])[:, None], jnp.float32) / 255 for frame in frames]
    seen = np.concatenate([run.config.recipe.behind(run.params, *pair) for pair in pairs])
    points = Animator(run, photo, mode, adapt_scale=True).points(frames)
    np.testing.assert_allclose(points.background, seen, atol=1e-5)
    wanted = smoothed(points, np.array([shot.time for shot in shots]))
    np.testing.assert_array_equal(driven[0].background, wanted.background)


def test_the_originals_file_cannot_hold_it(moving, tmp_path):
    with pytest.raises(UserError, match="moves the background .*choose format onnx, stablehlo"):
        export(ExportOptions(run=moving, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_programs(moving, tmp_path):
    export(ExportOptions(run=moving, out=tmp_path / "programs", format="stablehlo"))
    about = json.loads((tmp_path / "programs" / "generator.stablehlo.json").read_text())
    assert [each["shape"] for each in about["inputs"]][-1] == ["batch", 2, 3]
    about = json.loads((tmp_path / "programs" / "background.stablehlo.json").read_text())
    assert [each["shape"] for each in about["inputs"]] == 2 * [["batch", 32, 32, 3]]


def test_graphs_give_the_same(moving, tmp_path):
    pytest.importorskip("onnx", reason="needs the package onnx")
    runtime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
    export(ExportOptions(run=moving, out=tmp_path / "out", format="onnx"))
    networks = {
        name: runtime.InferenceSession(tmp_path / "out" / f"{name}.onnx")
        for name in ("detector", "generator", "background")
    }
    run, random = load_run(moving), np.random.default_rng(0)
    pictures = random.integers(0, 256, (2, 32, 32, 3), np.uint8)
    animator = Animator(run, pictures[0], "absolute", adapt_scale=False)
    points = animator.points(iter(pictures[1:]))
    shown = np.moveaxis(pictures.astype(np.float32) / 255, -1, 1)
    (behind,) = networks["background"].run(None, {"photo": shown[:1], "driving": shown[1:]})
    np.testing.assert_allclose(behind, points.background, atol=1e-5)
    # A map that is far from the identity.
    behind = np.array([[[0.9, -0.1, 0.2], [0.1, 0.9, -0.1]]], np.float32)
    expected = next(animator.pictures(points.replace(background=behind)))
    value, jacobian = networks["detector"].run(None, {"picture": shown})
    given = {"photo": shown[:1], "driving_background": behind}
    for i, who in enumerate(("photo", "driving")):
        given |= {f"{who}_value": value[i : i + 1], f"{who}_jacobian": jacobian[i : i + 1]}
    (made,) = networks["generator"].run(None, given)
    assert np.abs(np.rint(255 * np.moveaxis(made[0], 0, -1)) - expected).max() <= 1
    given["driving_background"] = np.array([[[1, 0, 0], [0, 1, 0]]], np.float32)
    (still,) = networks["generator"].run(None, given)
    assert np.abs(still - made).max() > 1e-3
