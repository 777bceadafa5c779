"""Clips of many people: what is given, what is cut out, and what pairs are drawn from them."""

import dataclasses
import random
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from motion_jax.data import clips
from motion_jax.data.apart import _Pairs
from motion_jax.data.augment import AugmentConfig
from motion_jax.data.pairs import Frames
from motion_jax.data.prepare import prepare
from motion_jax.data.prepare_options import PrepareOptions
from motion_jax.data.published_augment import PublishedAugment, augmented
from motion_jax.data.published_clips import person_of
from motion_jax.data.records import open_dataset
from motion_jax.data.tubes import square, tubes
from motion_jax.errors import UserError
from motion_jax.video.writer import VideoWriter

SIZE = (16, 32)  # height, width: strips of frames that are not square too


def frame(value: int, height: int = 16, width: int = 32) -> np.ndarray:
    """Its place in the clip is its brightness; the left half is darker."""
    picture = np.full((height, width, 3), 10 * value, np.uint8)
    picture[:, : width // 2] //= 2
    return picture


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("root")
    for phase, name in (("train", "7#a"), ("train", "7#b"), ("test", "8#a")):
        (folder / phase / name).mkdir(parents=True)
        for i in (2, 10, 9):
            Image.fromarray(frame(i)).save(folder / phase / name / f"{i}.png")
    # Grey, and with alpha.
    Image.fromarray(frame(9)).convert("L").save(folder / "train" / "7#b" / "9.png")
    Image.fromarray(frame(10)).convert("RGBA").save(folder / "train" / "7#b" / "10.png")
    strip = np.concatenate([frame(i) for i in range(1, 5)], axis=1)
    Image.fromarray(strip).save(folder / "train" / "77.png")
    (folder / "train" / "about.csv").write_text("")
    (folder / "train" / "lonely").mkdir()
    Image.fromarray(frame(1)).save(folder / "train" / "lonely" / "0.png")
    return folder


@pytest.fixture(scope="module")
def made(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "data"
    options = PrepareOptions((root,), out, size="32x16", layout="clips", picture="png", workers=1)
    page = prepare(options)
    assert "left out, of a single frame" in page.read_text()
    return options


def test_folders_of_frames_and_strips(made, capsys):
    dataset = open_dataset(made.out)
    names = [source["file"] for source in dataset.info.sources]
    assert names == ["7#a", "7#b", "77.png", "8#a"]
    assert [count for _, count in dataset.clips] == [3, 3, 4, 3]
    assert dataset.info.held_out == (3,)
    # By their numbers, not by their names as words; and strips are cut along their width.
    for clip, expected in ((0, (2, 9, 10)), (1, (2, 9, 10)), (2, (1, 2, 3, 4))):
        first, count = dataset.clips[clip]
        for i, value in zip(range(first, first + count), expected, strict=True):
            assert np.abs(dataset[i]["frame"].astype(int) - frame(value)).max() <= 1
    assert not dataset.has_keypoints
    prepare(made)
    assert "up to date" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"tube-seconds 3\.0, not 1\.0"):
        prepare(dataclasses.replace(made, tube_seconds=1.0))


def test_films_are_cut_into_tubes(tmp_path, monkeypatch):
    """Two faces, one of which leaves: two clips, each a square at its own place."""
    film = tmp_path / "film.mp4"
    with VideoWriter(film, 48, 80) as writer:
        for i in range(12):
            writer.write(frame(i, 48, 80), i / 25)
    left, right = (2, 2, 20, 20), (56, 4, 72, 20)
    found = [[left, right] if i < 8 else [left] for i in range(12)]
    monkeypatch.setattr(clips, "boxes_of", lambda *_: found)
    model = SimpleNamespace(sha256="0")
    monkeypatch.setattr(clips, "find_bundle", lambda *_: model)
    monkeypatch.setenv("MOTION_JAX_CACHE", str(tmp_path / "cache"))
    options = PrepareOptions(
        (film,), tmp_path / "out", size="16x16", layout="clips", workers=1, tube_seconds=0.2
    )
    prepare(options)
    dataset = open_dataset(options.out)
    assert [count for _, count in dataset.clips] == [8, 12]
    crops = [source["crop"] for source in dataset.info.sources]
    assert [crop["width"] for crop in crops] == [crop["height"] for crop in crops]
    assert crops[0]["left"] + crops[0]["width"] <= 80 and crops[1]["left"] == 0
    short = dataclasses.replace(options, out=tmp_path / "short", tube_seconds=9.0)
    with pytest.raises(UserError, match="Nothing was left .*no face stays in place for 9 s"):
        prepare(short)
    # Nothing is in the way of another try, and faces are looked for once.
    assert not short.out.exists()
    monkeypatch.setattr(clips, "boxes_of", None)
    prepare(dataclasses.replace(short, tube_seconds=0.4))
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr(clips, "boxes_of", lambda *_: [[(4, 4, 6, 6)]] * 12)
    with pytest.raises(UserError, match="smaller than 16 pixels: 1"):
        prepare(dataclasses.replace(options, out=tmp_path / "tiny"))


def test_one_frame_is_no_clip(tmp_path):
    (tmp_path / "clip").mkdir()
    Image.fromarray(frame(1)).save(tmp_path / "clip" / "0.png")
    options = PrepareOptions((tmp_path / "clip",), tmp_path / "out", size="32x16", layout="clips")
    with pytest.raises(UserError, match="single frame, of which no pair can be made"):
        prepare(options)
    with pytest.raises(UserError, match="leave it out with layout clips"):
        prepare(dataclasses.replace(options, merge=True))


def test_a_square_is_never_squashed():
    """At the picture's edge it moves inside; the published program clips and stretches it."""
    region = square((0, 10, 30, 40), 100, 200, (64, 64))
    assert (region.left, region.width, region.height) == (0, 36, 36)
    wide = square((0, 10, 30, 40), 100, 200, (32, 64))
    assert wide.width == 2 * wide.height
    assert tubes([[(0, 0, 9, 9)]] * 5, 4) == [] and len(tubes([[(0, 0, 9, 9)]] * 5, 3)) == 1


def test_people_are_drawn_alike(made):
    dataset = open_dataset(made.out)
    assert person_of("12#a.mp4") == "12" and person_of("123.mp4") == "123"
    frames, runs = Frames(dataset, *SIZE), dataset.clips[:3]
    load = _Pairs(frames, runs, AugmentConfig(), 0, people=["7", "7", "77"])
    numbers = np.arange(200) % 10
    pairs = load.records(np.arange(200), numbers)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    clip = np.searchsorted([0, 3, 6], pairs, side="right") - 1
    assert (clip[:, 0] == clip[:, 1]).all()
    # Half of the pairs are of the one who has a single clip.
    assert (clip[:, 0] == 2).sum() == 100
    # A run that goes on draws what would have come next.
    np.testing.assert_array_equal(load.records(np.arange(90, 99), numbers[90:99]), pairs[90:99])


def test_published_augmentation_of_batches(made):
    dataset = open_dataset(made.out)
    settings = PublishedAugment(time_flip=True, mirror=True, resize=(0.9, 1.1), hue=0.1)
    load = _Pairs(Frames(dataset, *SIZE), dataset.clips[:3], AugmentConfig(), 0, settings)
    batch = load((np.arange(40), np.arange(40) % 10))
    again = load((np.arange(30, 40), np.arange(30, 40) % 10))
    np.testing.assert_array_equal(batch["frames"][30:], again["frames"])
    mean = batch["frames"].mean(axis=(2, 3, 4))
    # About half of the pairs backwards in time, a quarter mirrored.
    assert 8 < (mean[:, 0] > mean[:, 1]).sum() < 32
    halves = batch["frames"][:, 0].reshape(40, 16, 2, 16, 3).mean(axis=(1, 3, 4))
    assert 2 < (halves[:, 0] > halves[:, 1]).sum() < 20


def test_colours_are_changed_alike_in_all_frames():
    clip = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    clip[1] = clip[0]
    settings = PublishedAugment(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.3)
    found = augmented(clip, settings, random.Random(1), (8, 8))
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found - clip).mean() > 0.02
