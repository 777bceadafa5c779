"""Rows that a part of a picture needs from its neighbours, where heights are shared among devices.

Device i of S along the axis "space" has the n rows of a picture from i n on. An operation that sees
rows beyond them gets those from the devices before and after (`pieces`, inside shard_map), one
collective permute for each side; the first and the last device make theirs by the padding of the
picture's border. The H / 2 + 1 rows that a PatchGAN makes of H are Uneven.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array, lax
from jaxtyping import Bool

AXIS = "space"

Pieces = tuple[Array | None, Array, Array | None]


@dataclass(frozen=True)
class Reach:
    """What an operation sees, and how many rows it makes of a shard's n: n * up // down.

    Attributes:
      name: for messages.
      above, below: rows of the neighbours.
      border: what is there at the picture's ends.
    """

    name: str
    above: int
    below: int
    border: Literal["reflect", "zero"] = "zero"
    down: int = 1
    up: int = 1

    @property
    def least(self) -> int:
        """Rows that a shard must have, to give its neighbours what they need and to reflect."""
        return max(self.above, self.below, 1) + (self.border == "reflect")


@struct.dataclass
class Uneven:
    """A picture [N, H, W, C] of H = S n + extra rows on S devices; stands for it in networks.

    Each device has n rows, and the last one `extra` rows more (or, if negative, fewer). Since all
    must hold arrays of one shape, each has max(extra, 0) rows at its end that count on the last
    device only. Rows that do not count hold finite numbers without meaning, and gradients towards
    them are 0.

    blocks: [N, S * (n + max(extra, 0)), W, C].
    """

    blocks: Array
    shards: int = struct.field(pytree_node=False)
    extra: int = struct.field(pytree_node=False)

    if TYPE_CHECKING:
        # struct.dataclass adds it, unknown to type checkers.
        def replace(self, **changes: Any) -> Self: ...

    @property
    def rows(self) -> int:
        """n."""
        return self.blocks.shape[1] // self.shards - max(self.extra, 0)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the picture."""
        n, _, w, c = self.blocks.shape
        return n, self.shards * self.rows + self.extra, w, c

    @property
    def dtype(self) -> Any:
        return self.blocks.dtype

    def astype(self, dtype: Any) -> "Uneven":
        return replace(self, blocks=self.blocks.astype(dtype))

    def __add__(self, other: Array) -> "Uneven":
        """other: what has no rows (a bias)."""
        return replace(self, blocks=self.blocks + other)

    __radd__ = __add__

    def counted(self) -> Bool[np.ndarray, "1 rows 1 1"]:
        """Which rows of the blocks count."""
        each = self.blocks.shape[1] // self.shards
        found = np.zeros((self.shards, each), bool)
        found[:, : self.rows] = True
        found[-1] = np.arange(each) < self.rows + self.extra
        return found.reshape(1, -1, 1, 1)

    def mean(self, axis: tuple[int, ...]) -> Array:
        """Over the picture; axis has 1."""
        count = np.prod([self.shape[i] for i in axis])
        return jnp.where(self.counted(), self.blocks, 0).sum(axis=axis) / count


def _moved(rows: Array, by: int, shards: int) -> Array:
    """From each device to the one `by` further; zeros where nothing comes."""
    pairs = [(i, i + by) for i in range(shards) if 0 <= i + by < shards]
    return lax.ppermute(rows, AXIS, pairs)


def own_rows(x: Array, shards: int, extra: int) -> Array:
    """A device's n rows; x: those of a picture that is Uneven by `extra`."""
    n = x.shape[1] - max(extra, 0)
    if extra >= 0:
        return x[:, :n]
    last, counted = lax.axis_index(AXIS) == shards - 1, jnp.arange(n)[:, None, None] < n + extra
    return jnp.where(last & ~counted, 0, x)


def pieces(x: Array, reach: Reach, shards: int, extra: int, tail: int) -> Pieces:
    """The parts of what an operation sees, in order: the rows above, the device's own n and `tail`
    rows below; None in place of no rows. Linear in x, a device's rows of a picture that is Uneven
    by `extra`."""
    own, place = own_rows(x, shards, extra), lax.axis_index(AXIS)
    n, last = own.shape[1], place == shards - 1
    above = None
    if reach.above:
        above = _moved(own[:, n - reach.above :], 1, shards)
        if reach.border == "reflect":
            above = jnp.where(place == 0, jnp.flip(own[:, 1 : reach.above + 1], 1), above)
    if not tail:
        return above, own, None
    below = own[:, : reach.below]
    if reach.below:
        below = _moved(below, -1, shards)
        if reach.border == "reflect":
            end = jnp.flip(own[:, n - 1 - reach.below : n - 1], 1)
            below = jnp.where(last, end, below)

    def filled(rows: Array) -> Array:
        return jnp.pad(rows, ((0, 0), (0, tail - rows.shape[1]), (0, 0), (0, 0)))

    below = filled(below)
    if extra > 0:
        below = jnp.where(last, filled(x[:, n:]), below)
    return above, own, below


def returned(gradients: Pieces, reach: Reach, shards: int, extra: int) -> Array:
    """The transpose of `pieces`: each device gets the gradients of the rows that it sent."""
    _, own, below = gradients
    tail = 0 if below is None else below.shape[1]
    n, h, w, c = own.shape
    shape = jax.ShapeDtypeStruct((n, h + max(extra, 0), w, c), own.dtype)
    there = partial(pieces, reach=reach, shards=shards, extra=extra, tail=tail)
    return jax.linear_transpose(there, shape)(gradients)[0]
