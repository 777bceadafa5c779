"""Separable residual blocks: the depthwise convolution, the block, its cost, its training."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.nets import blocks, conv
from motion_jax.nets.depthwise import depthwise_reflect
from motion_jax.nets.initial import initialise
from motion_jax.nets.pix2pixhd import GlobalGenerator, LocalEnhancer
from motion_jax.pose.draw import PoseStyle
from motion_jax.profiling.arithmetic import count_parameters, flops
from motion_jax.recipes import everybody_dance_now as edn
from motion_jax.weights import names


@pytest.mark.parametrize("size", [(6, 8), (2, 3), (3, 2)], ids=str)
def test_both_ways_are_pytorchs_in_value_and_gradient(size):
    """Conv2d(groups = channels) on ReflectionPad2d(1), written out in numpy."""
    random = np.random.default_rng(0)
    x, kernel = random.normal(size=(2, *size, 5)), random.normal(size=(3, 3, 1, 5))

    def oracle(x, kernel):
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
        view = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        return np.einsum("nhwcij,ijc->nhwc", view, kernel[:, :, 0])

    weights = random.normal(size=x.shape)
    along_x, along_kernel = random.normal(size=x.shape), random.normal(size=kernel.shape)
    # Linear in each argument, so a difference of any length is the derivative.
    by_x = np.vdot(oracle(along_x, kernel), weights)
    by_kernel = np.vdot(oracle(x, along_kernel), weights)

    def weighted(x, kernel):
        y = depthwise_reflect(x, kernel)
        return jnp.vdot(y, weights), y

    for platform in ("cpu", "gpu"):
        with jax.enable_x64(True), conv.target_platform(platform):
            step = jax.jit(jax.value_and_grad(weighted, argnums=(0, 1), has_aux=True))
            (_, y), gradients = step(x, kernel)
        np.testing.assert_allclose(y, oracle(x, kernel), rtol=1e-12, atol=1e-12, err_msg=platform)
        assert np.vdot(gradients[0], along_x) == pytest.approx(by_x, rel=1e-10), platform
        assert np.vdot(gradients[1], along_kernel) == pytest.approx(by_kernel, rel=1e-10), platform


def test_the_two_ways_are_two_programs():
    x, kernel = jnp.zeros((1, 6, 6, 2)), jnp.zeros((3, 3, 1, 2))
    for platform, expected in (("cpu", False), ("tpu", True)):
        with conv.target_platform(platform):
            text = str(jax.make_jaxpr(lambda x, k: depthwise_reflect(x, k))(x, kernel))
        assert ("conv_general_dilated" in text) == expected, platform


def test_half_precision_is_summed_in_full():
    """The gradient of a kernel is a sum over thousands of pixels."""
    x, towards = (jnp.ones((1, 64, 64, 2), jnp.bfloat16) for _ in range(2))
    _, pull = jax.vjp(depthwise_reflect, x, jnp.ones((3, 3, 1, 2), jnp.bfloat16))
    to_x, to_kernel = pull(towards)
    assert to_x.dtype == to_kernel.dtype == jnp.bfloat16
    np.testing.assert_array_equal(to_kernel.astype(jnp.float32), 64.0 * 64.0)


def test_a_block_is_the_full_one_with_kernels_of_rank_one():
    """A separable convolution is a 3x3 convolution whose kernel is an outer product."""
    x = jax.random.normal(jax.random.key(0), (2, 6, 5, 4))
    separable, full = blocks.ResidualBlock(kind="separable"), blocks.ResidualBlock()
    params = initialise(separable, jax.random.key(1), x)
    same = {}
    for layer, parts in params["params"].items():
        assert set(parts) == {"depthwise", "pointwise"} and set(parts["depthwise"]) == {"kernel"}
        depthwise, pointwise = parts["depthwise"]["kernel"], parts["pointwise"]
        # [3, 3, 1, I] and [1, 1, I, O] -> [3, 3, I, O]
        kernel = depthwise[:, :, 0, :, None] * pointwise["kernel"][0, 0]
        same[layer] = {"kernel": kernel, "bias": pointwise["bias"]}
    expected = full.apply({"params": same}, x)
    np.testing.assert_allclose(separable.apply(params, x), expected, atol=2e-5)


def test_parameters_are_drawn_as_every_other_convolutions():
    module, x = blocks.ResidualBlock(kind="separable"), jnp.zeros((1, 4, 4, 512))
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    drawn = initialise(module, jax.random.key(0), x)
    assert jax.tree.map(lambda leaf: leaf.shape, shapes) == jax.tree.map(jnp.shape, drawn)
    for params in (drawn, jax.jit(module.init)(jax.random.key(0), x)):
        layer = params["params"]["conv_2"]
        assert float(layer["depthwise"]["kernel"].std()) == pytest.approx(0.02, rel=0.05)
        assert float(layer["pointwise"]["kernel"].std()) == pytest.approx(0.02, rel=0.02)
        assert 0.8 < float(jnp.abs(layer["pointwise"]["bias"]).max()) * 512**0.5 <= 1


def test_cost_counts_depthwise_products():
    """Forward 9 C + C^2 products a pixel; backward as many again for each argument."""
    channels, pixels = 6, 2 * 8 * 8
    x = jnp.zeros((2, 8, 8, channels))
    layer = blocks.SeparableConv(channels)
    params = initialise(layer, jax.random.key(0), x)
    assert count_parameters(params) == 9 * channels + channels**2 + channels
    one = 2 * pixels * (9 * channels + channels**2)
    with conv.target_platform("gpu"):
        forward = jax.make_jaxpr(lambda p, x: layer.apply(p, x))(params, x)
        loss = jax.grad(lambda p, x: layer.apply(p, x).sum(), argnums=(0, 1))
        both = jax.make_jaxpr(loss)(params, x)
    assert flops(forward.jaxpr) == one
    # Towards the input the gradient is computed on the padded picture, 10x10, too.
    assert 3 * one <= flops(both.jaxpr) <= 3 * one + 2 * 9 * channels * 2 * (100 - 64)


def test_the_published_size_with_separable_blocks():
    """Only the residual blocks change: 9 of them at 1024 channels, 3 at 64 in the enhancer."""

    def count(module, size):
        params = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, size, size, 6)))
        return count_parameters(params)

    def saved(channels):
        return 2 * (9 * channels**2 - (9 * channels + channels**2))

    full = count(GlobalGenerator(), 32)
    assert count(GlobalGenerator(block="separable"), 32) == full - 9 * saved(1024)
    local = count(LocalEnhancer(block="separable"), 64)
    assert local == count(LocalEnhancer(), 64) - 9 * saved(1024) - 3 * saved(64)


RECIPE = edn.EverybodyDanceNow(
    generator=edn.Generator(
        ngf=4, n_downsampling=1, n_blocks=1, n_blocks_local=1, block="separable"
    ),
    discriminator=edn.Discriminator(ndf=4, n_layers=1),
    face=edn.Face(size=8, ngf=4, n_downsampling=1, n_blocks=1, ndf=4, n_layers=1),
    losses=edn.Losses(perceptual="none", l1=5.0),
    pose_style=PoseStyle(face_points=0, hands=False),
    local_stage=edn.Stage(steps=9, height=16, width=16, num_D=1, learning_rate=2e-3),
)


def test_a_recipe_trains_with_it():
    random = np.random.default_rng(0)
    keypoints = random.uniform(0, 16, (1, 2, 137, 3)).astype(np.float32)
    batch = {
        "frames": np.repeat(random.integers(0, 255, (1, 1, 16, 16, 3)), 2, 1).astype(np.uint8),
        "keypoints": keypoints,
        "face_boxes": np.zeros((1, 2, 4), np.float32),
    }
    state = jax.jit(lambda key: RECIPE.init(key, "local"))(jax.random.key(0))
    options = {"xla_backend_optimization_level": 0}
    step = jax.jit(
        lambda state, batch: RECIPE.train_step(state, batch, "local", {}), compiler_options=options
    )
    before, losses = state.params["generator"]["params"], []
    for _ in range(6):
        state, metrics = step(state, batch)
        losses.append(float(metrics["G_L1"]))
    assert losses[-1] < losses[0]
    after = state.params["generator"]["params"]
    for block in (("model", "block_0"), ("enhancer_1_block_0",)):
        for params in (before, after):
            layer = params
            for name in block:
                layer = layer[name]
            assert set(layer) == {"conv_1", "conv_2"}
            kernel = np.asarray(layer["conv_1"]["depthwise"]["kernel"])
            if params is before:
                first = kernel
        assert np.isfinite(kernel).all() and np.abs(kernel - first).max() > 1e-4, block


def test_the_face_generator_keeps_full_blocks():
    recipe = replace(RECIPE, face_stage=RECIPE.local_stage)
    params = jax.eval_shape(lambda key: recipe.init(key, "face"), jax.random.key(0)).params
    assert set(params["face_generator"]["params"]["block_0"]["conv_1"]) == {"kernel", "bias"}
    core = params["generator"]["params"]["model"]
    assert set(core["block_0"]["conv_1"]) == {"depthwise", "pointwise"}


def test_it_cannot_be_exported_to_the_reference():
    module = RECIPE.main_generator("local")
    params = initialise(module, jax.random.key(0), jnp.zeros((1, 16, 16, 6)))
    with pytest.raises(UserError, match=r"separable residual blocks \(model/block_0/conv_1\)"):
        names.to_torch(params, names.local_enhancer(1, 1, 1, 1))


def test_a_misspelt_block_is_refused():
    recipe = replace(RECIPE, generator=replace(RECIPE.generator, block="seperable"))
    with pytest.raises(UserError, match="'seperable' is neither 'full' nor 'separable'"):
        recipe.validate()
