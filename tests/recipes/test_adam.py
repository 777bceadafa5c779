"""Adam as it is applied, against its formulas, on every platform's way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.nets.conv import target_platform
from motion_jax.recipes.adam import Adam


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_two_steps_are_the_papers(platform):
    random = np.random.default_rng(0)
    params = {"a": random.normal(size=(3, 4)), "b": random.normal(size=(5,))}
    gradients = [{name: random.normal(size=p.shape) for name, p in params.items()} for _ in "12"]
    ours = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params)
    moments = Adam().init(ours)
    with target_platform(platform):
        step = jax.jit(lambda *a: Adam().updated(*a))
        for gradient in gradients:
            ours, moments = step(ours, gradient, moments, 0.01)
    for name, p in params.items():
        m = v = 0.0
        for t, gradient in enumerate(gradients, 1):
            m = 0.5 * m + 0.5 * gradient[name]
            v = 0.999 * v + 0.001 * gradient[name] ** 2
            p = p - 0.01 * (m / (1 - 0.5**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(ours[name], p, rtol=1e-5)
        np.testing.assert_allclose(moments.mu[name], m, rtol=1e-5)
        np.testing.assert_allclose(moments.nu[name], v, rtol=1e-5)
    assert int(moments.count) == 2


def test_each_network_has_settings_of_its_own():
    params, gradient = {"w": jnp.array([1.0])}, {"w": jnp.array([2.0])}
    other = Adam(b1=0.0, b2=0.99, rate=0.25)
    new, moments = other.updated(params, gradient, other.init(params), 0.1)
    # Without a first average the step is the gradient by its own size.
    assert float(new["w"][0]) == pytest.approx(1 - 0.25 * 0.1, rel=1e-5)
    assert float(moments.mu["w"][0]) == 2.0
    assert float(moments.nu["w"][0]) == pytest.approx(0.01 * 4, rel=1e-5)


def test_no_copy_of_the_moments_on_a_cpu():
    """Donated state is updated in place, although new parameters are made of old moments."""
    if jax.default_backend() != "cpu":
        pytest.skip("about the CPU's compiler")
    state = {"w": jnp.ones((256, 256))}
    x = jnp.ones((8, 256))

    def step(params, moments):
        gradient = jax.grad(lambda p: jnp.sum(jnp.tanh(jnp.tanh(x @ p["w"]) @ p["w"])))(params)
        return Adam().updated(params, gradient, moments, 0.1)

    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(state, Adam().init(state)).compile()
    memory = compiled.memory_analysis()
    assert memory.alias_size_in_bytes >= 3 * state["w"].nbytes
    # The two gradients that make the sum, and less than one more of that size.
    assert memory.temp_size_in_bytes < 3 * state["w"].nbytes
