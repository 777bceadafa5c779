"""`motion-jax parity`: two networks on one input, layer by layer, and the first that differs.

The second may be the outputs of the layers as PyTorch computed them (an .npz, docs/porting.md shows
the eight lines that make it), so that a port is compared with its original where both cannot run in
one process.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float32
from PIL import Image
from rich.table import Table
from rich.text import Text

from motion_jax.errors import UserError, option
from motion_jax.nets.packed import Packed, unpacked
from motion_jax.nets.stylegan2 import Generator
from motion_jax.nets.stylegan2_discriminator import Discriminator
from motion_jax.port.contents import look_into
from motion_jax.port.export_run import parse_size
from motion_jax.port.inspect import console, difference
from motion_jax.port.network import Network, load_network
from motion_jax.port.options import ParityOptions
from motion_jax.port.parity_first_order import layers_of_both, module_layers
from motion_jax.port.reference import network_from_description
from motion_jax.train.run import check_whole
from motion_jax.weights.stylegan2 import ROLES, module_of
from motion_jax.weights.unpickle import quoted

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def parity(options: ParityOptions) -> dict[str, Any]:
    """Compares, prints; returns what --json prints: {"a", "b", "input", "tolerance", "first":
    the first layer that differs or None, "layers": [{"name", "shape", "max_difference",
    "largest"}], "only in A", "only in B"}; max_difference: see inspect.difference; largest: the
    largest absolute value in A.

    Raises UserError where something cannot be read, or the two have no layer in common.
    """
    if not options.tolerance >= 0:
        raise UserError(f"{option('tolerance')} {options.tolerance} is not a number of 0 or more.")
    for path in (options.a, options.b):
        check_whole(path)
    moved = layers_of_both(options)
    if moved is not None:
        return _shown(options, moved[2], *moved[:2])
    styled = style_parity(options)
    if styled is not None:
        return styled
    a = _network(options.a, options.network)
    dump = _dump(options.b) if options.b.suffix.lower() == ".npz" else None
    x = _input(options, a.config["input_nc"], dump)
    a.check_input(x.shape)
    run = layer_runner(a)
    one = run(a.params, x)
    if dump is not None:
        two = {name: value for name, value in dump.items() if name != "input"}
    else:
        b = _network(options.b, options.network)
        b.check_input(x.shape)
        _check_kinds(options, a, b)
        # Two of one architecture are one program, compiled once.
        two = (run if b.config == a.config else layer_runner(b))(b.params, x)
    result = {
        "a": str(options.a),
        "b": str(options.b),
        "input": options.input or f"the input in {options.b}",
        "tolerance": options.tolerance,
        **compare(one, two, options.tolerance),
    }
    if not result["layers"]:
        raise UserError(
            f"{options.a} and {options.b} have no layer in common: {_some(one)} against "
            f"{_some(two)}; the names must be those of PyTorch's modules."
        )
    print(json.dumps(result, indent=2)) if options.json else _print(result)
    return result


def _check_kinds(options: ParityOptions, a: Any, b: Any) -> None:
    """Raises UserError for a ResNet and a U-Net: they have the input and the output in common, and
    layers of one name that are not the same ones."""
    one, two = _family(a.name), _family(b.name)
    if one != two:
        raise UserError(
            f"{options.a} and {options.b} are networks of different architectures ({one} and "
            f"{two}), so no layer of one is a layer of the other; compare two of one kind. "
            "motion-jax inspect shows what each is."
        )


def _family(name: str) -> str:
    """Of the reference's class: "UnetGenerator" → "a U-Net"."""
    if "Discriminator" in name:
        return "a discriminator"
    return "a U-Net" if "unet" in name.lower() else "a generator of residual blocks"


def style_parity(options: ParityOptions) -> dict[str, Any] | None:
    """`parity` of two networks of StyleGAN2, by the names of our modules: of a generator on
    latents, of a discriminator on a picture. None for other networks."""
    found = [_style(path, options.network) for path in (options.a, options.b)]
    if None in found:
        if any(found):
            raise UserError(
                f"Of {options.a} and {options.b} only one is of StyleGAN2, so they have no layer "
                "in common; compare two of one kind. motion-jax inspect shows what each is."
            )
        return None
    (one, variables), (two, others) = (each for each in found if each is not None)
    text = options.input or "random:0"
    if not text.startswith("random:"):
        raise UserError(f"{option('input')} of StyleGAN2's networks is random:SEED.")
    seed = text.removeprefix("random:")
    if isinstance(one, Generator) and isinstance(two, Generator) and one.latent == two.latent:
        x = _random(seed, f"{one.latent}x1", 1)[:, 0, :, 0]
    elif isinstance(one, Discriminator) and isinstance(two, Discriminator) and one.size == two.size:
        x = _random(seed, f"{one.size}x{one.size}", one.channels)
    else:
        raise UserError(
            f"{options.a} and {options.b} have {options.network}s of other inputs; choose two of a "
            f"kind, or another with {option('network')}."
        )
    shown = jnp.asarray(x)
    layers = module_layers(one, variables, shown), module_layers(two, others, shown)
    return _shown(options, text, *layers)


