"""Separable residual blocks beside full ones, and beside fewer of them: quality, size, speed.

    python -m benchmarks.separable_blocks --seeds 2 --save

Quality: a config is trained on a drawn dancer (the demo's), once for each variant and seed with
nothing else changed, and measured on the held-out end of his dance. Trainings take minutes each and
are kept in --out; the same command resumes them, and measures again what is trained. Speed: one
frame through the generator of each of several configs, forward, the variants taking turns; for
that, run the command again when nothing else runs.
"""

import contextlib
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.reporting import markdown, parse, report, sentences, summary, table
from motion_jax.cli.signals import answered
from motion_jax.errors import UserError
from motion_jax.progress import say

# What each variant changes in recipe.generator; "a third of the blocks" is filled in by a config's.
VARIANTS = ("full", "separable", "a third of the blocks")
METRICS = ("psnr", "ssim", "body_psnr", "body_ssim", "face_psnr", "flicker", "background_flicker")
# Configs whose generators are timed, at their last stage's size.
TIMED = ("demo", "two_cores", "small", "everybody_dance_now")

QUALITY = {
    "variant": "residual blocks",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "body_psnr": "body PSNR",
    "body_ssim": "body SSIM",
    "flicker": "flicker",
    "seeds": "seeds",
}
SPEED = {
    "config": "config",
    "size": "size",
    "variant": "residual blocks",
    "parameters_m": "parameters, millions",
    "gmac": "GMAC a frame",
    "ms": "ms a frame",
    "faster": "times as fast as full",
}


