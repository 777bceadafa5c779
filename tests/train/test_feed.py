"""Training pictures that wait on the devices: the same batches and the same training as from the
loader, taken by itself where there is room, and refused in a sentence where there is none."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from motion_jax.data import inputs
from motion_jax.data.augment import AugmentConfig
from motion_jax.data.find_plates import with_plates
from motion_jax.data.plates import Plates
from motion_jax.data.reading import Pictures, Window
from motion_jax.data.records import open_dataset
from motion_jax.data.settings import Data
from motion_jax.devices import mesh as meshes
from motion_jax.devices.options import Devices
from motion_jax.errors import UserError
from motion_jax.train import feed
from motion_jax.train.loop import train
from motion_jax.train.resident import Resident, bytes_needed
from tests.train.conftest import CONFIG, SIZE

READING = Window(SIZE, SIZE, 3, length=2)
MESH = meshes.make_mesh(Devices(), 3, jax.devices()[:1])


def both(dataset, data, reading=READING, start=0):
    """Three batches as the loader makes them, and as the devices do."""
    load = inputs.numbered(dataset, reading, data, 5)
    resident = Resident(load, MESH)
    with (
        inputs.open_batches(dataset, reading, data, 5, start) as pictures,
        feed._numbers(load, reading.batch_size, start, list(range(3))) as numbers,
    ):
        for _ in range(3):
            made = resident.batch(meshes.place(next(numbers), MESH))
            yield next(pictures), jax.device_get(made)


@pytest.fixture(scope="module")
def opened(dataset):
    return open_dataset(dataset)


def plates(count, follows):
    random = np.random.default_rng(1)
    motion = np.tile(np.eye(3, dtype=np.float32), (count, 1, 1))
    motion[:, 0, 2] = random.uniform(-2, 2, count)
    pictures = random.integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)
    return Plates(pictures, np.arange(count) % 2, motion if follows else None)


@pytest.mark.parametrize("follows", [False, True, None])
@pytest.mark.parametrize("augment", [AugmentConfig(), AugmentConfig(flip=True)])
def test_batches_are_those_of_the_loader(opened, follows, augment):
    dataset = open_dataset(opened.folder)
    if follows is not None:
        dataset = with_plates(dataset, plates(len(dataset), follows))
    for ours, theirs in both(dataset, Data(holdout=0.25, augment=augment), start=3):
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            np.testing.assert_array_equal(theirs[name], array, err_msg=name)
            assert theirs[name].dtype == array.dtype


def test_a_piece_is_the_same_piece(opened):
    data = Data(holdout=0.25, augment=AugmentConfig(crop=True, flip=True))
    for ours, theirs in both(opened, data, replace(READING, height=20, width=24)):
        for name, array in ours.items():
            np.testing.assert_array_equal(theirs[name], array, err_msg=name)


def test_smaller_pictures_are_the_same(opened):
    for ours, theirs in both(opened, Data(), replace(READING, height=16, width=16)):
        for name, array in ours.items():
            np.testing.assert_array_equal(theirs[name], array, err_msg=name)


def test_varied_pictures_differ_by_rounding_alone(opened):
    augment = AugmentConfig(
        scale=0.2, shift=0.1, flip=True, brightness=0.1, contrast=0.2, saturation=0.2
    )
    dataset = with_plates(open_dataset(opened.folder), plates(len(opened), False))
    different = values = 0
    for ours, theirs in both(dataset, Data(augment=augment)):
        for name in ("keypoints", "face_boxes"):
            np.testing.assert_array_equal(theirs[name], ours[name])
        for name in ("frames", "plates"):
            off = np.abs(theirs[name].astype(int) - ours[name])
            # Once when they are moved, which colours may stretch, and once when they are coloured.
            assert off.max() <= 2
            different, values = different + np.count_nonzero(off), values + off.size
    assert different < 0.002 * values


def test_needs_what_its_pictures_have(opened):
    load = inputs.numbered(opened, READING, Data(holdout=0.25), 0)
    assert bytes_needed(load) == 18 * SIZE * SIZE * 3
    plated = with_plates(open_dataset(opened.folder), plates(len(opened), False))
    load = inputs.numbered(plated, READING, Data(holdout=0.25), 0)
    assert bytes_needed(load) == (18 + 2) * SIZE * SIZE * 3


def test_the_rest_of_the_memory_is_what_pictures_may_take():
    program = SimpleNamespace(
        memory_analysis=lambda: SimpleNamespace(
            argument_size_in_bytes=500,
            output_size_in_bytes=300,
            alias_size_in_bytes=300,
            temp_size_in_bytes=100,
        )
    )
    card = SimpleNamespace(platform="gpu", memory_stats=lambda: {"bytes_limit": 1000})
    assert feed.room_beside([program], card) == feed.SHARE * 400
    silent = SimpleNamespace(platform="tpu", memory_stats=lambda: None)
    assert feed.room_beside([program], silent) is None
    assert feed.room_beside([program], jax.devices()[0]) is None


ONE = replace(
    CONFIG,
    recipe=replace(
        CONFIG.recipe,
        local_stage=replace(CONFIG.recipe.local_stage, steps=0, decay_steps=0),
        face_stage=replace(CONFIG.recipe.face_stage, steps=0, decay_steps=0),
    ),
)


def cached(cache, config=ONE):
    return replace(config, data=replace(config.data, cache=cache))


def trained(folder):
    """The losses of all steps."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    timed = {"seconds", "images_per_second", "input_wait"}
    return [{k: v for k, v in row.items() if k not in timed} for row in rows]


def test_training_is_the_same_and_goes_on(dataset, tmp_path, capsys, monkeypatch):
    train(cached("host"), dataset, tmp_path / "host")
    capsys.readouterr()
    # Where there is room the devices are taken without being asked for.
    monkeypatch.setattr(feed, "room_beside", lambda programs, device: 1e6)
    train(cached("auto"), dataset, tmp_path / "auto")
    assert "training pictures go into the devices' memory" in capsys.readouterr().err
    assert trained(tmp_path / "auto") == trained(tmp_path / "host")
    # A run may go on with another answer.
    folder = tmp_path / "moved"
    train(cached("device"), dataset, folder)
    shutil.rmtree(folder / "checkpoints" / "4")
    train(cached("host"), dataset, folder)
    assert trained(folder) == trained(tmp_path / "host")


def test_where_there_is_no_room(dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(feed, "room_beside", lambda programs, device: 1e3)
    with pytest.raises(UserError, match=r"cache = device: the 18 training .* data.cache = host"):
        train(cached("device"), dataset, tmp_path / "device")
    train(cached("auto"), dataset, tmp_path / "device")
    assert "devices' memory" not in capsys.readouterr().err


def test_other_examples_are_refused(opened):
    with pytest.raises(UserError, match=r"data.cache device is for recipes that learn from window"):
        inputs.check_contents(opened, Pictures(SIZE, SIZE, 2), Data(cache="device"))
