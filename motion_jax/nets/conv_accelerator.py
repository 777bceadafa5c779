"""Convolutions as GPUs and TPUs run them best; see conv.py for what each function computes."""

import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax

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


def conv_reflect(x: Array, kernel: Array) -> Array:
    k = kernel.shape[0] // 2
    x = jnp.pad(x, ((0, 0), (k, k), (k, k), (0, 0)), mode="reflect")
    return plain(x, kernel, 1, "VALID")


def conv_zero(x: Array, kernel: Array, padding: int) -> Array:
    return plain(x, kernel, 1, ((padding, padding), (padding, padding)))


def conv_down(x: Array, kernel: Array) -> Array:
    return plain(x, kernel, 2, ((1, 1), (1, 1)))


def conv_patch(x: Array, kernel: Array, stride: int, padding: int = 2) -> Array:
    return plain(x, kernel, stride, ((padding, padding), (padding, padding)))


def conv_up(x: Array, kernel: Array) -> Array:
    before = kernel.shape[0] - 2
    return plain(x, kernel[::-1, ::-1], 1, ((before, 2), (before, 2)), lhs_dilation=2)


def max_pool(x: Array) -> Array:
    return nn.max_pool(x, (2, 2), (2, 2))
