"""Arithmetic and bytes by scope: known programs, and the whole step's sums."""

import jax
import jax.numpy as jnp
import pytest

from motion_jax.profiling.arithmetic import flops
from motion_jax.profiling.chips import CHIPS
from motion_jax.profiling.cost_table import Cost, Table, analyse, step_jaxpr
from motion_jax.profiling.scopes import OTHER, Scope

A, B = Scope("a"), Scope("b")


def rows(function, *arguments):
    return analyse(jax.make_jaxpr(function)(*arguments).jaxpr).rows


def test_two_layers():
    def step(x, w, v):
        with jax.named_scope("a"):
            y = jnp.tanh(x @ w) * 2.0
        with jax.named_scope("b"):
            return jnp.sum(jax.nn.relu(y) @ v)

    found = rows(step, jnp.ones((8, 4)), jnp.ones((4, 6)), jnp.ones((6, 5)))
    assert found[A].flops == 2 * 8 * 4 * 6 and found[B].flops == 2 * 8 * 6 * 5
    # a reads x and w and writes y; what it computes in between stays inside.
    assert found[A].bytes == 4 * (8 * 4 + 4 * 6 + 8 * 6)
    assert found[B].bytes == 4 * (8 * 6 + 6 * 5 + 1)
    assert found[A].intensity == found[A].flops / found[A].bytes


def test_a_value_is_read_once_by_each_reader():
    def step(x):
        with jax.named_scope("a"):
            y = x + 1.0
        with jax.named_scope("b"):
            return y * y, y - 3.0

    found = rows(step, jnp.ones(10))
    assert found[A].bytes == 4 * 20 and found[B].bytes == 4 * (10 + 20)


def test_gradients_are_apart_and_as_large_as_they_are():
    def loss(w, x):
        with jax.named_scope("a"):
            return jnp.sum(x @ w)

    found = rows(jax.grad(loss, argnums=(0, 1)), jnp.ones((4, 6)), jnp.ones((8, 4)))
    backward = Scope("a", "", True)
    assert found[backward].flops == 2 * (2 * 8 * 4 * 6)


def test_a_loop_within_a_scope_is_one_kernel_and_one_outside_is_not():
    def inside(x, w):
        with jax.named_scope("a"):
            return jax.lax.scan(lambda c, _: (jnp.tanh(c @ w), None), x, length=5)[0]

    def outside(x, w):
        def body(carry, _):
            with jax.named_scope("a"):
                return jnp.tanh(carry @ w), None

        return jax.lax.scan(body, x, length=5)[0]

    x, w = jnp.ones((8, 8)), jnp.ones((8, 8))
    one, each = rows(inside, x, w), rows(outside, x, w)
    assert one[A].flops == each[A].flops == 5 * 2 * 8**3
    assert one[A].bytes == 4 * 3 * 64
    assert each[A].bytes == 5 * 4 * 3 * 64


def test_parts_of_arrays_count_as_parts():
    def step(x, i):
        with jax.named_scope("a"):
            part = jax.lax.dynamic_slice(x, (i,), (3,)) * 2.0
        with jax.named_scope("b"):
            return jax.lax.dynamic_update_slice(x, part, (i,))

    found = rows(step, jnp.ones(1000), jnp.int32(1))
    assert found[A].bytes < 4 * 20 and found[B].bytes < 4 * 20


@pytest.mark.parametrize("stage", ["global", "local", "face"])
def test_the_rows_of_a_step_add_up_and_have_names(every_loss, stage):
    jaxpr = step_jaxpr(every_loss, stage)
    table = analyse(jaxpr)
    total = table.total
    assert total.flops == flops(jaxpr) > 0
    for grouped in (table.by_network(), table.by_layer()):
        assert sum(a.flops + b.flops for a, b in grouped.values()) == total.flops
        assert sum(a.bytes + b.bytes for a, b in grouped.values()) == total.bytes
    # Every convolution is some layer's.
    assert not any(c.flops for s, c in table.rows.items() if s.network == OTHER or not s.layer)
    names = {scope.network for scope in table.rows}
    wanted = {"generator", "discriminator", "vgg19", "adam", "averaging", "pose drawing", "input",
              "previous noise", "G_VGG", "G_L1", "G_GAN", "G_GAN_Feat", "D_real",
              "D_fake"}  # fmt: skip
    if stage == "face":
        wanted |= {"face generator", "face discriminator", "G_GANface", "D_realface", "D_fakeface"}
    assert wanted <= names
    assert names - wanted <= {OTHER, "gradients", "face crops"}


def test_layers_of_the_step(every_loss):
    table = analyse(step_jaxpr(every_loss, "local"))
    layers = {scope.layer for scope in table.rows if scope.network == "generator"}
    assert {"model / first", "model / block 1 / conv 2", "model / block 1 / conv 2 / norm",
            "enhancer 1 down", "enhancer 1 block 0 / conv 1", "last", "pool"} <= layers  # fmt: skip
    conv = Scope("generator", "model / block 0 / conv 1")
    forward, backward = table.rows[conv], table.rows[conv._replace(backward=True)]
    # 8 channels at 8x8, batch 1, two frames; gradients of weights and input.
    assert forward.flops == 2 * 2 * 9 * 8 * 8 * 8 * 8
    assert backward.flops >= 2 * forward.flops
    assert {s.layer for s in table.rows if s.network == "adam"} == {"generator", "discriminator"}
    assert not any(s.backward for s in table.rows if s.network in ("adam", "pose drawing"))


def test_time_and_compiled_bytes_are_added_without_loss():
    table = Table({A: Cost(flops=10, bytes=4)})
    table.add_seconds({A: 0.25, B: 0.5})
    table.add_compiled_bytes({B: 7})
    assert table.total == Cost(10, 4, 7, 0.75)
    assert list(table.by_network()) == ["b", "a"]
    assert table.rows[A].seconds == 0.25 and table.rows[A].compiled_bytes == 0
    # A scope of the compiled program that the trace did not see took no time.
    table.add_compiled_bytes({Scope("c"): 5})
    assert table.rows[Scope("c")] == Cost(0, 0, 5, 0.0)


def test_the_limit_is_arithmetic_or_memory():
    chip = CHIPS["v5e"]
    assert Cost(flops=197 * 10**12, bytes=1).limit(chip, "bfloat16") == pytest.approx(1.0)
    assert Cost(flops=1, bytes=819 * 10**9).limit(chip, "bfloat16") == pytest.approx(1.0)
    half = Cost(flops=197 * 10**12).limit(chip, "bfloat16", share=0.5)
    assert half == pytest.approx(0.5)
    a100 = CHIPS["A100"]
    assert Cost(flops=156 * 10**12).limit(a100, "float32") == pytest.approx(1.0)
