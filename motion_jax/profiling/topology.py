"""The real train step compiled for a TPU, on a machine without one, and what its compiler says.

libtpu (the extra `tpu`) compiles for a topology that it is told of; nothing is run. The compiled
program's text carries the compiler's own estimate of the cycles of nearly every instruction.
"""

import math
import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh

from motion_jax import mesh as meshes
from motion_jax.config import Config
from motion_jax.errors import UserError
from motion_jax.profiling import hlo
from motion_jax.profiling.chips import chip, chip_of
from motion_jax.profiling.cost import flops
from motion_jax.profiling.scopes import Scope, of_operation


@dataclass(frozen=True)
class _Generation:
    """clock_hz: at which the chip reaches its published peak with what its matrix units multiply
    in a cycle (v4, v5p: 8 units of 128x128 a chip; v5e: 4; v6e: 4 of 256x256). dimensions: of a
    topology's name. options: for libtpu; megacore makes one device of a chip's two cores.
    """

    clock_hz: float
    dimensions: int
    options: dict[str, str]


GENERATIONS = {
    "v4": _Generation(1.05e9, 3, {"chip_config_name": "megacore"}),
    "v5e": _Generation(1.5e9, 2, {}),
    "v5p": _Generation(1.75e9, 3, {}),
    "v6e": _Generation(1.75e9, 2, {}),
}
# Where no TPU is, libtpu would ask the cloud's metadata server about one, for minutes; and only
# one process at a time may load it unless told otherwise.
_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-1",
    "TPU_WORKER_HOSTNAMES": "localhost",
}


def generation(topology: str) -> str:
    """ "v5e:2x2" -> "v5e". Raises UserError for a name that is not of that form."""
    _parse(topology)
    return topology.split(":")[0]


def _parse(topology: str) -> tuple[str, tuple[int, ...]]:
    name, _, shape = topology.partition(":")
    known = GENERATIONS.get(name)
    if known is None or not re.fullmatch(r"\d+(x\d+)*", shape):
        raise UserError(
            f"{topology!r} is no TPU topology; write generation:shape, for instance v5e:1x1 or "
            f"v4:2x2x1 (generations: {', '.join(GENERATIONS)})."
        )
    sides = tuple(int(side) for side in shape.split("x"))
    if len(sides) != known.dimensions or 0 in sides:
        raise UserError(
            f"The shape of {topology!r} must have {known.dimensions} numbers above 0, for instance "
            f"{name}:{'x'.join('221'[: known.dimensions])}."
        )
    return name, sides


def topology_devices(name: str) -> list[Any]:
    """The devices of a TPU topology such as "v5e:1x1", "v5e:4x4", "v4:2x2x1", to compile for.

    Sets the environment variables that libtpu needs on a machine without a TPU, where they are not
    set. Raises UserError where libtpu is absent or does not know the topology.
    """
    from jax.experimental import topologies

    kind, sides = _parse(name)
    options: dict[str, Any] = dict(GENERATIONS[kind].options)
    if math.prod(sides) < 4:
        # libtpu takes four chips a host for granted.
        options["chips_per_host_bounds"] = [*sides, *(1 for _ in range(3 - len(sides)))]
    if jax.default_backend() != "tpu":
        for variable, value in _ENVIRONMENT.items():
            os.environ.setdefault(variable, value)
    try:
        found = topologies.get_topology_desc(platform="tpu", topology_name=name, **options)
    except (RuntimeError, ValueError, ImportError, NotImplementedError) as error:
        try:
            import libtpu  # noqa: F401
        except ImportError:
            raise UserError(
                "Compiling for a TPU needs the package libtpu; pip install 'motion-jax[tpu]'."
            ) from error
        raise UserError(
            f"libtpu refuses the topology {name!r}: {str(error).splitlines()[0]}"
        ) from error
    return list(found.devices)


def topology_mesh(name: str) -> Mesh:
    """The topology's devices in one dimension, "data", as the training loop lays out its own."""
    devices = topology_devices(name)
    return jax.make_mesh((len(devices),), ("data",), (AxisType.Auto,), devices=devices)


def sized(config: Config, stage: str, batch_size: int) -> Config:
    """The config with another batch size in one stage."""
    changed = replace(_settings(config, stage), batch_size=batch_size)
    return replace(config, recipe=replace(config.recipe, **{f"{stage}_stage": changed}))


def _settings(config: Config, stage: str) -> Any:
    stages = config.recipe.stages()
    if stage not in stages:
        raise UserError(f"The config has no stage {stage!r}; it has {', '.join(stages)}.")
    return stages[stage]


def step_inputs(config: Config, stage: str, mesh: Mesh | None = None) -> tuple[Any, Any, Any]:
    """(state, batch, frozen) of a stage's train step as shapes, laid out over the mesh."""
    from motion_jax.nets.vgg import VGG19
    from motion_jax.train.loop import abstract_state

    _settings(config, stage)
    recipe = config.recipe
    replicated = None if mesh is None else meshes.replicated(mesh)
    over_data = None if mesh is None else meshes.over_data(mesh)
    batch = {
        name: jax.ShapeDtypeStruct(shape, jnp.dtype(dtype), sharding=over_data)
        for name, (shape, dtype) in recipe.batch_shapes(stage).items()
    }
    frozen = {}
    if recipe.needs_vgg19:
        weights = jax.eval_shape(VGG19().init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
        frozen["vgg19"] = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated), weights
        )
    return abstract_state(config, stage, replicated), batch, frozen


