"""How fast training is on this machine: measured in a residual block and, on a GPU, in its memory;
or given by whoever timed real steps. `step_seconds` reckons with it."""

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp

from motion_jax.nets.blocks import ResidualBlock
from motion_jax.nets.initial import initialise
from motion_jax.profiling.cost import fastest, memory_of
from motion_jax.profiling.size import StageSize

# Steps of less arithmetic say nothing about wider networks: with few channels hardware is slow.
TELLING_FLOPS = 5e9
# A training step reaches this share of the FLOP/s of a residual block alone (measured on 2 cores).
STEP_SHARE = 0.7
# Seconds from the beginning of one small kernel of a GPU to that of the next: an assumption. Where
# all that a step does is small, as many of these as it has kernels are its time.
KERNEL_SECONDS = 4e-6
# Where estimates were compared with steps. Of arithmetic alone one was wrong by 23 times, on a GPU
# whose steps wait for memory; of other devices nothing is known, so none is given.
KNOWN = ("cpu", "gpu")
# Bytes of the array by whose addition an accelerator's memory is measured.
ARRAY_BYTES = 2**28


@dataclass(frozen=True)
class Machine:
    """What decides how large a network can be here.

    Attributes:
      device: for people, e.g. "2 CPU cores".
      accelerator: whether training runs on something else than the CPU.
      memory_bytes: of the device that trains.
      step_flops: {dtype: FLOP/s that a training step is expected to reach}; empty: not measured.
      how: where step_flops come from, for people; or why there are none.
      bandwidth: of a GPU's memory, measured, bytes/s; 0: a step's bytes are not counted, because
        step_flops already say what a step reaches with all that it does besides.
      busy: a sentence, where so much ran on the CPU that trains that its speed may have been
        measured too low; else empty.
    """

    device: str
    accelerator: bool
    memory_bytes: float
    step_flops: Mapping[str, float]
    how: str
    bandwidth: float = 0.0
    busy: str = ""


def this_machine(step_flops: Mapping[str, float], how: str, bandwidth: float = 0.0) -> Machine:
    """The device that jax would train on. Arguments: see Machine; what is in step_flops was
    measured just now."""
    device, count = jax.devices()[0], jax.device_count()
    accelerator = device.platform != "cpu"
    if accelerator:
        name = device.device_kind + (f" x {count}" if count > 1 else "")
    else:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        name = f"{cores} CPU core{'s' if cores != 1 else ''}"
    busy = "" if accelerator or not step_flops else _busy()
    return Machine(name, accelerator, memory_of(device), step_flops, how, bandwidth, busy)


def _busy() -> str:
    """Of a CPU whose speed was measured just now. The load is of the last minute and counts
    motion_jax's own work, too, so it does not prove that other programs run."""
    # Windows has no load.
    load, cores = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0, os.cpu_count() or 1
    if load <= cores:
        return ""
    return (
        f"Much ran on this machine in the last minute (load {load:.0f} on {cores} core"
        f"{'s' if cores > 1 else ''}): if other programs use it, this takes less on an idle one."
    )


@functools.cache
def measured_machine() -> Machine:
    """This machine, its speed estimated from that of a residual block, forward and backward, and
    on a GPU of its memory. Takes about two seconds, most of them compiling.

    Where the device cannot run even that (another program has its memory, for instance), or where
    nobody has compared such an estimate with real steps, `how` says so and step_flops is empty.
    """
    accelerator = jax.default_backend() != "cpu"
    if jax.default_backend() not in KNOWN:
        return this_machine({}, "on such a device no estimate was ever compared with real steps")
    rates, bandwidth = {}, 0.0
    try:
        for dtype in ("float32", "bfloat16") if accelerator else ("float32",):
            rates[dtype] = _block_flops(dtype, accelerator)
        if jax.default_backend() == "gpu":
            bandwidth = _bandwidth()
    except RuntimeError as error:  # jax's errors of a device
        first = (str(error).splitlines() or [type(error).__name__])[0]
        return this_machine({}, f"its speed could not be measured ({first})")
    count = jax.device_count()
    if bandwidth:
        how = (
            f"reckoned from its steps' own arithmetic and bytes, with {_tera(rates)} TFLOP/s and "
            f"{bandwidth / 1e9:.0f} GB/s measured here"
        )
        rates = {dtype: count * rate for dtype, rate in rates.items()}
        return this_machine(rates, how, count * bandwidth)
    how = f"reckoned from {rates['float32'] / 1e9:.0f} GFLOP/s measured in one residual block"
    return this_machine({dtype: count * STEP_SHARE * rate for dtype, rate in rates.items()}, how)


def _tera(rates: Mapping[str, float]) -> str:
    """ "210 (float32) and 480 (bfloat16)"."""
    return " and ".join(f"{rate / 1e12:.0f} ({dtype})" for dtype, rate in rates.items())


def _bandwidth() -> float:
    """Bytes/s that adding one long array to another moves, in place."""
    add = jax.jit(lambda a, b: a + b, donate_argnums=0)
    held = [jnp.zeros(ARRAY_BYTES // 4), jnp.ones(ARRAY_BYTES // 4)]

    def run() -> jax.Array:
        held[0] = add(*held)
        return held[0]

    return 3 * ARRAY_BYTES / fastest(run, least=0.2)


def step_seconds(size: StageSize, machine: Machine, dtype: str) -> float | None:
    """An estimate of one step's time; None where the machine's speed is not known.

    On a GPU the sum of its convolutions' arithmetic, of what the other kernels move, and of the
    kernels' beginnings: the compiled programs have the first two one after the other.
    """
    rate = machine.step_flops.get(dtype) or machine.step_flops.get("float32")
    if not rate:
        return None
    if not machine.bandwidth:
        return size.flops / rate
    moved = size.moved_bytes / machine.bandwidth
    return size.flops / rate + moved + size.kernels * KERNEL_SECONDS


def _block_flops(dtype: str, accelerator: bool) -> float:
    """FLOP/s of a residual block, forward and backward."""
    batch, side, channels = (8, 64, 256) if accelerator else (4, 32, 64)
    x = jnp.ones((batch, side, side, channels), jnp.dtype(dtype))
    block = ResidualBlock(jnp.dtype(dtype))
    params = initialise(block, jax.random.key(0), x)

    def loss(params: Any, x: Any) -> Any:
        made = cast(jax.Array, block.apply(params, x))  # a pair only with `mutable`
        return jnp.square(made).mean(dtype=jnp.float32)

    run = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(params, x).compile()
    seconds = fastest(lambda: run(params, x), least=0.3)
    # Two convolutions; each forward, towards its input and towards its kernel.
    return 2 * 3 * 2 * batch * side**2 * 9 * channels**2 / seconds
