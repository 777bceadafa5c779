"""Traces: how moments are shared, and a real one of a small program."""

import gzip
import json

import jax
import jax.numpy as jnp
import pytest

from motion_jax.errors import UserError
from motion_jax.profiling import trace
from motion_jax.profiling.attribution import UNKNOWN, attribute
from motion_jax.profiling.scopes import Scope
from motion_jax.profiling.trace import Event, shared_time
from motion_jax.train.trace import LAST_STEP, StepTracer, step_marker, tracing


def test_moments_are_shared_and_add_up():
    events = [
        Event("while", 0.0, 10.0),
        Event("conv", 1.0, 5.0),
        Event("add", 3.0, 7.0),
        Event("add", 8.0, 9.0),
        Event("late", 12.0, 20.0),
        Event("before", -5.0, -1.0),
    ]
    seconds, idle = shared_time(events, {"while": "while"}, 0.0, 15.0)
    # conv alone 1-3, with add 3-5; add alone 5-7 and 8-9; the loop where nothing in it runs.
    assert seconds == {"while": 3.0, "conv": 3.0, "add": 4.0, "late": 3.0}
    assert idle == 2.0
    assert sum(seconds.values()) + idle == 15.0
    assert shared_time([], {}, 1.0, 4.0) == ({}, 3.0)


def test_two_runs_of_one_instruction_at_once_count_twice():
    events = [Event("a", 0.0, 4.0), Event("a", 0.0, 4.0), Event("b", 0.0, 4.0)]
    seconds, idle = shared_time(events, {}, 0.0, 4.0)
    assert seconds["a"] == pytest.approx(8 / 3) and seconds["b"] == pytest.approx(4 / 3)
    assert idle == 0.0


@pytest.fixture(scope="module")
def program():
    """A loop of products, then a sum: compiled, with arguments."""

    def step(x, w):
        with jax.named_scope("generator"), jax.named_scope("block_1"):
            x = jax.lax.fori_loop(0, 3, lambda _, c: jnp.tanh(c @ w), x)
        with jax.named_scope("G_L1"):
            return x / jnp.sum(jnp.abs(x))

    x, w = jnp.ones((64, 64)), jnp.ones((64, 64))
    return jax.jit(step).lower(x, w).compile(), x, w


@pytest.fixture(scope="module")
def traced(program, tmp_path_factory):
    compiled, x, w = program
    folder = tmp_path_factory.mktemp("trace")
    x = jax.block_until_ready(compiled(x, w))
    with StepTracer(folder) as tracer:
        for number in range(8, LAST_STEP + 3):
            tracer.begin(number, x)
            with step_marker(number):
                x = compiled(x, w)
            tracer.end(number, x)
    return folder


def test_a_trace_tells_the_time_of_each_scope(program, traced):
    found = trace.read(traced, "jit_step")
    assert found.steps == 5
    attribution = attribute(program[0].as_text())
    assert {event.name for event in found.events} <= attribution.opcodes.keys()
    seconds, idle = shared_time(found.events, attribution.opcodes, found.begin, found.end)
    assert sum(seconds.values()) + idle == pytest.approx(found.end - found.begin, rel=1e-6)
    scopes = {attribution.scope(name) for name in seconds}
    assert {Scope("generator", "block 1"), Scope("G_L1")} <= scopes
    assert scopes <= {Scope("generator", "block 1"), Scope("G_L1"), UNKNOWN}
    # Three products a step.
    products = [event for event in found.events if attribution.opcodes[event.name] == "dot"]
    assert len(products) in (0, 5 * 3)


def test_a_trace_for_perfetto_names_layers(program, traced):
    found = trace.read(traced, "jit_step")
    path = trace.write_perfetto(traced, found, attribute(program[0].as_text()))
    with gzip.open(path) as file:
        document = json.load(file)
    assert "metadata" not in document
    events = document["traceEvents"]
    layers = [e for e in events if e.get("args", {}).get("name") == "layers (by scope)"]
    names = {e["name"] for e in events if e["ph"] == "X" and e["pid"] == layers[0]["pid"]}
    assert {"generator / block 1", "G_L1"} <= names
    steps = [e["args"]["step_num"] for e in events if e["name"] == "train"]
    assert sorted(map(int, steps)) == [10, 11, 12, 13, 14]


