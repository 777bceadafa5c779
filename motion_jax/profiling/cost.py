"""What a training step costs: parameters, arithmetic, memory."""

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from motion_jax.config import Config
from motion_jax.devices import mesh as meshes
from motion_jax.profiling.arithmetic import count_parameters, flops
from motion_jax.profiling.cost_table import step_jaxpr
from motion_jax.train.step import compiled_step, step_inputs


def describe_stage(config: Config, name: str, timed: bool = False) -> dict[str, Any]:
    """Parameters, arithmetic and memory of one stage's train step, without training.

    The arithmetic is of the step as it is written for accelerators; memory is the compiler's own
    account for the devices at hand. timed: also "seconds_per_step", by running the compiled step a
    few times on random numbers; None where it would not fit into the device's memory.
    """
    mesh = meshes.of_stage(config.devices, config.recipe.stages()[name], name)
    inputs = step_inputs(config, name, mesh)
    kinds = config.recipe.kinds(name)
    # jit and pmap both can be lowered.
    steps: dict[Any, Any] = {kind: compiled_step(config, name, mesh, kind) for kind in kinds}
    compiled = {kind: step.lower(*inputs).compile() for kind, step in steps.items()}
    state = inputs[0]
    temporary = max(one.memory_analysis().temp_size_in_bytes for one in compiled.values())

    def mean(of: Callable[[Any], float]) -> float:
        """Over the steps of all kinds."""
        return sum(share * of(kind) for kind, share in kinds.items())

    kept = sum(
        leaf.size * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(state.replace(key=jnp.zeros((2,), jnp.uint32)))
    )
    described = {
        "parameters": {network: count_parameters(p) for network, p in state.params.items()},
        "trained": list(state.optimizer),
        "gflop_per_step": mean(lambda kind: flops(step_jaxpr(config, name, kind))) / 1e9,
        "state_mb": kept / 1e6,
        "temporary_mb": temporary / 1e6,
        "devices": mesh.size,
        "layout": meshes.describe(mesh, config.recipe.stages()[name].batch_size),
    }
    if timed:
        fits = 1.1 * (kept + temporary) < (memory_of(jax.devices()[0]) or math.inf)
        described["seconds_per_step"] = (
            mean(lambda kind: step_seconds(compiled[kind], inputs)) if fits else None
        )
    return described


def step_seconds(
    compiled: jax.stages.Compiled, inputs: tuple[Any, Any, Any], usual: bool = False
) -> float:
    """Seconds of a compiled train step: the quickest of some that take two seconds together; with
    `usual` the mean of some that take four, what else the machine does included.

    inputs: (state, batch, frozen) as shapes. What they hold is random: zeros would flatter
    accelerators, whose clock depends on it.
    """
    random = np.random.default_rng(0)

    def fill(leaf: Any) -> Any:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.device_put(jax.random.key(0), leaf.sharding)
        if leaf.dtype == jnp.uint8:
            value = random.integers(0, 256, leaf.shape, np.uint8)
        elif jnp.issubdtype(leaf.dtype, jnp.integer):
            value = np.zeros(leaf.shape, leaf.dtype)
        else:
            # Small and not negative, as Adam's second moment must be.
            value = np.abs(0.02 * random.standard_normal(leaf.shape, np.float32))
        return jax.device_put(value, leaf.sharding)

    state, batch, frozen = jax.tree.map(fill, inputs)

    def run() -> Any:
        nonlocal state
        state, metrics = compiled(state, batch, frozen)  # its argument is donated
        return state, metrics

    return mean(run, least=4.0) if usual else fastest(run, least=2.0)


def mean(run: Callable[[], Any], least: float) -> float:
    """Seconds of a run, the mean over two or more that together take `least` seconds, after a first
    one that does not count."""
    jax.block_until_ready(run())
    begun, count = time.perf_counter(), 0
    while count < 2 or time.perf_counter() - begun < least:
        jax.block_until_ready(run())
        count += 1
    return (time.perf_counter() - begun) / count


def fastest(run: Callable[[], Any], least: float, most: int = 100) -> float:
    """Seconds of the quickest of several runs, which together take `least` seconds, after a first
    one that does not count (nor is there a second, where it was longer than 20 seconds). What else
    the machine does makes some of them slower, none faster."""
    start = time.perf_counter()
    jax.block_until_ready(run())
    best = time.perf_counter() - start
    if best > 20:
        return best
    best, spent, count = math.inf, 0.0, 0
    while count < 2 or (spent < least and count < most):
        start = time.perf_counter()
        jax.block_until_ready(run())
        taken = time.perf_counter() - start
        best, spent, count = min(best, taken), spent + taken, count + 1
    return best


def memory_of(device: Any) -> float:
    """Bytes: an accelerator's own memory as far as jax may use it (0 where it does not say); a
    computer's, or what its control group is allowed."""
    if device.platform != "cpu":
        return float((device.memory_stats() or {}).get("bytes_limit", 0))
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        installed = min(installed, int(text))
    return float(installed)
