"""`motion-jax inspect`: what a weight file, an experiment's folder or a run holds; of two, what
differs."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from jaxtyping import Shaped
from rich.console import Console
from rich.table import Table
from rich.text import Text

from motion_jax.errors import UserError
from motion_jax.port.contents import Contents, Weights, look_into
from motion_jax.port.options import InspectOptions
from motion_jax.port.original_options import network_of
from motion_jax.port.run_networks import FILES
from motion_jax.weights import architecture, stylegan2
from motion_jax.weights.architecture import STATISTICS


def inspect(options: InspectOptions) -> dict[str, Any]:
    """Prints what there is; returns what --json prints. Raises UserError for what cannot be
    read."""
    first = look_into(options.source)
    if options.other is None:
        result, show = summary(first), _print_summary
    else:
        result, show = comparison(first, look_into(options.other)), _print_comparison
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        show(result, options.layers)
    return result


# --- one ------------------------------------------------------------------------------------------


class _Figures(TypedDict):
    """parameters: trainable numbers; batch norm's running statistics are tensors but no parameters.
    min, mean and max leave NaNs and infinities out and are None where nothing is left."""

    dtype: str
    parameters: int
    min: float | None
    mean: float | None
    max: float | None
    nan: int
    infinite: int


class LayerSummary(_Figures):
    """Of one tensor."""

    name: str
    shape: list[int]


class NetworkSummary(_Figures):
    """Of one network; sentence: what it is, or why that is not known."""

    architecture: dict[str, Any] | None
    sentence: str
    tensors: int
    sha256: str
    layers: list[LayerSummary]


def summary(contents: Contents) -> dict[str, Any]:
    """{"path", "kind", the facts, "networks": {name: NetworkSummary}}."""
    networks = {name: _network(weights) for name, weights in contents.networks.items()}
    path = str(contents.path)
    return {"path": path, "kind": contents.kind, **contents.facts, "networks": networks}


def _network(weights: Weights) -> NetworkSummary:
    layers = [_layer(name, array) for name, array in weights.arrays.items()]
    trained = [layer for layer in layers if layer["parameters"]]
    config = weights.config
    return {
        "architecture": None if config is None else dict(config),
        "sentence": weights.why if config is None else _sentence(config),
        "parameters": sum(layer["parameters"] for layer in layers),
        "tensors": len(layers),
        "dtype": ", ".join(sorted({layer["dtype"] for layer in trained})),
        "min": min((x["min"] for x in trained if x["min"] is not None), default=None),
        "mean": _mean(trained),
        "max": max((x["max"] for x in trained if x["max"] is not None), default=None),
        "nan": sum(layer["nan"] for layer in layers),
        "infinite": sum(layer["infinite"] for layer in layers),
        "sha256": weights.sha256(),
        "layers": layers,
    }


def _sentence(config: Mapping[str, Any]) -> str:
    words = stylegan2 if config["class"] in stylegan2.ROLES else architecture
    return words.sentence(config)


def _mean(layers: list[LayerSummary]) -> float | None:
    known = [
        (layer["mean"], layer["parameters"] - layer["nan"] - layer["infinite"])
        for layer in layers
        if layer["mean"] is not None
    ]
    total = sum(count for _, count in known)
    return sum(mean * count for mean, count in known) / total if total else None


def _layer(name: str, array: np.ndarray) -> LayerSummary:
    floating = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
    trained = floating and not name.endswith(architecture.STATISTICS)
    values = np.asarray(array, np.float64 if array.dtype == np.float64 else np.float32).ravel()
    nan, size = int(np.isnan(values).sum()), values.size
    values = values[np.isfinite(values)]
    return {
        "name": name,
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "parameters": array.size if trained else 0,
        "min": float(values.min()) if values.size else None,
        "mean": float(values.mean(dtype=np.float64)) if values.size else None,
        "max": float(values.max()) if values.size else None,
        "nan": nan,
        "infinite": size - nan - values.size,
    }


def _print_summary(result: Mapping[str, Any], every_layer: bool) -> None:
    out = console()
    facts = [f"{k} {v}" for k, v in result.items() if k in ("recipe", "stage", "step", "epoch")]
    if result.get("other epochs"):
        facts.append(f"other epochs: {', '.join(result['other epochs'])}")
    heading = f"{result['path']}: {', '.join([_KINDS[result['kind']], *facts])}"
    out.print(heading, markup=False)
    table = Table()
    table.add_column("network", no_wrap=True)
    for column in ("tensors", "parameters", "type", "min", "mean", "max", "NaN", "infinite"):
        table.add_column(column, justify="left" if column == "type" else "right", no_wrap=True)
    for name, network in result["networks"].items():
        table.add_row(Text(name), str(network["tensors"]), *_figures(network))
        if every_layer:
            for layer in network["layers"]:
                shape = " x ".join(map(str, layer["shape"])) or "scalar"
                table.add_row(Text(f"  {layer['name']}"), shape, *_figures(layer))
    out.print(table)
    for name, network in result["networks"].items():
        out.print(f"{name}: {network['sentence']}", markup=False)
        out.print(f"  SHA-256 of its parameters {network['sha256']}", markup=False)


def console() -> Any:
    """Standard output; in a pipe wide enough for every table."""
    width = None if sys.stdout.isatty() else 160
    return Console(file=sys.stdout, highlight=False, soft_wrap=True, width=width)


_KINDS = {"file": "weight file", "checkpoints": "checkpoints of the original code", "run": "run"}


def _figures(row: Mapping[str, Any]) -> list[str]:
    numbers = ["-" if row[key] is None else f"{row[key]:.4g}" for key in ("min", "mean", "max")]
    return [f"{row['parameters']:,}", row["dtype"], *numbers, str(row["nan"]), str(row["infinite"])]


# --- two ------------------------------------------------------------------------------------------


def comparison(a: Contents, b: Contents) -> dict[str, Any]:
    """{"paths", "identical", "networks": {"A name | B name": {"identical", "architecture":
    {argument: [A's, B's]}, "only in A", "only in B", "shapes": {key: [A's, B's]}, "layers":
    [{"name", "identical", "max_difference"}]}}, "only in A", "only in B" (networks)}.

    Networks are paired by name; two single ones always. identical asks for equal bits;
    max_difference: see `difference`, which gives it.
    """
    pairs = [(name, name) for name in a.networks if name in b.networks]
    if not pairs and len(a.networks) == len(b.networks) == 1:
        pairs = [(next(iter(a.networks)), next(iter(b.networks)))]
    if not pairs:
        pairs = _by_role(a, b)
    if not pairs:
        raise UserError(
            f"{a.path} ({', '.join(a.networks)}) and {b.path} ({', '.join(b.networks)}) have no "
            "network in common; give two files."
        )
    networks = {}
    for one, two in pairs:
        name = one if one == two else f"{one} | {two}"
        networks[name] = _compared(a.networks[one], b.networks[two])
    alone = [
        [name for name in contents.networks if name not in {pair[i] for pair in pairs}]
        for i, contents in enumerate((a, b))
    ]
    return {
        "paths": [str(a.path), str(b.path)],
        "identical": not any(alone) and all(n["identical"] for n in networks.values()),
        "networks": networks,
        "only in A": alone[0],
        "only in B": alone[1],
    }


def _by_role(a: Contents, b: Contents) -> list[tuple[str, str]]:
    """A run's generator and an experiment's G, and so on; the averaged ones first, as export and
    transfer take them."""

    def roles(contents: Contents) -> dict[str, str]:
        found = {}
        for name in contents.networks:
            ours = name.removesuffix(" (averaged)")
            role = FILES.get(ours) or network_of(Path(name)) or name
            if role not in found or name != ours:
                found[role] = name
        return found

    one, two = roles(a), roles(b)
    return [(one[role], two[role]) for role in one if role in two]


def _compared(a: Weights, b: Weights) -> dict[str, Any]:
    configs = [dict(w.config or {}) for w in (a, b)]
    arguments = [*configs[0], *(name for name in configs[1] if name not in configs[0])]
    architectures = {
        name: [config.get(name) for config in configs]
        for name in arguments
        if configs[0].get(name) != configs[1].get(name)
    }
    # Running statistics that one of them does not keep make no difference.
    only = [
        [key for key in one.arrays if key not in two.arrays and not key.endswith(STATISTICS)]
        for one, two in ((a, b), (b, a))
    ]
    shapes, layers, same = {}, [], not any(only)
    for key, one in a.arrays.items():
        two = b.arrays.get(key)
        if two is None:
            continue
        if one.shape != two.shape:
            shapes[key] = [list(one.shape), list(two.shape)]
            continue
        equal = one.dtype == two.dtype and one.tobytes() == two.tobytes()
        same = same and equal
        layers.append({"name": key, "identical": equal, "max_difference": difference(one, two)})
    return {
        "identical": same and not shapes,
        "architecture": architectures,
        "only in A": only[0],
        "only in B": only[1],
        "shapes": shapes,
        "layers": layers,
    }


def difference(a: Shaped[Any, "*shape"], b: Shaped[Any, "*shape"]) -> float | None:
    """Largest absolute difference; None where a NaN or an infinity in one is something else in the
    other."""
    a, b = (np.asarray(value, np.float64) for value in (a, b))
    equal = (a == b) | (np.isnan(a) & np.isnan(b))
    if not (np.isfinite(a) & np.isfinite(b) | equal).all():
        return None
    return float(np.abs(np.where(equal, 0.0, a) - np.where(equal, 0.0, b)).max(initial=0.0))


def _print_comparison(result: Mapping[str, Any], every_layer: bool) -> None:
    out = console()

    def say(text: str) -> None:
        out.print(text, markup=False)

    say(f"A: {result['paths'][0]}\nB: {result['paths'][1]}")
    for name, network in result["networks"].items():
        layers = network["layers"]
        differing = [layer for layer in layers if not layer["identical"]]
        if network["identical"]:
            say(f"{name}: identical, all {len(layers)} tensors bit for bit")
        else:
            common = f"{len(differing)} of {len(layers)} common tensors differ"
            none = "no common tensors" + " of the same shape" * bool(network["shapes"])
            say(f"{name}: {common if layers else none}")
        for argument, (one, two) in network["architecture"].items():
            say(f"  architecture: {argument} is {one} in A, {two} in B")
        for key, (one, two) in network["shapes"].items():
            say(f"  shape of {key}: {one} in A, {two} in B")
        for side in ("only in A", "only in B"):
            if network[side]:
                say(f"  {side}: {_shortened(network[side], every_layer)}")
        shown = layers if every_layer else sorted(differing, key=_by_difference)[:_MOST]
        if shown:
            table = Table()
            table.add_column("tensor", no_wrap=True)
            table.add_column("largest difference", justify="right", no_wrap=True)
            for layer in shown:
                value = layer["max_difference"]
                table.add_row(Text(layer["name"]), "NaN" if value is None else f"{value:.3g}")
            out.print(table)
        if not every_layer and len(differing) > _MOST:
            say(f"  and {len(differing) - _MOST} more with smaller differences (--layers)")
    for side in ("only in A", "only in B"):
        if result[side]:
            say(f"networks {side}: {', '.join(result[side])}")


_MOST = 15


def _by_difference(layer: Mapping[str, Any]) -> float:
    value = layer["max_difference"]
    return -np.inf if value is None else -value


def _shortened(keys: list[str], every: bool) -> str:
    if every or len(keys) <= _MOST:
        return ", ".join(keys)
    return f"{', '.join(keys[:_MOST])} and {len(keys) - _MOST} more"
