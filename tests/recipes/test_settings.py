"""Settings of Everybody Dance Now, and what recipes share besides training."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from tiny_dance import GLOBAL, LOCAL, RECIPE

from motion_jax.errors import UserError
from motion_jax.recipes import everybody_dance_now as edn
from motion_jax.recipes import recipe_class
from motion_jax.recipes.pixels import to_float, to_uint8


def test_pictures_and_bytes():
    values = jnp.arange(256, dtype=jnp.uint8)
    floats = to_float(values)
    assert float(floats[0]) == -1 and float(floats[-1]) == 1
    np.testing.assert_array_equal(to_uint8(floats), values)
    assert to_uint8(jnp.array([-1.5, 1.5, 0.0])).tolist() == [0, 255, 128]
    assert to_float(floats) is floats


def test_recipes_are_found_by_name():
    assert recipe_class("everybody_dance_now") is edn.EverybodyDanceNow
    assert RECIPE.name == "everybody_dance_now"
    for name in ("vid2vid_9", "crops", "os"):
        with pytest.raises(UserError, match=f"no recipe named '{name}'"):
            recipe_class(name)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"global_stage": edn.Stage(), "face_stage": edn.Stage()}, "trains nothing.*steps"),
        ({"global_stage": edn.Stage()}, "face stage refines a trained generator"),
        (
            {"global_stage": replace(GLOBAL, height=15)},
            "global_stage.height = 15 is not divisible by 2.*: 14 and 16",
        ),
        (
            {"local_stage": replace(GLOBAL, width=50)},
            "local_stage.width = 50 is not divisible by 4.*2 halvings.*: 48 and 52",
        ),
        # The nearest size that works, not one with a single row at the bottom.
        (
            {"generator": edn.Generator(n_downsampling=4), "global_stage": edn.Stage(1, height=20)},
            "global_stage.height = 20 is not divisible by 16.*: 32 and 48",
        ),
        ({"global_stage": replace(GLOBAL, width=0)}, "global_stage.width = 0"),
        (
            {"generator": edn.Generator(n_downsampling=4)},
            "height = 16 leaves a single row.*at least 32",
        ),
        (
            {"generator": replace(RECIPE.generator, up="near")},
            "up = 'near' is neither 'transposed'",
        ),
        ({"generator": replace(RECIPE.generator, shuffle=3)}, "shuffle = 3 is none of 1, 2 and 4"),
        ({"global_stage": replace(GLOBAL, window=1)}, "window = 1.*use 2 or more"),
        ({"global_stage": replace(GLOBAL, batch_size=0)}, "batch_size.*at least 1"),
        (
            {"global_stage": replace(GLOBAL, decay_steps=11)},
            r"decay_steps = 11 must be.*decay_steps 0",
        ),
        ({"face_stage": replace(GLOBAL, width=32)}, "face_stage is 32x16 but the stage before it"),
        ({"face": edn.Face(size=9)}, "face.size = 9 must be divisible by 8.*here 8"),
        ({"face": edn.Face(size=32)}, "face.size = 32.*fit into 16x16"),
        ({"face": edn.Face(size=8)}, "face.size = 8.*single row"),
        ({"losses": edn.Losses()}, "at least 16 pixels, not 8"),
    ],
)
def test_settings_that_cannot_work_are_one_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        replace(RECIPE, **changes).validate()


def test_settings_that_work():
    RECIPE.validate()
    LOCAL.validate()
    edn.EverybodyDanceNow(
        global_stage=edn.Stage(steps=1),
        local_stage=edn.Stage(steps=1, height=512, width=1024),
        face_stage=edn.Stage(steps=1, height=512, width=1024),
    ).validate()


def test_learning_rate_is_constant_then_linear():
    rates = [float(RECIPE.learning_rate("global", step)) for step in range(10)]
    expected = [1e-3] * 7 + [7.5e-4, 5e-4, 2.5e-4]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    plain = [RECIPE.learning_rate_at("global", step) for step in range(10)]
    np.testing.assert_allclose(plain, expected, rtol=1e-6)
    constant = replace(RECIPE, global_stage=replace(GLOBAL, decay_steps=0))
    for step in (0, 9):
        assert float(constant.learning_rate("global", step)) == pytest.approx(1e-3)
    assert constant.learning_rate_at("global", 9) == 1e-3