def test_no_trace_and_a_trace_of_something_else(program, traced, tmp_path):
    with pytest.raises(UserError, match="There is no trace in"):
        trace.read(tmp_path, "jit_step")
    with pytest.raises(UserError, match="holds no instruction of jit_other"):
        trace.read(traced, "jit_other")


def test_a_loop_without_a_trace(tmp_path, program, capsys):
    with StepTracer(None) as tracer:
        tracer.begin(10, program[1])
        tracer.end(14, program[1])
    assert not list(tmp_path.iterdir())
    # Somebody traces already: the training goes on without.
    with tracing(tmp_path / "outer"), StepTracer(tmp_path / "inner") as tracer:
        tracer.begin(10, program[1])
        tracer.end(14, program[1])
    assert "No trace of steps 10 to 14" in capsys.readouterr().err
    assert list((tmp_path / "outer").rglob("*.xplane.pb"))
    assert not list((tmp_path / "inner").rglob("*.xplane.pb"))


def test_an_interrupted_loop_leaves_no_trace_open(tmp_path, program):
    compiled, x, w = program
    with pytest.raises(KeyboardInterrupt), StepTracer(tmp_path / "a") as tracer:
        tracer.begin(10, x)
        raise KeyboardInterrupt
    with tracing(tmp_path / "b"):
        jax.block_until_ready(compiled(x, w))
    assert list((tmp_path / "b").rglob("*.xplane.pb"))


TEXT = r"""HloModule jit_step

%inner (p: f32[4,4]) -> f32[4,4] {
  %p = f32[4,4]{1,0} parameter(0)
  %t = f32[4,4]{0,1} tanh(%p), metadata={op_name="jit(step)/G_L1/tanh"}
  ROOT %u = f32[4,4]{1,0} copy(%t)
}

ENTRY %main (x: f32[4,4], y: f32[4,4]) -> (f32[4,4], f32[4,4], f32[4,4]) {
  %x = f32[4,4]{1,0} parameter(0), metadata={op_name="state.params[\'generator\'][\'params\'][\'first\'][\'kernel\']"}
  %y = f32[4,4]{1,0} parameter(1)
  %layout = f32[4,4]{0,1} copy(%x)
  %product = f32[4,4]{1,0} dot(%layout, %y), lhs_contracting_dims={1}, rhs_contracting_dims={0}, metadata={op_name="jit(step)/transpose(jvp(generator))/Net/last/dot_general"}
  %fused = f32[4,4]{1,0} fusion(%product), kind=kLoop, calls=%inner
  %out = f32[4,4]{1,0} copy(%x)
  %nobody = f32[4,4]{1,0} copy(%y)
  %sums = (f32[4,4], f32[4,4]) all-reduce(%product, %fused), to_apply=%inner, metadata={op_name="jit(step)/(jvp(a)/add:jvp(b)/add)"}
  ROOT %all = (f32[4,4], f32[4,4], f32[4,4]) tuple(%fused, %out, %nobody)
}
"""  # noqa: E501


def test_nameless_instructions_belong_to_their_neighbours():
    found = attribute(TEXT)
    last = Scope("generator", "last", True)
    assert found.scope("product") == last
    assert found.scope("layout") == last  # for whom it is made
    assert found.scope("fused") == Scope("G_L1")  # what is inside
    assert found.scope("out") == Scope("generator", "first")  # whose it is
    assert found.scope("nobody") == UNKNOWN
    assert found.scope("not there") == UNKNOWN
    assert found.scope("sums") == Scope("communication between devices", "all-reduce")
    assert found.opcodes["layout"] == "copy" and found.opcodes["fused"] == "fusion"
