"""What is written comes back (times, colours, sound, tags); odd and bad files are handled."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.video.reader import choose, frame_times, probe, read_frames
from motion_jax.video.writer import VideoWriter

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (10, 10, 10), (200, 120, 90)]
IRREGULAR = np.cumsum([0, 0.04, 0.0331, 0.1, 0.02, 0.0333, 0.5, 0.04])


def bars(height: int, width: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    for i, colour in enumerate(COLOURS):
        image[:, i * 16 : (i + 1) * 16] = colour
    return image


def write(path: Path, count: int = 10, fps: float = 10.0, size=(64, 96), **options) -> Path:
    """`count` pictures, the n-th of brightness 20 n."""
    with VideoWriter(path, *size, **options) as writer:
        for i in range(count):
            writer.write(np.full((*size, 3), 20 * i % 250, np.uint8), i / fps)
    return path


def click(path: Path, codec: str, rate: int, layout: str, sample: str) -> Path:
    """3 s of sound, silent but for a click at 1.5 s."""
    wave = np.zeros(3 * rate, np.float32)
    wave[int(1.5 * rate) : int(1.5 * rate) + 400] = 0.9 * np.sin(np.arange(400) * 0.3)
    channels = 2 if layout == "stereo" else 1
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        step = stream.codec_context.frame_size or 1024
        for i in range(0, len(wave), step):
            block = wave[i : i + step]
            if sample == "s16":
                samples = (np.repeat(block, channels) * 32767).astype(np.int16)[None]
            else:
                samples = np.stack([block] * channels)
            frame = av.AudioFrame.from_ndarray(samples, format=sample, layout=layout)
            frame.rate, frame.pts, frame.time_base = rate, i, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def sound_of(path: Path) -> tuple[str, float, float]:
    """(codec, time of the click, time of the end), seconds."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        name = container.streams.audio[0].codec_context.name
    wave = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    begin, rate = float(frames[0].pts * frames[0].time_base), frames[0].rate
    assert np.abs(wave).max() > 0.3
    return name, begin + np.argmax(np.abs(wave) > 0.3) / rate, begin + len(wave) / rate


