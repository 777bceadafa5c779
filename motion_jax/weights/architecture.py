"""Which network a PyTorch state_dict belongs to, worked out from its keys and shapes alone.

Known: pix2pixHD's and Everybody Dance Now's GlobalGenerator, LocalEnhancer, MultiscaleDiscriminator
and NLayerDiscriminator; pix2pix's and CycleGAN's UnetGenerator, ResnetGenerator,
NLayerDiscriminator and PixelDiscriminator.

What no weight can tell takes the reference's default: no dropout in a U-Net, instance norm (which
leaves no trace in a file) where convolutions have a bias and no norm has weights, "none" where they
have neither. A GlobalGenerator with two downsamplings is the same network as pix2pix's
ResnetGenerator and is called that, because pix2pixHD's own have three or four. A single
NLayerDiscriminator is pix2pixHD's (padding 2) where its convolutions have a bias before batch norm,
as Everybody Dance Now's face discriminator, and pix2pix's (padding 1) otherwise.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from motion_jax.errors import UserError, option
from motion_jax.weights.unpickle import quoted

Shapes = Mapping[str, tuple[int, ...]]

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Layer:
    """One layer of a state_dict: `prefix.weight` and so on.

    kind: "conv" (weight [out, in, k, k]), "up" (transposed, weight [in, out, k, k]) or "batch_norm"
    (shape = (channels,)).
    """

    prefix: str
    kind: str
    shape: tuple[int, ...]
    bias: bool = True

    def keys(self) -> dict[str, tuple[int, ...]]:
        """Its keys, with their shapes."""
        keys = {f"{self.prefix}.weight": self.shape}
        if self.kind == "batch_norm":
            names = ("bias", "running_mean", "running_var")
            keys |= {f"{self.prefix}.{name}": self.shape for name in names}
            keys[f"{self.prefix}.num_batches_tracked"] = ()
        elif self.bias:
            keys[f"{self.prefix}.bias"] = (self.shape[1 if self.kind == "up" else 0],)
        return keys


def architecture_of(weights: Mapping[str, np.ndarray]) -> dict:
    """{"class": the reference's name, and its constructor's arguments} of a state_dict.

    weights: arrays (or anything with a shape) by plain keys, as weights.read has them.
    Raises UserError for a network of another kind, and lists keys that are missing, unknown, or of
    a shape that contradicts the rest.
    """
    shapes = {key: tuple(value.shape) for key, value in weights.items()}
    description = _recognise(shapes)
    _compare(shapes, description)
    return description


def layers(description: Mapping) -> list[Layer]:
    """The layers of a described network, in the order of its state_dict's parts."""
    kind = description["class"]
    if kind == "NLayerDiscriminator" and "intermediate_features" not in description:
        kind = "PatchDiscriminator"  # pix2pix's
    return list(_LAYERS[kind](dict(description)))


def _compare(shapes: Shapes, description: Mapping) -> None:
    expected: dict[str, tuple[int, ...]] = {}
    for layer in layers(description):
        expected |= layer.keys()
    # The counter came with PyTorch 0.4.1; statistics are absent where they were not kept.
    missing = [key for key in expected if key not in shapes and not key.endswith(STATISTICS)]
    unknown = [key for key in shapes if key not in expected]
    wrong = [
        f"{key} is {list(shape)} instead of {list(expected[key])}"
        for key, shape in shapes.items()
        if key in expected and shape != expected[key] and not key.endswith("num_batches_tracked")
    ]
    if missing or unknown or wrong:
        lists = {"missing": missing, "unknown": unknown, "of other shapes": wrong}
        parts = [f"{word} {_listed(keys)}" for word, keys in lists.items() if keys]
        raise UserError(
            f"These look like the weights of a {sentence(description)}, but some keys do not fit: "
            f"{'; '.join(parts)}. Check that the file is whole and made by the original program."
        )


def _listed(keys: list[str], most: int = 20) -> str:
    shown = ", ".join(quoted(key) for key in keys[:most])
    return shown + (f" and {len(keys) - most} more" if len(keys) > most else "")


