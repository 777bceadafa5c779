"""Every bad input of transfer and video: one sentence with the file and the remedy, nothing left.

What only `prepare`, `train` or `evaluate` can meet is tested beside them.
"""

import json
import re
import resource
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from motion_jax.cli import main
from motion_jax.config import Config
from motion_jax.recipes.everybody_dance_now import EverybodyDanceNow, Stage
from motion_jax.train.run import Run
from motion_jax.transfer import command as transferring
from motion_jax.video.writer import VideoWriter

SIZE = (48, 64)


class Noise:
    """Stands for a Synthesizer: its pictures do not compress."""

    def reset(self):
        pass

    def begin(self, seen):
        shape = (len(seen["poses"]), 64, 64, 3)
        return iter(np.random.default_rng(0).integers(0, 255, shape, np.uint8))


class NoiseRun(Run):
    def synthesizer(self, *_, **settings):
        return Noise()


@pytest.fixture
def run(monkeypatch):
    made = NoiseRun(
        folder=Path("not here"),
        config=Config(EverybodyDanceNow(global_stage=Stage(steps=1, height=64, width=64))),
        stage="global",
        step=1,
        params={},
        dataset={"path": "not here", "info": {"height": 64, "width": 64}},
    )
    monkeypatch.setattr(transferring, "load_person", lambda *_: made)


@pytest.fixture
def command(tmp_path, capsys):
    """Runs `motion-jax transfer` on a source and gives (exit status, its last line on stderr)."""

    def go(source: Path, *flags: str, **options) -> tuple[int, str]:
        words = ["transfer", *flags]
        options = {
            "run": tmp_path / "run", "source": source, "out": tmp_path / "result" / "out.mp4",
            "normalize": "none", **options,
        }  # fmt: skip
        for name, value in options.items():
            words += [f"--{name.replace('_', '-')}", str(value)]
        capsys.readouterr()
        try:
            main(words)
            status = 0
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        return status, captured.err.strip().split("\n")[-1]

    return go


@pytest.fixture
def refused(run, command, tmp_path):
    """Transfer must fail with the pattern in one sentence, exit status 2, and leave nothing."""

    def check(source: Path, pattern: str, **options) -> str:
        status, message = command(source, **options)
        assert status == 2
        assert message.startswith("motion-jax: error: ")
        assert re.search(pattern, message), message
        assert message.endswith(".") and message.count(". ") == 0
        folder = tmp_path / "result"
        assert not folder.exists() or not list(folder.iterdir())
        return message

    return check


def a_video(path: Path, count: int = 4) -> Path:
    with VideoWriter(path, *SIZE) as writer:
        for i in range(count):
            writer.write(np.full((*SIZE, 3), 60 * i % 250, np.uint8), i / 10)
    return path


def some_poses(folder: Path, count: int = 4) -> Path:
    """OpenPose JSON: one person, BODY_25."""
    folder.mkdir()
    numbers = np.stack([np.linspace(20, 40, 25), np.linspace(5, 45, 25), np.full(25, 0.9)], 1)
    for i in range(count):
        person = {"pose_keypoints_2d": numbers.ravel().tolist()}
        (folder / f"video_{i:012d}_keypoints.json").write_text(
            json.dumps({"version": 1.3, "people": [person]})
        )
    return folder


def test_poses_from_files_are_accepted(tmp_path, run, command):
    """What the tests below spoil does work unspoilt."""
    source, poses = a_video(tmp_path / "a.mp4"), some_poses(tmp_path / "poses")
    assert command(source, poses=poses)[0] == 0
    assert (tmp_path / "result" / "out.mp4").is_file()


def test_not_a_video(tmp_path, refused):
    text = tmp_path / "text.mp4"
    text.write_text("not a film\n" * 90)
    assert str(text) in refused(text, "not a video")
    picture = tmp_path / "picture.png"
    from PIL import Image

    Image.new("RGB", (32, 32)).save(picture)
    assert str(picture) in refused(picture, "not a video")
    refused(tmp_path / "absent.mp4", "no file .*absent.mp4")
    refused(tmp_path, "is a folder")


def test_truncated_video(tmp_path, refused):
    whole = a_video(tmp_path / "whole.mp4", 60).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) - 300])
    poses = some_poses(tmp_path / "poses", 60)
    assert "cut.mp4" in refused(cut, r"cut short after \d.*--end", poses=poses)
    cut.write_bytes(whole[:300])
    assert "cut.mp4" in refused(cut, "cut short|not a video")


def test_zero_frames(tmp_path, refused):
    path = tmp_path / "zero.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
        container.start_encoding()
    assert "zero.avi" in refused(path, "no frame")


