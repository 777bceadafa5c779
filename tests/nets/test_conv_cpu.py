"""Every form of a convolution that a CPU may choose computes the same; shapes choose their form."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.nets import conv_accelerator, conv_cpu


def draw(*shapes):
    random = np.random.default_rng(0)
    return [random.normal(size=shape) for shape in shapes]


def valid(x, kernel):
    return conv_accelerator.plain(x, kernel, 1, "VALID")


# name: form, the plain one, kernel size
FORWARD = {
    "same": (conv_cpu._same, valid, 3),
    "columns": (conv_cpu._columns, valid, 3),
    "down_phases": (conv_cpu._down_phases, conv_accelerator.conv_down, 3),
    "down_columns": (conv_cpu._down_columns, conv_accelerator.conv_down, 3),
    "up_phases": (conv_cpu._up_phases, conv_accelerator.conv_up, 3),
    "up_shifts": (conv_cpu._up_shifts, conv_accelerator.conv_up, 3),
    "patch_phases": (conv_cpu._patch_phases, partial(conv_accelerator.conv_patch, stride=2), 4),
    "patch_columns": (
        partial(conv_cpu._patch_columns, stride=2),
        partial(conv_accelerator.conv_patch, stride=2),
        4,
    ),
}


FORWARD["reflect_products"] = (conv_cpu._reflect_products, conv_accelerator.conv_reflect, 3)


@pytest.mark.parametrize("name", FORWARD)
def test_forms_of_the_output(name):
    form, plain, k = FORWARD[name]
    x, kernel = draw((2, 8, 6, 3), (k, k, 3, 5))
    with jax.enable_x64(True):
        np.testing.assert_allclose(jax.jit(form)(x, kernel), plain(x, kernel), atol=1e-12)


def test_one_output_channel():
    x, kernel = draw((2, 8, 6, 3), (4, 4, 3, 1))
    with jax.enable_x64(True):
        np.testing.assert_allclose(conv_cpu._one_output(x, kernel), valid(x, kernel), atol=1e-12)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize(
    "strip",
    [
        conv_cpu._shifts_gradient,
        conv_cpu._wide_strip,
        conv_cpu._input_planes_strip,
        conv_cpu._output_planes_strip,
    ],
    ids=lambda strip: strip.__name__,
)
def test_forms_of_the_kernels_gradient(strip, count):
    x, dy, kernel = draw((2, 10, 7, 3), (2, 8, 5, 4), (3, 3, 3, 4))
    with jax.enable_x64(True):
        x, dy, kernel = (jnp.asarray(value) for value in (x, dy, kernel))
        expected = jax.vjp(lambda kernel: valid(x, kernel), kernel)[1](dy)[0]
        ours = jax.jit(partial(conv_cpu._in_strips, strip, count), static_argnums=2)(x, dy, 3)
    np.testing.assert_allclose(ours, expected, atol=1e-12)


# Shapes on both sides of every limit: N, H, W, channels in and out, kernel size, and which of the
# gradient's forms must run.
SHAPES = {
    "few_inputs": ((1, 40, 40), 3, 16, 7, "_input_planes_strip"),
    "few_outputs": ((1, 40, 40), 16, 3, 7, "_output_planes_strip"),
    "small_wide": ((1, 8, 8), 128, 128, 3, "_columns"),
    "middle": ((1, 24, 24), 256, 16, 3, "_wide_strip"),
    # An odd side, else it would be done with fewer products (test_winograd.py).
    "middle_wide": ((1, 24, 23), 256, 256, 3, "_shifts_gradient"),
    "wide": ((1, 18, 16), 512, 512, 3, "_shifts_gradient"),
    "large": ((1, 160, 128), 16, 32, 3, "_wide_strip"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_choose_their_form_and_agree_with_the_plain_one(name, monkeypatch):
    lead, inputs, outputs, k, form = SHAPES[name]
    x, kernel = (a.astype(np.float32) for a in draw((*lead, inputs), (k, k, inputs, outputs)))
    (dy,) = (a.astype(np.float32) for a in draw((*lead, outputs)))
    ran = []
    for each in ("_input_planes_strip", "_output_planes_strip", "_wide_strip", "_shifts_gradient"):
        original = getattr(conv_cpu, each)

        def spy(*arguments, each=each, original=original):
            ran.append(each)
            return original(*arguments)

        monkeypatch.setattr(conv_cpu, each, spy)

    def both(function):
        def run(x, kernel, dy):
            y, pull = jax.vjp(function, x, kernel)
            return y, *pull(dy)

        return jax.jit(run)(x, kernel, dy)

    ours, plain = both(conv_cpu.conv_reflect), both(conv_accelerator.conv_reflect)
    assert set(ran) == ({form} if form != "_columns" else set())
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5 * float(jnp.abs(b).max()))


@pytest.mark.parametrize("size", [(8, 6), (7, 9)], ids=str)
def test_max_pool_gives_the_gradient_to_the_first_of_equals(size):
    x = np.random.default_rng(0).integers(0, 3, (2, *size, 3)).astype(np.float32)

    def both(pool):
        y, pull = jax.vjp(pool, x)
        return y, *pull(jnp.arange(y.size, dtype=jnp.float32).reshape(y.shape) + 1)

    for a, b in zip(both(conv_cpu.max_pool), both(conv_accelerator.max_pool), strict=True):
        np.testing.assert_array_equal(a, b)
