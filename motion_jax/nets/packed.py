"""Wide pictures with several pixels side by side in the channels, as TPUs need them.

A TPU works on 128 channels at a time. Pictures of 64 or 32 channels at full resolution leave half
or three quarters of it idle in every operation, and as much of their memory unused. So neighbouring
pixels of a row share one entry, a block: [N, H, W, C] becomes [N, H, W / f, f C].
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array, lax
from jaxtyping import Float, Float32, Shaped

LANES = 128
# Pictures of fewer channels (the network's inputs and outputs) are left as they are.
NARROWEST = 16


@struct.dataclass
class Packed:
    """A picture [N, H, W, C] as blocks [N, H, W / factor, factor * C]; stands for it in networks.

    Adding an array of C entries (a bias) or another picture works as with the picture itself.
    """

    blocks: Array
    factor: int = struct.field(pytree_node=False)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the picture."""
        n, h, w, c = self.blocks.shape
        return n, h, w * self.factor, c // self.factor

    @property
    def dtype(self) -> Any:
        return self.blocks.dtype

    def astype(self, dtype: Any) -> "Packed":
        return Packed(self.blocks.astype(dtype), self.factor)

    def __add__(self, other: "Array | Packed") -> "Packed":
        if isinstance(other, Packed):
            if other.factor == self.factor:
                return Packed(self.blocks + other.blocks, self.factor)
            other = unpacked(other)
        if other.ndim == 1:
            return Packed(self.blocks + jnp.tile(other, self.factor), self.factor)
        return Packed(self.blocks + packed(other, self.factor), self.factor)

    __radd__ = __add__


def factor_for(channels: int, width: int) -> int:
    """How many pixels of so many channels share a block: a power of two that divides the width."""
    factor = 1
    if channels >= NARROWEST:
        while 2 * factor * channels <= LANES and width % (2 * factor) == 0:
            factor *= 2
    return factor


def packed(x: Shaped[Array, "n h w c"], factor: int) -> Shaped[Array, "n h blocks {factor}*c"]:
    """`factor` pixels to a block."""
    n, h, w, c = x.shape
    return x.reshape(n, h, w // factor, factor * c)


def unpacked(x: "Array | Packed") -> Array:
    """The picture itself."""
    return x.blocks.reshape(x.shape) if isinstance(x, Packed) else x


def of(x: "Array | Packed") -> tuple[Array, int]:
    """(blocks, factor); a picture that is not packed has a factor of 1."""
    return (x.blocks, x.factor) if isinstance(x, Packed) else (x, 1)


def wrapped(blocks: Array, factor: int) -> "Array | Packed":
    return blocks if factor == 1 else Packed(blocks, factor)


def spread(
    kernel: Float[Array, "k l i o"],
    rows: Float[np.ndarray, "a y k"],
    columns: Float[np.ndarray, "b x l"],
) -> Float[Array, "y x i a*b*o"]:
    """A kernel as each phase of the output sees it.

    rows, columns: 1 where a tap is at a place for a phase, else 0. Every entry is one of the
    kernel's or 0, so nothing is rounded.
    """
    taps = jnp.asarray(rows, kernel.dtype), jnp.asarray(columns, kernel.dtype)
    found = jnp.einsum("ayi,bxj,ijco->yxcabo", *taps, kernel, precision=lax.Precision.HIGHEST)
    y, x, c = found.shape[:3]
    return found.reshape(y, x, c, -1)


def places(
    phases: int, taps: int, length: int, first: int, step: int = 1
) -> Float32[np.ndarray, "{phases} {length} {taps}"]:
    """Entry [s, place, t] is 1 where place is that of tap t of phase s: first + step * s + t."""
    found = np.zeros((phases, length, taps), np.float32)
    for s in range(phases):
        for t in range(taps):
            found[s, first + step * s + t, t] = 1
    return found


# --- reflection padding -------------------------------------------------------------------------


def margin(padding: int, factor: int) -> int:
    """Blocks that `padding` pixels need."""
    return -(-padding // factor)


def reflect(
    x: Array, factor: int, p: int, right: int | None = None, rows: int | None = None
) -> Array:
    """Blocks with p reflected rows above and below, and blocks on both sides whose p pixels next to
    the picture are its reflection; pixels beyond are zero. right: blocks there, margin() or more;
    rows: other than p, 0 where they are there already.
    """
    left, right = margin(p, factor), margin(p, factor) if right is None else right
    h, rows = x.shape[1], p if rows is None else rows
    if rows:
        above, below = jnp.flip(x[:, 1 : rows + 1], 1), jnp.flip(x[:, h - 1 - rows : h - 1], 1)
        x = jnp.concatenate([above, x, below], axis=1)
    n, h, w, c = x.shape
    near = margin(p + 1, factor)

    def pixels(blocks: Array) -> Array:
        return blocks.reshape(n, h, -1, c // factor)

    def zeros(strip: Array, before: int, after: int) -> Array:
        return packed(jnp.pad(strip, ((0, 0), (0, 0), (before, after), (0, 0))), factor)

    first = jnp.flip(pixels(x[:, :, :near])[:, :, 1 : p + 1], 2)
    last = pixels(x[:, :, w - near :])
    end = last.shape[2]
    last = jnp.flip(last[:, :, end - 1 - p : end - 1], 2)
    return jnp.concatenate(
        [zeros(first, left * factor - p, 0), x, zeros(last, 0, right * factor - p)], axis=2
    )


def unreflect(g: Array, factor: int, p: int, rows: int | None = None) -> Array:
    """The transpose of `reflect` with margin() blocks on each side: the gradient of the reflected
    rows and columns is added where they came from."""
    side, rows = margin(p, factor), p if rows is None else rows
    h, w = g.shape[1] - 2 * rows, g.shape[2] - 2 * side
    near = margin(p + 1, factor)

    def around(x: Array, top: int, bottom: int, left: int, right: int) -> Array:
        return jnp.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))

    def columns(g: Array) -> tuple[Array, Array]:
        """What goes to the first and to the last `near` blocks."""
        n, rows, _, c = g.shape
        left = g[:, :, :side].reshape(n, rows, -1, c // factor)[:, :, side * factor - p :]
        right = g[:, :, side + w :].reshape(n, rows, -1, c // factor)[:, :, :p]
        rest = near * factor - p - 1
        left = around(jnp.flip(left, 2), 0, 0, 1, rest)
        right = around(jnp.flip(right, 2), 0, 0, rest, 1)
        return packed(left, factor), packed(right, factor)

    def folded(g: Array) -> Array:
        left, right = columns(g)
        inner = g[:, :, side : side + w]
        return inner + around(left, 0, 0, 0, w - near) + around(right, 0, 0, w - near, 0)

    if not rows:
        return folded(g)
    top, bottom = (jnp.flip(folded(part), 1) for part in (g[:, :rows], g[:, rows + h :]))
    inner, rest = folded(g[:, rows : rows + h]), h - 1 - rows
    return inner + around(top, 1, rest, 0, 0) + around(bottom, rest, 1, 0, 0)


def widened(x: Any) -> Any:
    """A picture in any form in float32, unless it is in float64."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


P = TypeVar("P")


def apply(function: Callable[[Array], Array], x: P) -> P:
    """A function of each entry by itself, of a picture in any form."""
    return jax.tree.map(function, x)
