"""Import of pictures, training and evaluation on a machine without MediaPipe and PyAV, as pods and
clusters are."""

import json
import os
import subprocess
import sys

import numpy as np
from PIL import Image

from motion_jax.data.records import open_dataset

# Runs a command of motion-jax where neither can be imported, nor is installed.
WITHOUT = """
import importlib.metadata
import sys

LACKING = ("av", "mediapipe")

class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in LACKING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def version(name, known=importlib.metadata.version):
    if name in LACKING:
        raise importlib.metadata.PackageNotFoundError(name)
    return known(name)

import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in LACKING else found(name, *rest)
importlib.metadata.version = version
sys.meta_path.insert(0, Lacking())
from motion_jax.start import main
main()
"""
CONFIG = """
from motion_jax.config import Config, Data, Record
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes import pix2pixhd as hd

STAGE = hd.Stage(steps=1, height=32, width=32, batch_size=2, num_D=1)
config = Config(
    recipe=hd.Pix2PixHD(
        generator=hd.Generator(ngf=2, n_downsampling=1, n_blocks=1),
        discriminator=hd.Discriminator(ndf=2, n_layers=1),
        losses=hd.Losses(perceptual="none", l1=10.0),
        global_stage=STAGE,
        local_stage=hd.Stage(steps=0, height=32, width=32, batch_size=2, num_D=1),
        pose_style=PoseStyle(face_points=0, hands=False),
    ),
    data=Data(holdout=0.25),
    record=Record(log_every=1, sample_every=1, sample_seconds=0.1, checkpoint_every=1, trace=False),
)
"""


def run(*words, status=0):
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    environment.pop("DISPLAY", None)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *map(str, words)],
        capture_output=True, text=True, timeout=300, env=environment,
    )  # fmt: skip
    assert done.returncode == status, done.stderr[-3000:]
    return done.stdout + done.stderr


def test_trains_and_evaluates(tmp_path, dataset):
    config = tmp_path / "lean.py"
    config.write_text(CONFIG)
    said = run("train", config, "--data", dataset, "--run", tmp_path / "run")
    assert "PyAV is not installed here" in said
    versions = json.loads((tmp_path / "run" / "versions.json").read_text())
    assert "mediapipe" not in versions and "jax" in versions
    # The grid of samples is there, its film is not.
    samples = {path.suffix for path in (tmp_path / "run" / "samples").iterdir()}
    assert samples == {".png"}
    run("evaluate", "--run", tmp_path / "run", "--out", tmp_path / "evaluation")
    result = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert result["frames"] > 0
    assert "not installed here" in result["absent"]["pose_distance"]


def test_imports_pictures_and_says_what_films_need(tmp_path):
    random = np.random.default_rng(0)
    for name in ("train_A/f0.png", "train_A/f1.png", "train_B/f0.png", "train_B/f1.png"):
        (tmp_path / "pairs" / name).parent.mkdir(parents=True, exist_ok=True)
        picture = random.integers(0, 255, (32, 32, 3), np.uint8)
        Image.fromarray(picture).save(tmp_path / "pairs" / name)
    run("import-data", tmp_path / "pairs", "--out", tmp_path / "data", "--workers", "1")
    assert len(open_dataset(tmp_path / "data")) == 2
    film = tmp_path / "film.mp4"
    film.write_bytes(b"film")
    said = run("prepare", film, "--out", tmp_path / "other", status=2)
    assert "PyAV, which is not installed here: pip install av." in said
