"""The parts of benchmarks.card, each run as `python -m benchmarks.card_parts NAME --out FILE`.

parity-float32, parity-bfloat16   a step on the card against the plain forms on the CPU
step-STAGE, torch-MODE-STAGE      time of a training step
torch-compile-prepared-STAGE      torch.compile's compiling, kept for the part that times it
profile-STAGE                     the layers that take longest
synthesis-local                   frames/s, and one frame at a time
photo                             a photo moved (First Order Motion Model), one frame at a time
loader                            pairs read a second
small                             two minutes of training, and the held-out score
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks import first_order, pair, reporting
from benchmarks.workers import Worker
from motion_jax.files import write_json

# (height, width, windows) of each stage as docs/performance.md has them; tiny ones to try it.
SIZES = {"global": (256, 512, 8), "local": (512, 1024, 4)}
TINY = {"global": (32, 32, 1), "local": (64, 64, 1)}
# Steps without waiting in between, and how often.
COUNT, REPEATS = 10, 4
TRAINING_SECONDS = 120.0


@dataclass(frozen=True)
class PartOptions:
    """One part of benchmarks.card."""

    name: tyro.conf.Positional[str]
    """Of the part."""
    out: Path
    """File for its result."""
    data: Path | None = None
    """Dataset of the short training."""
    torch_python: str = sys.executable
    """The interpreter of an environment with torch and numpy."""
    tiny: bool = False
    """Tiny networks, on whatever device jax has."""


def measure(options: PartOptions) -> dict[str, Any]:
    """What the part found: see the functions below."""
    kind, _, rest = options.name.partition("-")
    if kind == "parity":
        return parity(rest, options)
    if kind == "step":
        return step(rest, options)
    if kind == "torch":
        mode, _, stage = rest.rpartition("-")
        return torch(mode, stage, options)
    if kind == "profile":
        return profile(rest, options)
    if kind == "synthesis":
        return synthesis(rest, options)
    if kind == "photo":
        return photo(options)
    if kind == "loader":
        return loader(options)
    return small(options)


def setup_of(stage: str, work: str, options: PartOptions, mode: str = "amp") -> dict[str, Any]:
    """What a worker builds from."""
    height, width, batch = (TINY if options.tiny else SIZES)[stage]
    return pair.setup_of(
        pair.PairOptions(
            height=height,
            width=width,
            filters=4 if options.tiny else 64,
            blocks=1 if options.tiny else pair.BLOCKS,
            stage="local" if stage == "local" else "global",
            batch=batch if work == "train_step" else 1,
            device="cpu" if options.tiny else "cuda",
            torch_mode="compile" if mode.startswith("compile") else "amp",
            dtype="bfloat16",
        ),
        work,
    )


def _platform(options: PartOptions) -> dict[str, str]:
    """Of our workers' environment. Where there is no card they end, rather than take the CPU."""
    return {} if options.tiny else {"JAX_PLATFORMS": "cuda"}


# --- training steps ------------------------------------------------------------------------------


def step(stage: str, options: PartOptions) -> dict[str, Any]:
    """{seconds (summary), images_per_second, mfu, peak_gb, gflop, device, first_call_s: with
    whatever is compiled already, first_call_cached_s: of a second process}."""
    setup = setup_of(stage, "train_step", options)
    count, repeats = (2, 2) if options.tiny else (COUNT, REPEATS)
    with Worker("JAX", "benchmarks.jax_worker", setup, environment=_platform(options)) as worker:
        first = worker.ask("run", count=1)["seconds"][0]
        worker.ask("run", count=2)
        found = _timed(worker, count, repeats)
        described, peak = worker.ask("describe"), worker.ask("device_memory").get("peak_gb")
    with Worker("JAX", "benchmarks.jax_worker", setup, environment=_platform(options)) as worker:
        cached = worker.ask("run", count=1)["seconds"][0]
    return (
        found
        | _rates(found, setup, described)
        | {"peak_gb": peak, "first_call_s": first, "first_call_cached_s": cached, "setup": setup}
    )


def torch(mode: str, stage: str, options: PartOptions) -> dict[str, Any]:
    """The same of PyTorch's step. mode: "eager" (with autocast), "compile", "compile-prepared"
    (nothing is timed: what is compiled is kept), "synthesis"."""
    work = "synthesis" if mode == "synthesis" else "train_step"
    setup = setup_of(stage, work, options, mode)
    count, repeats = (2, 2) if options.tiny else (COUNT, REPEATS)
    with Worker("PyTorch", "benchmarks.torch_worker", setup, options.torch_python) as worker:
        first = worker.ask("run", count=1)["seconds"][0]
        found: dict[str, Any] = {"first_call_s": first, "setup": setup}
        if mode == "compile-prepared":
            return found
        worker.ask("run", count=2)
        found |= _timed(worker, count, repeats)
        if work == "synthesis":
            found |= _latency(worker, options)
        described = worker.ask("describe")
        found["peak_gb"] = worker.ask("device_memory").get("peak_gb")
    return found | {"device": described["device"], "versions": described["versions"]}


