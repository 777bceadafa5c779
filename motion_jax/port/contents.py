"""What weights a path holds: one file, a checkpoints folder of the original code, or a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from motion_jax.errors import UserError
from motion_jax.files import entries
from motion_jax.port import first_order_checkpoint, stylegan2
from motion_jax.port import original_options as option_files
from motion_jax.port.reference import network_from_description
from motion_jax.port.run_networks import networks_of
from motion_jax.port.run_state import newest_weights
from motion_jax.train.checkpoint import has_checkpoint, parameter_hash
from motion_jax.train.run import check_whole, read_config
from motion_jax.weights import names
from motion_jax.weights.architecture import STATISTICS
from motion_jax.weights.read import read_weights, recognise
from motion_jax.weights.stylegan2 import state_dict
from motion_jax.weights.torch import read_tree

SUFFIXES = (".pth", ".pt", ".safetensors")
# Of files that are systems of their own: the First Order Motion Model's and StyleGAN2's.
WHOLE = (".pth.tar", stylegan2.SNAPSHOT)


@dataclass(frozen=True)
class Weights:
    """One network's weights.

    Attributes:
      config: its architecture; None where it is not known.
      why: why it is not known, one sentence.
      arrays: by the reference's plain keys; by the file's own where the network is not known, by
        our paths where it is one that the reference does not have.
      params: our parameter tree of a run's network; None for files.
    """

    config: Mapping[str, Any] | None
    why: str
    arrays: Mapping[str, np.ndarray] = field(repr=False)
    params: Mapping[str, Any] | None = field(default=None, repr=False)

    def sha256(self) -> str:
        """Of the parameters by our names: the same for a file and for the run that it came from.
        Of an unknown network, of its arrays by their keys."""
        if self.params is not None:
            tree = {"params": self.params["params"]}
        elif self.config is not None:
            _, entries = network_from_description(self.config)
            tree = {"params": names.from_torch(self.arrays, entries(), "the file")["params"]}
        else:
            tree = dict(self.arrays)
        return parameter_hash(tree)


@dataclass(frozen=True)
class Contents:
    """Attributes:
    path: what was looked into.
    kind: "file", "checkpoints" (of the original code) or "run".
    networks: by name: a run's as in its state, an averaged one with " (averaged)" behind it; of
      files what stands between `_net_` and the suffix, or the file's name.
    facts: of a run, "recipe", "stage", "step" (over all stages) and "step in stage"; of a folder
      "epoch" and "other epochs".
    """

    path: Path
    kind: str
    networks: Mapping[str, Weights]
    facts: Mapping[str, Any] = field(default_factory=dict)


def look_into(path: Path) -> Contents:
    """Reads all weights of a path. Raises UserError where there are none."""
    path = Path(path)
    check_whole(path)
    if (path / "config.json").is_file():
        return _run(path)
    if path.is_dir():
        return _folder(path)
    if path.suffix.lower() == stylegan2.SNAPSHOT and not path.is_file():
        raise UserError(f"There is no {path}; check the path.")
    if not path.exists():
        raise UserError(
            f"There is no {path}; give a weight file (.pth, .pt, .safetensors, .pth.tar, .pkl), a "
            "folder of them, or a run folder."
        )
    return _single(path)


def _single(path: Path) -> Contents:
    """Of one file."""
    if path.name.lower().endswith(".tar"):
        return _checkpoint(path)
    published = stylegan2.read(path)
    if published is not None:
        return _style(published)
    return Contents(path, "file", {path.name: _file(path)})


def _style(published: stylegan2.Published) -> Contents:
    """Of a file of StyleGAN2."""
    networks = {
        name: Weights(settings, "", dict(published.networks[name].arrays), variables)
        for name, (settings, variables) in stylegan2.networks_of_file(published).items()
    }
    return Contents(published.path, "file", networks, published.facts)


def _checkpoint(path: Path) -> Contents:
    """Of the First Order Motion Model: several networks in one file."""
    content = read_tree(path)
    first_order_checkpoint.named(content, path)
    networks = {}
    for part in first_order_checkpoint.PARTS:
        if content.get(part):
            arrays = {str(k): v for k, v in content[part].items() if isinstance(v, np.ndarray)}
            networks[part] = Weights(None, first_order_checkpoint.sentence(part, arrays), arrays)
    facts = {"epoch": content["epoch"]} if "epoch" in content else {}
    return Contents(path, "file", networks, facts)


def _file(path: Path) -> Weights:
    weights, network = read_weights(path), option_files.network_of(path)
    try:
        option_files.check_built(network)
        description, plain = recognise(weights)
    except UserError as error:
        return Weights(None, str(error), weights)
    options = option_files.read_options(path.parent)
    return Weights(option_files.apply(description, options, network, path), "", plain)


def _folder(folder: Path) -> Contents:
    kinds = (*SUFFIXES, *WHOLE)
    files = [p for p in entries(folder) if p.name.lower().endswith(kinds) and p.is_file()]
    if not files:
        raise UserError(
            f"{folder} holds neither a run (config.json) nor weight files ({', '.join(kinds)}); "
            "give the folder of an experiment, for example checkpoints/NAME."
        )
    epochs: dict[str, dict[str, Path]] = {}
    for path in files:
        if network := option_files.network_of(path):
            epochs.setdefault(path.name.split("_net_")[0], {})[network] = path
    if not epochs:
        return Contents(folder, "checkpoints", _of_files(files))
    order = sorted(epochs, key=lambda epoch: (epoch == "latest", epoch.zfill(12)))
    newest = order.pop()
    networks = {name: _file(path) for name, path in epochs[newest].items()}
    return Contents(folder, "checkpoints", networks, {"epoch": newest, "other epochs": order})


def _of_files(files: Sequence[Path]) -> dict[str, Weights]:
    """Each as it is read alone: by the file's name, of a file of several networks with theirs."""
    found: dict[str, Weights] = {}
    for path in files:
        try:
            networks = _single(path).networks
        except UserError as error:
            found[path.name] = Weights(None, str(error), {})
            continue
        for name, weights in networks.items():
            found[path.name if name == path.name else f"{path.name}: {name}"] = weights
    return found


