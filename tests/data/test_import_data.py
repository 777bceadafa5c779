"""Other projects' folders into a dataset: every layout, to the byte; stopped and gone on with."""

import hashlib
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from motion_jax import puppet
from motion_jax.cli import terminal
from motion_jax.data import import_data as module
from motion_jax.data import import_shards, pairs, records, shards
from motion_jax.data.edn_files import on_label, write_yml
from motion_jax.data.import_data import import_data
from motion_jax.data.import_options import ImportOptions
from motion_jax.errors import UserError
from motion_jax.pose.draw import draw_edn
from motion_jax.pose.files import write_openpose
from motion_jax.video.writer import VideoWriter

SIZE = (32, 64)


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Jobs run in this process: starting others takes a second each, and has a test of its own."""

    def run_jobs(job, inputs, workers, description, total):
        return [job(value) for value in inputs]

    monkeypatch.setattr(import_shards, "run_jobs", run_jobs)
    monkeypatch.setattr(import_shards, "advance", lambda count=1: None)
    monkeypatch.setattr(module, "pool", lambda *_: __import__("contextlib").nullcontext())


def noise(path: Path, seed, size=SIZE) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=90)
    return pixels


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def run(source: Path, out: Path, **options) -> records.PoseFrames:
    import_data(ImportOptions(source=source, out=out, workers=1, **options))
    assert not (out / ".partial").exists()
    return records.open_dataset(out)


def edn(root: Path, train=(0, 1, 2, 5, 6), test=(0, 1), texts=True) -> Path:
    for phase, numbers in (("train", train), ("test", test)):
        for n in numbers:
            noise(root / f"{phase}_label" / f"frame{n:06d}.png", [n, 1, len(phase)])
            noise(root / f"{phase}_img" / f"frame{n:06d}.png", [n, 2, len(phase)])
            if texts and n != 1:
                folder = root / f"{phase}_facetexts128"
                folder.mkdir(exist_ok=True)
                (folder / f"frame{n:06d}.txt").write_text(f"{n} {n + 8} 4 12")
    return root


def test_an_edn_project(tmp_path):
    root = edn(tmp_path / "edn")
    data = run(root, tmp_path / "data")
    info = data.info
    assert data.size == SIZE and len(data) == 7 and info.pose_pictures
    assert data.clips == [(0, 3), (3, 2), (5, 2)], "a gap in the numbers ends a clip"
    assert info.held_out == (2,) and info.pose_interpolation == "nearest"
    for record, (phase, n) in enumerate(
        [("train", n) for n in (0, 1, 2, 5, 6)] + [("test", n) for n in (0, 1)]
    ):
        row = data[record]
        for field, name in (("frame", "img"), ("pose_picture", "label")):
            path = root / f"{phase}_{name}" / f"frame{n:06d}.png"
            np.testing.assert_array_equal(row[field], np.asarray(Image.open(path)))
            assert data.encoded(record)[field] == path.read_bytes(), "kept byte for byte"
        box = [n, 4, n + 8, 12] if n != 1 else [0, 0, 0, 0]
        np.testing.assert_array_equal(row["face_box"], box)
        assert not row["keypoints"].any()
    # What the dataset marks is held out, whatever the share.
    for share in (0.0, 0.5):
        assert pairs.stretches(data, share, "train") == [(0, 3), (3, 2)]
        assert pairs.stretches(data, share, "heldout") == [(5, 2)]
    assert "No keypoints" in (tmp_path / "data/report/index.html").read_text()
    before = digest(tmp_path / "data")
    run(root, tmp_path / "data")
    assert digest(tmp_path / "data") == before, "made already: nothing is done"
    with pytest.raises(UserError, match=r"other options \(test True, not False\)"):
        run(root, tmp_path / "data", test=False)


def test_what_is_said_is_short(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(terminal, "LEAST_SECONDS", float("inf"))
    root = edn(tmp_path / "edn", texts=False)
    run(root, tmp_path / "data")
    said = capsys.readouterr().err
    page = tmp_path / "data/report/index.html"
    assert said.splitlines()[-1] == (
        f"{tmp_path / 'data'}: 7 pictures of 64x32, 3 clips (1 held out); no keypoints, no face "
        f"boxes (what follows from it: {page})."
    )
    assert "No face boxes: the face stage has nothing to learn" in page.read_text()
    assert "/s" not in said, "a rate of what took no time"
    run(root, tmp_path / "cut", resize="crop", crop_size=32)
    last = capsys.readouterr().err.splitlines()[-1]
    assert (
        last.startswith("Train with --data.augment.crop --data.augment.flip ") and "32x32" in last
    )


def test_what_differs_from_the_dataset_that_is_there(tmp_path):
    root = edn(tmp_path / "edn", train=(0, 1), test=())
    run(root, tmp_path / "data")
    for change, message in (
        ({"size": "32x32"}, r"made with other options \(size unset \(64x32\), not 32x32\);"),
        (
            {"resize": "scale_width", "load_size": 32},
            r"\(resize none, not scale_width; load-size 1024, not 32\);",
        ),
        ({"size": "64x32"}, r"\(size unset \(64x32\), not 64x32\);"),
        ({"end": 2.0, "fps": 5.0}, r"\((end|fps) None, not .*; (end|fps) None, not .*\);"),
    ):
        with pytest.raises(UserError, match=message):
            run(root, tmp_path / "data", **change)
    run(root, tmp_path / "small", size="32x16")
    with pytest.raises(UserError, match=r"other options \(size 32x16, not unset \(64x32\)\);"):
        run(root, tmp_path / "small")
    other = edn(tmp_path / "other", train=(0, 1, 2), test=())
    with pytest.raises(UserError, match=r"made from another folder \(edn, not other\)"):
        run(other, tmp_path / "data", size="32x32")
    again = edn(tmp_path / "again/edn", train=(0, 1, 2), test=())
    with pytest.raises(UserError, match="from other files in edn, or from another folder of that"):
        run(again, tmp_path / "data")


def test_a_crop_larger_than_the_pictures(tmp_path):
    root = edn(tmp_path / "edn", train=(0, 1), test=())
    for options in ({"resize": "crop"}, {"resize": "scale_width_and_crop", "load_size": 64}):
        with pytest.raises(UserError, match="48x48 out of pictures of 64x32, which are smaller"):
            run(root, tmp_path / "data", crop_size=48, **options)
    assert not (tmp_path / "data").exists()
    run(root, tmp_path / "data", crop_size=32, resize="crop")


def test_plain_tfds_reads_it_and_the_builder_repacks_it(tmp_path):
    from motion_jax.data.tfds_builder import load_builder

    run(edn(tmp_path / "edn"), tmp_path / "data")
    builder = load_builder()(data_dir=tmp_path / "tfds", prepared=tmp_path / "data")
    builder.download_and_prepare()
    source, again = (records.open_dataset(p) for p in (tmp_path / "data", builder.data_dir))
    assert again.info == source.info
    plain = builder.as_data_source("train")
    for record in (0, 6):
        for name in ("frame", "pose_picture", "face_box"):
            np.testing.assert_array_equal(plain[record][name], source[record][name])
            np.testing.assert_array_equal(again[record][name], source[record][name])


def test_edn_keypoints_and_how_they_are_drawn(tmp_path):
    """Labels drawn by the original's rules from yml files: both come in, and fit together."""
    root, motion = tmp_path / "edn", puppet.dance(4, 10, seed=1)
    truth = puppet.pose(puppet.CHARACTERS["ada"], motion, 540, 540)
    for n, keypoints in enumerate(truth):
        base = f"f{n:04d}"
        for folder in ("train_label", "train_img", "keypoints"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        write_yml(root / "keypoints", base, keypoints, "body23")
        # 540x540 frames: twice as large in the middle of the canvas.
        canvas = keypoints * [2, 2, 1] + [420, 0, 0] * (keypoints[:, 2:] > 0)
        label = draw_edn(canvas, 128, 256, body="body23")
        Image.fromarray(label).save(root / "train_label" / f"{base}.png")
        noise(root / "train_img" / f"{base}.png", n, (128, 256))
    data = run(root, tmp_path / "data", keypoints_size="540x540")
    assert data.has_keypoints and data.info.pose_style["body"] == "body23"
    got = data.keypoints()
    wanted = on_label(truth, (540, 540), (128, 256))
    seen = got[..., 2] > 0
    assert seen[:, :25].sum() > 70 and not seen[:, 24].any(), "body23 has no heels"
    np.testing.assert_allclose(got[seen], wanted[seen], atol=1e-3)
    assert (data.face_boxes()[:, 2] > data.face_boxes()[:, 0]).all()
    # Joints lie on what is drawn.
    for record in range(len(data)):
        label = data[record]["pose_picture"]
        for x, y, _ in got[record, :15][seen[record, :15]]:
            assert (label[int(y), int(x)] < 250).any()
    assert data.info.sources[0]["fit"] == "squash"


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_side_by_side(tmp_path, direction):
    for phase, count in (("train", 3), ("val", 1), ("test", 2)):
        for n in range(count):
            noise(tmp_path / "ab" / phase / f"{n + 1}.png", [n, count], (32, 96))
    data = run(tmp_path / "ab", tmp_path / "data", direction=direction)
    assert data.size == (32, 48) and data.clips == [(i, 1) for i in range(6)]
    assert pairs.stretches(data, 0.2, "heldout") == [(3, 1), (4, 1), (5, 1)]
    both = np.asarray(Image.open(tmp_path / "ab/train/2.png"))
    halves = [both[:, :48], both[:, 48:]]
    pose, frame = halves if direction == "AtoB" else halves[::-1]
    np.testing.assert_array_equal(data[1]["frame"], frame)
    np.testing.assert_array_equal(data[1]["pose_picture"], pose)


def test_aligned_with_the_references_resizing(tmp_path):
    root = tmp_path / "hd"
    for n in range(2):
        noise(root / "train_A" / f"{n}.png", [n, 0], (60, 90))
        noise(root / "train_B" / f"{n}.jpg", [n, 1], (60, 90))
    data = run(root, tmp_path / "data", resize="resize_and_crop", load_size=48, crop_size=32)
    assert data.size == (48, 48) and data.info.picture == "jpeg"
    for name, folder in (("pose_picture", "train_A/1.png"),):
        wanted = Image.open(root / folder).resize((48, 48), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(data[1][name], np.asarray(wanted))
    options = {"batch_size": 2, "window": 1, "holdout": 0, "seed": 0}
    augment = pairs.AugmentConfig(crop=True)
    with pairs.batches(data, height=32, width=32, augment=augment, **options) as stream:
        batch = next(stream)
    assert batch["frames"].shape == batch["pose_pictures"].shape == (2, 1, 32, 32, 3)
    whole = data[0]["pose_picture"]
    places = [
        (top, left)
        for top in range(17)
        for left in range(17)
        if any((whole[top : top + 32, left : left + 32] == p[0]).all()
               for p in batch["pose_pictures"])
    ]  # fmt: skip
    assert len(places) == 1
    (top, left), window = places[0], pairs.Frames(data, 32, 32, crop=True).window(0, 1)
    index = [(whole[top : top + 32, left : left + 32] == p[0]).all()
             for p in batch["pose_pictures"]].index(True)  # fmt: skip
    frame = data[0]["frame"]
    np.testing.assert_array_equal(
        batch["frames"][index, 0], frame[top : top + 32, left : left + 32], "the same place in both"
    )
    np.testing.assert_array_equal(window["frames"][0], frame[8:40, 8:40])
    with pytest.raises(UserError, match="64x64 cannot be cut"):
        pairs.Frames(data, 64, 64, crop=True)


def test_unpaired_domains(tmp_path):
    for folder, count in (("trainA", 3), ("trainB", 2), ("testA", 1), ("testB", 2)):
        for n in range(count):
            noise(tmp_path / "zoo" / folder / f"n{n}_7.jpg", [n, len(folder)], (40, 40))
    data = run(tmp_path / "zoo", tmp_path / "data")
    assert not data.info.pose_pictures and len(data) == 8
    assert [source["domain"] for source in data.info.sources] == ["A", "B", "A", "B"]
    counts = {
        (domain, part): sum(n for _, n in pairs.stretches(data, 0.2, part, domain))
        for domain in "AB"
        for part in ("train", "heldout")
    }
    assert counts == {
        ("A", "train"): 3,
        ("A", "heldout"): 1,
        ("B", "train"): 2,
        ("B", "heldout"): 2,
    }


def test_vid2vid_with_openpose(tmp_path):
    root, motion = tmp_path / "v2v", puppet.dance(5, 10, seed=2)
    truth = puppet.pose(puppet.CHARACTERS["ben"], motion, 64, 64)
    for sequence in ("0001", "0002"):
        poses = truth.copy()
        if sequence == "0002":
            poses[2] = 0  # nobody
        write_openpose(root / "train_openpose" / sequence, poses, "img")
        for n in range(5):
            noise(root / "train_img" / sequence / f"img_{n:04d}.png", [n, int(sequence)], (64, 64))
    data = run(root, tmp_path / "data", size="32x32")
    assert data.clips == [(0, 5), (5, 2), (7, 2)] and not data.info.pose_pictures
    wanted = truth * [0.5, 0.5, 1]
    np.testing.assert_allclose(data.keypoints()[:5], wanted, atol=1e-3)
    assert (data.face_boxes()[:, 2] > 0).all() and data.info.sources[1]["kept"] == 4
    (root / "train_openpose/0001/img_000000000004_keypoints.json").unlink()
    with pytest.raises(UserError, match="5 pictures and .*0001 4 poses"):
        run(root, tmp_path / "other")
    (root / "train_img/0002/img_0002.png").unlink()
    write_openpose(root / "train_openpose/0001", truth, "img")
    with pytest.raises(UserError, match="img_0002.png is missing between img_0001.png and"):
        run(root, tmp_path / "other")


def test_the_real_skeleton_video(shared, tmp_path):
    skeleton = shared / "data" / "skeleton-video-dwpose.mp4"
    dance = shared / "data" / "dance-man-indoor.mp4"
    with pytest.raises(UserError, match="has 136 frames and .* 367"):
        run(skeleton, tmp_path / "none", frames=dance)
    assert not (tmp_path / "none").exists()
    options = {"size": "64x96", "end": 0.4, "frames": dance}
    data = run(skeleton, tmp_path / "data", **options)
    assert len(data) == 12 and data.size == (96, 64) and data.info.pose_pictures
    reading = cv2.VideoCapture(str(skeleton))
    _, first = reading.read()
    wanted = Image.fromarray(first[..., ::-1]).resize((64, 96), Image.Resampling.BICUBIC)
    assert np.abs(data[0]["pose_picture"].astype(int) - np.asarray(wanted)).mean() < 3
    assert data[0]["pose_picture"].mean() < 40 < data[0]["frame"].mean(), "drawn on black"
    np.testing.assert_allclose(data.times()[3], 0.1, atol=1e-3)
    alone = run(skeleton, tmp_path / "alone", **(options | {"frames": None}))
    np.testing.assert_array_equal(alone[5]["pose_picture"], data[5]["pose_picture"])
    assert np.abs(alone[5]["frame"].astype(int) - alone[5]["pose_picture"]).mean() < 8


def test_a_video_that_is_not_drawn(tmp_path, capsys):
    random, drawn = np.random.default_rng(0), np.zeros((64, 64, 3), np.uint8)
    drawn[20:50, 30:34] = [255, 0, 0]
    smooth = cv2.resize(random.integers(0, 256, (6, 6, 3), np.uint8), (64, 64))
    for name, picture in (("plain", smooth), ("drawn", drawn)):
        path = tmp_path / f"{name}.mp4"
        with VideoWriter(path, 64, 64) as writer:
            for i in range(4):
                writer.write(picture, i / 10)
        run(path, tmp_path / name)
        said = capsys.readouterr().err
        assert f"{path}: layout skeleton-video." in said
        assert ("does not look like drawn skeletons" in said) == (name == "plain")
        assert ("motion-jax prepare" in said) == (name == "plain")


def test_what_looks_drawn(shared):
    from motion_jax.pose.ready import looks_drawn

    folder = shared / "data"
    assert looks_drawn(folder / "skeleton-video-dwpose.mp4", end=1)
    assert looks_drawn(folder / "densepose/magic-dancing2.mp4", end=1)
    assert not looks_drawn(folder / "dance-man-indoor.mp4", end=1)
    assert not looks_drawn(folder / "dancer-bluescreen-63s.avi", end=1)


def test_a_damaged_picture_is_named_or_left_out(tmp_path, capsys):
    root = edn(tmp_path / "edn", train=range(6))
    whole = (root / "train_img/frame000002.png").read_bytes()
    (root / "train_img/frame000002.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"train_img/frame000002\.png is damaged.*corrupt skip"):
        run(root, tmp_path / "data")
    assert not records.is_dataset(tmp_path / "data")
    data = run(root, tmp_path / "data", corrupt="skip")
    assert data.clips == [(0, 2), (2, 3), (5, 2)] and data.info.held_out == (1,)
    said = capsys.readouterr().err.splitlines()[-1]
    assert "7 pictures of 64x32, 3 clips (1 held out); 1 damaged left out" in said
    assert data.info.detection["skipped"] == ["train_img/frame000002.png"]
    np.testing.assert_array_equal([data[r]["index"] for r in range(5)], [0, 1, 3, 4, 5])
    (root / "train_img/frame000002.png").write_bytes(whole)
    (root / "train_img/frame000003.png").write_bytes(b"text")
    with pytest.raises(UserError, match=r"frame000003\.png is damaged or no picture"):
        run(root, tmp_path / "other")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": "30x30"}, "multiples of 16"),
        ({"size": "32x32", "resize": "crop"}, "size and resize contradict"),
        (
            {"resize": "resize_and_crop", "load_size": 20, "crop_size": 30},
            "larger than load_size",
        ),
        ({"fps": 0.0}, "fps 0 is not a rate"),
        ({"layout": "aligned"}, "not the layout aligned: there is no train_A"),
        ({"layout": "skeleton-video"}, "is a folder"),
        ({"frames": Path("x.mp4")}, "frames goes only with a skeleton video"),
        ({"keypoints": Path("nowhere")}, "no folder of poses nowhere"),
    ],
)
def test_senseless_options(tmp_path, change, message):
    root = edn(tmp_path / "edn", train=(0, 1), test=())
    with pytest.raises(UserError, match=message):
        run(root, tmp_path / "data", **change)
    assert not (tmp_path / "data").exists()


def test_other_bad_input(tmp_path):
    root = edn(tmp_path / "edn", train=(0, 1), test=())
    with pytest.raises(UserError, match="no file or folder"):
        run(tmp_path / "absent", tmp_path / "data")
    (root / "train_facetexts128/frame000000.txt").write_text("1 2 three 4")
    with pytest.raises(UserError, match=r"frame000000\.txt is not four numbers"):
        run(root, tmp_path / "data")
    assert not (tmp_path / "data").exists()
    (root / "train_facetexts128/frame000000.txt").unlink()
    noise(root / "train_label/frame000001.png", 9, (48, 64))
    with pytest.raises(UserError, match=r"frame000001\.png would become 64x48.*size"):
        run(root, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_stopped_and_gone_on_with_is_the_same_bytes(tmp_path, monkeypatch, capsys):
    root = edn(tmp_path / "edn", train=range(9), test=range(4))
    monkeypatch.setattr(shards, "FEWEST", 2)
    run(root, tmp_path / "whole/data")
    write, seen = import_shards._write, []

    def interrupted(job):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(job.path.name)
        write(job)

    monkeypatch.setattr(import_shards, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(root, tmp_path / "again/data")
    assert not records.is_dataset(tmp_path / "again/data") and len(seen) == 3
    monkeypatch.setattr(
        import_shards, "_write", lambda job: (seen.append(job.path.name), write(job))
    )
    # And once more while shards move to their places.
    replace_file, moves = shards.os.replace, []

    def stopped(a, b):
        moves.append(b)
        if len(moves) == 3:
            raise KeyboardInterrupt
        replace_file(a, b)

    monkeypatch.setattr(shards.os, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(root, tmp_path / "again/data")
    monkeypatch.setattr(shards.os, "replace", replace_file)
    assert capsys.readouterr().err.count("the same command goes on") == 2
    assert len(seen) == len(set(seen)), "no shard was written twice"
    run(root, tmp_path / "again/data")
    assert digest(tmp_path / "again/data") == digest(tmp_path / "whole/data")


def wait_until(condition) -> None:
    """Counts, and does not look at the clock: a stopped machine is no failure."""
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it never happened")


def lives(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_killed_while_working_is_the_same_bytes(tmp_path):
    """The real thing: the command in another process, killed when its first shards are there."""
    root = edn(tmp_path / "edn", train=range(400), test=(), texts=False)
    command = [
        sys.executable, "-m", "motion_jax.cli", "import-data", str(root), "--workers", "2", "--out",
    ]  # fmt: skip
    first = subprocess.Popen([*command, str(tmp_path / "again/data")], stderr=subprocess.DEVNULL)
    partial = tmp_path / "again/data/.partial"
    wait_until(lambda: list(partial.glob("*0.json")) or first.poll() is not None)
    children = Path(f"/proc/{first.pid}/task/{first.pid}/children")
    workers = children.read_text().split() if children.is_file() else []
    first.kill()
    first.wait()
    wait_until(lambda: not any(map(lives, workers)))
    if first.returncode < 0:
        assert not records.is_dataset(tmp_path / "again/data")
    subprocess.run([*command, str(tmp_path / "again/data")], check=True, capture_output=True)
    run(root, tmp_path / "whole/data")
    assert digest(tmp_path / "again/data") == digest(tmp_path / "whole/data")
    text = json.loads((tmp_path / "whole/data/metadata.json").read_text())
    assert text["detection"]["kept"] == 400


def test_frames_smaller_in_training_keep_the_labels_colours(tmp_path):
    """Labels are made smaller by the nearest pixel, as there; frames by averages."""
    root = edn(tmp_path / "edn", train=(0, 1), test=())
    data = run(root, tmp_path / "data")
    window = pairs.Frames(data, 16, 32).window(0, 2)
    pose, frame = (np.asarray(data[0][name]) for name in ("pose_picture", "frame"))
    half = Image.fromarray(pose).resize((32, 16), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(window["pose_pictures"][0], np.asarray(half))
    means = frame.reshape(16, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(window["frames"][0] - means).max() <= 1
    np.testing.assert_allclose(window["face_boxes"][0], [0, 2, 4, 6])
    video = replace(ImportOptions(root, tmp_path / "x"), source=tmp_path / "clip.mp4")
    with VideoWriter(video.source, 32, 32) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8), 0.0)
    with pytest.raises(UserError, match="is a file; the layout edn needs a folder"):
        import_data(replace(video, layout="edn"))
