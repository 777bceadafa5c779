"""Which PyTorch key holds which of our parameters, in pix2pixHD's and Everybody Dance Now's files.

Layouts: Conv2d OIHW -> HWIO; ConvTranspose2d IOHW -> HWIO with I = in, O = out, not flipped
(`nets.conv.conv_up` takes PyTorch's orientation).
"""

from collections.abc import Iterator, Mapping

import jax.numpy as jnp
import numpy as np

from motion_jax.errors import UserError
from motion_jax.nets.vgg import TORCHVISION_INDEX

# One entry a layer: our path, the reference's prefix, the kind ("conv", "up" or "batch_norm").
Entry = tuple[tuple[str, ...], str, str]


def global_generator(n_downsampling: int, n_blocks: int, head: bool = True) -> Iterator[Entry]:
    d, b = n_downsampling, n_blocks
    yield ("first",), "model.1", "conv"
    for i in range(d):
        yield (f"down_{i}",), f"model.{4 + 3 * i}", "conv"
    for j in range(b):
        for ours, index in (("conv_1", 1), ("conv_2", 5)):
            yield (f"block_{j}", ours), f"model.{4 + 3 * d + j}.conv_block.{index}", "conv"
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
            for ours, index in (("conv_1", 1), ("conv_2", 5)):
                key = f"model{n}_2.{j}.conv_block.{index}"
                yield (f"enhancer_{n}_block_{j}", ours), key, "conv"
        yield (f"enhancer_{n}_up",), f"model{n}_2.{n_blocks_local}", "up"
    # The head follows the up-convolution, its norm, its ReLU and the reflection padding.
    yield ("last",), f"model{n_local_enhancers}_2.{n_blocks_local + 4}", "conv"


def multiscale_discriminator(
    n_layers: int, num_D: int, intermediate_features: bool = True
) -> Iterator[Entry]:
    for scale in range(num_D):
        for j in range(n_layers + 2):
            if intermediate_features:
                key = f"scale{scale}_layer{j}.0"
            else:
                key = f"layer{scale}.{_sequential_index(j)}"
            yield (f"scale_{scale}", f"layer_{j}"), key, "conv"


def layer_discriminator(n_layers: int, norm: str, prefix: str) -> Iterator[Entry]:
    """One PatchGAN kept as a single Sequential, e.g. the face discriminator ("facemodel")."""
    for j in range(n_layers + 2):
        yield (f"layer_{j}",), f"{prefix}.{_sequential_index(j)}", "conv"
        if norm == "batch" and 0 < j <= n_layers:
            yield (f"norm_{j}",), f"{prefix}.{_sequential_index(j) + 1}", "batch_norm"


def _sequential_index(j: int) -> int:
    # conv, activation; then conv, norm, activation for each further layer.
    return 0 if j == 0 else 3 * j - 1


def vgg19() -> Iterator[Entry]:
    for i, index in enumerate(TORCHVISION_INDEX):
        yield (f"conv_{i}",), f"features.{index}", "conv"


_LEAVES = {
    "conv": (("kernel", "weight"), ("bias", "bias")),
    "up": (("kernel", "weight"), ("bias", "bias")),
    "batch_norm": (("scale", "weight"), ("bias", "bias")),
}
_TO_OURS = {"conv": (2, 3, 1, 0), "up": (2, 3, 0, 1)}
# Written by PyTorch, read by nobody: batch norm's running statistics (the reference stays in
# training mode) and those that instance norm carried in files of PyTorch 0.3 and older.
_IGNORED = ("running_mean", "running_var", "num_batches_tracked")


def from_torch(weights: Mapping[str, np.ndarray], entries: Iterator[Entry], where: str) -> dict:
    """A parameter tree from a state_dict's arrays.

    Raises UserError that lists keys which are missing from the file or unknown to the network.
    """
    left = {
        key.removeprefix("module."): value
        for key, value in weights.items()
        if not key.endswith(_IGNORED)
    }
    tree: dict = {}
    missing = []
    for path, prefix, kind in entries:
        node = tree
        for name in path:
            node = node.setdefault(name, {})
        for ours, theirs in _LEAVES[kind]:
            value = left.pop(f"{prefix}.{theirs}", None)
            if value is None:
                missing.append(f"{prefix}.{theirs}")
                continue
            if theirs == "weight" and kind in _TO_OURS:
                value = value.transpose(_TO_OURS[kind])
            node[ours] = jnp.asarray(value, jnp.float32)
    if missing or left:
        raise UserError(
            f"{where} does not hold the weights of this network: missing {missing or 'nothing'}, "
            f"unknown {sorted(left) or 'nothing'}; name the network that the file was made for."
        )
    return {"params": tree}


def to_torch(params: Mapping, entries: Iterator[Entry]) -> dict[str, np.ndarray]:
    """The inverse of from_torch: arrays by the reference's keys, in PyTorch's layout.

    Raises UserError for a network with separable blocks.
    """
    weights = {}
    for path, prefix, kind in entries:
        node = params["params"]
        for name in path:
            node = node[name]
        if "depthwise" in node:
            raise UserError(
                f"The network has separable residual blocks ({'/'.join(path)}), which the "
                "reference's networks do not know, so its weights cannot be written for them; "
                "train with --recipe.generator.block full to export."
            )
        for ours, theirs in _LEAVES[kind]:
            value = np.asarray(node[ours])
            if theirs == "weight" and kind in _TO_OURS:
                value = value.transpose(np.argsort(_TO_OURS[kind]))
            weights[f"{prefix}.{theirs}"] = np.ascontiguousarray(value)
    return weights
