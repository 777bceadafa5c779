"""Devices: which of them train, and how a batch is laid over them."""

from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P


def data_mesh(batch_size: int) -> Mesh:
    """A one-dimensional mesh ("data") over as many of the devices as divide the batch evenly."""
    devices = jax.devices()
    count = max(n for n in range(1, len(devices) + 1) if batch_size % n == 0)
    return jax.make_mesh((count,), ("data",), (AxisType.Auto,), devices=devices[:count])


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, P())


def over_data(mesh: Mesh) -> NamedSharding:
    """The leading axis shared among the devices."""
    return NamedSharding(mesh, P("data"))


def place(batch: Any, mesh: Mesh) -> Any:
    """A process's share of a batch (numpy arrays) onto the devices."""
    sharding = over_data(mesh)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), batch)
