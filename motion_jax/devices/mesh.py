"""Devices: which of them train, and how a batch and a state are laid over them.

A mesh has two axes. "data" shares the examples of a batch, "space" the rows of each picture. Axes
are of type Auto: the compiler chooses how everything lies that nothing here prescribes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Shaped

from motion_jax.devices.options import Devices
from motion_jax.errors import UserError, setting

AXES = ("data", "space")
# A tensor of so many elements is worth sharing: the messages about a smaller one cost more than the
# memory that its pieces save.
WORTH_SHARING = 2**16

# A state of training, of any recipe.
S = TypeVar("S", bound=Any)


def make_mesh(settings: Devices, batch_size: int, devices: Sequence[Any] | None = None) -> Mesh:
    """The mesh ("data", "space") that the settings ask for.

    Args:
      settings: data = 0 takes as many devices as divide the batch evenly, the same number of each
        process; others may have no work then (see `layout_text`), as with any data that is asked
        for and is less than all. space devices share each example.
      batch_size: windows in a batch, of all devices together.
      devices: default: all of all processes.
    Raises:
      UserError: a mesh that does not divide the devices, a batch that does not divide the mesh.
    """
    devices = list(jax.devices() if devices is None else devices)
    count, space = len(devices), settings.space
    processes = len({device.process_index for device in devices})
    if space < 1 or settings.data < 0:
        raise UserError(
            f"{setting('devices.data')} = {settings.data} and devices.space = {space} are no mesh: "
            "use 1 or more of each (or data = 0: as many as fit)."
        )
    if settings.strategy == "pmap":
        _check_pmap(settings, processes)
    if count % space:
        raise UserError(
            f"{setting('devices.space')} = {space} does not divide the {count} device"
            f"{'s' if count > 1 else ''} at hand; "
            f"use {_either(n for n in range(1, count + 1) if count % n == 0)}."
        )
    if settings.data:
        data = settings.data
        if data > count // space or (count // space) % data:
            raise UserError(
                f"A mesh of data {data} x space {space} needs {data * space} devices, which does "
                f"not divide the {count} at hand; set {setting('devices.data')} to "
                f"{_either(n for n in range(1, count // space + 1) if count // space % n == 0)}, "
                "or to 0, which takes as many as divide the batch and may leave others without "
                "work."
            )
        if batch_size % data:
            raise UserError(
                f"A batch of {batch_size} cannot be shared evenly among {setting('devices.data')} "
                f"= {data} devices; use a multiple of {data} as batch_size, or devices.data = 0."
            )
    else:
        fitting = (
            n
            for n in range(count // space, 0, -1)
            if batch_size % n == 0 and n * space % processes == 0
        )
        data = next(fitting, 0)
    if not data or data * space % processes:
        raise UserError(
            f"A batch of {batch_size} leaves some of the {processes} processes without work (data "
            f"{data or 1} x space {space}); use a multiple of {processes} as batch_size and leave "
            f"{setting('devices.data')} at 0."
        )
    chosen = _of_every_process(devices, data * space // processes)
    return Mesh(_arranged((data, space), chosen), AXES, axis_types=(AxisType.Auto,) * 2)


def of_stage(
    settings: Devices, stage: Any, name: str, devices: Sequence[Any] | None = None
) -> Mesh:
    """The mesh that a stage trains on.

    stage: its settings, with batch_size and height; name: of the stage.

    Raises UserError as make_mesh, and where the rows of the stage's pictures cannot be shared.
    """
    mesh = make_mesh(settings, stage.batch_size, devices)
    if stage.height % mesh.shape["space"]:
        raise UserError(
            f"The {stage.height} rows of {setting(f'recipe.{name}_stage')} cannot be shared evenly "
            f"among devices.space = {mesh.shape['space']} devices; use a height that is a multiple "
            "of it."
        )
    return mesh


def layout_text(mesh: Mesh, batch_size: int, at_hand: int | None = None) -> str:
    """ "8 devices: data 4 x space 2, 1/2 of the rows of 2 windows a device", and how many others
    have no work.

    at_hand: devices that there are; default: all of all processes.
    """
    data, space = mesh.shape["data"], mesh.shape["space"]
    each = batch_size // data
    windows = f"{each} window{'s' if each > 1 else ''}"
    at_hand = jax.device_count() if at_hand is None else at_hand
    idle = _idle(mesh, batch_size, at_hand) if at_hand > mesh.size else ""
    if mesh.size == 1:
        return f"1 device: {windows}{idle}"
    layout = f"data {data}" + (f" x space {space}" if space > 1 else "")
    share = "" if space == 1 else f" 1/{space} of the rows of"
    return f"{mesh.size} devices: {layout},{share} {windows} a device{idle}"


def _idle(mesh: Mesh, batch_size: int, at_hand: int) -> str:
    """How many devices have no work, and what would give them some (always with devices.data = 0:
    the mesh does not say whether it was asked for)."""
    rows = at_hand // mesh.shape["space"]
    wanted = [f"a batch_size that is a multiple of {rows}"] if batch_size % rows else []
    return (
        f"; {at_hand - mesh.size} of the {at_hand} at hand without work (all have some with "
        f"{' and '.join([*wanted, 'devices.data = 0'])})"
    )


def replicated(mesh: Mesh) -> NamedSharding:
    """Everything on every device."""
    return NamedSharding(mesh, P())


def over_data(mesh: Mesh) -> NamedSharding:
    """The leading axis shared among the devices of "data"."""
    return NamedSharding(mesh, P("data"))


def over_batch(mesh: Mesh, batch: Mapping[str, Any]) -> dict[str, NamedSharding]:
    """How a batch lies: its first axis over "data", the rows of pictures (uint8 [..., H, W, C])
    over "space". batch: arrays or their shapes, by name."""

    def of(array: Any) -> NamedSharding:
        picture = array.dtype == np.uint8 and array.ndim > 3
        if not picture or mesh.shape["space"] == 1:
            return over_data(mesh)
        return NamedSharding(mesh, P("data", *(None,) * (array.ndim - 4), "space"))

    return {name: of(array) for name, array in batch.items()}


def data_rows(mesh: Mesh, batch_size: int) -> list[int]:
    """The rows of the global batch that this process loads: those that its devices hold, in
    order. Processes whose devices share the same examples load the same ones."""
    each = batch_size // mesh.shape["data"]
    return [row * each + i for row in _local_data(mesh) for i in range(each)]


def place(
    batch: Mapping[str, Shaped[np.ndarray, "rows ..."]], mesh: Mesh
) -> dict[str, Shaped[jax.Array, "batch ..."]]:
    """A process's share of a batch (see data_rows; every picture with all its rows) onto the
    devices, as part of the global batch."""
    shardings = over_batch(mesh, batch)
    if replicated(mesh).is_fully_addressable:
        # In one call, which takes half the time of one for each array.
        return jax.device_put(dict(batch), shardings)
    local = len(_local_data(mesh))

    def placed(array: np.ndarray, sharding: NamedSharding) -> jax.Array:
        shape = (array.shape[0] // local * mesh.shape["data"], *array.shape[1:])
        return jax.make_array_from_process_local_data(sharding, array, shape)

    return {name: placed(array, shardings[name]) for name, array in batch.items()}


def state_sharding(mesh: Mesh, abstract_state: S, shard_optimizer: bool) -> S:
    """How a state of training lies (with the fields optimizer and averaged, see recipes/state.py),
    as a pytree of its structure.

    Everything on every device; with shard_optimizer, of the optimiser's state and the averaged
    parameters each device of "data" has a share: tensors of WORTH_SHARING elements or more are cut
    along the largest of their axes that divides evenly.
    """
    everywhere = jax.tree.map(lambda _: replicated(mesh), abstract_state)
    if not shard_optimizer:
        return everywhere

    def shared(leaf: Any) -> NamedSharding:
        data = mesh.shape["data"]
        axes = [axis for axis, size in enumerate(leaf.shape) if size % data == 0]
        if math.prod(leaf.shape) < WORTH_SHARING or not axes:
            return replicated(mesh)
        axis = max(axes, key=lambda axis: leaf.shape[axis])
        return NamedSharding(mesh, P(*(None,) * axis, "data"))

    return everywhere.replace(
        optimizer=jax.tree.map(shared, abstract_state.optimizer),
        averaged=jax.tree.map(shared, abstract_state.averaged),
    )


def _check_pmap(settings: Devices, processes: int) -> None:
    wanted = {
        f"devices.space = {settings.space}": settings.space > 1,
        "devices.shard_optimizer": settings.shard_optimizer,
        f"{processes} processes": processes > 1,
    }
    for what, asked in wanted.items():
        if asked:
            raise UserError(
                f"{setting('devices.strategy')} = pmap shares only the batch, among the devices of "
                f"one process, and cannot be combined with {what}; use devices.strategy = jit."
            )


def _local_data(mesh: Mesh) -> list[int]:
    """The coordinates along "data" of this process's devices."""
    here = jax.process_index()
    return [
        number
        for number, row in enumerate(mesh.devices)
        if any(device.process_index == here for device in row)
    ]


