"""Which PyTorch key holds which of our parameters, in the files of pix2pixHD, Everybody Dance Now,
pix2pix and CycleGAN.

Layouts: Conv2d OIHW -> HWIO; ConvTranspose2d IOHW -> HWIO with I = in, O = out, not flipped
(`nets.conv.conv_up` takes PyTorch's orientation).
"""

import functools
import operator
from collections.abc import Iterator, Mapping

import jax.numpy as jnp
import numpy as np

from motion_jax.errors import UserError, option
from motion_jax.nets.vgg import TORCHVISION_INDEX
from motion_jax.weights.architecture import sequential_index

# One entry a layer: our path, the reference's prefix, the kind: "conv" and "up" (transposed), or
# without bias "conv_only" and "up_only", or "batch_norm"; "affine": the factor and offset of
# another norm, "spectral": a convolution under spectral norm.
Entry = tuple[tuple[str, ...], str, str]


def _block(path: str, prefix: str) -> Iterator[Entry]:
    """One of pix2pixHD's residual blocks."""
    for ours, index in (("conv_1", 1), ("conv_2", 5)):
        yield (path, ours), f"{prefix}.conv_block.{index}", "conv"


def global_generator(n_downsampling: int, n_blocks: int, head: bool = True) -> Iterator[Entry]:
    d, b = n_downsampling, n_blocks
    yield ("first",), "model.1", "conv"
    for i in range(d):
        yield (f"down_{i}",), f"model.{4 + 3 * i}", "conv"
    for j in range(b):
        yield from _block(f"block_{j}", f"model.{4 + 3 * d + j}")
    for i in range(d):
        yield (f"up_{i}",), f"model.{4 + 3 * d + b + 3 * i}", "up"
    if head:
        yield ("last",), f"model.{5 + 6 * d + b}", "conv"


def local_enhancer(
    n_downsample_global: int, n_blocks_global: int, n_local_enhancers: int, n_blocks_local: int
) -> Iterator[Entry]:
    for path, key, kind in global_generator(n_downsample_global, n_blocks_global, head=False):
        yield ("model", *path), key, kind
    for n in range(1, n_local_enhancers + 1):
        yield (f"enhancer_{n}_first",), f"model{n}_1.1", "conv"
        yield (f"enhancer_{n}_down",), f"model{n}_1.4", "conv"
        for j in range(n_blocks_local):
            yield from _block(f"enhancer_{n}_block_{j}", f"model{n}_2.{j}")
        yield (f"enhancer_{n}_up",), f"model{n}_2.{n_blocks_local}", "up"
    # The head follows the up-convolution, its norm, its ReLU and the reflection padding.
    yield ("last",), f"model{n_local_enhancers}_2.{n_blocks_local + 4}", "conv"


def multiscale_discriminator(
    n_layers: int, num_D: int, intermediate_features: bool = True
) -> Iterator[Entry]:
    for scale in range(num_D):
        for j in range(n_layers + 2):
            key = f"scale{scale}_layer{j}.0"
            if not intermediate_features:
                key = f"layer{scale}.{sequential_index(j)}"
            yield (f"scale_{scale}", f"layer_{j}"), key, "conv"


def layer_discriminator(n_layers: int, norm: str, prefix: str) -> Iterator[Entry]:
    """One PatchGAN kept as a single Sequential, e.g. the face discriminator ("facemodel")."""
    for j in range(n_layers + 2):
        yield (f"layer_{j}",), f"{prefix}.{sequential_index(j)}", "conv"
        if norm == "batch" and 0 < j <= n_layers:
            yield (f"norm_{j}",), f"{prefix}.{sequential_index(j) + 1}", "batch_norm"


# --- pix2pix and CycleGAN -----------------------------------------------------------------------
# norm: "batch", "instance" or "none"; bias: of the convolutions before a norm.


def _conv(path: tuple[str, ...], key: str, bias: bool, kind: str = "conv") -> Iterator[Entry]:
    yield path, key, kind if bias else f"{kind}_only"