def sentence(description: Mapping) -> str:
    """The architecture in words, for people."""
    d = description
    kind = d["class"]
    channels = f"{d['input_nc']} channels in"
    if "output_nc" in d:
        channels = f"{d['input_nc']} -> {d['output_nc']} channels"
    norm = f", {d['norm']} norm" if "norm" in d else ", instance norm"
    if kind == "GlobalGenerator":
        parts = f"width {d['ngf']}, {d['n_downsampling']} halvings, {d['n_blocks']} blocks"
    elif kind == "LocalEnhancer":
        parts = (
            f"width {d['ngf']}, {d['n_local_enhancers']} enhancer(s) of {d['n_blocks_local']} "
            f"blocks around a global network of {d['n_downsample_global']} halvings and "
            f"{d['n_blocks_global']} blocks"
        )
    elif kind == "ResnetGenerator":
        dropout = ", dropout" if d["dropout"] else ""
        parts = f"width {d['ngf']}, {d['n_blocks']} blocks{dropout}"
    elif kind == "UnetGenerator":
        parts = f"width {d['ngf']}, {d['num_downs']} halvings"
    elif kind == "MultiscaleDiscriminator":
        features = "" if d["intermediate_features"] else ", no intermediate features"
        parts = f"width {d['ndf']}, {d['n_layers']} strided layers, {d['num_D']} scales{features}"
    elif kind == "NLayerDiscriminator":
        padding = 2 if "intermediate_features" in d else 1
        parts = f"width {d['ndf']}, {d['n_layers']} strided layers, padding {padding}"
    else:
        parts = f"width {d['ndf']}"
    return f"{kind} ({channels}, {parts}{norm})"


# --- from keys to arguments -----------------------------------------------------------------------


def _recognise(shapes: Shapes) -> dict:
    keys = list(shapes)

    def has(pattern: str) -> bool:
        return any(re.match(pattern, key) for key in keys)

    if has(r"scale\d+_layer\d+\."):
        return _multiscale(shapes, r"scale(\d+)_layer(\d+)\.0\.weight", True)
    if has(r"layer\d+\.\d+\."):
        return _multiscale(shapes, r"layer(\d+)\.(\d+)\.weight", False)
    if has(r"model\d+_1\."):
        return _local(shapes)
    if has(r"facemodel\.0\."):
        return _patch(shapes, "facemodel")
    if has(r"net\.0\.") and "net.5.weight" in shapes:
        return _pixel(shapes)
    if has(r"model\.model\."):
        return _unet(shapes)
    if _side(shapes, "model.1.weight") == 7:
        return _global(shapes)
    if _side(shapes, "model.0.weight") == 4:
        return _patch(shapes, "model")
    raise UserError(
        "These are not the weights of a network that motion_jax knows (pix2pixHD's, Everybody "
        "Dance Now's, pix2pix's and CycleGAN's generators and discriminators); the file has "
        f"{len(keys)} keys: {_listed(keys, 8) or 'none'}."
    )


def _side(shapes: Shapes, key: str) -> int:
    """Size of a convolution's kernel; 0 where there is no such convolution."""
    shape = shapes.get(key, ())
    return shape[2] if len(shape) == 4 and shape[2] == shape[3] else 0


def _shape(shapes: Shapes, key: str) -> tuple[int, ...]:
    """Of a convolution's weight; every axis at least 1."""
    shape = shapes.get(key)
    if shape is None or len(shape) != 4 or min(shape) < 1:
        raise UserError(
            f"The file lacks {quoted(key)}, or it is no convolution's weight; check that the file "
            "is whole and made by the original program."
        )
    return shape


def _indices(shapes: Shapes, pattern: str) -> list[int]:
    """The distinct numbers that a pattern's group finds in the keys, ascending."""
    found = {int(m[1]) for key in shapes if (m := re.fullmatch(pattern, key)) and len(m[1]) < 6}
    return sorted(found)


def _convolutions(shapes: Shapes, prefix: str, side: int) -> int:
    """How many convolutions of a Sequential have kernels of a size."""
    indices = _indices(shapes, rf"{prefix}\.(\d+)\.weight")
    return sum(_side(shapes, f"{prefix}.{i}.weight") == side for i in indices)