def _of_every_process(devices: list[Any], each: int) -> list[Any]:
    """The first `each` devices of every process, in the order given."""
    seen: dict[int, int] = {}
    chosen = []
    for device in devices:
        seen[device.process_index] = seen.get(device.process_index, 0) + 1
        if seen[device.process_index] <= each:
            chosen.append(device)
    return chosen


def _arranged(shape: tuple[int, int], devices: list[Any]) -> np.ndarray:
    """The devices in an order in which neighbours of the mesh are neighbours of the network, as
    far as jax knows it: "space", which talks in every layer, stays within a slice (of a TPU, or
    the GPUs of one machine), and "data", which talks once a step, goes across."""
    slices = len({getattr(device, "slice_index", 0) for device in devices})
    if slices > 1:
        if shape[0] % slices:
            return np.array(devices).reshape(shape)
        within = (shape[0] // slices, shape[1])
        return mesh_utils.create_hybrid_device_mesh(within, (slices, 1), devices)
    # jax.make_mesh's own choice, which v5e needs for meshes that its torus does not have.
    split = devices[0].device_kind in ("TPU v5 lite", "TPU v5e")
    try:
        return mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=split)
    except (AssertionError, NotImplementedError, ValueError):
        # The chosen chips are no box, or the mesh does not fit onto it: any order is right, only
        # neighbours of the mesh are not all neighbours of the network then.
        return np.array(devices).reshape(shape)


def _either(numbers: Any) -> str:
    return " or ".join(map(str, numbers))
