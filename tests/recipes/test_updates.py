"""How a step moves the networks of Everybody Dance Now, and what its averages follow."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_dance import RECIPE

from motion_jax.recipes.adam import Adam
from motion_jax.recipes.network import updated
from motion_jax.recipes.state import State


def small_state(networks, averaged=()):
    """A state whose networks are two numbers each."""
    params = {network: {"w": jnp.array([1.0, 2.0])} for network in networks}
    optimizer = {network: Adam().init(params[network]) for network in networks}
    return State(
        step=jnp.array(0, jnp.int32),
        params=params,
        optimizer=optimizer,
        averaged={network: params[network] for network in averaged},
        key=jax.random.key(0),
    )


def update(recipe, state, name="global"):
    """The state after one update with gradients of ones."""
    gradients = jax.tree.map(jnp.ones_like, {n: state.params[n] for n in state.optimizer})
    rate = recipe.learning_rate(name, state.step)
    return updated(recipe.networks(name), state, gradients, rate, recipe.averaging)


def moved(before, after, network):
    return float((after.params[network]["w"] - before.params[network]["w"]).mean())


def test_the_published_scripts_double_update_moves_the_generator_twice():
    state = small_state(("generator", "discriminator"))
    for updates in (1, 2):
        after = update(replace(RECIPE, generator_updates=updates), state)
        assert moved(state, after, "generator") == pytest.approx(-1e-3 * updates, rel=1e-3)
        assert moved(state, after, "discriminator") == pytest.approx(-1e-3, rel=1e-3)
        assert int(after.optimizer["generator"].count) == updates
        assert int(after.step) == 1


def test_the_main_discriminator_joins_the_face_stage_at_its_step():
    recipe = replace(RECIPE, main_discriminator_after=1)
    assert set(recipe.trained("face")) == {"face_generator", "face_discriminator", "discriminator"}
    assert RECIPE.trained("face") == ("face_generator", "face_discriminator")
    state = small_state(("face_generator", "discriminator"))
    first = update(recipe, state, "face")
    assert moved(state, first, "discriminator") == 0
    assert int(first.optimizer["discriminator"].count) == 0
    assert moved(state, first, "face_generator") < 0
    second = update(recipe, first, "face")
    assert moved(first, second, "discriminator") == pytest.approx(-1e-3, rel=1e-3)


def test_averages_follow_slowly_and_begin_with_what_was_trained():
    recipe = replace(RECIPE, averaging=0.2)
    state = small_state(("generator", "discriminator"), averaged=("generator",))
    first = update(recipe, state)
    second = update(recipe, first)

    def leaf(tree):
        return np.asarray(tree["generator"]["w"])

    # (1 + step) / (10 + step), at most 0.2.
    expected = 0.1 * leaf(state.params) + 0.9 * leaf(first.params)
    np.testing.assert_allclose(leaf(first.averaged), expected, atol=1e-6)
    expected = 2 / 11 * expected + 9 / 11 * leaf(second.params)
    np.testing.assert_allclose(leaf(second.averaged), expected, atol=1e-6)
    later = update(recipe, second.replace(step=jnp.array(6, jnp.int32)))
    expected = 0.2 * expected + 0.8 * leaf(later.params)
    np.testing.assert_allclose(leaf(later.averaged), expected, atol=1e-6)
    shown = recipe.synthesis_params(later)
    assert set(shown) == {"generator"} and shown["generator"] is later.averaged["generator"]