def _depth(shapes: Shapes) -> tuple[int, int]:
    """Residual blocks and halvings of a GlobalGenerator or ResnetGenerator."""
    blocks = len(_indices(shapes, r"model\.(\d+)\.conv_block\.1\.weight"))
    # As many transposed convolutions as strided ones, all of them of size 3.
    return blocks, _convolutions(shapes, "model", 3) // 2


def _global(shapes: Shapes) -> dict:
    """GlobalGenerator or ResnetGenerator."""
    ngf, input_nc = _shape(shapes, "model.1.weight")[:2]
    blocks, n_downsampling = _depth(shapes)
    last = 5 + 6 * n_downsampling + blocks
    output_nc = _shape(shapes, f"model.{last}.weight")[0]
    normed = "model.2.weight" in shapes
    found = {"input_nc": input_nc, "output_nc": output_nc, "ngf": ngf}
    biased = "model.1.bias" in shapes
    dropout = any(re.match(r"model\.\d+\.conv_block\.6\.weight", key) for key in shapes) and not (
        any(re.fullmatch(r"model\.\d+\.conv_block\.5\.weight", key) for key in shapes)
    )
    if n_downsampling == 2 and not (normed and biased):
        settings = {"n_blocks": blocks, "norm": _norm(normed, biased), "dropout": dropout}
        return {"class": "ResnetGenerator", **found, **settings}
    if normed:
        raise _batch_norm("generator")
    sizes = {"n_downsampling": n_downsampling, "n_blocks": blocks}
    return {"class": "GlobalGenerator", **found, **sizes}


def _batch_norm(role: str) -> UserError:
    return UserError(
        f"These are the weights of a pix2pixHD {role} with batch norm ({option('norm')} batch), "
        "which motion_jax does not build: it knows pix2pixHD's networks with their default, "
        "instance norm."
    )


def _norm(normed: bool, biased: bool) -> str:
    if normed:
        return "batch"
    return "instance" if biased else "none"


def _local(shapes: Shapes) -> dict:
    enhancers = _indices(shapes, r"model(\d+)_1\.1\.weight")
    n = len(enhancers)
    if enhancers != list(range(1, n + 1)):
        raise UserError(
            f"The file has the local enhancers {enhancers}, which are not numbered from 1 without "
            "a gap; check that it is whole."
        )
    if "model.2.weight" in shapes:
        raise _batch_norm("generator")
    blocks, n_downsampling = _depth(shapes)
    local = _indices(shapes, r"model1_2\.(\d+)\.conv_block\.1\.weight")
    width, input_nc = _shape(shapes, f"model{n}_1.1.weight")[:2]
    return {
        "class": "LocalEnhancer",
        "input_nc": input_nc,
        "output_nc": _shape(shapes, f"model{n}_2.{len(local) + 4}.weight")[0],
        "ngf": width,
        "n_downsample_global": n_downsampling,
        "n_blocks_global": blocks,
        "n_local_enhancers": n,
        "n_blocks_local": len(local),
    }


def _multiscale(shapes: Shapes, pattern: str, features: bool) -> dict:
    pairs = {
        (int(m[1]), int(m[2]))
        for key, shape in shapes.items()
        if (m := re.fullmatch(pattern, key)) and len(shape) == 4 and len(m[1] + m[2]) < 8
    }
    scales = sorted({scale for scale, _ in pairs})
    first = "scale0_layer0.0.weight" if features else "layer0.0.weight"
    ndf, input_nc = _shape(shapes, first)[:2]
    if ("scale0_layer1.1.weight" if features else "layer0.3.weight") in shapes:
        raise _batch_norm("discriminator")
    return {
        "class": "MultiscaleDiscriminator",
        "input_nc": input_nc,
        "ndf": ndf,
        "n_layers": max(sum(scale == 0 for scale, _ in pairs) - 2, 0),
        "num_D": len(scales),
        "intermediate_features": features,
    }