def test_times_colours_and_tags_come_back(tmp_path):
    path = tmp_path / "new" / "out.mp4"
    tags = {"title": "a", "comment": "synthetic", "motion_jax_step": "7"}
    with VideoWriter(path, 63, 95, metadata=tags) as writer:
        for time in IRREGULAR:
            writer.write(bars(63, 95), time)
    frames = list(read_frames(path))
    np.testing.assert_allclose([frame.time for frame in frames], IRREGULAR, atol=1e-3)
    np.testing.assert_allclose(frame_times(path), IRREGULAR, atol=1e-3)
    assert [frame.index for frame in frames] == list(range(8))
    assert frames[0].image.shape == (64, 96, 3), "odd sizes are padded to even ones"
    np.testing.assert_array_equal(frames[0].image[:, -1], frames[0].image[:, -2])
    for i, colour in enumerate(COLOURS):
        seen = frames[3].image[4:60, 16 * i + 4 : 16 * i + 12].mean((0, 1))
        np.testing.assert_allclose(seen, colour, atol=3, err_msg=f"colour {colour}")
    info = probe(path)
    assert (info.width, info.height, info.frames, info.rotation) == (96, 64, 8, 0)
    assert not info.has_audio
    with av.open(str(path)) as container:
        assert {key: container.metadata.get(key) for key in tags} == tags
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_primaries, context.color_range) == (1, 1, 1)
    data = path.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat"), "faststart"
    assert [file.name for file in path.parent.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_rotation_flags_are_obeyed(tmp_path, angle):
    """A phone's film: stored turned, with a flag. The frame is what the phone's screen showed."""
    upright = np.zeros((32, 64, 3), np.uint8)
    upright[:16, :32] = 255  # the upper left corner is white
    stored = np.ascontiguousarray(np.rot90(upright, angle // 90))
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = *stored.shape[:2], "yuv420p"
        # Stored turned counter-clockwise; to be shown turned clockwise (negative for FFmpeg).
        stream.set_display_rotation(-angle)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(stored, format="rgb24")))
        container.mux(stream.encode(None))
    assert probe(path).rotation == angle
    assert (probe(path).height, probe(path).width) == (32, 64)
    image = next(iter(read_frames(path))).image
    assert image.shape == (32, 64, 3)
    assert np.abs(image.astype(int) - upright).mean() < 6


def test_start_end_and_resampling(tmp_path):
    path = write(tmp_path / "ten.mp4", 10, 10.0)
    assert [round(f.time, 3) for f in read_frames(path, start=0.2, end=0.5)] == [0.2, 0.3, 0.4]
    assert len(frame_times(path, start=0.25)) == 7
    assert len(frame_times(path, end=99)) == 10
    doubled = list(read_frames(path, fps=20))
    np.testing.assert_allclose([f.time for f in doubled], np.arange(19) / 20, atol=1e-9)
    seen = [f.image.mean() / 20 for f in doubled]
    np.testing.assert_allclose(seen, np.arange(19) // 2, atol=0.2)
    halved = list(read_frames(path, start=0.3, end=0.8, fps=5))
    np.testing.assert_allclose([f.time for f in halved], [0.3, 0.5, 0.7], atol=1e-9)
    np.testing.assert_allclose([f.image.mean() / 20 for f in halved], [3, 5, 7], atol=0.2)
    assert len(frame_times(path, fps=10)) == 10
    np.testing.assert_allclose(frame_times(path, fps=10), frame_times(path), atol=1e-3)


def test_choosing_by_times_agrees_with_reading(tmp_path):
    path = tmp_path / "irregular.mp4"
    with VideoWriter(path, 32, 32) as writer:
        for i, time in enumerate(IRREGULAR):
            writer.write(np.full((32, 32, 3), 30 * i, np.uint8), time)
    times = frame_times(path)
    for start, end, fps in [(None, None, None), (0.05, 0.2, None), (None, None, 25),
                            (0.07, None, 12.5), (0.1, 0.6, 30), (None, 0.3, 3)]:  # fmt: skip
        frames = list(read_frames(path, start=start, end=end, fps=fps))
        indices, chosen = choose(times, start, end, fps)
        np.testing.assert_allclose([f.time for f in frames], chosen, atol=1e-9)
        np.testing.assert_allclose([f.image.mean() / 30 for f in frames], indices, atol=0.2)


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout", "sample", "kept"),
    [
        ("a.m4a", "aac", 44100, "stereo", "fltp", "aac"),
        ("a.mp3", "libmp3lame", 44100, "stereo", "fltp", "mp3float"),
        ("a.wav", "pcm_s16le", 22050, "mono", "s16", "aac"),
        ("a.mka", "libopus", 48000, "stereo", "s16", "aac"),
    ],
)
@pytest.mark.parametrize("start", [0.0, 1.0])
def test_sound_stays_in_time(tmp_path, name, codec, rate, layout, sample, kept, start):
    source = click(tmp_path / name, codec, rate, layout, sample)
    path = write(tmp_path / "out.mp4", 20, 10.0, (32, 32), audio_from=source, audio_start=start)
    got, at, end = sound_of(path)
    assert got == kept
    assert abs(at - (1.5 - start)) < 0.03
    assert abs(end - 2.0) < 0.08
    assert probe(path).has_audio
    assert probe(path).duration == pytest.approx(2.0, abs=0.05)


def test_no_sound_in_the_source_means_none(tmp_path):
    silent = write(tmp_path / "silent.mp4", 3)
    assert not probe(write(tmp_path / "out.mp4", 3, audio_from=silent)).has_audio


def test_nothing_is_left_after_an_error(tmp_path):
    with pytest.raises(KeyError), VideoWriter(tmp_path / "out.mp4", 32, 32) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8), 0.0)
        raise KeyError("stop")
    with (
        pytest.raises(UserError, match="no frame"),
        VideoWriter(tmp_path / "out.mp4", 32, 32),
    ):
        pass
    with pytest.raises(ValueError, match="not after"), VideoWriter(tmp_path / "o.mp4", 8, 8) as w:
        w.write(np.zeros((8, 8, 3), np.uint8), 0.5)
        w.write(np.zeros((8, 8, 3), np.uint8), 0.5)
    assert list(tmp_path.iterdir()) == []


def test_an_old_file_survives_a_failed_write(tmp_path):
    path = write(tmp_path / "out.mp4", 3)
    before = path.read_bytes()
    with pytest.raises(KeyError), VideoWriter(path, 32, 32) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8), 0.0)
        raise KeyError("stop")
    assert path.read_bytes() == before


def test_unwritable_places(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(UserError, match=r"file.*choose"), VideoWriter(file / "out.mp4", 8, 8):
        pass
    with pytest.raises(UserError, match=r"ends? in \.mp4"):
        VideoWriter(tmp_path / "out.avi", 8, 8)
    folder = tmp_path / "folder.mp4"
    folder.mkdir()
    with pytest.raises(UserError, match="is a folder"), VideoWriter(folder, 8, 8):
        pass


def test_disk_full(tmp_path):
    """A limit on the size of files makes the system refuse to write, as a full disk does."""
    code = (
        "import resource, sys, numpy as np\n"
        "from motion_jax.errors import UserError\n"
        "from motion_jax.video.writer import VideoWriter\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40000, 40000))\n"
        "noise = np.random.default_rng(0)\n"
        "try:\n"
        "    with VideoWriter(sys.argv[1], 128, 128, crf=1) as writer:\n"
        "        for i in range(30):\n"
        "            writer.write(noise.integers(0, 255, (128, 128, 3), np.uint8), i / 25)\n"
        "except UserError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out.mp4")],
        capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert run.stdout.startswith("The disk is full: ")
    assert "out.mp4" in run.stdout
    assert list(tmp_path.iterdir()) == []


