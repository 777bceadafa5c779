"""How parameters begin: each kind's distribution, drawn by itself or together with all others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from motion_jax.nets import initial
from motion_jax.nets.blocks import BatchNorm
from motion_jax.nets.initial import initialise
from motion_jax.nets.pix2pix import UnetGenerator
from motion_jax.nets.pix2pixhd import LocalEnhancer, NLayerDiscriminator

NETWORKS = {
    "enhancer": (LocalEnhancer(ngf=32, n_blocks_global=1, n_blocks_local=1), (1, 64, 64, 6)),
    "discriminator": (NLayerDiscriminator(norm="batch"), (1, 32, 32, 6)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_initialise_draws_as_the_modules_do(name):
    module, shape = NETWORKS[name]
    x = jnp.zeros(shape)
    expected = jax.eval_shape(module.init, jax.random.key(0), x)
    draw = jax.jit(lambda key: initialise(module, key, x))
    params = draw(jax.random.key(5))
    assert expected == jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), params
    )
    params, kinds, firsts = jax.device_get(params), set(), []

    def visit(tree, path=()):
        if "kernel" not in tree and "scale" not in tree:
            for child, below in tree.items():
                visit(below, (*path, child))
            return
        bias = np.asarray(tree["bias"])
        if "scale" in tree:
            kinds.add("norm")
            assert not bias.any()
            assert np.mean(tree["scale"]) == pytest.approx(1, abs=0.01)
            assert np.std(tree["scale"]) == pytest.approx(0.02, rel=0.3)
            return
        kernel = np.asarray(tree["kernel"])
        firsts.append(kernel.ravel()[0])
        assert kernel.std() == pytest.approx(0.02, rel=4 / np.sqrt(kernel.size)), path
        assert abs(kernel.mean()) < 0.02 * 5 / np.sqrt(kernel.size), path
        up = path[-1].startswith("up_") or path[-1].endswith("_up")
        kinds.add("up" if up else "other")
        bound = np.prod(kernel.shape[:2]) * kernel.shape[3 if up else 2]
        bound = bound**-0.5
        assert np.abs(bias).max() <= bound, path
        if len(bias) >= 32:
            assert np.abs(bias).max() > 0.75 * bound, path
            assert abs(bias.mean()) < bound / 2, path

    visit(params["params"])
    assert kinds == ({"up", "other"} if name == "enhancer" else {"norm", "other"})
    assert len(set(firsts)) == len(firsts) > 4
    other = jax.device_get(draw(jax.random.key(6)))
    layer = "last" if name == "enhancer" else "layer_0"
    assert other["params"][layer]["kernel"].ravel()[0] not in firsts


class Drawn(nn.Module):
    """Parameters of every kind, some with names that say nothing, one of a foreign initialiser."""

    @nn.compact
    def __call__(self, x):
        size = (40, 50)
        self.param("up", initial.normal(0.5), size)
        self.param("kernel", initial.normal(0.1, mean=2.0), size)
        self.param("bias", initial.uniform(0.25), size)
        self.param("fan", initial.by_fan_in(16), size)
        self.param("latent", initial.constant(3.0), size)
        self.param("style", nn.initializers.normal(0.2), size)
        return nn.Dense(7, name="dense")(x)


@pytest.mark.parametrize("together", [True, False])
def test_each_kind_has_its_distribution(together):
    draw = initialise if together else (lambda module, *inputs: module.init(*inputs))
    found = draw(Drawn(), jax.random.key(1), jnp.ones((1, 300)))["params"]
    dense = found.pop("dense")
    found = {name: np.asarray(value) for name, value in found.items()}
    for name, mean, deviation in (("up", 0, 0.5), ("kernel", 2, 0.1), ("style", 0, 0.2)):
        assert found[name].mean() == pytest.approx(mean, abs=deviation / 10), name
        assert found[name].std() == pytest.approx(deviation, rel=0.1), name
    for name in ("bias", "fan"):
        assert 0.24 < np.abs(found[name]).max() <= 0.25, name
        assert abs(found[name].mean()) < 0.02, name
    assert (found["latent"] == 3).all()
    # LeCun's: 1 / sqrt(inputs).
    assert dense["kernel"].shape == (300, 7) and not dense["bias"].any()
    assert float(dense["kernel"].std()) == pytest.approx(300**-0.5, rel=0.1)
    values = [found[name].ravel()[0] for name in ("up", "kernel", "bias", "fan", "style")]
    assert len(set(values)) == len(values)


def test_shapes_alone_are_enough_and_nothing_is_computed():
    shown = jax.ShapeDtypeStruct((1, 300), jnp.float32)
    drawn = initialise(Drawn(), jax.random.key(0), shown)
    shapes = jax.eval_shape(lambda key: initialise(Drawn(), key, shown), jax.random.key(0))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), drawn) == jax.tree.map(
        lambda x: (x.shape, x.dtype), shapes
    )
    again = jax.jit(lambda key: initialise(Drawn(), key, shown))(jax.random.key(0))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), drawn, again)


def test_layers_of_other_packages_just_work():
    drawn = initialise(nn.Embed(30, 40), jax.random.key(0), jnp.zeros(2, jnp.int32))
    table = np.asarray(drawn["params"]["embedding"])
    assert table.shape == (30, 40) and table.std() == pytest.approx(40**-0.5, rel=0.1)

    class Layers(nn.Module):
        @nn.compact
        def __call__(self, x):
            stack = nn.vmap(
                nn.Dense, variable_axes={"params": 0}, split_rngs={"params": True}, axis_size=3
            )
            return stack(8, name="stack")(x), BatchNorm(tracked=True)(x[None, None])

    drawn = initialise(Layers(), jax.random.key(0), jnp.ones((3, 4)))
    first, second, _ = drawn["params"]["stack"]["kernel"]
    assert np.abs(first - second).max() > 0.1
    norm = drawn["batch_stats"]["BatchNorm_0"]
    assert not norm["mean"].any() and (norm["var"] == 1).all()
    assert norm["count"].dtype == jnp.int32 and norm["count"] == 0


def test_the_biases_of_pix2pixs_networks_begin_at_zero():
    x = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    module = UnetGenerator(num_downs=5, ngf=2, norm="instance")
    flat, _ = jax.tree_util.tree_flatten_with_path(initialise(module, jax.random.key(0), x))
    biases = [leaf for path, leaf in flat if path[-1].key == "bias"]
    assert len(biases) == 10 and not any(np.asarray(bias).any() for bias in biases)
