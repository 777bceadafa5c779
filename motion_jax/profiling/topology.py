"""The real train step compiled for TPUs or NVIDIA cards (gpu.py), on a machine without them, and
what the TPU compiler says.

libtpu (the extra `tpu`) compiles for a topology that it is told of; nothing is run. The compiled
program's text carries the compiler's own estimate of the cycles of nearly every instruction.
"""

import contextlib
import math
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
from jax.experimental import topologies
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import Mesh

from motion_jax.config import Config
from motion_jax.devices import mesh as meshes
from motion_jax.errors import UserError, option, setting
from motion_jax.nets.conv import target_platform
from motion_jax.profiling import collectives, gpu, hlo
from motion_jax.profiling.arithmetic import flops
from motion_jax.profiling.chips import Chip, chip_of
from motion_jax.profiling.cost_table import once_computed, step_jaxpr
from motion_jax.profiling.scopes import Scope, of_operation
from motion_jax.recipes.state import Kind
from motion_jax.train.step import compiled_step, stage_settings, step_inputs


@dataclass(frozen=True)
class _Generation:
    """clock_hz: at which the chip reaches its published peak with what its matrix units multiply
    in a cycle (v4, v5p: 8 units of 128x128 a chip; v5e: 4; v6e: 4 of 256x256). dimensions: of a
    topology's name. usable_gib: what of a chip's memory the compiler gives a program (it says so
    when one needs more). shapes: the smaller ones of those that the cloud lends; libtpu knows more.
    options: for libtpu; megacore makes one device of a chip's two cores.
    """

    clock_hz: float
    dimensions: int
    usable_gib: float
    shapes: str
    options: dict[str, str]

    @property
    def usable_bytes(self) -> int:
        return int(self.usable_gib * 2**30)


_SQUARES = "1x1, 2x2, 2x4, 4x4, 4x8, 8x8, 8x16 or 16x16"
_CUBES = "2x2x1, 2x2x2, 2x2x4, 2x4x4, 4x4x4, 4x4x8 or 4x8x8"
GENERATIONS = {
    "v4": _Generation(1.05e9, 3, 30.75, _CUBES, {"chip_config_name": "megacore"}),
    "v5e": _Generation(1.5e9, 2, 15.75, _SQUARES, {}),
    "v5p": _Generation(1.75e9, 3, 95.74, _CUBES, {}),
    "v6e": _Generation(1.75e9, 2, 31.25, _SQUARES, {}),
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
            f"v4:2x2x1 (generations: {', '.join(GENERATIONS)}; NVIDIA cards: "
            f"{', '.join(gpu.CARDS)})."
        )
    sides = tuple(int(side) for side in shape.split("x"))
    if len(sides) != known.dimensions or 0 in sides:
        raise UserError(
            f"The shape of {topology!r} must have {known.dimensions} numbers above 0, for instance "
            f"{name}:{'x'.join('221'[: known.dimensions])}."
        )
    return name, sides


def topology_devices(name: str) -> list[Any]:
    """The devices of a TPU topology such as "v5e:1x1", "v5e:4x4", "v4:2x2x1", or of NVIDIA cards
    such as "h200:4", to compile for.

    Sets the environment variables that libtpu needs on a machine without a TPU, where they are not
    set. Raises UserError where libtpu is absent or does not know the topology.
    """
    if gpu.is_card(name):
        return gpu.card_devices(name)
    kind, sides = _parse(name)
    options: dict[str, Any] = dict(GENERATIONS[kind].options)
    if math.prod(sides) < 4:
        # libtpu expects four chips a host.
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
            f"libtpu refuses the topology {name!r}; use a shape of {kind} that there is, for "
            f"instance {GENERATIONS[kind].shapes} ({_reason(error, name)})."
        ) from error
    return list(found.devices)


def _reason(error: Exception, name: str) -> str:
    """libtpu's own, in short: without its error code and the topology's name."""
    reason = re.sub(r"^[A-Z_]+: ", "", str(error).splitlines()[0]).rstrip(".")
    reason = reason.replace(f'Topology layout "{name}"', "it").replace("(or default) ", "")
    return f"its reason: {reason}"


# What XLA says then: see _compiled.
_NO_TILES = "Couldn't find output tile sizes"


class TooLarge(Exception):
    """The compiler found that a program needs more memory than a chip has; it says so."""