def _shown(options: ParityOptions, text: str, one: Any, two: Any) -> dict[str, Any]:
    """Compares layers on an input, prints; see `parity`."""
    result = {
        "a": str(options.a),
        "b": str(options.b),
        "input": text,
        "tolerance": options.tolerance,
        **compare(one, two, options.tolerance),
    }
    print(json.dumps(result, indent=2)) if options.json else _print(result)
    return result


def _style(path: Path, name: str) -> tuple[Generator | Discriminator, Any] | None:
    if not path.exists() or path.suffix.lower() == ".npz":
        return None
    contents = look_into(path)
    if not any((w.config or {}).get("class") in ROLES for w in contents.networks.values()):
        return None
    weights = contents.networks.get(f"{name} (averaged)") or contents.networks.get(name)
    if weights is None or weights.config is None:
        raise UserError(f"{path} has no {name}; it has {', '.join(contents.networks)}.")
    if weights.config.get("labels"):
        raise UserError(
            f"{path} is told labels, for which there is no input here; give a network without "
            "them, or compare the weights alone with motion-jax inspect."
        )
    return module_of(weights.config), weights.params


def _some(layers: Mapping[str, Any]) -> str:
    shown = ", ".join(quoted(name) for name in list(layers)[:4])
    return f"{shown}, …" if len(layers) > 4 else shown or "none"


def compare(
    one: Mapping[str, np.ndarray], two: Mapping[str, np.ndarray], tolerance: float
) -> dict[str, Any]:
    """{"first", "layers", "only in A", "only in B"} of two sets of layer outputs, in A's order; see
    `parity`. A layer is equal where it differs by tolerance * max(1, its largest absolute value)
    or less: rounding grows with the values. Raises UserError for a layer of two shapes."""
    layers, first = [], None
    for name, value in one.items():
        if name not in two:
            continue
        other = two[name]
        if value.shape != other.shape:
            raise UserError(
                f"The layer {name} gives {list(value.shape)} in A and {list(other.shape)} in B "
                "([N, C, H, W]); the networks differ there, or ran on inputs of different sizes."
            )
        found = difference(value, other)
        largest = float(
            np.abs(value, where=np.isfinite(value), out=np.zeros(value.shape)).max(initial=0)
        )
        if first is None and (found is None or found > tolerance * max(1.0, largest)):
            first = name
        figures = {"max_difference": found, "largest": largest}
        layers.append({"name": name, "shape": list(value.shape), **figures})
    return {
        "first": first,
        "layers": layers,
        "only in A": [name for name in one if name not in two],
        "only in B": [name for name in two if name not in one],
    }


def layer_runner(network: Any) -> Callable[[Any, np.ndarray], dict[str, np.ndarray]]:
    """(params, x [N, H, W, C]) -> what each layer gives, in the order of execution, as PyTorch's
    forward hooks see it.

    By the names of PyTorch's modules: convolutions (with bias, before their norm),
    batch norms, residual blocks, and "output" (of a discriminator "output.SCALE.LAYER", as the
    network gives it), float32 [N, C, H, W]. Norms without weights and activations have no layer of
    their own here.
    """
    names = _module_names(network)
    order: list[str] = []

    def run(params: Any, x: Any) -> list[Any]:
        order.clear()
        outputs = []

        def keep(name: str, value: Any) -> None:
            order.append(name)
            outputs.append(jnp.asarray(unpacked(value), jnp.float32).transpose(0, 3, 1, 2))

        def watch(call: Any, arguments: Any, keywords: Any, context: Any) -> Any:
            value = call(*arguments, **keywords)
            name = names.get(context.module.path)
            if name and context.method_name == "__call__" and isinstance(value, jax.Array | Packed):
                keep(name, value)
            return value

        with nn.intercept_methods(watch):
            final = network.module.apply(params, x)
        if not isinstance(final, list):
            keep("output", final)
        else:
            for i, scale in enumerate(network.arranged(final)):
                for j, value in enumerate(scale):
                    keep(f"output.{i}.{j}", value)
        return outputs

    compiled = jax.jit(run)

    def by_name(params: Any, x: np.ndarray) -> dict[str, np.ndarray]:
        outputs = compiled(params, jnp.asarray(x, jnp.float32))
        return {name: np.asarray(value) for name, value in zip(order, outputs, strict=True)}

    return by_name


def _module_names(network: Any) -> dict[tuple[str, ...], str]:
    """Path of a Linen module -> name of PyTorch's module that gives the same."""
    _, entries = network_from_description(network.config)
    names = {path: prefix for path, prefix, _ in entries()}
    for path, prefix in list(names.items()):
        block, inside, _ = prefix.partition(".conv_block.")
        if inside and path[-1].startswith("conv_"):
            names[path[:-1]] = block
    return names


