"""Ours and PyTorch's, side by side: two processes, each alive with its network, in turns.

Shared by train_step and synthesis.
"""

import contextlib
import os
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from benchmarks import reporting
from benchmarks.workers import Worker, WorkerError, has_torch
from motion_jax.errors import UserError
from motion_jax.progress import say

BLOCKS = 9  # of the reference's generator, at its lowest resolution
DOWNSAMPLINGS = 4
LOCAL_BLOCKS = 3


@dataclass(frozen=True)
class PairOptions:
    """What is measured, and against what."""

    size: int = 256
    """Height and width of the pictures in pixels."""
    height: int | None = None
    """Height in pixels, where it is not --size."""
    width: int | None = None
    """Width in pixels, where it is not --size."""
    filters: int = 64
    """Channels of the generator (ngf) and of the discriminator (ndf) at the full resolution; in the
    local stage ngf is that of the global part, the enhancer has half."""
    blocks: int = BLOCKS
    """Residual blocks of the generator."""
    downsamplings: int | None = None
    """Halvings of the generator: 4 as the reference, or as many as the size allows."""
    stage: Literal["global", "local"] = "global"
    """global: a GlobalGenerator and two discriminator scales; local: a LocalEnhancer and three."""
    batch: int = 1
    """Windows of two frames a step."""
    against: Literal["torch", "none"] = "torch"
    """torch: beside the PyTorch counterpart; none: ours alone."""
    torch_python: str = sys.executable
    """The interpreter of an environment with torch and numpy (default: this one)."""
    torch_mode: Literal["eager", "amp", "compile"] | None = None
    """eager: float32 as published; amp: bfloat16 autocast; compile: torch.compile, channels-last
    and bfloat16 autocast. Default: eager for float32, amp for bfloat16."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where both run."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of our convolutions."""
    repeats: int = 5
    """Turns of each process."""
    warmup: int = 2
    """Calls of each process before the first turn; the first of them compiles."""
    json: bool = False
    """Print the result object alone, as JSON."""
    save: bool = False
    """Keep the result in benchmarks/results/, for docs/performance.md."""


def setup_of(options: PairOptions, work: str) -> dict[str, Any]:
    """What the worker of our side builds from; {"description"} in it is for the other one.

    Raises UserError for a size that no such generator takes.
    """
    height, width = options.height or options.size, options.width or options.size
    enhancers = 1 if options.stage == "local" else 0
    downsamplings = options.downsamplings
    if downsamplings is None:
        fitting = (n for n in range(DOWNSAMPLINGS, 0, -1) if _fits(height, width, n + enhancers))
        downsamplings = next(fitting, 0)
    if downsamplings < 1 or not _fits(height, width, downsamplings + enhancers):
        raise UserError(
            f"A generator cannot halve {width}x{height} pictures so often; give a --size of at "
            "least 32 that is divisible by 16 (32 in the local stage), or fewer --downsamplings."
        )
    if options.repeats < 1 or options.batch < 1 or options.warmup < 1:
        raise UserError("--repeats, --batch and --warmup must be at least 1.")
    scales = 3 if enhancers else 2
    if enhancers:
        generator = {
            "class": "LocalEnhancer",
            "ngf": options.filters // 2,
            "n_downsample_global": downsamplings,
            "n_blocks_global": options.blocks,
            "n_local_enhancers": enhancers,
            "n_blocks_local": LOCAL_BLOCKS,
        }
    else:
        generator = {
            "class": "GlobalGenerator",
            "ngf": options.filters,
            "n_downsampling": downsamplings,
            "n_blocks": options.blocks,
        }
    discriminator = {"class": "MultiscaleDiscriminator", "ndf": options.filters, "num_D": scales}
    return {
        "work": work,
        "stage": options.stage,
        "height": height,
        "width": width,
        "batch": options.batch,
        "filters": options.filters,
        "blocks": options.blocks,
        "downsamplings": downsamplings,
        "scales": scales,
        "dtype": options.dtype,
        "device": options.device,
        "description": {"generator": generator, "discriminator": discriminator},
        "mode": torch_mode(options),
    }


def _fits(height: int, width: int, halvings: int) -> bool:
    """Reflection padding needs two rows at the lowest resolution."""
    multiple = 2**halvings
    return all(side % multiple == 0 and side >= 2 * multiple for side in (height, width))


def torch_mode(options: PairOptions) -> str:
    return options.torch_mode or ("eager" if options.dtype == "float32" else "amp")