def _normed(
    path: tuple[str, ...], prefix: str, index: int, norm: str, bias: bool, kind: str = "conv"
) -> Iterator[Entry]:
    """A convolution at an index of a Sequential, and the norm that follows it."""
    yield from _conv(path, f"{prefix}.{index}", bias, kind)
    if norm == "batch":
        yield (*path[:-1], f"{path[-1]}_norm"), f"{prefix}.{index + 1}", "batch_norm"


def unet_generator(num_downs: int, norm: str, bias: bool) -> Iterator[Entry]:
    """Every level is a Sequential that holds the next inner one: at index 1 of the outermost, at 3
    of the others. Dropout stands last and shifts nothing."""
    prefix, last = "model.model", num_downs - 1
    yield from _conv(("down_0",), f"{prefix}.0", bias)
    yield ("up_0",), f"{prefix}.3", "up"
    prefix += ".1.model"
    for i in range(1, last):
        yield from _normed((f"down_{i}",), prefix, 1, norm, bias)
        yield from _normed((f"up_{i}",), prefix, 5, norm, bias, "up")
        prefix += ".3.model"
    yield from _conv((f"down_{last}",), f"{prefix}.1", bias)
    yield from _normed((f"up_{last}",), prefix, 3, norm, bias, "up")


def resnet_generator(n_blocks: int, norm: str, dropout: bool, bias: bool) -> Iterator[Entry]:
    """Dropout layers shift the second convolution of every block by one."""
    for name, index in (("first", 1), ("down_0", 4), ("down_1", 7)):
        yield from _normed((name,), "model", index, norm, bias)
    for j in range(n_blocks):
        for ours, index in (("conv_1", 1), ("conv_2", 6 if dropout else 5)):
            yield from _normed(
                (f"block_{j}", ours), f"model.{10 + j}.conv_block", index, norm, bias
            )
    for i in range(2):
        yield from _normed((f"up_{i}",), "model", 10 + n_blocks + 3 * i, norm, bias, "up")
    yield ("last",), f"model.{17 + n_blocks}", "conv"


def patch_discriminator(n_layers: int, norm: str, bias: bool) -> Iterator[Entry]:
    """pix2pix's PatchGAN."""
    yield ("layer_0",), "model.0", "conv"
    for j in range(1, n_layers + 1):
        yield from _normed((f"layer_{j}",), "model", sequential_index(j), norm, bias)
    yield (f"layer_{n_layers + 1}",), f"model.{sequential_index(n_layers + 1)}", "conv"


def pixel_discriminator(norm: str, bias: bool) -> Iterator[Entry]:
    yield ("layer_0",), "net.0", "conv"
    yield from _normed(("layer_1",), "net", 2, norm, bias)
    yield from _conv(("layer_2",), "net.5", bias)


def vgg19() -> Iterator[Entry]:
    for i, index in enumerate(TORCHVISION_INDEX):
        yield (f"conv_{i}",), f"features.{index}", "conv"


_LEAVES = {
    "conv": (("kernel", "weight"), ("bias", "bias")),
    "up": (("kernel", "weight"), ("bias", "bias")),
    "conv_only": (("kernel", "weight"),),
    "up_only": (("kernel", "weight"),),
    "batch_norm": (("scale", "weight"), ("bias", "bias")),
    "affine": (("scale", "weight"), ("bias", "bias")),
    "spectral": (("kernel", "weight_orig"), ("bias", "bias")),
}
_TO_OURS = {"conv": (2, 3, 1, 0), "up": (2, 3, 0, 1), "spectral": (2, 3, 1, 0)}
# Of spectral norm, ours in the collection "batch_stats".
_VECTORS = (("u", "weight_u"), ("v", "weight_v"))
_TO_OURS |= {f"{kind}_only": axes for kind, axes in _TO_OURS.items()}
# Batch norm's running statistics, ours in the collection "batch_stats". Where they are missing (the
# counter in files of PyTorch 0.4 and older; all of them in a network trained without keeping them)
# the values with which PyTorch begins stand for them.
_STATISTICS = (
    ("mean", "running_mean", lambda size: np.zeros(size, np.float32)),
    ("var", "running_var", lambda size: np.ones(size, np.float32)),
    ("count", "num_batches_tracked", lambda size: np.zeros((), np.int32)),
)
# PyTorch wrote these for instance norm in old files; nobody reads them.
_IGNORED = tuple(theirs for _, theirs, _ in _STATISTICS)


