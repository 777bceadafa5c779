"""One tiny run of all three stages, trained once for all tests here."""

import fcntl
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from motion_jax.config import Config, Data, Record
from motion_jax.data import records
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes import everybody_dance_now as edn

SIZE = 32
FRAMES = 24


def _write_dataset(folder: Path, seed: int = 0, faces: bool = True) -> Path:
    """A dancer of three joints on noise, which moves to the right; the face is its head."""
    random = np.random.default_rng(seed)
    rows = []
    for i in range(FRAMES):
        keypoints = np.zeros((137, 3), np.float32)
        x = 8 + 0.5 * i
        keypoints[[0, 1, 8, 11, 14, 2, 5], :] = [
            (x, 8, 1), (x, 12, 1), (x, 20, 1), (x - 2, 28, 1), (x + 2, 28, 1), (x - 2, 12, 1),
            (x + 2, 12, 1),
        ]  # fmt: skip
        frame = random.integers(0, 60, (SIZE, SIZE, 3), dtype=np.uint8)
        frame[5:29, int(x) - 2 : int(x) + 3] = (200, 120, 60)
        box = np.float32([4, x - 4, 12, x + 4]) if faces else np.zeros(4, np.float32)
        rows.append(
            {"frame": frame, "keypoints": keypoints, "face_box": box, "clip": 0, "index": i,
             "time": i / 25}
        )  # fmt: skip
    path = records.shard_path(folder, 0, 1)
    records.write_shard(path, rows, SIZE, SIZE, "png")
    info = records.DatasetInfo(
        SIZE, SIZE, ((0, 0, 0, FRAMES),), ({"file": f"{seed}.mp4"},), picture="png"
    )
    records.finish_dataset(folder, info, [FRAMES])
    return folder


STAGE = edn.Stage(steps=4, decay_steps=2, height=SIZE, width=SIZE, batch_size=2, num_D=1)
CONFIG = Config(
    recipe=edn.EverybodyDanceNow(
        generator=edn.Generator(ngf=4, n_downsampling=1, n_blocks=1, n_blocks_local=1),
        discriminator=edn.Discriminator(ndf=4, n_layers=1),
        face=edn.Face(size=8, ngf=4, n_downsampling=1, n_blocks=1, ndf=4, n_layers=1),
        losses=edn.Losses(perceptual="none", l1=10.0),
        global_stage=replace(STAGE, height=16, width=16),
        local_stage=STAGE,
        face_stage=STAGE,
        pose_style=PoseStyle(face_points=0, hands=False, stroke=2.0),
        averaging=0.9,
    ),
    data=Data(holdout=0.25),
    record=Record(log_every=1, sample_every=100, sample_seconds=0.2, checkpoint_every=2, keep=9),
)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    return made_once(tmp_path_factory, "dataset", _write_dataset)


@pytest.fixture(scope="session")
def write_dataset():
    """(folder, seed=0, faces=True) -> folder, with a dataset in it."""
    return _write_dataset


@pytest.fixture(scope="session")
def unpaired(tmp_path_factory) -> Path:
    """A dataset of two domains: dark and bright noise."""
    folder, random, rows = tmp_path_factory.mktemp("unpaired"), np.random.default_rng(0), []
    for i in range(10):
        frame = random.integers(0, 100, (32, 32, 3)) + (100 if i > 4 else 0)
        example = {"frame": frame.astype(np.uint8), "keypoints": np.zeros((137, 3))}
        rows.append(
            example | {"face_box": np.zeros(4), "clip": i // 5, "index": i % 5, "time": i / 25}
        )
    records.write_shard(records.shard_path(folder, 0, 1), rows, 32, 32, "png")
    sources = ({"file": "a", "domain": "A"}, {"file": "b", "domain": "B"})
    clips = ((0, 0, 0, 5), (1, 1, 5, 5))
    info = records.DatasetInfo(32, 32, clips, sources, picture="png")
    records.finish_dataset(folder, info, [10])
    return folder


@pytest.fixture(scope="session")
def config() -> Config:
    return CONFIG


@pytest.fixture(scope="session")
def trained(tmp_path_factory, dataset) -> Path:
    """The run directory of an uninterrupted run. Not to be written to; see `copy`."""
    from motion_jax.train.loop import train

    def make(folder: Path) -> None:
        train(CONFIG, dataset, folder, command="motion-jax train tiny")

    return made_once(tmp_path_factory, "trained", make)


def made_once(tmp_path_factory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first of the tests' processes to want it makes, and all of them read."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with open(folder / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / name).is_dir():
            make(folder / f"{name}.part")
            (folder / f"{name}.part").rename(folder / name)
    return folder / name


SMALL = 16
COLOURS = {"ann": (200, 60, 60), "bob": (60, 60, 200)}


def _write_people(folder: Path, *sources: str) -> Path:
    """A dataset of clips of six frames each before grey, by their names' people."""
    rows, clips = [], []
    for clip, name in enumerate(sources):
        clips.append((clip, clip, len(rows), 6))
        for i in range(6):
            keypoints = np.zeros((137, 3), np.float32)
            x = 6 + 0.5 * i
            keypoints[[0, 1, 8, 11, 14, 2, 5], :] = [
                (x, 3, 1), (x, 5, 1), (x, 9, 1), (x - 1, 14, 1), (x + 1, 14, 1), (x - 1, 5, 1),
                (x + 1, 5, 1),
            ]  # fmt: skip
            frame = np.full((SMALL, SMALL, 3), 90 + 10 * clip, np.uint8)
            frame[2:15, int(x) - 1 : int(x) + 2] = COLOURS[name[:3]]
            box = np.zeros(4, np.float32)
            rows.append({"frame": frame, "keypoints": keypoints, "face_box": box, "clip": clip,
                         "index": i, "time": i / 25})  # fmt: skip
    records.write_shard(records.shard_path(folder, 0, 1), rows, SMALL, SMALL, "png")
    info = records.DatasetInfo(
        SMALL, SMALL, tuple(clips), tuple({"file": name} for name in sources), picture="png"
    )
    records.finish_dataset(folder, info, [len(rows)])
    return folder


@pytest.fixture(scope="session")
def write_people():
    """(folder, *names of videos) -> folder, with a dataset of drawn people in it."""
    return _write_people


@pytest.fixture(scope="session")
def known(config) -> Config:
    """One stage, two people, each frame by itself, before plates."""
    recipe = config.recipe
    stage = replace(recipe.global_stage, steps=2, decay_steps=1, height=SMALL, width=SMALL)
    none = replace(stage, steps=0, decay_steps=0)
    recipe = replace(
        recipe, global_stage=stage, local_stage=none, face_stage=none, identities=2,
        previous="none", background="plate",
    )  # fmt: skip
    return replace(config, recipe=recipe, record=replace(config.record, sample_every=10**6))


@pytest.fixture(scope="session")
def two_people(tmp_path_factory, known) -> Path:
    """A folder with a dataset of two people, `data`, and a run of them, `both`."""
    from motion_jax.train.loop import train

    def make(folder: Path) -> None:
        data = _write_people(folder / "data", "bob#1.mp4", "ann.mp4", "bob#2.mp4")
        train(known, data, folder / "both", command="motion-jax train both")

    return made_once(tmp_path_factory, "two_people", make)


@pytest.fixture(scope="session")
def both(two_people) -> Path:
    """The dataset of two people."""
    return two_people / "data"


@pytest.fixture(scope="session")
def run_of_both(two_people) -> Path:
    """The run of them. Not to be written to."""
    return two_people / "both"
