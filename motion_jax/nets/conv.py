"""The convolutions that the networks are made of, each written the way its platform runs it best.

Every function has the semantics of its PyTorch counterpart (reference: Conv2d with symmetric zero
padding, ReflectionPad2d, ConvTranspose2d with stride 2 and padding 1 that doubles the picture), so
that published weights compute the published result. `SAME` padding is wrong for the strided ones.

conv_accelerator.py holds the plain forms, conv_cpu.py, conv_gpu.py and conv_tpu.py those for CPUs,
GPUs and TPUs; all of them are exact: the same products, summed in another order. On a TPU pictures
may be Packed between layers (packed.py). While spatial.over() is active every device computes its
own rows of the result; where its rows cannot be shared evenly, the result is Uneven (halo.py).
Both take the place of arrays here and in the networks.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array, lax
from jaxtyping import Float

from motion_jax.nets import conv_accelerator, conv_cpu, conv_gpu, conv_tpu, spatial
from motion_jax.nets.conv_accelerator import Near
from motion_jax.nets.halo import AXIS, Reach
from motion_jax.nets.spatial import Picture

P = TypeVar("P", bound=Picture)
_platform: contextvars.ContextVar[str | None] = contextvars.ContextVar("platform", default=None)


@contextlib.contextmanager
def target_platform(name: str) -> Iterator[None]:
    """Traces the block for a platform ("cpu", "gpu", "tpu") other than this process's own, or with
    the "plain" forms, whose arithmetic is that of the networks as they are defined.

    For compiling ahead of time, and for testing every variant on one machine.
    """
    token = _platform.set(name)
    try:
        yield
    finally:
        _platform.reset(token)


def platform() -> str:
    """What is being traced will run on: "cpu", "gpu" or "tpu"; "plain": see target_platform."""
    return _platform.get() or jax.default_backend()


def on_cpu() -> bool:
    """Whether what is being traced will run on a CPU."""
    return platform() == "cpu"


def _forms() -> ModuleType:
    known = {"cpu": conv_cpu, "gpu": conv_gpu, "tpu": conv_tpu}
    return known.get(platform(), conv_accelerator)


def _run(
    form: Callable[..., Any],
    x: Picture,
    kernel: Array | None,
    reach: Reach,
    rows: int,
    near: Near | None = None,
) -> Any:
    """form(x, kernel), or each device's own part of it: a picture in any form.

    rows: of the result's height; near: of conv_accelerator.py, if other than what `reach` says.
    """
    if spatial.shards() == 1:
        return form(x, kernel)
    near = (reach.above, reach.below) if near is None else near
    return spatial.shared(x, kernel, partial(form, near=near), form, reach, rows)


def conv_reflect(x: Array, kernel: Float[Array, "k k i o"]) -> Array:
    """ReflectionPad2d(k // 2), then a k x k convolution with stride 1.

    [N, H, W, I] -> [N, H, W, O]; k odd; H and W larger than k // 2.
    """
    k = kernel.shape[0]
    name = f"convolution with a {k}x{k} kernel and reflection padding"
    reach = Reach(name, k // 2, k // 2, "reflect")
    return _run(_forms().conv_reflect, x, kernel, reach, x.shape[1])


def conv_zero(x: Array, kernel: Float[Array, "k k i o"], padding: int) -> Array:
    """Conv2d with stride 1 and `padding` zeros on every side."""
    k = kernel.shape[0]
    reach = Reach("convolution with zero padding", padding, k - 1 - padding)
    form = partial(_forms().conv_zero, padding=padding)
    return _run(form, x, kernel, reach, x.shape[1] + 2 * padding - k + 1, (padding, padding))


def conv_down(x: Array, kernel: Float[Array, "3 3 i o"]) -> Array:
    """Conv2d with kernel 3, stride 2, zero padding 1.

    [N, H, W, I] -> [N, ceil(H/2), ceil(W/2), O].
    """
    reach = Reach("convolution with stride 2", 1, 0, down=2)
    return _run(_forms().conv_down, x, kernel, reach, -(-x.shape[1] // 2))


def conv_patch(x: Array, kernel: Float[Array, "4 4 i o"], stride: int, padding: int = 2) -> Array:
    """Conv2d with kernel 4 and zero padding 2 or 1, as PatchGANs use it.

    Padding 2 (pix2pixHD's): stride 2 gives floor(H/2)+1 rows, stride 1 gives H+1. Padding 1
    (pix2pix's): floor(H/2) rows and H-1.
    """
    reach = Reach("patch convolution", padding, 4 - stride - padding, down=stride)
    form = partial(_forms().conv_patch, stride=stride, padding=padding)
    rows = (x.shape[1] + 2 * padding - 4) // stride + 1
    return _run(form, x, kernel, reach, rows, (padding, padding))


def conv_up(x: Array, kernel: Float[Array, "k k i o"]) -> Array:
    """ConvTranspose2d with stride 2 and padding 1 that doubles height and width: of kernel 3 with
    output padding 1, or of kernel 4.

    kernel: in PyTorch's orientation (its weight [I, O, k, k] transposed, not flipped).
    """
    reach = Reach("transposed convolution", kernel.shape[0] - 3, 1, up=2)
    return _run(_forms().conv_up, x, kernel, reach, 2 * x.shape[1])


def conv_resize(x: Array, kernel: Float[Array, "3 3 i o"]) -> Array:
    """Every pixel made a square of four, then a 3x3 convolution with a border of zeros: up-sampling
    in which every pixel of the result sees as many products as its neighbours, so that it has no
    checkerboard (Odena et al., Deconvolution and Checkerboard Artifacts, 2016).

    [N, H, W, I] -> [N, 2 H, 2 W, O]. It is a transposed convolution with the 4x4 kernel that both
    steps make together, and computed as that.
    """
    return conv_up(x, up_kernel(kernel))


def up_kernel(kernel: Float[Array, "3 3 i o"]) -> Float[Array, "4 4 i o"]:
    """The kernel with which conv_up does what conv_resize says: it lies over each pixel of the
    square once, turned as a transposed convolution has it."""
    turned, shifts = kernel[::-1, ::-1], ((0, 1), (1, 0))
    both = [jnp.pad(turned, (down, right, (0, 0), (0, 0))) for down in shifts for right in shifts]
    return sum(both[1:], start=both[0])


def average_pool(x: Array) -> Array:
    """AvgPool2d(3, stride 2, padding 1, count_include_pad=False): halves the picture (pix2pixHD's
    pyramids). [N, H, W, C] -> [N, ceil(H/2), ceil(W/2), C].
    """
    return _run(_average_pool, x, None, Reach("average pooling", 1, 0, down=2), -(-x.shape[1] // 2))


def _average_pool(x: Array, _: None, near: Near = (0, 0)) -> Array:
    if not any(near):
        return nn.avg_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)), count_include_pad=False)
    sums = nn.pooling.pool(x, 0.0, lax.add, (3, 3), (2, 2), ((0, 0), (1, 1)))
    # How many of the 3x3 pixels are in the picture, whose first row is the first device's.
    columns = np.minimum(2 * np.arange(sums.shape[2]) + 2, x.shape[2]) - np.maximum(
        2 * np.arange(sums.shape[2]) - 1, 0
    )
    first = (jnp.arange(sums.shape[1]) == 0) & (lax.axis_index(AXIS) == 0)
    counts = jnp.where(first, 2, 3)[:, None] * columns
    return sums / counts[:, :, None].astype(sums.dtype)


def max_pool(x: Array, relu: bool = False) -> Array:
    """MaxPool2d(2): [N, H, W, C] -> [N, floor(H/2), floor(W/2), C]. Of equal entries the first, row
    by row, gets the gradient. relu: max(0, that), which is also the maximum of the ReLUs.
    """

    def form(x: Picture, _: None, near: Near = (0, 0)) -> Picture:
        return _forms().max_pool_relu(x) if relu else _forms().max_pool(x)

    return _run(form, x, None, Reach("max pooling", 0, 0, down=2), x.shape[1] // 2)


def relu(x: P) -> P:
    """max(0, x), for where nothing needs what is below 0 any more."""
    return jax.tree.map(_forms().relu, x)
