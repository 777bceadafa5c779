"""Weights to and from PyTorch files, without PyTorch.

`load_network(path)` gives a Network: call it with pictures; `save_torch` and `save_safetensors`
write one as the original code loads it.
"""

from importlib import import_module
from typing import Any

__all__ = ["Network", "load_network", "save_safetensors", "save_torch"]


def __getattr__(name: str) -> Any:
    # Late, so that reading names of keys does not start jax.
    if name in __all__:
        return getattr(import_module("motion_jax.port.network"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