@contextlib.contextmanager
def sides(options: PairOptions, setup: Mapping[str, Any]) -> Iterator[dict[str, Worker]]:
    """The workers by side ("ours", "torch"), warmed up and waiting.

    Raises UserError where torch is absent or a worker fails.
    """
    if options.against == "torch" and not has_torch(options.torch_python):
        raise UserError(
            f"There is no PyTorch in {options.torch_python} to measure against; name an "
            "interpreter of an environment that has torch and numpy with --torch-python, or "
            "measure ours alone with --against none."
        )
    with contextlib.ExitStack() as stack:
        try:
            workers = {
                "ours": stack.enter_context(
                    Worker("JAX", "benchmarks.jax_worker", setup, environment=_environment(options))
                )
            }
            if options.against == "torch":
                workers["torch"] = stack.enter_context(
                    Worker("PyTorch", "benchmarks.torch_worker", setup, options.torch_python)
                )
            yield workers
        except WorkerError as error:
            raise UserError(f"The benchmark stopped because {error} (see above).") from error


def _environment(options: PairOptions) -> dict[str, str]:
    from motion_jax.files import cache_folder

    defaults = {
        "JAX_COMPILATION_CACHE_DIR": str(cache_folder() / "xla"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # Two processes share the card.
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    chosen = {name: value for name, value in defaults.items() if name not in os.environ}
    return chosen | {"JAX_PLATFORMS": options.device}


def warm_up(
    workers: Mapping[str, Worker], counts: Sequence[int], calls: int
) -> tuple[dict[str, float], dict[str, float | None]]:
    """By side: seconds of the first call, which compiles, and the process's peak memory so far in
    GB; a new peak begins after it. counts: the kinds of calls that will be made.
    """
    first, peaks = {}, {}
    for side, worker in workers.items():
        say(f"Warming up {worker.name} (the first call compiles) …")
        seconds = [worker.ask("run", count=c, repeats=calls)["seconds"] for c in counts]
        first[side] = seconds[0][0]
        peaks[side] = worker.ask("memory").get("peak_gb")
        worker.ask("forget")
    return first, peaks


def turns(
    workers: Mapping[str, Worker], turns: int, count: int, repeats: int = 1
) -> dict[str, list[float]]:
    """Seconds a step or frame by side: `repeats` calls of `count` in every turn, sides in turn."""
    seconds: dict[str, list[float]] = {side: [] for side in workers}
    for turn in range(turns):
        for side, worker in workers.items():
            found = worker.ask("run", count=count, repeats=repeats)["seconds"]
            seconds[side] += [value / count for value in found]
        latest = ", ".join(f"{side} {values[-1]:.4g} s" for side, values in seconds.items())
        say(f"Turn {turn + 1} of {turns}: {latest}")
    return seconds


def memory(
    workers: Mapping[str, Worker], peak_before: Mapping[str, float | None]
) -> dict[str, dict[str, float | None]]:
    """Peak memory in GB by side. peak_gb: of the card, or on a CPU of the process since its start
    (compiling included); host_steps_peak_gb: of the process since the warm-up."""
    found = {}
    for side, worker in workers.items():
        steps, device = worker.ask("memory").get("peak_gb"), worker.ask("device_memory")
        peaks = [value for value in (peak_before[side], steps) if value is not None]
        host = max(peaks, default=None)
        found[side] = {
            "peak_gb": device.get("peak_gb", host),
            "host_peak_gb": host,
            "host_steps_peak_gb": steps,
        }
    return found


def result_of(
    options: PairOptions,
    setup: Mapping[str, Any],
    seconds: Mapping[str, list[float]],
    peaks: Mapping[str, dict[str, float | None]],
    first: Mapping[str, float],
    described: Mapping[str, dict[str, Any]],
) -> dict[str, Any]:
    """The flat figures that a reader asks for first, then the details of each side."""
    medians = {side: statistics.median(values) for side, values in seconds.items()}
    result: dict[str, Any] = {f"{side}_s": _short(value) for side, value in medians.items()}
    if "torch" in medians:
        result["ratio"] = _short(medians["ours"] / medians["torch"])
    for side, found in peaks.items():
        result[f"{side}_peak_gb"] = _short(found["peak_gb"])
    if "torch" in peaks and peaks["torch"]["peak_gb"] and peaks["ours"]["peak_gb"]:
        result["peak_ratio"] = _short(peaks["ours"]["peak_gb"] / peaks["torch"]["peak_gb"])
    kept = ("stage", "height", "width", "batch", "filters", "blocks", "downsamplings", "scales")
    result["settings"] = {key: setup[key] for key in kept} | {
        "device": options.device,
        "ours": options.dtype,
        "torch": setup["mode"] if "torch" in seconds else None,
    }
    result["gflop"] = _short(described["ours"]["gflop"])
    for side, values in seconds.items():
        above = described[side].get("after_imports_gb")
        host = peaks[side]["host_peak_gb"]
        result[side] = reporting.summary(values) | {
            "first_call_s": _short(first[side]),
            "after_imports_gb": _short(above),
            "peak_above_imports_gb": _short(host - above) if host and above else None,
            "host_peak_gb": _short(host),
            "host_steps_peak_gb": _short(peaks[side]["host_steps_peak_gb"]),
            "device": described[side]["device"],
        }
    result["versions"] = described.get("torch", {}).get("versions", {})
    return result


def utilisation(
    result: dict[str, Any], options: PairOptions, images: int, chip_name: str | None
) -> None:
    """Adds pictures/s, and the share of the chip's peak that the model's arithmetic makes (MFU).

    images: made by one step or frame. chip_name: in the table of chips; None leaves out the MFU, as
    for CPUs.
    """
    from motion_jax.profiling.chips import chip

    for side in ("ours", "torch"):
        if side not in result:
            continue
        median = result[side]["median"]
        result[f"{side}_images_per_s"] = _short(images / median)
        if chip_name is None:
            continue
        # Autocast is bfloat16; what PyTorch calls float32 may use TensorFloat-32, as ours does.
        dtype = options.dtype if side == "ours" else "bfloat16"
        if side == "torch" and torch_mode(options) == "eager":
            dtype = "float32"
        peak = chip(chip_name).peak_flops(dtype)
        result[f"{side}_mfu"] = _short(result["gflop"] * 1e9 / median / peak)


def rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a side, for the terminal."""
    made = []
    for side, name in (("ours", "motion_jax"), ("torch", f"PyTorch {result['settings']['torch']}")):
        if side in result:
            made.append(
                {
                    "name": name,
                    **result[side],
                    "peak": result[f"{side}_peak_gb"],
                    "images": result.get(f"{side}_images_per_s"),
                    "mfu": result.get(f"{side}_mfu"),
                }
            )
    return made


def section(results: Sequence[Mapping[str, Any]], unit: str) -> str:
    """Markdown for docs/performance.md: one row a result, largest first. unit: of the times, with
    the count of pictures behind it, e.g. "s/step".
    """
    ordered = sorted(results, key=_order)
    columns = {
        "what": "pictures",
        "stage": "stage",
        "filters": "filters",
        "batch": "batch",
        "device": "device",
        "ours_dtype": "ours",
        "torch_mode": "PyTorch",
        "ours_s": f"ours, {unit}",
        "ours_spread": "from – to",
        "torch_s": f"PyTorch, {unit}",
        "torch_spread": "from – to",
        "ratio": "time ratio",
        "ours_images_per_s": "ours, pictures/s",
        "torch_images_per_s": "PyTorch, pictures/s",
        "ours_latency_p50_ms": "ours, p50 ms",
        "ours_latency_p95_ms": "p95",
        "torch_latency_p50_ms": "PyTorch, p50 ms",
        "torch_latency_p95_ms": "p95",
        "ours_mfu": "ours, MFU",
        "torch_mfu": "PyTorch, MFU",
        "ours_peak_gb": "ours, peak GB",
        "torch_peak_gb": "PyTorch, peak GB",
        "peak_ratio": "memory ratio",
    }
    made = []
    for result in ordered:
        settings = result["settings"]
        row = {**settings, **result, "what": f"{settings['width']}x{settings['height']}"}
        row |= {"ours_dtype": settings["ours"], "torch_mode": settings["torch"]}
        for side in ("ours", "torch"):
            if side in result:
                low, high = (reporting.shown(float(result[side][key])) for key in ("min", "max"))
                row[f"{side}_spread"] = f"{low} – {high}"
        made.append(row)
    used = {key: title for key, title in columns.items() if any(row.get(key) for row in made)}
    return reporting.markdown(made, used)


def _order(result: Mapping[str, Any]) -> tuple:
    settings = result["settings"]
    size = settings["width"] * settings["height"]
    return settings["device"], settings["stage"], -size, -settings["filters"], settings["batch"]


Options = TypeVar("Options", bound=PairOptions)


def run(
    work: str,
    options_of: type[Options],
    measure: Callable[[Options], dict[str, Any]],
    table: Callable[[dict[str, Any]], Any],
    arguments: Sequence[str] | None,
) -> None:
    """The command `python -m benchmarks.WORK`: measures, prints the table and keeps the result."""
    with reporting.sentences(work):
        options = reporting.parse(options_of, work, arguments)
        result = measure(options)
        if "ratio" in result:
            say(f"ours / PyTorch: time {result['ratio']}, peak memory {result.get('peak_ratio')}")
        reporting.report(
            name_of(work, options, setup_of(options, work)),
            result,
            [table(result)],
            as_json=options.json,
            keep=options.save,
            arguments=arguments,
        )


def name_of(work: str, options: PairOptions, setup: Mapping[str, Any]) -> str:
    """The result's file name, with what differs from the usual settings."""
    parts = [work, f"{setup['width']}x{setup['height']}", str(options.filters)]
    if options.stage != "global":
        parts.append(options.stage)
    if options.batch > 1:
        parts.append(f"batch{options.batch}")
    if options.device != "cpu":
        parts.append(options.device)
    if options.dtype != "float32":
        parts.append(options.dtype)
    if options.against == "torch" and torch_mode(options) != "eager":
        parts.append(torch_mode(options))
    if options.against == "none":
        parts.append("alone")
    return "-".join(parts)


def _short(value: float | None) -> float | None:
    """Four significant digits."""
    return None if value is None else float(f"{value:.4g}")