# --- input ----------------------------------------------------------------------------------------


def _network(path: Path, name: str) -> Any:
    if not path.is_dir():
        return load_network(path)
    contents = look_into(path)
    if contents.kind != "run":
        raise UserError(f"{path} is a folder of weight files; give one of its files.")
    # What transfer uses: the averaged weights where the run keeps them.
    found = contents.networks.get(f"{name} (averaged)") or contents.networks.get(name)
    if found is None:
        known = [each for each in contents.networks if not each.endswith(" (averaged)")]
        # "generator" of a CycleGAN is one of two.
        alike = [n for start in (name, "generator", "") for n in known if n.startswith(start)]
        near = next(iter(alike), "NAME")
        raise UserError(
            f"The run {path} has no network {name!r}; it has {', '.join(known)}: give "
            f"{option('network')} {near}."
        )
    if found.config is None or found.params is None:
        raise UserError(f"{path}: {found.why}")
    module, _ = network_from_description(found.config)
    return Network(found.config["class"], module, dict(found.params), dict(found.config))


def _dump(path: Path) -> dict[str, np.ndarray]:
    """Layer outputs of an .npz."""
    if not path.is_file():
        raise UserError(f"There is no {path}; docs/porting.md shows how to make it with PyTorch.")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: np.asarray(file[name], np.float32) for name in file.files}
    except Exception as error:  # zipfile's, zlib's and numpy's, of a damaged file
        raise UserError(
            f"{path} cannot be read as an .npz of arrays ({quoted(error)}); make it again."
        ) from error


def _input(
    options: ParityOptions, channels: int, dump: Mapping[str, np.ndarray] | None
) -> np.ndarray:
    """[N, H, W, C] float32."""
    if options.input is None:
        if dump is None or "input" not in dump or dump["input"].ndim != 4:
            raise UserError(
                f"motion-jax parity needs {option('input')}: a picture, an .npy of [N, H, W, C], "
                "or random:SEED."
            )
        return dump["input"].transpose(0, 2, 3, 1)
    if options.input.startswith("random:"):
        return _random(options.input.removeprefix("random:"), options.size, channels)
    path = Path(options.input)
    if not path.is_file():
        raise UserError(
            f"There is no input {path}; give a picture, an .npy of [N, H, W, C], or random:SEED."
        )
    if path.suffix.lower() == ".npy":
        try:
            return np.asarray(np.load(path, allow_pickle=False), np.float32)
        except (ValueError, OSError, EOFError) as error:
            raise UserError(
                f"{path} cannot be read as an array of numbers ({quoted(error)}); write it "
                "with numpy.save."
            ) from error
    if path.suffix.lower() in PICTURES:
        return _picture(path, channels)
    raise UserError(
        f"{path} is neither a picture ({', '.join(PICTURES)}) nor an .npy; give one of these, or "
        "random:SEED."
    )


def _random(seed: str, size: str, channels: int) -> Float32[np.ndarray, "1 h w {channels}"]:
    if not seed.isdigit():
        raise UserError(
            f"{option('input')} random:{seed}: the seed is no whole number, as in random:0."
        )
    height, width = parse_size(size)
    generator = np.random.default_rng(int(seed))
    return generator.uniform(-1, 1, (1, height, width, channels)).astype(np.float32)


def _picture(path: Path, channels: int) -> Float32[np.ndarray, "1 h w {channels}"]:
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"), np.float32) / 127.5 - 1
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(
            f"{path} cannot be read as a picture ({quoted(error)}); give another, or random:SEED."
        ) from error
    repeated = np.concatenate([pixels] * -(-channels // 3), axis=-1)
    return repeated[None, ..., :channels]


def _print(result: Mapping[str, Any]) -> None:
    out = console()
    table = Table()
    table.add_column("layer", no_wrap=True)
    table.add_column("shape [N, C, H, W]", no_wrap=True)
    table.add_column("largest difference", justify="right", no_wrap=True)
    table.add_column("largest value", justify="right", no_wrap=True)
    for layer in result["layers"]:
        value = layer["max_difference"]
        style = "bold red" if layer["name"] == result["first"] else None
        shape = " x ".join(map(str, layer["shape"]))
        figures = "NaN" if value is None else f"{value:.3g}", f"{layer['largest']:.3g}"
        table.add_row(Text(layer["name"]), shape, *figures, style=style)
    out.print(table)
    for side in ("only in A", "only in B"):
        if result[side]:
            out.print(f"Layers {side}, not compared: {', '.join(result[side])}", markup=False)
    if result["first"] is None:
        out.print(f"No layer differs by more than {result['tolerance']:g}.")
    else:
        out.print(f"The first layer that differs is {result['first']}.", markup=False)
    sys.stdout.flush()
