"""CycleGAN's shipped settings against the published program's (steps: tests/test_parity.py)."""

import pytest

from motion_jax.config import load_config


def test_the_shipped_config_is_the_published_one():
    recipe = load_config("cyclegan").recipe
    weights = recipe.losses
    assert (weights.gan, weights.cycle_A, weights.cycle_B) == ("lsgan", 10, 10)
    assert weights.identity == 0.5 and recipe.pool_size == 50
    assert (recipe.generator.kind, recipe.generator.n_blocks) == ("resnet", 9)
    assert recipe.main_stage.batch_size == 1


def test_the_published_schedule():
    """factor(e) = 1 - max(0, e + 1 - 100) / 101 of 200 epochs, one rate an epoch; ours falls with
    every step, and is within half an epoch of it."""
    recipe = load_config("cyclegan").recipe
    steps = recipe.main_stage.steps // 200
    for epoch in range(0, 200, 7):
        published = 2e-4 * (1 - max(0, epoch + 1 - 100) / 101)
        ours = float(recipe.learning_rate("main", epoch * steps + steps // 2))
        assert ours == pytest.approx(published, abs=2e-4 * 0.5 / 100 + 1e-9)
