"""The First Order Motion Model's training step compiled for a TPU or an NVIDIA card that is not
here: an estimate against the limit that the arithmetic alone sets, and what of it the lookups of
pixels take.

    python -m benchmarks.first_order_compile --topology v5e:1x1 --batch 8 [--save]
    python -m benchmarks.first_order_compile --topology h200 --batch 40 [--save]

Nothing here is measured on a TPU or a card: see motion_jax.profiling.topology.estimate and
motion_jax.profiling.gpu_program. The networks and losses are those of configs/first_order.py
(vox-256) at 256x256, in bfloat16. Minutes of CPU time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.reporting import markdown, parse, report, sentences, table
from motion_jax.errors import UserError
from motion_jax.progress import say

COLUMNS = {
    "topology": "for",
    "batch": "pairs",
    "estimate_ms": "estimate, ms",
    "limit_ms": "FLOP limit, ms",
    "ratio": "estimate / limit",
    "lookups_ms": "lookups of it, ms",
    "lookups_share": "share",
    "peak_gb": "peak memory, GB",
    "moved_gb": "moved, GB",
}
PARTS = {"scope": "where", "ms": "ms", "moved_gb": "moved, GB"}


@dataclass(frozen=True)
class Options:
    """What a compiler says about the training step of the First Order Motion Model."""

    topology: str = "v5e:1x1"
    """A TPU chip (v5e:1x1, v4:1x1x1, ...) or an NVIDIA card (h200, h100, a100, ...)."""
    batch: int = 8
    """Pairs of frames a step."""
    parts: int = 8
    """Rows of the table of networks and layers."""
    json: bool = False
    """Print the result as JSON, alone."""
    save: bool = False
    """Keep the result in benchmarks/results/, for docs/performance.md."""


def measure(options: Options) -> dict[str, Any]:
    """{row: see COLUMNS, parts: the costliest layers}. Raises UserError where the compiler is
    absent or the topology unknown."""
    from configs.first_order import config
    from motion_jax.nets.sampling import LOOKUP
    from motion_jax.profiling import gpu, gpu_program, topology
    from motion_jax.profiling.chips import CHIPS, chip
    from motion_jax.profiling.compile_gpu import largest_kernel

    if options.batch < 1:
        raise UserError("--batch must be 1 or more.")
    recipe: Any = config.recipe  # the number format is a field of this one
    config = replace(config, recipe=replace(recipe, dtype="bfloat16"))
    config, mesh = topology.laid_out(config, "main", options.topology, options.batch)
    say(f"Compiling for {options.topology}, {options.batch} pairs …")
    compiled = topology.compile_step(config, "main", mesh)
    memory = topology.memory(compiled)
    if gpu.is_card(options.topology):
        found = CHIPS[gpu.card(options.topology).chip]
        text = compiled.as_text()
        assert text is not None, "XLA gives the text of what it compiles"
        read = gpu_program.read(text, found, largest_kernel(config, "main"))
        layers = [(scope, 1e3 * seconds, moved) for scope, seconds, moved, _ in read.layers]
        seconds, moved = read.seconds, read.bytes
    else:
        found = chip(topology.generation(options.topology))
        said = topology.estimate(compiled)
        to_ms = 1e3 / said["clock_hz"]
        layers = [
            (scope, cycles * to_ms, moved)
            for scope, cycles, moved in topology.by_scope(said["instructions"])
        ]
        seconds, moved = said["seconds"], said["bytes_accessed"]
    limit = topology.step_flops(config, "main", options.batch) / found.peak_flops_bf16
    lookups = sum(ms for scope, ms, _ in layers if LOOKUP in f"{scope.network} {scope.layer}")
    row = {
        "topology": options.topology,
        "batch": options.batch,
        "estimate_ms": 1e3 * seconds,
        "limit_ms": 1e3 * limit,
        "ratio": seconds / limit,
        "lookups_ms": lookups,
        "lookups_share": f"{0.1 * lookups / seconds:.1f} %",
        "peak_gb": memory["peak"] / 1e9,
        "moved_gb": moved / 1e9,
    }
    parts = [
        {"scope": str(scope), "ms": ms, "moved_gb": moved / 1e9}
        for scope, ms, moved in layers[: options.parts]
    ]
    return {"chip": found.name, "row": row, "parts": parts}


def sections(results: Sequence[dict[str, Any]]) -> str:
    """Markdown for docs/performance.md, of all saved results."""
    lines = [
        "No TPU and no card was used: the real training step (vox-256, 256x256, bfloat16, VGG-19 "
        "loss, without a discriminator) was compiled for them on a CPU. For a TPU the estimate is "
        "the sum of its compiler's `estimated_cycles`, for a card a roofline that no program goes "
        "below. The limit is the analytic arithmetic at the published bfloat16 peak. Lookups are "
        "all of the pixels looked up by coordinates, with their gradients.",
        markdown([result["row"] for result in results], COLUMNS),
    ]
    for result in results:
        row = result["row"]
        lines.append(f"Where the time goes on {row['topology']}, {row['batch']} pairs:")
        lines.append(markdown(result["parts"], PARTS))
    return "\n\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints and keeps the result."""
    with sentences("first_order_compile"):
        options = parse(Options, "first_order_compile", arguments)
        result = measure(options)
        report(
            f"first_order_compile-{result['chip'].lower().replace(' ', '')}",
            result,
            [
                table([result["row"]], COLUMNS, "First Order Motion Model, training step"),
                table(result["parts"], PARTS, "by layer"),
            ],
            as_json=options.json,
            keep=options.save,
            arguments=arguments,
        )


if __name__ == "__main__":
    main()
