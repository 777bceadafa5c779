"""StyleGAN2's published checkpoints as runs of ours, and runs as such checkpoints.

Read are rosinality's `.pt` (of training, with optimisers; converted, with the mean of w; one
state_dict), NVIDIA's state_dicts, alone or by the names of its snapshots, and NVIDIA's `.pkl`, of
which nothing is executed. Written are both layouts.
"""

import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from motion_jax.config import Config
from motion_jax.errors import UserError, option
from motion_jax.port.options import ExportOptions
from motion_jax.weights import stylegan2 as keys
from motion_jax.weights.nvidia_pickle import read_nvidia_pickle
from motion_jax.weights.safetensors import read_safetensors, write_safetensors
from motion_jax.weights.torch import read_tree, write_nested

# Of the networks in a file: ours by theirs, in the order in which they are taken.
_NAMES = {
    "g_ema": "generator (averaged)",
    "G_ema": "generator (averaged)",
    "g": "generator",
    "G": "generator",
    "d": "discriminator",
    "D": "discriminator",
}
# What is in every file of StyleGAN2 or 3, and in no other that is read here.
_HINTS = (b"to_rgb1.", b"synthesis.", b"final_linear.0", b"b4.out.")
SNAPSHOT = ".pkl"


@dataclass(frozen=True)
class Style:
    """One network: settings as weights.stylegan2.settings_of gives them, arrays by the file's keys,
    and of a generator the mean of w where the file keeps it apart."""

    settings: dict[str, Any]
    arrays: Mapping[str, np.ndarray]
    average: np.ndarray | None = None

    def variables(self, where: str) -> dict[str, Any]:
        """Ours. Raises UserError for keys that do not fit."""
        return keys.variables_of(self.arrays, self.settings, where, self.average)


@dataclass(frozen=True)
class Published:
    """What a file holds.

    Attributes:
      path: of the file.
      networks: by our names, an averaged one as "generator (averaged)".
      moments: of Adam, by our names: a tree as the parameters' with (mean, square) at the leaves.
      steps: of these optimisers, by our names.
      facts: what else it tells.
    """

    path: Path
    networks: Mapping[str, Style]
    moments: Mapping[str, Any] = field(default_factory=dict)
    steps: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def generator(self) -> Style:
        """The averaged one, or where there is none the other. Raises UserError for neither."""
        for name in ("generator (averaged)", "generator"):
            if name in self.networks:
                return self.networks[name]
        raise UserError(
            f"{self.path} holds no generator, but {', '.join(self.networks)}; give a file with one."
        )