def _timed(worker: Worker, count: int, repeats: int) -> dict[str, Any]:
    seconds = worker.ask("run", count=count, repeats=repeats)["seconds"]
    return {"seconds": reporting.summary([each / count for each in seconds])}


def _rates(
    found: Mapping[str, Any], setup: Mapping[str, Any], described: Mapping[str, Any]
) -> dict[str, Any]:
    from motion_jax.profiling.chips import CHIPS

    seconds, chip = found["seconds"]["median"], CHIPS.get(described["chip"] or "")
    rates = {
        "images_per_second": 2 * setup["batch"] / seconds,
        "gflop": described["gflop"],
        "device": described["device"],
    }
    if chip is not None:
        rates["mfu"] = 1e9 * described["gflop"] / seconds / chip.peak_flops_bf16
    return rates


# --- synthesis -----------------------------------------------------------------------------------


def synthesis(stage: str, options: PartOptions) -> dict[str, Any]:
    """{seconds a frame of a stream (summary), images_per_second, p50_ms, p95_ms, peak_gb}."""
    setup = setup_of(stage, "synthesis", options)
    with Worker("JAX", "benchmarks.jax_worker", setup, environment=_platform(options)) as worker:
        count, repeats = (2, 2) if options.tiny else (64, REPEATS)
        for each in (1, count):
            worker.ask("run", count=each)
        found = _timed(worker, count, repeats) | _latency(worker, options)
        described, peak = worker.ask("describe"), worker.ask("device_memory").get("peak_gb")
    return found | {
        "images_per_second": 1 / found["seconds"]["median"],
        "peak_gb": peak,
        "device": described["device"],
    }


def photo(options: PartOptions) -> dict[str, Any]:
    """The networks of vox-256 at 256x256 in bfloat16: {p50_ms, p95_ms, peak_gb, device}."""
    size, narrower = (128, 16) if options.tiny else (256, 1)
    asked = first_order.Options(size=size, narrower=narrower, dtype="bfloat16")
    module, setup = "benchmarks.first_order_jax", first_order.setup_of(asked)
    with Worker("JAX", module, setup, environment=_platform(options)) as worker:
        worker.ask("run", count=4)
        found = _latency(worker, options)
        described, peak = worker.ask("describe"), worker.ask("device_memory").get("peak_gb")
    return found | {"peak_gb": peak, "device": described["device"]}


def _latency(worker: Worker, options: PartOptions) -> dict[str, float]:
    """Of one frame at a time, there and back."""
    frames = 4 if options.tiny else 60
    seconds = worker.ask("run", count=1, repeats=frames)["seconds"]
    return {
        f"{name}_ms": 1000 * reporting.percentile(seconds, share)
        for name, share in (("p50", 0.5), ("p95", 0.95))
    }


# --- parity --------------------------------------------------------------------------------------


def parity(dtype: str, options: PartOptions) -> dict[str, Any]:
    """One small step on the card, in its own forms, against the plain forms in float32 on the CPU.

    {losses: {name: relative difference}, gradients: {network: of its gradient, in the 2-norm},
    worst, passed, device}. In float32 the card multiplies with all of its digits (jax's "highest"
    precision) and must come within 2e-3; in bfloat16, whose own digits are 2^-9, within 0.1 of the
    losses and 0.35 of the gradients, most of which is rounding.
    """
    import jax
    import numpy as np

    from benchmarks.jax_worker import batch_of, config_of, seeded_vgg
    from motion_jax.nets.conv import platform, target_platform

    setup = setup_of("global", "train_step", options)
    setup |= {"height": 64, "width": 64, "filters": 8, "blocks": 2, "batch": 2, "downsamplings": 2}
    card, cpu = jax.devices()[0], jax.devices("cpu")[0]
    here = platform()
    found = []
    for device, kind, how in ((cpu, "float32", "plain"), (card, dtype, here)):
        config = config_of(setup | {"dtype": kind, "device": "cpu"})
        recipe = config.recipe
        with jax.default_device(device), target_platform(how):
            state = recipe.init(jax.random.key(0), "global")
            inputs = jax.device_put((state, batch_of(setup), {"vgg19": seeded_vgg()}), device)
            with jax.default_matmul_precision("highest" if kind == "float32" else "default"):
                step = jax.jit(lambda s, b, f, recipe=recipe: recipe.train_step(s, b, "global", f))
                after, losses = step(*inputs)
        # Of Adam's first average, which is the gradient by a constant.
        moments = {
            name: np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(optimizer.mu)])
            for name, optimizer in after.optimizer.items()
        }
        found.append(({name: float(value) for name, value in losses.items()}, moments))
    (true, right), (made, ours) = found
    losses = {name: abs(made[name] - true[name]) / max(abs(true[name]), 1e-6) for name in true}
    gradients = {
        name: float(np.linalg.norm(ours[name] - right[name]) / np.linalg.norm(right[name]))
        for name in right
    }
    most = (2e-3, 2e-3) if dtype == "float32" else (0.1, 0.35)
    return {
        "losses": losses,
        "gradients": gradients,
        "worst": max(*losses.values(), *gradients.values()),
        "passed": max(losses.values()) <= most[0] and max(gradients.values()) <= most[1],
        "device": card.device_kind,
    }


