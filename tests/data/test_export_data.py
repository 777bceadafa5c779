"""A dataset as the folders that the original programs read, and back again."""

import numpy as np
import pytest
from PIL import Image

from motion_jax.data import import_data as module
from motion_jax.data import import_shards, records
from motion_jax.data.edn_files import read_face_text
from motion_jax.data.export_data import ExportOptions, export_data
from motion_jax.data.import_data import import_data
from motion_jax.data.import_options import ImportOptions
from motion_jax.errors import UserError
from motion_jax.pose.draw import draw_edn
from motion_jax.pose.face import face_boxes
from motion_jax.pose.files import read_named

HEIGHT, WIDTH = 64, 128


@pytest.fixture(autouse=True)
def here(monkeypatch):
    import contextlib

    monkeypatch.setattr(import_shards, "run_jobs", lambda job, inputs, *_: [*map(job, inputs)])
    monkeypatch.setattr(import_shards, "advance", lambda count=1: None)
    monkeypatch.setattr(module, "pool", lambda *_: contextlib.nullcontext())


def dataset(folder, lengths=(3, 4), ready=False, held_out=(), picture="png", source=None):
    """Noise with a puppet's poses; a ready picture of each where asked for."""
    from motion_jax import puppet

    random = np.random.default_rng(5)
    count = sum(lengths)
    keypoints = puppet.pose(puppet.CHARACTERS["ada"], puppet.dance(count, 10), HEIGHT, WIDTH)
    boxes = face_boxes(keypoints, HEIGHT, WIDTH)
    rows, clips, start = [], [], 0
    for clip, length in enumerate(lengths):
        clips.append((clip, 0, start, length))
        for index in range(length):
            noise = random.integers(0, 256, (2, HEIGHT, WIDTH, 3), np.uint8)
            rows.append(
                {
                    "frame": noise[0], "keypoints": keypoints[start + index] * (not ready),
                    "face_box": np.round(boxes[start + index]), "clip": clip, "index": index,
                    "time": index / 25,
                }
                | ({"pose_picture": noise[1]} if ready else {})
            )  # fmt: skip
        start += length
    path = records.shard_path(folder, 0, 1)
    records.write_shard(path, rows, HEIGHT, WIDTH, picture, "png" if ready else None)
    info = records.DatasetInfo(
        HEIGHT, WIDTH, tuple(clips), (source or {"file": "a.mp4"},), picture=picture,
        pose_pictures=ready, held_out=held_out,
    )  # fmt: skip
    records.finish_dataset(folder, info, [count])
    return records.open_dataset(folder)


def again(folder, out, **options):
    import_data(ImportOptions(source=folder, out=out, workers=1, **options))
    return records.open_dataset(out)


@pytest.mark.parametrize("layout", ["edn", "aligned", "side-by-side"])
def test_out_and_in_again_is_the_same(tmp_path, layout):
    data = dataset(tmp_path / "data", (3, 4, 2), ready=True, held_out=(2,))
    export_data(ExportOptions(tmp_path / "data", tmp_path / "out", layout))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "edn": {"train_label", "train_img", "train_facetexts128",
                "test_label", "test_img", "test_facetexts128", "motion_jax.json"},
        "aligned": {"train_A", "train_B", "test_A", "test_B"},
        "side-by-side": {"train", "test"},
    }[layout]  # fmt: skip
    back = again(tmp_path / "out", tmp_path / "back", sequence="frames")
    assert back.clips == data.clips and back.info.held_out == (2,)
    for record in range(len(data)):
        for name in ("frame", "pose_picture"):
            np.testing.assert_array_equal(back[record][name], data[record][name])
    if layout == "edn":
        assert (data.face_boxes()[:, 2] > 0).all()
        np.testing.assert_array_equal(back.face_boxes(), data.face_boxes())


