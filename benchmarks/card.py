"""Everything that only a card can tell, in a few minutes, most important first.

    python -m benchmarks.card --minutes 8 --out DIR [--data DATASET]

Each part is a process of its own (card_parts.py) and leaves a file in DIR when it is done. The
program stops by itself before its time is over; given the same DIR again, it goes on where it was.
It needs jax with CUDA and this repository; PyTorch where it is installed. PyTorch's parts are run
once on a machine and kept. Nothing is downloaded, and MediaPipe is not needed.
"""

import contextlib
import hashlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import reporting
from motion_jax.errors import UserError
from motion_jax.files import cache_folder, write_json, write_text
from motion_jax.progress import say

# Seconds that ending and reporting take.
RESERVE = 8.0
# How often a part that failed is tried.
TRIES = 2


@dataclass(frozen=True)
class Options:
    """Measure the card of this machine: the training step against PyTorch, synthesis, where the
    time goes, parity, reading, and a short training. Stops by itself; goes on when called again."""

    out: Path
    """Folder for the parts' results."""
    minutes: float = 8.0
    """Time that it may take."""
    data: Path | None = None
    """Dataset of 256x256, as motion-jax prepare or import-data makes it, for the short training;
    without it that part is left out."""
    torch_python: str = sys.executable
    """The interpreter of an environment with torch and numpy."""
    tiny: bool = False
    """Tiny networks, on whatever device jax has: to try the program, not to measure."""
    save: bool = False
    """Keep the result in benchmarks/results/ too."""


@dataclass(frozen=True)
class Part:
    """One thing to measure.

    Attributes:
      name: of its file.
      seconds: that it usually takes; it is not begun with less.
      words: of the command; it writes the file OUT that is the last of them.
      beside: runs beside the next parts, from the beginning (compiling).
      kept: once on a machine is enough.
    """

    name: str
    seconds: float
    words: tuple[str, ...]
    beside: bool = False
    kept: bool = False


def parts_of(options: Options) -> list[Part]:
    """All parts, the most important first."""
    tiny = ("--tiny",) if options.tiny else ()

    def ours(name: str, seconds: float, *words: str) -> Part:
        return Part(name, seconds, (sys.executable, *_PARTS, name, *words, *tiny))

    def torch(name: str, seconds: float, **more: bool) -> Part:
        named = ("--torch-python", options.torch_python)
        return Part(name, seconds, (sys.executable, *_PARTS, name, *named, *tiny), **more)

    found = [
        torch("torch-compile-prepared-global", 150, beside=True, kept=True),
        torch("torch-compile-prepared-local", 150, beside=True, kept=True),
        ours("parity-float32", 40),
        ours("parity-bfloat16", 40),
        ours("step-global", 90),
        torch("torch-eager-global", 40, kept=True),
        ours("step-local", 110),
        torch("torch-eager-local", 45, kept=True),
        ours("profile-global", 60),
        ours("synthesis-local", 60),
        torch("torch-synthesis-local", 30, kept=True),
        ours("photo", 60),
        torch("torch-compile-global", 60, kept=True),
        torch("torch-compile-local", 60, kept=True),
        ours("profile-local", 80),
        ours("loader", 40),
    ]
    if options.data is not None:
        found.append(ours("small", 190, "--data", str(options.data)))
    return found


_PARTS = ("-m", "benchmarks.card_parts")


def carry_out(
    parts: Sequence[Part],
    out: Path,
    seconds: float,
    kept: Path,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, str]:
    """Runs the parts in their order until the time is over.

    Args:
      out: where NAME.json of each part is, or will be.
      seconds: that may pass. kept: folder of what is kept for this machine.
    Returns:
      {part: what became of it}: "done", "done before", "kept from before", "left for the next
      time", or "failed: why".
    """
    deadline = clock() + seconds - RESERVE
    states: dict[str, str] = {}
    with contextlib.ExitStack() as beside:
        for part in sorted(parts, key=lambda part: not part.beside):
            file = out / f"{part.name}.json"
            if file.is_file():
                states[part.name] = "done before"
                continue
            if part.kept and (kept / file.name).is_file():
                write_text(file, (kept / file.name).read_text())
                states[part.name] = "kept from before"
                continue
            if _failures(out, part) >= TRIES:
                states[part.name] = f"failed: {_last_words(out, part)}"
                continue
            if part.beside:
                beside.enter_context(_running(part, out))
                states[part.name] = "left for the next time"
                continue
            left = deadline - clock()
            if left < part.seconds:
                states[part.name] = "left for the next time"
                continue
            say(f"{part.name} … ({left:.0f} s left)")
            states[part.name] = _run(part, out, left)
        for part in parts:
            if part.beside and (out / f"{part.name}.json").is_file():
                states[part.name] = "done"
    for part in parts:
        file = out / f"{part.name}.json"
        if part.kept and file.is_file() and not (kept / file.name).is_file():
            write_text(kept / file.name, file.read_text())
    return states


def _run(part: Part, out: Path, seconds: float) -> str:
    """Runs a part for at most so many seconds; says what became of it."""
    with _running(part, out) as process:
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return "left for the next time"
    if process.returncode == 0 and (out / f"{part.name}.json").is_file():
        return "done"
    write_text(out / f"{part.name}.failed", f"{_failures(out, part) + 1}\n")
    return f"failed: {_last_words(out, part)}"


