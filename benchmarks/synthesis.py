"""The generator alone, frame after frame, each from its pose and the frame before: ours beside
PyTorch's.

    python -m benchmarks.synthesis --size 256 --filters 64 --against torch --json

Ours is what transfer runs (train.synthesis.Synthesizer): it also draws the pose from keypoints and
makes uint8 pictures; the latency is that of a frame there and back. PyTorch's gets ready poses and
leaves its pictures on the device, under torch.no_grad().
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import pair, reporting
from motion_jax.errors import UserError


@dataclass(frozen=True)
class Options(pair.PairOptions):
    """Time of a synthesised frame, ours beside PyTorch's, in turns."""

    frames: int = 6
    """Frames in a turn, one after the other. On a card also so many in one go, rounded up to whole
    chunks of 16."""


def measure(options: Options) -> dict[str, Any]:
    """Raises UserError where a side cannot be measured."""
    if options.batch != 1:
        raise UserError("Frames of a video follow each other: --batch must be 1.")
    if options.frames < 1:
        raise UserError("--frames must be at least 1.")
    setup = pair.setup_of(options, "synthesis")
    card = options.device != "cpu"
    together = -(-options.frames // 16) * 16
    with pair.sides(options, setup) as workers:
        counts = [1, together] if card else [1]
        first, before = pair.warm_up(workers, counts, options.warmup)
        seconds = pair.turns(workers, options.repeats, 1, options.frames)
        streamed = pair.turns(workers, options.repeats, together) if card else seconds
        peaks = pair.memory(workers, before)
        described = {side: worker.ask("describe") for side, worker in workers.items()}
    result = pair.result_of(options, setup, streamed, peaks, first, described)
    for side, values in seconds.items():
        for share, name in ((0.5, "p50"), (0.95, "p95")):
            milliseconds = 1000 * reporting.percentile(values, share)
            result[f"{side}_latency_{name}_ms"] = float(f"{milliseconds:.4g}")
    pair.utilisation(result, options, 1, described["ours"]["chip"])
    return result


def table(result: dict[str, Any]) -> Any:
    settings = result["settings"]
    title = (
        f"Synthesis, {settings['stage']} generator, {settings['width']}x{settings['height']}, "
        f"{settings['filters']} filters"
    )
    columns = {
        "name": "",
        "median": "s/frame",
        "images": "frames/s",
        "p50": "p50 ms",
        "p95": "p95 ms",
        "peak": "peak GB",
        "first_call_s": "first call s",
    }
    if any("mfu" in key for key in result):
        columns["mfu"] = "MFU"
    rows = pair.rows(result)
    for row, side in zip(rows, (s for s in ("ours", "torch") if s in result), strict=True):
        for name in ("p50", "p95"):
            row[name] = result[f"{side}_latency_{name}_ms"]
    return reporting.table(rows, columns, title)


def sections(results: Sequence[dict[str, Any]]) -> str:
    """Markdown for docs/performance.md, all results in one table."""
    text = (
        "The generator frame after frame, each from its pose and the frame before. Medians; the "
        "two sides in turns in two processes, the one that waits stopped. Ratios are ours / "
        "PyTorch's: below 1 is better. Ours draws the poses and makes 8-bit pictures too. "
        "p50 and p95 are of one frame at a time, there and back."
    )
    return f"{text}\n\n{pair.section(results, 's/frame')}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints and keeps the result."""
    pair.run("synthesis", Options, measure, table, arguments)


if __name__ == "__main__":
    main()
