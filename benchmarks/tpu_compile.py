"""The full-size train step compiled for a TPU, without a TPU: what its compiler says for each batch
size, against the limit that the arithmetic alone sets.

    python -m benchmarks.tpu_compile --stage global --batch 4 8 [--topology v5e:1x1] [--save]

Needs libtpu (pip install 'motion-jax[tpu]'), minutes of CPU time and up to 6 GB of memory for each
batch size. Nothing here is measured on a TPU; motion_jax.profiling.topology.estimate says what the
estimate is made of. The network is that of configs/everybody_dance_now.py, for frames of 1024x512
(half of it in the global stage), in bfloat16.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from benchmarks.reporting import markdown, parse, report, sentences, table
from motion_jax.errors import UserError

SIZES = {"global": (256, 512), "local": (512, 1024)}
COLUMNS = {
    "batch": "windows a chip",
    "rematerialise": "recomputed",
    "estimate_ms": "estimate, ms",
    "limit_ms": "FLOP limit, ms",
    "ratio": "estimate / limit",
    "images_per_s": "images/s",
    "peak_gb": "peak memory, GB",
    "fits": "fits",
    "moved_gb": "moved, GB",
}
PARTS = {"scope": "where", "ms": "ms", "share": "of all cycles", "moved_gb": "moved, GB"}


@dataclass(frozen=True)
class Options:
    """What the TPU compiler says about the full-size train step, for several batch sizes."""

    stage: Literal["global", "local"] = "global"
    """512x256 in the global stage, 1024x512 in the local one."""
    batch: tuple[int, ...] = (8,)
    """Windows of two frames a chip; one compilation for each."""
    topology: str = "v5e:1x1"
    """generation:shape, for instance v5e:1x1, v4:2x2x1."""
    rematerialise: bool = False
    """Recompute each frame's activations in the backward pass."""
    parts: int = 12
    """Rows of the table of networks and layers."""
    json: bool = False
    """Print the result as JSON, alone."""
    save: bool = False
    """Keep the result in benchmarks/results/, for docs/performance.md."""


def measure(options: Options) -> dict[str, Any]:
    """{chip, stage, height, width, rows: one for each batch size, parts: those of the best row}."""
    from configs.everybody_dance_now import config
    from motion_jax.profiling import topology
    from motion_jax.profiling.chips import chip
    from motion_jax.progress import say

    if not options.batch or min(options.batch) < 1:
        raise UserError("--batch needs numbers above 0, for instance --batch 4 8.")
    height, width = SIZES[options.stage]
    stage = replace(config.recipe.stages()[options.stage], height=height, width=width)
    recipe = replace(
        config.recipe, rematerialise=options.rematerialise, **{f"{options.stage}_stage": stage}
    )
    config = replace(config, recipe=recipe)
    found = chip(topology.generation(options.topology))
    rows, estimates = [], []
    for batch in options.batch:
        say(f"Compiling {options.stage} for {options.topology}, batch {batch} a chip …")
        sized, mesh = topology.laid_out(config, options.stage, options.topology, batch)
        said = topology.estimate(topology.compile_step(sized, options.stage, mesh))
        # Seconds of a chip that does nothing but its share of the analytic FLOPs.
        limit = topology.step_flops(config, options.stage, batch) / found.peak_flops_bf16
        estimates.append(said)
        rows.append(
            {
                "batch": batch,
                "rematerialise": options.rematerialise,
                "estimate_ms": 1e3 * said["seconds"],
                "uncosted_ms": 1e3 * said["uncosted_seconds"],
                "limit_ms": 1e3 * limit,
                "ratio": said["seconds"] / limit,
                "images_per_s": batch * stage.window / said["seconds"],
                "peak_gb": said["memory"]["peak"] / 1e9,
                "fits": said["memory"]["peak"] <= found.memory_bytes,
                "moved_gb": said["bytes_accessed"] / 1e9,
                "memory_gb": {kind: size / 1e9 for kind, size in said["memory"].items()},
                "collective_bytes": said["collective_bytes"],
            }
        )
    best = min(range(len(rows)), key=lambda i: (not rows[i]["fits"], rows[i]["ratio"]))
    return {
        "chip": found.name,
        "topology": options.topology,
        "memory_gb": found.memory_bytes / 1e9,
        "stage": options.stage,
        "height": height,
        "width": width,
        "dtype": recipe.dtype,
        "clock_ghz": estimates[best]["clock_hz"] / 1e9,
        "rows": rows,
        "best": rows[best]["batch"],
        "parts": _parts(estimates[best], options.parts),
        "instructions": _instructions(estimates[best], options.parts),
    }


def _parts(said: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """The most expensive layers, and the rest."""
    from motion_jax.profiling.topology import by_scope

    parts = [
        {
            "scope": str(scope),
            "ms": 1e3 * cycles / said["clock_hz"],
            "share": cycles / said["cycles"],
            "moved_gb": moved / 1e9,
        }
        for scope, cycles, moved in by_scope(said["instructions"])
    ]
    rest = {key: sum(part[key] for part in parts[count:]) for key in ("ms", "share", "moved_gb")}
    return [*parts[:count], {"scope": f"{max(len(parts) - count, 0)} more", **rest}]


def _instructions(said: dict[str, Any], count: int) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "opcode": each.opcode,
            "scope": each.scope,
            "times": each.times,
            "ms": 1e3 * each.total_cycles / said["clock_hz"],
            "shape": each.shape[:120],
        }
        for each in said["instructions"][:count]
    ]


def sections(results: Sequence[dict[str, Any]]) -> str:
    """Markdown for docs/performance.md, of all saved results tpu_compile-*."""
    lines = [
        "No TPU was used: the TPU compiler (libtpu) compiled the real train step on a CPU, and the "
        "estimate is the sum of its own `estimated_cycles` at the chip's clock. It knows nothing "
        "of real memory traffic and starting times, and communication is not in it. The limit is "
        "the analytic arithmetic at the published bfloat16 peak.",
    ]
    for result in results:
        lines += [
            "",
            f"### {result['topology']}: {result['stage']} stage, "
            f"{result['width']}x{result['height']}, {result['dtype']}",
            "",
            markdown(result["rows"], COLUMNS),
            "",
            f"Where the time goes at batch {result['best']}:",
            "",
            markdown(
                [row | {"share": f"{100 * row['share']:.1f} %"} for row in result["parts"]], PARTS
            ),
        ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    with sentences("tpu_compile"):
        options = parse(Options, "tpu_compile", arguments)
        result = measure(options)
        kind = f"{result['chip']}-{options.stage}" + ("-remat" if options.rematerialise else "")
        report(
            f"tpu_compile-{kind}",
            result,
            [
                table(result["rows"], COLUMNS, f"{options.topology}, {options.stage} stage"),
                table(result["parts"], PARTS, f"batch {result['best']}, by layer"),
                table(
                    result["instructions"],
                    {"ms": "ms", "opcode": "what", "scope": "from", "shape": "result"},
                    "costliest instructions",
                ),
            ],
            as_json=options.json,
            keep=options.save,
            arguments=arguments,
        )


if __name__ == "__main__":
    main()
