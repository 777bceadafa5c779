"""A First Order Motion Model through the whole program: training, going on, evaluation, a photo
that moves, and its file for the original program."""

import json
import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest
from PIL import Image
from tiny_first_order import RECIPE

from motion_jax.config import Config, Data, Record
from motion_jax.errors import UserError
from motion_jax.evaluate.evaluate import evaluate
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.port.export_run import export
from motion_jax.port.import_run import import_run
from motion_jax.port.inspect import inspect
from motion_jax.port.options import ExportOptions, ImportOptions, InspectOptions
from motion_jax.port.run_state import all_params
from motion_jax.train.checkpoint import Checkpoints, parameter_hash
from motion_jax.train.loop import train
from motion_jax.train.record import read_metrics
from motion_jax.train.run import load_run
from motion_jax.train.step import abstract_state
from motion_jax.transfer.animate import animate
from motion_jax.transfer.animate_options import AnimateOptions
from motion_jax.transfer.animator import animating
from motion_jax.transfer.command import transfer
from motion_jax.transfer.options import TransferOptions
from motion_jax.video.reader import read_frames
from motion_jax.video.writer import VideoWriter
from motion_jax.weights.torch import read_tree, write_nested

CONFIG = Config(
    recipe=RECIPE,
    data=Data(holdout=0.25),
    record=Record(
        log_every=1, sample_every=100, sample_seconds=0.1, checkpoint_every=1, keep=9, trace=False
    ),
)


