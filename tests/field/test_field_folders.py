"""A folder of numbered pictures is a film with --fps."""

import numpy as np
import pytest
from field_films import film, pictures, poses
from PIL import Image

from motion_jax.cli import main
from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError
from motion_jax.video import notes, tracks
from motion_jax.video.reader import frame_times, probe, read_frames

COUNT = 12


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "in").mkdir()
    for number, image in enumerate(pictures(COUNT)):
        Image.fromarray(image).save(folder / "in" / f"f{number}_x.png")
    (folder / "in" / "._f0_x.png").write_bytes(b"\0")
    poses(folder / "poses", COUNT)
    return folder


def test_reading(place):
    source = place / "in"
    found = list(read_frames(source, fps=10))
    np.testing.assert_allclose([frame.time for frame in found], np.arange(COUNT) / 10)
    for frame, image in zip(found, pictures(COUNT), strict=True):
        np.testing.assert_array_equal(frame.image, image)
    np.testing.assert_allclose(
        frame_times(source, fps=10, start=0.5, end=0.9), np.arange(5, 9) / 10
    )
    with tracks.chosen(None, rate=10):
        info = probe(source)
        assert (info.width, info.height, info.frames, info.fps) == (64, 48, COUNT, 10)
        assert len(frame_times(source)) == COUNT
    for read in (probe, frame_times):
        with pytest.raises(UserError, match=r"in is a folder; .*fps"):
            read(source)
    with pytest.raises(UserError, match="no picture between start 5"):
        frame_times(source, fps=10, start=5)
    with pytest.raises(UserError, match="folder without pictures"):
        frame_times(place / "poses", fps=10)


def test_a_dataset_and_a_film_of_pictures(place, tmp_path, capsys):
    words = ["--poses", str(place / "poses"), "--size", "32x32", "--workers", "1"]
    main(["prepare", str(place / "in"), "--out", str(tmp_path / "a"), "--fps", "12", *words])
    source = film(tmp_path / "film.mkv", pictures(COUNT), "ffv1", "bgr0")
    main(["prepare", str(source), "--out", str(tmp_path / "b"), *words])
    one, other = open_dataset(tmp_path / "a"), open_dataset(tmp_path / "b")
    assert len(one) == len(other) == COUNT
    np.testing.assert_allclose(one.keypoints(), other.keypoints(), atol=0.02)
    assert np.abs(one[7]["frame"].astype(int) - other[7]["frame"]).mean() < 3
    out = tmp_path / "out.mp4"
    transfer = ["transfer", "--method", "nearest", "--data", str(tmp_path / "a"), "--source",
                str(place / "in"), "--poses", str(place / "poses"), "--out", str(out)]  # fmt: skip
    main([*transfer, "--fps", "12"])
    np.testing.assert_allclose(frame_times(out), np.arange(COUNT) / 12, atol=1e-3)
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(transfer)
    said = capsys.readouterr().err
    assert "is a folder" in said and "--fps" in said and said.count("\n") == 1


def test_pictures_of_several_sizes(tmp_path, capsys):
    for number, size in enumerate(((64, 48), (64, 48), (32, 24))):
        Image.fromarray(pictures(3)[number]).resize(size).save(tmp_path / f"{number}.png")
    assert {frame.image.shape for frame in read_frames(tmp_path, fps=5)} == {(48, 64, 3)}
    assert "2.png is 32x24" in capsys.readouterr().err


def test_a_missing_picture_is_said(tmp_path, capsys):
    source = tmp_path / "in"
    source.mkdir()
    for number in (1, 2, 3, 4, 7, 8, 9):
        Image.fromarray(pictures(10)[number]).save(source / f"frame_{number:04d}.png")
    with notes.command():
        found = list(read_frames(source, fps=10))
        assert len(frame_times(source, fps=10)) == 7
    np.testing.assert_allclose([frame.time for frame in found], np.arange(7) / 10)
    np.testing.assert_array_equal(found[4].image, pictures(10)[7])
    said = capsys.readouterr().err
    assert said.count("without a pause") == 1
    assert "frame_0005.png and 1 more are missing between frame_0004.png" in said
    assert str(source) in said and "the 7 pictures that" in said
    poses(tmp_path / "poses", 7)
    main(["prepare", str(source), "--fps", "10", "--out", str(tmp_path / "data"), "--size", "32x32",
          "--poses", str(tmp_path / "poses"), "--workers", "1"])  # fmt: skip
    assert "frame_0005.png and 1 more" in capsys.readouterr().err
    assert len(open_dataset(tmp_path / "data")) == 7
