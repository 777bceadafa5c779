"""How many paper dolls a core draws in a second.

    python -m benchmarks.dolls [--size 256] [--json] [--save]

Time is the processor's, so that other work on the machine changes little. Two rows: the picture
alone, and with the map of its parts.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.reporting import machine, markdown, parse, report, sentences, table

COLUMNS = {"what": "drawn", "rate": "pictures/s of a core"}


@dataclass(frozen=True)
class Options:
    """Pictures of drawn characters a second of one core."""

    size: int = 256
    """Side of the pictures in pixels."""
    count: int = 300
    """Pictures that are drawn."""
    json: bool = False
    """Print the result as JSON."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def main(arguments: Sequence[str] | None = None) -> None:
    with sentences("dolls"):
        options = parse(Options, "dolls", arguments)
        result = measure(options)
        shown = [table(result["rows"], COLUMNS, f"{options.size}x{options.size}")]
        report("dolls", result, shown, as_json=options.json, keep=options.save)


def measure(options: Options) -> dict[str, Any]:
    import cv2

    from motion_jax.data.dolls import all_stances, placed
    from motion_jax.puppet.doll import make_doll
    from motion_jax.puppet.doll_draw import draw_doll, part_map

    cv2.setNumThreads(1)
    size = options.size, options.size
    every, dolls = all_stances(100), [make_doll(number) for number in range(50)]

    def rate(draw: Callable[..., Any]) -> float:
        def one(i: int) -> None:
            doll = dolls[i % len(dolls)]
            draw(doll, placed(doll, every[i % 100 : i % 100 + 1], size), *size)

        for i in range(len(dolls)):
            one(i)  # a doll's lines are cut once
        begin = time.process_time()
        for i in range(options.count):
            one(i)
        return options.count / (time.process_time() - begin)

    def both(*arguments: Any) -> None:
        draw_doll(*arguments)
        part_map(*arguments)

    rows = [
        {"what": "picture", "rate": rate(draw_doll)},
        {"what": "picture and part map", "rate": rate(both)},
    ]
    return {"rows": rows, "size": options.size, "machine": machine()}


def section(result: dict[str, Any]) -> str:
    """Markdown for docs/performance.md."""
    size = result["size"]
    return f"Paper dolls of {size}x{size} pixels.\n\n" + markdown(result["rows"], COLUMNS)


if __name__ == "__main__":
    main()