@pytest.fixture(scope="module")
def trained_photo(tmp_path_factory, dataset):
    folder = tmp_path_factory.mktemp("first_order") / "run"
    train(CONFIG, dataset, folder)
    return folder


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A photo and a film of another size and aspect."""
    folder = tmp_path_factory.mktemp("inputs")
    photo = np.full((40, 60, 3), (30, 60, 90), np.uint8)
    photo[10:30, 20:40] = (220, 180, 40)
    Image.fromarray(photo).save(folder / "me.png")
    with VideoWriter(folder / "film.mp4", 48, 32) as writer:
        for i in range(5):
            frame = np.full((48, 32, 3), 40, np.uint8)
            frame[10:30, 4 + 3 * i : 12 + 3 * i] = (200, 90, 30)
            writer.write(frame, i / 25)
    return folder / "me.png", folder / "film.mp4"


def state_of(folder):
    with Checkpoints(folder / "checkpoints", read_only=True) as checkpoints:
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        return checkpoints.restore(checkpoints.latest(), abstract_state(CONFIG, "main", sharding))


def test_a_run_is_gone_on_with_exactly(trained_photo, dataset, tmp_path):
    rows = read_metrics(trained_photo)
    assert [row["total_step"] for row in rows] == [1, 2, 3]
    expected = {"l1", "gen_gan", "feature_matching", "disc_gan"}
    assert expected | {"equivariance_value", "equivariance_jacobian"} <= set(rows[-1])
    # The rate falls at the milestone.
    rates = [RECIPE.learning_rate_at("main", step) for step in range(3)]
    assert rates == pytest.approx([2e-4, 2e-4, 2e-5])
    assert float(RECIPE.learning_rate("main", 2)) == pytest.approx(2e-5)
    shutil.copytree(trained_photo, tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "checkpoints" / "3")
    train(CONFIG, dataset, tmp_path / "again")
    whole, again = state_of(trained_photo), state_of(tmp_path / "again")
    for part in ("params", "optimizer"):
        assert parameter_hash(getattr(whole, part)) == parameter_hash(getattr(again, part))
    # Three passes of the detector a step, one of the generator.
    counts = {name: tree["batch_stats"] for name, tree in whole.params.items()}
    assert counts["detector"]["hourglass"]["down_0"]["norm"]["count"] == 9
    assert counts["generator"]["first"]["norm"]["count"] == 3


def test_evaluation_makes_clips_again_from_their_first_frames(trained_photo, tmp_path):
    options = EvaluateOptions(trained_photo, out=tmp_path, reestimate="no", json=True)
    methods = evaluate(options)["methods"]
    assert set(methods) == {"trained", "photo", "nearest_frame"}
    assert methods["photo"]["psnr"] > 0


@pytest.mark.parametrize("side_by_side", [False, True])
def test_a_photo_moves(trained_photo, inputs, tmp_path, side_by_side):
    photo, film = inputs
    out = tmp_path / "out.mp4"
    options = AnimateOptions(
        trained_photo, photo, film, out, crop="none", side_by_side=side_by_side, paste=True
    )
    assert animate(options) == out
    frames = [frame.image for frame in read_frames(out)]
    assert len(frames) == 5
    if not side_by_side:
        assert frames[0].shape == (40, 60, 3)
        # Outside of the middle the photo is as it was.
        difference = np.abs(frames[3].astype(int)[:, :4] - np.asarray(Image.open(photo))[:, :4])
        assert difference.mean() < 8


def test_what_cannot_be_animated_is_said(trained_photo, config, inputs, tmp_path):
    photo, film = inputs
    options = AnimateOptions(trained_photo, photo, film, tmp_path / "out.mp4", crop="none")
    for changed, words in (
        ({"photo": tmp_path / "none.png"}, "There is no"),
        ({"best_frame": "7"}, "not in the film"),
        ({"best_frame": "x"}, "neither auto nor first"),
        ({"out": tmp_path / "out.gif"}, "name it FILE.mp4"),
    ):
        with pytest.raises(UserError, match=words):
            animate(replace(options, **changed))
    with pytest.raises(UserError, match="motion-jax animate"):
        transfer(TransferOptions(source=film, out=tmp_path / "out.mp4", run=trained_photo))
    assert not list(tmp_path.glob("*"))
    run = load_run(trained_photo)
    with pytest.raises(UserError, match="motion-jax transfer uses it"):
        animating(replace(run, config=config))


def test_there_and_back(trained_photo, tmp_path):
    """Exported for the original program and imported again, it is the same."""
    export(ExportOptions(run=trained_photo, out=tmp_path / "theirs"))
    file = tmp_path / "theirs" / "00000000-checkpoint.pth.tar"
    content = read_tree(file)
    assert {"generator", "kp_detector", "discriminator", "optimizer_generator"} <= set(content)
    assert content["kp_detector"]["down.weight"].shape == (3, 1, 5, 5)
    assert inspect(InspectOptions(file, json=True))["networks"]["kp_detector"]["parameters"]
    import_run(ImportOptions(file, tmp_path / "back", size="32x32"))
    recipe, params = load_run(tmp_path / "back").config.recipe, all_params(tmp_path / "back")[1]
    for part in ("detector", "motion", "generator", "discriminator", "losses", "transform"):
        ours, theirs = getattr(RECIPE, part), getattr(recipe, part)
        if part == "losses":
            ours, theirs = (replace(each, l1=0.0, scales=()) for each in (ours, theirs))
        assert ours == theirs
    assert parameter_hash(params) == parameter_hash(all_params(trained_photo)[1])
    assert not recipe.align_corners
    # Without the YAML keys and shapes tell all but the padding.
    alone = tmp_path / "alone" / file.name
    alone.parent.mkdir()
    shutil.copy(file, alone)
    import_run(ImportOptions(alone, tmp_path / "guessed", size="32x32", align_corners="yes"))
    guessed = json.loads((tmp_path / "guessed" / "config.json").read_text())["recipe"]
    assert guessed["detector"]["halvings"] == 1 and guessed["detector"]["scale"] == 0.5
    assert guessed["generator"]["residuals"] == 1 and guessed["align_corners"]


def test_programs(trained_photo, tmp_path):
    """Generator and detector as StableHLO, with the arrays of keypoints as arguments."""
    export(ExportOptions(run=trained_photo, out=tmp_path / "programs", format="stablehlo"))
    about = json.loads((tmp_path / "programs" / "generator.stablehlo.json").read_text())
    assert [each["shape"] for each in about["inputs"]] == [
        ["batch", 32, 32, 3], ["batch", 3, 2], ["batch", 3, 2, 2], ["batch", 3, 2],
        ["batch", 3, 2, 2],
    ]  # fmt: skip
    assert (tmp_path / "programs" / "detector.stablehlo").stat().st_size
    with pytest.raises(UserError, match="not written as onnx"):
        export(ExportOptions(run=trained_photo, out=tmp_path / "x", format="onnx"))


@pytest.mark.parametrize(
    "content, words",
    [
        ({"region_predictor": {}}, "MRAA"),
        ({"kp_detector": {}, "inpainting_network": {}}, "TPSMM"),
        ({"model": {}}, "it lacks generator and kp_detector"),
    ],
)
def test_other_checkpoints_are_named(content, words, tmp_path):
    write_nested(tmp_path / "x.pth.tar", content)
    with pytest.raises(UserError, match=words):
        import_run(ImportOptions(tmp_path / "x.pth.tar", tmp_path / "run"))
    assert not (tmp_path / "run").exists()