@contextlib.contextmanager
def _running(part: Part, out: Path) -> Iterator[subprocess.Popen]:
    """A part's process; at the end of the block it and all that it started are ended."""
    with (out / f"{part.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*part.words, "--out", str(out / f"{part.name}.json")],
            cwd=reporting.ROOT,
            env=os.environ | _environment(out),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _environment(out: Path) -> dict[str, str]:
    """Compiled programs are kept, so that what was cut short is quicker the next time; several
    processes share the card."""
    wanted = {
        "JAX_COMPILATION_CACHE_DIR": str(out / "compiled"),
        "TORCHINDUCTOR_CACHE_DIR": str(out / "inductor"),
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    return {name: value for name, value in wanted.items() if name not in os.environ}


def _failures(out: Path, part: Part) -> int:
    file = out / f"{part.name}.failed"
    return int(file.read_text()) if file.is_file() else 0


def _last_words(out: Path, part: Part) -> str:
    log = out / f"{part.name}.log"
    lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
    return lines[-1][:200] if lines else "it said nothing"


# --- the result ---------------------------------------------------------------------------------


def gathered(parts: Sequence[Part], out: Path, states: Mapping[str, str]) -> dict[str, Any]:
    """{device, parts: {name: result}, states, ratios: {name: ours / PyTorch's}}."""
    found = {}
    for part in parts:
        file = out / f"{part.name}.json"
        if file.is_file():
            found[part.name] = json.loads(file.read_text())
    device = next((each["device"] for each in found.values() if each.get("device")), None)
    return {
        "device": device,
        "states": dict(states),
        "ratios": ratios(found),
        "parts": found,
    }


def ratios(found: Mapping[str, Any]) -> dict[str, float]:
    """Time ours / PyTorch's, where both are there: below 1 is better."""
    pairs = {
        f"step, {stage}, against {mode}": (f"step-{stage}", f"torch-{mode}-{stage}")
        for stage in ("global", "local")
        for mode in ("eager", "compile")
    } | {"synthesis, local, against eager": ("synthesis-local", "torch-synthesis-local")}
    return {
        what: _ratio(found[ours], found[theirs])
        for what, (ours, theirs) in pairs.items()
        if ours in found and theirs in found
    }


def _ratio(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> float:
    return float(f"{ours['seconds']['median'] / theirs['seconds']['median']:.3g}")


# What a person is shown of a part: (key of its result, or two, what it is called).
SHOWN = (
    ("passed", "passed"), ("worst", "worst difference"), ("seconds", "seconds"),
    ("images_per_second", "pictures/s"), ("mfu", "MFU"), ("peak_gb", "peak GB"),
    ("first_call_s", "first call s"), ("first_call_cached_s", "first call from the cache s"),
    ("p50_ms", "p50 ms"), ("p95_ms", "p95 ms"), ("psnr", "held-out PSNR"), ("steps", "steps"),
)  # fmt: skip


def rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a part."""
    made = []
    for name, state in result["states"].items():
        part = result["parts"].get(name, {})
        words = []
        for key, title in SHOWN:
            value = part.get(key)
            value = value["median"] if isinstance(value, Mapping) else value
            if value is not None:
                words.append(f"{title} {reporting.shown(value)}")
        made.append({"part": name, "state": state, "found": ", ".join(words)})
    return made


def machine_key() -> str:
    """A folder's name for what is kept: of this machine and its card."""
    card = reporting.machine()["accelerator"] or "none"
    return hashlib.sha256(f"{platform.node()} {card}".encode()).hexdigest()[:12]


def measure(options: Options) -> dict[str, Any]:
    """Raises UserError for senseless options."""
    if options.minutes * 60 <= RESERVE:
        raise UserError(f"--minutes {options.minutes:g} leaves no time to measure; give 1 or more.")
    begun = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    parts = parts_of(options)
    kept = options.out if options.tiny else cache_folder() / "card" / machine_key()
    states = carry_out(parts, options.out, options.minutes * 60, kept)
    result = gathered(parts, options.out, states)
    name = re.sub(r"\W+", "-", str(result["device"] or "unknown").lower()).strip("-")
    write_json(options.out / f"card-{name}.json", result)
    say(f"{time.monotonic() - begun:.0f} s; all results in {options.out}")
    return result | {"name": f"card-{name}"}


def section(result: Mapping[str, Any]) -> str:
    """Markdown for docs/performance.md."""
    lines = [f"### {result['device']}", ""]
    lines.append(reporting.markdown(rows(result), {"part": "part", "found": "found"}))
    if result["ratios"]:
        shown = [{"what": what, "ratio": value} for what, value in result["ratios"].items()]
        lines += ["", reporting.markdown(shown, {"what": "time", "ratio": "ours / PyTorch"})]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one table and keeps the results."""
    with reporting.sentences("card"):
        options = reporting.parse(Options, "card", arguments)
        result = measure(options)
        name = result.pop("name")
        table = reporting.table(
            rows(result), {"part": "part", "state": "state", "found": "found"}, result["device"]
        )
        for what, value in result["ratios"].items():
            say(f"{what}: {value} of PyTorch's time")
        reporting.report(
            name, result, [table], as_json=False, keep=options.save, arguments=arguments
        )


if __name__ == "__main__":
    main()
