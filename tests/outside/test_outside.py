"""A recipe and its config in a package of their own, of a kind that none of ours is: two inputs, no
pose, a vector carried on. Everything is done with it by the command line, and no line of motion_jax
knows it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import motion_jax
from motion_jax.cli import main
from motion_jax.config import load_config
from motion_jax.profiling.topology import step_flops
from motion_jax.train.checkpoint import Checkpoints, parameter_hash
from motion_jax.train.record import read_metrics
from motion_jax.train.run import load_run
from motion_jax.train.step import abstract_state
from motion_jax.video.reader import read_frames
from motion_jax.video.writer import VideoWriter


@pytest.fixture(scope="module")
def run(installed, film, tmp_path_factory):
    """The folder of a whole run."""
    folder = tmp_path_factory.mktemp("runs") / "tint"
    main(["train", "tiny_tint", "--data", str(film), "--run", str(folder)])
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "source.mp4"
    with VideoWriter(path, 16, 16) as writer:
        for i in range(5):
            picture = np.full((16, 16, 3), 40 * i, np.uint8)
            picture[4:12, 2 * i : 2 * i + 6] = 255 - 40 * i
            writer.write(picture, i / 25)
    return path


def state_of(folder):
    config = load_run(folder).config
    with Checkpoints(folder / "checkpoints", read_only=True) as checkpoints:
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        return checkpoints.restore(4, abstract_state(config, "main", sharding))


def test_motion_jax_does_not_know_it():
    package = Path(motion_jax.__file__).parent
    assert not [path for path in package.rglob("*.py") if "outside" + "_tint" in path.read_text()]


def test_it_trains(run):
    rows = read_metrics(run)
    assert [row["total_step"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["difference"] < rows[0]["difference"]
    assert json.loads((run / "config.json").read_text())["recipe"]["type"] == "tint"
    assert (run / "samples" / "step-0000004.png").is_file()
    assert (run / "samples" / "step-0000004.mp4").is_file()


def test_it_goes_on_as_if_it_had_not_been_stopped(run, film, installed, tmp_path):
    """In a process of its own, as a user starts it, by the run's config.json alone."""
    folder = tmp_path / "again"
    shutil.copytree(run, folder)
    for step in ("3", "4"):
        shutil.rmtree(folder / "checkpoints" / step)
    command = "from motion_jax.cli import main; main()"
    words = ["train", "--run", str(folder), "--data", str(film)]
    settings = {"PYTHONPATH": str(installed), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", command, *words],
        env=os.environ | settings, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Going on from step 2" in done.stderr
    whole, again = state_of(run), state_of(folder)
    for part in ("params", "optimizer"):
        assert parameter_hash(getattr(whole, part)) == parameter_hash(getattr(again, part))


def test_it_is_shown_the_frames_of_a_video_and_remembers(run, source, tmp_path):
    out = tmp_path / "out.mp4"
    main(["transfer", "--run", str(run), "--source", str(source), "--out", str(out)])
    assert len(list(read_frames(out))) == 5
    made = load_run(run)
    frames = np.stack([frame.image for frame in read_frames(source)])
    whole = made.synthesizer().feed(made.config.recipe.seen({"frames": frames}))
    alone = made.synthesizer(recurrent=False).feed(frames)
    assert made.config.recipe.recurrent
    np.testing.assert_array_equal(whole[0], alone[0])
    synthesizer = made.synthesizer()
    parts = [synthesizer.feed(frames[a:b]) for a, b in ((0, 2), (2, 5))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    # Of a network that barely remembers yet: louder, it can be told.
    louder = jax.tree.map(lambda x: 8 * x, made.params)
    synthesizer.params = louder
    synthesizer.reset()
    one = made.synthesizer(recurrent=False)
    one.params = louder
    assert (synthesizer.feed(frames)[1:] != one.feed(frames)[1:]).any()


def test_it_is_evaluated(run, tmp_path, capsys):
    main(["evaluate", "--run", str(run), "--out", str(tmp_path), "--json"])
    result = json.loads(capsys.readouterr().out)
    # There is no pose, so there is no frame of the nearest pose.
    assert set(result["methods"]) == {"trained", "frame_by_frame"}
    assert result["methods"]["trained"]["psnr"] > 5
    assert result["frames"] == 4
    page = (tmp_path / "index.html").read_text()
    assert "there is no nearest frame to compare with" in page


def test_its_settings_are_explained_and_wrong_ones_refused(installed, film, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "tiny_tint", "--help"])
    assert not stopped.value.code
    said = capsys.readouterr().out
    assert "--recipe.memory" in said and "Numbers that are carried from frame to frame" in said
    words = ["train", "tiny_tint", "--data", str(film), "--run", str(tmp_path / "run")]
    for more, sentence in (
        (["--recipe.memori", "3"], "did you mean --recipe.memory?"),
        (["--width", "8"], "sets the generator's width, which the recipe tint does not have"),
        (["--recipe.main-stage.batch-size", "0"], "batch_size must be at least 1"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main([*words, *more])
        assert stopped.value.code == 2
        assert sentence in capsys.readouterr().err


def test_its_arithmetic_is_counted(installed):
    """It has no field for recomputing activations."""
    config = load_config("tiny_tint")
    assert step_flops(config, "main", 2) > step_flops(config, "main", 1) > 0


def test_it_is_among_the_configs_there_are(installed, capsys):
    main(["train", "--help"])
    assert "tiny_tint" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["train", "tini_tint"])
    assert "did you mean tiny_tint?" in capsys.readouterr().err


def test_it_is_profiled(installed, tmp_path):
    main(["profile", "tiny_tint", "--out", str(tmp_path)])
    assert list(tmp_path.rglob("*.html"))


@pytest.mark.parametrize("form", ["orbax", "stablehlo"])
def test_it_is_exported(run, form, tmp_path):
    main(["export", "--run", str(run), "--format", form, "--out", str(tmp_path)])
    assert [path for path in tmp_path.iterdir() if "painter" in path.name]
