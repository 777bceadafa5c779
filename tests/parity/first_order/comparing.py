"""Weights and arrays of a fixture, and that all of it is compared."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from motion_jax.weights import first_order as table
from motion_jax.weights.names import to_torch
from motion_jax.weights.torch import read_pth

Arrays = dict[str, np.ndarray]


class Compared:
    """What is compared with a fixture's outputs, and that nothing is left out."""

    def __init__(self, description: dict, arrays: Arrays, instead: float = 1e-4):
        self.tolerance, self.arrays = description.get("tolerance", {}), arrays
        self.left, self.instead = set(description["outputs"]), instead

    def __call__(self, name: str, ours: Any) -> None:
        expected, ours = self.arrays[name], np.asarray(ours)
        self.left.discard(name)
        assert ours.shape == expected.shape, f"{name}: {ours.shape}, not {expected.shape}"
        assert np.isfinite(ours).all(), name
        ours, expected = ours.astype(np.float64), expected.astype(np.float64)
        away = ours - expected
        differences = {
            "absolute": np.abs(away).max(initial=0),
            "mean_absolute": np.abs(away).mean(),
            "relative_l2": np.linalg.norm(away) / max(np.linalg.norm(expected), 1e-12),
        }
        limits = {kind: self.tolerance.get(kind, {}).get(name) for kind in differences}
        limits = {kind: limit for kind, limit in limits.items() if limit is not None}
        for kind, limit in (limits or {"absolute": self.instead}).items():
            found = differences[kind]
            assert found <= limit, f"{name}: {kind} difference {found:.3g}, allowed is {limit:.3g}"

    def agree(self, values: dict) -> bool:
        """Whether all of these that the fixture has are close enough."""
        left = set(self.left)
        try:
            compare_known(self, values)
        except AssertionError:
            return False
        finally:
            self.left = left
        return True

    def done(self) -> None:
        assert not self.left, f"not compared: {sorted(self.left)}"


def nhwc(array: np.ndarray) -> jax.Array:
    """A picture as networks take it: uint8 over 255."""
    array = array.astype(np.float32) / np.float32(255) if array.dtype == np.uint8 else array
    return jnp.asarray(np.moveaxis(array, -3, -1))


def nchw(array: Any) -> np.ndarray:
    return np.moveaxis(np.asarray(array), -1, -3)


def read(path: Path, description: dict, network: str, module: Any) -> dict:
    """The variables of a network of a fixture."""
    file = path.with_name(f"{description.get('weights_of', path.stem)}.{network}.pth")
    return table.variables(read_pth(file), module, file.name)


def by_their_keys(module: Any, variables: dict, prefix: str = "") -> dict[str, np.ndarray]:
    return {f"{prefix}{k}": v for k, v in to_torch(variables, table.entries(module)).items()}


def compare_known(compared: Compared, found: dict) -> None:
    """Of these, what the fixture has."""
    for name in sorted(compared.left & set(found)):
        compared(name, found[name])
