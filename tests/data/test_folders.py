"""Names, numbers and partners of pictures in other projects' folders; the formulas of sizes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from motion_jax.data import folders
from motion_jax.errors import UserError
from motion_jax.video import image_files as pictures
from motion_jax.video.image_files import Resize
from motion_jax.video.numbers import missing_files


def picture(path: Path, seed: int = 0, size=(32, 48)) -> np.ndarray:
    """Writes noise; returns it."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def test_clips_end_at_gaps_and_other_names():
    stems = [f"a{n:05d}" for n in (1, 5, 9, 17, 21)] + ["b00025", "b00029"]
    assert pictures.clips(stems, True) == [(0, 3), (3, 5), (5, 7)]
    assert pictures.clips(stems[:3], False) == [(0, 1), (1, 2), (2, 3)]
    assert pictures.clips(["x", "y1", "y2"], True) == [(0, 1), (1, 3)]


def test_numbers_decide_the_order():
    files = [Path(f"f{n}.png") for n in (10, 9, 1)]
    assert [file.name for file in pictures.in_order(files)] == ["f1.png", "f9.png", "f10.png"]


@pytest.mark.parametrize(
    ("stems", "frames"),
    [
        ([f"frame{n:06d}" for n in range(20)], True),
        ([f"frame{n:06d}" for n in (*range(0, 60, 3), 90)], True),
        ([str(n) for n in range(1, 400)], False),
        ([f"n0{n}_{n * 7}" for n in range(20)], False),
        ([f"{n:05d}_AB" for n in range(20)], False),
        (["frame000001"], False),
    ],
)
def test_which_names_look_like_frames(stems, frames):
    assert pictures.look_like_frames(stems) is frames


@pytest.mark.parametrize(
    ("resize", "size", "wanted"),
    [
        # pix2pix: 286 x 286 whatever it was; then 256 is cut out in training.
        (Resize("resize_and_crop", 286, 256), (100, 300), (286, 286)),
        (Resize("crop", 286, 256), (300, 500), (300, 500)),
        # int(1024 * 1080 / 1920) = 576; the reference stops there, 576 is a multiple anyway.
        (Resize("scale_width", 1024, 512), (1080, 1920), (576, 1024)),
        # int(512 * 486 / 720) = 345, here rounded to a size that the networks take.
        (Resize("scale_width", 512, 256), (486, 720), (352, 512)),
        (Resize("scale_width_and_crop", 512, 256), (486, 720), (345, 512)),
        # pix2pix makes room for the crop.
        (Resize("scale_width_and_crop", 512, 400, 4, least=400), (486, 720), (400, 512)),
        (Resize("none", multiple=16), (270, 512), (272, 512)),
        # Halves to even, as Python rounds: 264 / 16 = 16.5 -> 16, 280 / 16 = 17.5 -> 18.
        (Resize("none", multiple=16), (264, 280), (256, 288)),
        (Resize("none", multiple=4), (270, 511), (272, 512)),
        (Resize("size", size=(64, 80)), (270, 511), (64, 80)),
    ],
)
def test_sizes_as_the_reference_computes_them(resize, size, wanted):
    assert resize.result(*size) == wanted


def test_what_can_be_kept_byte_for_byte(tmp_path):
    image = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    saved = {}
    for name, made, options in [
        ("rgb.png", image, {}),
        ("alpha.png", image.convert("RGBA"), {}),
        ("palette.png", image.convert("P"), {}),
        ("grey.jpg", image.convert("L"), {}),
        ("rgb.jpg", image, {}),
        ("cmyk.jpg", image.convert("CMYK"), {}),
        ("turned.jpg", image, {"exif": Image.Exif()}),
    ]:
        if "exif" in options:
            options["exif"][0x0112] = 6
        made.save(tmp_path / name, **options)
        saved[name] = pictures.stored_as((tmp_path / name).read_bytes())
    assert saved == {
        "rgb.png": "png", "alpha.png": None, "palette.png": None, "grey.jpg": None,
        "rgb.jpg": "jpeg", "cmyk.jpg": None, "turned.jpg": None,
    }  # fmt: skip
    assert pictures.stored_as(b"") is None


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        (("train_label/a1.png", "train_img/a1.png"), "edn"),
        (("train/train_label/a1.png", "train/train_img/a1.png"), "edn"),
        (("train_A/a.png", "train_B/a.png"), "aligned"),
        (("trainA/a.png", "trainB/b.png"), "unpaired"),
        (("train/1.jpg", "val/1.jpg"), "side-by-side"),
        (("train_openpose/s/a_keypoints.json", "train_img/s/a.png"), "vid2vid"),
    ],
)
def test_layouts_are_recognised(tmp_path, names, layout):
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    assert folders.detect(tmp_path) == layout


