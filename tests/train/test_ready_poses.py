"""Ready pose pictures through training, samples, evaluation and transfer."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from motion_jax.config import Data
from motion_jax.data import inputs, records
from motion_jax.data.reading import Window
from motion_jax.errors import UserError
from motion_jax.pose.pose_pictures import drawn, pose_pictures, poses_of
from motion_jax.pose.ready import ReadyPoses
from motion_jax.train.run import load_run
from motion_jax.transfer.command import transfer
from motion_jax.transfer.options import TransferOptions
from motion_jax.video.reader import frame_times, probe, read_frames
from motion_jax.video.writer import VideoWriter

SIZE = 32


def ready_dataset(source: Path, folder: Path, style, with_style: bool) -> Path:
    """The same frames without keypoints: the pictures that the recipe would draw instead."""
    data = records.open_dataset(source)
    drawing = jax.jit(lambda k: drawn(k, style, *data.size))
    rows = []
    for record in range(len(data)):
        row = data[record]
        picture = np.asarray(drawing(row["keypoints"]))
        ready = np.rint(255 * picture).astype(np.uint8)
        rows.append(row | {"pose_picture": ready, "keypoints": np.zeros((137, 3), np.float32)})
    path = records.shard_path(folder, 0, 1)
    records.write_shard(path, rows, *data.size, "png", "png")
    import dataclasses

    info = replace(
        data.info,
        pose_pictures=True,
        pose_style=dataclasses.asdict(style) if with_style else None,
        held_out=(),
    )
    records.finish_dataset(folder, info, [len(rows)])
    return folder


@pytest.fixture(scope="module")
def small(config):
    """One stage of the tiny config."""
    stages = {name: replace(config.recipe.global_stage, steps=0) for name in ("local_stage",)}
    stage = replace(config.recipe.global_stage, height=SIZE, width=SIZE, steps=2, decay_steps=0)
    recipe = replace(config.recipe, global_stage=stage, face_stage=stages["local_stage"], **stages)
    return replace(config, recipe=recipe, data=Data(holdout=0.25))


@pytest.fixture(scope="module")
def ready(tmp_path_factory, dataset, small) -> Path:
    return ready_dataset(dataset, tmp_path_factory.mktemp("ready"), small.recipe.pose_style, False)


@pytest.fixture(scope="module")
def run(tmp_path_factory, ready, small) -> Path:
    from motion_jax.train.loop import train

    folder = tmp_path_factory.mktemp("runs") / "ready"
    train(small, ready, folder)
    return folder


def test_a_batch_shows_what_keypoints_would(dataset, ready, small):
    """The ready pictures are the drawn ones in 256 levels."""
    from motion_jax.data.pairs import batches

    style, shown = small.recipe.pose_style, []
    for folder in (dataset, ready):
        options = {"batch_size": 2, "window": 2, "holdout": 0.25, "seed": 1}
        with batches(records.open_dataset(folder), height=SIZE, width=SIZE, **options) as stream:
            batch = next(stream)
        assert ("pose_pictures" in batch) == (folder == ready)
        shown.append(np.asarray(pose_pictures(batch, style, SIZE, SIZE)))
        np.testing.assert_allclose(
            2 * small.recipe.draw(jax.device_put(poses_of(batch)), SIZE, SIZE) - 1,
            shown[-1],
            atol=1e-6,
        )
    assert shown[0].shape == (2, 2, SIZE, SIZE, 3) and shown[0].min() < 0 and shown[0].max() == 1
    np.testing.assert_allclose(shown[0], shown[1], atol=1 / 255 + 1e-6)


def test_a_run_on_pictures_alone(run, ready):
    made = load_run(run)
    assert made.dataset["target_statistics"] is None
    assert made.dataset["info"]["pose_pictures"] is True
    sample = np.asarray(Image.open(run / "samples/step-0000002.png"))
    assert sample.ndim == 3 and list((run / "samples").glob("*.mp4"))


def test_evaluation(run, tmp_path, capsys):
    from motion_jax.evaluate.evaluate import evaluate
    from motion_jax.evaluate.options import EvaluateOptions

    result = evaluate(EvaluateOptions(run=run, out=tmp_path / "evaluation", json=True))
    assert set(result["methods"]) == {"trained", "frame_by_frame", "nearest_frame"}
    for figures in result["methods"].values():
        assert figures["psnr"] > 0 and figures["body_psnr"] is None
    assert any("no keypoints" in note for note in result["notes"])
    assert "no keypoints" in result["absent"]["pose_distance"]
    assert (tmp_path / "evaluation/index.html").stat().st_size > 5000
    capsys.readouterr()


@pytest.fixture(scope="module")
def skeletons(tmp_path_factory, ready) -> Path:
    """A video of the dataset's pose pictures, twice as large, at irregular times."""
    data, path = records.open_dataset(ready), tmp_path_factory.mktemp("video") / "poses.mp4"
    with VideoWriter(path, 2 * SIZE, 2 * SIZE, crf=4) as writer:
        for i, time in enumerate(np.cumsum([0.0] + [0.04, 0.05, 0.03] * 6)):
            picture = data[i]["pose_picture"]
            writer.write(np.repeat(np.repeat(picture, 2, 0), 2, 1), float(time))
    return path


