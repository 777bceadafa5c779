"""Sizes of the default networks: published counts of parameters, shapes of what they return."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.nets.conv import target_platform
from motion_jax.nets.pix2pixhd import (
    GlobalGenerator,
    LocalEnhancer,
    MultiscaleDiscriminator,
    NLayerDiscriminator,
)
from motion_jax.nets.vgg import VGG19
from motion_jax.profiling.arithmetic import count_parameters


# Counts of the published code's networks with 3-channel poses and pictures.
@pytest.mark.parametrize(
    ("module", "shape", "count"),
    [
        (GlobalGenerator(), (1, 32, 64, 6), 182_452_675),
        (LocalEnhancer(), (1, 64, 64, 6), 182_715_939),
        (MultiscaleDiscriminator(), (1, 32, 32, 12), 5_547_906),
        (MultiscaleDiscriminator(num_D=3), (1, 32, 32, 12), 8_321_859),
        (NLayerDiscriminator(norm="batch"), (1, 32, 32, 6), 2_769_601),
        (GlobalGenerator(n_downsampling=3, n_blocks=5), (1, 32, 32, 6), 26_724_291),
        # VGG-19's `features` has 20,024,384; the last three convolutions (512 to 512) are left out.
        (VGG19(), (1, 32, 32, 3), 20_024_384 - 3 * (9 * 512 * 512 + 512)),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, tuple | int) else None,
)
def test_default_networks_have_the_published_number_of_parameters(module, shape, count):
    params = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros(shape))
    assert count_parameters(params) == count


def shapes(module, shape, platform="cpu"):
    def run(x):
        return module.init_with_output(jax.random.key(0), x)[0]

    with target_platform(platform):
        return jax.tree.map(lambda leaf: leaf.shape, jax.eval_shape(run, jnp.zeros(shape)))


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_generators_keep_the_size(platform):
    small = GlobalGenerator(ngf=4, n_downsampling=2, n_blocks=1)
    assert shapes(small, (2, 16, 24, 6), platform) == (2, 16, 24, 3)
    for enhancers in (1, 2):
        module = LocalEnhancer(3, 2, 1, 1, enhancers, 1)
        assert shapes(module, (2, 16, 24, 6), platform) == (2, 16, 24, 3)
        # The core is as wide as a GlobalGenerator of the widest enhancer's double.
        params = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 16, 16, 6)))
        assert params["params"]["model"]["first"]["kernel"].shape[-1] == 2 * 2**enhancers


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_discriminators_return_features_and_maps_finest_first(platform):
    # Each strided layer gives floor(n / 2) + 1 rows, each other one more.
    one = shapes(NLayerDiscriminator(), (1, 256, 512, 12), platform)
    assert [shape[1:3] for shape in one] == [(129, 257), (65, 129), (33, 65), (34, 66), (35, 67)]
    assert [shape[3] for shape in one] == [64, 128, 256, 512, 1]
    three = shapes(MultiscaleDiscriminator(num_D=3), (2, 256, 512, 12), platform)
    assert [scale[-1] for scale in three] == [(2, 35, 67, 1), (2, 19, 35, 1), (2, 11, 19, 1)]
    assert [len(scale) for scale in three] == [5, 5, 5]


def test_the_last_scale_sees_full_resolution():
    """So that scales which a smaller stage trained go on seeing the resolutions that they know."""
    module = MultiscaleDiscriminator(ndf=4, n_layers=1, num_D=2)
    x = jax.random.normal(jax.random.key(0), (1, 16, 16, 3))
    alone = NLayerDiscriminator(ndf=4, n_layers=1)

    @jax.jit
    def run(x):
        both, params = module.init_with_output(jax.random.key(1), x)
        return both, alone.apply({"params": params["params"]["scale_1"]}, x)

    both, finest = run(x)
    np.testing.assert_allclose(both[0][-1], finest[-1], atol=1e-6)
    assert abs(float(both[1][-1].mean() - finest[-1].mean())) > 1e-5


def test_vgg_returns_five_maps():
    found = shapes(VGG19(), (1, 32, 48, 3))
    assert [shape[1:] for shape in found] == [
        (32, 48, 64), (16, 24, 128), (8, 12, 256), (4, 6, 512), (2, 3, 512),
    ]  # fmt: skip


def test_a_generator_without_head_returns_features():
    core = GlobalGenerator(ngf=4, n_downsampling=1, n_blocks=1, head=False)
    assert shapes(core, (1, 8, 8, 6)) == (1, 8, 8, 4)
