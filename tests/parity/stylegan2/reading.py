"""Weights, arrays and tolerances of a fixture."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from motion_jax.weights import stylegan2 as keys

Arrays = dict[str, np.ndarray]


def nhwc(array: np.ndarray) -> jax.Array:
    return jnp.asarray(array.transpose(0, 2, 3, 1))


def nchw(array: Any) -> np.ndarray:
    return np.asarray(array).transpose(0, 3, 1, 2)


def tolerance(description: Mapping, *words: str) -> float:
    """The tolerance whose name has all of the words."""
    found = [v for k, v in description["tolerance"].items() if all(w in k for w in words)]
    assert len(found) == 1, (words, description["tolerance"])
    return found[0]


def close(ours: Any, theirs: np.ndarray, allowed: float, what: str, relative: bool = True) -> None:
    """Within the tolerance, of the largest value where it is relative."""
    scale = float(np.abs(theirs).max()) if relative else 1.0
    ours = np.asarray(ours, np.float64)
    assert ours.shape == theirs.shape, (what, ours.shape, theirs.shape)
    worst = float(np.abs(ours - theirs).max()) / max(scale, 1e-30)
    assert worst <= allowed, f"{what}: differs by {worst:.3g}, allowed {allowed:g}"


def settings(description: Mapping, state: Arrays, where: str) -> dict[str, Any]:
    """Of our module: read off the weights, and what no weight tells from the json."""
    found = keys.settings_of(state, where)
    network, kinds = description, found["class"] == keys.GENERATOR
    more = dict(network.get("mapping_kwargs") or {})
    inner = dict(network.get("synthesis_kwargs") or {}) if kinds else network
    rate = network.get("lr_mlp", more.get("lr_multiplier", 0.01))
    found |= {"mapping_rate": rate, "clamp": inner.get("conv_clamp")}
    if not kinds:
        group = (network.get("epilogue_kwargs") or {}).get("mbstd_group_size", 4)
        found["stddev_group"] = network.get("stddev_group", group)
    if "architecture" in inner:
        assert found["architecture"] == inner["architecture"]
    return found


def loaded(
    description: Mapping, state: Arrays, where: str, average: np.ndarray | None = None
) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """(module, our variables, settings) of a state_dict."""
    found = settings(description, state, where)
    variables = keys.variables_of(state, found, where, average)
    return keys.module_of(found), variables, found


def noises(arrays: Mapping[str, np.ndarray], prefix: str) -> list[jax.Array]:
    """prefix0, prefix1, ... as our maps [N, r, r]."""
    count = 0
    while f"{prefix}{count}" in arrays:
        count += 1
    return [jnp.asarray(arrays[f"{prefix}{i}"][:, 0]) for i in range(count)]


def ours_of(gradient: Mapping[str, Any], found: Mapping[str, Any], key: str) -> np.ndarray:
    """A parameter's entry of a tree of ours, in the shape of the file's key."""
    state = keys.state_dict(gradient, found, found["layout"])
    return state[key]
