"""StyleGAN2's weights by the keys of two published programs, and by ours.

  rosinality  stylegan2-pytorch of rosinality, and what was forked from it (UI2I, Cartoon-StyleGAN)
  nvlabs      stylegan2-ada-pytorch of NVIDIA

Both hold the same numbers in the same orientation; their shapes differ in axes of one entry. So a
network of one layout is, bit for bit, one of the other, where the other has its parts: rosinality's
has no labels and one architecture of each network.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from motion_jax.errors import UserError
from motion_jax.nets.resample import BINOMIAL, normalised
from motion_jax.nets.stylegan2 import Generator, levels, noise_sizes
from motion_jax.nets.stylegan2_discriminator import Discriminator
from motion_jax.weights.unpickle import quoted

Layout = Literal["rosinality", "nvlabs"]
Arrays = Mapping[str, np.ndarray]
GENERATOR, DISCRIMINATOR = "StyleGAN2 generator", "StyleGAN2 discriminator"
ROLES = {GENERATOR: "generator", DISCRIMINATOR: "discriminator"}

# Constants of the programs, no weights: filters that they keep as buffers.
_CONSTANT = re.compile(r"(.*\.)?(kernel|resample_filter)")
_THIRD = re.compile(r"synthesis\.(input\.(freqs|phases|transform)|L\d+_\d+_\d+\..*)")


@dataclass(frozen=True)
class Entry:
    """One tensor: where it is with us ("params" or "buffers" first), by which keys it goes, and its
    kind (see _KINDS). rosinality: None where that program has no such tensor."""

    path: tuple[str, ...]
    nvlabs: str
    rosinality: str | None
    kind: str

    def key(self, layout: Layout) -> str | None:
        return self.nvlabs if layout == "nvlabs" else self.rosinality


def layout_of(arrays: Arrays) -> tuple[str, Layout] | None:
    """(GENERATOR or DISCRIMINATOR, the layout) of a state_dict; None for another network. Raises
    UserError for StyleGAN3."""
    marks: tuple[tuple[str, str, Layout], ...] = (
        ("input.input", GENERATOR, "rosinality"),
        ("synthesis.b4.const", GENERATOR, "nvlabs"),
        ("final_linear.0.weight", DISCRIMINATOR, "rosinality"),
        ("b4.out.weight", DISCRIMINATOR, "nvlabs"),
    )
    for key, kind, layout in marks:
        if key in arrays:
            return kind, layout
    if any(_THIRD.fullmatch(key) for key in arrays):
        raise UserError(
            "This is a generator of StyleGAN3, whose layers are others than StyleGAN2's; give a "
            "checkpoint of StyleGAN2 or StyleGAN2-ADA."
        )
    return None


# --- what the shapes tell -------------------------------------------------------------------------


def settings_of(arrays: Arrays, where: str) -> dict[str, Any]:
    """{"class": ..., "layout": ..., and the fields of our module} of a state_dict, read off the
    shapes; what no weight tells (clamp, the mapping's rate) has its default.

    where: for messages. Raises UserError for no StyleGAN2, or one whose parts are missing.
    """
    found = layout_of(arrays)
    if found is None:
        raise UserError(f"{where} holds no network of StyleGAN2.")
    kind, layout = found
    try:
        read = _generator if kind == GENERATOR else _discriminator
        fields = read(arrays, layout)
    except KeyError as error:
        raise UserError(
            f"{where} looks like a {kind} of {layout}, but {quoted(error.args[0])} is missing; "
            "the file is not whole."
        ) from error
    if fields["taps"] is None:
        raise UserError(f"{where} has a filter that is no outer product of one with itself.")
    return {"class": kind, "layout": layout} | fields


def _mapping(arrays: Arrays, prefix: str, first: int) -> dict[str, Any]:
    """Of the layers prefix{first}, ...: how many and how wide."""
    count = 0
    while f"{prefix}{first + count}.weight" in arrays:
        count += 1
    last = arrays[f"{prefix}{first + count - 1}.weight"]
    style, hidden = last.shape[0], arrays[f"{prefix}{first}.weight"].shape[0]
    same = count == 1 or hidden == style
    return {"mapping_layers": count, "mapping_hidden": None if same else hidden}


def _conditional(arrays: Arrays, style: int) -> dict[str, Any]:
    embed = arrays.get("mapping.embed.weight")
    if embed is None:
        return {"labels": 0, "embed": None}
    return {"labels": embed.shape[1], "embed": None if embed.shape[0] == style else embed.shape[0]}


def _taps(arrays: Arrays) -> tuple[float, ...] | None:
    """Of the filters that the file keeps; None where they are none of ours."""
    for key, value in arrays.items():
        if _CONSTANT.fullmatch(key) and value.ndim == 2:
            taps = value.astype(np.float64).sum(0) / value.sum(dtype=np.float64)
            if not np.allclose(np.outer(taps, taps), value / value.sum(), atol=1e-6):
                return None
            if not np.allclose(taps, normalised(BINOMIAL), atol=1e-6):
                return tuple(map(float, taps))
            break
    return BINOMIAL


def _generator(arrays: Arrays, layout: Layout) -> dict[str, Any]:
    if layout == "rosinality":
        first, last = "style.1.weight", "style."
        count = 0
        while f"to_rgbs.{count}.conv.weight" in arrays:
            count += 1
        convs = ["conv1", *(f"convs.{2 * i + 1}" for i in range(count))]
        widths = [arrays[f"{name}.conv.weight"].shape[1] for name in convs]
        mapping = _mapping(arrays, last, 1)
        style = arrays["conv1.conv.modulation.weight"].shape[1]
        channels, architecture = arrays["to_rgb1.conv.weight"].shape[1], "skip"
    else:
        first, sizes = "mapping.fc0.weight", [4]
        while f"synthesis.b{2 * sizes[-1]}.conv1.weight" in arrays:
            sizes.append(2 * sizes[-1])
        widths = [arrays[f"synthesis.b{size}.conv1.weight"].shape[0] for size in sizes]
        mapping = _mapping(arrays, "mapping.fc", 0)
        style = arrays["synthesis.b4.conv1.affine.weight"].shape[1]
        channels = arrays[f"synthesis.b{sizes[-1]}.torgb.weight"].shape[0]
        architecture = "orig"
        if "synthesis.b4.torgb.weight" in arrays:
            architecture = "skip"
        elif any(key.endswith(".skip.weight") for key in arrays):
            architecture = "resnet"
    conditional = _conditional(arrays, style)
    inputs = arrays[first].shape[1]
    if conditional["labels"]:
        inputs -= conditional["embed"] or style
    return {
        "widths": tuple(widths),
        "latent": inputs,
        "style": style,
        **mapping,
        **conditional,
        "architecture": architecture,
        "channels": channels,
        "taps": _taps(arrays),
    }


def _discriminator(arrays: Arrays, layout: Layout) -> dict[str, Any]:
    if layout == "rosinality":
        count = 0
        while f"convs.{count + 1}.conv1.0.weight" in arrays:
            count += 1
        blocks = [f"convs.{i}.conv1.0.weight" for i in range(count, 0, -1)]
        widths = [arrays["final_conv.0.weight"].shape[0]]
        widths += [arrays[key].shape[0] for key in blocks]
        channels, architecture = arrays["convs.0.0.weight"].shape[1], "resnet"
        head = arrays["final_conv.0.weight"]
    else:
        sizes = [4]
        while f"b{2 * sizes[-1]}.conv0.weight" in arrays:
            sizes.append(2 * sizes[-1])
        head = arrays["b4.conv.weight"]
        widths = [head.shape[0], *(arrays[f"b{size}.conv0.weight"].shape[0] for size in sizes[1:])]
        channels = arrays[f"b{sizes[-1]}.fromrgb.weight"].shape[1]
        architecture = "orig"
        if "b4.fromrgb.weight" in arrays:
            architecture = "skip"
        elif any(key.endswith(".skip.weight") for key in arrays):
            architecture = "resnet"
    fields: dict[str, Any] = {
        "widths": tuple(widths),
        "architecture": architecture,
        "channels": channels,
        "stddev_channels": head.shape[1] - widths[0],
        "taps": _taps(arrays),
    }
    if "mapping.embed.weight" in arrays:
        judged = arrays["b4.out.weight"].shape[0]
        fields |= _mapping(arrays, "mapping.fc", 0) | _conditional(arrays, judged)
        fields["judged"] = None if judged == widths[0] else judged
    return fields


def module_of(settings: Mapping[str, Any]) -> Generator | Discriminator:
    """The module of what settings_of gives, or of the same read back from JSON."""
    fields = {k: v for k, v in settings.items() if k not in ("class", "layout")}
    fields |= {name: tuple(fields[name]) for name in ("widths", "taps") if name in fields}
    return Generator(**fields) if settings["class"] == GENERATOR else Discriminator(**fields)


def described(module: Generator | Discriminator, layout: Layout = "rosinality") -> dict[str, Any]:
    """The inverse of module_of."""
    kind = GENERATOR if isinstance(module, Generator) else DISCRIMINATOR
    left_out = ("name", "parent", "dtype")
    fields = {
        name: getattr(module, name) for name in module.__dataclass_fields__ if name not in left_out
    }
    return {"class": kind, "layout": layout} | fields


# --- keys -----------------------------------------------------------------------------------------


def entries(settings: Mapping[str, Any]) -> Iterator[Entry]:
    """Every tensor of a network, in the order of rosinality's program."""
    if settings["class"] == GENERATOR:
        yield from _mapping_entries(settings, "style.", 1)
        yield from _synthesis_entries(settings)
    else:
        yield from _discriminator_entries(settings)


def _mapping_entries(settings: Mapping[str, Any], theirs: str, first: int) -> Iterator[Entry]:
    if settings.get("labels"):
        for part, kind in (("weight", "linear"), ("bias", "same")):
            path: tuple[str, ...] = ("params", "mapping", "embed", part)
            yield Entry(path, f"mapping.embed.{part}", None, kind)
    for j in range(settings.get("mapping_layers", 8)):
        for part, kind in (("weight", "linear"), ("bias", "same")):
            path = ("params", "mapping", f"layer_{j}", part)
            yield Entry(path, f"mapping.fc{j}.{part}", f"{theirs}{first + j}.{part}", kind)


def _synthesis_entries(settings: Mapping[str, Any]) -> Iterator[Entry]:
    here = ("params", "synthesis")
    nv = "synthesis.b"
    yield Entry((*here, "constant"), f"{nv}4.const", "input.input", "constant")
    sizes = levels(4 << (len(settings["widths"]) - 1))
    for i, size in enumerate(sizes):
        if i and settings["architecture"] == "resnet":
            skip = (*here, f"level_{size}_skip_weight")
            yield Entry(skip, f"{nv}{size}.skip.weight", None, "point")
        for n in (0, 1) if i else (1,):
            name = f"convs.{2 * (i - 1) + n}" if i else "conv1"
            yield from _styled(f"level_{size}_conv_{n}", f"{nv}{size}.conv{n}", name)
        if i == len(sizes) - 1 or settings["architecture"] == "skip":
            name = f"to_rgbs.{i - 1}" if i else "to_rgb1"
            place, key = (*here, f"level_{size}_rgb"), f"{nv}{size}.torgb"
            yield Entry((*place, "weight"), f"{key}.weight", f"{name}.conv.weight", "rgb")
            yield from _affine(place, key, name)
            yield Entry((*place, "bias"), f"{key}.bias", f"{name}.bias", "rgb_bias")
    for i, size in enumerate(noise_sizes(sizes[-1])):
        # The first of a level's two is of its up-convolution.
        which = 1 if i == 0 or i % 2 == 0 else 0
        path = ("buffers", "synthesis", f"level_{size}_conv_{which}", "noise")
        key = f"{nv}{size}.conv{which}.noise_const"
        yield Entry(path, key, f"noises.noise_{i}", "noise")


def _affine(path: tuple[str, ...], nv: str, ros: str) -> Iterator[Entry]:
    for part, kind in (("weight", "linear"), ("bias", "same")):
        theirs = f"{ros}.conv.modulation.{part}"
        yield Entry((*path, "affine", part), f"{nv}.affine.{part}", theirs, kind)


def _styled(ours: str, nv: str, ros: str) -> Iterator[Entry]:
    path = ("params", "synthesis", ours)
    yield Entry((*path, "weight"), f"{nv}.weight", f"{ros}.conv.weight", "styled")
    yield from _affine(path, nv, ros)
    yield Entry((*path, "noise_strength"), f"{nv}.noise_strength", f"{ros}.noise.weight", "scalar")
    yield Entry((*path, "bias"), f"{nv}.bias", f"{ros}.activate.bias", "same")


def _discriminator_entries(settings: Mapping[str, Any]) -> Iterator[Entry]:
    depth, architecture = len(settings["widths"]), settings["architecture"]
    if settings.get("labels"):
        yield from _mapping_entries(settings, "", 0)

    def layer(ours: str, nv: str, ros: str | None, biased: str | None) -> Iterator[Entry]:
        weight = None if ros is None else f"{ros}.weight"
        yield Entry(("params", ours, "weight"), f"{nv}.weight", weight, "conv")
        if biased is not None:
            bias = None if ros is None else f"{biased}.bias"
            yield Entry(("params", ours, "bias"), f"{nv}.bias", bias, "same")

    for n, i in enumerate(range(depth - 1, 0, -1)):
        size, block = 4 << i, f"convs.{n + 1}"
        here, nv = f"level_{size}", f"b{size}"
        if n == 0:
            yield from layer(f"{here}_rgb", f"{nv}.fromrgb", "convs.0.0", "convs.0.1")
        elif architecture == "skip":
            yield from layer(f"{here}_rgb", f"{nv}.fromrgb", None, "")
        yield from layer(f"{here}_conv_0", f"{nv}.conv0", f"{block}.conv1.0", f"{block}.conv1.1")
        yield from layer(f"{here}_conv_1", f"{nv}.conv1", f"{block}.conv2.1", f"{block}.conv2.2")
        if architecture == "resnet":
            yield from layer(f"{here}_skip", f"{nv}.skip", f"{block}.skip.1", None)
    if architecture == "skip":
        yield from layer("level_4_rgb", "b4.fromrgb", None, "")
    yield from layer("level_4_conv", "b4.conv", "final_conv.0", "final_conv.1")
    for ours, nv, ros, kind in (
        ("level_4_hidden", "b4.fc", "final_linear.0", "flat"),
        ("level_4_out", "b4.out", "final_linear.1", "linear"),
    ):
        yield Entry(("params", ours, "weight"), f"{nv}.weight", f"{ros}.weight", kind)
        yield Entry(("params", ours, "bias"), f"{nv}.bias", f"{ros}.bias", "same")


# --- shapes ---------------------------------------------------------------------------------------


def _unflat(a: np.ndarray) -> np.ndarray:
    """[out, C * 16], channels first -> [16 * C, out], channels last."""
    return a.reshape(a.shape[0], -1, 16).transpose(2, 1, 0).reshape(-1, a.shape[0])


def _flat(a: np.ndarray) -> np.ndarray:
    return a.reshape(16, -1, a.shape[-1]).transpose(2, 1, 0).reshape(a.shape[-1], -1)


Change = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _Kind:
    """ours: of nvlabs' shape; theirs: the inverse. before, after: axes of one entry that
    rosinality's shape has around nvlabs'."""

    ours: Change
    theirs: Change
    before: int = 0
    after: int = 0

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Rosinality's, of nvlabs'."""
        return (1,) * self.before + shape + (1,) * self.after

    def core(self, a: np.ndarray, layout: Layout) -> np.ndarray:
        """An array of the layout in nvlabs' shape."""
        if layout == "nvlabs":
            return a
        shape = a.shape[self.before : a.ndim - self.after]
        if a.shape != self.shape(shape):
            raise ValueError(f"of the shape {list(a.shape)}")
        return a.reshape(shape)


def _same(a: np.ndarray) -> np.ndarray:
    return a


_CONV = (lambda a: a.transpose(2, 3, 1, 0), lambda a: a.transpose(3, 2, 0, 1))
_POINT = (lambda a: a[:, :, 0, 0].T, lambda a: a.T[:, :, None, None])
_KINDS = {
    "same": _Kind(_same, _same),
    "linear": _Kind(np.transpose, np.transpose),
    "flat": _Kind(_unflat, _flat),
    "conv": _Kind(*_CONV),
    "styled": _Kind(*_CONV, before=1),
    "point": _Kind(*_POINT),
    "rgb": _Kind(*_POINT, before=1),
    "rgb_bias": _Kind(_same, _same, before=1, after=2),
    "scalar": _Kind(_same, _same, before=1),
    "constant": _Kind(lambda a: a.transpose(1, 2, 0), lambda a: a.transpose(2, 0, 1), before=1),
    "noise": _Kind(_same, _same, before=2),
}


def variables_of(
    arrays: Arrays,
    settings: Mapping[str, Any],
    where: str,
    average: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Our variables of a state_dict, float32.

    average: the mean of w, where the file keeps it apart; nvlabs' is in the state_dict, and where
    there is none it is 0. seed: of noise maps that the file leaves out. Raises UserError for keys
    that are missing or left over, and for wrong shapes.
    """
    layout: Layout = settings["layout"]
    flat: dict[tuple[str, ...], np.ndarray] = {}
    used = set()
    random = np.random.default_rng(seed)
    for entry in entries(settings):
        key = entry.key(layout)
        assert key is not None, "settings_of reads no other architecture in this layout"
        used.add(key)
        if key not in arrays:
            if entry.kind == "noise":
                size = int(entry.path[2].split("_")[1])
                flat[entry.path] = random.standard_normal((size, size)).astype(np.float32)
                continue
            raise UserError(f"{where}: {quoted(key)} is missing; the file is not whole.")
        kind = _KINDS[entry.kind]
        try:
            found = kind.ours(kind.core(np.asarray(arrays[key]), layout))
        except (ValueError, IndexError) as error:
            shape = list(arrays[key].shape)
            raise UserError(f"{where}: {quoted(key)} has the shape {shape}.") from error
        flat[entry.path] = np.array(found, np.float32, order="C")
    if settings["class"] == GENERATOR:
        key = "mapping.w_avg"
        used.add(key)
        mean = arrays.get(key) if average is None else average
        if mean is None:
            mean = np.zeros(settings["style"])
        if np.ndim(mean) == 2:  # one for every layer, as encoders keep it
            mean = np.mean(mean, axis=0)
        flat["buffers", "mapping", "average"] = np.asarray(mean, np.float32).reshape(-1)
    left = [key for key in arrays if key not in used and not _CONSTANT.fullmatch(key)]
    if left:
        raise UserError(
            f"{where} holds {', '.join(map(quoted, left[:4]))}{', …' if left[4:] else ''}, which "
            "StyleGAN2 does not have."
        )
    return traverse_util.unflatten_dict({path: jnp.asarray(a) for path, a in flat.items()})


def state_dict(
    variables: Mapping[str, Any], settings: Mapping[str, Any], layout: Layout
) -> dict[str, np.ndarray]:
    """The arrays by the keys of a layout, with the constants that its program keeps beside them, so
    that it loads them strictly. Raises UserError where it has no such network."""
    flat = traverse_util.flatten_dict(variables)
    arrays: dict[str, np.ndarray] = {}
    for entry in entries(settings):
        key = entry.key(layout)
        if key is None:
            raise UserError(
                f"The layout {layout} has no {entry.nvlabs} (labels and other architectures are "
                "nvlabs' alone); write the layout nvlabs."
            )
        kind = _KINDS[entry.kind]
        found = kind.theirs(np.asarray(flat[entry.path], np.float32))
        shape = kind.shape(found.shape) if layout == "rosinality" else found.shape
        arrays[key] = np.ascontiguousarray(found).reshape(shape)
    if settings["class"] == DISCRIMINATOR and settings["architecture"] != "resnet":
        _only_nvlabs(layout, settings["architecture"])
    if settings["class"] == GENERATOR:
        if settings["architecture"] != "skip":
            _only_nvlabs(layout, settings["architecture"])
        if layout == "nvlabs":
            arrays["mapping.w_avg"] = np.asarray(flat["buffers", "mapping", "average"], np.float32)
    return arrays | _constants(arrays, settings, layout)


def _only_nvlabs(layout: Layout, architecture: str) -> None:
    if layout == "rosinality":
        raise UserError(
            f"The layout rosinality has no architecture {architecture}; write the layout nvlabs."
        )


def _constants(arrays: Arrays, settings: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    taps = np.asarray(normalised(settings.get("taps", BINOMIAL)))
    kernel = np.outer(taps, taps).astype(np.float32)
    found: dict[str, np.ndarray] = {}
    for key in arrays:
        if layout == "rosinality":
            if re.fullmatch(r"convs\.\d*[02468]\.conv\.weight", key):
                found[key.replace("weight", "blur.kernel")] = 4 * kernel
            elif re.fullmatch(r"to_rgbs\.\d+\.conv\.weight", key):
                found[key.replace("conv.weight", "upsample.kernel")] = 4 * kernel
            elif re.fullmatch(r"convs\.\d+\.(conv2|skip)\.1\.weight", key):
                found[key.replace("1.weight", "0.kernel")] = kernel
            continue
        block = re.fullmatch(r"((?:synthesis\.)?b\d+)\.(conv\d?|fromrgb|skip)\.weight", key)
        if block:
            found[f"{block[1]}.{block[2]}.resample_filter"] = kernel
            if key.startswith("synthesis") or block[1] != "b4":
                found[f"{block[1]}.resample_filter"] = kernel
    return found


def sentence(settings: Mapping[str, Any]) -> str:
    """The architecture in words, for people."""
    d = settings
    size = 4 << (len(d["widths"]) - 1)
    widths = ", ".join(map(str, d["widths"]))
    parts = [f"{size}x{size}, {d['architecture']}, channels from 4x4 on {widths}"]
    if d["class"] == GENERATOR:
        parts.append(f"z {d['latent']}, w {d['style']}, {d['mapping_layers']} mapping layers")
    if d.get("labels"):
        parts.append(f"{d['labels']} classes")
    if d.get("clamp"):
        parts.append(f"clamped at {d['clamp']:g}")
    return f"{d['class']} ({d['layout']}): {'; '.join(parts)}"
