"""Runs that draw the person apart from the background: trained, gone on with, before anything."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from motion_jax.data import records
from motion_jax.errors import UserError
from motion_jax.evaluate.evaluate import evaluate
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.port.export_run import export
from motion_jax.port.options import ExportOptions
from motion_jax.train.checkpoint import Checkpoints, parameter_hash
from motion_jax.train.loop import train
from motion_jax.train.run import load_run
from motion_jax.train.step import step_inputs
from motion_jax.transfer.background import covering
from motion_jax.transfer.command import transfer
from motion_jax.transfer.options import TransferOptions
from motion_jax.video.reader import read_frames
from motion_jax.video.writer import VideoWriter

SIZE = 32


@pytest.fixture(scope="module")
def plated(config):
    """All three stages with a plate, two steps each."""
    recipe = replace(config.recipe, background="plate")
    for name in ("global", "local", "face"):
        stage = replace(getattr(recipe, f"{name}_stage"), steps=2, decay_steps=1)
        recipe = replace(recipe, **{f"{name}_stage": stage})
    return replace(config, recipe=recipe, record=replace(config.record, checkpoint_every=1))


@pytest.fixture(scope="module")
def run(plated, dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plated") / "run"
    train(plated, dataset, folder)
    return folder


@pytest.fixture(scope="module")
def source(dataset, tmp_path_factory):
    """(a film of the dataset's poses, the folder of these)."""
    folder, data = tmp_path_factory.mktemp("source"), records.open_dataset(dataset)
    (folder / "poses").mkdir()
    with VideoWriter(folder / "film.mp4", SIZE, SIZE) as writer:
        for i, pose in enumerate(data.keypoints()[:8]):
            writer.write(np.full((SIZE, SIZE, 3), 99, np.uint8), i / 25)
            person = {"pose_keypoints_2d": pose[:25].astype(float).ravel().tolist()}
            text = json.dumps({"people": [person]})
            (folder / "poses" / f"{i:012d}_keypoints.json").write_text(text)
    return folder / "film.mp4", folder / "poses"


def film(run, source, out, **options):
    """The pictures of a transfer, RGBA where it is transparent."""
    video, poses = source
    transfer(
        TransferOptions(
            source=video, poses=poses, run=run, out=out, normalize="none", smooth=False,
            swaps=False, bones=False, **options,
        )
    )  # fmt: skip
    if out.suffix == ".mov":
        with av.open(str(out)) as container:
            frames = container.decode(video=0)
            return np.stack([frame.to_ndarray(format="rgba") for frame in frames])
    return np.stack([frame.image for frame in read_frames(out)])


def test_a_run_keeps_its_plate(run, dataset):
    made = load_run(run)
    data = records.open_dataset(dataset)
    assert made.plates.shape == (1, SIZE, SIZE, 3)
    # The room is noise below 60, the person much brighter.
    frames = np.stack([data[i]["frame"] for i in range(18)])
    bright = np.mean(made.plates.max(-1) > 70)
    assert frames.max() == 200 and bright < 0.03 < np.mean(frames.max(-1) > 70)
    # Of a moment without a plate the run's own is behind the person.
    clip = {"keypoints": data.keypoints()[:2], "face_boxes": data.face_boxes()[:2]}
    np.testing.assert_array_equal(made.seen(clip)["plates"][1], made.plates[0])
    pictures = made.synthesizer().feed(made.seen(clip))
    assert pictures.shape == (2, SIZE, SIZE, 3)


def test_gone_on_with_it_is_the_same_run(plated, dataset, run):
    folder = run.parent / "again"
    shutil.copytree(run, folder)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        for step in checkpoints.steps():
            if step > 3:
                checkpoints.delete(step)
        assert checkpoints.latest() == 3
    (folder / "plates" / "0.png").unlink()
    train(plated, dataset, folder)
    one, other = (parameter_hash(load_run(each).params) for each in (run, folder))
    assert one == other
    # It is written again where it was lost.
    np.testing.assert_array_equal(load_run(run).plates, load_run(folder).plates)


def test_before_the_plate_green_nothing_a_picture_or_a_video(run, source, tmp_path):
    rgba = film(run, source, tmp_path / "alpha.mov", background="alpha")
    assert rgba.shape == (8, SIZE, SIZE, 4) and 0 < rgba[..., 3].mean() < 255
    random = np.random.default_rng(0)
    picture = cv2.GaussianBlur(random.integers(0, 255, (40, 64, 3), np.uint8), (0, 0), 4)
    cv2.imwrite(str(tmp_path / "room.png"), picture[..., ::-1])
    with VideoWriter(tmp_path / "room.mp4", SIZE, SIZE) as writer:
        for i in range(3):  # shorter than the source: it begins again
            writer.write(np.full((SIZE, SIZE, 3), 40 + 80 * i, np.uint8), i / 25)
    plates = {
        "plate": load_run(run).plates[0],
        "green": np.broadcast_to(np.uint8([0, 255, 0]), (SIZE, SIZE, 3)),
        tmp_path / "room.png": covering(picture, SIZE, SIZE),
        tmp_path / "room.mp4": np.stack(
            [np.full((SIZE, SIZE, 3), 40 + 80 * (i % 3)) for i in range(8)]
        ),
    }
    alpha = rgba[..., 3:] / 255
    for background, plate in plates.items():
        made = film(run, source, tmp_path / "film.mp4", background=background)
        wanted = alpha * rgba[..., :3] + (1 - alpha) * plate
        # H.264 halves the resolution of colour; grey must agree.
        error = np.abs(made.mean(-1) - wanted.mean(-1))
        assert error.mean() < 6, background


def test_a_picture_behind_fills_the_frame_and_is_not_stretched():
    picture = np.zeros((20, 40, 3), np.uint8)
    picture[:, 10:30] = 255
    assert (covering(picture, 10, 10) == 255).all(), "its middle, as high as the frame"
    assert covering(picture, 30, 8).shape == (30, 8, 3)


def test_what_does_not_go_together_is_said(run, source, trained, tmp_path):
    for options, sentence in (
        ({"background": "alpha"}, r"ProRes 4444 \(name the output FILE\.mov\)"),
        ({"background": Path("beach.jpg")}, "neither a picture nor a video file"),
        ({"background": "alpha", "side_by_side": True}, "do not go together"),
    ):
        with pytest.raises(UserError, match=sentence):
            film(run, source, tmp_path / "film.mp4", **options)
    with pytest.raises(UserError, match="does not end in .mp4"):
        film(run, source, tmp_path / "film.mov")
    with pytest.raises(UserError, match="makes whole pictures"):
        film(trained, source, tmp_path / "film.mp4", background="green")
    with pytest.raises(UserError, match="draws the person and a matte"):
        export(ExportOptions(run=run, format="torch", out=tmp_path / "weights"))
    assert list(tmp_path.iterdir()) == []


def test_a_travelling_camera_is_refused_before_anything_is_written(plated, tmp_path, monkeypatch):
    data, random = tmp_path / "data", np.random.default_rng(0)
    wide = cv2.GaussianBlur(random.integers(0, 255, (SIZE, 200, 3), np.uint8), (0, 0), 1)
    rows = []
    for i in range(24):
        frame = np.ascontiguousarray(wide[:, 3 * i : 3 * i + SIZE])
        example = {"frame": frame, "keypoints": np.ones((137, 3), np.float32)}
        rows.append(
            example | {"face_box": np.float32([1, 1, 9, 9]), "clip": 0, "index": i, "time": i / 25}
        )
    records.write_shard(records.shard_path(data, 0, 1), rows, SIZE, SIZE, "png")
    info = records.DatasetInfo(SIZE, SIZE, ((0, 0, 0, 24),), ({"file": "a"},), picture="png")
    records.finish_dataset(data, info, [24])
    with pytest.raises(UserError, match="The camera moves in clip 0"):
        train(plated, data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_films_are_measured_where_no_truth_is_known(run, source, tmp_path, monkeypatch, capsys):
    from motion_jax.evaluate import films, measure

    video, poses = source
    given = films.TransferOptions

    def with_poses(**options):
        return given(**options, poses=poses, smooth=False, swaps=False, bones=False)

    monkeypatch.setattr(films, "TransferOptions", with_poses)
    options = EvaluateOptions(
        run=run, out=tmp_path / "e", source=(video,), normalize="none", reestimate="no"
    )
    found = evaluate(options)["films"]["film.mp4"]
    assert found["person_found"] is None, "nobody was asked"
    assert found["background_flicker"] >= 0 and 0 <= found["ghost"] <= 1
    assert "Moving like film.mp4: background flicker" in capsys.readouterr().out
    assert "film.mp4: frames at even" in (tmp_path / "e" / "index.html").read_text()

    class Sees:
        """A detector that finds the pose that was asked for, two pixels to the right."""

        def __init__(self, *_):
            self.poses = []

        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *_: None  # noqa: E731

        def tap(self, stream):
            for piece in stream:
                self.poses.append(piece.keypoints)
                yield piece

        def results(self):
            from motion_jax.evaluate.reestimate import summary
            from motion_jax.metrics.frames import pose_distance

            true = np.concatenate(self.poses)
            parts = [pose_distance(true, true + np.float32([2, 0, 0]))]
            return {films.REAL: summary(parts)}, len(true)

    monkeypatch.setattr(films, "Reestimation", Sees)
    detector = measure.choose_detector(records.open_dataset(load_run(run).data_path), "no", None)
    figures, _ = films.measure_films(options, load_run(run), replace(detector, bundle=poses))
    assert figures["film.mp4"]["person_found"] == 1
    assert figures["film.mp4"]["pose_distance"] == pytest.approx(2)


def test_a_stage_asks_for_plates_where_it_needs_them(plated):
    for background, wanted in (("plate", True), ("drawn", False)):
        recipe = replace(plated.recipe, background=background)
        _, batch, _ = step_inputs(replace(plated, recipe=recipe), "local")
        assert ("plates" in batch) is wanted
    _, batch, _ = step_inputs(plated, "local")
    assert batch["plates"].shape == batch["frames"].shape


def test_a_film_is_not_written_over_its_background(run, source, tmp_path):
    room = tmp_path / "room.mp4"
    with VideoWriter(room, SIZE, SIZE) as writer:
        writer.write(np.zeros((SIZE, SIZE, 3), np.uint8), 0)
    before = room.read_bytes()
    with pytest.raises(UserError, match="is the input"):
        film(run, source, room, background=room)
    assert room.read_bytes() == before