def read(path: Path) -> Published | None:
    """What a file holds; None for one that is not of StyleGAN2. Raises UserError for a file of
    StyleGAN2 that cannot be used, and for any .pkl that is no snapshot of it."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == SNAPSHOT:
        return _snapshot(path)
    if suffix not in (".pt", ".pth", ".safetensors") or not path.is_file() or not _hinted(path):
        return None
    if suffix == ".safetensors":
        tree: Any = read_safetensors(path)
    else:
        tree = read_tree(path)
    if not isinstance(tree, dict):
        return None
    inner = {name: tree[name] for name in _NAMES if isinstance(tree.get(name), dict)}
    try:
        if not inner:
            state = {str(k): v for k, v in tree.items() if isinstance(v, np.ndarray)}
            found = keys.layout_of(state)
            if found is None:
                return None
            name = keys.ROLES[found[0]]
            return Published(path, {name: Style(keys.settings_of(state, str(path)), state)})
        return _training(path, tree, inner)
    except UserError as error:
        text = str(error)
        raise error if str(path) in text else UserError(f"{path}: {text}") from error


def _hinted(path: Path) -> bool:
    """Whether one of the keys is anywhere in the file, before all of it is read."""
    if path.stat().st_size == 0:
        return False
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(data.find(hint) >= 0 for hint in _HINTS)


def _training(path: Path, tree: dict, inner: dict[str, dict]) -> Published | None:
    networks, moments, steps = {}, {}, {}
    for name, state in inner.items():
        arrays = {str(k): v for k, v in state.items() if isinstance(v, np.ndarray)}
        if keys.layout_of(arrays) is None:
            continue
        average = tree.get("latent_avg") if name in ("g", "g_ema") else None
        settings = keys.settings_of(arrays, f"{path}: {name}")
        networks[_NAMES[name]] = Style(settings, arrays, average)
        optimiser = tree.get(f"{name}_optim")
        if isinstance(optimiser, dict) and settings["layout"] == "rosinality":
            ours = _NAMES[name]
            moments[ours], steps[ours] = _moments(path, optimiser, networks[ours])
    if not networks:
        return None
    arguments = tree.get("args")
    facts: dict[str, Any] = {}
    if isinstance(arguments, dict):
        facts["arguments"] = {k: v for k, v in arguments.items() if _plain(v)}
    if isinstance(tree.get("ada_aug_p"), float | int):
        facts["augment_p"] = float(tree["ada_aug_p"])
    return Published(path, networks, moments, steps, facts)


def _plain(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _moments(path: Path, optimiser: Mapping, network: Style) -> tuple[Any, int]:
    """Adam's means and squares as our parameters are, and its steps: PyTorch numbers them in the
    order of the parameters, which is that of the state_dict without the buffers."""
    buffers = {e.rosinality for e in keys.entries(network.settings) if e.path[0] == "buffers"}
    known = {e.rosinality for e in keys.entries(network.settings)} - buffers
    order = [key for key in network.arrays if key in known]
    state = optimiser.get("state", {})
    found: dict[str, dict[str, np.ndarray]] = {"exp_avg": {}, "exp_avg_sq": {}}
    steps = 0
    for i, key in enumerate(order):
        each = state.get(i)
        if not isinstance(each, dict) or not all(
            isinstance(each.get(part), np.ndarray) and each[part].shape == network.arrays[key].shape
            for part in found
        ):
            raise UserError(
                f"{path}: the optimiser has no averages of {key}; import a file without one."
            )
        for part, arrays in found.items():
            arrays[key] = each[part]
        steps = int(np.asarray(each.get("step", 0)).reshape(-1)[0])
    trees = [
        keys.variables_of(arrays, network.settings, str(path))["params"]
        for arrays in found.values()
    ]
    return tuple(trees), steps


def _snapshot(path: Path) -> Published:
    networks = {}
    for name, pickled in read_nvidia_pickle(path).items():
        if keys.layout_of(pickled.arrays) is None:
            raise UserError(
                f"{path}: the {pickled.name} under {name} is no network of StyleGAN2; snapshots of "
                "StyleGAN2-ADA are read."
            )
        settings = keys.settings_of(pickled.arrays, f"{path}: {name}")
        inner = pickled.arguments
        mapping = inner.get("mapping_kwargs") or {}
        synthesis = inner.get("synthesis_kwargs") or {}
        clamp = inner.get("conv_clamp") or synthesis.get("conv_clamp")
        settings |= {"clamp": float(clamp) if clamp else None}
        settings |= {"mapping_rate": float(mapping.get("lr_multiplier") or 0.01)}
        if settings["class"] == keys.DISCRIMINATOR:
            epilogue = inner.get("epilogue_kwargs") or {}
            settings["stddev_group"] = epilogue.get("mbstd_group_size", 4)
        networks[_NAMES[name]] = Style(settings, pickled.arrays)
    return Published(path, networks)


# --- export ---------------------------------------------------------------------------------------

_THEIRS = {
    "rosinality": {
        "generator (averaged)": "g_ema",
        "generator": "g",
        "discriminator": "d",
    },
    "nvlabs": {"generator (averaged)": "G_ema", "generator": "G", "discriminator": "D"},
}


def of_run(config: Config, state: Any) -> dict[str, tuple[dict[str, Any], Any]]:
    """(settings, variables) of a run's networks, by our names."""
    system: Any = config.recipe
    generator, judge = system.modules()
    found = {
        "generator": (keys.described(generator), state.params["generator"]),
        "discriminator": (keys.described(judge), state.params["discriminator"]),
    }
    if "generator" in state.averaged:
        averaged = keys.described(generator), state.averaged["generator"]
        found = {"generator (averaged)": averaged, **found}
    return found


def files(
    networks: Mapping[str, tuple[dict[str, Any], Any]], options: ExportOptions, stem: str
) -> dict[Path, Any]:
    """By path what writes it: with --format torch one file of all networks by the names of the
    layout's program, with safetensors one each. Raises UserError for what a layout has no place
    for."""
    layout = options.layout
    states = {
        name: keys.state_dict(variables, settings, layout)
        for name, (settings, variables) in networks.items()
    }
    if options.half:
        states = {
            name: {key: array.astype(np.float16) for key, array in state.items()}
            for name, state in states.items()
        }
    if options.format == "safetensors":
        write = partial(write_safetensors, metadata={"format": "pt"})
        return {
            options.out / f"{stem}.{_THEIRS[layout][name]}.safetensors": partial(
                write, weights=state
            )
            for name, state in states.items()
        }
    if options.format != "torch":
        raise UserError(
            f"{option('format')} {options.format} is made of a run of StyleGAN2, not of a file; "
            "import the file first."
        )
    tree: dict[str, Any] = {_THEIRS[layout][name]: state for name, state in states.items()}
    name = next((n for n in networks if n.startswith("generator")), None)
    if layout == "rosinality" and name is not None:
        buffers = networks[name][1]["buffers"]
        tree["latent_avg"] = np.asarray(buffers["mapping"]["average"], np.float32)
    return {options.out / f"{stem}.{layout}.pt": partial(write_nested, content=tree)}


def networks_of_file(published: Published) -> dict[str, tuple[dict[str, Any], Any]]:
    """(settings, variables) of a file's networks, by our names."""
    where = str(published.path)
    return {
        name: (style.settings, style.variables(where)) for name, style in published.networks.items()
    }
