"""Writing in a thread: the same file, and the encoder's errors come through."""

import threading

import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.video.background import BackgroundWriter
from motion_jax.video.writer import VideoWriter

SIZE = (48, 64)


def pictures(count):
    random = np.random.default_rng(0)
    return random.integers(0, 255, (count, *SIZE, 3), np.uint8)


def test_the_file_is_the_same(tmp_path):
    for name, wrap in (("plain", lambda w: w), ("thread", lambda w: BackgroundWriter(w, ahead=3))):
        with wrap(VideoWriter(tmp_path / f"{name}.mp4", *SIZE)) as writer:
            for i, picture in enumerate(pictures(20)):
                writer.write(picture, i / 25)
    assert (tmp_path / "plain.mp4").read_bytes() == (tmp_path / "thread.mp4").read_bytes()


PICTURE = np.zeros((2, 2, 3), np.uint8)


class Recorder:
    """Stands for a VideoWriter that is slow, and fails at its second picture."""

    def __init__(self):
        self.go, self.written, self.left = threading.Event(), 0, None

    def __enter__(self):
        return self

    def write(self, image, time):
        self.go.wait(10)
        self.written += 1
        if self.written == 2:
            raise UserError("The disk is full.")

    def __exit__(self, kind, error, trace):
        self.left = kind


def test_an_error_of_the_encoder_comes_through_and_ends_the_writing():
    recorder = Recorder()
    with (
        pytest.raises(UserError, match="disk is full"),
        BackgroundWriter(recorder, ahead=4) as writer,
    ):
        for i in range(4):
            writer.write(PICTURE, i)  # Returns although nothing can be written yet.
        assert recorder.written == 0
        recorder.go.set()
        for i in range(4, 20):
            writer.write(PICTURE, i)
    assert recorder.left is UserError and recorder.written <= 8


def test_the_last_error_is_not_lost():
    recorder = Recorder()
    with pytest.raises(UserError, match="disk is full"), BackgroundWriter(recorder) as writer:
        writer.write(PICTURE, 0)
        writer.write(PICTURE, 1)
        recorder.go.set()
    assert recorder.left is UserError


def test_an_error_outside_drops_what_waits(tmp_path):
    with (
        pytest.raises(RuntimeError),
        BackgroundWriter(VideoWriter(tmp_path / "x.mp4", *SIZE)) as writer,
    ):
        for i, picture in enumerate(pictures(5)):
            writer.write(picture, i / 25)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
