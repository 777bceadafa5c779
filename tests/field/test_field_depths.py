"""Pictures of more than 8 bits: scaled by their depth, and maps of labels or depths called so."""

import cv2
import numpy as np
import pytest
from PIL import Image

from motion_jax.cli import main
from motion_jax.data.records import open_dataset
from motion_jax.video.image_files import Unreadable, read_picture, tell_depth

RAMP = np.tile(np.linspace(0, 65535, 64).round().astype(np.uint16), (48, 1))
WANTED = np.rint(RAMP / 257).astype(np.uint8)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits(tmp_path, suffix, channels):
    path = tmp_path / f"a.{suffix}"
    values = RAMP if channels == 1 else np.stack([RAMP] * channels, -1)
    assert cv2.imwrite(str(path), values)
    found = np.asarray(read_picture(path))
    assert found.shape == (48, 64, 3) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - WANTED[..., None]).max() <= 1
    if channels == 1:
        np.testing.assert_array_equal(found, np.stack([WANTED] * 3, -1))
    np.testing.assert_array_equal(read_picture(path, path.read_bytes()), found)


def test_shares_and_others(tmp_path):
    Image.fromarray((RAMP / 65535).astype(np.float32)).save(tmp_path / "f.tif")
    found = np.asarray(read_picture(tmp_path / "f.tif"))[..., 0].astype(int)
    assert np.abs(found - WANTED).max() <= 1
    for name, values in {
        "m.tif": RAMP.astype(np.float32),
        "i.tif": RAMP.astype(np.int32) * 9,
    }.items():
        Image.fromarray(values).save(tmp_path / name)
        with pytest.raises(Unreadable, match=f"{name}.*write it with 8 bits"):
            read_picture(tmp_path / name)
    eight = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(eight).save(tmp_path / "8.png")
    np.testing.assert_array_equal(np.asarray(read_picture(tmp_path / "8.png"))[..., 1], eight)


MAP = RAMP // 8 + np.arange(48, dtype=np.uint16)[:, None]


@pytest.mark.parametrize(
    ("values", "said"),
    [(RAMP, "65535 is white"), (RAMP // 4096, "map of labels"), (MAP, "map of depths")],
)
def test_what_it_is_is_said(tmp_path, capsys, values, said):
    Image.fromarray(values).save(tmp_path / "a.png")
    tell_depth(tmp_path / "a.png")
    words = capsys.readouterr().err
    assert said in words and str(tmp_path) in words
    assert ("labels" in words) + ("depths" in words) == (said != "65535 is white")


def test_plain_pictures_say_nothing(tmp_path, capsys):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"nothing")
    for name in ("a.png", "b.png", "absent.png"):
        tell_depth(tmp_path / name)
    assert capsys.readouterr().err == ""


def check(source, out, capsys):
    main(["import-data", str(source), "--out", str(out), "--workers", "1"])
    assert "16-bit grey values" in capsys.readouterr().err
    data = open_dataset(out)
    return data[0]["pose_picture"]


def test_import_keeps_the_ramp(tmp_path, capsys):
    for name in ("train_A", "train_B"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for number in range(3):
            deep = name == "train_A"
            picture = Image.fromarray(RAMP if deep else np.stack([WANTED] * 3, -1))
            picture.save(tmp_path / "in" / name / f"{number:03}.png")
    found = check(tmp_path / "in", tmp_path / "out", capsys)
    np.testing.assert_array_equal(found, np.stack([WANTED] * 3, -1))


def test_field_png16(shared, tmp_path, capsys):
    source = shared / "field" / "png16"
    if not source.is_dir():
        pytest.skip("no folder of field cases")
    found = check(source, tmp_path / "out", capsys)
    deep = np.asarray(Image.open(source / "train_A" / "000.png"))
    assert np.abs(found[..., 0].astype(float) - deep / 257).max() <= 0.5