def _patch(shapes: Shapes, prefix: str) -> dict:
    """pix2pixHD's single NLayerDiscriminator, or pix2pix's."""
    ndf, input_nc = _shape(shapes, f"{prefix}.0.weight")[:2]
    convolutions = _convolutions(shapes, prefix, 4)
    normed, biased = f"{prefix}.3.weight" in shapes, f"{prefix}.2.bias" in shapes
    found = {
        "class": "NLayerDiscriminator",
        "input_nc": input_nc,
        "ndf": ndf,
        "n_layers": max(convolutions - 2, 0),
        "norm": _norm(normed, biased),
    }
    if prefix != "model":
        return {**found, "intermediate_features": False, "prefix": prefix}
    return {**found, "intermediate_features": False} if normed and biased else found


def _pixel(shapes: Shapes) -> dict:
    ndf, input_nc = _shape(shapes, "net.0.weight")[:2]
    normed, biased = "net.3.weight" in shapes, "net.2.bias" in shapes
    norm = "batch" if normed else "instance"
    found = {"class": "PixelDiscriminator", "input_nc": input_nc, "ndf": ndf, "norm": norm}
    # The code of 2019 gave these convolutions a bias exactly where today's gives them none.
    return found if biased == (norm != "instance") else {**found, "bias": biased}


def _unet(shapes: Shapes) -> dict:
    ngf, input_nc = _shape(shapes, "model.model.0.weight")[:2]
    depth, prefix = 1, "model.model.1.model"
    while f"{prefix}.1.weight" in shapes:
        depth, prefix = depth + 1, f"{prefix}.3.model"
    normed = any(re.fullmatch(r"model\.model\.1\.model\.\d+\.running_mean", k) for k in shapes)
    normed = normed or len(shapes.get("model.model.1.model.2.weight", (0, 0))) == 1
    return {
        "class": "UnetGenerator",
        "input_nc": input_nc,
        "output_nc": _shape(shapes, "model.model.3.weight")[1],
        "num_downs": depth,
        "ngf": ngf,
        "norm": _norm(normed, "model.model.0.bias" in shapes),
        "dropout": False,
    }


# --- from arguments to layers ---------------------------------------------------------------------


def _normed(
    prefix: str, index: int, kind: str, shape: tuple[int, ...], norm: str, bias: bool
) -> Iterator[Layer]:
    """A convolution at an index of a Sequential and the norm after it."""
    yield Layer(f"{prefix}.{index}", kind, shape, bias)
    if norm == "batch":
        channels = shape[1] if kind == "up" else shape[0]
        yield Layer(f"{prefix}.{index + 1}", "batch_norm", (channels,))


