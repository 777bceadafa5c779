"""DensePose pictures: every kind recognised, read as it was meant, drawn and read again."""

import cv2
import numpy as np
import pytest
from PIL import Image

from motion_jax import puppet
from motion_jax.errors import UserError
from motion_jax.pose import densepose
from motion_jax.pose.densepose import Reading, decode, draw, recognise, table
from motion_jax.pose.region import find_region
from motion_jax.video.reader import read_frames
from motion_jax.video.writer import VideoWriter

MAPS = ("parts", "viridis", "parula")


def body(height: int = 120, width: int = 96) -> np.ndarray:
    """I, U, V: a plain figure of twelve parts; U and V rise over the picture."""
    parts = np.zeros((height, width), np.uint8)
    for number, (top, left, bottom, right) in {
        23: (6, 36, 24, 48), 24: (6, 48, 24, 60), 2: (24, 30, 60, 66),
        16: (26, 18, 44, 30), 15: (26, 66, 44, 78), 20: (44, 18, 58, 30), 19: (44, 66, 58, 78),
        3: (58, 16, 68, 28), 4: (58, 68, 68, 80),
        9: (60, 30, 84, 47), 10: (60, 49, 84, 66), 5: (84, 26, 96, 46), 6: (84, 50, 96, 70),
    }.items():  # fmt: skip
        parts[top:bottom, left:right] = number
    y, x = np.mgrid[0:height, 0:width]
    shown = parts > 0
    return np.stack([parts, shown * (1 + 2 * x), shown * (1 + 2 * y)], -1).astype(np.uint8)


def test_the_tables():
    for kind in MAPS:
        colours = table(kind).astype(int)
        assert colours.shape == (25, 3) and len({tuple(c) for c in colours}) == 25
    apart = np.linalg.norm(table("parts")[:, None].astype(int) - table("parts"), axis=-1)
    assert apart[~np.eye(25, dtype=bool)].min() == 127 and not table("parts")[0].any()
    # OpenCV's Viridis from its ends, as matplotlib publishes them.
    assert table("viridis")[[0, 24]].tolist() == [[68, 1, 84], [253, 231, 37]]
    assert len(densepose.NAMES) == 25


@pytest.mark.parametrize("drawing", ["iuv", *MAPS])
def test_what_is_drawn_is_read_again(drawing):
    iuv = body()
    picture = draw(iuv, drawing)
    reading = recognise([picture, draw(0 * iuv, drawing)], "it")
    assert reading.kind == ("drawn-iuv" if drawing == "iuv" else drawing)
    found = reading.read(picture)
    np.testing.assert_array_equal(found[..., 0], iuv[..., 0])
    np.testing.assert_array_equal(found[..., 1:], iuv[..., 1:] * reading.has_uv)
    np.testing.assert_array_equal(draw(found, drawing), picture)


def test_raw_iuv_in_both_orders(tmp_path):
    """OpenCV writes the original tool's array (I, U, V) so that I comes out blue."""
    iuv = body()
    cv2.imwrite(str(tmp_path / "x_IUV.png"), iuv)
    written = np.asarray(Image.open(tmp_path / "x_IUV.png"))
    for picture, channel in ((written, 2), (iuv, 0)):
        reading = recognise([picture], "it")
        assert reading == Reading("iuv", channel) and reading.has_uv
        np.testing.assert_array_equal(reading.read(picture), iuv)
    reading = recognise([np.repeat(iuv[..., :1], 3, -1)], "it")
    assert reading.kind == "index" and not reading.has_uv
    assert densepose.default_drawing(reading) == "parts"
    with pytest.raises(UserError, match="it shows parts without U and V"):
        densepose.check_drawing(reading, "iuv", "it")


def test_what_is_no_iuv_is_refused():
    iuv, random = body(), np.random.default_rng(0)
    noise = random.integers(0, 256, (64, 64, 3), np.uint8)
    grey = np.repeat(noise[..., :1], 3, -1)
    blurred = cv2.GaussianBlur(draw(iuv, "iuv"), (9, 9), 0)
    for picture in (noise, grey, blurred, np.zeros((8, 8, 3), np.uint8)):
        with pytest.raises(UserError, match="^frames shows no DensePose"):
            recognise([picture], "frames")
    wrong = iuv.copy()
    wrong[60, 40, 0] = 25
    with pytest.raises(UserError, match=r"a\.png is no DensePose .* part 25, and there are 24"):
        Reading("iuv", 0).read(wrong, "a.png")
    wrong = iuv.copy()
    wrong[0, 0, 1] = 9
    with pytest.raises(UserError, match="U or V where there is no part"):
        Reading("iuv", 0).read(wrong)


