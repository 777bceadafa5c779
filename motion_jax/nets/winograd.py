"""3x3 convolutions of stride 1 with 4 multiplications for each output instead of 9: the minimal
filtering F(2x2, 3x3) of Winograd, as Lavin and Gray use it ("Fast Algorithms for Convolutional
Neural Networks", CVPR 2016, section 4.1).

Every 2x2 square of the output comes from a 4x4 square of the picture, which overlaps its neighbours
by two. Squares and kernel are transformed (sums and differences of their entries), the sixteen
entries are multiplied each by itself as matrices over the channels, and the products are
transformed back:

    Y = A' [(G k G') * (B' d B)] A

The same algorithm computes the gradients, because it is linear in each of the two. In float32 it is
as exact as the nine products (its sums are shorter). Sums and differences cost memory traffic, so
it pays where channels are many. The limits were measured on two cores with AVX2
(benchmarks/cpu_convolutions.py).
"""

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float

# Channels from which the saved products are worth the traffic.
_CHANNELS = 128
# Of kernels: G, and G on both sides at once, [row and column of a square, row and column of k].
_KERNEL = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
_KERNELS = np.kron(_KERNEL, _KERNEL)
# Of outputs' gradients: A on both sides at once, [row and column of a square, those of its output].
_OUTPUT = np.array([[1, 0], [1, 1], [1, -1], [0, -1]], np.float32)
_OUTPUTS = np.kron(_OUTPUT, _OUTPUT)
# Of pictures: B' takes from each of its first entries, or adds to it, a second one.
_FIRST, _SECOND = np.array([0, 1, 2, 1]), np.array([2, 2, 1, 3])
_SIGN = np.array([-1, 1, -1, -1], np.float32)
# The transform of a kernel that is turned by half a circle has the same entries in this order.
_TURNED = (3, 1, 2, 0)


def _kernels(kernel: Float[Array, "3 3 i o"]) -> Float[Array, "16 i o"]:
    """G k G', row by row."""
    return (jnp.asarray(_KERNELS) @ kernel.reshape(9, -1)).reshape(16, *kernel.shape[2:])


def _of_picture(d: Sequence[Array]) -> list[Array]:
    """B' d along one axis: four entries to four."""
    return [d[i] + sign * d[j] for i, j, sign in zip(_FIRST, _SECOND, _SIGN.tolist(), strict=True)]