# --- by the program's own commands ---------------------------------------------------------------


def command(words: Sequence[str], seconds: float | None = None) -> str:
    """The output of a motion-jax command. seconds: then it gets Ctrl-C, at which training saves."""
    process = subprocess.Popen(
        [sys.executable, "-m", "motion_jax.cli", *words], stdout=subprocess.PIPE, text=True
    )
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate()
    else:
        if process.returncode:
            raise RuntimeError(f"motion-jax {words[0]} ended with status {process.returncode}")
    return said


def profile(stage: str, options: PartOptions) -> dict[str, Any]:
    """{step: the profile's figures, layers: the twenty that take longest, device}."""
    height, width, batch = (TINY if options.tiny else SIZES)[stage]
    config = "demo" if options.tiny else "everybody_dance_now"
    settings = [f"--recipe.{stage}-stage.height", str(height)]
    settings += [f"--recipe.{stage}-stage.width", str(width), "--recipe.dtype", "bfloat16"]
    if options.tiny:
        settings = []
    folder = options.out.with_suffix("")
    words = ["profile", config, "--stage", stage, "--batch", str(batch), "--json"]
    result = json.loads(command([*words, "--out", str(folder), *settings]))
    keys = ("network", "layer", "backward", "seconds", "limit_seconds", "flops")
    return {
        "step": result["step"],
        "seconds": {"median": result["step"]["seconds"]},
        "mfu": result["step"]["mfu"],
        "layers": [{key: row[key] for key in keys} for row in result["rows"][:20]],
        "device": result["device"],
    }


def loader(options: PartOptions) -> dict[str, Any]:
    """What benchmarks.loader says of reading on this machine's cores, and of pictures that lie in
    the card's memory: pairs of 256x256, varied, eight at once."""
    words = [sys.executable, "-m", "benchmarks.loader", "--json", "--augment"]
    words += ["--height", "256", "--width", "256", "--batch", "8"]
    words += ["--help"] if options.tiny else []
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return {} if options.tiny else json.loads(done.stdout)


def small(options: PartOptions) -> dict[str, Any]:
    """{psnr, steps, images_per_second, input_wait, seconds of training, weights: of the perceptual
    loss}: `small` for two minutes on the dataset, and its held-out frames."""
    from motion_jax.weights import vgg19

    assert options.data is not None, "benchmarks.card leaves the part out without --data"
    run = options.out.with_suffix("")
    has_vgg = vgg19.cached().is_file()
    settings = [] if has_vgg else ["--recipe.losses.perceptual", "none", "--recipe.losses.l1", "10"]
    begun = time.monotonic()
    command(
        ["train", "small", "--data", str(options.data), "--run", str(run), *settings],
        TRAINING_SECONDS,
    )
    taken = time.monotonic() - begun
    lines = (run / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    command(["evaluate", "--run", str(run), "--reestimate", "no"])
    result = json.loads((run / "evaluation" / "evaluation.json").read_text())
    # The run's own method, not the baselines beside it.
    methods = result["methods"]
    method = methods.get("generated") or next(iter(methods.values()))
    return {
        "psnr": method.get("psnr"),
        "methods": methods,
        "steps": rows[-1]["total_step"],
        "images_per_second": rows[-1]["images_per_second"],
        "input_wait": rows[-1]["input_wait"],
        "training_seconds": taken,
        "weights": "vgg19" if has_vgg else "none: L1 in its place",
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes what one part found."""
    options = tyro.cli(PartOptions, args=arguments)
    write_json(options.out, measure(options))


if __name__ == "__main__":
    main()