def test_bad_videos_are_named(tmp_path):
    def fails(path, pattern, **choice):
        with pytest.raises(UserError, match=pattern) as caught:
            list(read_frames(path, **choice))
        assert str(path) in str(caught.value)

    fails(tmp_path / "absent.mp4", "no file")
    fails(tmp_path, "is a folder")
    text = tmp_path / "notes.mp4"
    text.write_text("dear diary " * 50)
    fails(text, "not a video")
    (tmp_path / "notes.txt").write_text("dear diary " * 50)
    fails(tmp_path / "notes.txt", "not a video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    fails(tmp_path / "empty.mp4", "empty")
    fails(click(tmp_path / "a.m4a", "aac", 44100, "mono", "fltp"), "sound but no pictures")
    good = write(tmp_path / "good.mp4", 40, 10.0)
    fails(good, "shorter than needed.*start 9", start=9.0)
    fails(good, "no frame between", start=1.01, end=1.05)
    fails(good, "not after start", start=2.0, end=1.0)
    fails(good, "negative", start=-1.0)
    fails(good, "not between 0 and 1000", fps=0.0)
    with pytest.raises(UserError, match="no file"):
        probe(tmp_path / "absent.mp4")


def test_zero_frames(tmp_path):
    path = tmp_path / "zero.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
        container.start_encoding()
    with pytest.raises(UserError, match="no frame"):
        list(read_frames(path))
    with pytest.raises(UserError, match="no frame"):
        probe(path)


@pytest.mark.parametrize("kind", ["mp4", "avi", "mkv", "gif"])
def test_truncated_files(tmp_path, kind):
    whole = tmp_path / f"whole.{kind}"
    codec, pixels = {"gif": ("gif", "rgb8"), "avi": ("mpeg4", "yuv420p")}.get(
        kind, ("libx264", "yuv420p")
    )
    options = {"movflags": "+faststart"} if kind == "mp4" else {}
    noise = np.random.default_rng(0)
    with av.open(str(whole), "w", options=options) as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width, stream.pix_fmt = 64, 64, pixels
        for _ in range(40):
            image = noise.integers(0, 255, (64, 64, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixels)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert len(frame_times(whole)) == 40
    data = whole.read_bytes()
    cut = tmp_path / f"cut.{kind}"
    cut.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"cut short after \d\.\d+ s \(\d+ frames.*end"):
        len(frame_times(cut))
    assert len(frame_times(cut, end=1.0)) == 10


def test_an_mp4_without_its_index(tmp_path):
    data = b"\0\0\0\x18ftypisom" + b"\0" * 4000
    (tmp_path / "cut.mp4").write_bytes(data)
    with pytest.raises(UserError, match="index"):
        probe(tmp_path / "cut.mp4")


def test_real_clips(shared):
    data = shared / "data"
    dancer = data / "dancer-bluescreen-63s.avi"
    info = probe(dancer)
    assert (info.height, info.width, info.fps, info.has_audio) == (496, 518, 25.0, True)
    times = frame_times(dancer, start=1.0, end=2.0)
    np.testing.assert_allclose(times, np.arange(25) / 25 + 1, atol=1e-6)
    drawing = list(read_frames(data / "anime" / "drawing-walk.gif", end=0.3))
    assert [f.time for f in drawing] == [0.0, 0.1, 0.2]
    assert drawing[0].image.shape == (600, 600, 3)
    two = list(read_frames(data / "two-people-outdoor.mp4", start=1.0, end=1.05))
    assert two[0].image.shape == (994, 1768, 3)
    np.testing.assert_allclose([f.time for f in two], [1.0, 31 / 30], atol=1e-6)


def test_a_video_whose_sound_comes_first(shared):
    # The decoder holds frames back until the end of the file is reached.
    clip = shared / "data" / "dance-man-indoor-densepose-side.mp4"
    assert sum(1 for _ in read_frames(clip)) == 367


def test_jumping_gives_the_same_frames_as_reading_through(shared):
    clip = shared / "data" / "dance-man-indoor.mp4"
    late = list(read_frames(clip, start=5.0, end=5.1))
    through = [f for f in read_frames(clip, end=5.1) if f.time >= 5.0 - 1e-6]
    assert [f.time for f in late] == [f.time for f in through]
    for a, b in zip(late, through, strict=True):
        np.testing.assert_array_equal(a.image, b.image)


def test_a_truncated_real_clip(shared, tmp_path):
    data = (shared / "data" / "juggle-man-park.mp4").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"cut short after 3\.\d+ s \(9\d frames"):
        next(iter(read_frames(cut)))
    assert len(frame_times(cut, start=3.0, end=3.5)) == 12