def test_sound_only(tmp_path, refused):
    path = tmp_path / "voice.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    assert "voice.wav" in refused(path, "sound but no pictures")


def test_source_shorter_than_needed(tmp_path, refused):
    source, poses = a_video(tmp_path / "a.mp4"), some_poses(tmp_path / "poses")
    assert "a.mp4" in refused(source, "shorter than needed.*--start 3", start=3.0, poses=poses)
    refused(source, "--end 0.1 .*not after --start 0.2", start=0.2, end=0.1, poses=poses)


def test_frame_count_differs_from_poses(tmp_path, refused):
    source, poses = a_video(tmp_path / "a.mp4", 5), some_poses(tmp_path / "poses", 4)
    message = refused(source, "poses", poses=poses)
    assert "5" in message and "4" in message


def test_malformed_pose_files(tmp_path, refused):
    source, poses = a_video(tmp_path / "a.mp4"), some_poses(tmp_path / "poses")
    second = sorted(poses.iterdir())[1]
    good = second.read_text()
    for bad in ("{", "[]", '{"people": [{"pose_keypoints_2d": [1, 2, "x"]}]}',
                '{"people": [{"pose_keypoints_2d": [1, 2, 3, 4]}]}'):  # fmt: skip
        second.write_text(bad)
        assert second.name in refused(source, "poses", poses=poses)
    second.write_text(good)
    second.unlink()
    refused(source, "poses", poses=poses)
    shutil.rmtree(poses)
    refused(source, "poses", poses=poses)
    poses.mkdir()
    refused(source, "poses", poses=poses)


def test_partly_missing_points_are_no_error(tmp_path, run, command):
    source, poses = a_video(tmp_path / "a.mp4"), some_poses(tmp_path / "poses")
    first, second, *_ = sorted(poses.iterdir())
    first.write_text(json.dumps({"people": []}))
    value = json.loads(second.read_text())
    value["people"][0]["pose_keypoints_2d"][30:60] = [0.0] * 30
    value["people"][0]["hand_left_keypoints_2d"] = []
    second.write_text(json.dumps(value))
    assert command(source, poses=poses)[0] == 0
    assert (tmp_path / "result" / "out.mp4").is_file()


def test_nobody_in_pose_files(tmp_path, refused):
    source, poses = a_video(tmp_path / "a.mp4"), some_poses(tmp_path / "poses")
    for file in poses.iterdir():
        file.write_text(json.dumps({"people": []}))
    refused(source, "[Nn]o (person|one|body)", poses=poses)


def test_output_not_writable(tmp_path, refused):
    source, poses = a_video(tmp_path / "a.mp4"), some_poses(tmp_path / "poses")
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file" / "out.mp4", Path("/proc/nowhere/out.mp4")):
        refused(source, f"{out}.*choose a folder", out=out, poses=poses)
    (tmp_path / "folder.mp4").mkdir()
    refused(source, "folder.mp4 is a folder", out=tmp_path / "folder.mp4", poses=poses)
    refused(source, "does not end in .mp4", out=tmp_path / "out.avi", poses=poses)


def test_a_folder_that_is_no_run(tmp_path, command):
    source, poses = a_video(tmp_path / "a.mp4"), some_poses(tmp_path / "poses")
    status, message = command(source, poses=poses)
    assert status == 2 and re.search(r"run is not a run directory.*--run\.", message)
    assert not (tmp_path / "result").exists()


def test_misspelt_option(tmp_path, command):
    status, message = command(a_video(tmp_path / "a.mp4"), "--side-by-sid")
    assert status == 2 and "--side-by-side" in message
    assert not (tmp_path / "result").exists()


def test_disk_full(tmp_path, refused):
    """A limit on the size of files makes the system refuse to write, as a full disk does."""
    source, poses = a_video(tmp_path / "a.mp4", 40), some_poses(tmp_path / "poses", 40)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        message = refused(source, "disk is full", poses=poses)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "out.mp4" in message and "free some space" in message


@pytest.fixture
def real(shared, monkeypatch, tmp_path):
    """The real videos and pose models, with a cache of this test's own."""
    monkeypatch.setenv("MOTION_JAX_MODELS", str(shared / "models"))
    monkeypatch.setenv("MOTION_JAX_CACHE", str(tmp_path / "cache"))
    return shared / "data"


def test_no_person_in_a_real_video(real, refused):
    refused(
        real / "hands-only-no-person.mp4", "[Nn]o person.*hands-only|hands-only.*person",
        detail="body", start=1.0, end=2.0,
    )  # fmt: skip


def test_a_person_who_is_not_there(real, refused):
    refused(
        real / "juggle-man-park.mp4", "--person 3.*juggle-man-park",
        detail="body", end=1.0, person="3",
    )  # fmt: skip
