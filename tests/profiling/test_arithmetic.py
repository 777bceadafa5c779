"""Arithmetic and parameters, counted without running anything."""

import jax
import jax.numpy as jnp

from motion_jax.nets.conv import conv_down, conv_up, target_platform
from motion_jax.profiling.arithmetic import count_parameters, flops


def test_flops_of_known_programs():
    x, kernel = jnp.zeros((2, 8, 8, 3)), jnp.zeros((3, 3, 3, 5))
    settings = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "padding": "SAME"}

    def conv(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), **settings)

    one = 2 * (2 * 8 * 8 * 5) * (3 * 3 * 3)
    assert flops(jax.make_jaxpr(conv)(x, kernel).jaxpr) == one
    # Jitted, twice; and the gradients: as much again for each argument.
    twice = jax.make_jaxpr(lambda x, k: jax.jit(conv)(x, k) + conv(x, k))(x, kernel)
    assert flops(twice.jaxpr) == 2 * one
    both = jax.grad(lambda x, k: conv(x, k).sum(), argnums=(0, 1))
    assert flops(jax.make_jaxpr(both)(x, kernel).jaxpr) == 3 * one

    def matrices(a, b):
        return jnp.einsum("bij,bjk->bik", a, b)

    a, b = jnp.zeros((4, 5, 6)), jnp.zeros((4, 6, 7))
    assert flops(jax.make_jaxpr(matrices)(a, b).jaxpr) == 2 * 4 * 5 * 6 * 7

    def scanned(x):
        return jax.lax.scan(lambda c, _: (c @ c, None), x, length=9)[0]

    assert flops(jax.make_jaxpr(scanned)(jnp.zeros((6, 6))).jaxpr) == 9 * 2 * 6**3


def test_transposed_convolutions_cost_no_multiplication_by_zeros():
    x, kernel = jnp.zeros((1, 8, 8, 3)), jnp.zeros((3, 3, 3, 5))
    with target_platform("gpu"):
        up = flops(jax.make_jaxpr(lambda x: conv_up(x, kernel))(x).jaxpr)
        down = flops(jax.make_jaxpr(lambda x: conv_down(x, kernel))(x).jaxpr)
    assert up == 2 * 8 * 8 * 9 * 3 * 5  # each input meets the whole kernel once
    assert down == 2 * 4 * 4 * 9 * 3 * 5


def test_parameters_are_counted():
    assert count_parameters({"a": jnp.zeros((2, 3)), "b": [jnp.zeros(4), jnp.zeros(())]}) == 11
