"""How the work is to be laid over the devices."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Devices:
    """How the work is laid over the devices. Changes nothing of what is trained but rounding, and
    may differ when a run is continued."""

    data: int = 0
    """Devices that share a batch; 0: as many as there are (by space) and divide the batch."""
    space: int = 1
    """Devices that share the height of each picture."""
    shard_optimizer: bool = False
    """Keep a share of the optimiser's state and of the averaged parameters on each device of
    "data", instead of all of it on every one."""
    strategy: Literal["jit", "pmap"] = "jit"
    """How one step runs on several devices: jit over a mesh, or pmap over the batch."""