def _run(folder: Path) -> Contents:
    if not has_checkpoint(folder / "checkpoints"):
        raise UserError(
            f"The run {folder} has no checkpoint yet; train it first, with motion-jax train."
        )
    config: Any = read_config(folder)  # a run with a checkpoint has one
    config, record, state = newest_weights(folder, config)
    if config.recipe.name == "stylegan2":
        networks = {
            name: Weights(settings, "", _by_keys(settings, tree), jax.tree.map(np.asarray, tree))
            for name, (settings, tree) in stylegan2.of_run(config, state).items()
        }
        return Contents(folder, "run", networks, _facts(config, record))
    params, averaged = jax.tree.map(np.asarray, (state.params, state.averaged))
    stored = {**params, **{f"{name} (averaged)": tree for name, tree in averaged.items()}}
    networks = {
        name: _of_run(config, record["stage"], name.split(" ")[0], tree)
        for name, tree in sorted(stored.items())
    }
    return Contents(folder, "run", networks, _facts(config, record))


def _facts(config: Any, record: Any) -> dict[str, Any]:
    return {
        "recipe": config.recipe.name,
        "stage": record["stage"],
        "step": record["total_step"],
        "step in stage": record["step"],
    }


def _by_keys(settings: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """StyleGAN2's arrays by the keys of the first layout that has them all."""
    skip = settings["architecture"] == ("skip" if "latent" in settings else "resnet")
    return state_dict(variables, settings, "rosinality" if skip else "nvlabs")


def _of_run(config: Any, stage: str, name: str, params: Mapping[str, Any]) -> Weights:
    # Of a run its config and stage are all that is looked at.
    run: Any = SimpleNamespace(config=config, stage=stage)
    try:
        (network,) = networks_of(run, {name: params}).values()
        arrays = network.state_dict()
        if "batch_stats" not in params:
            # The statistics among them are those with which PyTorch begins, not the run's.
            arrays = {key: a for key, a in arrays.items() if not key.endswith(STATISTICS)}
        return Weights(network.config, "", arrays, params)
    except UserError as error:
        arrays = traverse_util.flatten_dict(params["params"], sep="/")
        return Weights(None, str(error), arrays, params)
