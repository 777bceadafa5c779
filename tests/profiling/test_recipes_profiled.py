"""Profiles and dry runs know any recipe's batches: traced, not compiled."""

import numpy as np
import pytest

from motion_jax.config import Config
from motion_jax.profiling.arithmetic import flops
from motion_jax.profiling.cost_table import step_jaxpr
from motion_jax.profiling.measure import synthetic_batch
from motion_jax.profiling.topology import sized
from motion_jax.recipes import cyclegan, pix2pix
from motion_jax.train.step import step_inputs

STAGE = pix2pix.Stage(steps=1, height=32, width=32)
RESNET = pix2pix.Generator("resnet", 2, n_blocks=0, norm="instance", dropout=False)
RECIPES = {
    "pix2pix": pix2pix.Pix2Pix(
        RESNET, pix2pix.Discriminator("pixel", 2, norm="instance"), main_stage=STAGE
    ),
    "cyclegan": cyclegan.CycleGAN(
        RESNET, pix2pix.Discriminator("pixel", 2, norm="instance"), main_stage=STAGE,
        domain_A="poses",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_made_up_batches_are_what_the_step_takes(name):
    config = sized(Config(recipe=RECIPES[name]), "main", 2)
    state, batch, frozen = step_inputs(config, "main")
    assert frozen == {} and set(state.optimizer) == set(config.recipe.networks("main"))
    made = synthetic_batch(config, "main")
    assert {key: (value.shape, value.dtype) for key, value in made.items()} == {
        key: (leaf.shape, leaf.dtype) for key, leaf in batch.items()
    }
    poses = made["A" if name == "cyclegan" else "keypoints"]
    assert (poses[..., 2] > 0).any() and np.ptp(made["B" if name == "cyclegan" else "frames"]) > 0
    # A pixel's three passes through the first layer alone are more than this.
    assert flops(step_jaxpr(config, "main")) > 3 * 2 * 32 * 32 * 49 * 3 * 2
