"""Convolutions as TPUs run them best; see conv.py for what each function computes.

Chosen by the estimates of XLA's TPU compiler (motion_jax.profiling.topology) for a v5e and batches
of 8; all are exact: the same products, summed in another order. What costs most when written
plainly, and what is done instead:

  few channels   A picture of 3 or 6 channels fills as many of 128 lanes. Towards one, a convolution
                 with stride (4, 8) makes 32 pixels at once, as channels. Away from one, the shifts
                 along a row are laid side by side first, which leaves a k x 1 kernel.
  64 channels    Pictures of less than 128 channels stay packed from layer to layer (packed.py).
  reflection     Its transpose written plainly passes over the picture four times; here once.
  transposed     The kernel gradient of a dilated convolution reverses the whole picture; that of
                 the strided convolution, of which it is the transpose, does not.

Functions take pictures as arrays or Packed; conv_reflect, conv_down, conv_up and conv_zero give
Packed where the channels ask for it, so only networks that pass them on to each other may use them.
`near`: see conv_accelerator.py.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.experimental.layout import Layout, with_layout_constraint

from motion_jax.nets import conv_accelerator as plainly
from motion_jax.nets import packed
from motion_jax.nets.conv_accelerator import Near
from motion_jax.nets.packed import Packed, factor_for, margin, of, places, spread, unpacked, wrapped

Picture = Array | Packed

# A network's inputs and outputs (6, 12 and 3 channels) have at most this many channels.
_FEW = 12
# Rows and columns of pixels that are computed at once of a picture of few channels.
_TILE = (4, 8)


def _xla(x: Array, kernel: Array, strides=(1, 1), padding="VALID", dilation=(1, 1)) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        padding,
        lhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _turned(kernel: Array) -> Array:
    """The kernel of the gradient towards the input."""
    return jnp.swapaxes(kernel[::-1, ::-1], 2, 3)


# --- stride 1, without padding ------------------------------------------------------------------


def _from_few(x: Array, kernel: Array, factor: int) -> Array:
    """Of a picture of few channels: [N, H + k - 1, W + k - 1, I] -> [N, H, W / f, f O]."""
    k, _, inputs, outputs = kernel.shape
    width, taps = x.shape[2] - k + 1, k + factor - 1
    x = jnp.pad(x, ((0, 0), (0, 0), (0, factor - 1), (0, 0)))
    # With a row's pixels in the lanes the shifts are cheap; XLA would put the channels there.
    x = with_layout_constraint(x, Layout(major_to_minor=(0, 3, 1, 2)))
    shifts = jnp.concatenate([x[:, :, j : j + width : factor] for j in range(taps)], axis=-1)
    kernel = spread(kernel, places(1, k, k, 0), places(factor, k, taps, 0))
    return _xla(shifts, kernel.reshape(k, 1, taps * inputs, factor * outputs))


def _to_few(x: Array, kernel: Array, factor: int, left: int, height: int, width: int) -> Array:
    """Towards a picture of few channels: blocks -> [N, height, width, O].

    The first output pixel sees the pixels from `left` before the picture's first one; that one
    begins block margin(left, factor). Rows and blocks that are missing below and to the right are
    taken as zero.
    """
    rows, columns = _TILE
    k, _, inputs, outputs = kernel.shape
    # Blocks that a tile of outputs sees; pixels of them before the first one that counts.
    seen = margin(left, factor) + margin(columns + k - 1 - left, factor)
    before = margin(left, factor) * factor - left
    tall, wide = -(-height // rows), -(-width // columns)
    step = columns // factor
    missing = rows * tall + k - 1 - x.shape[1], step * (wide - 1) + seen - x.shape[2]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((0, m, 0) for m in missing), (0, 0, 0)])
    kernel = spread(
        kernel, places(rows, k, rows + k - 1, 0), places(columns, k, seen * factor, before)
    )
    kernel = kernel.reshape(rows + k - 1, seen, factor * inputs, rows * columns * outputs)
    y = _xla(x, kernel, (rows, step))
    y = y.reshape(*y.shape[:3], rows, columns, outputs).transpose(0, 1, 3, 2, 4, 5)
    return y.reshape(y.shape[0], tall * rows, wide * columns, outputs)[:, :height, :width]


def _packed_same(
    x: Array, kernel: Array, factor: int, zeros: tuple[int, int] | None = None
) -> Array:
    """Blocks with k // 2 more rows and margin(k // 2) more blocks on each side -> blocks. zeros:
    how many of the rows above and below are missing, with all of the blocks on the sides; they
    count as zeros."""
    k, _, inputs, outputs = kernel.shape
    side = margin(k // 2, factor)
    seen = 2 * side + 1
    first = side * factor - k // 2
    kernel = spread(kernel, places(1, k, k, 0), places(factor, k, seen * factor, first))
    padding = "VALID" if zeros is None else (zeros, (side, side))
    kernel = kernel.reshape(k, seen, factor * inputs, factor * outputs)
    return _xla(x, kernel, padding=padding)


# --- reflection padding -------------------------------------------------------------------------


def _reflected_form(x: Array, kernel: Array, taken: int, given: int, rows: int) -> Array:
    """Blocks of factor `taken` -> blocks of factor `given`; see conv.conv_reflect. rows: of
    reflection to add above and below; 0 where they are there."""
    k, _, inputs, outputs = kernel.shape
    p, width = k // 2, x.shape[2] * taken
    height = x.shape[1] + 2 * (rows - p)
    if inputs <= _FEW < outputs:
        return _from_few(packed.reflect(x, 1, p, rows=rows), kernel, given)
    x = packed.reflect(x, taken, p, rows=rows)
    if outputs <= _FEW < inputs and _TILE[1] % taken == 0:
        return _to_few(x, kernel, taken, p, height, width)
    return _packed_same(x, kernel, taken) if taken > 1 else plainly.plain(x, kernel, 1, "VALID")


def _reflected_backward(
    taken: int, given: int, rows: int, saved: tuple[Array, Array], dy: Array
) -> tuple[Array, Array]:
    x, kernel = saved
    (towards_kernel,) = jax.vjp(lambda k: _reflected_form(x, k, taken, given, rows), kernel)[1](dy)
    return _unreflected(dy, kernel, taken, given, rows), towards_kernel


def _unreflected(dy: Array, kernel: Array, taken: int, given: int, rows: int) -> Array:
    """Gradient towards the input: first of the padded picture, which is then folded."""
    k, _, inputs, outputs = kernel.shape
    p, turned = k // 2, _turned(kernel)
    height, width = dy.shape[1] + 2 * p, dy.shape[2] * given + 2 * p

    def around(x: Array, rows: int, columns: int) -> Array:
        return jnp.pad(x, ((0, 0), (rows, rows), (columns, columns), (0, 0)))

    if outputs <= _FEW < inputs:
        # Whole blocks on both sides: some more pixels, whose gradient is not used.
        extra = margin(p, taken) * taken - p
        g = _from_few(around(dy, 2 * p, 2 * p + extra), turned, taken)
    elif inputs <= _FEW < outputs and _TILE[1] % given == 0:
        g = _to_few(around(dy, 2 * p, margin(2 * p, given)), turned, given, 2 * p, height, width)
    elif taken > 1:
        g = _packed_same(around(dy, 2 * p, 2 * margin(p, taken)), turned, taken)
    else:
        g = plainly.plain(dy, turned, 1, ((2 * p, 2 * p), (2 * p, 2 * p)))
    return packed.unreflect(g, taken, p, rows)


_reflected = jax.custom_vjp(_reflected_form, nondiff_argnums=(2, 3, 4))
_reflected.defvjp(
    lambda x, kernel, *settings: (_reflected_form(x, kernel, *settings), (x, kernel)),
    _reflected_backward,
)


def conv_reflect(x: Picture, kernel: Array, near: Near = (0, 0)) -> Picture:
    k, _, inputs, outputs = kernel.shape
    blocks, taken = of(x)
    given = taken
    if inputs <= _FEW < outputs:
        blocks, taken, given = unpacked(x), 1, factor_for(outputs, x.shape[2])
    elif outputs <= _FEW:
        given = 1
        if _TILE[1] % taken or inputs <= _FEW:
            blocks, taken = unpacked(x), 1
    return wrapped(_reflected(blocks, kernel, taken, given, k // 2 - near[0]), given)


# --- stride 2 and its transpose -----------------------------------------------------------------


def _down(x: Array, kernel: Array, factor: int, rows: tuple[int, int] = (1, 1)) -> Array:
    """Blocks of an even factor -> blocks of half of it; see conv.conv_down. H even. rows: of
    zeros above and below."""
    _, _, inputs, outputs = kernel.shape
    half = factor // 2
    columns = places(half, 3, 2 * factor, factor - 1, step=2)
    kernel = spread(kernel, places(1, 3, 3, 0), columns)
    kernel = kernel.reshape(3, 2, factor * inputs, half * outputs)
    return _xla(x, kernel, (2, 1), (rows, (1, 0)))


def conv_down(x: Picture, kernel: Array, near: Near = (0, 0)) -> Picture:
    blocks, factor = of(x)
    if factor == 1 or (x.shape[1] - sum(near)) % 2:
        return plainly.conv_down(unpacked(x), kernel, near)
    return wrapped(_down(blocks, kernel, factor, plainly.rows(1, near)), factor // 2)


def _strided(y: Array, kernel: Array, factor: int, near: Near) -> Array:
    """What `_up` is the transpose of: blocks of `factor` -> blocks of half of it. kernel as
    conv_up's."""
    kernel = jnp.swapaxes(kernel, 2, 3)
    rows = 1 + 2 * near[0], 1 + 2 * near[1]
    if factor > 1:
        return _down(y, kernel, factor, rows)
    return plainly.plain(y, kernel, 2, (rows, (1, 1)))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _up(x: Array, kernel: Array, factor: int, near: Near) -> Array:
    """Blocks of factor // 2 -> blocks of `factor`; factor 1: a picture -> a picture."""
    if factor == 1:
        return plainly.conv_up(x, kernel, near)
    _, _, inputs, outputs = kernel.shape
    half = factor // 2
    kernel = spread(kernel[::-1], places(1, 3, 3, 0), _up_places(half))
    kernel = kernel.reshape(3, 2, half * inputs, factor * outputs)
    rows = 1 - 2 * near[0], 2 - 2 * near[1]
    return _xla(x, kernel, padding=(rows, (0, 1)), dilation=(2, 1))


