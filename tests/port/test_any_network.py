"""Networks that no original program has: described, exported as programs, refused elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from motion_jax.errors import UserError
from motion_jax.nets import pix2pix, pix2pixhd
from motion_jax.nets.initial import initialise
from motion_jax.port import calling, stablehlo
from motion_jax.port.reference import network_from_description, reference_description
from motion_jax.recipes.network import picture


class Painter(nn.Module):
    """Two inputs, one of them a vector, and two outputs."""

    @nn.compact
    def __call__(self, seen, memory):
        level = nn.Dense(3, name="recall")(memory)
        return jnp.tanh(seen["grey"] + level[:, None, None]), {"memory": 0.5 * memory}


def test_any_network_is_a_program():
    module = Painter()
    inputs = {"grey": picture(4, 6, 1)}, jax.ShapeDtypeStruct((1, 5), jnp.float32)
    params = initialise(module, jax.random.key(0), *inputs)
    program = stablehlo.build_any(module, params, inputs)
    program = jax.export.deserialize(program.serialize())
    random = np.random.default_rng(0)
    grey = random.random((3, 4, 6, 1)).astype(np.float32)
    memory = random.random((3, 5)).astype(np.float32)
    made, after = program.call(stablehlo.flat(params), grey, memory)
    expected, rest = module.apply(params, {"grey": grey}, memory)
    np.testing.assert_allclose(made, expected, atol=1e-6)
    np.testing.assert_allclose(after, rest["memory"], atol=1e-6)
    shown, vector = calling.any_network(inputs)["inputs"]
    assert shown == {"name": "[0]['grey']", "shape": ["batch", 4, 6, 1], "dtype": "float32"}
    assert vector["shape"] == ["batch", 5]


@pytest.mark.parametrize(
    "module",
    [
        pix2pixhd.GlobalGenerator(ngf=5, n_downsampling=2, n_blocks=3),
        pix2pixhd.LocalEnhancer(ngf=4, n_downsample_global=3, n_blocks_local=2),
        pix2pixhd.MultiscaleDiscriminator(ndf=6, n_layers=2, num_D=3),
        pix2pix.UnetGenerator(num_downs=6, ngf=3, norm="batch", dropout=True, bias=False),
        pix2pix.ResnetGenerator(ngf=3, n_blocks=2, norm="instance", bias=True),
        pix2pix.PatchDiscriminator(ndf=3, n_layers=2, norm="batch", bias=False),
        pix2pix.PixelDiscriminator(ndf=3, norm="instance", bias=False),
    ],
)
def test_a_description_is_of_the_module_that_it_makes(module):
    description = reference_description(module, 7)
    assert description["input_nc"] == 7
    assert network_from_description(description)[0] == module


def test_the_face_discriminator_is_told_apart_by_its_details():
    module = pix2pixhd.NLayerDiscriminator(ndf=6, n_layers=2, norm="batch")
    description = reference_description(module, 6) | {"intermediate_features": False}
    assert network_from_description(description)[0] == module


def test_what_the_originals_have_not_is_said():
    with pytest.raises(UserError, match="Painter is no network of the original programs"):
        reference_description(Painter(), 3)