@dataclass(frozen=True)
class Options:
    """Held-out quality, size and speed of separable residual blocks."""

    config: str = "demo"
    """Config that is trained, by its name."""
    seeds: int = 1
    """Trainings of each variant, with seeds 0, 1, …"""
    out: Path = Path("out/separable_blocks")
    """Folder of the dataset and the runs."""
    repeats: int = 9
    """Timed frames of each variant."""
    time: bool = True
    """Time the forward passes; --no-time only trains and measures quality."""
    json: bool = False
    """Print the result as JSON (nothing else goes to standard output)."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def varied(config: Any, variant: str) -> Any:
    """The config with a variant's residual blocks."""
    generator = config.recipe.generator
    if variant == "separable":
        generator = replace(generator, block="separable")
    elif variant != "full":
        generator = replace(generator, n_blocks=max(generator.n_blocks // 3, 1))
    return replace(config, recipe=replace(config.recipe, generator=generator))


def measure(options: Options) -> dict[str, Any]:
    """Raises UserError for an option that makes no sense."""
    if options.seeds < 1 or options.repeats < 1:
        raise UserError("--seeds and --repeats must be at least 1.")
    runs = [
        quality(options, variant, seed) for seed in range(options.seeds) for variant in VARIANTS
    ]
    means = {
        variant: {
            name: statistics.fmean(
                run["metrics"][name] for run in runs if run["variant"] == variant
            )
            for name in METRICS
        }
        for variant in VARIANTS
    }
    return {
        "config": options.config,
        "seeds": options.seeds,
        "runs": runs,
        "quality": means,
        "speed": speed(options.repeats) if options.time else [],
    }


def quality(options: Options, variant: str, seed: int) -> dict[str, Any]:
    """Trains one variant, or goes on with it, and measures it on the held-out frames."""
    import jax

    from motion_jax.config import load_config
    from motion_jax.evaluate.evaluate import evaluate
    from motion_jax.evaluate.options import EvaluateOptions
    from motion_jax.train.loop import train

    config = replace(varied(load_config(options.config), variant), seed=seed)
    folder = options.out / f"{options.config}-{variant.replace(' ', '_')}-{seed}"
    say(f"{variant}, seed {seed}: {folder}")
    with answered():
        train(config, _dataset(options.out, config), folder, command="benchmarks.separable_blocks")
    with contextlib.redirect_stdout(sys.stderr):
        found = evaluate(EvaluateOptions(run=folder, reestimate="no"))
    jax.clear_caches()  # the programs of a run are of no use to the next
    return {
        "variant": variant,
        "seed": seed,
        "steps": found["step"],
        "frames": found["frames"],
        "metrics": {name: found["methods"]["trained"][name] for name in METRICS},
        "nearest_frame": {name: found["methods"]["nearest_frame"][name] for name in METRICS},
    }


def _dataset(out: Path, config: Any) -> Path:
    """The demo's target dancer, at the size of the config's last stage."""
    from motion_jax import puppet
    from motion_jax.data.prepare import prepare
    from motion_jax.data.prepare_options import PrepareOptions
    from motion_jax.demos import dancers as demo

    stage = list(config.recipe.stages().values())[-1]
    name, size = demo.TARGET, f"{stage.width}x{stage.height}"
    folder, data = out / "videos" / f"{name}-{size}", out / "datasets" / f"{name}-{size}"
    if not (data / "metadata.json").is_file():
        dance = puppet.dance(demo.TARGET_SECONDS * demo.FPS, demo.FPS, demo.TARGET_DANCE)
        if not (folder / "poses").is_dir():
            character = puppet.CHARACTERS[name]
            puppet.make_video(folder, character, dance, stage.height, stage.width)
        prepare(
            PrepareOptions(
                videos=(folder / "video.mp4",),
                poses=folder / "poses",
                out=data,
                size=size,
                fit="squash",
                smooth=False,
            )
        )
    return data


def speed(repeats: int) -> list[dict[str, Any]]:
    """Rows: of each config's last generator, parameters, arithmetic and milliseconds a frame."""
    from motion_jax.config import load_config

    rows = []
    for name in TIMED:
        base = load_config(name)
        # bfloat16 on a CPU says nothing about the speed of accelerators.
        base = replace(base, recipe=replace(base.recipe, dtype="float32"))
        found = {variant: _Forward(varied(base, variant)) for variant in VARIANTS}
        seconds: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
        for turn in range(repeats + 1):
            for variant, forward in found.items():
                taken = forward.seconds()
                if turn:  # the first warms up
                    seconds[variant].append(1e3 * taken)
        for variant, forward in found.items():
            ms = summary(seconds[variant])
            rows.append(
                {
                    "config": name,
                    "size": forward.size,
                    "variant": variant,
                    "blocks": forward.blocks,
                    "parameters_m": forward.parameters / 1e6,
                    "gmac": forward.macs / 1e9,
                    "ms": ms["median"],
                    "ms_samples": ms,
                    "faster": statistics.median(seconds["full"]) / ms["median"],
                }
            )
            say(f"{name}, {variant}: {ms['median']} ms")
    return rows


class _Forward:
    """The generator of a config's last stage but the face's, compiled for one frame."""

    def __init__(self, config: Any) -> None:
        import jax
        import jax.numpy as jnp

        from motion_jax.nets.conv import target_platform
        from motion_jax.nets.initial import initialise
        from motion_jax.profiling.arithmetic import count_parameters, flops

        recipe = config.recipe
        stage = "local" if recipe.local_stage.steps else "global"
        size = recipe.stages()[stage]
        module = recipe.main_generator(stage)
        self.size = f"{size.width}x{size.height}"
        self.blocks = recipe.generator.n_blocks
        self._x = jax.random.normal(jax.random.key(1), (1, size.height, size.width, 6))
        self._params = initialise(module, jax.random.key(0), self._x)
        self.parameters = count_parameters(self._params)
        with target_platform("plain"):  # each product once, as the networks are defined
            jaxpr = jax.make_jaxpr(lambda p, x: module.apply(p, x))(self._params, self._x)
        self.macs = flops(jaxpr.jaxpr) / 2
        run = jax.jit(lambda params, x: jnp.asarray(module.apply(params, x)))
        self._run = run.lower(self._params, self._x).compile()

    def seconds(self) -> float:
        start = time.perf_counter()
        self._run(self._params, self._x).block_until_ready()
        return time.perf_counter() - start


def quality_rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Means over the seeds, and below them the baseline that needs no network."""
    rows = [
        {"variant": variant, "seeds": result["seeds"], **_rounded(metrics)}
        for variant, metrics in result["quality"].items()
    ]
    nearest = _rounded(result["runs"][0]["nearest_frame"])
    return [*rows, {"variant": "(nearest training frame)", "seeds": None, **nearest}]


def _rounded(metrics: dict[str, float]) -> dict[str, str]:
    """Two digits for decibels and grey levels, three for the SSIM."""
    return {
        name: f"{value:.3f}" if "ssim" in name else f"{value:.2f}"
        for name, value in metrics.items()
    }


def spread(result: dict[str, Any]) -> float | None:
    """The largest difference in PSNR between two seeds of one variant, dB; None with one seed."""
    if result["seeds"] < 2:
        return None
    by_variant = [
        [run["metrics"]["psnr"] for run in result["runs"] if run["variant"] == variant]
        for variant in VARIANTS
    ]
    return max(max(values) - min(values) for values in by_variant)


def section(result: dict[str, Any]) -> str:
    """For docs/performance.md."""
    run = result["runs"][0]
    seeds = f"{result['seeds']} seed{'s' if result['seeds'] > 1 else ''}"
    parts = [
        "`--recipe.generator.block separable` replaces the 3x3 convolutions of all residual blocks "
        "by a 3x3 of each channel and a 1x1 of all; `--blocks` takes fewer of them. "
        f"Held-out quality of the config `{result['config']}` ({run['steps']} steps on a drawn "
        f"dancer, mean of {seeds}, {run['frames']} frames):",
        markdown(quality_rows(result), QUALITY),
    ]
    difference = spread(result)
    if difference is not None:
        parts.append(f"Two seeds of one variant differ by up to {difference:.2f} dB.")
    if result["speed"]:
        parts += [
            "One frame through the generator (of the local stage, float32, forward):",
            markdown(result["speed"], SPEED),
        ]
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    with sentences("separable_blocks"):
        options = parse(Options, "separable_blocks", arguments)
        result = measure(options)
        tables = [table(quality_rows(result), QUALITY, "Held-out quality")]
        if result["speed"]:
            tables.append(table(result["speed"], SPEED, "One frame, forward"))
        report(
            "separable_blocks",
            result,
            tables,
            as_json=options.json,
            keep=options.save,
            arguments=arguments,
        )


if __name__ == "__main__":
    main()
