"""The training steps compiled for one to eight NVIDIA cards of one machine, without a card: what
each card needs and moves, what the cards tell each other, and how much longer a step becomes.

    python -m benchmarks.cards --topology h200 [--cases global local] [--save]

Every card has the same number of windows. It needs jax's CUDA plugin (the extra `cuda`), and some
minutes. Nothing here is measured on a card: see motion_jax.profiling.gpu_program and collectives
for what is counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import reporting
from benchmarks.gpu_compile import CASES, config_of
from motion_jax.errors import UserError
from motion_jax.progress import say

COLUMNS = {
    "cards": "cards",
    "windows": "windows a step",
    "peak_gb": "peak memory of a card, GB",
    "moved_gb": "moved by a card, GB",
    "collectives": "collectives",
    "collective_gb": "their GB",
    "roofline_ms": "roofline, ms",
    "links_ms": "links, ms",
    "growth": "growth",
}


@dataclass(frozen=True)
class Options:
    """Training steps compiled for one to eight NVIDIA cards of one machine."""

    topology: str = "h200"
    """A card: a100, h100, h200, b200, rtx4090."""
    cards: tuple[int, ...] = (1, 2, 4, 8)
    """How many, the fewest first."""
    cases: tuple[str, ...] = ("global", "local")
    """Which steps, as of benchmarks.gpu_compile; its windows are each card's."""
    json: bool = False
    """Print the result object alone, as JSON."""
    save: bool = False
    """Keep the result in benchmarks/results/, for docs/performance.md."""


def measure(options: Options) -> dict[str, Any]:
    """{topology, cases: {name: {size, rows: one for each number of cards}}}.

    Raises UserError where the plugin is absent, or for an unknown case or card.
    """
    from motion_jax.profiling import gpu
    from motion_jax.profiling.chips import CHIPS

    if not gpu.is_card(options.topology) or ":" in options.topology:
        raise UserError(f"{options.topology} is no card; one of {', '.join(gpu.CARDS)} is.")
    if unknown := set(options.cases) - set(CASES):
        raise UserError(f"There is no case {min(unknown)}; there are {', '.join(CASES)}.")
    if not options.cards or min(options.cards) < 1:
        raise UserError("--cards must be at least 1 each, for example: --cards 1 2 4 8.")
    found = {}
    for case in options.cases:
        rows = [_row(case, options.topology, count) for count in options.cards]
        for row in rows:
            longer = (row["roofline_ms"] + row["links_ms"]) / (
                rows[0]["roofline_ms"] + rows[0]["links_ms"]
            )
            row["growth"] = f"{100 * (longer - 1):+.1f} %"
        config, stage = config_of(case)
        size = config.recipe.stages()[stage]
        found[case] = {"size": f"{size.width}x{size.height}", "rows": rows}
    chip = CHIPS[gpu.card(options.topology).chip].name
    return {"topology": options.topology, "chip": chip, "cases": found}


def _row(case: str, card: str, count: int) -> dict[str, Any]:
    from motion_jax.profiling import topology
    from motion_jax.profiling.compile_gpu import described

    config, stage = config_of(case)
    each = config.recipe.stages()[stage].batch_size
    name = f"{card}:{count}"
    say(f"Compiling {case} for {name} …")
    config, mesh = topology.laid_out(config, stage, name, each)
    said = described(config, stage, name, topology.compile_step(config, stage, mesh))
    return {
        "cards": count,
        "windows": config.recipe.stages()[stage].batch_size,
        "peak_gb": said["peak_bytes"] / 1e9,
        "moved_gb": said["bytes"] / 1e9,
        "collectives": sum(kind["count"] for kind in said["collectives"]),
        "collective_gb": sum(kind["bytes"] for kind in said["collectives"]) / 1e9,
        "beside": sum(kind["beside"] for kind in said["collectives"]),
        "kinds": said["collectives"],
        "out_of_proportion": len(said["cudnn"]["out_of_proportion"]),
        "roofline_ms": 1e3 * said["roofline_seconds"],
        "links_ms": 1e3 * said["communication_seconds"],
    }


def section(result: Mapping[str, Any]) -> str:
    """Markdown for docs/performance.md."""
    parts = [
        f"No card was used: the training steps of everybody_dance_now, bfloat16, compiled for "
        f"several {result['chip']} of one machine, each with the same windows. The roofline is "
        "that of the section before; what the links take is worked out from their published "
        "bandwidth, and growth lets nothing run beside them."
    ]
    for case, found in result["cases"].items():
        parts += [
            f"### {case} stage, {found['size']}",
            reporting.markdown(found["rows"], COLUMNS),
        ]
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints and keeps the result."""
    with reporting.sentences("cards"):
        options = reporting.parse(Options, "cards", arguments)
        result = measure(options)
        tables = [
            reporting.table(found["rows"], COLUMNS, f"{case}, {found['size']}")
            for case, found in result["cases"].items()
        ]
        reporting.report(
            f"cards-{options.topology}", result, tables,
            as_json=options.json, keep=options.save, arguments=arguments,
        )  # fmt: skip


if __name__ == "__main__":
    main()
