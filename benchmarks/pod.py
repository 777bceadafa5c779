"""The full-size train step compiled for TPU pods of growing size, without a TPU: what a chip needs
and communicates, and what the compiler estimates.

    python -m benchmarks.pod --save                 # 1 to 256 chips, each with the same batch
    python -m benchmarks.pod --case space --save    # pictures of 2048x1024 shared by 4 chips
    python -m benchmarks.pod --case generator --save      # the generator of that alone

Needs libtpu (pip install 'motion-jax[tpu]'). Each compilation takes about 8 minutes of CPU time and
5 GB of memory (space: more than 8 GB), in a process of its own; what is compiled is kept in
--programs and not compiled again, so that an interrupted run can be resumed. Nothing here is
measured on a TPU: see motion_jax.profiling.topology.estimate_of and
motion_jax.profiling.collectives for what the figures are made of.
"""

import contextlib
import gzip
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.reporting import ROOT, commit, markdown, parse, report, sentences, table
from motion_jax.errors import UserError

DATA = ("v5e:1x1", "v5e:2x2", "v5e:4x4", "v5e:8x8", "v5e:16x16")
# Eight windows of 2048x1024 do not fit one v5e, and fewer fill no tile of a chip.
SPACE = ("v6e:1x1", "v6e:2x2")
COLUMNS = {
    "chips": "chips",
    "batch": "windows a step",
    "peak_gb": "peak memory, GB",
    "messages": "collectives",
    "collective_gb": "their GB",
    "beside": "beside other work",
    "estimate_ms": "estimate, ms",
    "communication_ms": "links, ms",
    "after_ms": "sum, ms",
    "growth": "growth",
}
SPATIAL = COLUMNS | {"efficiency": "efficiency, estimate", "after": "efficiency, sum"}
del SPATIAL["growth"]
PARTS = {
    "scope": "where",
    "one_ms": "one chip, ms",
    "many_ms": "shared, ms",
    "lost_ms": "lost, ms",
    "ratio": "efficiency",
}


@dataclass(frozen=True)
class Options:
    """What the TPU compiler says about the train step on pods of growing size."""

    case: Literal["data", "space", "generator", "discriminator"] = "data"
    """data: everybody_dance_now's local stage at 1024x512, the batch a chip constant; space:
    pix2pixhd's at 2048x1024, the same batch on one chip and with its pictures shared; generator,
    discriminator: of that one network alone, forward and backward."""
    topologies: tuple[str, ...] = ()
    """generation:shape of each row. Default: v5e:1x1 to v5e:16x16 (data); v6e:1x1, v6e:2x2
    (the others)."""
    batch: int = 0
    """Windows a chip (data), of all chips together (the others); 0: 8 of them."""
    programs: Path = Path("out/pod")
    """Folder for what is compiled."""
    parts: int = 20
    """Rows of the table of layers (space)."""
    json: bool = False
    """Print the result as JSON, alone."""
    save: bool = False
    """Keep the result in benchmarks/results/, for docs/performance.md."""


def config_of(case: str) -> Any:
    """The config of a case, activations recomputed so that it fits a v5e's memory."""
    if case == "data":
        from configs.everybody_dance_now import config

        height, width = 512, 1024
    else:
        from configs.pix2pixhd import config

        height, width = 1024, 2048
    stage = replace(config.recipe.stages()["local"], height=height, width=width)
    return replace(config, recipe=replace(config.recipe, rematerialise=True, local_stage=stage))