def _to_output(m: Sequence[Array]) -> list[Array]:
    """A' m along one axis: four entries to two."""
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def _filtered(
    x: Float[Array, "n h w i"], product: Callable[[Array, int, int], Array]
) -> Float[Array, "n h-2 w-2 o"]:
    """product: (entry [pixels, i] of all squares, its row, its column) -> [pixels, o]."""
    n, height, width, _ = x.shape
    height, width = height - 2, width - 2
    rows = _of_picture([x[:, i : i + height - 1 : 2] for i in range(4)])

    def entry(part: Array, i: int, j: int) -> Array:
        made = product(part.reshape(-1, part.shape[-1]), i, j)
        return made.reshape(n, height // 2, width // 2, -1)

    made = []
    for i, row in enumerate(rows):
        parts = _of_picture([row[:, :, j : j + width - 1 : 2] for j in range(4)])
        made.append([entry(part, i, j) for j, part in enumerate(parts)])
    halves = [_to_output([made[i][j] for i in range(4)]) for j in range(4)]
    squares = [_to_output([halves[j][a] for j in range(4)]) for a in range(2)]
    y = jnp.stack([jnp.stack(row, axis=3) for row in squares], axis=2)
    return y.reshape(n, height, width, -1)


def pays(kernel: Array, shape: Sequence[int], dtype: jnp.dtype) -> bool:
    """Whether a convolution of stride 1 to an output [n, h, w] and its gradients are faster so, and
    as exact."""
    n, height, width = shape
    few, pixels = min(kernel.shape[2:]), n * height * width
    if kernel.shape[0] != 3 or dtype != jnp.float32 or height % 2 or width % 2:
        return False
    # With fewer pixels the transform of the kernel is most of the work.
    return pixels >= few >= _CHANNELS


def convolution(
    x: Float[Array, "n h w i"], kernel: Float[Array, "3 3 i o"], padding: int
) -> Float[Array, "n ho wo o"]:
    """With `padding` zeros around the picture, 0 to 2; the output has even sides. Its gradients are
    computed in the same way."""

    def padded(x: Array, by: int) -> Array:
        return jnp.pad(x, ((0, 0), (by, by), (by, by), (0, 0)))

    @jax.custom_vjp
    def convolution(x: Array, kernel: Array) -> Array:
        return convolve(padded(x, padding), kernel)

    def forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
        return convolution(x, kernel), (x, kernel)

    def backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
        x, kernel = saved
        dx = toward_input(padded(dy, 2 - padding), kernel)
        return dx, toward_kernel(padded(x, padding), dy)

    convolution.defvjp(forward, backward)
    return convolution(x, kernel)


def convolve(
    x: Float[Array, "n h w i"], kernel: Float[Array, "3 3 i o"]
) -> Float[Array, "n h-2 w-2 o"]:
    """The convolution without padding; height and width are even."""
    kernels = _kernels(kernel)
    return _filtered(x, lambda part, i, j: part @ kernels[4 * i + j])


def toward_input(
    dy: Float[Array, "n h w o"], kernel: Float[Array, "3 3 i o"]
) -> Float[Array, "n h-2 w-2 i"]:
    """The gradient towards the input of a convolution, from the gradient of its output in zeros:
    two rows and columns of them around it where the input was not padded, one where it was by
    one."""
    kernels = _kernels(kernel)

    def product(part: Array, i: int, j: int) -> Array:
        # Turned, and with input and output exchanged: without a copy of the kernel.
        turned = kernels[4 * _TURNED[i] + _TURNED[j]]
        return lax.dot_general(part, turned, (((1,), (1,)), ((), ())))

    return _filtered(dy, product)


def toward_kernel(
    x: Float[Array, "n h w i"], dy: Float[Array, "n h-2 w-2 o"]
) -> Float[Array, "3 3 i o"]:
    """The gradient towards the kernel of `convolve`: G' [sum of (B' d B) (A dy A')'] G."""
    n, height, width, outputs = dy.shape
    high, wide, inputs = height // 2, width // 2, x.shape[-1]
    # Both by the place of an entry in its square of two pixels.
    of_x = x.reshape(n, high + 1, 2, wide + 1, 2, inputs)
    of_dy = dy.reshape(n, high, 2, wide, 2, outputs)
    first, second, sign = jnp.asarray(_FIRST), jnp.asarray(_SECOND), jnp.asarray(_SIGN)
    shares = jnp.asarray(_OUTPUTS)

    def seen(i: Array, j: Array) -> Array:
        at = (0, i // 2, i % 2, j // 2, j % 2, 0)
        return lax.dynamic_slice(of_x, at, (n, high, 1, wide, 1, inputs)).reshape(-1, inputs)

    # A loop, because sixteen pairs of transforms take a compiler longer and the memory no less.
    def entry(number: Array) -> Array:
        i, j = number // 4, number % 4

        def row(i: Array) -> Array:
            return seen(i, first[j]) + sign[j] * seen(i, second[j])

        picture = row(first[i]) + sign[i] * row(second[i])
        change = reduce(
            add,
            [shares[number, 2 * a + b] * of_dy[:, :, a, :, b] for a in range(2) for b in range(2)],
        )
        return picture.T @ change.reshape(-1, outputs)

    gradient = lax.map(entry, jnp.arange(16)).reshape(16, -1)
    return (jnp.asarray(_KERNELS).T @ gradient).reshape(3, 3, inputs, outputs)
