"""The benchmark of moving backgrounds: its measure by hand, and what it trains."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import background_motion as module
from motion_jax.errors import UserError
from motion_jax.puppet import crowd
from motion_jax.puppet.camera import between
from motion_jax.puppet.scene import View


def test_the_distance_of_a_shift_is_its_length_and_of_the_truth_nothing():
    size = 64
    still = np.eye(2, 3)[None]
    # A tenth of the height across, and nothing else: 6.4 pixels everywhere.
    truth = between(View(), View(x=0.1))[None]
    assert module.distances(still, truth, size) == pytest.approx(6.4)
    # The same in the model's coordinates, whose unit is half of 63 pixels.
    found = still.copy()
    found[0, 0, 2] = 6.4 / 31.5
    assert module.distances(found, truth, size) == pytest.approx(0)
    # Twice as large: the corners are looked up half as far from the middle.
    truth = between(View(), View(zoom=2.0))[None]
    assert module.distances(still, truth, size) == pytest.approx(np.hypot(31.5, 31.5) / 2)
    assert module.distances(still / 2, truth, size) == pytest.approx(0)


@pytest.mark.parametrize("kind", ["still", "affine"])
def test_what_is_trained(kind):
    config = module.configured(module.Options(steps=20, seed=3), kind)
    assert config.recipe.background_moves == (kind == "affine")
    assert config.recipe.main_stage.steps == 20 and config.seed == 3
    again = module.configured(module.Options(steps=20, seed=3), "still")
    same = dataclasses.replace(config.recipe, background_motion=again.recipe.background_motion)
    assert dataclasses.replace(config, recipe=same) == again


def test_a_camera_that_nothing_follows_is_missed_by_its_way():
    run = SimpleNamespace(
        config=SimpleNamespace(recipe=SimpleNamespace(background_moves=False)),
        params=None,
        size=(64, 64),
    )
    found = module.missed(run, 1, 2)
    views = [crowd.take(who, moving=True).camera.at(np.arange(24) / 12.5) for who in (1, 2)]
    shifts = [64 * abs(one.x - film[0].x) for film in views for one in film[1:]]
    assert 0.5 * np.mean(shifts) < found < 64


def test_nobody_to_learn_from_is_refused():
    with pytest.raises(UserError, match="must be at least 1"):
        module.measure(module.Options(people=0))