def sized(config: Config, stage: str, batch_size: int) -> Config:
    """The config with another batch size in one stage."""
    changed = replace(stage_settings(config, stage), batch_size=batch_size)
    return replace(config, recipe=replace(config.recipe, **{f"{stage}_stage": changed}))


def laid_out(
    config: Config, stage: str, topology: str, batch_per_chip: int | None = None
) -> tuple[Config, Mesh]:
    """The config with the batch that the topology's chips take in one step, and their mesh, as
    config.devices wants it.

    batch_per_chip: windows a step by chip (chips of "space" share theirs); None: the config's own
    batch. Raises UserError where libtpu is absent, the topology or the stage is unknown, or the
    mesh or the batch cannot be laid over all of its chips (a mesh of fewer is a smaller topology).
    """
    chips = topology_devices(topology)
    if batch_per_chip is not None:
        if batch_per_chip < 1:
            raise UserError(f"A batch of {batch_per_chip} a chip holds nothing; use 1 or more.")
        config = sized(config, stage, batch_per_chip * len(chips))
    batch_size = stage_settings(config, stage).batch_size
    data, space = config.devices.data, config.devices.space
    rows = len(chips) // space if space > 0 and len(chips) % space == 0 else 0
    larger = (
        f"a multiple of {rows} as batch_size, for instance "
        f"{option(f'recipe.{stage}_stage.batch_size')} {rows} (with motion-jax compile also "
        "--batch-per-chip 1)"
    )
    if rows and data > 0 and data != rows:
        used = data * space
        wrong = (
            f"leaves {len(chips) - used} of the {len(chips)} chips of {topology} without work"
            if data < rows
            else f"needs {used} chips, and {topology} has {len(chips)}"
        )
        raise UserError(
            f"A mesh of data {data} x space {space} {wrong}; make it data {rows} x space {space}"
            + (f" with {larger}" if batch_size % rows else "")
            + f", or name a {'smaller' if data < rows else 'larger'} topology."
        )
    if rows and batch_size % rows:
        raise UserError(
            f"{setting(f'recipe.{stage}_stage.batch_size')} = {batch_size} cannot be shared among "
            f"the {len(chips)} chips of {topology} (data {rows} x space {space}); use {larger}, or "
            "name a smaller topology."
        )
    return config, meshes.of_stage(config.devices, config.recipe.stages()[stage], stage, chips)


_compiling = threading.Lock()
_uncached, _enabled = 0, True


@contextlib.contextmanager
def no_compilation_cache() -> Iterator[None]:
    """In the block nothing is written to jax's folder of compiled programs, or read from it: a
    program for chips that are not here can be written there but not read again.

    This holds for the whole process, as jax decides once for all threads whether it has a folder,
    and until the last thread leaves such a block.
    """
    global _uncached, _enabled
    with _compiling:
        if not _uncached:
            # jax makes its settings while it is imported.
            _enabled = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]  # see above
            jax.config.update("jax_enable_compilation_cache", False)
            compilation_cache.reset_cache()
        _uncached += 1
    try:
        yield
    finally:
        with _compiling:
            _uncached -= 1
            if not _uncached:
                jax.config.update("jax_enable_compilation_cache", _enabled)
                compilation_cache.reset_cache()


def compile_step(
    config: Config, stage: str, mesh: Mesh, kind: Kind | None = None
) -> jax.stages.Compiled:
    """The stage's real train step (train.step.compiled_step), compiled for the chips of a mesh.

    kind: of Recipe.kinds; None: the most frequent. Takes minutes of CPU time for the full-size
    networks. Raises TooLarge where the step does not fit into a chip's memory.
    """
    platform = "tpu" if mesh.devices.flat[0].platform == "tpu" else "gpu"
    with target_platform(platform), no_compilation_cache():
        kind = config.recipe.usual_kind(stage) if kind is None else kind
        jitted: Any = compiled_step(config, stage, mesh, kind)  # jit and pmap both can be lowered
        lowered = jitted.lower(*step_inputs(config, stage, mesh))
        try:
            return _compiled(lowered)
        except jax.errors.JaxRuntimeError as error:
            if not str(error).startswith("RESOURCE_EXHAUSTED"):
                raise
            raise TooLarge(str(error).split(":", 1)[1].splitlines()[0].strip()) from error


def _compiled(lowered: Any) -> jax.stages.Compiled:
    try:
        return lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if _NO_TILES not in str(error):
            raise
        # Without a card to try them on, XLA ends where Triton has no tiles for a product (that of
        # three pyramids' widths, 32 + 64 + 128, say); cuBLAS takes any.
        return lowered.compile(compiler_options={"xla_gpu_enable_triton_gemm": False})


