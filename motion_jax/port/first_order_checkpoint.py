"""Checkpoints of the original First Order Motion Model: three networks, three optimisers and an
epoch in one file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from motion_jax.errors import UserError
from motion_jax.recipes.first_order import FirstOrder
from motion_jax.recipes.state import Params
from motion_jax.weights import first_order as table
from motion_jax.weights.names import to_torch
from motion_jax.weights.systems import other
from motion_jax.weights.unpickle import quoted

# Our network's name by that in the file.
PARTS = {"generator": "generator", "kp_detector": "detector", "discriminator": "discriminator"}


def parts_of(content: Mapping[str, Any], recipe: FirstOrder, where: str) -> Params:
    """The variables of the recipe's networks. Raises UserError where the file does not hold them.

    content: as weights.torch.read_tree gives it.
    """
    networks, found = recipe.networks("main"), {}
    for theirs, ours in PARTS.items():
        if ours not in networks:
            continue
        weights = content.get(theirs)
        if not isinstance(weights, dict):
            raise UserError(f"{where} holds no {theirs}; give a checkpoint with all networks.")
        found[ours] = table.variables(
            _arrays(weights), networks[ours].module, f"{where} ({theirs})"
        )
    return found


def _arrays(weights: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Those of a state_dict, without what DataParallel puts before keys."""
    return {
        str(key).removeprefix("module."): value
        for key, value in weights.items()
        if isinstance(value, np.ndarray)
    }


def moments_of(
    content: Mapping[str, Any], recipe: FirstOrder, params: Params, where: str
) -> Params:
    """The state of Adam for each of the recipe's networks.

    A network whose optimiser has made no step in the file begins with none. Raises UserError where
    moments are not of the network's shapes (a discriminator that was trained with spectral norm,
    say, whose parameters have another order).
    """
    found = {}
    for theirs, ours in PARTS.items():
        network = recipe.networks("main").get(ours)
        if network is None:
            continue
        begun = network.begun(params[ours])
        saved = content.get(f"optimizer_{theirs}")
        if not isinstance(saved, dict) or not saved.get("state"):
            found[ours] = begun
            continue
        keys = [key for key in content[theirs] if _is_parameter(key)]
        state = saved["state"]
        if sorted(state) != list(range(len(keys))):
            raise UserError(
                f"{where}: the optimiser of {theirs} knows {len(state)} tensors, the network has "
                f"{len(keys)}; leave the optimisers out."
            )
        trees = []
        for part in ("exp_avg", "exp_avg_sq"):
            arrays = {key: state[i][part] for i, key in enumerate(keys)}
            for key, array in arrays.items():
                if array.shape != content[theirs][key].shape:
                    raise UserError(
                        f"{where}: the optimiser of {theirs} has moments {list(array.shape)} for "
                        f"{quoted(key)}, which is {list(content[theirs][key].shape)}; leave the "
                        "optimisers out."
                    )
            rest = {k: v for k, v in _arrays(content[theirs]).items() if not _is_parameter(k)}
            tree = table.variables({**rest, **_arrays(arrays)}, network.module, where)
            trees.append(tree["params"])
        count = jnp.asarray(int(np.asarray(state[0]["step"])), jnp.int32)
        found[ours] = optax.ScaleByAdamState(count, *trees)
    return found


_BUFFERS = ("running_mean", "running_var", "num_batches_tracked", "weight_u", "weight_v")


def _is_parameter(key: str) -> bool:
    """Whether an optimiser knows it; their order is that of the state_dict."""
    return not key.endswith(_BUFFERS) and not key.endswith(table.SHRINKING)


def named(content: object, where: Path) -> None:
    """Raises UserError where a file is no checkpoint of the First Order Motion Model; says of which
    system it is where that is known."""
    if not isinstance(content, dict):
        raise UserError(f"{where} is no checkpoint: it holds no dictionary of networks.")
    if system := other(content):
        raise UserError(
            f"{where} is a checkpoint of {system}, which has other networks; motion_jax takes "
            "those of the First Order Motion Model."
        )
    missing = [
        part
        for part, key in (("generator", "first.conv.weight"), ("kp_detector", "kp.weight"))
        if not isinstance(content.get(part), dict)
        or not {key, f"module.{key}"} & set(content[part])
    ]
    if missing:
        held = ", ".join(quoted(key) for key in list(content)[:8]) or "nothing"
        raise UserError(
            f"{where} is no checkpoint of the First Order Motion Model: it lacks "
            f"{' and '.join(missing)} (it holds {held})."
        )


def sentence(part: str, weights: Mapping[str, np.ndarray]) -> str:
    """What a network of a checkpoint is."""
    weights = _arrays(weights)
    if part == "kp_detector":
        found = table.detector_settings(weights)
        maps = "one map of jacobians" if found["single_map"] else "jacobians"
        return (
            f"First Order Motion Model, keypoint detector: {found['count']} keypoints, "
            f"{maps if found['jacobian'] else 'no jacobians'}, {found['halvings']} halvings of the "
            f"picture at {found['scale']:g} of its size."
        )
    if part == "generator":
        found, motion = table.generator_settings(weights)
        moved = "no dense motion"
        if motion is not None:
            hidden = "with" if motion["occlusion"] else "without"
            moved = f"dense motion of {motion['count']} keypoints {hidden} occlusion"
        return (
            f"First Order Motion Model, generator: {found['expansion']} channels, "
            f"{found['halvings']} halvings, {found['residuals']} residual blocks, {moved}."
        )
    found = table.discriminator_settings(weights)
    kind = "spectral norm" if found["spectral"] else "no spectral norm"
    shown = ", shown the keypoints" if found["points"] else ""
    return (
        f"First Order Motion Model, discriminator: {found['blocks']} blocks, {kind}, scales "
        f"{', '.join(f'{scale:g}' for scale in found['scales'])}{shown}."
    )


# --- ours as the original's -----------------------------------------------------------------------


def checkpoint_of(recipe: FirstOrder, params: Params) -> dict[str, Any]:
    """What the original's program loads: its networks, optimisers that have made no step, and an
    epoch."""
    networks = recipe.networks("main")
    found: dict[str, Any] = {}
    for theirs, ours in PARTS.items():
        if ours not in params:
            continue
        module = networks[ours].module
        tree = jax.tree.map(np.asarray, params[ours])
        weights = to_torch(tree, table.entries(module))
        found[theirs] = {**weights, **table.shrinking_kernels(module, 3)}
    rates = {"generator": recipe.rates.generator, "kp_detector": recipe.rates.detector}
    rates["discriminator"] = recipe.rates.discriminator
    for theirs in list(found):
        count = sum(map(_is_parameter, found[theirs]))
        group = {
            "lr": recipe.main_stage.learning_rate * rates[theirs],
            "betas": (0.5, 0.999),
            "eps": 1e-8,
            "weight_decay": 0,
            "amsgrad": False,
            "params": list(range(count)),
        }
        found[f"optimizer_{theirs}"] = {"state": {}, "param_groups": [group]}
    return {**found, "epoch": 0}