def test_partners_by_name_and_by_order(tmp_path):
    for i, (a, b) in enumerate([("x_1", "y_1"), ("x_2", "y_2")]):
        picture(tmp_path / "train_A" / f"{a}.png", i)
        picture(tmp_path / "train_B" / f"{b}.jpg", i)
    (group,) = folders.read_layout(tmp_path, "aligned")
    assert group.poses == ("train_A/x_1.png", "train_A/x_2.png")
    assert group.frames == ("train_B/y_1.jpg", "train_B/y_2.jpg")
    (turned,) = folders.read_layout(tmp_path, "aligned", direction="BtoA")
    assert turned.frames == group.poses and turned.poses == group.frames


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["f_0003.png", "f_0005.png", "f_0006.png", "f_0007.png"],
         "f_0004.png is missing between f_0003.png and f_0005.png"),
        (["9.png", "12.png", "13.png", "14.png"],
         "10.png and 1 more are missing between 9.png and 12.png"),
        ([f"f{n}_IUV.png" for n in (0, 3, 9, 12, 18, 21, 24)],
         "f6_IUV.png is missing between f3_IUV.png and f9_IUV.png (and 1 other hole)"),
        # By milliseconds, whose steps are not all alike; names without order; no numbers.
        ([f"t{n:05d}.png" for n in (0, 33, 67, 100, 133)], ""),
        (["a0009.png", "b0001.png", "b0002.png"], ""),
        (["00.040.png", "00.080.png", "01.000.png"], ""),
        (["a.png", "b.png"], ""),
        (["a1.png"], ""),
        ([], ""),
    ],
)  # fmt: skip
def test_which_pictures_are_missing(names, said):
    assert missing_files(names) == said


def test_a_hole_among_frames_is_said(tmp_path, capsys):
    names = [f"frame_{n:04d}.png" for n in (1, 2, 3, 5, 6)]
    for folder in ("train_label", "train_img"):
        bad(tmp_path, *(f"{folder}/{name}" for name in names))
    (group,) = folders.read_layout(tmp_path, "edn")
    assert group.clips == ((0, 3), (3, 5))
    sentence = "frame_0004.png is missing between frame_0003.png and frame_0005.png; a clip ends"
    assert sentence in " ".join(capsys.readouterr().err.split())
    folders.read_layout(tmp_path, "edn", sequence="pictures")
    assert "missing" not in capsys.readouterr().err, "each stands alone"


def bad(tmp_path, *names):
    for name in names:
        picture(tmp_path / name)


@pytest.mark.parametrize(
    ("names", "layout", "message"),
    [
        (("other/a.png",), None, r"none of the known layouts.*it holds other"),
        (("train_label/a.png",), "edn", r"not the layout edn: there is no train_img"),
        (("train_A/a.png", "train_B/a.png", "train_B/b.png"), "aligned",
         r"train_A holds 1 picture and .*train_B 2, and 1 of them has no partner.*first: b"),
        (("train_A/a.png", "train_A/c.png", "train_B/a.png", "train_B/b.png"), "aligned",
         r"no partner of their name.*first: b"),
        (("train_A/a.png", "train_B/a.png", "test_A/a.png"), "aligned",
         r"has test_A and no test_B"),
        (("trainA/a.png",), "unpaired", r"there is no trainB"),
        (("train_A/a.txt.png", "train_B/a.txt.png", "trainA/a.png", "trainB/a.png"), None,
         r"could be aligned or unpaired"),
    ],
)  # fmt: skip
def test_folders_that_do_not_fit(tmp_path, names, layout, message):
    bad(tmp_path, *names)
    with pytest.raises(UserError, match=message):
        folders.read_layout(tmp_path, layout or folders.detect(tmp_path))


def test_empty_folders(tmp_path):
    for name in ("train_label", "train_img"):
        (tmp_path / name).mkdir()
    with pytest.raises(UserError, match="holds no pictures"):
        folders.read_layout(tmp_path, "edn")


def test_labels_without_frames_are_left_out_and_said_so(tmp_path, capsys):
    bad(tmp_path, "train_label/f1.png", "train_img/f1.png", "test_label/f1.png")
    groups = folders.read_layout(tmp_path, "edn")
    assert [group.phase for group in groups] == ["train"]
    assert "--ready-poses" in capsys.readouterr().err
