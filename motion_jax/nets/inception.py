"""Inception-v3 (Szegedy et al. 2016) in the form that FID is defined by: TensorFlow's network of
2015, as pytorch-fid has carried its weights over.

It differs from the usual Inception-v3 in its pooling: means do not count the zeros around a
picture, and the last block takes maxima in place of means. Batch norm (epsilon 0.001) is folded
into the convolutions by weights/inception.py. Names are torchvision's.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax
from jaxtyping import Float

# The side of the pictures that it is shown, and the channels of what it gives.
SIDE, CHANNELS = 299, 2048


class Layer(NamedTuple):
    """A convolution with its ReLU. rows, columns: of its kernel; same: whether zeros around it keep
    the picture's size."""

    name: str
    channels: int
    rows: int = 1
    columns: int = 1
    stride: int = 1
    same: bool = True


class Branch(NamedTuple):
    """Layers one after the other; the last two of `fork` both take what came before. pool: before
    them, "mean" or "most" of 3x3 at every place, or "fewer": maxima at every second."""

    layers: tuple[Layer, ...] = ()
    fork: tuple[Layer, ...] = ()
    pool: Literal["", "mean", "most", "fewer"] = ""


FIRST = (
    Layer("Conv2d_1a_3x3", 32, 3, 3, 2, same=False),
    Layer("Conv2d_2a_3x3", 32, 3, 3, same=False),
    Layer("Conv2d_2b_3x3", 64, 3, 3),
)
SECOND = (Layer("Conv2d_3b_1x1", 80), Layer("Conv2d_4a_3x3", 192, 3, 3, same=False))


def _a(pooled: int) -> tuple[Branch, ...]:
    return (
        Branch((Layer("branch1x1", 64),)),
        Branch((Layer("branch5x5_1", 48), Layer("branch5x5_2", 64, 5, 5))),
        Branch(
            (
                Layer("branch3x3dbl_1", 64),
                Layer("branch3x3dbl_2", 96, 3, 3),
                Layer("branch3x3dbl_3", 96, 3, 3),
            )
        ),
        Branch((Layer("branch_pool", pooled),), pool="mean"),
    )


def _c(inner: int) -> tuple[Branch, ...]:
    return (
        Branch((Layer("branch1x1", 192),)),
        Branch(
            (
                Layer("branch7x7_1", inner),
                Layer("branch7x7_2", inner, 1, 7),
                Layer("branch7x7_3", 192, 7, 1),
            )
        ),
        Branch(
            (
                Layer("branch7x7dbl_1", inner),
                Layer("branch7x7dbl_2", inner, 7, 1),
                Layer("branch7x7dbl_3", inner, 1, 7),
                Layer("branch7x7dbl_4", inner, 7, 1),
                Layer("branch7x7dbl_5", 192, 1, 7),
            )
        ),
        Branch((Layer("branch_pool", 192),), pool="mean"),
    )


def _e(pool: Literal["mean", "most"]) -> tuple[Branch, ...]:
    return (
        Branch((Layer("branch1x1", 320),)),
        Branch(
            (Layer("branch3x3_1", 384),),
            (Layer("branch3x3_2a", 384, 1, 3), Layer("branch3x3_2b", 384, 3, 1)),
        ),
        Branch(
            (Layer("branch3x3dbl_1", 448), Layer("branch3x3dbl_2", 384, 3, 3)),
            (Layer("branch3x3dbl_3a", 384, 1, 3), Layer("branch3x3dbl_3b", 384, 3, 1)),
        ),
        Branch((Layer("branch_pool", 192),), pool=pool),
    )


BLOCKS: dict[str, tuple[Branch, ...]] = {
    "Mixed_5b": _a(32),
    "Mixed_5c": _a(64),
    "Mixed_5d": _a(64),
    "Mixed_6a": (
        Branch((Layer("branch3x3", 384, 3, 3, 2, same=False),)),
        Branch(
            (
                Layer("branch3x3dbl_1", 64),
                Layer("branch3x3dbl_2", 96, 3, 3),
                Layer("branch3x3dbl_3", 96, 3, 3, 2, same=False),
            )
        ),
        Branch(pool="fewer"),
    ),
    "Mixed_6b": _c(128),
    "Mixed_6c": _c(160),
    "Mixed_6d": _c(160),
    "Mixed_6e": _c(192),
    "Mixed_7a": (
        Branch((Layer("branch3x3_1", 192), Layer("branch3x3_2", 320, 3, 3, 2, same=False))),
        Branch(
            (
                Layer("branch7x7x3_1", 192),
                Layer("branch7x7x3_2", 192, 1, 7),
                Layer("branch7x7x3_3", 192, 7, 1),
                Layer("branch7x7x3_4", 192, 3, 3, 2, same=False),
            )
        ),
        Branch(pool="fewer"),
    ),
    "Mixed_7b": _e("mean"),
    "Mixed_7c": _e("most"),
}


class Inception(nn.Module):
    """Pictures in [-1, 1] of SIDE x SIDE → the means over the picture of what the last block gives:
    the features of FID."""

    @nn.compact
    def __call__(self, x: Float[Array, "n h w 3"]) -> Float[Array, "n 2048"]:
        for layers in (FIRST, SECOND):
            for layer in layers:
                x = self._layer(x, layer, layer.name)
            x = nn.max_pool(x, (3, 3), (2, 2))
        for name, branches in BLOCKS.items():
            with jax.named_scope(name):
                found = [part for branch in branches for part in self._branch(x, branch, name)]
                x = jnp.concatenate(found, axis=-1)
        return x.mean((1, 2))

    def _branch(self, x: Array, branch: Branch, block: str) -> Iterator[Array]:
        x = _pooled(x, branch.pool)
        for layer in branch.layers:
            x = self._layer(x, layer, f"{block}.{layer.name}")
        if not branch.fork:
            yield x
        for layer in branch.fork:
            yield self._layer(x, layer, f"{block}.{layer.name}")

    def _layer(self, x: Array, layer: Layer, name: str) -> Array:
        return nn.relu(
            nn.Conv(
                layer.channels,
                (layer.rows, layer.columns),
                (layer.stride, layer.stride),
                "SAME" if layer.same else "VALID",
                precision=lax.Precision.HIGHEST,
                name=name,
            )(x)
        )


def _pooled(x: Array, pool: str) -> Array:
    if pool == "mean":
        return nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False)
    if pool == "most":
        return nn.max_pool(x, (3, 3), (1, 1), "SAME")
    return nn.max_pool(x, (3, 3), (2, 2)) if pool == "fewer" else x


def layers() -> Iterator[tuple[str, Layer, int]]:
    """(name with the block before it, layer, channels that it takes) of all convolutions."""
    taken = 3
    for layer in (*FIRST, *SECOND):
        yield layer.name, layer, taken
        taken = layer.channels
    for block, branches in BLOCKS.items():
        given = 0
        for branch in branches:
            inner = taken
            for layer in branch.layers:
                yield f"{block}.{layer.name}", layer, inner
                inner = layer.channels
            for layer in branch.fork:
                yield f"{block}.{layer.name}", layer, inner
            given += sum(layer.channels for layer in branch.fork) or inner
        taken = given
