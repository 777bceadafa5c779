"""What every benchmark needs: options, timing, tables, and results that say where they come from.

A benchmark module NAME has a dataclass of options with `json` and `save`, and

    def main(arguments: Sequence[str] | None = None) -> None:
        with sentences("NAME"):
            options = parse(Options, "NAME", arguments)
            result = measure(options)
            report(
                "NAME", result, [table(rows, columns)], as_json=options.json, keep=options.save
            )

or, where one table shows it, `in_one_table("NAME", Options, measure, COLUMNS, arguments)` alone.

Nothing heavy is imported here, so that --help is quick and worker processes start small.
"""

import contextlib
import datetime
import functools
import importlib.metadata
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motion_jax.errors import UserError, worded
from motion_jax.events import watched

if TYPE_CHECKING:
    from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"

# What the figures depend on; those that are not installed are left out.
PACKAGES = (
    "jax",
    "jaxlib",
    "jax-cuda13-plugin",
    "libtpu",
    "flax",
    "optax",
    "grain",
    "torch",
    "numpy",
    "opencv-python",
    "av",
)
# Instruction sets that decide a CPU's speed at matrix products.
_CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16")


@contextlib.contextmanager
def sentences(name: str) -> Iterator[None]:
    """Shows what happens on the terminal, as motion-jax does; prints a UserError as one sentence
    and ends with status 2."""
    from motion_jax.cli.terminal import Terminal

    try:
        with watched(Terminal()):
            yield
    except UserError as error:
        sys.stdout.flush()
        print(f"benchmarks.{name}: error: {worded(error.marked)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output went away (`… | head`).
        sys.stderr.close()
        sys.exit(141)


def parse(kind: type, name: str, arguments: Sequence[str] | None = None) -> Any:
    """The options (a dataclass) from the command line; its docstring is the help text."""
    import tyro

    return tyro.cli(kind, prog=f"python -m benchmarks.{name}", args=arguments)


def report(
    name: str,
    result: dict[str, Any],
    tables: Sequence["Table"] = (),
    *,
    as_json: bool,
    keep: bool,
    arguments: Sequence[str] | None = None,
) -> None:
    """Prints the tables, or with as_json the result object alone; with `keep` also saves it.

    arguments: those of main(), where it was called with some instead of by the command line.
    """
    if keep:
        path = save(name, result, arguments=arguments)
        print(f"Saved to {path.relative_to(ROOT)}", file=sys.stderr)
    if as_json:
        print(json.dumps(result, indent=2))
        return
    from rich.console import Console

    console = Console(highlight=False)
    for each in tables:
        console.print(each)


@contextlib.contextmanager
def place_to_work(keep: Path | None) -> Iterator[Path]:
    """A folder that stays, made where it is not there; None: one that goes afterwards."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def in_one_table(
    name: str,
    kind: type,
    measure: Callable[[Any], dict[str, Any]],
    columns: Mapping[str, str],
    arguments: Sequence[str] | None = None,
    rows: str = "rows",
) -> None:
    """The whole of a benchmark whose result is shown as one table.

    Args:
      kind: its options; measure: gives the result for them.
      rows: the name of the table's rows in the result.
    """
    with sentences(name):
        options = parse(kind, name, arguments)
        result = measure(options)
        report(
            name,
            result,
            [table(result[rows], columns)],
            as_json=options.json,
            keep=options.save,
            arguments=arguments,
        )


def save(name: str, result: dict[str, Any], *, arguments: Sequence[str] | None = None) -> Path:
    """Writes results/NAME.json: the result with machine, versions, commit, command and date.

    A result may bring its own `machine` or `versions` entries (of another process or
    machine), which are laid over the ones found here. `name` may be longer than the module's, to
    keep several results of one benchmark: train_step-256-64.
    """
    from motion_jax.files import write_json

    path = RESULTS / f"{name}.json"
    origin = {
        "benchmark": name,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "command": command(arguments),
        "machine": machine() | result.get("machine", {}),
        "versions": versions() | result.get("versions", {}),
    }
    rest = {key: value for key, value in result.items() if key not in ("machine", "versions")}
    write_json(path, origin | rest)
    return path


def load(name: str) -> dict[str, Any] | None:
    """A saved result, or None where there is none."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else None


def command(arguments: Sequence[str] | None = None) -> str:
    """The command line to repeat this, as one would type it.

    Places outside the repository are another machine's business: of an absolute path only the last
    part is kept.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    shown = []
    for word in words:
        option, equals, value = word.partition("=")
        if equals and value.startswith("/"):
            shown.append(f"{option}=…/{Path(value).name}")
        else:
            shown.append(f"…/{Path(word).name}" if word.startswith("/") else shlex.quote(word))
    return " ".join([f"python -m benchmarks.{Path(sys.argv[0]).stem}", *shown])


@functools.cache
def machine() -> dict[str, Any]:
    """{cpu, cpu_features, cores, memory_gb, accelerator, system}; accelerator is None without one.

    cores: those that this process may use. The accelerator is asked for without starting JAX, which
    would take its memory.
    """
    model, flags, memory = platform.processor() or platform.machine(), set(), None
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            field, _, value = line.partition(":")
            if field.strip() == "model name":
                model = value.strip()
            elif field.strip() == "flags":
                flags = set(value.split())
    with contextlib.suppress(ValueError, OSError, AttributeError):
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    return {
        "cpu": model,
        "cpu_features": [flag for flag in _CPU_FLAGS if flag in flags],
        "cores": cores,
        "memory_gb": memory,
        "accelerator": _accelerator(),
        "system": platform.system(),
    }


def _accelerator() -> str | None:
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout.split("\n")
    except (OSError, subprocess.SubprocessError):
        # The variable alone is no TPU: compiling for one sets it as well.
        there = any(Path("/dev").glob("accel*")) or any(Path("/dev/vfio").glob("[0-9]*"))
        return os.environ.get("TPU_ACCELERATOR_TYPE") if there else None
    cards = [line.split(",") for line in listed if line.strip()]
    if not cards:
        return None
    name, driver = (part.strip() for part in cards[0])
    return f"{len(cards)} x {name}, driver {driver}"


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python, motion_jax and the packages that decide speed, as far as installed."""
    from motion_jax import __version__

    found = {"python": platform.python_version(), "motion_jax": __version__}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


@functools.cache
def commit() -> str:
    """The commit that is measured, with "+ changes" where the code differs from it; "unknown"
    outside a git checkout."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
        ).stdout.strip()

    try:
        short = git("rev-parse", "--short=12", "HEAD")
        changed = git("status", "--porcelain", "--", "motion_jax", "benchmarks/*.py", "configs")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{short} + changes" if changed else short


def summary(samples: Sequence[float]) -> dict[str, Any]:
    """{median, min, max, samples} of repeated measurements, to five significant digits."""
    digits = [float(f"{value:.5g}") for value in samples]
    return {
        "median": float(f"{statistics.median(samples):.5g}"),
        "min": min(digits),
        "max": max(digits),
        "samples": digits,
    }


def percentile(samples: Sequence[float], share: float) -> float:
    """The value below which `share` (0...1) of the samples lie, interpolated linearly."""
    ordered = sorted(samples)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def table(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], title: str | None = None
) -> "Table":
    """A table for the terminal. columns: key of a row -> heading; absent values stay empty."""
    from rich.table import Table

    made = Table(title=title, title_justify="left")
    for key, heading in columns.items():
        numeric = all(isinstance(row.get(key), int | float | None) for row in rows)
        made.add_column(heading, justify="right" if numeric else "left")
    for row in rows:
        made.add_row(*(shown(row.get(key)) for key in columns))
    return made


def markdown(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    """The same table in Markdown, for docs/performance.md."""
    lines = [
        "| " + " | ".join(columns.values()) + " |",
        "|" + " --- |" * len(columns),
        *("| " + " | ".join(shown(row.get(key)) for key in columns) + " |" for row in rows),
    ]
    return "\n".join(lines)


def shown(value: Any) -> str:
    """A cell: three significant digits for fractions, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)
