"""Convolutions as XLA's CPU backend runs them best; see conv.py for what each function computes.

That backend has one fast convolution (stride 1, zero padding that keeps the size), a generic one
that is 3 to 200 times slower and that weight gradients, dilations and even kernels fall into, and
fast matrix products. So each of the three products that belong to a convolution (the output, the
gradient towards the input, the gradient towards the kernel) gets the form that runs best for its
shape; `_mixed` puts the three together. The forms:

  same     XLA's convolution with zero padding, border cropped
  phases   strided and transposed convolutions as sums over the 2x2 phases of the picture
  columns  one matrix product with all k x k shifts of the picture side by side (im2col)
  shifts   k x k matrix products, one for each shift
  strips   kernel gradients over a few rows at a time, so that the shifts stay in the cache
  winograd 4 products instead of 9, where channels are many (winograd.py); float32 alone

All are exact; all but the last sum the same products in another order. The limits between them
were measured on two cores with AVX-512 (benchmarks/cpu_convolutions.py), those of the last with
AVX2. `near`: see conv_accelerator.py.
"""

from collections.abc import Callable
from functools import partial, reduce
from operator import add

import jax
import jax.numpy as jnp
from jax import Array, lax

from motion_jax.nets import conv_accelerator, winograd
from motion_jax.nets.conv_accelerator import Near, plain, rows

Form = Callable[[Array, Array], Array]  # (picture, kernel) -> picture; linear in each

# Bytes of shifted copies up to which `columns` beats the convolution: about what the caches hold.
_COLUMNS_BYTES = 1.2e7
# Kernels of this size and more are shifted along one axis and then along the other: a compiler
# makes code for 2 k slices, not for k * k, in a quarter of the time (kernel 7), and that code is
# faster too. The barrier keeps it from putting both steps into one again.
_LARGE = 5
# Bytes of output gradient in a strip of rows; below the second, one strip takes all.
_STRIP_BYTES, _WHOLE_BYTES = 7e5, 2.2e6


def _mixed(forward: Form, toward_input: Form, toward_kernel: Callable[..., Array]) -> Form:
    """A convolution that computes its output by one form and its gradients by others.

    toward_kernel: (x, dy, kernel) -> gradient of the kernel.
    """

    @jax.custom_vjp
    def convolution(x: Array, kernel: Array) -> Array:
        return forward(x, kernel)

    def backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
        x, kernel = saved
        (dx,) = jax.vjp(lambda x: toward_input(x, kernel), x)[1](dy)
        return dx, toward_kernel(x, dy, kernel)

    convolution.defvjp(lambda x, kernel: (forward(x, kernel), (x, kernel)), backward)
    return convolution


def _by(form: Form) -> Callable[..., Array]:
    """The kernel gradient that differentiating a form gives."""

    def toward_kernel(x: Array, dy: Array, kernel: Array) -> Array:
        return jax.vjp(lambda kernel: form(x, kernel), kernel)[1](dy)[0]

    return toward_kernel


def _pad(x: Array, padding: int, near: Near = (0, 0)) -> Array:
    return jnp.pad(x, ((0, 0), rows(padding, near), (padding, padding), (0, 0)))


def _product(x: Array, kernel: Array) -> Array:
    """[N, H, W, I] times [I, O]: a 1x1 convolution as a matrix product."""
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], kernel.shape[-1])


# --- stride 1, no padding: [N, H, W, I] -> [N, H - k + 1, W - k + 1, O] ---------------------------


