"""Run by test_spatial.py in a process with 4 simulated devices: every operation on pictures whose
height is shared, in each platform's form, against one device; its messages; what is refused."""

import re
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from motion_jax.errors import UserError
from motion_jax.nets import conv, norm, spatial
from motion_jax.nets.depthwise import depthwise_reflect
from motion_jax.nets.halo import Uneven
from motion_jax.nets.packed import unpacked


def patches(x, kernel):
    """A PatchGAN's rows: H, H / 2 + 1, H / 4 + 1, H / 4 + 2, with norms between."""
    x = conv.conv_patch(x, kernel, 2)
    assert spatial.shards() == 1 or isinstance(x, Uneven)
    x = conv.conv_patch(norm.instance_norm(x), kernel, 2)
    return conv.conv_patch(norm.instance_norm(x, relu=True), kernel, 1)


def basic(x, kernel):
    """pix2pix's: H / 2, H / 2 - 1, H / 2 - 2."""
    x = conv.conv_patch(x, kernel, 2, 1)
    x = norm.instance_norm(conv.conv_patch(x, kernel, 1, 1))
    return conv.conv_patch(x, kernel, 1, 1)


# name: operation, side of its kernel, messages forward
OPERATIONS = {
    "reflect3": (conv.conv_reflect, 3, 2),
    "reflect7": (conv.conv_reflect, 7, 2),
    "zero": (partial(conv.conv_zero, padding=1), 3, 2),
    "down": (conv.conv_down, 3, 1),
    "up": (conv.conv_up, 3, 1),
    "up4": (conv.conv_up, 4, 2),
    "patches": (patches, 4, 1 + 1 + 2),
    "basic": (basic, 4, 2 + 2 + 2),
    "average": (lambda x, kernel: conv.average_pool(x), 1, 1),
    "max": (lambda x, kernel: conv.max_pool(x), 1, 0),
    "depthwise": (depthwise_reflect, 3, 2),
    "norm": (lambda x, kernel: norm.instance_norm(x + 3.0, relu=True), 1, 0),
}
# Channels in and out. On a TPU: tiles of a picture of few channels, packed pictures, and back.
ALIKE = {"average", "max", "depthwise", "norm", "patches", "basic"}
CHANNELS = {"cpu": [(3, 4)], "gpu": [(3, 4)], "tpu": [(3, 16), (16, 16), (16, 3)]}


def run_all(cases):
    """(inputs) -> (outputs, gradients) of all cases, each in a scope of its name."""

    def one(name, x, kernel, weights):
        def weighted(x, kernel):
            with jax.named_scope(f"case_{name}_"):
                y = OPERATIONS[name.split("-")[0]][0](x, kernel)
                y = unpacked(spatial.whole(y))
            return jnp.vdot(y, weights[: y.size].reshape(y.shape)), y

        return jax.value_and_grad(weighted, (0, 1), has_aux=True)(x, kernel)

    return lambda inputs, weights: {name: one(name, *inputs[name], weights) for name in cases}


def check(platform, count, height):
    random = np.random.default_rng(0)
    inputs, cases = {}, []
    for name, (_, side, _) in OPERATIONS.items():
        forms = CHANNELS[platform][: 1 if name in ALIKE else None]
        for i, (taken, given) in enumerate(forms):
            if name in ("patches", "basic"):
                given = taken
            shape = (3, 3, 1, taken) if name == "depthwise" else (side, side, taken, given)
            rows = 2 * height if name == "patches" else height
            x = random.normal(size=(2, rows, 16, taken))
            x *= np.linspace(1, 3, rows)[:, None, None]
            cases.append(f"{name}-{i}")
            inputs[cases[-1]] = x, random.normal(size=shape)
    weights = random.normal(size=2 * 4 * height * 32 * 16)
    mesh = jax.make_mesh((4 // count, count), ("data", "space"), (AxisType.Auto,) * 2)
    pictures, all_of_it = NamedSharding(mesh, P("data", "space")), NamedSharding(mesh, P())
    with conv.target_platform(platform):
        expected = jax.jit(run_all(cases))(inputs, weights)
        with spatial.over(mesh):
            lies = {name: (pictures, all_of_it) for name in cases}, all_of_it
            compiled = jax.jit(run_all(cases), in_shardings=lies).lower(inputs, weights).compile()
    several, text = compiled(inputs, weights), compiled.as_text()
    for name in cases:
        for part, a, b in zip(
            ("sum", "value", "by picture", "by kernel"),
            jax.tree.leaves(expected[name]),
            jax.tree.leaves(several[name]),
            strict=True,
        ):
            error = np.abs(a - b).max()
            assert error <= 1e-9 * np.abs(a).max(), (platform, count, height, name, part, error)
        messages = re.findall(
            rf" collective-permute(?:-start)?\(.*op_name=\"[^\"]*case_{name}_", text
        )
        # As many backward as forward: reflection padding takes 2 and 2.
        due = 2 * OPERATIONS[name.split("-")[0]][2]
        assert len(messages) == due, (platform, count, name, len(messages), due)


def check_two_forward():
    """Of a reflection-padded convolution alone, by the program's text; XLA's partitioner sends
    more."""
    mesh = jax.make_mesh((1, 4), ("data", "space"), (AxisType.Auto,) * 2)
    lies = NamedSharding(mesh, P("data", "space")), NamedSharding(mesh, P())
    x, kernel = jnp.zeros((1, 16, 8, 4)), jnp.zeros((3, 3, 4, 4))

    def sent(ours):
        with spatial.over(mesh if ours else jax.make_mesh((1, 1), ("data", "space"))):
            step = jax.jit(lambda x, k: conv.conv_reflect(x, k), in_shardings=lies)
            text = step.lower(x, kernel).compile().as_text()
        assert not re.search(r" all-(gather|reduce|to-all)", text)
        return len(re.findall(r" collective-permute(?:-start)?\(", text))

    assert sent(ours=True) == 2
    assert sent(ours=False) > 2


def check_refused():
    mesh = jax.make_mesh((1, 4), ("data", "space"), (AxisType.Auto,) * 2)
    for rows, side, needed, fit in ((4, 3, 2, "2 or"), (8, 7, 4, "2 or"), (6, 3, 2, "2 or")):
        x, kernel = jnp.zeros((1, rows, 8, 2)), jnp.zeros((side, side, 2, 2))
        try:
            with spatial.over(mesh, "local"):
                jax.eval_shape(lambda x, kernel: conv.conv_reflect(x, kernel), x, kernel)
        except UserError as error:
            text = str(error)
        assert text.startswith(f"Stage local: a convolution with a {side}x{side} kernel and"), text
        assert f"{rows} rows" in text and "devices.space = 4" in text, text
        assert f"needs {needed} rows or more" in text, text
        assert f"use devices.space = {fit} higher pictures" in text, text
        assert "\n" not in text and text.count(". ") == 0, text


def main():
    assert jax.device_count() == 4
    jax.config.update("jax_enable_x64", True)
    check_refused()
    check_two_forward()
    # Rows of a shard: 4, 10, 4, 6.
    for platform, count, height in (("cpu", 4, 16), ("cpu", 2, 20), ("gpu", 2, 8), ("tpu", 4, 24)):
        if not sys.argv[1:] or platform in sys.argv[1:]:
            check(platform, count, height)
    print("same")


if __name__ == "__main__":
    main()
