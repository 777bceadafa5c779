"""Every convolution, in the CPU's way and in the accelerator's, against PyTorch's in numpy."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from motion_jax.nets import blocks, conv


def correlate(x, kernel, stride=1):
    """Conv2d without padding: [N, H, W, I], [k, k, I, O]."""
    view = sliding_window_view(x, kernel.shape[:2], axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("nhwcij,ijco->nhwo", view, kernel)


def pad(x, size, mode="constant"):
    return np.pad(x, ((0, 0), (size, size), (size, size), (0, 0)), mode=mode)


def transposed(x, kernel):
    """ConvTranspose2d(k, stride 2, padding 1) that doubles, as its definition scatters."""
    n, h, w, _ = x.shape
    full = np.zeros((n, 2 * h + 2, 2 * w + 2, kernel.shape[-1]))
    for i in range(len(kernel)):
        for j in range(len(kernel)):
            full[:, i : i + 2 * h : 2, j : j + 2 * w : 2] += x @ kernel[i, j]
    return full[:, 1 : 2 * h + 1, 1 : 2 * w + 1]


# name: ours, the oracle, kernel size
OPERATIONS = {
    "reflect3": (conv.conv_reflect, lambda x, k: correlate(pad(x, 1, "reflect"), k), 3),
    "reflect7": (conv.conv_reflect, lambda x, k: correlate(pad(x, 3, "reflect"), k), 7),
    "zero": (lambda x, k: conv.conv_zero(x, k, 1), lambda x, k: correlate(pad(x, 1), k), 3),
    "down": (conv.conv_down, lambda x, k: correlate(pad(x, 1), k, 2), 3),
    "patch1": (lambda x, k: conv.conv_patch(x, k, 1), lambda x, k: correlate(pad(x, 2), k), 4),
    "patch2": (lambda x, k: conv.conv_patch(x, k, 2), lambda x, k: correlate(pad(x, 2), k, 2), 4),
    "basic1": (lambda x, k: conv.conv_patch(x, k, 1, 1), lambda x, k: correlate(pad(x, 1), k), 4),
    "basic2": (
        lambda x, k: conv.conv_patch(x, k, 2, 1), lambda x, k: correlate(pad(x, 1), k, 2), 4,
    ),
    "up": (conv.conv_up, transposed, 3),
    "up4": (conv.conv_up, transposed, 4),
}  # fmt: skip


@pytest.mark.parametrize("size", [(6, 8), (7, 5), (5, 6)], ids=str)
@pytest.mark.parametrize("name", OPERATIONS)
def test_both_ways_are_pytorchs_in_value_and_gradient(name, size):
    ours, oracle, k = OPERATIONS[name]
    random = np.random.default_rng(0)
    x, kernel = random.normal(size=(2, *size, 3)), random.normal(size=(k, k, 3, 4))
    expected = oracle(x, kernel)
    weights = random.normal(size=expected.shape)
    along_x, along_kernel = random.normal(size=x.shape), random.normal(size=kernel.shape)
    # The operation is linear in each argument, so a difference of any length is the derivative.
    by_x = np.vdot(oracle(along_x, kernel), weights)
    by_kernel = np.vdot(oracle(x, along_kernel), weights)

    def weighted(x, kernel):
        y = ours(x, kernel)
        return jnp.vdot(y, weights), y

    for platform in ("cpu", "gpu"):
        with jax.enable_x64(True), conv.target_platform(platform):
            step = jax.jit(jax.value_and_grad(weighted, argnums=(0, 1), has_aux=True))
            (_, y), gradients = step(x, kernel)
        assert y.dtype == jnp.float64
        np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-10, err_msg=platform)
        assert np.vdot(gradients[0], along_x) == pytest.approx(by_x, rel=1e-9), platform
        assert np.vdot(gradients[1], along_kernel) == pytest.approx(by_kernel, rel=1e-9), platform


def test_the_two_ways_are_two_programs():
    """Otherwise the test above compares one with itself."""
    x, kernel = jnp.zeros((1, 6, 6, 2)), jnp.zeros((3, 3, 2, 2))
    for operation in (conv.conv_reflect, conv.conv_down, conv.conv_up):
        texts = []
        for platform in ("cpu", "tpu"):
            with conv.target_platform(platform):
                # A fresh function: jax keeps what it traced by the function's identity.
                texts.append(str(jax.make_jaxpr(lambda x, k, f=operation: f(x, k))(x, kernel)))
        assert texts[0] != texts[1]
    assert conv.on_cpu() == (jax.default_backend() == "cpu")


@pytest.mark.parametrize("size", [(6, 8), (7, 5)], ids=str)
def test_average_pool_does_not_count_the_padding(size):
    x = np.random.default_rng(1).normal(size=(2, *size, 3)).astype(np.float32)
    h, w = size
    expected = np.empty((2, -(-h // 2), -(-w // 2), 3))
    for i in range(expected.shape[1]):
        for j in range(expected.shape[2]):
            rows = slice(max(2 * i - 1, 0), 2 * i + 2)
            columns = slice(max(2 * j - 1, 0), 2 * j + 2)
            expected[:, i, j] = x[:, rows, columns].mean((1, 2))
    np.testing.assert_allclose(conv.average_pool(jnp.asarray(x)), expected, atol=1e-6)


def test_instance_norm_is_of_each_picture_and_channel_and_survives_a_large_mean():
    x = np.random.default_rng(2).normal(size=(2, 5, 4, 3)) * [1, 10, 0.1] + 1000
    x = x.astype(np.float32)
    wide = x.astype(np.float64)
    expected = wide - wide.mean((1, 2), keepdims=True)
    expected /= np.sqrt(wide.var((1, 2), keepdims=True) + 1e-5)
    # 1e-2: of values near 1000 float32 keeps 6e-5, a thousandth of the weakest channel's deviation.
    np.testing.assert_allclose(blocks.instance_norm(jnp.asarray(x)), expected, atol=1e-2)
    half = blocks.instance_norm(jnp.asarray(x - 1000, jnp.bfloat16))
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(jnp.float32), expected, atol=0.05)


def test_batch_norm_takes_the_statistics_of_the_batch_at_hand():
    x = np.random.default_rng(3).normal(2, 3, size=(3, 4, 4, 2)).astype(np.float32)
    params = {"params": {"scale": jnp.array([2.0, 1.0]), "bias": jnp.array([0.0, -1.0])}}
    y = blocks.BatchNorm().apply(params, jnp.asarray(x))
    expected = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5) * [2, 1] + [0, -1]
    np.testing.assert_allclose(y, expected, atol=1e-5)
    # With running statistics besides: PyTorch's momentum, the unbiased variance.
    norm = blocks.BatchNorm(tracked=True)
    started = {
        "mean": jnp.full(2, 5.0), "var": jnp.full(2, 7.0), "count": jnp.array(4, jnp.int32),
    }  # fmt: skip
    params |= {"batch_stats": started}
    again, changed = norm.apply(params, jnp.asarray(x), mutable=["batch_stats"])
    np.testing.assert_array_equal(again, y)
    kept = changed["batch_stats"]
    np.testing.assert_allclose(kept["mean"], 0.9 * 5 + 0.1 * x.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(kept["var"], 0.9 * 7 + 0.1 * x.var((0, 1, 2), ddof=1), rtol=1e-5)
    assert kept["count"] == 5
    y = blocks.BatchNorm(tracked=True, running=True).apply(params, jnp.asarray(x))
    np.testing.assert_allclose(y, (x - 5) / np.sqrt(7 + 1e-5) * [2, 1] + [0, -1], atol=1e-5)


def test_pytorch_counts_the_fan_in_of_a_transposed_convolution_by_its_outputs():
    for kind, channels in (("down", 256), ("up", 64)):
        module, x = blocks.Conv(64, kind), jnp.zeros((1, 4, 4, 256))
        params = jax.jit(module.init)(jax.random.key(0), x)["params"]
        bound = (9 * channels) ** -0.5
        assert 0.8 * bound < float(jnp.abs(params["bias"]).max()) <= bound
        assert float(params["kernel"].std()) == pytest.approx(0.02, rel=0.02)


def test_a_threads_platform_is_its_own():
    seen = []
    with conv.target_platform("tpu"):
        thread = threading.Thread(target=lambda: seen.append(conv.platform()))
        thread.start()
        thread.join()
        assert conv.platform() == "tpu"
    assert seen == [jax.default_backend()]


@pytest.mark.parametrize("platform", ["cpu", "gpu", "tpu"])
def test_resize_doubles_each_pixel_and_then_convolves(platform):
    key, other = jax.random.split(jax.random.key(0))
    x, kernel = jax.random.normal(key, (2, 5, 6, 3)), jax.random.normal(other, (3, 3, 3, 4))
    large = x.repeat(2, axis=1).repeat(2, axis=2)
    wanted = jax.lax.conv_general_dilated(
        large, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    with conv.target_platform(platform):
        np.testing.assert_allclose(conv.conv_resize(x, kernel), wanted, atol=1e-4)
