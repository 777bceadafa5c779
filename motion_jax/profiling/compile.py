"""`motion-jax compile`: the real train step for a TPU pod or NVIDIA cards, compiled on a machine
without them."""

import json
import math
import re
import time
from dataclasses import asdict, replace
from typing import Any

import jax
from rich.console import Console

from motion_jax.config import Config, load_config
from motion_jax.errors import UserError, option
from motion_jax.files import check_outputs, check_writable
from motion_jax.profiling import compile_gpu, gpu, topology
from motion_jax.profiling.chips import CHIPS
from motion_jax.profiling.compile_gpu import ms
from motion_jax.profiling.figures import scaled
from motion_jax.profiling.options import CompileOptions
from motion_jax.profiling.profile import with_settings
from motion_jax.profiling.saved import save, versions
from motion_jax.progress import say
from motion_jax.train.step import abstract_state, step_inputs


def run(options: CompileOptions, settings: list[str]) -> dict[str, Any]:
    """The verb: compiles and prints; arguments and result are those of `compile_config`."""
    result = compile_config(options, settings)
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        console = Console(highlight=False, soft_wrap=True)
        for line in lines(result):
            console.print(line, markup=False)
    return result


def compile_config(options: CompileOptions, settings: list[str] | None = None) -> dict[str, Any]:
    """Compiles a config's stages for a topology.

    Args:
      settings: of the config, as command-line arguments.
    Returns:
      {config, topology, chip, chips, mesh: {data, space}, shard_optimizer, usable_bytes (of a
      chip's memory), versions, stages: {name: see `described`}, saved: the file or None}.
    Raises:
      UserError: bad options; libtpu or the CUDA plugin is absent; the mesh or a batch does not fit
        the topology.
    """
    if not options.config or not options.topology:
        raise UserError(
            f"motion-jax compile needs a config and {option('topology')}, for example: motion-jax "
            "compile demo --topology v5e:2x2"
        )
    check_outputs(options, "save")
    on_cards = gpu.is_card(options.topology)
    kind: Any = gpu.card(options.topology) if on_cards else None
    kind = kind or topology.GENERATIONS[topology.generation(options.topology)]
    config = with_settings(load_config(options.config), settings or [], "compile", CompileOptions)
    config = replace(config, devices=_devices(config, options))
    config.validate()
    if options.batch_per_chip is not None and options.batch_per_chip < 1:
        raise UserError(
            f"{option('batch_per_chip')} {options.batch_per_chip} gives a chip no windows; use 1 "
            "or more, or leave it out for the config's batch."
        )
    names = [options.stage] if options.stage else list(config.recipe.stages())
    # All that can be wrong is found before the first stage is compiled.
    each = {
        name: topology.laid_out(config, name, options.topology, options.batch_per_chip)
        for name in names
    }
    if options.save:
        check_writable(options.save.parent)
    stages, executables = {}, {}
    for number, (name, (stage_config, mesh)) in enumerate(each.items(), 1):
        say(
            f"Compiling the {name} stage for {options.topology} ({number} of {len(each)}; minutes "
            "for large networks) …"
        )
        begun = time.perf_counter()
        try:
            executable = topology.compile_step(stage_config, name, mesh)
        except topology.TooLarge as error:
            stages[name] = _size(stage_config, name, mesh) | {"fits": False, "refused": str(error)}
        else:
            executables[name] = (stage_config, executable)
            try:
                stages[name] = (
                    _of_cards(stage_config, name, mesh, options.topology, executable)
                    if on_cards
                    else described(stage_config, name, mesh, executable)
                )
            except ValueError as error:
                package = "jaxlib" if on_cards else "libtpu"
                raise UserError(
                    f"The {name} stage was compiled, but {package} {versions()[package]} writes "
                    f"its programs otherwise than this version reads them ({error}); install the "
                    f"{package} that constraints.txt pins."
                ) from error
        taken = time.perf_counter() - begun
        stages[name]["compiling_seconds"] = taken
        say(f"… {taken:.0f} s")
    if options.save and executables:
        save(options.save, executables)
    _, mesh = next(iter(each.values()))
    return {
        "config": options.config,
        "topology": options.topology,
        "chip": options.topology.partition(":")[0],
        "chips": mesh.size,
        "mesh": dict(mesh.shape),
        "shard_optimizer": config.devices.shard_optimizer,
        "usable_bytes": kind.usable_bytes,
        "versions": versions(),
        "stages": stages,
        "saved": str(options.save) if options.save and executables else None,
    }