def compile_for(
    config: Config, stage: str, topology: str, batch_per_chip: int | None = None
) -> jax.stages.Compiled:
    """The stage's real train step (train.loop.compiled_step), compiled for a TPU topology.

    The batch is laid over all its chips. batch_per_chip: windows for each chip; None shares the
    stage's own batch size among them. Takes minutes of CPU time for the full-size networks. Raises
    UserError where libtpu is absent, the topology or the stage is unknown, or the batch cannot be
    shared evenly.
    """
    from motion_jax.nets.conv import target_platform
    from motion_jax.train.loop import compiled_step

    batch_size = _settings(config, stage).batch_size
    mesh = topology_mesh(topology)
    if batch_per_chip is not None:
        batch_size = batch_per_chip * mesh.size
        config = sized(config, stage, batch_size)
    if batch_size % mesh.size or batch_size < 1:
        raise UserError(
            f"recipe.{stage}_stage.batch_size = {batch_size} cannot be shared among the "
            f"{mesh.size} chips of {topology}; use a multiple of {mesh.size}."
        )
    with target_platform("tpu"):
        lowered = compiled_step(config, stage, mesh).lower(*step_inputs(config, stage, mesh))
        return lowered.compile()


def step_flops(config: Config, stage: str, batch_size: int) -> int:
    """Analytic FLOPs of one train step as the networks are written: convolutions in their plain
    form, nothing recomputed, nothing that no result depends on."""
    from jax.interpreters.partial_eval import dce_jaxpr

    from motion_jax.nets.conv import target_platform

    config = sized(config, stage, batch_size)
    recipe = replace(config.recipe, rematerialise=False)
    with target_platform("gpu"):
        traced = jax.make_jaxpr(
            lambda state, batch, frozen: recipe.train_step(state, batch, stage, frozen)
        )(*step_inputs(config, stage))
    used, _ = dce_jaxpr(traced.jaxpr, [True] * len(traced.jaxpr.outvars))
    return flops(used)


def flop_limit(config: Config, stage: str, topology: str, batch_per_chip: int) -> float:
    """Seconds that a step would take if a chip did nothing but its share of the analytic FLOPs, at
    its published bfloat16 peak."""
    return step_flops(config, stage, batch_per_chip) / chip(generation(topology)).peak_flops_bf16


# --- what the compiler says --------------------------------------------------------------------


def estimate(compiled: jax.stages.Compiled) -> dict[str, Any]:
    """What the TPU compiler says about its program.

    Returns
      chip: short name; clock_hz;
      seconds: cycles / clock_hz + uncosted_seconds;
      cycles: the sum of `estimated_cycles` over all instructions of the program: a loop's body as
        often as its trip count says, of a conditional the dearest branch;
      uncosted_seconds: for the few instructions that the text has no estimate of (select-and-
        scatter, scalars): their bytes at the chip's published bandwidth; uncosted: {opcode: how
        many};
      instructions: list of hlo.Instruction, the dearest first;
      collectives, collective_bytes: {opcode: how many, bytes of their results} a step; the sum has
        no time for them;
      bytes_accessed, flops: the compiler's own counts, of the program as compiled;
      memory: see `memory`.

    What the sum leaves out: copies between memories that run beside the arithmetic (`copy-start`,
    `slice-start`), whose waiting time is unknown; communication between chips; the starting of
    instructions. No hardware timing goes into it: it ranks programs and says where their time goes,
    and is no measurement.
    """
    device = next(iter(jax.tree.leaves(compiled.input_shardings)[0].device_set))
    found = chip_of(device)
    clock = GENERATIONS[found.name].clock_hz
    program = hlo.read(compiled.as_text())
    cycles = sum(each.total_cycles for each in program.instructions)
    uncosted = [each for each in program.instructions if each.cycles is None]
    uncosted_seconds = sum(each.bytes for each in uncosted) / found.bandwidth_bytes_s
    costs = compiled.cost_analysis() or {}
    return {
        "chip": found.name,
        "clock_hz": clock,
        "seconds": cycles / clock + uncosted_seconds,
        "cycles": cycles,
        "uncosted_seconds": uncosted_seconds,
        "uncosted": dict(Counter(each.opcode for each in uncosted)),
        "instructions": program.instructions,
        "collectives": dict(program.collectives),
        "collective_bytes": dict(program.collective_bytes),
        "bytes_accessed": costs.get("bytes accessed"),
        "flops": costs.get("flops"),
        "memory": memory(compiled),
    }


def memory(compiled: jax.stages.Compiled) -> dict[str, int]:
    """Bytes a chip: argument, output, donated (outputs that take an argument's place), temporary,
    code, and peak: all that lives at once, arguments included."""
    stats = compiled.memory_analysis()
    parts = {
        "argument": stats.argument_size_in_bytes,
        "output": stats.output_size_in_bytes,
        "donated": stats.alias_size_in_bytes,
        "temporary": stats.temp_size_in_bytes,
        "code": stats.generated_code_size_in_bytes,
    }
    whole = parts["argument"] + parts["output"] - parts["donated"] + parts["temporary"]
    return parts | {"peak": whole + parts["code"]}


def by_scope(instructions: list[hlo.Instruction]) -> list[tuple[Scope, int, int]]:
    """(scope, cycles, bytes) of the network layers that instructions come from, dearest first."""
    cycles: Counter[Scope] = Counter()
    moved: Counter[Scope] = Counter()
    for each in instructions:
        scope = of_operation(each.scope)
        cycles[scope] += each.total_cycles
        moved[scope] += each.bytes
    return [(scope, total, moved[scope]) for scope, total in cycles.most_common()]
