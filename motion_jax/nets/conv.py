"""The convolutions that the networks are made of, each written the way its platform runs it best.

Every function has the semantics of its PyTorch counterpart (reference: Conv2d with symmetric zero
padding, ReflectionPad2d, ConvTranspose2d with kernel 3, stride 2, padding 1, output padding 1), so
that published weights compute the published result. `SAME` padding is wrong for the strided ones.

XLA's CPU backend has a fast convolution (stride 1, zero padding that keeps the size) and a generic
one that is 3 to 20 times slower and that gradients of strided and dilated convolutions fall into.
So on a CPU every layer is rewritten into fast ones: a reflection-padded convolution is computed
with zero padding and its border cropped; strided and transposed convolutions become sums over the
2x2 phases of the picture, in which no product with a padding zero is computed. All of it is exact:
the same products, summed in another order.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
_platform: contextvars.ContextVar[str | None] = contextvars.ContextVar("platform", default=None)


@contextlib.contextmanager
def target_platform(name: str) -> Iterator[None]:
    """Traces the block for a platform ("cpu", "gpu", "tpu") other than this process's own.

    For compiling ahead of time, and for testing every variant on one machine.
    """
    token = _platform.set(name)
    try:
        yield
    finally:
        _platform.reset(token)


def on_cpu() -> bool:
    """Whether what is being traced will run on a CPU."""
    return (_platform.get() or jax.default_backend()) == "cpu"


def _plain(x: Array, kernel: Array, stride: int, padding, lhs_dilation: int = 1) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        lhs_dilation=(lhs_dilation, lhs_dilation),
        dimension_numbers=_DIMENSIONS,
    )


def _same_size(x: Array, kernel: Array) -> Array:
    """Stride-1 convolution, odd kernel, zero padding that keeps the size: the fast one."""
    k = kernel.shape[0] // 2
    return _plain(x, kernel, 1, ((k, k), (k, k)))


def conv_reflect(x: Array, kernel: Array) -> Array:
    """ReflectionPad2d(k // 2), then a k x k convolution with stride 1.

    [N, H, W, I] -> [N, H, W, O]; kernel: [k, k, I, O], k odd; H and W larger than k // 2.
    """
    k = kernel.shape[0] // 2
    x = jnp.pad(x, ((0, 0), (k, k), (k, k), (0, 0)), mode="reflect")
    if not on_cpu():
        return _plain(x, kernel, 1, "VALID")
    return _same_size(x, kernel)[:, k:-k, k:-k, :]


def conv_zero(x: Array, kernel: Array, padding: int) -> Array:
    """Conv2d with stride 1 and `padding` zeros on every side."""
    return _plain(x, kernel, 1, ((padding, padding), (padding, padding)))


def conv_down(x: Array, kernel: Array) -> Array:
    """Conv2d with kernel 3, stride 2, zero padding 1.

    [N, H, W, I] -> [N, ceil(H/2), ceil(W/2), O].
    """
    if not on_cpu() or x.shape[1] % 2 or x.shape[2] % 2:
        return _plain(x, kernel, 2, ((1, 1), (1, 1)))
    # y[i] = w0 x[2i-1] + w1 x[2i] + w2 x[2i+1], per axis: even rows meet w1, odd rows w0 and w2.
    even, odd = slice(0, None, 2), slice(1, None, 2)
    total = None
    for rows, kernel_rows, top in ((even, slice(1, 2), 0), (odd, slice(0, None, 2), 1)):
        for columns, kernel_columns, left in ((even, slice(1, 2), 0), (odd, slice(0, None, 2), 1)):
            part = _plain(
                x[:, rows, columns, :],
                kernel[kernel_rows, kernel_columns],
                1,
                ((top, 0), (left, 0)),
            )
            total = part if total is None else total + part
    return total


def conv_patch(x: Array, kernel: Array, stride: int) -> Array:
    """Conv2d with kernel 4 and zero padding 2, as PatchGAN uses it: stride 2 gives floor(H/2)+1
    rows, stride 1 gives H+1.
    """
    if not on_cpu() or stride == 1:
        return _plain(x, kernel, stride, ((2, 2), (2, 2)))
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
    y = _plain(x, kernel, 1, ((1, 1), (1, 1)))
    return y[:, : h // 2 + 1, : w // 2 + 1, :]


def conv_up(x: Array, kernel: Array) -> Array:
    """ConvTranspose2d with kernel 3, stride 2, padding 1, output padding 1: doubles height and
    width.

    kernel: [3, 3, I, O] in PyTorch's orientation (its weight [I, O, 3, 3] transposed, not flipped).
    """
    if not on_cpu():
        return _plain(x, kernel[::-1, ::-1], 1, ((1, 2), (1, 2)), lhs_dilation=2)
    # y[2m] = w1 x[m]; y[2m+1] = w2 x[m] + w0 x[m+1], per axis.
    n, h, w, _ = x.shape
    phases = []
    taps = ((slice(1, 2), 0), (slice(None, None, -2), 1))
    for kernel_rows, bottom in taps:
        for kernel_columns, right in taps:
            part = kernel[kernel_rows, kernel_columns]
            phases.append(_plain(x, part, 1, ((0, bottom), (0, right))))
    y = jnp.stack(phases, axis=3).reshape(n, h, w, 2, 2, -1)
    return y.transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, -1)


def average_pool(x: Array) -> Array:
    """AvgPool2d(3, stride 2, padding 1, count_include_pad=False): halves the picture (pix2pixHD's
    pyramids). [N, H, W, C] -> [N, ceil(H/2), ceil(W/2), C].
    """
    return nn.avg_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)), count_include_pad=False)
