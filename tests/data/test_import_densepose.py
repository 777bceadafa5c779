"""DensePose output and frames into a dataset; letterboxing, and what is refused."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from motion_jax import puppet
from motion_jax.data import import_data as module
from motion_jax.data import import_shards, pairs, records, unpaired
from motion_jax.data.import_data import import_data
from motion_jax.data.import_options import ImportOptions
from motion_jax.errors import UserError
from motion_jax.pose import densepose
from motion_jax.video.writer import VideoWriter

HEIGHT, WIDTH, COUNT = 96, 64, 6
BAR = 8


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Jobs run in this process: starting others takes a second each."""
    monkeypatch.setattr(
        import_shards, "run_jobs", lambda job, inputs, *_: [job(value) for value in inputs]
    )
    monkeypatch.setattr(import_shards, "advance", lambda count=1: None)
    monkeypatch.setattr(module, "pool", lambda *_: __import__("contextlib").nullcontext())


@pytest.fixture(scope="module")
def dancer(tmp_path_factory):
    """(folder with IUV pictures, frames and videos of one dance, I U V, frames)."""
    folder = tmp_path_factory.mktemp("dancer")
    ada, motion = puppet.CHARACTERS["ada"], puppet.dance(COUNT, 10, seed=3)
    iuv = puppet.draw_iuv(ada, motion, HEIGHT, WIDTH)
    frames = puppet.draw(ada, motion, HEIGHT, WIDTH)
    (folder / "iuv").mkdir()
    (folder / "frames").mkdir()
    with (
        VideoWriter(folder / "frames.mp4", HEIGHT, WIDTH, crf=4) as video,
        VideoWriter(folder / "viridis.mp4", 4 * HEIGHT, 4 * WIDTH, crf=12) as coloured,
        VideoWriter(folder / "side.mp4", 4 * HEIGHT, 8 * WIDTH + 8 * BAR, crf=12) as side,
    ):
        for n, (surface, frame) in enumerate(zip(iuv, frames, strict=True)):
            # As the original tool: OpenCV writes I, U, V; and people's numbers beside it.
            cv2.imwrite(str(folder / f"iuv/dance_{n:04d}_IUV.png"), surface)
            cv2.imwrite(str(folder / f"iuv/dance_{n:04d}_INDS.png"), surface[..., 0])
            Image.fromarray(frame).save(folder / f"frames/dance_{n:04d}.png")
            video.write(frame, n / 10)
            large = surface.repeat(4, 0).repeat(4, 1)
            picture = densepose.draw(large, "viridis")
            coloured.write(picture, n / 10)
            both = [frame.repeat(4, 0).repeat(4, 1), picture]
            white = np.full((4 * HEIGHT, 2 * BAR, 3), 255, np.uint8)
            row = [white, both[0], white, white, both[1], white]
            side.write(np.concatenate(row, axis=1), n / 10)
    return folder, iuv, frames


def run(source, out, **options) -> records.PoseFrames:
    import_data(ImportOptions(source=source, out=out, workers=1, layout="densepose", **options))
    assert not (out / ".partial").exists()
    return records.open_dataset(out)


def test_raw_iuv_and_frames_of_a_folder(dancer, tmp_path, capsys):
    folder, iuv, frames = dancer
    data = run(folder / "iuv", tmp_path / "data", frames=folder / "frames", corrupt="skip")
    info = data.info
    assert len(data) == COUNT and data.clips == [(0, COUNT)] and data.size == (HEIGHT, WIDTH)
    assert info.densepose == "iuv" and info.pose_interpolation == "nearest"
    assert info.pose_pictures and info.picture == "png" and not data.has_keypoints
    for n in range(COUNT):
        row = data[n]
        np.testing.assert_array_equal(row["frame"], frames[n])
        np.testing.assert_array_equal(row["pose_picture"], densepose.draw(iuv[n], "iuv"))
    said = capsys.readouterr().err
    assert f"{COUNT} DensePose pictures, raw I, U, V; stored as iuv" in said
    parts = run(folder / "iuv", tmp_path / "parts", frames=folder / "frames.mp4",
                densepose_as="parts")  # fmt: skip
    np.testing.assert_array_equal(parts[2]["pose_picture"], densepose.draw(iuv[2], "parts"))
    assert parts.info.picture == "jpeg" and np.allclose(parts.times(), np.arange(COUNT) / 10)
    assert parts.info.sources[0]["fps"] == 10
    with pytest.raises(UserError, match=r"other options \(densepose-as parts, not viridis\)"):
        run(folder / "iuv", tmp_path / "parts", frames=folder / "frames.mp4",
            densepose_as="viridis")  # fmt: skip


