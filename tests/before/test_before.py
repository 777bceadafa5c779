"""Datasets, runs and exported weights of an earlier version: they load, go on and transfer as they
did then. README.md says which version that is. Whatever fails here fails for users, too."""

import json
import shutil
from pathlib import Path

import before_commands as commands
import numpy as np
import pytest

from motion_jax.cli import main

EXPECTED = json.loads((commands.HERE / "expected.json").read_text())
PICTURES = np.load(commands.HERE / "expected.npz")
RUNS = sorted(commands.DATASETS)
# Grey levels that a picture may differ by: rounding, and JPEG and H.264 by other libraries.
LEVELS = 2
LOSS_TOLERANCE = 1e-4
EDN = "everybody_dance_now"


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """The unpacked archives, not to be written to."""
    return commands.unpack(tmp_path_factory.mktemp("kept"))


@pytest.fixture(autouse=True)
def among_them(kept, monkeypatch):
    """Paths are relative, in the commands and in what the runs know of their datasets."""
    monkeypatch.chdir(kept)


def same(pictures: np.ndarray, name: str) -> None:
    expected = PICTURES[name]
    assert pictures.shape == expected.shape and pictures.dtype == np.uint8
    assert expected.std((1, 2)).mean() > 5, "a plain picture would prove nothing"
    assert np.abs(pictures.astype(int) - expected).max() <= LEVELS


@pytest.mark.parametrize("driven", commands.DRIVEN)
@pytest.mark.parametrize("name", RUNS)
def test_a_run_transfers(name, driven, tmp_path):
    out = tmp_path / "out.mp4"
    same(commands.transferred(f"runs/{name}", name, driven, out=str(out)), f"{name}.{driven}")
    assert out.stat().st_size > 0


def test_a_checkpoint_of_an_earlier_stage_is_found(tmp_path):
    made = commands.transferred(
        f"runs/{EDN}", EDN, "heldout", "--step", "6", out=str(tmp_path / "out.mp4")
    )
    same(made, f"{EDN}.global")


# The other CycleGAN's step takes long to compile, and its state is laid out like this one's.
@pytest.mark.parametrize("name", [name for name in RUNS if name != "cyclegan_poses"])
def test_a_run_goes_on(name, kept, tmp_path):
    """On the dataset of then, with its own optimisers, averages, pools and random numbers: the
    losses would show it."""
    expected = EXPECTED["runs"][name]
    run = tmp_path / "runs" / name
    shutil.copytree(kept / "runs" / name, run)
    before = (run / "metrics.jsonl").read_text()
    main(["train", "--run", str(run), "--data", commands.DATASETS[name]])
    assert (run / "metrics.jsonl").read_text().startswith(before)
    stage = expected["rows"][0]["stage"]
    found = commands.losses(run, expected["stopped"])
    assert len(found) == len(expected["rows"])
    for row, wanted in zip(found, expected["rows"], strict=True):
        assert (row["stage"], row["total_step"]) == (wanted["stage"], wanted["total_step"])
        assert set(row["losses"]) == set(wanted["losses"])
        # The networks of a new stage are drawn at random.
        if row["stage"] == stage:
            assert row["losses"] == pytest.approx(wanted["losses"], rel=LOSS_TOLERANCE, abs=1e-6)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_inspected(name):
    assert commands.layers(f"runs/{name}") == EXPECTED["runs"][name]["networks"]


def test_a_run_is_exported_as_before(tmp_path):
    main(["export", "--run", f"runs/{EDN}", "--out", str(tmp_path)])
    kept = f"exported/{EDN}"
    names = sorted(path.name for path in Path(kept).iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name in names:
        if name.endswith(".pth"):
            found = commands.printed("inspect", f"{kept}/{name}", str(tmp_path / name), "--json")
            assert found["identical"], name


def test_exported_weights_are_imported(tmp_path):
    run = tmp_path / "run"
    main(
        ["import", f"exported/{EDN}", "--run", str(run), "--data", "data/ada", "--size", "32x32",
         "--face-size", "8"]
    )  # fmt: skip
    wanted = EXPECTED["runs"][EDN]["networks"]
    for name, network in commands.layers(str(run)).items():
        # Averages are what was exported.
        assert network == wanted.get(f"{name} (averaged)", wanted[name]), name


def test_a_run_is_evaluated_on_the_dataset_that_it_knows(tmp_path):
    found = commands.figures("runs/pix2pix", str(tmp_path / "evaluated"))
    assert set(found) == set(EXPECTED["evaluated"])
    for method, figures in EXPECTED["evaluated"].items():
        for name, value in figures.items():
            assert found[method][name] == pytest.approx(value, rel=1e-3, abs=1e-6), name


def test_a_dataset_is_not_made_again(kept, tmp_path):
    """The same command finds it done; only the page, which the archive leaves out, is written."""
    data = tmp_path / "ada"
    shutil.copytree(kept / "data" / "ada", data)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in data.iterdir()}
    main([*commands.PREPARE, "--out", str(data)])
    assert (data / "report" / "index.html").is_file()
    shutil.rmtree(data / "report")
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in data.iterdir()}
