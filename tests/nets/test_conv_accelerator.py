"""What TPUs run: every form against the plain one, in value and in both gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax import losses
from motion_jax.nets import conv, conv_accelerator, norm, packed
from motion_jax.nets.initial import initialise
from motion_jax.nets.pix2pixhd import LocalEnhancer
from motion_jax.nets.vgg import VGG19

# operation: function of conv, its kernel's size, and for each case (height, width, inputs,
# outputs, pixels a block of the input, whether the output is packed)
CASES = {
    "from few": ("conv_reflect", 7, (10, 16, 3, 32), 1, 4),
    "from few, odd width": ("conv_reflect", 7, (9, 15, 6, 64), 1, 1),
    "to few": ("conv_reflect", 7, (10, 16, 32, 3), 4, 1),
    "to few, no whole tiles": ("conv_reflect", 7, (9, 12, 16, 3), 1, 1),
    "few": ("conv_reflect", 3, (5, 6, 3, 4), 1, 1),
    "wide": ("conv_reflect", 3, (5, 6, 128, 128), 1, 1),
    "packed": ("conv_reflect", 3, (5, 8, 64, 64), 2, 2),
    "packed by four": ("conv_reflect", 3, (5, 12, 32, 32), 4, 4),
    "down": ("conv_down", 3, (6, 8, 32, 64), 4, 2),
    "down to one": ("conv_down", 3, (6, 8, 64, 16), 2, 1),
    "down, odd height": ("conv_down", 3, (5, 8, 16, 16), 2, 1),
    "up": ("conv_up", 3, (3, 4, 128, 64), 1, 2),
    "up by four": ("conv_up", 3, (3, 4, 64, 32), 2, 4),
    "up, wide": ("conv_up", 3, (3, 4, 16, 128), 1, 1),
    "zeros, from few": ("conv_zero", 3, (10, 16, 3, 64), 1, 2),
    "zeros, to few": ("conv_zero", 7, (10, 16, 32, 3), 4, 1),
    "zeros, to few, no whole tiles": ("conv_zero", 7, (9, 12, 16, 3), 1, 1),
    "zeros, packed": ("conv_zero", 3, (5, 8, 64, 64), 2, 2),
    "zeros, from packed to wide": ("conv_zero", 3, (5, 8, 64, 128), 2, 1),
    "up of kernel 4": ("conv_up", 4, (3, 4, 32, 32), 2, 1),
}


def close(ours, plain, message=""):
    scale = np.abs(plain).max()
    np.testing.assert_allclose(ours / scale, plain / scale, atol=2e-5, err_msg=message)


@pytest.mark.parametrize("case", CASES)
def test_every_form_is_the_plain_one_in_value_and_gradients(case):
    name, k, (height, width, inputs, outputs), taken, given = CASES[case]
    padding = (k // 2,) if name == "conv_zero" else ()
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(size=(2, height, width, inputs)), jnp.float32)
    kernel = jnp.asarray(random.normal(size=(k, k, inputs, outputs)), jnp.float32)
    found = []

    def ours(x, kernel):
        x = packed.wrapped(packed.packed(x, taken), taken)
        with conv.target_platform("tpu"):
            y = getattr(conv, name)(x, kernel, *padding)
        found.append(packed.of(y)[1])
        return packed.unpacked(y)

    def plain(x, kernel):
        return getattr(conv_accelerator, name)(x, kernel, *padding)

    @jax.jit
    def both(x, kernel, dy):
        results = []
        for form in (ours, plain):
            y, pull = jax.vjp(form, x, kernel)
            results.append((y, *pull(dy)))
        return results

    shape = jax.eval_shape(plain, x, kernel).shape
    dy = jnp.asarray(random.normal(size=shape), jnp.float32)
    for what, a, b in zip(("value", "input", "kernel"), *both(x, kernel, dy), strict=True):
        close(np.asarray(a), np.asarray(b), what)
    assert found == [given]


@pytest.mark.parametrize("height", [6, 5])
def test_max_pool_of_pairs_gives_the_gradient_to_the_first_of_equals(height):
    x = np.random.default_rng(0).integers(0, 3, (2, height, 8, 5)).astype(np.float32)

    def ours(x):
        with conv.target_platform("tpu"):
            return conv.max_pool(packed.wrapped(packed.packed(x, 2), 2))

    for form in (ours, conv_accelerator.max_pool):
        y, pull = jax.vjp(form, x)
        dy = jnp.arange(y.size, dtype=jnp.float32).reshape(y.shape) + 1
        if form is ours:
            first = y, pull(dy)[0]
    np.testing.assert_array_equal(first[0], y)
    np.testing.assert_array_equal(first[1], pull(dy)[0])


def test_the_perceptual_loss_is_the_same_from_packed_features():
    network = VGG19()
    a, b = jax.random.uniform(jax.random.key(0), (2, 1, 16, 32, 3), minval=-1.0)
    weights = initialise(network, jax.random.key(1), a)

    # The weights are an argument: constants of 80 MB would be folded for long.
    def loss(a, weights, platform):
        with conv.target_platform(platform):
            features = network.apply(weights, a), network.apply(weights, b)
        return losses.perceptual(*features), features[0][0]

    results = []
    for platform in ("gpu", "tpu"):
        run = jax.jit(jax.value_and_grad(lambda a, w, p=platform: loss(a, w, p), has_aux=True))
        (value, first), gradient = run(a, weights)
        results.append((float(value), np.asarray(gradient)))
        assert isinstance(first, packed.Packed) == (platform == "tpu")
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-5)
    close(results[1][1], results[0][1])


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("relu", [False, True])
def test_the_norms_gradient_is_that_of_its_formula(factor, relu):
    random = np.random.default_rng(1)
    x = jnp.asarray(random.normal(3.0, 2.0, size=(2, 4, 6, 5)), jnp.float32)
    dy = jnp.asarray(random.normal(size=x.shape), jnp.float32)

    def ours(x):
        with conv.target_platform("tpu"):
            y = norm.instance_norm(packed.wrapped(packed.packed(x, factor), factor), relu)
        return packed.unpacked(y)

    def plain(x):
        with conv.target_platform("cpu"):
            return norm.instance_norm(x, relu)

    for form in (ours, plain):
        y, pull = jax.vjp(form, x)
        if form is ours:
            first = y, pull(dy)[0]
    close(np.asarray(first[0]), np.asarray(y))
    close(np.asarray(first[1]), np.asarray(pull(dy)[0]))


def test_one_pass_serves_bfloat16_even_with_a_large_mean():
    """Against the same bfloat16 numbers in float64."""
    random = np.random.default_rng(2)
    x = jnp.asarray(random.normal(20.0, 1.0, size=(1, 64, 64, 4)), jnp.bfloat16)
    exact = np.asarray(x, np.float64)
    exact = (exact - exact.mean((1, 2))) / np.sqrt(exact.var((1, 2)) + 1e-5)
    with conv.target_platform("tpu"):
        y = norm.instance_norm(x)
    np.testing.assert_allclose(np.asarray(y, np.float64), exact, rtol=2**-8, atol=1e-3)


def test_a_whole_network_keeps_pictures_packed_and_gives_the_same():
    network = LocalEnhancer(ngf=16, n_downsample_global=1, n_blocks_global=1, n_blocks_local=1)
    x = jax.random.normal(jax.random.key(0), (1, 16, 32, 6))
    weights = initialise(network, jax.random.key(1), x)

    def loss(x, platform):
        with conv.target_platform(platform):
            y = network.apply(weights, x)
        return jnp.vdot(y, jnp.cos(jnp.arange(y.size).reshape(y.shape))), y

    pictures = [x, *(jax.random.normal(jax.random.key(seed), x.shape) for seed in range(2, 8))]
    results, programs = [], []
    for platform in ("gpu", "tpu"):
        step = jax.jit(jax.grad(lambda x, p=platform: loss(x, p), has_aux=True))
        results.append([step(picture) for picture in pictures])
        programs.append(str(jax.make_jaxpr(lambda x, p=platform: loss(x, p)[0])(x)))
    alike = 0
    for (gradient, y), (other, z) in zip(*results, strict=True):
        close(np.asarray(y), np.asarray(z))
        alike += np.abs(gradient - other).max() <= 2e-3 * np.abs(gradient).max()
    # A pre-activation within rounding of zero is on either side of ReLU's kink, now and then.
    assert alike >= 5
    # 16 channels: eight pixels a block at full width.
    assert "[1,16,4,128]" in programs[1] and "[1,16,4,128]" not in programs[0]