def test_a_skeleton_video_drives_it_with_one_compilation(run, skeletons, tmp_path, monkeypatch):
    from motion_jax.train import synthesis

    made = []

    class Counted(synthesis.Synthesizer):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)
            self.fed = []

        def begin(self, seen):
            self.fed += [*seen["poses"]]
            return super().begin(seen)

    monkeypatch.setattr("motion_jax.train.run.Synthesizer", Counted)
    out = tmp_path / "result.mp4"
    transfer(
        TransferOptions(run=run, source=skeletons, out=out, ready_poses=True, chunk=4,
                        side_by_side=False)
    )  # fmt: skip
    np.testing.assert_allclose(frame_times(out), frame_times(skeletons), atol=1e-3)
    assert (probe(out).height, probe(out).width) == (SIZE, SIZE)
    assert made[0]._synthesize._cache_size() == 1
    # The network is shown the pictures, half as large, each once.
    source = [frame.image for frame in read_frames(skeletons)]
    assert len(made[0].fed) == len(source) == 19
    for fed, image in zip(made[0].fed, source, strict=True):
        assert fed.dtype == np.uint8
        means = image.reshape(SIZE, 2, SIZE, 2, 3).mean((1, 3))
        assert np.abs(fed - means).max() <= 1


def test_a_folder_of_labels_drives_it_too(run, ready, tmp_path):
    data = records.open_dataset(ready)
    labels = tmp_path / "labels"
    labels.mkdir()
    for i in range(5):
        Image.fromarray(data[i]["pose_picture"]).save(labels / f"frame{9 + i}.png")
    out = tmp_path / "out" / "result.mp4"
    options = TransferOptions(run=run, source=labels, out=out, ready_poses=True, fps=10)
    transfer(replace(options, side_by_side=True))
    np.testing.assert_allclose(frame_times(out), np.arange(5) / 10, atol=1e-3)
    assert probe(out).width > 2 * SIZE
    poses = ReadyPoses(labels, SIZE, SIZE)
    np.testing.assert_array_equal(poses[3], data[3]["pose_picture"])
    np.testing.assert_array_equal(poses[1], data[1]["pose_picture"], "and back again")
    np.testing.assert_array_equal(np.stack(list(poses))[4], data[4]["pose_picture"])


