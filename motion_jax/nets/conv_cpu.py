"""Convolutions as XLA's CPU backend runs them best; see conv.py for what each function computes.

That backend has a fast convolution (stride 1, zero padding that keeps the size) and a generic one
that is 3 to 20 times slower and that gradients of strided and dilated convolutions fall into. So
every layer is rewritten into fast ones: a reflection-padded convolution is computed with zero
padding and its border cropped; strided and transposed convolutions become sums over the 2x2 phases
of the picture, in which no product with a padding zero is computed.
"""

import jax.numpy as jnp
from jax import Array

from motion_jax.nets import conv_accelerator
from motion_jax.nets.conv_accelerator import conv_zero, plain  # noqa: F401


def _same_size(x: Array, kernel: Array) -> Array:
    """Stride-1 convolution, odd kernel, zero padding that keeps the size: the fast one."""
    k = kernel.shape[0] // 2
    return plain(x, kernel, 1, ((k, k), (k, k)))


def conv_reflect(x: Array, kernel: Array) -> Array:
    k = kernel.shape[0] // 2
    x = jnp.pad(x, ((0, 0), (k, k), (k, k), (0, 0)), mode="reflect")
    return _same_size(x, kernel)[:, k:-k, k:-k, :]


def conv_down(x: Array, kernel: Array) -> Array:
    if x.shape[1] % 2 or x.shape[2] % 2:
        return conv_accelerator.conv_down(x, kernel)
    # y[i] = w0 x[2i-1] + w1 x[2i] + w2 x[2i+1], per axis: even rows meet w1, odd rows w0 and w2.
    even, odd = slice(0, None, 2), slice(1, None, 2)
    total = None
    for rows, kernel_rows, top in ((even, slice(1, 2), 0), (odd, slice(0, None, 2), 1)):
        for columns, kernel_columns, left in ((even, slice(1, 2), 0), (odd, slice(0, None, 2), 1)):
            part = plain(
                x[:, rows, columns, :],
                kernel[kernel_rows, kernel_columns],
                1,
                ((top, 0), (left, 0)),
            )
            total = part if total is None else total + part
    return total


def conv_patch(x: Array, kernel: Array, stride: int) -> Array:
    if stride == 1:
        return conv_accelerator.conv_patch(x, kernel, 1)
    # y[i] = w0 x[2i-2] + w1 x[2i-1] + w2 x[2i] + w3 x[2i+1]: a 2x2 convolution over the four phases
    # laid side by side as channels.
    n, h, w, c = x.shape
    x = jnp.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)))
    half_h, half_w = x.shape[1] // 2, x.shape[2] // 2
    x = x.reshape(n, half_h, 2, half_w, 2, c).transpose(0, 1, 3, 2, 4, 5)
    x = x.reshape(n, half_h, half_w, 4 * c)
    out = kernel.shape[-1]
    kernel = kernel.reshape(2, 2, 2, 2, c, out).transpose(0, 2, 1, 3, 4, 5)
    kernel = kernel.reshape(2, 2, 4 * c, out)
    y = plain(x, kernel, 1, ((1, 1), (1, 1)))
    return y[:, : h // 2 + 1, : w // 2 + 1, :]


def conv_up(x: Array, kernel: Array) -> Array:
    # y[2m] = w1 x[m]; y[2m+1] = w2 x[m] + w0 x[m+1], per axis.
    n, h, w, _ = x.shape
    phases = []
    taps = ((slice(1, 2), 0), (slice(None, None, -2), 1))
    for kernel_rows, bottom in taps:
        for kernel_columns, right in taps:
            part = kernel[kernel_rows, kernel_columns]
            phases.append(plain(x, part, 1, ((0, bottom), (0, right))))
    y = jnp.stack(phases, axis=3).reshape(n, h, w, 2, 2, -1)
    return y.transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, -1)