def _up_places(half: int) -> np.ndarray:
    """[2 half, 2 half, 3]: the taps of a block's output pixels on two blocks of the input.

    y[2m] = w1 x[m]; y[2m+1] = w2 x[m] + w0 x[m+1].
    """
    found = np.zeros((2 * half, 2 * half, 3), np.float32)
    for m in range(half):
        found[2 * m, m, 1] = found[2 * m + 1, m, 2] = found[2 * m + 1, m + 1, 0] = 1
    return found


def _up_backward(
    factor: int, near: Near, saved: tuple[Array, Array], dy: Array
) -> tuple[Array, Array]:
    x, kernel = saved
    _, pull = jax.vjp(lambda k: _strided(dy, k, factor, near), kernel)
    return _strided(dy, kernel, factor, near), pull(x)[0]


_up.defvjp(lambda x, kernel, *settings: (_up(x, kernel, *settings), (x, kernel)), _up_backward)


def conv_up(x: Picture, kernel: Array, near: Near = (0, 0)) -> Picture:
    blocks, half = of(x)
    factor = 2 * half
    if factor_for(kernel.shape[3], 2 * x.shape[2]) < factor or kernel.shape[0] == 4:
        blocks, factor = unpacked(x), 1
    return wrapped(_up(blocks, kernel, factor, near), factor)


