"""How quickly the studio answers, idle and while a training runs.

    python -m benchmarks.studio --data out/demo/datasets/ben [--rounds 40] [--json] [--save]

A studio is started on a new folder: from the start of its process to the first page. Then each page
and each action is asked for --rounds times, one after another; first idle, then again while its
queue trains the config demo on the dataset, once the steps go. Times are those of a program that
asks by HTTP; a browser's drawing comes besides.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reporting import machine, markdown, parse, percentile, report, sentences, table
from motion_jax.errors import UserError
from motion_jax.jobs import book
from motion_jax.jobs.record import summary
from motion_jax.progress import say
from motion_jax.studio.library import new_project

PAGES = ("/", "/film", "/learn", "/dance", "/live", "/more/compare", "/jobs", "/state")
PATIENCE = 900.0
COLUMNS = {
    "what": "what",
    "idle_p50": "idle, p50 ms",
    "idle_p95": "idle, p95",
    "training_p50": "while it trains, p50 ms",
    "training_p95": "while it trains, p95",
}


@dataclass(frozen=True)
class Options:
    """The studio's answers, idle and beside a training."""

    data: Path
    """Dataset folder of 128x128, for instance the demo's."""
    rounds: int = 40
    """How often each page and action is asked for."""
    json: bool = False
    """Print the result as JSON."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def main(arguments: Sequence[str] | None = None) -> None:
    with sentences("studio"):
        options = parse(Options, "studio", arguments)
        result = measure(options)
        title = f"first page {result['first_page_s']:.2f} s after the start"
        report(
            "studio", result, [table(result["rows"], COLUMNS, title)],
            as_json=options.json, keep=options.save,
        )  # fmt: skip


def measure(options: Options) -> dict[str, Any]:
    """Raises UserError where there is no dataset."""
    if not (options.data / "metadata.json").is_file():
        raise UserError(f"There is no dataset in {options.data}; make demo makes one.")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        library = new_project(root, "Benchmark")
        person = library.new("datasets", "Ben")
        person.path.symlink_to(options.data.resolve())
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        place = f"http://127.0.0.1:{port}/p/{library.id}"
        words = ["studio", "--no-browser", "--port", str(port), "--projects", folder]
        begun = time.monotonic()
        server = subprocess.Popen([sys.executable, "-m", "motion_jax.cli", *words])
        try:
            _until(lambda: _answers(place + "/"))
            first = time.monotonic() - begun
            idle = _rounds(place, person.ref, options.rounds)
            say("Now beside a training; it compiles first …")
            asked = {"values": {"data": person.ref}, "first": ["demo"]}
            _post(place + "/do/train", asked)
            job = book.of_root(root)[-1]
            _until(lambda: bool(summary(job.events).step))
            training = _rounds(place, person.ref, options.rounds)
        finally:
            for job in book.of_root(root):
                book.ask_to_stop(job)
                book.ask_to_stop(job)
                book.ask_to_stop(job)
            _until(lambda: all(job.is_over for job in book.of_root(root)))
            server.send_signal(signal.SIGINT)
            server.wait()
    rows = [
        {"what": what, **_times("idle", idle[what]), **_times("training", training[what])}
        for what in idle
    ]
    return {"machine": machine(), "cores": os.cpu_count(), "first_page_s": first, "rows": rows}


def section(result: dict[str, Any]) -> str:
    """Markdown for docs/performance.md."""
    return (
        f"The first page comes {result['first_page_s']:.2f} s after the command was given. Answers "
        "by HTTP, without a browser's drawing, on an idle machine and beside a training of the "
        "config `demo` on the same cores.\n\n" + markdown(result["rows"], COLUMNS)
    )


def _rounds(place: str, person: str, rounds: int) -> dict[str, list[float]]:
    """Seconds by what was asked for."""
    asked: dict[str, Callable[[], Any]] = {
        f"GET {page}": (lambda page=page: _get(place + page)) for page in PAGES
    }
    asked["rename"] = lambda: _post(place + "/rename", {"item": person, "name": "Ben"})
    found: dict[str, list[float]] = {what: [] for what in asked}
    for _ in range(rounds):
        for what, ask in asked.items():
            begun = time.perf_counter()
            ask()
            found[what].append(time.perf_counter() - begun)
    return found


def _times(name: str, seconds: list[float]) -> dict[str, float]:
    return {f"{name}_p{at}": round(1000 * percentile(seconds, at / 100), 1) for at in (50, 95)}


def _until(what: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not what():
        if time.monotonic() > ends:
            raise UserError("The studio or its job did not get there in 15 minutes.")
        time.sleep(0.02)


def _answers(address: str) -> bool:
    try:
        _get(address)
    except OSError:
        return False
    return True


def _get(address: str) -> bytes:
    request = urllib.request.Request(address, headers={"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        data: bytes = answer.read()
    return data


def _post(address: str, body: dict[str, Any]) -> None:
    kind = {"Content-Type": "application/json"}
    request = urllib.request.Request(address, json.dumps(body).encode(), kind)
    urllib.request.urlopen(request, timeout=60).close()


if __name__ == "__main__":
    main()
