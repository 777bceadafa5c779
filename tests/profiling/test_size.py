"""Estimated sizes against arithmetic by hand and against the steps themselves, traced."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from motion_jax.config import Config
from motion_jax.nets.vgg import VGG19
from motion_jax.pose.draw import PoseStyle
from motion_jax.profiling import size
from motion_jax.profiling.arithmetic import count_parameters, flops
from motion_jax.recipes import everybody_dance_now as edn
from motion_jax.recipes.network import Network, picture

STAGE = edn.Stage(steps=10, height=32, width=48, batch_size=2, window=3)
RECIPE = edn.EverybodyDanceNow(
    generator=edn.Generator(ngf=8, n_downsampling=2, n_blocks=2, n_blocks_local=1),
    discriminator=edn.Discriminator(ndf=6, n_layers=2),
    face=edn.Face(size=16, ngf=4, n_downsampling=2, n_blocks=1, ndf=4, n_layers=2),
    losses=edn.Losses(perceptual="none", l1=1.0),
    global_stage=replace(STAGE, height=16, width=24),
    local_stage=STAGE,
    face_stage=STAGE,
    pose_style=PoseStyle(face_points=0, hands=False),
    averaging=0.9,
)
SEPARABLE = replace(RECIPE, generator=replace(RECIPE.generator, block="separable"))


def test_one_run_of_a_network_is_counted_exactly():
    """By hand: of 16x24 pictures, with reflection padding, halved twice and doubled twice."""
    found = size.network_size(RECIPE.networks("global")["generator"])
    layers = [  # kernel, inputs, outputs, pixels of the products, pixels written
        (49, 6, 8, 384, 384),
        (9, 8, 16, 96, 96),
        (9, 16, 32, 24, 24),
        *[(9, 32, 32, 24, 24)] * 4,
        (9, 32, 16, 24, 96),
        (9, 16, 8, 96, 384),
        (49, 8, 3, 384, 384),
    ]
    assert found.macs == sum(k * i * o * products for k, i, o, products, _ in layers)
    assert found.parameters == sum(k * i * o + o for k, i, o, _, _ in layers)
    assert found.outputs == sum(o * written for _, _, o, _, written in layers)


def test_separable_blocks_and_batch_norm_and_products_count():
    full, separable = (
        size.network_size(recipe.networks("global")["generator"]) for recipe in (RECIPE, SEPARABLE)
    )
    less = 4 * (9 * 32 * 32 - 9 * 32 - 32 * 32)  # in each pixel of the blocks, 24 of them
    assert full.macs - separable.macs == 24 * less
    assert full.parameters - separable.parameters == less
    assert separable.outputs - full.outputs == 4 * 24 * 32
    judge = RECIPE.networks("face")["face_discriminator"]
    plain = replace(judge, module=judge.module.clone(norm="instance"))
    norms = size.network_size(judge).parameters - size.network_size(plain).parameters
    assert norms == 2 * (8 + 16)

    class Listed(nn.Module):
        """With a field that has no hash."""

        widths: list

        @nn.compact
        def __call__(self, picture, latent):
            for width in self.widths:
                latent = nn.Dense(width)(latent)
            return picture + latent

    shown = (jax.ShapeDtypeStruct((1, 3), jnp.float32), jax.ShapeDtypeStruct((1, 5), jnp.float32))
    found = size.network_size(Network(Listed([4, 3]), shown))
    assert found == size.Size(5 * 4 + 4 * 3, parameters=6 * 4 + 5 * 3, outputs=4 + 3, calls=2)


@pytest.mark.parametrize("name", ["global", "local", "face"])
def test_a_step_is_estimated(name):
    from motion_jax.profiling.cost_table import step_jaxpr
    from motion_jax.train.step import abstract_state

    estimate = size.stage_size(RECIPE, name)
    state = abstract_state(Config(recipe=RECIPE), name, None)
    trees = (state.params, state.averaged, *(s._asdict() for s in _moments(state)))
    exact = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(trees))
    assert estimate.state_bytes == pytest.approx(exact, rel=0.001)
    # The trace has gradients on padded pictures, and towards the picture before the first frame:
    # the smaller the pictures, the more.
    traced = flops(step_jaxpr(Config(recipe=RECIPE), name))
    assert 0.6 * traced < estimate.flops < 1.01 * traced
    stage = replace(RECIPE.stages()[name], batch_size=4)
    twice = size.stage_size(replace(RECIPE, **{f"{name}_stage": stage}), name)
    assert twice.flops == 2 * estimate.flops and twice.state_bytes == estimate.state_bytes
    assert twice.held == 2 * estimate.held and twice.trained == estimate.trained
    assert twice.trained == sum(count_parameters(m.mu) for m in state.optimizer.values())


def _moments(state):
    return state.optimizer.values()


def test_the_perceptual_loss_and_longer_windows_cost_more():
    base = size.stage_size(RECIPE, "local")
    perceptual = replace(RECIPE, losses=edn.Losses())
    features = size.network_size(Network(VGG19(), (picture(32, 48),)))
    found = size.stage_size(perceptual, "local")
    assert found.flops - base.flops == 2 * 3 * 6 * features.macs
    assert found.held > base.held and found.state_bytes == base.state_bytes
    longer = replace(RECIPE, local_stage=replace(STAGE, window=5))
    assert 1.6 < size.stage_size(longer, "local").flops / base.flops < 2.1
    # A face stage that trains the main discriminator holds its moments and its gradients.
    joined = replace(RECIPE, main_discriminator_after=0)
    faces, more = (size.stage_size(recipe, "face") for recipe in (RECIPE, joined))
    assert more.flops > faces.flops and more.state_bytes > faces.state_bytes
    assert more.held > faces.held and more.trained > faces.trained
    once = size.stage_size(replace(RECIPE, rematerialise=True), "local")
    assert once.held < base.held and once.flops == base.flops


def test_memory_is_estimated_by_what_was_compiled():
    """everybody_dance_now's global stage at 512x256 on a TPU v5e: temporary memory of 2.38 GB with
    one window and 7.60 GB with eight; two_cores on a CPU: 102, 202 and 66 MB."""
    from motion_jax.config import load_config

    recipe = load_config("everybody_dance_now").recipe
    for batch, compiled in ((1, 2.38e9), (8, 7.60e9)):
        stage = replace(recipe.global_stage, height=256, width=512, batch_size=batch)
        estimate = size.stage_size(replace(recipe, global_stage=stage), "global")
        assert estimate.temporary_bytes(accelerator=True) == pytest.approx(compiled, rel=0.1)
    recipe = load_config("two_cores").recipe
    for name, compiled in (("global", 102e6), ("local", 202e6), ("face", 66e6)):
        estimate = size.stage_size(recipe, name).temporary_bytes(accelerator=False)
        assert estimate == pytest.approx(compiled, rel=0.25), name