def test_other_proportions_get_bars_and_boxes_follow(tmp_path):
    wide = np.zeros((20, 40, 3), np.uint8)
    wide[5:10, 8:16] = 200
    Image.fromarray(wide).save(tmp_path / "p0001.png")
    poses = ReadyPoses(tmp_path, 80, 80)
    assert poses.undistorted and poses[0].shape == (80, 80, 3)
    rows, columns = np.nonzero(poses[0][..., 0] > 100)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (30, 40, 16, 32)
    boxes = np.array([[5, 8, 10, 16], [0, 0, 0, 0]], np.float32)
    np.testing.assert_allclose(poses.place_boxes(boxes), [[30, 16, 40, 32], [0, 0, 0, 0]])


def test_a_real_skeleton_video(shared):
    """512x768 on black, in a square: black bars, nothing stretched."""
    poses = ReadyPoses(shared / "data/skeleton-video-dwpose.mp4", 64, 64, end=0.2)
    assert len(poses) == 6 and poses.shape == (768, 512) and poses.undistorted
    picture = poses[2]
    assert picture[:, :10].max() < 12 and picture[:, -10:].max() < 12, "43 columns in the middle"
    coloured = np.ptp(picture.astype(int), axis=-1) > 60
    assert coloured.sum() > 20
    np.testing.assert_array_equal(poses[np.array([2, 3, 3])][1], poses[3])
    with pytest.raises(IndexError):
        poses[6]


def test_keypoints_need_a_known_style(run, dataset, small, skeletons, tmp_path):
    out, empty = tmp_path / "x.mp4", tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match=r"does not say how they were drawn.*ready_poses"):
        transfer(TransferOptions(run=run, source=skeletons, out=out, normalize="none"))
    with pytest.raises(UserError, match="poses .*ready_poses"):
        transfer(TransferOptions(run=run, source=skeletons, out=out, ready_poses=True, poses=empty))
    with pytest.raises(UserError, match="no file or folder"):
        transfer(TransferOptions(run=run, source=tmp_path / "no", out=out, ready_poses=True))
    with pytest.raises(UserError, match="0 face texts"):
        transfer(
            TransferOptions(run=run, source=skeletons, out=out, ready_poses=True, face_boxes=empty)
        )
    assert not out.exists()
    # The same run, with what the import could have said.
    import json

    described = json.loads((run / "dataset.json").read_text())
    style = {"stroke": 3.0, "face_points": 0, "hands": False, "body": "body23"}
    described["info"]["pose_style"] = style
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "config.json").write_text((run / "config.json").read_text())
    (copy / "dataset.json").write_text(json.dumps(described))
    (copy / "checkpoints").symlink_to(run / "checkpoints")
    assert load_run(copy).config.recipe.pose_style.stroke == 3.0
    from motion_jax.pose.files import write_openpose

    count = len(frame_times(skeletons))
    keypoints = records.open_dataset(dataset).keypoints()[:count] * np.float32([2, 2, 1])
    write_openpose(tmp_path / "poses", keypoints)
    options = TransferOptions(run=copy, source=skeletons, out=out, poses=tmp_path / "poses")
    with pytest.raises(UserError, match=r"dataset has no keypoints.*normalize none"):
        transfer(options)
    transfer(replace(options, normalize="none", smooth=False))
    assert len(frame_times(out)) == count


def test_neither_poses_nor_pictures(dataset, small, tmp_path):
    from motion_jax.train.loop import train

    data = records.open_dataset(dataset)
    rows = [data[i] | {"keypoints": np.zeros((137, 3), np.float32)} for i in range(len(data))]
    records.write_shard(records.shard_path(tmp_path / "d", 0, 1), rows, SIZE, SIZE, "png")
    records.finish_dataset(tmp_path / "d", data.info, [len(rows)])
    with pytest.raises(UserError, match="neither keypoints nor ready pose pictures"):
        train(small, tmp_path / "d", tmp_path / "run")


def test_pictures_alone_where_keypoints_are_asked_for(ready):
    reading = Window(SIZE, SIZE, 1, ("poses", "keypoints"), 2)
    message = r"ready pose pictures but no keypoints.*conditions\.face_contour"
    with pytest.raises(UserError, match=message):
        inputs.check_contents(records.open_dataset(ready), reading, Data())
