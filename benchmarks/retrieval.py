"""Exact nearest neighbours: ours beside FAISS's flat index, in turns, on the same rows.

    python -m benchmarks.retrieval --faiss-python ../faiss/bin/python

Both are given float32 rows in memory and return the k nearest of every query. FAISS has the rows
added to its index beforehand; ours hands them to the device each time. Where the indices differ,
both distances are computed in double precision.
"""

import contextlib
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.reporting import markdown, parse, report, sentences, summary, table
from benchmarks.workers import Worker, WorkerError
from motion_jax.errors import UserError

SIDES = {"ours": "motion_jax.retrieval.search.flat", "faiss": "FAISS IndexFlatL2"}
COLUMNS = {
    "side": "",
    "median_s": "median s",
    "min_s": "least s",
    "max_s": "most s",
    "first_s": "first call s",
    "peak_gb": "peak memory GB",
}


@dataclass(frozen=True)
class Options:
    """k nearest neighbours of every query, ours beside FAISS's flat index, in turns."""

    rows: int = 1_000_000
    """Rows of the database: poses to choose from."""
    queries: int = 1000
    """Poses to find."""
    dimensions: int = 50
    """Numbers in a row: x and y of 25 joints."""
    k: int = 7
    """Nearest rows to find for each query."""
    data: Literal["random", "poses"] = "random"
    """Standard normal numbers, or 2,000 poses with small changes."""
    faiss_python: str | None = None
    """Interpreter of an environment with faiss-cpu and numpy; without, ours alone is measured."""
    repeats: int = 7
    """Turns of each side; the medians count."""
    json: bool = False
    """Print the result as JSON, alone."""
    save: bool = False
    """Keep the result in benchmarks/results/, for docs/performance.md."""


def measure(options: Options) -> dict[str, Any]:
    """The result; see `main`. Raises UserError where a side cannot be measured."""
    for name in ("rows", "queries", "dimensions", "k", "repeats"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name} must be at least 1.")
    if options.k > options.rows:
        raise UserError(f"--k {options.k} is more than the {options.rows} rows there are.")
    names = ("rows", "queries", "dimensions", "k", "data")
    setup = {name: getattr(options, name) for name in names}
    sides = ["ours"]
    if options.faiss_python:
        _check(options.faiss_python)
        sides.append("faiss")
    try:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            workers = {
                side: stack.enter_context(
                    Worker(
                        side,
                        "benchmarks.search_worker",
                        setup | {"side": side},
                        **({"python": options.faiss_python} if side == "faiss" else {}),
                    )
                )
                for side in sides
            }
            first = {side: worker.ask("run")["seconds"] for side, worker in workers.items()}
            taken: dict[str, list[float]] = {side: [] for side in sides}
            for _ in range(options.repeats):
                for side, worker in workers.items():
                    taken[side].append(worker.ask("run")["seconds"])
            memory = {side: worker.ask("memory") for side, worker in workers.items()}
            described = {side: worker.ask("describe") for side, worker in workers.items()}
            for side, worker in workers.items():
                worker.ask("keep", path=str(folder / f"{side}.npy"))
            agreement = _agreement(setup, folder) if options.faiss_python else {}
    except WorkerError as error:
        raise UserError(f"The search could not be measured: {error}.") from error
    result = setup | {
        "sides": {
            side: summary(taken[side])
            | {"first_s": float(f"{first[side]:.3g}"), "peak_gb": memory[side].get("peak_gb")}
            | described[side]
            for side in sides
        },
        **agreement,
    }
    if options.faiss_python:
        medians = [result["sides"][side]["median"] for side in ("faiss", "ours")]
        result["times_as_fast"] = float(f"{medians[0] / medians[1]:.3g}")
        result["versions"] = {"faiss-cpu": described["faiss"]["version"]}
    return result


def _check(python: str) -> None:
    words = [python, "-c", "import faiss, numpy"]
    try:
        found = subprocess.run(words, capture_output=True, text=True, timeout=300)
    except OSError as error:
        raise UserError(f"--faiss-python {python} cannot be run ({error.strerror}).") from error
    if found.returncode:
        raise UserError(
            f"--faiss-python {python} cannot import faiss and numpy; install faiss-cpu there."
        )


def _agreement(setup: dict[str, Any], folder: Path) -> dict[str, Any]:
    """How many of the indices are the same; of the others, how many are farther than FAISS's."""
    import numpy as np

    from benchmarks.search_worker import data

    ours, theirs = (np.load(folder / f"{side}.npy") for side in SIDES)
    database, queries = data(setup)
    farther = 0
    for query, place in zip(*np.nonzero(ours != theirs), strict=True):
        asked = queries[query].astype(np.float64)
        a, b = (
            float(np.square(asked - database[found[query, place]]).sum())
            for found in (ours, theirs)
        )
        farther += a > b
    return {
        "indices": int(ours.size),
        "different": int((ours != theirs).sum()),
        "different_and_farther": int(farther),
    }


def rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """For the table and the page."""
    return [
        {
            "side": SIDES[side] + (f", {values['threads']} threads" if values["threads"] else ""),
            "median_s": values["median"],
            "min_s": values["min"],
            "max_s": values["max"],
            "first_s": values["first_s"],
            "peak_gb": values["peak_gb"],
        }
        for side, values in result["sides"].items()
    ]


def section(result: dict[str, Any]) -> str:
    """Markdown for docs/performance.md."""
    kind = "standard normal numbers" if result["data"] == "random" else "2,000 poses with changes"
    text = (
        f"The {result['k']} nearest of {result['rows']:,} poses for each of {result['queries']:,} "
        f"({result['dimensions']} numbers a pose; {kind}), exact."
    )
    if "times_as_fast" in result:
        text += (
            f" Ours is **{result['times_as_fast']:.2g} times as fast** as FAISS's flat index; "
            f"{result['indices'] - result['different']:,} of {result['indices']:,} indices are the "
            "same"
        )
        text += (
            f", and of the others {result['different_and_farther']} are farther away than FAISS's, "
            "measured in double precision."
            if result["different"]
            else "."
        )
    return text + "\n\n" + markdown(rows(result), COLUMNS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints and keeps {"sides": {…}, "times_as_fast", "different", …}."""
    with sentences("retrieval"):
        options = parse(Options, "retrieval", arguments)
        result = measure(options)
        report(
            "retrieval" if options.data == "random" else f"retrieval-{options.data}",
            result,
            [table(rows(result), COLUMNS)],
            as_json=options.json,
            keep=options.save,
            arguments=arguments,
        )


if __name__ == "__main__":
    main()
