"""A First Order Motion Model through the whole program: training, going on, evaluation, a photo
that moves, and its file for the original program."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from tiny_first_order import RECIPE

from motion_jax.compare.movers import Clip, PhotoMover
from motion_jax.config import Config, Data, Record
from motion_jax.data.crop import cut_out
from motion_jax.data.records import open_dataset
from motion_jax.demos import photo as demo_photo
from motion_jax.errors import UserError
from motion_jax.evaluate.evaluate import evaluate
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.live import camera
from motion_jax.live.command import live
from motion_jax.live.options import LiveOptions
from motion_jax.port.export_run import export
from motion_jax.port.import_run import import_run
from motion_jax.port.inspect import inspect
from motion_jax.port.options import ExportOptions, ImportOptions, InspectOptions
from motion_jax.port.run_state import all_params
from motion_jax.pose.skeleton import BODY, COUNT
from motion_jax.pose.track import PoseTrack
from motion_jax.provenance.check import metadata
from motion_jax.train.checkpoint import Checkpoints, parameter_hash
from motion_jax.train.loop import train
from motion_jax.train.record import read_metrics
from motion_jax.train.run import load_run
from motion_jax.train.step import abstract_state
from motion_jax.transfer import framing
from motion_jax.transfer.animate import animate
from motion_jax.transfer.animate_options import AnimateOptions
from motion_jax.transfer.animator import Animator, animating, smoothed
from motion_jax.transfer.best_frame import best_frame
from motion_jax.transfer.command import transfer
from motion_jax.transfer.framing import middle, pasted
from motion_jax.transfer.options import TransferOptions
from motion_jax.video.reader import frame_times, read_frames
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
    result = evaluate(options)
    methods = result["methods"]
    assert set(methods) == {"trained", "photo", "nearest_frame"}
    assert methods["photo"]["psnr"] > 0
    # The paper's figures stand apart; why some are absent is said.
    paper = result["paper"]
    assert set(paper["methods"]) == set(methods)
    # The photo itself counts in the paper's figures, as in its program, and is none of our results.
    assert paper["frames"] == result["frames"] + 1
    assert 0 < paper["methods"]["photo"]["l1"] < 1 and paper["methods"]["photo"]["akd"] is None
    assert "--reestimate no" in paper["absent"]["AKD and MKR"]
    assert "paper" in (tmp_path / "index.html").read_text()


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


@pytest.mark.parametrize("seen", [True, False])
def test_the_best_frame_is_found_by_the_body(
    trained_photo, inputs, tmp_path, monkeypatch, capsys, seen
):
    """That of the photo's detected pose; where too little of it is seen, by the model's points."""
    photo, film = inputs
    random, times = np.random.default_rng(0), frame_times(film)
    keypoints = np.zeros((len(times), COUNT, 3), np.float32)
    keypoints[:, BODY] = random.uniform(8, 24, (len(times), 25, 3)).clip(0, 40)
    keypoints[:, BODY, 2] = 1
    of_photo = keypoints[3:4] + np.float32([4, 2, 0]) * (keypoints[3:4, :, 2:] > 0)
    if not seen:
        keypoints[:, :10] = 0
    reasons = ("",) * len(times)
    monkeypatch.setattr(framing, "find_bundle", lambda *_: None)
    monkeypatch.setattr(
        framing, "estimate_video",
        lambda *_, **__: PoseTrack(of_photo, np.zeros(1), (40, 60), ("",)),
    )  # fmt: skip
    monkeypatch.setattr(
        framing, "estimate_cached", lambda *_, **__: PoseTrack(keypoints, times, (48, 32), reasons)
    )
    began, begin = [], Animator.begin

    def noted(self, first):
        began.append(first)
        begin(self, first)

    monkeypatch.setattr(Animator, "begin", noted)
    options = AnimateOptions(trained_photo, photo, film, tmp_path / "a.mp4", crop="person")
    animate(options)
    said = capsys.readouterr().err
    other = "3" if seen else "keypoints"
    animate(replace(options, best_frame=other, out=tmp_path / "b.mp4"))
    by = "frame 3 of 5, by the joints of the body" if seen else "by the model's own keypoints"
    assert by in " ".join(said.split())
    np.testing.assert_array_equal(began[0].value, began[1].value)


@pytest.fixture
def in_step(monkeypatch):
    """A file camera that waits for each picture; gives the sink that it waits for."""

    class Kept:
        pictures: list = []

        def show(self, picture):
            self.pictures.append(picture)

        def close(self):
            pass

    kept = Kept()
    kept.pictures = []

    def find(text, repeat=False):
        def frames(end):
            for shot in read_frames(Path(text)):
                taken = time.monotonic()
                yield camera.Frame(shot.index, shot.index, taken, shot.time, shot.image)
                while not (kept.pictures and kept.pictures[-1].number == shot.index):
                    if end.wait(0.002):
                        return

        return camera.Source(frames, 25.0, Path(text).name)

    monkeypatch.setattr("motion_jax.live.command.find", find)
    return kept


def test_a_camera_drives_a_photo(trained_photo, inputs, in_step, tmp_path):
    """The pictures of animate; movement counts from the best frame so far."""
    photo, film = inputs
    run = load_run(trained_photo)
    options = LiveOptions(
        run=(trained_photo,), photo=(photo,), camera=str(film), crop="none",
        record=tmp_path / "out.mp4",
    )  # fmt: skip
    found = live(options, more=in_step)
    assert found["frames"]["camera"] == 5 and [p.number for p in in_step.pictures] == [*range(5)]
    shown = cut_out(np.asarray(Image.open(photo)), middle(40, 60, run.size), *run.size)
    animator = Animator(run, shown, "relative", adapt_scale=True)
    shots = list(read_frames(film))
    frames = [cut_out(shot.image, middle(48, 32, run.size), *run.size) for shot in shots]
    points = smoothed(animator.points(frames), np.array([shot.time for shot in shots]))
    _, distances = best_frame(animator.photo_points.value[0], points.value)
    for i, picture in enumerate(in_step.pictures):
        best = int(np.argmin(distances[: i + 1]))
        animator.begin(points[best : best + 1])
        expected = next(animator.pictures(points[i : i + 1]))
        np.testing.assert_allclose(picture.image.astype(int), expected, atol=1)
    assert metadata(tmp_path / "out.mp4")["motion_jax_run"] == trained_photo.name


def test_a_photo_in_a_comparison(trained_photo, inputs):
    """Moves from the frame that is most like it, in the middle of a wider picture."""
    run, photo = load_run(trained_photo), np.asarray(Image.open(inputs[0]))
    frames = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), np.uint8)
    poses, boxes = np.zeros((3, 137, 3), np.float32), np.zeros((3, 4), np.float32)
    clip = Clip(poses, boxes, lambda a, b: frames[a:b], np.arange(3.0))
    made = list(PhotoMover(run, photo).move(clip))
    cut = middle(40, 60, run.size)
    animator = Animator(run, cut_out(photo, cut, *run.size), "relative", adapt_scale=True)
    points = animator.points(cut_out(frame, cut, *run.size) for frame in frames)
    best, _ = best_frame(animator.photo_points.value[0], points.value)
    animator.begin(points[best : best + 1])
    for picture, expected in zip(made, animator.pictures(points), strict=True):
        np.testing.assert_array_equal(picture, pasted(photo, cut, expected))


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"photo": ()}, "say which: photo PHOTO"),
        ({"photo": (Path("nobody.png"),)}, "There is no nobody.png"),
        ({"runtime": "openvino"}, "does not run photos"),
        ({"lost": "hold"}, "lost has no meaning with photo"),
        ({"run": ("a", "b")}, "goes with one run"),
        ({"method": "nearest"}, "moves no photo"),
        ({"person": "largest"}, "driven by estimated poses"),
    ],
)
def test_a_live_photo_that_cannot_be(trained_photo, inputs, changed, sentence):
    photo, film = inputs
    given = {
        "run": (trained_photo,), "photo": (photo,), "camera": str(film), "crop": "none",
        "window": False, "runtime": "jax", **changed,
    }  # fmt: skip
    with pytest.raises(UserError, match=sentence):
        live(LiveOptions(**given))


def test_onnx_graphs_give_the_same(trained_photo, tmp_path):
    pytest.importorskip("onnx", reason="needs the package onnx")
    runtime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
    export(ExportOptions(run=trained_photo, out=tmp_path / "out", format="onnx"))
    networks = {
        name: runtime.InferenceSession(tmp_path / "out" / f"{name}.onnx")
        for name in ("detector", "generator")
    }
    about = json.loads((tmp_path / "out" / "generator.onnx.json").read_text())
    assert [each["name"] for each in about["inputs"]][:2] == ["photo", "photo_value"]
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    animator = Animator(load_run(trained_photo), pictures[0], "absolute", adapt_scale=False)
    points = animator.points(iter(pictures[1:]))
    animator.begin(points)
    expected = next(animator.pictures(points))
    shown = np.moveaxis(pictures.astype(np.float32) / 255, -1, 1)
    value, jacobian = networks["detector"].run(None, {"picture": shown})
    np.testing.assert_allclose(value[1:], points.value, atol=1e-4)
    np.testing.assert_allclose(jacobian[1:], points.jacobian, atol=1e-4)
    given = {"photo": shown[:1]}
    for i, who in enumerate(("photo", "driving")):
        given |= {f"{who}_value": value[i : i + 1], f"{who}_jacobian": jacobian[i : i + 1]}
    (made,) = networks["generator"].run(None, given)
    assert np.abs(np.rint(255 * np.moveaxis(made[0], 0, -1)) - expected).max() <= 1


def test_drawn_people_are_moved_beside_the_true_answer(trained_photo, tmp_path, monkeypatch):
    monkeypatch.setattr(demo_photo, "PAIRS", ((1, 3),))
    found = demo_photo.animate_pairs(tmp_path, trained_photo)
    assert set(found) == {"animated", "photo"}
    assert 0 < found["photo"]["psnr"] < 100
    assert len(list(read_frames(tmp_path / "moved.mp4"))) == demo_photo.FILM_FRAMES
    with Image.open(tmp_path / "moved.png") as sheet:
        assert sheet.width > 9 * 96
    demo_photo._page(tmp_path, {"moved": found, "made_again": found})
    page = (tmp_path / "index.html").read_text()
    assert '<a href="run/evaluation/index.html">the evaluation</a>' in page and "&lt;" not in page


def test_drawn_people_are_a_dataset(tmp_path):
    demo_photo.draw_people(tmp_path / "data", 3, 1, size=16)
    dataset = open_dataset(tmp_path / "data")
    assert dataset.info.held_out == (3,)
    counts = [demo_photo.FRAMES] * 3 + [demo_photo.FILM_FRAMES]
    assert [count for _, count in dataset.clips] == counts
    assert dataset.has_keypoints and dataset[0]["frame"].std() > 10


def test_what_cannot_be_animated_is_said(trained_photo, config, inputs, tmp_path):
    photo, film = inputs
    options = AnimateOptions(trained_photo, photo, film, tmp_path / "out.mp4", crop="none")
    for changed, words in (
        ({"photo": tmp_path / "none.png"}, "There is no"),
        ({"best_frame": "7"}, "not in the film"),
        ({"best_frame": "x"}, "neither auto nor keypoints nor first"),
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
    with pytest.raises(UserError, match="not written as safetensors"):
        export(ExportOptions(run=trained_photo, out=tmp_path / "x", format="safetensors"))


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


@pytest.mark.parametrize(
    "names, words",
    [
        (("generator", "region_predictor"), "is a checkpoint of MRAA"),
        (("generator", "kp_detector"), "call it NAME.pth.tar"),
    ],
)
def test_checkpoints_by_other_names(names, words, tmp_path):
    """MRAA's are published as NAME.pth."""
    write_nested(tmp_path / "x.pth", {n: {"weight": np.zeros(1, np.float32)} for n in names})
    with pytest.raises(UserError, match=words):
        import_run(ImportOptions(tmp_path / "x.pth", tmp_path / "run"))
