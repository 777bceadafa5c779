"""StyleGAN2 beside the same layers in PyTorch: pictures of latents, and the training step.

    python -m benchmarks.stylegan2 --work generator --torch-python ../torch/bin/python --save
    python -m benchmarks.stylegan2 --work step --batch 4 --torch-python ../torch/bin/python --save

The other side is torch_stylegan2.py, which the published code's fixtures show to be its arithmetic.
A step is the mean of as many as the rhythm of its regularisation takes (16: the penalty at one of
them, the path length at four). Both sides get pictures ready in memory; augmentation is off.
Compiled for accelerators: motion-jax compile stylegan2, see docs/stylegan2.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks import beside
from benchmarks.beside import BesideOptions, measured
from benchmarks.stylegan2_settings import SETTINGS
from motion_jax.errors import UserError

# Steps until all kinds have been in their rhythm.
RHYTHM = 16
UNITS = {"generator": "s/batch", "step": "s/step"}


@dataclass(frozen=True)
class Options(BesideOptions):
    """Time of a batch of pictures or of a training step, ours beside PyTorch's, in turns."""

    work: Literal["generator", "step"] = "generator"
    """What is measured: pictures of latents, with the fixed noise, or training steps."""
    size: int = 256
    """Height and width of the pictures in pixels: a power of 2, 8 or more."""
    channel_base: int = 16_384
    """Channels times resolution, at most 512 channels: 16384 is rosinality's multiplier 1."""
    style: int = 512
    """Width of z and w."""
    mapping_layers: int = 8
    """Layers from z to w."""
    batch: int = 4
    """Pictures together."""


def setup_of(options: Options) -> dict[str, Any]:
    """What both workers build from. Raises UserError for options that make no sense."""
    size = options.size
    if size < 8 or size & (size - 1):
        raise UserError("--size must be a power of 2 and 8 or more.")
    if min(options.repeats, options.batch, options.warmup, options.style) < 1:
        raise UserError("--repeats, --batch, --warmup and --style must be 1 or more.")
    if options.batch > 4 and options.batch % 4:
        raise UserError("--batch must be at most 4 or a multiple of 4: pictures are compared by 4.")
    levels = [2**power for power in range(2, size.bit_length())]
    return {
        "work": options.work,
        "size": size,
        "batch": options.batch,
        "dtype": options.dtype,
        "style": options.style,
        "mapping_layers": options.mapping_layers,
        "widths": [max(min(options.channel_base // level, 512), 1) for level in levels],
        "settings": SETTINGS,
    }


def measure(options: Options) -> dict[str, Any]:
    """Raises UserError where a side cannot be measured."""
    count = RHYTHM if options.work == "step" else 1
    kept = ("work", "size", "batch", "dtype", "widths")
    return measured(options, setup_of(options), "stylegan2", kept=kept, count=count)


def table(result: dict[str, Any]) -> Any:
    settings = result["settings"]
    title = f"StyleGAN2, {settings['work']}, {settings['size']} pixels, batch {settings['batch']}"
    return beside.table(result, title, UNITS[settings["work"]])


def sections(results: Sequence[dict[str, Any]]) -> str:
    """Markdown for docs/performance.md, all results in one table."""
    rows = [
        {**result, **result["settings"], "unit": UNITS[result["settings"]["work"]]}
        for result in results
    ]
    text = (
        "Pictures of latents with the fixed noise, and the training step of rosinality's program "
        "as the mean of 16 (the penalty at one, the path length at four; no augmentation)."
    )
    return beside.section(rows, text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints and keeps the result."""
    beside.run("stylegan2", Options, measure, table, arguments)


if __name__ == "__main__":
    main()
