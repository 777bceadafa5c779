import numpy as np
import pytest

from motion_jax.report import montage


def plain(height, width, value):
    return np.full((height, width, 3), value, np.uint8)


def test_grid_places_rows_and_centres_small_pictures():
    result = montage.grid([plain(4, 6, 10), plain(4, 6, 20), plain(2, 2, 30)], 2, gap=2)
    assert result.shape == (10, 14, 3)
    assert (result[:4, :6] == 10).all() and (result[:4, 8:] == 20).all()
    assert (result[7:9, 2:4] == 30).all()
    assert (result[:, 6:8] == montage.BACKGROUND).all()
    assert montage.grid([plain(3, 5, 1)], 8).shape == (3, 5, 3)
    with pytest.raises(ValueError, match="at least one picture"):
        montage.grid([], 2)


def test_labelled_keeps_the_picture_and_writes_something():
    result = montage.labelled(plain(64, 200, 90), "a label")
    assert (result[-64:] == 90).all() and result.shape[1] == 200
    bar = result[:-64]
    assert bar.max() > 150 and (bar == montage.BACKGROUND).mean() > 0.5
    assert montage.labelled(plain(4, 4, 0), "") is not None


def test_labels_wrap_inside_their_width():
    font = montage._font(12)
    lines = montage.wrap("frame by frame unbreakablelongwordhere x", font, 60)
    assert len(lines) > 2 and all(font.getlength(line) <= 60 for line in lines)
    assert "".join(lines).replace(" ", "") == "framebyframeunbreakablelongwordherex"
    # Nothing touches the right edge: no letter is cut.
    bar = montage.label_bar("nearest training frame", 100)
    assert (bar[:, -3:] == montage.BACKGROUND).all()


def test_side_by_side_enlarges_small_frames_and_aligns_sizes():
    small = np.random.default_rng(0).integers(0, 255, (64, 48, 3), dtype=np.uint8)
    result = montage.side_by_side([small, plain(32, 32, 5)], ["one", "a much longer label, two"])
    pictures = result[-192:]
    assert np.array_equal(pictures[:, : 48 * 3], np.repeat(np.repeat(small, 3, 0), 3, 1))
    assert (pictures[:, -192:] == 5).all()
    assert result.shape[1] == 48 * 3 + montage.GAP + 192
    assert montage.side_by_side([small, small], least=1).shape == (64, 96 + montage.GAP, 3)
    odd = montage.side_by_side([plain(300, 100, 7), plain(128, 64, 9)])
    assert odd.shape == (300, 100 + montage.GAP + 150, 3)
    with pytest.raises(ValueError, match="1 labels for 2"):
        montage.side_by_side([small, small], ["a"])


def test_difference():
    a, b = plain(2, 2, 100), plain(2, 2, 100)
    b[0, 0] = (110, 100, 90)
    b[1, 1] = 255
    result = montage.difference(a, b, gain=3)
    assert result[0, 0].tolist() == [20, 20, 20] and result[1, 1].tolist() == [255] * 3
    assert (result[0, 1] == 0).all()
    with pytest.raises(ValueError, match="no difference"):
        montage.difference(a, plain(3, 2, 0))


def test_letters_shrink_until_each_label_fits_one_line():
    short, long = ["source"], ["source", "everybody dance now"]
    assert montage.letters(short, 400) == montage._font_size(400)
    size = montage.letters(long, 128)
    assert size < montage._font_size(128) or size == 8
    assert (
        montage.label_bar(long[1], 128, 1, size).shape == montage.label_bar("a", 128, 1, size).shape
    )
    assert montage.letters(["x" * 500], 64) == 8, "no smaller than can be read"