# --- the rest -----------------------------------------------------------------------------------


def _with_input_gradient(
    form: Callable[[Array, Array, int, Near], Array],
    towards_input: Callable[[Array, Array, int, Near], Array],
) -> Callable[[Array, Array, int, Near], Array]:
    """A form whose gradient towards the input is computed from the output's and the kernel; that
    towards the kernel is the form's own."""

    def forward(x: Array, kernel: Array, factor: int, near: Near) -> Any:
        return form(x, kernel, factor, near), (x, kernel)

    def backward(factor: int, near: Near, saved: tuple[Array, Array], dy: Array) -> Any:
        x, kernel = saved
        (towards_kernel,) = jax.vjp(lambda k: form(x, k, factor, near), kernel)[1](dy)
        return towards_input(dy, kernel, factor, near), towards_kernel

    made = jax.custom_vjp(form, nondiff_argnums=(2, 3))
    made.defvjp(forward, backward)
    return made


def _zero_from_few_form(x: Array, kernel: Array, given: int, near: Near) -> Array:
    """A picture of few channels, with k // 2 zeros around it -> blocks of factor `given`."""
    p = kernel.shape[0] // 2
    around = jnp.pad(x, ((0, 0), plainly.rows(p, near), (p, p), (0, 0)))
    return _from_few(around, kernel, given)