def _encoder_decoder(
    d: dict, n_downsampling: int, norm: str = "instance", second: int = 5, head: bool = True
) -> Iterator[Layer]:
    """GlobalGenerator and ResnetGenerator: the same Sequential."""
    n, ngf, bias = d["n_blocks"], d["ngf"], norm == "instance"
    yield from _normed("model", 1, "conv", (ngf, d["input_nc"], 7, 7), norm, bias)
    for i in range(n_downsampling):
        width = ngf * 2**i
        yield from _normed("model", 4 + 3 * i, "conv", (2 * width, width, 3, 3), norm, bias)
    width, at = ngf * 2**n_downsampling, 4 + 3 * n_downsampling
    for j in range(n):
        for index in (1, second):
            prefix = f"model.{at + j}.conv_block"
            yield from _normed(prefix, index, "conv", (width, width, 3, 3), norm, bias)
    for i in range(n_downsampling):
        shape = (width // 2**i, width // 2 ** (i + 1), 3, 3)
        yield from _normed("model", at + n + 3 * i, "up", shape, norm, bias)
    if head:
        yield Layer(f"model.{at + n + 3 * n_downsampling + 1}", "conv", (d["output_nc"], ngf, 7, 7))


def _local_layers(d: dict) -> Iterator[Layer]:
    enhancers = d["n_local_enhancers"]
    core = d | {"ngf": d["ngf"] * 2**enhancers, "n_blocks": d["n_blocks_global"]}
    yield from _encoder_decoder(core, d["n_downsample_global"], head=False)
    for n in range(1, enhancers + 1):
        width, blocks = d["ngf"] * 2 ** (enhancers - n), d["n_blocks_local"]
        yield Layer(f"model{n}_1.1", "conv", (width, d["input_nc"], 7, 7))
        yield Layer(f"model{n}_1.4", "conv", (2 * width, width, 3, 3))
        for j in range(blocks):
            for index in (1, 5):
                shape = (2 * width, 2 * width, 3, 3)
                yield Layer(f"model{n}_2.{j}.conv_block.{index}", "conv", shape)
        yield Layer(f"model{n}_2.{blocks}", "up", (2 * width, width, 3, 3))
        if n == enhancers:
            yield Layer(f"model{n}_2.{blocks + 4}", "conv", (d["output_nc"], width, 7, 7))


def _patch_widths(d: dict, cap: int) -> list[tuple[int, int]]:
    """(out, in) of the convolutions of a PatchGAN."""
    inner = (min(d["ndf"] * 2**j, cap) for j in range(1, d["n_layers"] + 1))
    widths = [d["input_nc"], d["ndf"], *inner, 1]
    return list(zip(widths[1:], widths[:-1], strict=True))


def sequential_index(j: int) -> int:
    """Where convolution j stands in a Sequential of convolution and activation, then convolution,
    norm and activation for each further layer."""
    return 0 if j == 0 else 3 * j - 1


def _patchgan(d: dict, cap: int, prefix: str, bias: bool) -> Iterator[Layer]:
    widths = _patch_widths(d, cap)
    for j, (wide, narrow) in enumerate(widths):
        inner = 0 < j < len(widths) - 1
        norm = d.get("norm", "instance") if inner else "none"
        shape = (wide, narrow, 4, 4)
        yield from _normed(prefix, sequential_index(j), "conv", shape, norm, bias or not inner)


def _multiscale_layers(d: dict) -> Iterator[Layer]:
    for scale in range(d["num_D"]):
        for j, shape in enumerate(_patch_widths(d, 512)):
            layer = f"scale{scale}_layer{j}.0"
            if not d["intermediate_features"]:
                layer = f"layer{scale}.{sequential_index(j)}"
            yield Layer(layer, "conv", (*shape, 4, 4))


def _pixel_layers(d: dict) -> Iterator[Layer]:
    ndf, norm = d["ndf"], d["norm"]
    bias = d.get("bias", norm != "instance")
    yield Layer("net.0", "conv", (ndf, d["input_nc"], 1, 1))
    yield from _normed("net", 2, "conv", (2 * ndf, ndf, 1, 1), norm, bias)
    yield Layer("net.5", "conv", (1, 2 * ndf, 1, 1), bias)


def _unet_layers(d: dict) -> Iterator[Layer]:
    norm, n, ngf = d["norm"], d["num_downs"], d["ngf"]
    bias = norm == "instance"
    width = [ngf * min(2**i, 8) for i in range(n)]
    yield Layer("model.model.0", "conv", (ngf, d["input_nc"], 4, 4), bias)
    prefix = "model.model.1.model"
    for i in range(1, n):
        inner = i < n - 1
        shape = (width[i], width[i - 1], 4, 4)
        yield from _normed(prefix, 1, "conv", shape, norm if inner else "none", bias)
        shape = (width[i] * (2 if inner else 1), width[i - 1], 4, 4)
        yield from _normed(prefix, 5 if inner else 3, "up", shape, norm, bias)
        prefix += ".3.model"
    yield Layer("model.model.3", "up", (2 * ngf, d["output_nc"], 4, 4))


_LAYERS: dict[str, Callable[[dict], Iterator[Layer]]] = {
    "GlobalGenerator": lambda d: _encoder_decoder(d, d["n_downsampling"]),
    "LocalEnhancer": _local_layers,
    "MultiscaleDiscriminator": _multiscale_layers,
    "NLayerDiscriminator": lambda d: _patchgan(d, 512, d.get("prefix", "model"), True),
    "ResnetGenerator": lambda d: _encoder_decoder(d, 2, d["norm"], 6 if d["dropout"] else 5),
    "UnetGenerator": _unet_layers,
    "PatchDiscriminator": lambda d: _patchgan(d, 8 * d["ndf"], "model", d["norm"] == "instance"),
    "PixelDiscriminator": _pixel_layers,
}