def from_torch(weights: Mapping[str, np.ndarray], entries: Iterator[Entry], where: str) -> dict:
    """A parameter tree from a state_dict's arrays: {"params": ...} and, for a network with batch
    norm, "batch_stats": its running statistics (mean, var, count by layer).

    Raises UserError that lists keys which are missing from the file or unknown to the network.
    """
    left = {k.removeprefix("module.").removeprefix("_orig_mod."): v for k, v in weights.items()}
    tree: dict = {}
    statistics: dict = {}
    missing = []
    for path, prefix, kind in entries:
        node = _at(tree, path)
        for ours, theirs in _LEAVES[kind]:
            value = left.pop(f"{prefix}.{theirs}", None)
            if value is None:
                missing.append(f"{prefix}.{theirs}")
                continue
            if ours == "kernel" and kind in _TO_OURS:
                value = value.transpose(_TO_OURS[kind])
            node[ours] = jnp.asarray(value, jnp.float32)
        if kind == "spectral" and "kernel" in node:
            for ours, theirs in _VECTORS:
                value = left.pop(f"{prefix}.{theirs}", None)
                if value is None:
                    missing.append(f"{prefix}.{theirs}")
                    continue
                _at(statistics, path)[ours] = jnp.asarray(value, jnp.float32)
        if kind == "batch_norm" and "scale" in node:
            kept = _at(statistics, path)
            for ours, theirs, initial in _STATISTICS:
                start = initial(node["scale"].size)
                value = left.pop(f"{prefix}.{theirs}", start)
                kept[ours] = jnp.asarray(value, start.dtype)
    left = {key: value for key, value in left.items() if not key.endswith(_IGNORED)}
    if missing or left:
        raise UserError(
            f"{where} does not hold the weights of this network: missing {missing or 'nothing'}, "
            f"unknown {sorted(left) or 'nothing'}; name the network that the file was made for."
        )
    return {"params": tree, "batch_stats": statistics} if statistics else {"params": tree}


def _at(tree: dict, path: tuple[str, ...]) -> dict:
    """The node at a path, made where it is not there."""
    for name in path:
        tree = tree.setdefault(name, {})
    return tree


def to_torch(params: Mapping, entries: Iterator[Entry]) -> dict[str, np.ndarray]:
    """The inverse of from_torch: arrays by the reference's keys, in PyTorch's layout.

    Raises UserError for a network with separable blocks.
    """
    weights = {}
    for path, prefix, kind in entries:
        node = functools.reduce(operator.getitem, path, params["params"])
        if "depthwise" in node:
            raise UserError(
                f"The network has separable residual blocks ({'/'.join(path)}), which the "
                "reference's networks do not know, so its weights cannot be written for them; "
                f"train with {option('recipe.generator.block')} full to export."
            )
        for ours, theirs in _LEAVES[kind]:
            value = np.asarray(node[ours])
            if ours == "kernel" and kind in _TO_OURS:
                value = value.transpose(np.argsort(_TO_OURS[kind]))
            weights[f"{prefix}.{theirs}"] = np.ascontiguousarray(value)
        if kind == "spectral":
            kept = functools.reduce(operator.getitem, path, params["batch_stats"])
            for ours, theirs in _VECTORS:
                weights[f"{prefix}.{theirs}"] = np.asarray(kept[ours])
        if kind == "batch_norm":
            kept = params.get("batch_stats", {})
            for name in path:
                kept = kept.get(name, {})
            for ours, theirs, initial in _STATISTICS:
                value = np.asarray(kept.get(ours, initial(node["scale"].size)))
                dtype = np.int64 if ours == "count" else np.float32
                weights[f"{prefix}.{theirs}"] = value.astype(dtype)
    return weights
