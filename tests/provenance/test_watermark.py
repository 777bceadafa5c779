"""The invisible mark: written, compressed, cut, resized, read again."""

import cv2
import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.provenance import watermark
from motion_jax.video.reader import read_frames
from motion_jax.video.writer import VideoWriter

NUMBER = 0xABCDE5
SIZE = 256


@pytest.fixture(scope="module")
def frames():
    dance = puppet.dance(10, 25, 1)
    return puppet.draw(puppet.CHARACTERS["ben"], dance, SIZE, SIZE)


@pytest.fixture(scope="module")
def marked(frames):
    mark = watermark.Mark(NUMBER)
    return np.stack([mark(frame) for frame in frames])


def errors(reading: watermark.Reading) -> float:
    return float(np.mean(reading.bits != watermark.bits_of(NUMBER)))


def test_numbers_and_bits():
    bits = watermark.bits_of(NUMBER)
    assert watermark.number_of(bits) == NUMBER
    bits[3] = ~bits[3]
    assert watermark.number_of(bits) is None
    with pytest.raises(ValueError, match="24 bits"):
        watermark.bits_of(1 << 24)


def test_it_is_hardly_there(frames, marked):
    change = marked.astype(float) - frames
    luma = change @ np.array([0.299, 0.587, 0.114])
    assert 10 * np.log10(255**2 / np.mean(luma**2)) > 38
    assert 10 * np.log10(255**2 / np.mean(change**2)) > 34
    assert np.abs(luma).max() < 10


def test_it_outlives_compression_a_crop_and_a_rescale(marked, tmp_path):
    path = tmp_path / "film.mp4"
    with VideoWriter(path, SIZE, SIZE, crf=28) as writer:
        for i, frame in enumerate(marked):
            writer.write(frame, i / 25)
    shown = [frame.image for frame in read_frames(path)]
    plain = watermark.read(shown)
    assert plain.found and plain.number == NUMBER and plain.scale == 1
    # A tenth of each side is gone, that is a fifth of the picture.
    side = round(SIZE * 0.9)
    cut = [frame[7 : 7 + side, 12 : 12 + side] for frame in shown]
    again = watermark.read([cv2.resize(frame, (300, 300)) for frame in cut])
    assert again.found and errors(again) <= 0.05
    assert again.scale == pytest.approx(300 / side, rel=0.01)


def test_without_one_nothing_is_found(frames):
    reading = watermark.read(frames)
    assert not reading.found and reading.clear < watermark.FOUND


def test_pictures_stay_what_they_are(frames):
    mark = watermark.Mark(NUMBER)
    before = frames[0].copy()
    alpha = np.dstack([frames[0], np.arange(SIZE * SIZE).reshape(SIZE, SIZE).astype(np.uint8)])
    both = mark(alpha)
    np.testing.assert_array_equal(frames[0], before)
    np.testing.assert_array_equal(both[..., 3], alpha[..., 3])
    np.testing.assert_array_equal(both[..., :3], mark(frames[0]))
    odd = frames[0][:101, :131]
    assert mark(odd).shape == odd.shape
    assert watermark.can_carry(128, 128) and not watermark.can_carry(64, 96)
    with pytest.raises(ValueError, match="no picture"):
        watermark.read([])


def test_white_stays_white():
    """There a mark could only darken, and would be seen."""
    picture = np.full((128, 192, 3), 255, np.uint8)
    picture[:, :96] = 120
    marked = watermark.Mark(0x123456)(picture)
    assert (marked[:, 104:] == 255).all() and (marked[:, :88] != 120).any()