def test_a_coloured_video_alone_is_a_domain(dancer, tmp_path):
    """Without frames: CycleGAN's domain A, with another dataset's frames as B."""
    folder, iuv, _ = dancer
    data = run(folder / "viridis.mp4", tmp_path / "a", size="64x96")
    assert data.info.densepose == "parts" and data.info.sources[0]["densepose"] == "viridis"
    for n in range(COUNT):
        wanted = densepose.draw(iuv[n], "parts")
        assert (data[n]["pose_picture"] == wanted).all(-1).mean() > 0.98
        np.testing.assert_array_equal(data[n]["frame"], data[n]["pose_picture"])
    other = run(folder / "iuv", tmp_path / "b", frames=folder / "frames")
    first, second = unpaired.domains(other, str(tmp_path / "a"), poses=True)
    settings = {"height": HEIGHT, "width": WIDTH, "batch_size": 2, "holdout": 0.0, "seed": 0}
    with unpaired.batches((first, second), **settings) as stream:
        batch = next(stream)
    shown = [data[n]["pose_picture"] for n in range(COUNT)]
    assert all(any((one == picture).all() for picture in shown) for one in batch["A"])
    assert not any((one == picture).all() for picture in shown for one in batch["B"])


def test_a_densepose_video_taken_for_skeletons_is_noticed(dancer, tmp_path, capsys):
    source = dancer[0] / "viridis.mp4"
    import_data(ImportOptions(source=source, out=tmp_path / "data", workers=1, size="32x48"))
    assert "looks like DensePose: --layout densepose" in capsys.readouterr().err
    assert records.open_dataset(tmp_path / "data").info.densepose is None


def test_both_halves_of_a_side_by_side_video(dancer, tmp_path):
    folder, iuv, frames = dancer
    data = run(folder / "side.mp4", tmp_path / "data", region="right", frames_region="left",
               frames=folder / "side.mp4", size="64x96")  # fmt: skip
    assert data.info.sources[0]["width"] == 4 * WIDTH
    for n in range(COUNT):
        row = data[n]
        assert (row["pose_picture"] == densepose.draw(iuv[n], "parts")).all(-1).mean() > 0.98
        assert np.abs(row["frame"].astype(int) - frames[n]).mean() < 8


def test_letterboxed(dancer, tmp_path):
    """Bars have the ground's colour in poses, are black in frames, and are known."""
    folder, iuv, frames = dancer
    data = run(folder / "iuv", tmp_path / "data", frames=folder / "frames", size="96x96",
               fit="letterbox", densepose_as="viridis")  # fmt: skip
    left = (96 - WIDTH) // 2
    assert data.info.one_content == (0, left, 96, left + WIDTH)
    assert json.loads((tmp_path / "data/metadata.json").read_text())["content"] == [
        [COUNT, 0, left, 96, left + WIDTH]
    ]
    row = data[1]
    np.testing.assert_array_equal(row["frame"][:, left:-left], frames[1])
    np.testing.assert_array_equal(
        row["pose_picture"][:, left:-left], densepose.draw(iuv[1], "viridis")
    )
    assert not row["frame"][:, :left].any() and not row["frame"][:, -left:].any()
    assert (row["pose_picture"][:, :left] == [68, 1, 84]).all()
    cropped = run(folder / "iuv", tmp_path / "crop", frames=folder / "frames", size="64x64",
                  fit="crop")  # fmt: skip
    assert cropped.info.one_content is None
    np.testing.assert_array_equal(cropped[1]["frame"], frames[1][16:80])


def test_one_bad_picture_among_many(dancer, tmp_path):
    """Damaged, or not what the others are: named, or left out with a count."""
    import shutil

    folder, iuv, _ = dancer
    bad = tmp_path / "iuv"
    shutil.copytree(folder / "iuv", bad)
    (bad / "dance_0002_IUV.png").write_bytes((bad / "dance_0002_IUV.png").read_bytes()[:200])
    options = {"frames": folder / "frames"}
    with pytest.raises(UserError, match=r"dance_0002_IUV\.png is damaged.*corrupt skip"):
        run(bad, tmp_path / "stop", **options)
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 77, np.uint8)).save(bad / "dance_0004_IUV.png")
    (bad / "dance_0002_IUV.png").write_bytes((folder / "iuv/dance_0002_IUV.png").read_bytes())
    with pytest.raises(UserError, match=r"dance_0004_IUV\.png is no DensePose IUV.*corrupt skip"):
        run(bad, tmp_path / "stop2", **options)
    data = run(bad, tmp_path / "data", corrupt="skip", **options)
    assert data.info.detection["skipped"] == ["dance_0004_IUV.png"]
    assert [count for _, count in data.clips] == [4, 1]
    np.testing.assert_array_equal(data[4]["pose_picture"], densepose.draw(iuv[5], "iuv"))


def test_a_missing_picture_is_named(dancer, tmp_path, capsys):
    folder, iuv, _ = dancer
    (tmp_path / "iuv").mkdir()
    for n in (0, 1, 3, 4):
        cv2.imwrite(str(tmp_path / f"iuv/dance_{n:04d}_IUV.png"), iuv[n])
    with pytest.raises(UserError, match="4 DensePose pictures and .* 6 frames"):
        run(tmp_path / "iuv", tmp_path / "no", frames=folder / "frames")
    assert len(run(tmp_path / "iuv", tmp_path / "data")) == 4
    said = " ".join(capsys.readouterr().err.split())
    name = "dance_0002_IUV.png is missing between dance_0001_IUV.png and dance_0003_IUV.png"
    assert said.count(name) == 2, "at each command"