def compile_one(case: str, topology: str, batch: int, path: Path) -> None:
    """Compiles one row and writes what the compiler says to `path`."""
    from motion_jax.config import Devices
    from motion_jax.profiling import collectives
    from motion_jax.profiling import topology as topologies

    config = config_of(case)
    chips = len(topologies.topology_devices(topology))
    space = 1 if case == "data" else chips
    config = replace(config, devices=Devices(data=chips // space, space=space))
    config = topologies.sized(config, "local", batch * (chips if case == "data" else 1))
    config, mesh = topologies.laid_out(config, "local", topology)
    begun = time.perf_counter()
    if case in ("data", "space"):
        compiled = topologies.compile_step(config, "local", mesh)
    else:
        compiled = _compile_network(config, case, mesh)
    costs = compiled.cost_analysis() or {}
    kept = {
        "commit": commit(),
        "topology": topology,
        "mesh": dict(mesh.shape),
        "batch": config.recipe.stages()["local"].batch_size,
        "compiling_s": time.perf_counter() - begun,
        "memory": topologies.memory(compiled),
        "flops": costs.get("flops"),
        "bytes_accessed": costs.get("bytes accessed"),
        "grid": asdict(collectives.grid_of(topologies.devices_of(compiled))),
        "text": compiled.as_text(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with gzip.open(partial, "wt") as file:
        json.dump(kept, file)
    partial.replace(path)


def _compile_network(config: Any, name: str, mesh: Any) -> Any:
    """The local stage's generator or discriminator alone: its outputs' mean square, and the
    gradients of parameters and pictures."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import NamedSharding
    from jax.sharding import PartitionSpec as P

    from motion_jax.devices.mesh import replicated
    from motion_jax.nets import spatial
    from motion_jax.nets.conv import target_platform

    recipe, stage = config.recipe, config.recipe.stages()["local"]
    network, channels = (
        (recipe.main_generator("local"), 3)
        if name == "generator"
        else (recipe.main_discriminator("local"), 6)
    )
    shape = (stage.batch_size, stage.height, stage.width, channels)
    pictures = jax.ShapeDtypeStruct(
        shape, jnp.bfloat16, sharding=NamedSharding(mesh, P("data", "space"))
    )
    params = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated(mesh)),
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, *shape[1:]), jnp.bfloat16)),
    )

    def loss(params: Any, pictures: Any) -> Any:
        results = jax.tree.leaves(network.apply(params, pictures))
        return sum(jnp.mean(jnp.square(each.astype(jnp.float32))) for each in results)

    def gradients(params: Any, pictures: Any) -> Any:
        shared = spatial.over(mesh) if mesh.shape["space"] > 1 else contextlib.nullcontext()
        with shared:
            return jax.grad(loss, (0, 1))(params, pictures)

    with target_platform("tpu"):
        return jax.jit(gradients).lower(params, pictures).compile()


def measure(options: Options) -> dict[str, Any]:
    """{case, config, stage, width, height, dtype, rows: one for each topology, parts: layers by
    what they lose where pictures are shared}."""
    from motion_jax.profiling.topology import generation
    from motion_jax.progress import say

    names = options.topologies or (DATA if options.case == "data" else SPACE)
    for name in names:
        generation(name)  # before anything is compiled
    batch = options.batch or 8
    if batch < 1:
        raise UserError(f"--batch {batch} holds nothing; use 1 or more.")
    rows, estimates = [], []
    for name in names:
        path = options.programs / f"{options.case}-{name.replace(':', '-')}-{batch}.json.gz"
        if not path.is_file():
            say(f"Compiling for {name} (about 8 minutes) …")
            _apart(options.case, name, batch, path)
        row, said = _row(path)
        rows.append(row)
        estimates.append(said)
    first, last, config = rows[0], rows[-1], config_of(options.case)
    for row in rows:
        row["growth"] = f"{100 * (row['after_ms'] / first['after_ms'] - 1):+.1f} %"
        if options.case != "data":
            shares = row["chips"] / first["chips"]
            row["efficiency"] = first["estimate_ms"] / row["estimate_ms"] / shares
            row["after"] = first["after_ms"] / row["after_ms"] / shares
    stage = config.recipe.stages()["local"]
    result = {
        "case": options.case,
        "config": "everybody_dance_now" if options.case == "data" else "pix2pixhd",
        "stage": "local",
        "width": stage.width,
        "height": stage.height,
        "dtype": config.recipe.dtype,
        "batch": batch,
        "rows": rows,
        "from_chips": first["chips"],
        "to_chips": last["chips"],
        "time_growth_percent": 100 * (last["after_ms"] / first["after_ms"] - 1),
        "memory_growth_percent": 100 * (last["peak_gb"] / first["peak_gb"] - 1),
    }
    if options.case != "data":
        result["efficiency_percent"] = 100 * last["efficiency"]
        result["efficiency_with_links_percent"] = 100 * last["after"]
        result["parts"] = _parts(estimates, last["chips"] / first["chips"], options.parts)
    return result


def _apart(case: str, topology: str, batch: int, path: Path) -> None:
    """compile_one in a process of its own, whose memory is then given back."""
    call = f"compile_one({case!r}, {topology!r}, {batch}, Path({str(path.absolute())!r}))"
    code = f"from pathlib import Path\nfrom benchmarks.pod import compile_one\n{call}"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    if ended.returncode or not path.is_file():
        raise UserError(
            f"Compiling for {topology} ended with status {ended.returncode}; its own words stand "
            "above."
        )


def _row(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(a row of the table, topology.estimate_of) of a kept program."""
    from motion_jax.profiling.chips import chip
    from motion_jax.profiling.collectives import Grid
    from motion_jax.profiling.topology import GENERATIONS, estimate_of, generation

    with gzip.open(path, "rt") as file:
        kept = json.load(file)
    found = chip(generation(kept["topology"]))
    grid = kept["grid"]
    grid = Grid(
        tuple(tuple(place) for place in grid["places"]),
        tuple(grid["sides"]),
        tuple(grid["rings"]),
        grid["link_bytes_s"],
    )
    said = estimate_of(kept["text"], found, grid)
    talk, chips = said["communication"], len(grid.places)
    return {
        "topology": kept["topology"],
        "chips": chips,
        "mesh": kept["mesh"],
        "batch": kept["batch"],
        "peak_gb": kept["memory"]["peak"] / 1e9,
        "fits": kept["memory"]["peak"] <= GENERATIONS[found.name].usable_bytes,
        "memory_gb": {kind: size / 1e9 for kind, size in kept["memory"].items()},
        "messages": sum(kind.count for kind in talk),
        "beside": sum(kind.beside for kind in talk),
        "collective_gb": sum(kind.bytes for kind in talk) / 1e9,
        "collectives": [asdict(kind) for kind in talk],
        "estimate_ms": 1e3 * said["seconds"],
        "communication_ms": 1e3 * said["communication_seconds"],
        "beside_ms": 1e3 * max(said["seconds"], said["communication_seconds"]),
        "after_ms": 1e3 * (said["seconds"] + said["communication_seconds"]),
        "moved_gb": kept["bytes_accessed"] / 1e9,
        "compiled_tflop": kept["flops"] / 1e12,
        "compiling_s": kept["compiling_s"],
        "commit": kept["commit"],
    }, said


def _parts(estimates: Sequence[dict[str, Any]], share: float, count: int) -> list[dict[str, Any]]:
    """The layers by what they lose where each chip has 1/share of the work, the worst first."""
    from motion_jax.profiling.topology import by_scope

    first, last = (
        {
            scope: 1e3 * cycles / said["clock_hz"]
            for scope, cycles, _ in by_scope(said["instructions"])
        }
        for said in (estimates[0], estimates[-1])
    )
    rows = [
        {
            "scope": str(scope),
            "one_ms": first.get(scope, 0.0),
            "many_ms": last.get(scope, 0.0),
            "lost_ms": last.get(scope, 0.0) - first.get(scope, 0.0) / share,
            "ratio": first.get(scope, 0.0) / share / last[scope] if last.get(scope) else None,
        }
        for scope in first.keys() | last.keys()
    ]
    rows.sort(key=lambda row: -row["lost_ms"])
    rest = {key: sum(row[key] for row in rows[count:]) for key in ("one_ms", "many_ms", "lost_ms")}
    rest["ratio"] = rest["one_ms"] / share / rest["many_ms"] if rest["many_ms"] else None
    return [*rows[:count], {"scope": f"{max(len(rows) - count, 0)} more", **rest}]


def sections(results: Sequence[dict[str, Any]]) -> str:
    """Markdown for docs/performance.md, of all saved results pod-*."""
    lines = [
        "No TPU was used. Memory and collectives (how many a step, bytes of their results, how "
        "many of them other work may run beside) are a chip's, and so is the estimate, the "
        "compiler's own, as in the section before. What the links take is worked out from their "
        "published bandwidth (`motion_jax/profiling/collectives.py`); the sum lets nothing run "
        "beside them.",
    ]
    for result in results:
        spatial = result["case"] != "data"
        what = f"{result['stage']} stage"
        if result["case"] in ("generator", "discriminator"):
            what += f"'s {result['case']} alone, forward and backward"
        lines += [
            "",
            f"### {result['config']}, {what}, {result['width']}x{result['height']}, "
            f"{result['dtype']}: "
            + ("height shared among chips" if spatial else f"{result['batch']} windows a chip"),
            "",
            markdown(result["rows"], SPATIAL if spatial else COLUMNS),
        ]
        if spatial:
            lines += ["", "Where efficiency is lost:", "", markdown(result["parts"], PARTS)]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    with sentences("pod"):
        options = parse(Options, "pod", arguments)
        result = measure(options)
        spatial = options.case != "data"
        tables = [table(result["rows"], SPATIAL if spatial else COLUMNS)]
        if spatial:
            tables.append(table(result["parts"], PARTS, "where efficiency is lost"))
        report(
            f"pod-{options.case}",
            result,
            tables,
            as_json=options.json,
            keep=options.save,
            arguments=arguments,
        )


if __name__ == "__main__":
    main()
