"""Whether training here runs on a graphics card or a TPU, as far as that is told without jax: it
takes seconds to load, and most of the card's memory."""

import importlib.util
import os
import pkgutil
from pathlib import Path

# Files of devices, and the plugin of jax that uses them, as its name begins.
_DEVICES = (
    ("nvidia[0-9]*", "xla_cuda"),
    ("dxg", "xla_cuda"),  # of Windows' Linux
    ("kfd", "xla_rocm"),
)
_TPUS = ("accel*", "vfio/[0-9]*")


def is_likely(devices: Path = Path("/dev")) -> bool:
    """Whether there is a device that jax would train on, and what it needs for that is installed.

    devices: the system's folder of them.
    """
    first = os.environ.get("JAX_PLATFORMS", "").partition(",")[0]
    if first == "cpu":
        return False
    found = _plugins()
    cards = (any(devices.glob(name)) for name, plugin in _DEVICES
             if any(each.startswith(plugin) for each in found))  # fmt: skip
    if any(cards):
        return True
    tpu = any(any(devices.glob(name)) for name in _TPUS)
    return tpu and importlib.util.find_spec("libtpu") is not None


def _plugins() -> list[str]:
    """jax's plugins that are installed, by name."""
    place = importlib.util.find_spec("jax_plugins")
    folders = place.submodule_search_locations if place is not None else None
    return [each.name for each in pkgutil.iter_modules(folders or [])]
