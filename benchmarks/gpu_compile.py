"""The training steps compiled for an NVIDIA card that is not here, with the plain forms of the
convolutions and with the GPU's: what cuDNN is asked to do, what is moved, a roofline.

    python -m benchmarks.gpu_compile --topology h200 [--cases global local] [--save]

Nothing here is measured on a card; motion_jax.profiling.gpu_program says what is counted. It needs
jax's CUDA plugin (the extra `cuda`), and minutes for the large networks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import reporting
from motion_jax.errors import UserError
from motion_jax.progress import say

# config, stage, windows a step (None: the config's), (height, width)
CASES = {
    "global": ("everybody_dance_now", "global", 8, (256, 512)),
    "local": ("everybody_dance_now", "local", 4, (512, 1024)),
    "face": ("everybody_dance_now", "face", 4, None),
    "pix2pix": ("pix2pix", "main", None, None),
    "cyclegan": ("cyclegan", "main", None, None),
}
FORMS = ("plain", "gpu")


@dataclass(frozen=True)
class Options:
    """Training steps compiled for an NVIDIA card, in the plain forms and in the GPU's."""

    topology: str = "h200"
    """A card: a100, h100, h200, b200, rtx4090."""
    cases: tuple[str, ...] = tuple(CASES)
    """Which steps: global, local, face (of everybody_dance_now, the first two without averaging),
    pix2pix, cyclegan."""
    programs: Path | None = None
    """Folder of the programs' texts, CASE-FORMS.txt: what is there is not compiled again."""
    json: bool = False
    """Print the result object alone, as JSON."""
    save: bool = False
    """Keep the result in benchmarks/results/, for docs/performance.md."""


def measure(options: Options) -> dict[str, Any]:
    """{topology, chip, rows: one a case and forms, layers: of each case's GPU forms}.

    Raises UserError where the plugin is absent, or for an unknown case or card.
    """
    from motion_jax.profiling import gpu, gpu_program
    from motion_jax.profiling.chips import CHIPS
    from motion_jax.profiling.compile_gpu import largest_kernel
    from motion_jax.profiling.topology import step_flops

    if not gpu.is_card(options.topology):
        raise UserError(f"{options.topology} is no card; one of {', '.join(gpu.CARDS)} is.")
    if unknown := set(options.cases) - set(CASES):
        raise UserError(f"There is no case {min(unknown)}; there are {', '.join(CASES)}.")
    chip = CHIPS[gpu.card(options.topology).chip]
    rows: list[dict[str, Any]] = []
    layers: dict[str, list[dict[str, Any]]] = {}
    for case in options.cases:
        config, stage = config_of(case)
        size = config.recipe.stages()[stage]
        limit = step_flops(config, stage, size.batch_size) / chip.peak_flops_bf16
        largest = largest_kernel(config, stage)
        for forms in FORMS:
            text = _program(case, forms, options)
            read = gpu_program.read(text, chip, largest)
            rows.append(
                {
                    "case": case,
                    "size": f"{size.width}x{size.height}",
                    "batch": size.batch_size,
                    "forms": forms,
                    "convolutions": read.convolutions,
                    "out_of_proportion": len(read.out_of_proportion),
                    "moved_gb": read.bytes / 1e9,
                    "tflop": read.flops / 1e12,
                    "roofline_ms": 1e3 * read.seconds,
                    "limit_ms": 1e3 * limit,
                    "ratio": read.seconds / limit,
                }
            )
        layers[case] = [
            {"scope": str(scope), "ms": 1e3 * seconds, "moved_gb": moved / 1e9}
            for scope, seconds, moved, _ in read.layers[:8]
        ]
    return {"topology": options.topology, "chip": chip.name, "rows": rows, "layers": layers}


def config_of(case: str) -> tuple[Any, str]:
    """(config in bfloat16, stage)."""
    from motion_jax.config import load_config

    name, stage, batch, sides = CASES[case]
    config = load_config(name)
    changes: dict[str, Any] = {"batch_size": batch} if batch else {}
    if sides:
        changes |= dict(zip(("height", "width"), sides, strict=True))
    size = replace(config.recipe.stages()[stage], **changes)
    more: dict[str, Any] = {"averaging": 0.0} if case in ("global", "local") else {}
    recipe: Any = config.recipe  # stages and the number format are fields of the shipped ones
    recipe = replace(recipe, dtype="bfloat16", **{f"{stage}_stage": size}, **more)
    return replace(config, recipe=recipe), stage


def _program(case: str, forms: str, options: Options) -> str:
    """The compiled program's text."""
    from motion_jax.devices import mesh as meshes
    from motion_jax.nets.conv import target_platform
    from motion_jax.profiling.topology import no_compilation_cache, topology_devices
    from motion_jax.train.step import compiled_step, step_inputs

    file = options.programs / f"{case}-{forms}.txt" if options.programs else None
    if file and file.is_file():
        return file.read_text()
    config, stage = config_of(case)
    say(f"Compiling {case}, {forms} forms, for {options.topology} …")
    devices = topology_devices(options.topology)
    mesh = meshes.of_stage(config.devices, config.recipe.stages()[stage], stage, devices)
    with target_platform(forms), no_compilation_cache():
        step: Any = compiled_step(config, stage, mesh, config.recipe.usual_kind(stage))
        text = step.lower(*step_inputs(config, stage, mesh)).compile().as_text()
    assert text is not None, "XLA gives the text of what it compiles"
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return text


COLUMNS = {
    "case": "step",
    "size": "pictures",
    "batch": "windows",
    "forms": "forms",
    "convolutions": "cuDNN convolutions",
    "out_of_proportion": "out of proportion",
    "moved_gb": "moved, GB",
    "roofline_ms": "roofline, ms",
    "limit_ms": "FLOP limit, ms",
    "ratio": "roofline / limit",
}


def section(result: Mapping[str, Any]) -> str:
    """Markdown for docs/performance.md."""
    parts = [
        f"No card was used: XLA compiled the real training steps for an {result['chip']} on a CPU, "
        "bfloat16. The roofline is an estimate that no program goes below: each instruction the "
        "larger of its arithmetic at the card's published peak and its operands and results at its "
        "published bandwidth. The limit is the analytic arithmetic alone. `plain`: each "
        "convolution as XLA's own operation, as all of them were.",
        reporting.markdown(result["rows"], COLUMNS),
    ]
    for case, layers in result["layers"].items():
        if case in ("global", "local"):
            parts.append(f"Where the roofline of the {case} stage's GPU forms has most:")
            columns = {"scope": "where", "ms": "ms", "moved_gb": "moved, GB"}
            parts.append(reporting.markdown(layers, columns))
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints and keeps the result."""
    with reporting.sentences("gpu_compile"):
        options = reporting.parse(Options, "gpu_compile", arguments)
        result = measure(options)
        table = reporting.table(result["rows"], COLUMNS, f"Compiled for an {result['chip']}")
        reporting.report(
            f"gpu_compile-{options.topology}", result, [table],
            as_json=options.json, keep=options.save, arguments=arguments,
        )  # fmt: skip


if __name__ == "__main__":
    main()