def test_what_is_refused(dancer, tmp_path):
    folder, _, _ = dancer
    iuv, video = folder / "iuv", folder / "frames.mp4"
    for source, options, message in (
        (iuv, {"frames": video, "end": 0.35},
         r"iuv has 6 DensePose pictures and .*frames.mp4 4 frames"),
        (video, {}, "frames.mp4 shows no DensePose"),
        (folder / "viridis.mp4", {"densepose_as": "iuv"}, "parts without U and V"),
        (folder / "side.mp4", {"region": "right", "frames": folder / "side.mp4"},
         "256x384 and the frames 576x384.*frames_region"),
        (iuv, {"label_interpolation": "bicubic"}, "no mixtures"),
        (iuv, {"frames_region": "left"}, "goes with frames"),
        (iuv, {"region": "9,9,99,99"}, "does not lie inside the pictures, which are 64x96"),
        (iuv, {"fit": "letterbox"}, "needs a size to fit into"),
        (tmp_path / "absent", {}, "no file or folder"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            run(source, tmp_path / "no", **options)
    assert not (tmp_path / "no").exists()
    for options in ({"region": "left"}, {"densepose_as": "parts"}):
        with pytest.raises(UserError, match="goes only with layout densepose"):
            import_data(ImportOptions(source=video, out=tmp_path / "no", **options))


def test_letterboxed_pictures_of_several_shapes(tmp_path):
    """Two domains, each picture with its own bars; pairs that do not fit each other are refused."""
    for folder, sizes in (("trainA", [(32, 64), (64, 32), (40, 40)]), ("trainB", [(32, 64)])):
        (tmp_path / "zoo" / folder).mkdir(parents=True)
        for n, size in enumerate(sizes):
            Image.fromarray(np.full((*size, 3), 99, np.uint8)).save(
                tmp_path / "zoo" / folder / f"x{n}.png"
            )
    import_data(ImportOptions(source=tmp_path / "zoo", out=tmp_path / "data", workers=1,
                              size="32x32", fit="letterbox"))  # fmt: skip
    data = records.open_dataset(tmp_path / "data")
    boxes = [(8, 0, 24, 32), (0, 8, 32, 24), (0, 0, 32, 32), (8, 0, 24, 32)]
    np.testing.assert_array_equal(data.info.contents, boxes)
    for record, (top, left, bottom, right) in enumerate(boxes):
        frame = data[record]["frame"]
        assert (frame[top:bottom, left:right] == 99).all()
        assert frame.sum() == 3 * 99 * (bottom - top) * (right - left)
    assert data.info.one_content is None
    for folder, size in (("train_A", (32, 64)), ("train_B", (64, 32))):
        (tmp_path / "hd" / folder).mkdir(parents=True)
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / "hd" / folder / "0.png")
    with pytest.raises(UserError, match="would not put one exactly over the other"):
        import_data(ImportOptions(source=tmp_path / "hd", out=tmp_path / "no", workers=1,
                                  size="32x32", fit="letterbox"))  # fmt: skip


def test_the_real_side_by_side_video(shared, tmp_path):
    """Its right half and the frames of the video that it was made from, on top of each other."""
    folder = shared / "data"
    side, frames = folder / "dance-man-indoor-densepose-side.mp4", folder / "dance-man-indoor.mp4"
    with pytest.raises(UserError, match="100 DensePose pictures and .* 367 frames"):
        run(folder / "densepose/magic-dancing2.mp4", tmp_path / "none", frames=frames)
    data = run(side, tmp_path / "data", region="right", frames=frames, size="80x144", end=0.2)
    assert len(data) == 6 and data.info.sources[0]["densepose"] == "parula"
    parts = densepose.Reading("parts").read(data[0]["pose_picture"])[..., 0]
    # His dark shirt and trousers are darker than the wall around him.
    grey = data[0]["frame"].astype(int).mean(-1)
    body = np.isin(parts, [2, 9, 10])
    around = cv2.dilate(body.astype(np.uint8), np.ones((9, 9))).astype(bool) & (parts == 0)
    assert (
        body.mean() > 0.08
        and grey[body].mean() + 40 < grey[around & (np.arange(144) < 80)[:, None]].mean()
    )


def test_a_window_of_training(dancer, tmp_path):
    folder, iuv, _ = dancer
    data = run(folder / "iuv", tmp_path / "data", frames=folder / "frames")
    with pairs.batches(data, height=HEIGHT, width=WIDTH, batch_size=1, window=1, holdout=0,
                       seed=0) as stream:  # fmt: skip
        batch = next(stream)
    drawn = [densepose.draw(one, "iuv") for one in iuv]
    assert any((batch["pose_pictures"][0, 0] == picture).all() for picture in drawn)
