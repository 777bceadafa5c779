"""A recipe that is shown nothing but noise: without a dataset it trains, goes on, and is refused
what it cannot do."""

import json
import shutil

import cv2
import numpy as np
import pytest

from motion_jax.cli import main
from motion_jax.train.checkpoint import parameter_hash
from motion_jax.train.record import read_metrics
from motion_jax.train.run import load_run


@pytest.fixture(scope="module")
def run(installed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "dice"
    main(["train", "tiny_dice", "--run", str(folder)])
    return folder


def test_it_trains_and_goes_on_without_a_dataset(run, tmp_path):
    rows = read_metrics(run)
    assert rows[-1]["away"] < rows[0]["away"] and rows[-1]["images"] == 48
    assert not (run / "dataset.json").exists() and (run / "report" / "index.html").is_file()
    shutil.copytree(run, tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "checkpoints" / "3")
    main(["train", "tiny_dice", "--run", str(tmp_path / "again")])
    whole, again = load_run(run), load_run(tmp_path / "again")
    assert whole.step == again.step == 3 and whole.dataset == {}
    assert parameter_hash(whole.params) == parameter_hash(again.params)
    assert json.loads((run / "config.json").read_text())["recipe"]["type"] == "dice"


def test_its_samples_are_of_one_noise_each(run):
    sheet = cv2.imread(str(run / "samples" / "step-0000003.png"))
    assert sheet is not None and np.ptp(sheet) > 50


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "tiny_dice", "--run", "{new}", "--record.keep-best", "heldout"],
         "scores held-out pictures, and there is no dataset"),
        (["train", "tiny_tint", "--run", "{new}"], "motion-jax train needs --data"),
        (["evaluate", "--run", "{run}"], "not paired, so there is no true frame"),
    ],
)  # fmt: skip
def test_what_it_cannot_do_is_said(run, tmp_path, words, sentence, capsys):
    words = [word.format(run=run, new=tmp_path / "new") for word in words]
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
