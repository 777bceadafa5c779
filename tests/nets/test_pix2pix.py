"""pix2pix's networks: published sizes, every platform's forms, dropout by a key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.nets.conv import target_platform
from motion_jax.nets.initial import initialise
from motion_jax.nets.pix2pix import (
    PatchDiscriminator,
    PixelDiscriminator,
    ResnetGenerator,
    UnetGenerator,
)
from motion_jax.profiling.arithmetic import count_parameters


@pytest.mark.parametrize(
    ("module", "shape", "count"),
    [
        (UnetGenerator(), (1, 256, 256, 3), 54_413_955),
        (UnetGenerator(num_downs=7), (1, 128, 128, 3), 41_828_995),
        (ResnetGenerator(), (1, 32, 32, 3), 11_378_179),
        (ResnetGenerator(n_blocks=6), (1, 32, 32, 3), 7_837_699),
        (PatchDiscriminator(), (1, 32, 32, 6), 2_768_705),
        (PatchDiscriminator(norm="instance"), (1, 32, 32, 3), 2_764_737),
    ],
    ids=["unet_256", "unet_128", "resnet_9", "resnet_6", "batch", "instance"],
)
def test_default_networks_have_the_published_number_of_parameters(module, shape, count):
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros(shape))
    assert count_parameters(shapes["params"]) == count


def test_discriminators_have_the_published_maps():
    def shapes(module, shape):
        run = jax.eval_shape(module.init_with_output, jax.random.key(0), jnp.zeros(shape))
        return [leaf.shape for leaf in run[0]]

    # A patch of 70 pixels at every eighth.
    assert shapes(PatchDiscriminator(ndf=4), (1, 256, 256, 6)) == [(1, 30, 30, 1)]
    assert shapes(PatchDiscriminator(ndf=4, n_layers=1), (1, 64, 32, 3)) == [(1, 30, 14, 1)]
    assert shapes(PixelDiscriminator(ndf=4), (1, 16, 24, 3)) == [(1, 16, 24, 1)]


def test_what_tpus_run_is_what_cpus_run():
    """With pictures packed between layers."""
    module = ResnetGenerator(ngf=16, n_blocks=1)
    x = jax.random.normal(jax.random.key(0), (2, 16, 16, 3))
    params = initialise(module, jax.random.key(1), x)
    made = []
    for platform in ("cpu", "tpu"):
        with target_platform(platform):
            made.append(jax.jit(lambda params, x: module.apply(params, x))(params, x))
    np.testing.assert_allclose(made[0], made[1], atol=1e-5)


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("kind", [UnetGenerator, ResnetGenerator])
def test_every_norm_is_traced_for_tpus(kind, norm):
    """Where packed pictures meet layers that need them as they are."""
    module, x = kind(ngf=16, norm=norm, dropout=True), jnp.zeros((2, 256, 256, 3))
    with target_platform("tpu"):
        made = jax.eval_shape(
            lambda key: module.init_with_output({"params": key, "dropout": key}, x)[0],
            jax.random.key(0),
        )
    assert made.shape == x.shape


def test_dropout_is_in_the_middle_levels_and_by_a_key():
    x = jnp.ones((1, 256, 256, 3))
    for depth, levels in ((5, 0), (7, 2), (8, 3)):
        module = UnetGenerator(num_downs=depth, ngf=2, dropout=True)
        params = jax.eval_shape(module.init, jax.random.key(0), x)

        def run(params, key, module=module):
            return module.apply(params, x, rngs={"dropout": key})

        text = str(jax.make_jaxpr(run)(params, jax.random.key(0)))
        assert text.count("random_bits") == levels
    module, x = ResnetGenerator(ngf=2, n_blocks=1, dropout=True), x[:, :16, :16]
    params = initialise(module, jax.random.key(1), x)
    run = jax.jit(lambda key: module.apply(params, x, rngs={"dropout": key}))
    one, same, other = (run(jax.random.key(i)) for i in (2, 2, 3))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
