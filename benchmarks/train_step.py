"""The whole two-frame training step of Everybody Dance Now, ours beside PyTorch's.

    python -m benchmarks.train_step --size 256 --filters 64 --against torch --json

Ours is the recipe's step as the training loop runs it (compiled_step), pose drawing included; the
other is torch_step.py, which gets ready pictures. Same networks, losses and optimisers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import pair, reporting

STEPS_ON_CARD = 10  # without waiting in between, as training does


@dataclass(frozen=True)
class Options(pair.PairOptions):
    """Time and memory of a training step, ours beside PyTorch's, in turns."""


def measure(options: Options) -> dict[str, Any]:
    """Raises UserError where a side cannot be measured."""
    setup = pair.setup_of(options, "train_step")
    count = 1 if options.device == "cpu" else STEPS_ON_CARD
    with pair.sides(options, setup) as workers:
        first, before = pair.warm_up(workers, [1], options.warmup)
        seconds = pair.turns(workers, options.repeats, count)
        peaks = pair.memory(workers, before)
        described = {side: worker.ask("describe") for side, worker in workers.items()}
    result = pair.result_of(options, setup, seconds, peaks, first, described)
    pair.utilisation(result, options, 2 * options.batch, described["ours"]["chip"])
    return result


def table(result: dict[str, Any]) -> Any:
    settings = result["settings"]
    title = (
        f"Training step, {settings['stage']} stage, {settings['width']}x{settings['height']}, "
        f"{settings['filters']} filters, batch {settings['batch']}"
    )
    columns = {
        "name": "",
        "median": "s/step",
        "min": "min",
        "max": "max",
        "images": "images/s",
        "peak": "peak GB",
        "host_steps_peak_gb": "host, steps only",
        "first_call_s": "first call s",
    }
    if any("mfu" in key for key in result):
        columns["mfu"] = "MFU"
    return reporting.table(pair.rows(result), columns, title)


def sections(results: Sequence[dict[str, Any]]) -> str:
    """Markdown for docs/performance.md, all results in one table."""
    text = (
        "One whole step of Everybody Dance Now on windows of two frames: generator, discriminator, "
        "VGG-19 loss, both updates of Adam. Medians; the two sides in turns in two processes, the "
        "one that waits stopped. Ratios are ours / PyTorch's: below 1 is better. Ours draws the "
        "poses too. Memory is the highest resident set of the process, compiling included, or "
        "the card's."
    )
    return f"{text}\n\n{pair.section(results, 's/step')}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints and keeps the result."""
    pair.run("train_step", Options, measure, table, arguments)


if __name__ == "__main__":
    main()
