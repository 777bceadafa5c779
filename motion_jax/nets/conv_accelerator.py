"""The plain forms of the convolutions, each as XLA's own operation; see conv.py for what each
function computes. What conv_gpu.py, conv_tpu.py and conv_cpu.py do not write otherwise is done so.

`near` is for pictures whose height is shared among devices (spatial.py): so many rows of the
neighbours, above and below, are part of x in place of padding; no result is computed for them.
"""

import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax

Near = tuple[int, int]

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def plain(x: Array, kernel: Array, stride: int, padding, lhs_dilation: int = 1) -> Array:
    """A convolution as XLA's own operation. padding: "VALID" or ((top, bottom), (left, right))."""
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        lhs_dilation=(lhs_dilation, lhs_dilation),
        dimension_numbers=_DIMENSIONS,
    )


def rows(padding: int, near: Near) -> tuple[int, int]:
    """Of padding that is left to do, above and below."""
    return padding - near[0], padding - near[1]


def conv_reflect(x: Array, kernel: Array, near: Near = (0, 0)) -> Array:
    k = kernel.shape[0] // 2
    x = jnp.pad(x, ((0, 0), rows(k, near), (k, k), (0, 0)), mode="reflect")
    return plain(x, kernel, 1, "VALID")


def conv_zero(x: Array, kernel: Array, padding: int, near: Near = (0, 0)) -> Array:
    return plain(x, kernel, 1, (rows(padding, near), (padding, padding)))


def conv_down(x: Array, kernel: Array, near: Near = (0, 0)) -> Array:
    return plain(x, kernel, 2, (rows(1, near), (1, 1)))


def conv_patch(
    x: Array, kernel: Array, stride: int, padding: int = 2, near: Near = (0, 0)
) -> Array:
    return plain(x, kernel, stride, (rows(padding, near), (padding, padding)))


def conv_up(x: Array, kernel: Array, near: Near = (0, 0)) -> Array:
    before = kernel.shape[0] - 2
    padding = ((before - 2 * near[0], 2 - 2 * near[1]), (before, 2))
    return plain(x, kernel[::-1, ::-1], 1, padding, lhs_dilation=2)


def max_pool(x: Array) -> Array:
    return nn.max_pool(x, (2, 2), (2, 2))


relu = nn.relu


def max_pool_relu(x: Array) -> Array:
    return relu(max_pool(x))