def test_labels_and_keypoints_of_a_prepared_dataset(tmp_path):
    data = dataset(tmp_path / "data")
    export_data(ExportOptions(tmp_path / "data", tmp_path / "out", holdout=0.25))
    names = sorted(path.name for path in (tmp_path / "out/train_label").iterdir())
    # 4 frames hold out 1, 3 hold out 1; a number is left out between clips.
    assert names == [f"frame{n:06d}.png" for n in (0, 1, 3, 4, 5)]
    canvas = data.keypoints() * np.float32([1920 / WIDTH, 1080 / HEIGHT, 1])
    label = np.asarray(Image.open(tmp_path / "out/train_label/frame000001.png"))
    np.testing.assert_array_equal(label, draw_edn(canvas[1], HEIGHT, WIDTH))
    read = read_named(tmp_path / "out/keypoints", ["frame000000", "frame000003"]).keypoints
    np.testing.assert_allclose(read, canvas[[0, 3]], rtol=1e-5, atol=1e-3)
    text = (tmp_path / "out/keypoints/frame000000_pose.yml").read_text()
    line = next(line.strip() for line in text.splitlines() if line.strip().startswith("data"))
    assert line[:8] == "data: [ " and line[-2:] == " ]", "as the original's reader cuts it"
    box = read_face_text(tmp_path / "out/train_facetexts128/frame000000.txt")
    np.testing.assert_array_equal(box, data.face_boxes()[0])
    assert box[2] - box[0] == HEIGHT / 4
    back = again(tmp_path / "out", tmp_path / "back")
    order = [0, 1, 3, 4, 5, 2, 6]
    np.testing.assert_allclose(back.keypoints(), data.keypoints()[order], atol=1e-3)
    np.testing.assert_array_equal(back.face_boxes()[:5], data.face_boxes()[[0, 1, 3, 4, 5]])
    assert back.info.pose_style["body"] == "body25"
    np.testing.assert_array_equal(back[0]["frame"], data[0]["frame"])


@pytest.mark.parametrize(
    "source",
    [
        {"file": "a.mp4", "width": 288, "height": 512, "fit": "crop"},
        {"file": "a.mp4", "width": 1000, "height": 400, "fit": "squash"},
    ],
)
def test_keypoints_and_the_shape_of_pixels_come_back(tmp_path, source):
    data = dataset(tmp_path / "data", (4, 5), source=source)
    aspect = 1.25 if source["fit"] == "squash" else 1.0
    assert data.info.pixel_aspect == aspect
    export_data(ExportOptions(tmp_path / "data", tmp_path / "out", body="body23", holdout=0.4))
    assert len(list((tmp_path / "out/test_keypoints").glob("*_pose.yml"))) == 4
    back = again(tmp_path / "out", tmp_path / "back")
    assert back.info.pixel_aspect == pytest.approx(aspect)
    # Trained on: 2 of 4 and 3 of 5; then what is held out.
    order = [0, 1, 4, 5, 6, 2, 3, 7, 8]
    wanted, got = data.keypoints()[order], back.keypoints()
    np.testing.assert_allclose(got[:, :19], wanted[:, :19], atol=1e-3)
    assert back.info.held_out == (2, 3)
    # Stretched once more.
    wide = again(tmp_path / "out", tmp_path / "wide", size="256x64")
    assert wide.info.pixel_aspect == pytest.approx(aspect / 2)
    # As a project of the original's, whose labels are squashed canvases.
    (tmp_path / "out/motion_jax.json").unlink()
    original = again(tmp_path / "out", tmp_path / "original")
    assert original.info.pixel_aspect == pytest.approx(1920 / WIDTH / (1080 / HEIGHT))
    (tmp_path / "out/motion_jax.json").write_text('{"pixel_aspect": 0}')
    with pytest.raises(UserError, match=r"motion_jax\.json does not say the shape"):
        again(tmp_path / "out", tmp_path / "damaged")


def test_single_pictures_stay_single(tmp_path):
    dataset(tmp_path / "data", (1, 1, 1), ready=True)
    export_data(ExportOptions(tmp_path / "data", tmp_path / "out", "aligned"))
    assert again(tmp_path / "out", tmp_path / "back").clips == [(0, 1), (1, 1), (2, 1)]


def test_stored_jpeg_is_copied(tmp_path):
    data = dataset(tmp_path / "data", (2,), picture="jpeg")
    export_data(ExportOptions(tmp_path / "data", tmp_path / "out", picture="jpeg"))
    path = tmp_path / "out/train_img/frame000001.jpg"
    assert path.read_bytes() == data.encoded(1)["frame"]


def test_bad_input_writes_nothing(tmp_path, monkeypatch):
    dataset(tmp_path / "data", (2,))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("")
    with pytest.raises(UserError, match="full is there already"):
        export_data(ExportOptions(tmp_path / "data", tmp_path / "full"))
    with pytest.raises(UserError, match="no dataset folder"):
        export_data(ExportOptions(tmp_path / "absent", tmp_path / "out"))
    with pytest.raises(UserError, match=r"holdout 1\.5"):
        export_data(ExportOptions(tmp_path / "data", tmp_path / "out", holdout=1.5))
    from motion_jax.data import export_data as writing

    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "face_text", broken)
    with pytest.raises(KeyboardInterrupt):
        export_data(ExportOptions(tmp_path / "data", tmp_path / "out"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "full"]
