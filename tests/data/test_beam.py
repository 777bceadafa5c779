"""`prepare` as a Beam pipeline on the direct runner gives the bytes of one machine.

Needs an environment of its own with the extra `beam` (docs/data.md); elsewhere all but the command
line without Beam is skipped.
"""

import dataclasses
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from test_parts import content
from test_prepare import make_clip, make_clips

from motion_jax.cli import beam as room
from motion_jax.data import making
from motion_jax.data.prepare_options import PrepareOptions

ABSENT = importlib.util.find_spec("apache_beam") is None
needs_beam = pytest.mark.skipif(
    ABSENT, reason="apache-beam is not installed; the extra beam has an environment of its own"
)
# What Beam and its libraries warn of in their own code.
quiet = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> PrepareOptions:
    folder = tmp_path_factory.mktemp("whole")
    videos = make_clips(folder / "in", 3)
    options = PrepareOptions(
        videos=videos, out=folder / "data", size="48x48", poses=folder / "in" / "poses", workers=1
    )
    assert making.make(options)
    return options


def arguments(options: PrepareOptions, out, *beam: str, videos=None) -> list[str]:
    named = [str(video) for video in videos or options.videos]
    return [*named, *f"--out {out} --size {options.size} --poses {options.poses} --".split(), *beam]


@needs_beam
def test_two_workers_give_the_bytes_of_one_machine(whole, tmp_path):
    out = tmp_path / "data"
    command = arguments(
        whole, out, "--runner=DirectRunner", "--direct_num_workers=2",
        "--direct_running_mode=multi_processing",
    )  # fmt: skip
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-m", "motion_jax.cli.beam", *command],
        env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert content(out) == content(whole.out)
    assert not (out / ".partial").exists() and (out / "report" / "index.html").is_file()
    # What a cluster made, this machine takes for its own.
    assert not making.make(dataclasses.replace(whole, out=out))


@needs_beam
@quiet
def test_addresses_of_a_bucket(whole, tmp_path, monkeypatch):
    """Videos and dataset behind a file system of Beam's, which no path leads to."""
    from apache_beam.io.localfilesystem import LocalFileSystem

    class Bucket(LocalFileSystem):
        """bucket://x is the file tmp_path/x."""

        @classmethod
        def scheme(cls):
            return "bucket"

        def split(self, path):
            head, _, tail = path.rpartition("/")
            return head, tail

        def match(self, patterns, limits=None):
            from apache_beam.io.filesystem import FileMetadata, MatchResult

            results = []
            for pattern in patterns:
                folder = place(pattern.removesuffix("/*"))
                found = [path for path in folder.rglob("*") if path.is_file()]
                names = ["bucket://" + str(path.relative_to(tmp_path)) for path in found]
                results.append(MatchResult(pattern, [FileMetadata(name, 1) for name in names]))
            return results

        def create(self, path, *_, **__):
            place(path).parent.mkdir(parents=True, exist_ok=True)
            return open(place(path), "wb")

        def open(self, path, *_, **__):
            return open(place(path), "rb")

        def exists(self, path):
            return place(path).exists()

        def rename(self, sources, targets):
            for source, target in zip(sources, targets, strict=True):
                place(source).rename(place(target))

        def delete(self, paths):
            for path in paths:
                for found in place(path.removesuffix("/*")).glob("*"):
                    found.unlink()

    def place(address: str) -> Path:
        return tmp_path / address.removeprefix("bucket://")

    for video in whole.videos:
        (tmp_path / video.name).write_bytes(video.read_bytes())
    videos = [f"bucket://{video.name}" for video in whole.videos]
    room.main(arguments(whole, "bucket://made/data", videos=videos))
    assert content(tmp_path / "made" / "data") == content(whole.out)
    with pytest.raises(SystemExit):
        room.main(arguments(whole, "bucket://made/data", videos=videos))


@needs_beam
@quiet
def test_a_workers_error_is_one_sentence(whole, tmp_path, capsys):
    nobody = make_clip(tmp_path / "in", "two", 6, lost=range(6))
    (tmp_path / "in" / "poses" / "one").symlink_to(whole.poses / "one")
    command = arguments(whole, tmp_path / "data", videos=(whole.videos[0], nobody))
    command[command.index("--poses") + 1] = str(tmp_path / "in" / "poses")
    with pytest.raises(SystemExit) as stop:
        room.main(command)
    said = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert stop.value.code == 2 and len(said) == 1
    assert "has no 2 frames in a row with a usable pose" in said[0] and "two.mp4" in said[0]


@needs_beam
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--size": "50x50"}, "multiples of 16"),
        ({"--poses": "gs://bucket/poses"}, "must be a path that every worker sees"),
        ({"--out": "TAKEN"}, "is not empty; name a new folder"),
        ({"video": "none.mp4"}, "There is no file none.mp4"),
    ],
)
def test_bad_input(whole, tmp_path, capsys, change, said):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "file").touch()
    command = arguments(whole, tmp_path / "data")
    for name, value in change.items():
        if name == "video":
            command[0] = value
        else:
            command[command.index(name) + 1] = str(taken) if value == "TAKEN" else value
    with pytest.raises(SystemExit) as stop:
        room.main(command)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1
    assert said in error
    assert not (tmp_path / "data" / "metadata.json").exists()


@pytest.mark.skipif(not ABSENT, reason="apache-beam is installed")
def test_without_beam_one_sentence_says_so(capsys):
    with pytest.raises(SystemExit) as stop:
        room.main(["a.mp4", "--out", "b"])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1
    assert "Apache Beam is not installed here" in error and "extra beam" in error
