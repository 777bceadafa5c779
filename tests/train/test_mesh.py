"""Which devices a mesh takes, which rows a process reads, and what is refused."""

from dataclasses import dataclass, replace

import jax
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from motion_jax.config import Config, Devices
from motion_jax.devices import mesh as meshes
from motion_jax.errors import UserError
from motion_jax.train.step import abstract_state


@dataclass(frozen=True)
class Device:
    """As much of a device as a mesh asks for."""

    id: int
    process_index: int = 0
    slice_index: int = 0
    platform: str = "gpu"
    device_kind: str = "made up"


def devices(count: int, each: int | None = None, slices: bool = False) -> list[Device]:
    """each: of a process; slices: each process's are a slice of their own."""
    hosts = [i // (each or count) for i in range(count)]
    return [Device(i, host, host if slices else 0) for i, host in enumerate(hosts)]


def ids(mesh) -> list[list[int]]:
    return [[device.id for device in row] for row in mesh.devices]


def test_as_many_devices_as_divide_the_batch():
    sizes = [meshes.make_mesh(Devices(), n, devices(4)).shape for n in (1, 2, 3, 4, 6, 8)]
    assert [tuple(size.values()) for size in sizes] == [(n, 1) for n in (1, 2, 3, 4, 3, 4)]
    mesh = meshes.make_mesh(Devices(space=2), 4, devices(8))
    assert ids(mesh) == [[0, 1], [2, 3], [4, 5], [6, 7]] and mesh.axis_names == ("data", "space")
    assert meshes.make_mesh(Devices(space=2), 1, devices(8)).size == 2
    assert meshes.make_mesh(Devices(data=2, space=2), 2, devices(8)).size == 4


def test_every_process_has_the_same_number_of_devices():
    # A batch of 2 for two processes of two devices: one of each.
    assert ids(meshes.make_mesh(Devices(), 2, devices(4, 2))) == [[0], [2]]
    # A batch of 1 for two processes of one device: they share its pictures.
    assert ids(meshes.make_mesh(Devices(space=2), 1, devices(2, 1))) == [[0, 1]]
    with pytest.raises(UserError, match="batch of 3 leaves some of the 2 processes without work"):
        meshes.make_mesh(Devices(), 3, devices(2, 1))


def test_space_stays_within_a_slice():
    mixed = sorted(devices(8, 4, slices=True), key=lambda device: device.id % 4)
    mesh = meshes.make_mesh(Devices(data=2, space=4), 2, mixed)
    assert [{device.slice_index for device in row} for row in mesh.devices] == [{0}, {1}]


@pytest.mark.parametrize(
    ("settings", "batch", "count", "message"),
    [
        (Devices(space=3), 3, 8, "space = 3 does not divide the 8 devices at hand; use 1 or 2 or"),
        (Devices(data=3), 3, 8, "data 3 x space 1 needs 3 devices, which does not divide the 8"),
        (Devices(data=6), 6, 8, "or to 0, which takes as many as divide the batch and may leave"),
        (Devices(data=8, space=2), 8, 8, "data 8 x space 2 needs 16 devices"),
        (Devices(data=4), 6, 8, "batch of 6 cannot be shared evenly among devices.data = 4"),
        (Devices(space=0), 1, 1, "devices.space = 0 are no mesh"),
        (Devices(data=-1), 1, 1, "devices.data = -1"),
        (Devices(space=2, strategy="pmap"), 2, 2, "pmap .* combined with devices.space = 2"),
        (Devices(shard_optimizer=True, strategy="pmap"), 2, 2, "with devices.shard_optimizer"),
    ],
)
def test_a_mesh_that_cannot_be_is_refused(settings, batch, count, message):
    with pytest.raises(UserError, match=message):
        meshes.make_mesh(settings, batch, devices(count))


def test_pmap_is_of_one_process():
    with pytest.raises(UserError, match="2 processes"):
        meshes.make_mesh(Devices(strategy="pmap"), 2, devices(2, 1))


def test_rows_that_cannot_be_shared_are_refused():
    config = Config(devices=Devices(space=4))
    stage = replace(config.recipe.global_stage, steps=1, height=250)
    config = replace(config, recipe=replace(config.recipe, global_stage=stage))
    with pytest.raises(UserError, match="250 rows of recipe.global_stage .*devices.space = 4"):
        meshes.of_stage(config.devices, config.recipe.stages()["global"], "global", devices(4))


def test_a_process_reads_the_rows_of_its_devices(monkeypatch):
    def rows(process, mesh, batch=8):
        monkeypatch.setattr(jax, "process_index", lambda: process)
        return meshes.data_rows(mesh, batch)

    assert rows(0, meshes.make_mesh(Devices(), 8, devices(4))) == [*range(8)]
    assert rows(1, meshes.make_mesh(Devices(), 8, devices(4, 2))) == [4, 5, 6, 7]
    # Two processes for one picture: both read it.
    mesh = meshes.make_mesh(Devices(space=2), 2, devices(4, 1))
    assert [rows(i, mesh, 2) for i in range(4)] == [[0], [0], [1], [1]]
    # Neighbours in the network need not be of one process.
    mixed = np.array(sorted(devices(4, 2), key=lambda device: device.id % 2)).reshape(4, 1)
    assert rows(1, Mesh(mixed, meshes.AXES)) == [2, 3, 6, 7]


def test_layout_in_words():
    def words(settings, batch, count):
        return meshes.layout_text(meshes.make_mesh(settings, batch, devices(count)), batch, count)

    assert words(Devices(), 1, 1) == "1 device: 1 window"
    assert words(Devices(), 8, 4) == "4 devices: data 4, 2 windows a device"
    assert words(Devices(space=2), 8, 8) == (
        "8 devices: data 4 x space 2, 1/2 of the rows of 2 windows a device"
    )
    # Devices without work, and what would give it to them.
    assert words(Devices(), 6, 8) == (
        "6 devices: data 6, 1 window a device; 2 of the 8 at hand without work (all have some with "
        "a batch_size that is a multiple of 8 and devices.data = 0)"
    )
    assert words(Devices(data=4), 8, 8).endswith("(all have some with devices.data = 0)")


def test_pictures_lie_over_both_axes_and_all_else_over_data():
    mesh = meshes.make_mesh(Devices(space=2), 2, devices(4))
    batch = {
        "frames": np.zeros((2, 2, 8, 8, 3), np.uint8),
        "A": np.zeros((2, 8, 8, 3), np.uint8),
        "keypoints": np.zeros((2, 2, 137, 3), np.float32),
    }
    specs = {name: each.spec for name, each in meshes.over_batch(mesh, batch).items()}
    assert specs == {
        "frames": P("data", None, "space"), "A": P("data", "space"), "keypoints": P("data"),
    }  # fmt: skip


def test_large_tensors_of_the_optimizer_are_shared(config):
    mesh = meshes.make_mesh(Devices(), 4, devices(4))
    recipe = replace(config.recipe, generator=replace(config.recipe.generator, ngf=64, n_blocks=1))
    abstract = abstract_state(replace(config, recipe=recipe), "global")
    found = meshes.state_sharding(mesh, abstract, True)
    assert {leaf.spec for leaf in jax.tree.leaves((found.params, found.key, found.step))} == {P()}
    for part in ("optimizer", "averaged"):
        leaves = jax.tree.leaves(getattr(abstract, part)), jax.tree.leaves(getattr(found, part))
        specs = {leaf.shape: each.spec for leaf, each in zip(*leaves, strict=True)}
        # Of axes of the same length the first; nothing of a bias.
        assert specs[3, 3, 128, 128] == P(None, None, "data") and specs[128,] == P()
        assert specs[3, 3, 64, 128] == P(None, None, None, "data")
    everywhere = jax.tree.leaves(meshes.state_sharding(mesh, abstract, False))
    assert {leaf.spec for leaf in everywhere} == {P()}