def _shifted(x: Array, k: int, stride: int = 1) -> list[Array]:
    """The k * k pictures that a kernel's entries meet, row by row."""
    height, width = ((side - k) // stride + 1 for side in x.shape[1:3])
    last_row, last_column = stride * (height - 1) + 1, stride * (width - 1) + 1
    return [
        x[:, i : i + last_row : stride, j : j + last_column : stride]
        for i in range(k)
        for j in range(k)
    ]


def _same(x: Array, kernel: Array) -> Array:
    k = kernel.shape[0] // 2
    return plain(x, kernel, 1, ((k, k), (k, k)))[:, k:-k, k:-k]


def _columns(x: Array, kernel: Array, stride: int = 1) -> Array:
    k = kernel.shape[0]
    if k < _LARGE:
        wide = jnp.concatenate(_shifted(x, k, stride), axis=-1)
    else:
        across = jnp.concatenate(_slices(x, 2, k, stride), axis=-1)
        wide = jnp.concatenate(_slices(lax.optimization_barrier(across), 1, k, stride), axis=-1)
    return _product(wide, kernel.reshape(-1, kernel.shape[-1]))


def _slices(x: Array, axis: int, k: int, stride: int = 1) -> list[Array]:
    """The k pictures that the entries of a kernel's row (axis 2) or column meet."""
    last = (x.shape[axis] - k) // stride * stride + 1
    return [lax.slice_in_dim(x, i, i + last, stride, axis) for i in range(k)]


def _one_output(x: Array, kernel: Array) -> Array:
    """For a single output channel: first the k * k products on every pixel, then the shifts."""
    k = kernel.shape[0]
    height, width = x.shape[1] - k + 1, x.shape[2] - k + 1
    products = _product(x, kernel.reshape(k * k, -1).T)
    shifted = [
        products[:, i : i + height, j : j + width, k * i + j] for i in range(k) for j in range(k)
    ]
    return reduce(add, shifted)[..., None]


def _shifts_gradient(x: Array, dy: Array, k: int) -> Array:
    """Kernel gradient: one product for each shift of the picture."""
    flat = dy.reshape(-1, dy.shape[-1])
    entries = [part.reshape(-1, x.shape[-1]).T @ flat for part in _shifted(x, k)]
    return jnp.stack(entries).reshape(k, k, x.shape[-1], dy.shape[-1])


def _wide_strip(x: Array, dy: Array, k: int) -> Array:
    """Kernel gradient: k products with the output's gradient shifted along the width."""
    height, width = dy.shape[1], x.shape[2]
    padded = jnp.pad(dy, ((0, 0), (0, 0), (k - 1, k - 1), (0, 0)))
    shifted = [padded[:, :, k - 1 - j : k - 1 - j + width] for j in range(k)]
    wide = jnp.concatenate(shifted, axis=-1).reshape(-1, k * dy.shape[-1])
    rows = [x[:, i : i + height].reshape(-1, x.shape[-1]).T @ wide for i in range(k)]
    return jnp.stack(rows).reshape(k, x.shape[-1], k, dy.shape[-1]).transpose(0, 2, 1, 3)


def _input_planes_strip(x: Array, dy: Array, k: int) -> Array:
    """Kernel gradient where the input has few channels: its shifts as planes, which are copied in
    whole rows, against the output's gradient."""
    columns = _planes(x.transpose(3, 0, 1, 2), k)
    gradient = (columns @ dy.reshape(-1, dy.shape[-1])).reshape(k, k, x.shape[-1], dy.shape[-1])
    return gradient if k < _LARGE else gradient.transpose(1, 0, 2, 3)


def _planes(planes: Array, k: int) -> Array:
    """All shifts of planes [C, N, H, W] as rows: [k * k * C, pixels], row by row of the kernel; of
    large kernels column by column."""
    if k < _LARGE:
        height, width = (side - k + 1 for side in planes.shape[2:])
        shifted = [planes[:, :, i : i + height, j : j + width] for i in range(k) for j in range(k)]
        return jnp.stack(shifted).reshape(k * k * len(planes), -1)
    down = lax.optimization_barrier(jnp.stack(_slices(planes, 2, k)))
    return jnp.stack(_slices(down, 4, k)).reshape(k * k * len(planes), -1)


def _output_planes_strip(x: Array, dy: Array, k: int) -> Array:
    """The same where the output has few channels."""
    around = (k - 1, k - 1)
    planes = jnp.pad(dy.transpose(3, 0, 1, 2), ((0, 0), (0, 0), around, around))
    columns = _planes(planes, k)
    gradient = (columns @ x.reshape(-1, x.shape[-1])).reshape(k, k, dy.shape[-1], x.shape[-1])
    # The gradient meets the picture from behind.
    gradient = gradient[::-1, ::-1]
    return gradient.transpose(0, 1, 3, 2) if k < _LARGE else gradient.transpose(1, 0, 3, 2)


def _in_strips(strip: Callable[..., Array], count: int, x: Array, dy: Array, k: int) -> Array:
    """Sum of a strip function over `count` strips of rows."""
    if count == 1:
        return strip(x, dy, k)
    rows = dy.shape[1] // count

    def add(total: Array, n: Array) -> tuple[Array, None]:
        above = lax.dynamic_slice_in_dim(x, n * rows, rows + k - 1, 1)
        return total + strip(above, lax.dynamic_slice_in_dim(dy, n * rows, rows, 1), k), None

    start = jnp.zeros((k, k, x.shape[-1], dy.shape[-1]), dy.dtype)
    return lax.scan(add, start, jnp.arange(count))[0]


def _strip_count(height: int, wanted: float) -> int:
    """The divisor of the height that is nearest to the wanted number of strips."""
    divisors = [n for n in range(1, height + 1) if height % n == 0]
    return min(divisors, key=lambda n: abs(n - wanted))


def _kernel_gradient(x: Array, dy: Array, kernel: Array) -> Array:
    k, _, inputs, outputs = kernel.shape
    few, pixels = min(inputs, outputs), dy.size // outputs
    if few > 12 and pixels <= 256:
        return _by(_columns)(x, dy, kernel)
    if few >= 1024 or (few >= 256 and dy.size * dy.dtype.itemsize <= _WHOLE_BYTES):
        return _shifts_gradient(x, dy, k)
    return _strips_gradient(x, dy, kernel)


def _strips_gradient(x: Array, dy: Array, kernel: Array) -> Array:
    """Kernel gradient over as many strips of rows as keep their shifts in the cache."""
    k, _, inputs, outputs = kernel.shape
    few, size = min(inputs, outputs), dy.size * dy.dtype.itemsize
    if few <= 12:
        strip = _input_planes_strip if inputs <= outputs else _output_planes_strip
        wanted = k * k * size / outputs * few / 8e6
    else:
        strip, wanted = _wide_strip, 1 if size <= _WHOLE_BYTES else size / _STRIP_BYTES
    return _in_strips(strip, _strip_count(dy.shape[1], wanted), x, dy, k)


def _small(x: Array, kernel: Array, pixels: int) -> bool:
    """Whether the gradient towards the input is by columns: all shifts fit the caches, or the
    kernel is so large that reversing it costs more."""
    size = pixels * kernel.shape[0] ** 2 * x.shape[-1] * x.dtype.itemsize
    return x.shape[-1] >= 16 and (size <= _COLUMNS_BYTES or x.shape[-1] >= 1024)


def _convolve(x: Array, kernel: Array) -> Array:
    """Stride-1 convolution without padding, odd kernel."""
    k, inputs = kernel.shape[0], kernel.shape[2]
    height, width = x.shape[1] - k + 1, x.shape[2] - k + 1
    if winograd.pays(kernel, (x.shape[0], height, width), x.dtype):
        return winograd.convolution(x, kernel, 0)
    pixels = x.shape[0] * height * width
    forward = _columns if pixels <= 512 and inputs >= 128 else _same
    toward_input = _columns if _small(x, kernel, pixels) else _same
    return _mixed(forward, toward_input, _kernel_gradient)(x, kernel)


def _reflected(y: Array, by: int, axis: int) -> Array:
    """Entry i of the result is entry i + by of y, reflected at the ends; by is -1, 0 or 1."""
    if by == 0:
        return y
    take = partial(lax.slice_in_dim, y, axis=axis)
    n = y.shape[axis]
    parts = [take(1, 2), take(0, n - 1)] if by < 0 else [take(1, n), take(n - 2, n - 1)]
    return jnp.concatenate(parts, axis)


def _reflect_products(x: Array, kernel: Array) -> Array:
    """A reflection-padded 3x3 convolution of a picture that is not padded: first the nine products,
    once on every pixel, then their shifts."""
    # A loop, because nine slices of a large kernel would be copied before anything else is done.
    by_entry = kernel.reshape(9, *kernel.shape[2:])
    products = lax.map(lambda entry: _product(x, entry), by_entry)

    def row(i: int) -> Array:
        return reduce(add, (_reflected(products[3 * i + j], j - 1, axis=2) for j in range(3)))

    return reduce(add, (_reflected(row(i), i - 1, axis=1) for i in range(3)))


def conv_reflect(x: Array, kernel: Array, near: Near = (0, 0)) -> Array:
    k, inputs, pixels = kernel.shape[0] // 2, kernel.shape[2], x.size // x.shape[-1]

    def padded(x: Array) -> Array:
        return jnp.pad(x, ((0, 0), rows(k, near), (k, k), (0, 0)), mode="reflect")

    fewer = winograd.pays(kernel, x.shape[:3], x.dtype)
    if fewer or any(near) or k != 1 or inputs < 512 or not 256 < pixels <= 2048:
        return _convolve(padded(x), kernel)

    def toward_input(x: Array, kernel: Array) -> Array:
        form = _columns if _small(x, kernel, pixels) else _same
        return form(padded(x), kernel)

    def toward_kernel(x: Array, dy: Array, kernel: Array) -> Array:
        return _kernel_gradient(padded(x), dy, kernel)

    return _mixed(_reflect_products, toward_input, toward_kernel)(x, kernel)


def conv_zero(x: Array, kernel: Array, padding: int, near: Near = (0, 0)) -> Array:
    if kernel.shape[0] != 2 * padding + 1:
        if kernel.shape[0] % 2 and not any(near):
            return _convolve(_pad(x, padding), kernel)
        return conv_accelerator.conv_zero(x, kernel, padding, near)
    if padding == 1 and not any(near) and winograd.pays(kernel, x.shape[:3], x.dtype):
        return winograd.convolution(x, kernel, padding)
    pixels = x.size // x.shape[-1]
    if any(near) or (pixels <= 512 and x.shape[-1] >= 128):
        return _convolve(_pad(x, padding, near), kernel)

    def same(x: Array, kernel: Array) -> Array:
        return conv_accelerator.conv_zero(x, kernel, padding)

    def toward_kernel(x: Array, dy: Array, kernel: Array) -> Array:
        return _kernel_gradient(_pad(x, padding), dy, kernel)

    return _mixed(same, same, toward_kernel)(x, kernel)


# --- 3x3, stride 2 ------------------------------------------------------------------------------


def _down_phases(x: Array, kernel: Array) -> Array:
    # y[i] = w0 x[2i-1] + w1 x[2i] + w2 x[2i+1], per axis: even rows meet w1, odd rows w0 and w2.
    even, odd = slice(0, None, 2), slice(1, None, 2)
    parts = []
    for lines, kernel_rows, top in ((even, slice(1, 2), 0), (odd, slice(0, None, 2), 1)):
        for columns, kernel_columns, left in ((even, slice(1, 2), 0), (odd, slice(0, None, 2), 1)):
            part = kernel[kernel_rows, kernel_columns]
            parts.append(plain(x[:, lines, columns, :], part, 1, ((top, 0), (left, 0))))
    return reduce(add, parts)


def _down_columns(x: Array, kernel: Array, near: Near = (0, 0)) -> Array:
    return _columns(_pad(x, 1, near), kernel, 2)


def conv_down(x: Array, kernel: Array, near: Near = (0, 0)) -> Array:
    if any(near):
        return _down_columns(x, kernel, near)
    if x.shape[1] % 2 or x.shape[2] % 2:
        return conv_accelerator.conv_down(x, kernel)
    forward = _down_phases if x.shape[1] >= 64 else _down_columns
    return _mixed(forward, _down_columns, _by(_down_columns))(x, kernel)


# --- 4x4, padding 2 or 1 ------------------------------------------------------------------------


def _patch_phases(x: Array, kernel: Array, padding: int = 2) -> Array:
    """Stride 2 as a 2x2 convolution over the four phases laid side by side as channels."""
    # Of the padded picture: y[i] = w0 x[2i] + w1 x[2i+1] + w2 x[2i+2] + w3 x[2i+3], per axis.
    n, h, w, c = x.shape
    x = jnp.pad(x, ((0, 0), (padding, padding + h % 2), (padding, padding + w % 2), (0, 0)))
    half_h, half_w = x.shape[1] // 2, x.shape[2] // 2
    x = x.reshape(n, half_h, 2, half_w, 2, c).transpose(0, 1, 3, 2, 4, 5)
    x = x.reshape(n, half_h, half_w, 4 * c)
    out = kernel.shape[-1]
    kernel = kernel.reshape(2, 2, 2, 2, c, out).transpose(0, 2, 1, 3, 4, 5)
    y = _columns(x, kernel.reshape(2, 2, 4 * c, out))
    return y[:, : h // 2 + padding - 1, : w // 2 + padding - 1]


def _patch_columns(
    x: Array, kernel: Array, stride: int, padding: int = 2, near: Near = (0, 0)
) -> Array:
    return _columns(_pad(x, padding, near), kernel, stride)


def conv_patch(
    x: Array, kernel: Array, stride: int, padding: int = 2, near: Near = (0, 0)
) -> Array:
    if kernel.shape[-1] == 1 and stride == 1:
        return _one_output(_pad(x, padding, near), kernel)
    xla = partial(conv_accelerator.conv_patch, stride=stride, padding=padding, near=near)
    columns = partial(_patch_columns, stride=stride, padding=padding, near=near)
    phases = columns if any(near) else partial(_patch_phases, padding=padding)
    # The network's input, of few channels: the compiler would compute it again for each of the
    # sixteen shifts.
    toward_kernel = _by(xla if kernel.shape[2] <= 16 else columns)
    return _mixed(xla, phases if stride == 2 else columns, toward_kernel)(x, kernel)


# --- 3x3 and 4x4, transposed --------------------------------------------------------------------


def _interleave(phases: list[Array]) -> Array:
    """Four pictures (even-even, even-odd, odd-even, odd-odd) -> one of twice the size."""
    n, h, w, _ = phases[0].shape
    y = jnp.stack(phases, axis=3).reshape(n, h, w, 2, 2, -1)
    return y.transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, -1)


# y[2m] = w1 x[m]; y[2m+1] = w2 x[m] + w0 x[m+1], per axis.


def _up_phases(x: Array, kernel: Array) -> Array:
    phases = []
    taps = ((slice(1, 2), 0), (slice(None, None, -2), 1))
    for kernel_rows, bottom in taps:
        for kernel_columns, right in taps:
            part = kernel[kernel_rows, kernel_columns]
            phases.append(plain(x, part, 1, ((0, bottom), (0, right))))
    return _interleave(phases)


def _up_shifts(x: Array, kernel: Array) -> Array:
    def product(row: int, column: int) -> Array:
        return _product(x, kernel[row, column])

    def below(y: Array) -> Array:
        return jnp.pad(y[:, 1:], ((0, 0), (0, 1), (0, 0), (0, 0)))

    def right(y: Array) -> Array:
        return jnp.pad(y[:, :, 1:], ((0, 0), (0, 0), (0, 1), (0, 0)))

    even_odd = product(1, 2) + right(product(1, 0))
    odd_even = product(2, 1) + below(product(0, 1))
    lower = product(0, 2) + right(product(0, 0))
    odd_odd = product(2, 2) + right(product(2, 0)) + below(lower)
    return _interleave([product(1, 1), even_odd, odd_even, odd_odd])


def _up_four(x: Array, kernel: Array) -> Array:
    """Of kernel 4: first all sixteen products on every pixel, then their shifts."""
    # y[2m] = w1 x[m] + w3 x[m-1]; y[2m+1] = w2 x[m] + w0 x[m+1], per axis.
    inputs, outputs = kernel.shape[2:]
    products = _product(x, kernel.transpose(2, 0, 1, 3).reshape(inputs, 16 * outputs))
    products = products.reshape(*x.shape[:3], 4, 4, outputs)

    def moved(y: Array, axis: int, by: int) -> Array:
        """Entry m of the result is entry m + by of y, zero beyond its ends."""
        n = y.shape[axis]
        part = lax.slice_in_dim(y, max(by, 0), n + min(by, 0), axis=axis)
        around = [(0, 0)] * y.ndim
        around[axis] = (max(-by, 0), max(by, 0))
        return jnp.pad(part, around)

    taps = ((1, 3, -1), (2, 0, 1))
    phases = []
    for row, far_row, down in taps:
        for column, far_column, right in taps:

            def along(i: int, near: int = column, far: int = far_column, by: int = right) -> Array:
                return products[..., i, near, :] + moved(products[..., i, far, :], 2, by)

            phases.append(along(row) + moved(along(far_row), 1, down))
    return _interleave(phases)


def conv_up(x: Array, kernel: Array, near: Near = (0, 0)) -> Array:
    if any(near):
        # The forms below pad; what they make of the rows of the neighbours is left out.
        return conv_up(x, kernel)[:, 2 * near[0] : 2 * (x.shape[1] - near[1])]

    @jax.custom_vjp
    def convolution(x: Array, kernel: Array) -> Array:
        if kernel.shape[0] == 4:
            return _up_four(x, kernel)
        return (_up_phases if x.shape[1] >= 128 else _up_shifts)(x, kernel)

    def backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
        # The transpose of a transposed convolution is the strided one: both gradients need the
        # same shifts of dy.
        x, kernel = saved
        dx = _down_columns(dy, jnp.swapaxes(kernel, 2, 3))
        return dx, jnp.swapaxes(_by(_down_columns)(dy, x, jnp.swapaxes(kernel, 2, 3)), 2, 3)

    convolution.defvjp(lambda x, kernel: (convolution(x, kernel), (x, kernel)), backward)
    return convolution(x, kernel)


# --- pooling ------------------------------------------------------------------------------------


@jax.custom_vjp
def max_pool(x: Array) -> Array:
    # XLA's own gradient first writes the index of every pixel, four times.
    a, b, c, d = _quarters(x)
    return jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))


def _quarters(x: Array) -> list[Array]:
    """The four pixels of every 2x2 square, row by row: four pictures of half the size."""
    h, w = (side // 2 * 2 for side in x.shape[1:3])
    return [x[:, i:h:2, j:w:2] for i in range(2) for j in range(2)]


def _max_pool_forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
    y = max_pool(x)
    return y, (x, y)


def _max_pool_backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array]:
    x, y = saved
    taken, parts = jnp.zeros(y.shape, bool), []
    for quarter in _quarters(x):
        first = (quarter == y) & ~taken
        taken |= first
        parts.append(jnp.where(first, dy, 0))
    dx = _interleave(parts)
    odd = (x.shape[1] % 2, x.shape[2] % 2)
    return (jnp.pad(dx, ((0, 0), (0, odd[0]), (0, odd[1]), (0, 0))),)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


relu = conv_accelerator.relu


def max_pool_relu(x: Array) -> Array:
    return relu(max_pool(x))
