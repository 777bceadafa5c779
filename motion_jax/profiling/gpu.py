"""NVIDIA cards to compile for, on a machine without one.

jax's CUDA plugin (the extra `cuda`) compiles for a card that it is told of; neither a card nor a
driver is needed, and nothing is run. What it then cannot do is try algorithms of cuDNN: a card may
choose others, which changes times and the memory that they work in, but not what is asked of them.
"""

import importlib.util
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax._src import xla_bridge
from jax.experimental import topologies

from motion_jax.errors import UserError
from motion_jax.profiling.chips import CHIPS, Chip
from motion_jax.profiling.collectives import Grid

# What of a card's memory launch/gpu.env gives to jax.
MEMORY_SHARE = 0.9


@dataclass(frozen=True)
class Card:
    """An NVIDIA card as XLA's compiler is told of it.

    Attributes:
      chip: its name in chips.CHIPS.
      description: as its driver names it.
      capability: its CUDA compute capability.
      cores, lanes: streaming multiprocessors, and float32 units of each.
      clock_ghz: at most.
      shared_kb: memory of a multiprocessor that its threads share.
      cache_mb: its second-level cache.
      link_gb_s: towards the other cards of its machine, one way, 10^9 bytes/s: NVLink, of the
        RTX 4090 PCI Express 4.0 x16.
    """

    chip: str
    description: str
    capability: tuple[int, int]
    cores: int
    lanes: int
    clock_ghz: float
    shared_kb: int
    cache_mb: int
    link_gb_s: float

    @property
    def usable_bytes(self) -> int:
        return int(MEMORY_SHARE * CHIPS[self.chip].memory_bytes)


# From NVIDIA's whitepapers of the architectures and the cards' datasheets.
CARDS = {
    "a100": Card("A100", "NVIDIA A100-SXM4-80GB", (8, 0), 108, 64, 1.41, 164, 40, 300),
    "h100": Card("H100", "NVIDIA H100 80GB HBM3", (9, 0), 132, 128, 1.98, 228, 50, 450),
    "h200": Card("H200", "NVIDIA H200", (9, 0), 132, 128, 1.98, 228, 60, 450),
    "b200": Card("B200", "NVIDIA B200", (10, 0), 148, 128, 1.965, 228, 126, 900),
    "rtx4090": Card("RTX 4090", "NVIDIA GeForce RTX 4090", (8, 9), 128, 128, 2.52, 100, 72, 31.5),
}


def is_card(topology: str) -> bool:
    """Whether a topology's name is of NVIDIA cards: "h200", "h200:4"."""
    return topology.partition(":")[0] in CARDS


def card(topology: str) -> Card:
    """The card of a topology that is_card."""
    return CARDS[topology.partition(":")[0]]


def card_devices(topology: str) -> list[Any]:
    """The devices of a topology such as "h200" or "h200:4" (so many cards of one machine), to
    compile for. Raises UserError for another form, and where the plugin is absent."""
    name, _, number = topology.partition(":")
    if not re.fullmatch(r"[1-9]\d?|", number) or topology.endswith(":"):
        raise UserError(
            f"{topology!r} is no number of cards; write for instance {name} for one, {name}:4 for "
            "four of one machine."
        )
    _discover()
    found = topologies.get_topology_desc(
        platform="cuda", target_config=_described(CARDS[name]), topology=f"1x1x{number or 1}"
    )
    return list(found.devices)


def grid_of(topology: str, devices: Sequence[Any]) -> Grid:
    """How the cards are linked: each with all others, so that a ring around them carries half of
    a card's bandwidth each way round."""
    count = len(devices)
    places = tuple((place,) for place in range(count))
    return Grid(places, (count,), (count > 1,), card(topology).link_gb_s * 1e9 / 2)


def _discover() -> None:
    """Makes jax know the plugin, although there may be no card."""
    if "cuda" in xla_bridge._topology_factories:
        return
    if not any(_installed(f"jax_plugins.xla_cuda{version}") for version in (13, 12)):
        raise UserError(
            "Compiling for a GPU needs jax's CUDA plugin; pip install 'motion-jax[cuda]'."
        )
    if not xla_bridge.backends_are_initialized():
        # Otherwise jax would look for a card, and end where it finds none.
        jax.config.update("jax_platforms", "cpu")
    # The plugin would ask a driver that need not be there for its version.
    os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")
    logger = logging.getLogger(xla_bridge.__name__)
    before, logger.disabled = logger.disabled, True
    try:
        xla_bridge._discover_and_register_pjrt_plugins()
        if "cuda" not in xla_bridge._topology_factories:
            # Jax looked before, and the plugin gave up.
            xla_bridge.discover_pjrt_plugins()
    finally:
        logger.disabled = before


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package around it
        return False


def _described(card: Card) -> str:
    """XLA's GpuTargetConfig as text."""
    chip: Chip = CHIPS[card.chip]
    major, minor = card.capability
    threads = 1536 if card.capability == (8, 9) else 2048
    info = {
        "threads_per_block_limit": 1024,
        "threads_per_warp": 32,
        "shared_memory_per_block": 48 << 10,
        # A kilobyte of each block is the system's.
        "shared_memory_per_block_optin": (card.shared_kb - 1) << 10,
        "shared_memory_per_core": card.shared_kb << 10,
        "threads_per_core_limit": threads,
        "core_count": card.cores,
        "fpus_per_core": card.lanes,
        "block_dim_limit_x": 2**31 - 1,
        "block_dim_limit_y": 65535,
        "block_dim_limit_z": 65535,
        "memory_bandwidth": int(chip.bandwidth_bytes_s),
        "l2_cache_size": card.cache_mb << 20,
        "clock_rate_ghz": card.clock_ghz,
        "device_memory_size": int(chip.memory_bytes),
        "registers_per_core_limit": 65536,
        "registers_per_block_limit": 65536,
        "cuda_compute_capability": f"{{ major: {major} minor: {minor} }}",
    }
    fields = " ".join(f"{name}: {value}" for name, value in info.items())
    fields = fields.replace("cuda_compute_capability: {", "cuda_compute_capability {")
    return (
        f'gpu_device_info {{ {fields} }} platform_name: "CUDA" '
        "dnn_version_info { major: 9 minor: 10 patch: 0 } "
        f'device_description_str: "{card.description}"'
    )
