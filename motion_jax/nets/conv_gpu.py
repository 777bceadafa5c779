"""Convolutions as GPUs run them best; see conv.py for what each function computes.

Chosen by the programs that XLA compiles for an H200 (motion_jax.profiling.gpu), by what cuDNN is
asked to do and by the bytes that move through memory; all are exact: the same products, summed in
another order. What the plain forms (conv_accelerator.py) cost there, and what is done instead:

  transposed     XLA makes the kernel gradient of a dilated convolution a convolution whose "kernel"
                 is a whole picture with zeros between its rows. That of the strided convolution, of
                 which it is the transpose, is cuDNN's own kernel gradient.
  larger result  Kernel 4, stride 1, padding 2: the result is larger than the input, so XLA
                 exchanges the two in the kernel gradient and again has a picture for a kernel.
                 With the padding already there, behind a barrier, it does not.
  reflection     jnp.pad goes over the picture once for its rows and once for its columns. Written
                 as nine pieces it is part of the pass that makes the picture, and its transpose of
                 the pass that reads the gradient.
  max-pooling    Its gradient keeps four int32 indices and a float32 maximum of every square of
                 pixels. Here it keeps one byte, which also says where the ReLU after it is 0.
  ReLU           Its mask is taken from its result, which is kept in any case, so that what it is
                 the maximum of need not be, and cuDNN can take the maximum as it writes.

`near`: see conv_accelerator.py.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from motion_jax.nets import conv_accelerator
from motion_jax.nets.conv_accelerator import Near, plain, rows

# --- reflection padding -------------------------------------------------------------------------


def conv_reflect(x: Array, kernel: Array, near: Near = (0, 0)) -> Array:
    k = kernel.shape[0] // 2
    return plain(_reflected(x, rows(k, near), k), kernel, 1, "VALID")


def _strips(size: int, before: int, after: int) -> list[tuple[int, int, bool]]:
    """What a padded side of `size` entries is made of: (first, last + 1, whether turned round)."""
    strips = [(1, before + 1, True), (0, size, False), (size - 1 - after, size - 1, True)]
    return [strip for strip in strips if strip[0] < strip[1]]


def _piece(x: Array, axis: int, strip: tuple[int, int, bool]) -> Array:
    first, end, turned = strip
    part = lax.slice_in_dim(x, first, end, axis=axis)
    return jnp.flip(part, axis) if turned else part


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _reflected(x: Array, above_below: tuple[int, int], side: int) -> Array:
    """jnp.pad(mode="reflect") of rows, above and below, and of columns, on both sides."""
    down, right = _strips(x.shape[1], *above_below), _strips(x.shape[2], side, side)
    lines = [jnp.concatenate([_piece(_piece(x, 1, a), 2, b) for b in right], axis=2) for a in down]
    return jnp.concatenate(lines, axis=1)


def _reflected_forward(x: Array, above_below: tuple[int, int], side: int):
    return _reflected(x, above_below, side), x.shape


def _reflected_backward(
    above_below: tuple[int, int], side: int, shape: tuple[int, ...], dy: Array
) -> tuple[Array]:
    """What went to several places comes back as a sum: each piece in its place among zeros."""
    total = None
    down, right = _strips(shape[1], *above_below), _strips(shape[2], side, side)
    top = 0
    for a in down:
        left = 0
        for b in right:
            piece = dy[:, top : top + a[1] - a[0], left : left + b[1] - b[0]]
            for axis, (_, _, turned) in ((1, a), (2, b)):
                piece = jnp.flip(piece, axis) if turned else piece
            around = [(0, 0), (a[0], shape[1] - a[1]), (b[0], shape[2] - b[1]), (0, 0)]
            piece = jnp.pad(piece, around)
            total = piece if total is None else total + piece
            left += b[1] - b[0]
        top += a[1] - a[0]
    assert total is not None, "the picture itself is a piece"
    return (total,)


_reflected.defvjp(_reflected_forward, _reflected_backward)

# --- zero padding -------------------------------------------------------------------------------

conv_zero = conv_accelerator.conv_zero
conv_down = conv_accelerator.conv_down


def conv_patch(
    x: Array, kernel: Array, stride: int, padding: int = 2, near: Near = (0, 0)
) -> Array:
    above_below = rows(padding, near)
    if stride > 1 or sum(above_below) < 3:
        return conv_accelerator.conv_patch(x, kernel, stride, padding, near)
    return _larger(x, kernel, above_below, padding)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _larger(x: Array, kernel: Array, above_below: tuple[int, int], side: int) -> Array:
    """A convolution with stride 1 whose result is larger than its input."""
    return plain(x, kernel, 1, (above_below, (side, side)))


def _larger_forward(x: Array, kernel: Array, above_below: tuple[int, int], side: int):
    return _larger(x, kernel, above_below, side), (x, kernel)


def _larger_backward(
    above_below: tuple[int, int], side: int, saved: tuple[Array, Array], dy: Array
) -> tuple[Array, Array]:
    x, kernel = saved
    [dx] = jax.linear_transpose(lambda x: plain(x, kernel, 1, (above_below, (side, side))), x)(dy)
    # Without the barrier XLA would make the padding the convolution's own again.
    wide = lax.optimization_barrier(jnp.pad(x, ((0, 0), above_below, (side, side), (0, 0))))
    return dx, _kernel_gradient(lambda kernel: plain(wide, kernel, 1, "VALID"), kernel, dy)


_larger.defvjp(_larger_forward, _larger_backward)


def _kernel_gradient(convolution, kernel: Array, dy: Array) -> Array:
    """Of a function that is linear in the kernel, whose value is not computed."""
    return jax.linear_transpose(convolution, kernel)(dy)[0]


# --- transposed ---------------------------------------------------------------------------------


def conv_up(x: Array, kernel: Array, near: Near = (0, 0)) -> Array:
    # What the picture's own padding makes of the rows of the neighbours is left out.
    y = _up(x, kernel)
    return y[:, 2 * near[0] : 2 * (x.shape[1] - near[1])] if any(near) else y


@jax.custom_vjp
def _up(x: Array, kernel: Array) -> Array:
    return conv_accelerator.conv_up(x, kernel)


def _up_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _up(x, kernel), (x, kernel)


def _strided(y: Array, kernel: Array) -> Array:
    """The transpose of _up, with the kernel of _up turned to [k, k, outputs, inputs]: Conv2d of
    stride 2 and padding 1."""
    return plain(y, kernel, 2, ((1, 1), (1, 1)))


def _up_backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = saved
    turned = jnp.swapaxes(kernel, 2, 3)
    toward_kernel = _kernel_gradient(lambda turned: _strided(dy, turned), turned, x)
    return _strided(dy, turned), jnp.swapaxes(toward_kernel, 2, 3)


_up.defvjp(_up_forward, _up_backward)

# --- what stands between convolutions -----------------------------------------------------------


def max_pool(x: Array) -> Array:
    return _pooled(x, False)


def max_pool_relu(x: Array) -> Array:
    return _pooled(x, True)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _pooled(x: Array, relu: bool) -> Array:
    return _largest(x, relu)[0]


def _largest(x: Array, relu: bool) -> tuple[Array, Array]:
    """The maximum of each square of 2x2 pixels, with `relu` also of 0, and which of its four pixels
    is the first that has it: 0 to 3, row by row; 4 where 0 is."""
    h, w = (side // 2 * 2 for side in x.shape[1:3])
    best, *others = (x[:, i:h:2, j:w:2] for i in range(2) for j in range(2))
    place = jnp.zeros(best.shape, jnp.uint8)
    for number, other in enumerate(others, 1):
        place = jnp.where(other > best, jnp.uint8(number), place)
        best = jnp.maximum(best, other)
    if relu:
        place = jnp.where(best > 0, place, jnp.uint8(4))
        best = jnp.maximum(best, 0)
    return best, place


def _pooled_forward(x: Array, relu: bool) -> tuple[Array, tuple[Array, tuple[int, ...]]]:
    y, place = _largest(x, relu)
    return y, (place, x.shape)


def _pooled_backward(relu: bool, saved: tuple[Array, tuple[int, ...]], dy: Array) -> tuple[Array]:
    place, shape = saved
    n, h, w, c = dy.shape
    # [n, h, row of the square, w, column of the square, c].
    number = 2 * lax.broadcasted_iota(jnp.uint8, (1, 1, 2, 1, 1, 1), 2)
    number += lax.broadcasted_iota(jnp.uint8, (1, 1, 1, 1, 2, 1), 4)
    taken = place[:, :, None, :, None] == number
    dx = jnp.where(taken, dy[:, :, None, :, None], 0).reshape(n, 2 * h, 2 * w, c)
    odd = (shape[1] % 2, shape[2] % 2)
    return (jnp.pad(dx, ((0, 0), (0, odd[0]), (0, odd[1]), (0, 0))) if any(odd) else dx,)


_pooled.defvjp(_pooled_forward, _pooled_backward)


@jax.custom_vjp
def relu(x: Array) -> Array:
    return jnp.maximum(x, 0)


def _relu_forward(x: Array) -> tuple[Array, Array]:
    y = relu(x)
    return y, y


def _relu_backward(y: Array, dy: Array) -> tuple[Array]:
    # XLA knows that y > 0 where x > 0, would look there, and then had to keep x.
    return (jnp.where(y != 0, dy, 0),)


relu.defvjp(_relu_forward, _relu_backward)
