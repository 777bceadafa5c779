"""Sizes by formula against the networks and steps themselves, traced."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from motion_jax.config import Config
from motion_jax.nets.conv import target_platform
from motion_jax.nets.vgg import VGG19
from motion_jax.profiling import size
from motion_jax.profiling.cost import count_parameters, flops
from motion_jax.recipes import everybody_dance_now as edn

STAGE = edn.Stage(steps=10, height=32, width=48, batch_size=2, window=3)
RECIPE = edn.EverybodyDanceNow(
    generator=edn.Generator(ngf=8, n_downsampling=2, n_blocks=2, n_blocks_local=1),
    discriminator=edn.Discriminator(ndf=6, n_layers=2),
    face=edn.Face(size=16, ngf=4, n_downsampling=2, n_blocks=1, ndf=4, n_layers=2),
    losses=edn.Losses(perceptual="none", l1=1.0),
    global_stage=replace(STAGE, height=16, width=24),
    local_stage=STAGE,
    face_stage=STAGE,
    pose_style=edn.PoseStyle(face_points=0, hands=False),
    averaging=0.9,
)
SEPARABLE = replace(RECIPE, generator=replace(RECIPE.generator, block="separable"))
TWICE = replace(RECIPE, generator=replace(RECIPE.generator, n_local_enhancers=2))


def core(recipe, height, width):
    g = recipe.generator
    return size.global_generator(height, width, g.ngf, g.n_downsampling, g.n_blocks, g.block)


NETWORKS = {
    "global": (RECIPE.main_generator("global"), (16, 24, 6), core(RECIPE, 16, 24)),
    "separable": (SEPARABLE.main_generator("global"), (16, 24, 6), core(SEPARABLE, 16, 24)),
    "local": (
        SEPARABLE.main_generator("local"),
        (32, 48, 6),
        size.local_enhancer(32, 48, SEPARABLE.generator),
    ),
    "two enhancers": (
        TWICE.main_generator("local"),
        (32, 48, 6),
        size.local_enhancer(32, 48, TWICE.generator),
    ),
    "discriminator": (
        RECIPE.main_discriminator("local"),
        (30, 35, 12),
        size.multiscale(30, 35, 6, 2, 2),
    ),
    "face discriminator": (
        RECIPE.face_discriminator(),
        (16, 16, 6),
        size.discriminator(16, 16, 6, 4, 2, batch_norm=True),
    ),
    "vgg19": (VGG19(), (32, 16, 3), size.vgg19(32, 16)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_one_run_of_a_network_is_counted_exactly(name):
    module, shape, expected = NETWORKS[name]
    x = jnp.zeros((1, *shape))
    params = jax.eval_shape(module.init, jax.random.key(0), x)
    assert count_parameters(params) == expected.parameters
    with target_platform("gpu"):
        jaxpr = jax.make_jaxpr(lambda params, x: module.apply(params, x))(params, x).jaxpr
    assert flops(jaxpr) == 2 * expected.macs
    assert _outputs(jaxpr) == expected.outputs


def _outputs(jaxpr):
    """Numbers that convolutions and matrix products write."""
    from motion_jax.profiling.cost import inner_jaxprs

    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("conv_general_dilated", "dot_general"):
            total += equation.outvars[0].aval.size
        total += sum(_outputs(inner) for inner in inner_jaxprs(equation))
    return total


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
    assert twice.held == 2 * estimate.held and twice.learnt == estimate.learnt
    assert twice.learnt == sum(count_parameters(m.mu) for m in state.optimizer.values())


def _moments(state):
    return state.optimizer.values()


def test_the_perceptual_loss_and_longer_windows_cost_more():
    base = size.stage_size(RECIPE, "local")
    perceptual = replace(RECIPE, losses=edn.Losses())
    features = size.vgg19(32, 48)
    found = size.stage_size(perceptual, "local")
    assert found.flops - base.flops == 2 * 3 * 6 * features.macs
    assert found.held > base.held and found.state_bytes == base.state_bytes
    longer = replace(RECIPE, local_stage=replace(STAGE, window=5))
    assert 1.6 < size.stage_size(longer, "local").flops / base.flops < 2.1
    # A face stage that trains the main discriminator holds its moments and its gradients.
    joined = replace(RECIPE, main_discriminator_after=0)
    faces, more = (size.stage_size(recipe, "face") for recipe in (RECIPE, joined))
    assert more.flops > faces.flops and more.state_bytes > faces.state_bytes
    assert more.held > faces.held and more.learnt > faces.learnt
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
