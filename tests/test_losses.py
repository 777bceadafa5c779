"""Losses against their definitions in numpy, and where gradients must not go."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax import losses


def features(seed, scales=2, layers=3):
    random = np.random.default_rng(seed)
    return [
        [random.normal(size=(2, 4 - s, 4 - s, 3)).astype(np.float32) for _ in range(layers)]
        + [random.normal(size=(2, 3 - s, 3 - s, 1)).astype(np.float32)]
        for s in range(scales)
    ]


def test_least_squares_is_summed_over_scales():
    outputs = features(0)
    for target in (0.0, 1.0):
        expected = sum(np.mean((scale[-1] - target) ** 2) for scale in outputs)
        assert float(losses.least_squares(outputs, target)) == pytest.approx(expected, rel=1e-6)
        each = losses.least_squares_per_sample(jnp.asarray(outputs[0][-1]), target)
        assert each.shape == (2,)
        alone = float(losses.least_squares(outputs[:1], target))
        assert float(each.mean()) == pytest.approx(alone, rel=1e-6)
        assert float(each[1]) == pytest.approx(np.mean((outputs[0][-1][1] - target) ** 2), rel=1e-6)


@pytest.mark.parametrize("layers", [2, 4])
def test_feature_matching_is_averaged_over_scales_and_leaves_the_logits_out(layers):
    fake, real = features(1, layers=layers), features(2, layers=layers)
    expected = 0.0
    for a, b in zip(fake, real, strict=True):
        expected += sum(np.abs(x - y).mean() for x, y in zip(a[:-1], b[:-1], strict=True)) / 2
    # pix2pixHD's 4 / (n_layers + 1), whose discriminator has n_layers + 1 features.
    expected *= 4 / layers
    assert float(losses.feature_matching(fake, real)) == pytest.approx(expected, rel=1e-6)
    by_fake, by_real = jax.grad(losses.feature_matching, argnums=(0, 1))(fake, real)
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(by_real))
    assert all(np.asarray(leaf).any() for scale in by_fake for leaf in scale[:-1])
    assert not any(np.asarray(scale[-1]).any() for scale in by_fake)


def test_perceptual_weighs_deep_layers_most():
    fake = [np.full((1, 2, 2, 1), i + 1.0, np.float32) for i in range(5)]
    real = [np.zeros((1, 2, 2, 1), np.float32)] * 5
    expected = 1 / 32 + 2 / 16 + 3 / 8 + 4 / 4 + 5
    assert float(losses.perceptual(fake, real)) == pytest.approx(expected)
    by_real = jax.grad(losses.perceptual, argnums=1)(fake, [x + 0.5 for x in real])
    assert not any(np.asarray(leaf).any() for leaf in by_real)
    with pytest.raises(ValueError, match="zip"):
        losses.perceptual(fake[:4], real[:4])


def test_masked_mean_of_nothing_is_nothing():
    values, mask = jnp.array([[1.0, 2.0], [5.0, 9.0]]), jnp.array([[1.0, 0.0], [0.0, 1.0]])
    assert float(losses.masked_mean(values, mask)) == 5.0
    assert float(losses.masked_mean(values, jnp.zeros((2, 2)))) == 0.0
    gradient = jax.grad(losses.masked_mean)(values, jnp.zeros((2, 2)))
    assert not np.asarray(gradient).any()


def test_losses_of_half_precision_are_summed_in_single():
    a = jnp.full((1, 64, 64, 3), 0.1, jnp.bfloat16)
    mean = losses.mean_absolute(a, jnp.zeros_like(a))
    assert mean.dtype == jnp.float32
    assert float(mean) == pytest.approx(float(a[0, 0, 0, 0]), rel=1e-5)
    assert losses.least_squares([[a, a]], 1.0).dtype == jnp.float32


def test_cross_entropy_is_of_logits_and_never_overflows():
    logits = np.array([-200.0, -1.0, 0.0, 2.0, 200.0])
    real = np.log1p(np.exp(-np.abs(logits))) + np.maximum(-logits, 0)
    outputs = [[jnp.ones(3), jnp.asarray(logits)], [jnp.zeros((1, 2, 2, 1))]]
    found = losses.cross_entropy(outputs, 1.0)
    assert float(found) == pytest.approx(real.mean() + np.log(2), rel=1e-6)
    found, gradient = jax.value_and_grad(lambda x: losses.GAN["vanilla"]([[x]], 0.0))(logits)
    assert float(found) == pytest.approx((real + logits).mean(), rel=1e-6)
    np.testing.assert_allclose(5 * gradient, 1 / (1 + np.exp(-logits)), atol=1e-6)