def _devices(config: Config, options: CompileOptions) -> Any:
    devices = config.devices
    if options.mesh:
        found = re.fullmatch(r"(?:data=(\d+))?,?(?:space=(\d+))?", options.mesh)
        if not found:
            raise UserError(
                f"{option('mesh')} {options.mesh} is no mesh; write for instance {option('mesh')} "
                "data=4,space=4."
            )
        devices = replace(devices, data=int(found[1] or 0), space=int(found[2] or 1))
    if options.shard_optimizer:
        devices = replace(devices, shard_optimizer=True)
    return devices


def _size(config: Config, name: str, mesh: Any) -> dict[str, Any]:
    stage = config.recipe.stages()[name]
    return {
        "size": f"{stage.width}x{stage.height}",
        "dtype": config.recipe.dtype,
        "batch": stage.batch_size,
        "batch_per_chip": stage.batch_size / mesh.size,
    }


def described(config: Config, name: str, mesh: Any, executable: Any) -> dict[str, Any]:
    """What the compiler says about one stage's step. Bytes and FLOPs are a chip's.

    Returns
      size, dtype, batch (windows a step), batch_per_chip;
      fits; memory: {argument, output, donated, temporary, code, peak}; memory_by_kind: the same
        peak by what it holds;
      donated: {tensors, of}: how many tensors of the state are changed in place;
      flops: analytic, of the step as written; compiled_flops, bytes: the compiler's own count;
      collectives: see collectives.Kind, and for each its share of seconds;
      seconds: the compiler's estimate, without communication; communication_seconds: all of it, by
        the links' bandwidth; seconds_beside, seconds_after: a step with communication wholly beside
        the rest, and wholly after it;
      flop_limit_seconds, flop_share: the analytic FLOPs at the chip's published peak, and what part
        of seconds_after that is.
    """
    estimate = topology.estimate(executable)
    memory, chip = estimate["memory"], CHIPS[estimate["chip"]]
    batch = config.recipe.stages()[name].batch_size
    flops = topology.step_flops(config, name, batch) / mesh.size
    limit = flops / chip.peak_flops_bf16
    alone, communication = estimate["seconds"], estimate["communication_seconds"]
    return _size(config, name, mesh) | {
        "fits": memory["peak"] <= topology.GENERATIONS[estimate["chip"]].usable_bytes,
        "memory": memory,
        "memory_by_kind": memory_by_kind(config, name, mesh, memory),
        "donated": donated(config, name, executable.as_text()),
        "flops": flops,
        "compiled_flops": estimate["flops"],
        "bytes": estimate["bytes_accessed"],
        "collectives": [asdict(kind) for kind in estimate["communication"]],
        "seconds": alone,
        "communication_seconds": communication,
        "seconds_beside": max(alone, communication),
        "seconds_after": alone + communication,
        "flop_limit_seconds": limit,
        "flop_share": limit / (alone + communication),
    }


def _of_cards(
    config: Config, name: str, mesh: Any, topology_name: str, executable: Any
) -> dict[str, Any]:
    """compile_gpu.described, and what of a stage does not depend on the chip."""
    found = compile_gpu.described(config, name, topology_name, executable)
    return (
        _size(config, name, mesh)
        | found
        | {
            "memory_by_kind": memory_by_kind(config, name, mesh, found["memory"]),
            "donated": donated(config, name, executable.as_text()),
        }
    )


