"""A model of ours beside the same model in PyTorch: what benchmarks.first_order and
benchmarks.stylegan2 share. Two processes in turns, as in pair.py."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from benchmarks import pair, reporting
from benchmarks.workers import Worker, WorkerError, has_torch
from motion_jax.errors import UserError
from motion_jax.progress import say


@dataclass(frozen=True, kw_only=True)
class BesideOptions:
    """What ours is measured against, and how often."""

    against: Literal["torch", "none"] = "torch"
    """torch: beside the PyTorch counterpart; none: ours alone."""
    torch_python: str = sys.executable
    """The interpreter of an environment with torch and numpy (default: this one)."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of our convolutions; PyTorch's are float32."""
    repeats: int = 5
    """Turns of each process."""
    warmup: int = 2
    """Calls of each process before the first turn; the first of them compiles."""
    json: bool = False
    """Print the result object alone, as JSON."""
    save: bool = False
    """Keep the result in benchmarks/results/, for docs/performance.md."""


Options = TypeVar("Options", bound=BesideOptions)


def measured(
    options: BesideOptions,
    setup: Mapping[str, Any],
    workers: str,
    *,
    kept: Sequence[str],
    count: int = 1,
    repeats: int = 1,
) -> dict[str, Any]:
    """Seconds, peaks and their ratio.

    setup: what both workers build from; workers: modules WORKERS_jax and WORKERS_torch in
    benchmarks; kept: of the setup, in the result; count: of what is called in one go, whose mean
    counts; repeats: such in a turn. Raises UserError where a side cannot be measured.
    """
    if options.against == "torch" and not has_torch(options.torch_python):
        raise UserError(
            f"There is no PyTorch in {options.torch_python}; name another interpreter with "
            "--torch-python, or measure ours alone with --against none."
        )
    platform = {"JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", "cpu")}
    with ExitStack() as stack:
        try:
            ours = Worker("JAX", f"benchmarks.{workers}_jax", setup, environment=platform)
            sides = {"ours": stack.enter_context(ours)}
            if options.against == "torch":
                other = Worker(
                    "PyTorch", f"benchmarks.{workers}_torch", setup, options.torch_python
                )
                sides["torch"] = stack.enter_context(other)
            first, before = pair.warm_up(sides, [1], options.warmup)
            seconds = pair.turns(sides, options.repeats, count, repeats)
            peaks = pair.memory(sides, before)
            described = {side: worker.ask("describe") for side, worker in sides.items()}
        except WorkerError as error:
            raise UserError(f"The benchmark stopped because {error} (see above).") from error
    result: dict[str, Any] = {"settings": {name: setup[name] for name in kept}}
    for side, values in seconds.items():
        found = reporting.summary(values)
        result[f"{side}_s"] = round(found["median"], 5)
        result[f"{side}_peak_gb"] = peaks[side]["peak_gb"]
        result[side] = found | described[side] | {"first_call_s": round(first[side], 2)}
    if "torch" in seconds:
        result["ratio"] = round(result["ours_s"] / result["torch_s"], 4)
    return result


def table(result: Mapping[str, Any], title: str, unit: str) -> Any:
    """For the terminal, a row for each side."""
    names = {"ours": "motion_jax", "torch": "PyTorch"}
    rows = [
        {"name": name, **result[side], "peak": result[f"{side}_peak_gb"]}
        for side, name in names.items()
        if side in result
    ]
    columns = {
        "name": "", "median": unit, "min": "min", "max": "max", "peak": "peak GB",
        "first_call_s": "first call s",
    }  # fmt: skip
    return reporting.table(rows, columns, title)


def section(rows: Sequence[Mapping[str, Any]], text: str) -> str:
    """Markdown for docs/performance.md. rows: results with their settings, and "unit"; text: what
    was measured."""
    columns = {
        "work": "what", "size": "pixels", "batch": "batch", "dtype": "ours", "unit": "unit",
        "ours_s": "ours", "torch_s": "PyTorch", "ratio": "time ratio",
        "ours_peak_gb": "ours, peak GB", "torch_peak_gb": "PyTorch, peak GB",
    }  # fmt: skip
    used = {key: title for key, title in columns.items() if any(row.get(key) for row in rows)}
    how = (
        "Medians; the two sides in turns in two processes, the one that waits stopped. Ratios are "
        "ours / PyTorch's: below 1 is better."
    )
    return f"{text} {how}\n\n{reporting.markdown(rows, used)}"


def run(
    name: str,
    options_of: type[Options],
    measure: Callable[[Options], dict[str, Any]],
    shown: Callable[[dict[str, Any]], Any],
    arguments: Sequence[str] | None,
) -> None:
    """The command `python -m benchmarks.NAME`: measures, prints the table and keeps the result.
    Its settings have "work" and "size"."""
    with reporting.sentences(name):
        options = reporting.parse(options_of, name, arguments)
        result = measure(options)
        if "ratio" in result:
            say(f"ours / PyTorch: time {result['ratio']}")
        settings = result["settings"]
        parts = [name, settings["work"], str(settings["size"])]
        parts += [options.dtype] if options.dtype != "float32" else []
        reporting.report(
            "-".join(parts),
            result,
            [shown(result)],
            as_json=options.json,
            keep=options.save,
            arguments=arguments,
        )
