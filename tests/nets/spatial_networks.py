"""Run by test_spatial.py in a process with 4 simulated devices: every network of the recipes with
its pictures' height shared among 2 and 4 of them, against one device."""

import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from motion_jax import losses
from motion_jax.nets import conv, spatial
from motion_jax.nets.halo import Uneven
from motion_jax.nets.packed import Packed, unpacked
from motion_jax.nets.pix2pix import (
    PatchDiscriminator,
    PixelDiscriminator,
    ResnetGenerator,
    UnetGenerator,
)
from motion_jax.nets.pix2pixhd import (
    GlobalGenerator,
    LocalEnhancer,
    MultiscaleDiscriminator,
    NLayerDiscriminator,
)
from motion_jax.nets.vgg import VGG19

# Neighbours' messages forward and, the same again, backward. Reflection padding 2 a convolution,
# halving 1, doubling 1; a PatchGAN's strided layers 1 (padding 2) or 2 (padding 1), others 2;
# average pooling 1; VGG-19 2 a convolution. Layers too low to be shared: none. (2 devices, 4.)
NETWORKS = {
    # first, 1 halving, 1 block, 1 doubling, last
    "global": (lambda d: GlobalGenerator(3, 4, 1, 1, d), (2, 16, 16, 6), 2 + 1 + 4 + 1 + 2),
    # pool; the core without its last; first, halving, 1 block, doubling, last
    "enhancer": (
        lambda d: LocalEnhancer(3, 4, 1, 1, 1, 1, d), (2, 32, 16, 6), 1 + 8 + 2 + 1 + 4 + 1 + 2,
    ),
    # first, 1 block of depthwise convolutions, last. With 4 channels one device's own float32 is
    # 1.2e-4 from its float64.
    "separable": (
        lambda d: GlobalGenerator(3, 16, 0, 1, d, block="separable"), (2, 16, 16, 6), 8,
    ),
    # pool; two scales of 3 strided layers and 2 more
    "multiscale": (lambda d: MultiscaleDiscriminator(4, dtype=d), (2, 128, 16, 6), 1 + 2 * 7),
    "face discriminator": (
        lambda d: NLayerDiscriminator(4, norm="batch", dtype=d), (2, 64, 16, 6), 7,
    ),
    # Down and up 5 times: 32, 16, 8, 4, 2 rows, of which 2 devices share all that are halved but
    # the last and 4 but the last two; what is doubled they share from a row each on.
    "u-net": (lambda d: UnetGenerator(3, 5, 4, dtype=d), (2, 32, 32, 3), (16, 12)),
    "resnet": (lambda d: ResnetGenerator(3, 4, 1, dtype=d), (2, 32, 16, 3), 2 + 2 + 4 + 2 + 2),
    "patch": (lambda d: PatchDiscriminator(4, dtype=d), (2, 64, 32, 6), 5 * 2),
    "pixel": (lambda d: PixelDiscriminator(4, dtype=d), (2, 8, 8, 6), 0),
    # The last of 2 rows.
    "vgg19": (lambda d: VGG19(d), (1, 32, 16, 3), (13 * 2, 12 * 2)),
}  # fmt: skip


def total(outputs):
    """A loss that depends on every entry of all outputs."""
    value = 0.0
    for i, y in enumerate(
        jax.tree.leaves(outputs, is_leaf=lambda y: isinstance(y, Uneven | Packed))
    ):
        y = unpacked(y)
        # Smooth: where a distance is 0, rounding would decide over its gradient's sign.
        other = jax.tree.map(lambda y, i=i: y + 2 + jnp.sin(3 * y + i), y)
        value += (1 + i) * losses.mean_absolute(y, other)
        if y.shape[-1] == 1:
            value += losses.least_squares([[y]], 1.0)
    return value


def check(name, dtype, bound, zero):
    make, shape, permutes = NETWORKS[name]
    module = make(dtype)
    x = np.random.default_rng(1).uniform(-1, 1, shape).astype(dtype)
    variables = jax.jit(module.init)(jax.random.key(0), jnp.zeros(shape, dtype))
    variables = {
        collection: jax.tree.map(
            lambda leaf: leaf.astype(dtype) if leaf.dtype.kind == "f" else leaf, tree
        )
        for collection, tree in variables.items()
    }
    params = variables.pop("params")
    # VGG-19 is never trained.
    towards = (1,) if name == "vgg19" else (0, 1)

    def loss(params, x):
        y, changed = module.apply({"params": params, **variables}, x, mutable=["batch_stats"])
        return total(y), changed

    def gradients(params, x):
        return jax.value_and_grad(loss, towards, has_aux=True)(params, x)

    expected = jax.jit(gradients)(params, x)
    leaves = jax.tree_util.tree_leaves_with_path(expected)
    sizes = {jax.tree_util.keystr(path): float(np.abs(leaf).max()) for path, leaf in leaves}
    if dtype == jnp.float64:
        # Biases before a norm, for instance: rounding is all that can be seen of their gradients.
        zero[name] = {where for where, size in sizes.items() if size < 1e-12}
    for which, count in enumerate((2, 4)):
        if dtype == jnp.float32 and count == 2:
            continue  # the program of float64, which is the sharper test, and of 4 devices
        mesh = jax.make_mesh((4 // count, count), ("data", "space"), (AxisType.Auto,) * 2)
        lies = (NamedSharding(mesh, P()), NamedSharding(mesh, P(None, "space")))
        with spatial.over(mesh):
            # A function of its own: what was traced for one device is not to be taken.
            compiled = (
                jax.jit(lambda *args: gradients(*args), in_shardings=lies)
                .lower(params, x)
                .compile()
            )
        text = compiled.as_text()
        found = len(re.findall(r" collective-permute(?:-start)?\(", text))
        due = 2 * (permutes[which] if isinstance(permutes, tuple) else permutes)
        assert found == due, (name, count, found, due)
        assert " all-to-all" not in text, name
        several = jax.tree.leaves(compiled(params, x))
        for (path, a), b in zip(leaves, several, strict=True):
            where = jax.tree_util.keystr(path)
            scale = max(sizes.values()) if where in zero[name] else sizes[where]
            error = np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).max()
            assert a.shape == b.shape and error <= bound * scale, (name, count, where, error, scale)


def main():
    assert jax.device_count() == 4
    zero = {}
    for x64, dtype, bound in ((True, jnp.float64, 1e-9), (False, jnp.float32, 1e-4)):
        jax.config.update("jax_enable_x64", x64)
        # Forms do not depend on the type: float32 is a check of rounding, for which few suffice.
        some = NETWORKS if dtype == jnp.float64 else ("global", "separable", "multiscale", "vgg19")
        for name in sys.argv[1:] or some:
            # The plain forms compile faster; those for CPUs run VGG-19 faster, and XLA's CPU
            # compiler fails on the plain gradient of a U-Net's convolution of one row.
            with conv.target_platform("cpu" if name in ("u-net", "vgg19") else "plain"):
                check(name, dtype, bound, zero)
    print("same")


if __name__ == "__main__":
    main()
