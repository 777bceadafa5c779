"""3x3 convolutions with fewer products: the same values and gradients, where they are chosen."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.nets import conv_accelerator, conv_cpu, winograd


def draw(*shapes, dtype=np.float64):
    random = np.random.default_rng(0)
    return [random.normal(size=shape).astype(dtype) for shape in shapes]


def with_gradients(function, x, kernel, dy):
    def run(x, kernel, dy):
        y, pull = jax.vjp(function, x, kernel)
        return y, *pull(dy)

    return jax.jit(run)(x, kernel, dy)


@pytest.mark.parametrize("padding", [0, 1, 2])
def test_values_and_gradients_are_those_of_nine_products(padding):
    x, kernel = draw((2, 8, 6, 3), (3, 3, 3, 5))
    (dy,) = draw((2, 6 + 2 * padding, 4 + 2 * padding, 5))
    with jax.enable_x64(True):
        ours = with_gradients(partial(winograd.convolution, padding=padding), x, kernel, dy)
        around = ((padding, padding), (padding, padding))
        plain = partial(conv_accelerator.plain, stride=1, padding=around)
        for a, b in zip(ours, with_gradients(plain, x, kernel, dy), strict=True):
            assert a.dtype == np.float64
            np.testing.assert_allclose(a, b, atol=1e-12)


def test_gradients_of_gradients():
    """As the penalties of StyleGAN2 need them."""
    x, kernel = draw((1, 6, 6, 2), (3, 3, 2, 2))

    def penalty(form):
        def squared(x, kernel):
            change = jax.grad(lambda x: jnp.sum(jnp.sin(form(x, kernel))))(x)
            return jnp.sum(jnp.square(change))

        return jax.grad(squared, argnums=(0, 1))(jnp.asarray(x), jnp.asarray(kernel))

    with jax.enable_x64(True):
        ours = penalty(partial(winograd.convolution, padding=1))
        plain = penalty(partial(conv_accelerator.conv_zero, padding=1))
        for a, b in zip(ours, plain, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-11)


def test_in_float32_it_is_as_exact():
    """Error against float64, beside that of XLA's own convolution."""
    x, kernel, dy = draw((1, 16, 16, 128), (3, 3, 128, 128), (1, 16, 16, 128))
    kernel /= np.sqrt(9 * 128)
    with jax.enable_x64(True):
        true = with_gradients(partial(conv_accelerator.conv_zero, padding=1), x, kernel, dy)
        true = [np.asarray(each) for each in true]
    x, kernel, dy = (each.astype(np.float32) for each in (x, kernel, dy))
    errors = [
        [
            float(np.sqrt(np.square(a - b).mean()) / b.std())
            for a, b in zip(found, true, strict=True)
        ]
        for found in (
            with_gradients(partial(winograd.convolution, padding=1), x, kernel, dy),
            with_gradients(partial(conv_accelerator.conv_zero, padding=1), x, kernel, dy),
        )
    ]
    for ours, plain in zip(*errors, strict=True):
        assert ours < 2 * plain + 1e-7 and ours < 2e-6


# Output [n, h, w], channels in and out, kernel size, dtype, whether it is chosen.
CHOSEN = [
    ((1, 16, 16), 256, 256, 3, np.float32, True),
    ((4, 128, 128), 128, 128, 3, np.float32, True),
    ((4, 128, 128), 64, 128, 3, np.float32, False),
    ((1, 16, 8), 256, 256, 3, np.float32, False),
    ((1, 17, 16), 256, 256, 3, np.float32, False),
    ((1, 16, 16), 256, 256, 5, np.float32, False),
    ((1, 16, 16), 256, 256, 3, jnp.bfloat16, False),
]


@pytest.mark.parametrize("case", CHOSEN, ids=str)
def test_where_it_is_chosen(case, monkeypatch):
    (n, height, width), inputs, outputs, k, dtype, expected = case
    ran = []
    original = winograd.convolution
    monkeypatch.setattr(
        winograd, "convolution", lambda *given: (ran.append(1), original(*given))[1]
    )
    kernel = jax.ShapeDtypeStruct((k, k, inputs, outputs), dtype)
    x = jax.ShapeDtypeStruct((n, height, width, inputs), dtype)
    forms = [
        conv_cpu.conv_reflect,
        partial(conv_cpu.conv_zero, padding=k // 2),
        partial(conv_cpu.conv_zero, padding=0),
    ]
    for form in forms[: 2 if k == 3 else 3]:
        ran.clear()
        jax.eval_shape(form, x, kernel)
        assert bool(ran) == expected


def test_the_networks_convolutions_go_there_and_agree():
    x, kernel, dy = draw((1, 16, 8, 128), (3, 3, 128, 128), (1, 16, 8, 128), dtype=np.float32)
    for ours, plain in (
        (conv_cpu.conv_reflect, conv_accelerator.conv_reflect),
        (partial(conv_cpu.conv_zero, padding=1), partial(conv_accelerator.conv_zero, padding=1)),
    ):
        assert winograd.pays(kernel, x.shape[:3], x.dtype)
        for a, b in zip(
            with_gradients(ours, x, kernel, dy), with_gradients(plain, x, kernel, dy), strict=True
        ):
            np.testing.assert_allclose(a, b, atol=2e-5 * float(jnp.abs(b).max()))