@pytest.mark.parametrize("kind", ["viridis", "parula"])
@pytest.mark.parametrize("ground", ["map", "black"])
def test_compressed_colours(tmp_path, kind, ground):
    """A video's colours are not the map's, and edges mix them: the parts come back all the same."""
    big = np.repeat(np.repeat(body(), 3, 0), 3, 1)
    picture = draw(big, kind)
    if ground == "black":
        picture[big[..., 0] == 0] = 0
    # A see-through sign over the feet, with writing in colours of the map.
    sign = picture.copy()
    sign[276:310, 20:270] = (0.5 * picture[276:310, 20:270] + 100).astype(np.uint8)
    sign[300:304, 40:60] = table(kind)[12]
    with VideoWriter(tmp_path / "v.mp4", *picture.shape[:2], crf=18) as writer:
        writer.write(picture, 0.0)
        writer.write(sign, 0.1)
    pictures = [frame.image for frame in read_frames(tmp_path / "v.mp4")]
    assert recognise(pictures, "v").kind == kind
    parts, doubtful = decode(pictures[0], kind)
    wrong = parts != big[..., 0]
    assert wrong.mean() < 0.01 and 0 < doubtful < 0.05
    # Wrong pixels lie along edges only.
    inner = cv2.erode(
        (cv2.Laplacian(big[..., 0], cv2.CV_16S) == 0).astype(np.uint8), np.ones((9, 9))
    )
    assert not wrong[inner > 0].any()
    parts, _ = decode(pictures[1], kind)
    assert not parts[296:].any() and (parts == big[..., 0])[:270].mean() > 0.99


@pytest.mark.parametrize("kind", ["viridis", "parula"])
def test_a_drawn_dancers_video(tmp_path, kind):
    """Thin limbs of two parts each, at a usual compression: the figure of docs/densepose.md."""
    motion = puppet.dance(4, 1, seed=1)
    dance = puppet.draw_iuv(puppet.CHARACTERS["ada"], motion, 512, 512)
    with VideoWriter(tmp_path / "v.mp4", 512, 512, crf=18) as writer:
        for n, iuv in enumerate(dance):
            writer.write(draw(iuv, kind), n / 10)
    wrong = [
        (decode(frame.image, kind)[0] != iuv[..., 0]).sum() / (iuv[..., 0] > 0).sum()
        for frame, iuv in zip(read_frames(tmp_path / "v.mp4"), dance, strict=True)
    ]
    assert 0.02 < np.mean(wrong) < 0.06


def test_regions():
    picture = np.full((60, 200, 3), 253, np.uint8)
    picture[:, 120:180] = 0
    picture[50:56, 150:198] = 128  # a sign over the bar
    for text, wanted in (
        (None, (0, 0, 60, 200)),
        ("right", (0, 120, 60, 180)),
        ("left", (0, 0, 60, 100)),
        ("120,10,20,30", (10, 120, 40, 140)),
    ):
        cut = find_region(text, [picture, picture])
        assert (cut.top, cut.left, cut.bottom, cut.right) == wanted
        assert cut.of(picture).shape[:2] == cut.size
    assert find_region("right", [picture]).text == "120,0,60,60"
    for text, message in (("middle", "is no region"), ("150,0,60,60", "not lie inside.*200x60")):
        with pytest.raises(UserError, match=message):
            find_region(text, [picture])


def test_real_pictures(shared):
    folder = shared / "data"
    photo = np.asarray(Image.open(folder / "densepose/demo_im.jpg"))
    with pytest.raises(UserError, match="shows no DensePose"):
        recognise([photo], "photo")
    picture = np.asarray(Image.open(folder / "densepose/demo_im_IUV.png"))
    reading = recognise([picture], "demo")
    assert reading == Reading("iuv", 2)
    iuv = reading.read(picture)
    assert set(np.unique(iuv[..., 0])) == set(range(25)) and iuv[..., 1].max() == 255
    first = [next(read_frames(folder / "dance-man-indoor-densepose-side.mp4", start=t)).image
             for t in (0.5, 6.0)]  # fmt: skip
    cut = find_region("right", first)
    assert cut.text == "774,0,405,720", "the shape of the 576x1024 frames"
    assert abs(find_region("left", first).size[1] - 405) <= 1
    assert recognise([cut.of(p) for p in first], "side").kind == "parula"
    side = decode(cut.of(first[0]), "parula")[0]
    # The dancer stands upright: head above torso above legs, his right arm at the left.
    rows = {number: np.nonzero(side == number)[0].mean() for number in (23, 2, 9)}
    assert rows[23] < rows[2] < rows[9]
    for name in ("dancing2", "demo4", "running", "running2", "multi-dancing"):
        frames = [next(read_frames(folder / f"densepose/magic-{name}.mp4", start=t)).image
                  for t in (0.0, 1.0)]  # fmt: skip
        assert recognise(frames, name).kind == "viridis"
    for name in ("dance-man-indoor", "skeleton-video-dwpose", "cartoon-bunny"):
        frames = [next(read_frames(folder / f"{name}.mp4", start=1.0)).image]
        with pytest.raises(UserError, match="shows no DensePose"):
            recognise(frames, name)