def memory_by_kind(config: Config, name: str, mesh: Any, memory: dict[str, int]) -> dict[str, int]:
    """A chip's peak by what it holds: bytes of each; they add up to memory["peak"]."""

    def size(tree: Any) -> int:
        return sum(
            math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
            for leaf in jax.tree.leaves(tree)
            if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.extended)
        )

    state, batch, frozen = step_inputs(config, name, mesh)
    kinds = {
        "parameters": size(state.params),
        "optimiser": size(state.optimizer),
        "averaged parameters": size(state.averaged),
        "image pools": size(getattr(state, "pools", {})),
        "perceptual network": size(frozen),
        "batch": size(batch),
    }
    kinds["padding of these"] = max(memory["argument"] - sum(kinds.values()), 0)
    kinds["results not in place"] = memory["output"] - memory["donated"]
    kinds["activations and gradients"] = memory["temporary"]
    kinds["code"] = memory["code"]
    return {kind: size for kind, size in kinds.items() if size}


def donated(config: Config, name: str, text: str) -> dict[str, int]:
    """{tensors, of}: how many of the state's tensors a compiled program changes in place, by the
    head of its text."""
    head = text.split("\n", 1)[0]
    aliases = re.findall(r"\{\d+\}: \((\d+), \{\}, (?:may|must)-alias\)", head)
    leaves = len(jax.tree.leaves(abstract_state(config, name)))
    return {"tensors": sum(int(number) < leaves for number in aliases), "of": leaves}


def lines(result: dict[str, Any]) -> list[str]:
    """The result for a person."""
    usable = result["usable_bytes"]
    on_cards = gpu.is_card(result["topology"])
    what = "cards" if on_cards else "chips"
    what = what[:-1] if on_cards and result["chips"] == 1 else what
    mesh = " x ".join(f"{name} {size}" for name, size in result["mesh"].items())
    shared = ", optimiser's state shared" if result["shard_optimizer"] else ""
    text = [
        f"{result['config']} on {result['topology']}: {result['chips']} {what} ({mesh}{shared}), "
        f"of each {scaled(usable, 'B')} of memory"
    ]
    for name, stage in result["stages"].items():
        text += [
            "",
            f"{name} stage: {stage['size']}, {stage['dtype']}, {stage['batch']} windows a step "
            f"({stage['batch_per_chip']:.3g} a {what.rstrip('s')})",
        ]
        if "refused" in stage:
            text.append(f"  does not fit    {stage['refused']}")
            continue
        rows = _memory_rows(stage, usable)
        rows += compile_gpu.rows(stage) if on_cards else _tpu_rows(stage)
        width = max(len(label) for label, _ in rows)
        text += [f"  {label.ljust(width)}  {value}" for label, value in rows]
    if result["saved"]:
        text += ["", f"Saved to {result['saved']}"]
    return text


def _memory_rows(stage: dict[str, Any], usable: int) -> list[tuple[str, str]]:
    return [
        (
            "fits" if stage["fits"] else "does not fit",
            f"{scaled(stage['memory']['peak'], 'B')} "
            f"at its peak ({100 * stage['memory']['peak'] / usable:.0f} %)",
        ),
        (
            "memory",
            ", ".join(
                f"{kind} {scaled(size, 'B')}" for kind, size in stage["memory_by_kind"].items()
            ),
        ),
        (
            "in place",
            f"{stage['donated']['tensors']} of {stage['donated']['of']} tensors of the "
            "state (donated)",
        ),
    ]


def _tpu_rows(stage: dict[str, Any]) -> list[tuple[str, str]]:
    rows = {
        "a chip's work": f"{scaled(stage['flops'], 'FLOP')} as written, "
        f"{scaled(stage['compiled_flops'], 'FLOP')} as compiled; "
        f"{scaled(stage['bytes'], 'B')} moved",
    }
    for kind in stage["collectives"]:
        rows[kind["kind"]] = (
            f"{kind['count']} a step, {scaled(kind['bytes'], 'B')}, "
            f"{ms(kind['seconds'])} by the links' bandwidth; {kind['beside']} of them beside "
            "other work"
        )
    if not stage["collectives"]:
        rows["collectives"] = "none"
    spread = (
        f"; {ms(stage['seconds_beside'])} to {ms(stage['seconds_after'])} with communication "
        "wholly beside it or wholly after it"
        if stage["collectives"]
        else ""
    )
    rows["estimate"] = f"{ms(stage['seconds'])} by the compiler{spread}"
    rows["FLOP limit"] = (
        f"{ms(stage['flop_limit_seconds'])}, {100 * stage['flop_share']:.0f} % of the estimate"
    )
    return list(rows.items())