def step_flops(config: Config, stage: str, batch_size: int) -> int:
    """Analytic FLOPs of one train step (the mean over all kinds of steps) as the networks are
    written: convolutions in their plain form, nothing recomputed, nothing that no result depends
    on."""
    config = once_computed(sized(config, stage, batch_size))
    kinds = config.recipe.kinds(stage)
    return int(sum(share * flops(step_jaxpr(config, stage, kind)) for kind, share in kinds.items()))


# --- what the compiler says --------------------------------------------------------------------


def estimate(compiled: jax.stages.Compiled) -> dict[str, Any]:
    """What the TPU compiler says about its program: `estimate_of`; bytes_accessed and flops (its
    own counts, of the program as compiled); memory (see `memory`)."""
    devices = devices_of(compiled)
    costs = compiled.cost_analysis() or {}
    text, chip = compiled.as_text(), chip_of(devices[0])
    assert text is not None and chip is not None, "the TPU compiler gives a text, for known chips"
    said = estimate_of(text, chip, collectives.grid_of(devices))
    return said | {
        "bytes_accessed": costs.get("bytes accessed"),
        "flops": costs.get("flops"),
        "memory": memory(compiled),
    }


def estimate_of(text: str, chip: Chip, grid: collectives.Grid) -> dict[str, Any]:
    """What the text of a program that was compiled for a chip in a grid says.

    Returns
      chip: short name; clock_hz;
      seconds: cycles / clock_hz + uncosted_seconds;
      cycles: the sum of `estimated_cycles` over all instructions of the program: a loop's body as
        often as its trip count says, of a conditional the costliest branch;
      uncosted_seconds: for the few instructions that the text has no estimate of (select-and-
        scatter, scalars): their bytes at the chip's published bandwidth; uncosted: {opcode: how
        many};
      instructions: list of hlo.Instruction, the costliest first;
      collectives, collective_bytes: {opcode: how many, bytes of their results on a chip} a step;
      communication: list of collectives.Kind; communication_seconds: their sum, by the bandwidth of
        the chip's links, not by the compiler, and not part of seconds: what of it does not run
        beside arithmetic comes on top.

    What the sum leaves out: copies between memories that run beside the arithmetic (`copy-start`,
    `slice-start`), whose waiting time is unknown; the starting of instructions. No hardware timing
    goes into it: it ranks programs and says where their time goes, and is no measurement.
    """
    clock = GENERATIONS[chip.name].clock_hz
    program = hlo.read(text)
    communication = collectives.by_kind(program.messages, grid)
    cycles = sum(each.total_cycles for each in program.instructions)
    uncosted = [each for each in program.instructions if each.cycles is None]
    uncosted_seconds = sum(each.bytes for each in uncosted) / chip.bandwidth_bytes_s
    return {
        "chip": chip.name,
        "clock_hz": clock,
        "seconds": cycles / clock + uncosted_seconds,
        "cycles": cycles,
        "uncosted_seconds": uncosted_seconds,
        "uncosted": dict(Counter(each.opcode for each in uncosted)),
        "instructions": program.instructions,
        "collectives": dict(program.collectives),
        "collective_bytes": dict(program.collective_bytes),
        "communication": communication,
        "communication_seconds": sum(each.seconds for each in communication),
    }


def devices_of(compiled: jax.stages.Compiled) -> list[Any]:
    """The devices that a program is compiled for, in its order of them."""
    sharding = jax.tree.leaves(compiled.input_shardings)[0]
    mesh = getattr(sharding, "mesh", None)
    return list(mesh.devices.flat) if mesh is not None else list(sharding.device_set)


def memory(compiled: jax.stages.Compiled) -> dict[str, int]:
    """Bytes a chip: argument, output, donated (outputs that take an argument's place), temporary,
    code, and peak: all that lives at once, arguments included."""
    stats = compiled.memory_analysis()
    assert stats is not None, "these compilers tell it"
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
    """(scope, cycles, bytes) of the layers that instructions come from, the costliest first."""
    cycles: Counter[Scope] = Counter()
    moved: Counter[Scope] = Counter()
    for each in instructions:
        scope = of_operation(each.scope)
        cycles[scope] += each.total_cycles
        moved[scope] += each.bytes
    return [(scope, total, moved[scope]) for scope, total in cycles.most_common()]
