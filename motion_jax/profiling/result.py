"""Puts a profile together: what profile.json holds, from the table, the program and the times."""

import importlib.metadata
import platform
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import jax
import jax.numpy as jnp

from motion_jax import __version__
from motion_jax.config import to_json
from motion_jax.profiling import hlo, profile_json
from motion_jax.profiling.attribution import Attribution
from motion_jax.profiling.chips import Chip
from motion_jax.profiling.cost_table import Table, analyse, once_computed, step_jaxpr
from motion_jax.profiling.scopes import Scope
from motion_jax.profiling.task import Task
from motion_jax.train.step import step_inputs


def analytic_table(task: Task) -> Table:
    """Arithmetic and bytes of the task's step, nothing computed twice."""
    return analyse(step_jaxpr(once_computed(task.config), task.stage))


def summed(pairs: Iterable[tuple[Scope, Any]]) -> dict[Scope, Any]:
    """Sums of the values by scope."""
    total: dict[Scope, Any] = {}
    for key, value in pairs:
        total[key] = total.get(key, 0) + value
    return total


def add_compiled_bytes(table: Table, text: str, attribution: Attribution) -> None:
    """Operands and results of a compiled program's instructions, by scope."""
    instructions = hlo.read(text).instructions
    table.add_compiled_bytes(
        summed((attribution.scope(each.name), each.bytes) for each in instructions)
    )


def memory_by_kind(task: Task, executable: jax.stages.Compiled) -> profile_json.Memory:
    """Bytes on one device by kind; all but `temporaries` and `code` live between steps too."""

    def size(tree: Any) -> int:
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))

    state, batch, frozen = step_inputs(task.config, task.stage)
    state = state.replace(key=jnp.zeros((2,), jnp.uint32))
    stats = executable.memory_analysis()
    assert stats is not None, "all our platforms' compilers tell it"
    kinds = {f"{network} parameters": size(tree) for network, tree in state.params.items()}
    kinds |= {
        "optimiser": size(state.optimizer),
        "averaged parameters": size(state.averaged),
        "image pools": size(getattr(state, "pools", {})),
        "perceptual network parameters": size(frozen),
        "batch": size(batch),
        "temporaries (activations, gradients)": stats.temp_size_in_bytes,
        "code": stats.generated_code_size_in_bytes,
    }
    return {"kinds": {name.replace("_", " "): n for name, n in kinds.items() if n}}


def result_of(
    task: Task,
    table: Table,
    chip: Chip | None,
    machine: profile_json.Machine,
    times: profile_json.StepTimes,
    start: profile_json.Start,
    memory: profile_json.Memory,
    executable: jax.stages.Compiled,
    time_source: str,
    data: str,
    trace: str | None,
) -> profile_json.Profile:
    """What profile.json holds; see there for what is given as it is written.

    chip: for limits and MFU; None leaves them out. time_source: Profile's "time".
    """
    recipe, stage = task.config.recipe, task.config.recipe.stages()[task.stage]
    # Devices that jax makes of one CPU share what was measured of all of it.
    chips = 1 if machine["platform"] == "cpu" else machine["devices"]
    total, share = table.total, 1 / chips
    costs = executable.cost_analysis() or {}
    step: profile_json.Step = {
        **times,
        "images_per_second": stage.batch_size * stage.window / times["seconds"],
        "idle_seconds": table.idle,
        "flops": total.flops,
        "bytes": total.bytes,
        "compiled_bytes": total.compiled_bytes,
        "limit_seconds": None,
        "mfu": None,
    }
    if chip is not None:
        peak = chip.peak_flops(recipe.dtype) * chips
        step["limit_seconds"] = sum(
            cost.limit(chip, recipe.dtype, share) for cost in table.rows.values()
        )
        step["flop_limit_seconds"] = total.flops / peak
        step["mfu"] = total.flops / (step["seconds"] * peak)
    rows = [
        profile_json.Row(
            network=scope.network,
            layer=scope.layer,
            backward=scope.backward,
            flops=cost.flops,
            bytes=cost.bytes,
            compiled_bytes=cost.compiled_bytes,
            seconds=cost.seconds,
            limit_seconds=cost.limit(chip, recipe.dtype, share) if chip else None,
        )
        for scope, cost in table.rows.items()
    ]
    rows.sort(key=lambda row: (row["seconds"] or 0, row["flops"], row["bytes"]), reverse=True)
    return {
        "format": profile_json.FORMAT,
        "config": task.name,
        "stage": task.stage,
        "size": f"{stage.width}x{stage.height}",
        "batch": stage.batch_size,
        "window": stage.window,
        "dtype": recipe.dtype,
        **machine,
        "chip": asdict(chip) if chip else None,
        "chips": chips,
        "time": time_source,
        "step": step,
        "start": start,
        "memory": memory,
        "compiler": {
            "flops": costs.get("flops"),
            "bytes": costs.get("bytes accessed"),
            "transcendentals": costs.get("transcendentals"),
        },
        "rows": rows,
        "versions": {
            "motion_jax": __version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax")},
        },
        "settings": to_json(task.config),
        "folder": str(task.folder),
        "data": data,
        "trace": trace,
    }