def _zero_from_few_backward(dy: Array, kernel: Array, given: int, near: Near) -> Array:
    p = kernel.shape[0] // 2
    side = margin(p, given)
    height, width = dy.shape[1] + sum(near), dy.shape[2] * given
    around = jnp.pad(dy, ((0, 0), (p + near[0], p + near[1]), (side, side), (0, 0)))
    return _to_few(around, _turned(kernel), given, p, height, width)


def _zero_to_few_form(x: Array, kernel: Array, taken: int, near: Near) -> Array:
    """Blocks of factor `taken`, with k // 2 zeros around the picture -> a picture of few
    channels."""
    p = kernel.shape[0] // 2
    side = margin(p, taken)
    height, width = x.shape[1] - sum(near), x.shape[2] * taken
    around = jnp.pad(x, ((0, 0), plainly.rows(p, near), (side, side), (0, 0)))
    return _to_few(around, kernel, taken, p, height, width)


def _zero_to_few_backward(dy: Array, kernel: Array, taken: int, near: Near) -> Array:
    p = kernel.shape[0] // 2
    around = jnp.pad(dy, ((0, 0), (p + near[0], p + near[1]), (p, p), (0, 0)))
    return _from_few(around, _turned(kernel), taken)


_zero_from_few = _with_input_gradient(_zero_from_few_form, _zero_from_few_backward)
_zero_to_few = _with_input_gradient(_zero_to_few_form, _zero_to_few_backward)


def conv_zero(x: Picture, kernel: Array, padding: int, near: Near = (0, 0)) -> Picture:
    k, _, inputs, outputs = kernel.shape
    blocks, factor = of(x)
    given = factor_for(outputs, x.shape[2])
    if padding != k // 2 or k % 2 == 0:
        return plainly.conv_zero(unpacked(x), kernel, padding, near)
    if inputs <= _FEW < outputs and _TILE[1] % given == 0:
        return wrapped(_zero_from_few(unpacked(x), kernel, given, near), given)
    if k > 1 and outputs <= _FEW < inputs and _TILE[1] % factor == 0:
        return _zero_to_few(blocks, kernel, factor, near)
    if factor > 1 and given == factor:
        rows = plainly.rows(padding, near)
        return wrapped(_packed_same(blocks, kernel, factor, zeros=rows), factor)
    return plainly.conv_zero(unpacked(x), kernel, padding, near)


def conv_patch(
    x: Array, kernel: Array, stride: int, padding: int = 2, near: Near = (0, 0)
) -> Array:
    return plainly.conv_patch(x, kernel, stride, padding, near)


def _pairs(x: Array) -> list[Array]:
    """The four pictures of which max_pool takes the largest, row by row; x: blocks of two pixels,
    H even."""
    c = x.shape[3] // 2
    return [x[:, i::2, :, j : j + c] for i in (0, 1) for j in (0, c)]


@jax.custom_vjp
def _max_pool(x: Array) -> Array:
    """Blocks of two pixels, H even -> a picture of half the size."""
    return jax.tree.reduce(jnp.maximum, _pairs(x))


def _max_pool_backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array]:
    x, y = saved
    given, taken = [], jnp.zeros(y.shape, bool)
    for each in _pairs(x):
        first = (each == y) & ~taken
        taken |= first
        given.append(jnp.where(first, dy, 0))
    rows = [jnp.concatenate(given[i : i + 2], axis=3) for i in (0, 2)]
    return (jnp.stack(rows, axis=2).reshape(x.shape),)


def _max_pool_forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
    y = _max_pool(x)
    return y, (x, y)


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def max_pool(x: Picture) -> Array:
    blocks, factor = of(x)
    if factor != 2 or x.shape[1] % 2:
        return plainly.max_pool(unpacked(x))
    return _max_pool(blocks)


relu = plainly.relu


def max_pool_relu(x: Picture) -> Array:
    return relu(max_pool(x))
