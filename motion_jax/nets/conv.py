"""The convolutions that the networks are made of, each written the way its platform runs it best.

Every function has the semantics of its PyTorch counterpart (reference: Conv2d with symmetric zero
padding, ReflectionPad2d, ConvTranspose2d with stride 2 and padding 1 that doubles the picture), so
that published weights compute the published result. `SAME` padding is wrong for the strided ones.

conv_accelerator.py holds the plain forms, which GPUs run, conv_tpu.py and conv_cpu.py those for
TPUs and CPUs; all of them are exact: the same products, summed in another order. On a TPU pictures
may be Packed between layers (packed.py).
"""

import contextlib
import contextvars
from collections.abc import Iterator
from types import ModuleType

import jax
from flax import linen as nn
from jax import Array

from motion_jax.nets import conv_accelerator, conv_cpu, conv_tpu

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


def platform() -> str:
    """What is being traced will run on: "cpu", "gpu" or "tpu"."""
    return _platform.get() or jax.default_backend()


def on_cpu() -> bool:
    """Whether what is being traced will run on a CPU."""
    return platform() == "cpu"


def _forms() -> ModuleType:
    return {"cpu": conv_cpu, "tpu": conv_tpu}.get(platform(), conv_accelerator)


def conv_reflect(x: Array, kernel: Array) -> Array:
    """ReflectionPad2d(k // 2), then a k x k convolution with stride 1.

    [N, H, W, I] -> [N, H, W, O]; kernel: [k, k, I, O], k odd; H and W larger than k // 2.
    """
    return _forms().conv_reflect(x, kernel)


def conv_zero(x: Array, kernel: Array, padding: int) -> Array:
    """Conv2d with stride 1 and `padding` zeros on every side."""
    return _forms().conv_zero(x, kernel, padding)


def conv_down(x: Array, kernel: Array) -> Array:
    """Conv2d with kernel 3, stride 2, zero padding 1.

    [N, H, W, I] -> [N, ceil(H/2), ceil(W/2), O].
    """
    return _forms().conv_down(x, kernel)


def conv_patch(x: Array, kernel: Array, stride: int, padding: int = 2) -> Array:
    """Conv2d with kernel 4 and zero padding 2 or 1, as PatchGANs use it.

    Padding 2 (pix2pixHD's): stride 2 gives floor(H/2)+1 rows, stride 1 gives H+1. Padding 1
    (pix2pix's): floor(H/2) rows and H-1.
    """
    return _forms().conv_patch(x, kernel, stride, padding)


def conv_up(x: Array, kernel: Array) -> Array:
    """ConvTranspose2d with stride 2 and padding 1 that doubles height and width: of kernel 3 with
    output padding 1, or of kernel 4.

    kernel: [k, k, I, O] in PyTorch's orientation (its weight [I, O, k, k] transposed, not flipped).
    """
    return _forms().conv_up(x, kernel)


def average_pool(x: Array) -> Array:
    """AvgPool2d(3, stride 2, padding 1, count_include_pad=False): halves the picture (pix2pixHD's
    pyramids). [N, H, W, C] -> [N, ceil(H/2), ceil(W/2), C].
    """
    return nn.avg_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)), count_include_pad=False)


def max_pool(x: Array) -> Array:
    """MaxPool2d(2): [N, H, W, C] -> [N, floor(H/2), floor(W/2), C]. Of equal entries the first, row
    by row, gets the gradient.
    """
    return _forms().max_pool(x)
