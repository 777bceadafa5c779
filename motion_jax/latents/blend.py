"""`motion-jax blend`: two generators of StyleGAN2 as one (Pinkney & Adler 2020, "Resolution
Dependent GAN Interpolation"), or one after the other (UI2I: Kwong et al. 2021)."""

import math
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from jax import Array

from motion_jax.data.records import encode_picture
from motion_jax.errors import UserError, option
from motion_jax.files import check_outputs, is_empty, write_bytes
from motion_jax.latents.model import Model, check_alike, load_model
from motion_jax.latents.options import BlendOptions
from motion_jax.nets import stylegan2 as nets
from motion_jax.port.import_run import write_import
from motion_jax.port.import_stylegan2 import plan
from motion_jax.port.stylegan2 import Published, Style
from motion_jax.progress import say
from motion_jax.provenance import xmp
from motion_jax.recipes.network import applied
from motion_jax.recipes.pixels import to_uint8
from motion_jax.report import montage
from motion_jax.weights import stylegan2 as keys

_LEVEL = re.compile(r"level_(\d+)_(\w+)")


def position(path: tuple[str, ...]) -> int | None:
    """Where a parameter of a generator stands, two places a resolution: up-convolution and
    constant, then second convolution and ToRGB. None for what stays the low one's: the mapping, the
    noise, and the 4x4 convolution, which the published script never finds under its name."""
    if path[:2] != ("params", "synthesis"):
        return None
    if path[2] == "constant":
        return 0
    found = _LEVEL.fullmatch(path[2])
    assert found is not None, "all else is of a level"
    size, layer = int(found[1]), found[2]
    if size == 4 and layer == "conv_1":
        return None
    later = layer in ("conv_1", "rgb")
    return 2 * (size.bit_length() - 3) + later


def share(at: int, resolution: int, level: int, width: float | None) -> float:
    """Of the high one, of what stands at a place: all or nothing, or logistic with a width."""
    x = at - (2 * (resolution.bit_length() - 3) + level)
    if width is None:
        return float(x > 1)
    return 1.0 / (1.0 + math.exp(-x / width))


def weight_blend(
    low: Any, high: Any, resolution: int, level: int = 0, width: float | None = None
) -> Any:
    """The variables of two generators as those of one.

    Hard: the high one's where a place is more than one after that of (resolution, level), so that
    this and the next are still the low one's.
    """
    first, second = (traverse_util.flatten_dict(tree) for tree in (low, high))
    mixed = {}
    for path, value in first.items():
        at = position(path)
        part = 0.0 if at is None else share(at, resolution, level, width)
        mixed[path] = value if part == 0.0 else value + part * (second[path] - value)
        if part == 1.0:
            mixed[path] = second[path]
    return traverse_util.unflatten_dict(mixed)


def swapped(
    module: nets.Generator,
    source: Any,
    target: Any,
    ws: Array,
    target_ws: Array,
    resolution: int,
    noise: tuple[nets.Noise, nets.Noise] = ("constant", "constant"),
) -> Array:
    """Pictures of the target, which goes on from the source's features after the second convolution
    of a resolution; the picture of lower resolutions, to which it adds, is its own."""
    _, features = applied(module, source, ws, noise[0], seen=(resolution,), method="draw")
    return applied(module, target, target_ws, noise[1], swapped=features, method="draw")


def blend(options: BlendOptions) -> Path:
    """Makes the run, or the pictures; returns the folder. Raises UserError."""
    check_outputs(options, "out")
    if options.out.exists() and (not options.out.is_dir() or not is_empty(options.out)):
        raise UserError(f"{option('out')} {options.out} is there already; name another folder.")
    low, high = load_model(options.low), load_model(options.high)
    check_alike(low, high)
    sizes = nets.levels(low.module.size)
    if options.resolution not in sizes or (options.method == "swap" and options.resolution == 4):
        known = ", ".join(map(str, sizes[options.method == "swap" :]))
        raise UserError(
            f"{option('resolution')} {options.resolution} is none of the generators' ({known})."
        )
    if options.width is not None and options.width <= 0:
        raise UserError(f"{option('width')} {options.width} must be more than 0.")
    if options.count < 1:
        raise UserError(f"{option('count')} {options.count} must be 1 or more.")
    z = low.latents(options.seed, options.count)
    ws = low.mapped(z, options.truncation)
    if options.method == "swap":
        run = jax.jit(
            lambda a, b, ws, others: to_uint8(
                swapped(low.module, a, b, ws, others, options.resolution)
            )
        )
        made = np.asarray(run(low.variables, high.variables, ws, ws))
        sheet(options, low, high, ws, made)
        return options.out
    variables = weight_blend(
        low.variables, high.variables, options.resolution, options.level, options.width
    )
    if options.mapping == "high":
        for part in ("params", "buffers"):
            mapping = high.variables[part]["mapping"]
            variables = {**variables, part: {**variables[part], "mapping": mapping}}
    mixed = Model(options.out, low.settings, low.module, variables)
    _write_run(options, mixed)
    if options.mapping == "high":
        ws = mixed.mapped(z, options.truncation)
    sheet(options, low, high, ws, mixed.drawn(ws))
    return options.out


def _write_run(options: BlendOptions, mixed: Model) -> None:
    settings = {**mixed.settings, "layout": "nvlabs"}
    state = keys.state_dict(mixed.variables, settings, "nvlabs")
    made = plan(Published(options.out, {"generator": Style(settings, state)}))
    about: Mapping[str, Any] = {
        "from": f"{options.low} and {options.high}",
        "blend": {
            name: getattr(options, name) for name in ("resolution", "level", "width", "mapping")
        },
    }
    write_import(options.out, made, None, dict(about), shlex.join(sys.argv))


def sheet(options: BlendOptions, low: Model, high: Model, ws: Any, made: np.ndarray) -> None:
    """Writes blend.png: A, what was made, and B, of the same latents."""
    rows = {"A": low.drawn(ws), "blend": made, "B": high.drawn(ws)}
    columns = min(len(made), 8)
    picture = np.concatenate(
        [
            montage.labelled(montage.grid([montage.enlarge(p) for p in row], columns), label)
            for label, row in rows.items()
        ]
    )
    options.out.mkdir(parents=True, exist_ok=True)
    write_bytes(options.out / "blend.png", xmp.declared(encode_picture(picture, "png")))
    say(f"Wrote {options.out / 'blend.png'}: A, the blend, and B of the same latents.")
