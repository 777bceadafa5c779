"""The GPU's forms: against PyTorch's and differences in test_conv.py; here against the plain forms,
and what a program for a GPU must not hold."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.nets import blocks, conv, conv_accelerator, conv_gpu
from motion_jax.nets.pix2pix import PatchDiscriminator, ResnetGenerator, UnetGenerator
from motion_jax.nets.pix2pixhd import GlobalGenerator, LocalEnhancer, MultiscaleDiscriminator
from motion_jax.nets.vgg import VGG19
from motion_jax.profiling.arithmetic import inner_jaxprs

LARGEST_KERNEL = 7


def random(*shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize("near", [(0, 0), (0, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("form", ["conv_reflect", "conv_down", "conv_up"])
def test_forms_with_rows_of_the_neighbours_are_the_plain_ones(form, near):
    check_equal(form, (random(2, 6, 8, 3), random(3, 3, 3, 4, seed=1)), near=near)


@pytest.mark.parametrize("near", [(0, 0), (2, 0), (2, 1)], ids=str)
@pytest.mark.parametrize("stride", [1, 2])
def test_patches_with_rows_of_the_neighbours_are_the_plain_ones(stride, near):
    check_equal(
        "conv_patch", (random(2, 6, 8, 3), random(4, 4, 3, 4, seed=1)), stride=stride, near=near
    )


def test_relu_and_max_pool_are_the_plain_ones():
    # Whole numbers, so that there are equal ones, zeros among them, and odd sides.
    x = jnp.round(2 * random(2, 7, 9, 5))
    for form in ("relu", "max_pool", "max_pool_relu"):
        check_equal(form, (x,))
    np.testing.assert_array_equal(
        conv_gpu.max_pool_relu(x), conv_accelerator.max_pool(jax.nn.relu(x))
    )


def check_equal(form, arguments, **settings):
    """Value and gradients of the GPU's form and the plain one."""
    found = {}
    for module in (conv_gpu, conv_accelerator):
        function = lambda *a, m=module: getattr(m, form)(*a, **settings)  # noqa: E731
        y, pull = jax.vjp(function, *arguments)
        found[module] = y, *pull(random(*y.shape, seed=2))
    for ours, plain in zip(*found.values(), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("relu", [False, True])
def test_the_norms_gradient_is_the_plain_one(relu, dtype):
    x = random(2, 6, 8, 3).astype(dtype)
    weights = random(*x.shape, seed=1)
    found = []
    for platform in ("gpu", "plain"):
        with conv.target_platform(platform):
            found.append(jax.grad(lambda x: (blocks.instance_norm(x, relu) * weights).sum())(x))
    atol = 1e-5 if dtype == "float32" else 2e-2
    np.testing.assert_allclose(*(g.astype(np.float32) for g in found), atol=atol)


# --- what cuDNN would be asked to do ------------------------------------------------------------

_SMALL = {"ngf": 4, "n_blocks": 1}
# name: module, its input's shape, whether it is trained
NETWORKS = {
    "global": (GlobalGenerator(n_downsampling=2, **_SMALL), (1, 32, 64, 6), True),
    "resize": (GlobalGenerator(n_downsampling=2, up="resize", **_SMALL), (1, 32, 64, 6), True),
    "local": (
        LocalEnhancer(ngf=4, n_downsample_global=2, n_blocks_global=1, n_blocks_local=1),
        (1, 32, 64, 6),
        True,
    ),
    "discriminator": (MultiscaleDiscriminator(ndf=4, num_D=2), (1, 64, 128, 12), True),
    "u-net": (UnetGenerator(num_downs=5, ngf=4), (1, 32, 32, 3), True),
    "resnet": (ResnetGenerator(ngf=4, n_blocks=1), (1, 32, 32, 3), True),
    "patches": (PatchDiscriminator(ndf=4), (1, 64, 64, 6), True),
    "vgg19": (VGG19(), (1, 64, 64, 3), False),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_no_convolution_is_out_of_proportion(name):
    assert out_of_proportion(name, "gpu") == []


def test_the_plain_forms_are_found_out():
    """Otherwise the test above would say nothing."""
    for name in ("global", "resize", "local", "discriminator", "u-net", "resnet"):
        assert out_of_proportion(name, "plain"), name


def out_of_proportion(name, platform):
    """The convolutions of a network's gradient that become something else than a convolution with
    one of its kernels, forwards or back, once XLA compiles them for cuDNN."""
    module, shape, trained = NETWORKS[name]
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    variables = jax.eval_shape(lambda x: module.init(jax.random.key(0), x), x)

    def loss(variables, x):
        made = module.apply(variables, x, mutable=["batch_stats"])[0]
        return sum(leaf.mean() for leaf in jax.tree.leaves(made))

    with conv.target_platform(platform):
        gradient = jax.grad(loss, argnums=(0, 1) if trained else 1, allow_int=True)
        jaxpr = jax.make_jaxpr(gradient)(variables, x).jaxpr
    return [each for each in convolutions(jaxpr) if wrong(each)]


def convolutions(jaxpr):
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            yield equation
        for inner in inner_jaxprs(equation):
            yield from convolutions(inner)


def wrong(equation):
    spec = equation.params["dimension_numbers"]
    picture, window = (variable.aval.shape for variable in equation.invars)
    picture, window = ([s[axis] for axis in axes[2:]] for s, axes in zip(
        (picture, window), (spec.lhs_spec, spec.rhs_spec), strict=True))  # fmt: skip
    result = [equation.outvars[0].aval.shape[axis] for axis in spec.out_spec[2:]]
    if spec.lhs_spec[0] == 0:
        # The batch is where pictures have it: forward, or towards the input.
        return max(window) > LARGEST_KERNEL
    # Towards the kernel: a window of a picture over a picture. cuDNN has that as it is, if no zeros
    # stand in the picture (a transposed convolution's) and the window is the smaller one; XLA
    # exchanges the two otherwise.
    stuffed = max(equation.params["lhs_dilation"]) > 1
    exchanged = math.prod(window) > math.prod(picture)
    return stuffed or exchanged or max(result) > LARGEST_KERNEL
