"""The First Order Motion Model beside the same layers in PyTorch: the animation of a photo, frame
after frame, and the training step.

    python -m benchmarks.first_order --work animation --torch-python ../torch/bin/python --save
    python -m benchmarks.first_order --work step --batch 4 --torch-python ../torch/bin/python --save

Networks and losses are those of vox-256 (no discriminator). The other side is
torch_first_order.py, which the published code's fixtures show to be its arithmetic. Like the
published program it encodes the photo again for every frame; ours encodes it once. Both sides get
pictures ready in memory. Compiled for accelerators: motion-jax compile, see docs/first-order.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks import beside
from benchmarks.beside import BesideOptions, measured
from motion_jax.errors import UserError

# The published settings of vox-256 by the names of the published classes.
COMMON = {"num_kp": 10, "num_channels": 3, "estimate_jacobian": True}
DETECTOR = COMMON | {
    "block_expansion": 32, "max_features": 1024, "num_blocks": 5, "temperature": 0.1,
    "scale_factor": 0.25,
}  # fmt: skip
MOTION = {"block_expansion": 64, "max_features": 1024, "num_blocks": 5, "scale_factor": 0.25}
GENERATOR = COMMON | {
    "block_expansion": 64, "max_features": 512, "num_down_blocks": 2, "num_bottleneck_blocks": 6,
    "estimate_occlusion_map": True, "dense_motion_params": MOTION,
}  # fmt: skip
SCALES = (1.0, 0.5, 0.25, 0.125)
WEIGHTS = {"perceptual": [10] * 5, "equivariance_value": 10, "equivariance_jacobian": 10}
UNITS = {"animation": "s/frame", "step": "s/step"}


@dataclass(frozen=True)
class Options(BesideOptions):
    """Time of an animated frame or of a training step, ours beside PyTorch's, in turns."""

    work: Literal["animation", "step"] = "animation"
    """What is measured."""
    size: int = 256
    """Height and width of the pictures in pixels; at least 128."""
    batch: int = 4
    """Pairs in a training step."""
    frames: int = 3
    """Frames in a turn of the animation."""
    narrower: int = 1
    """All channels divided by this, to try the benchmark itself."""


def setup_of(options: Options) -> dict[str, Any]:
    """What both workers build from. Raises UserError for options that make no sense."""
    if options.size < 128 or options.size % 128:
        raise UserError("--size must be a multiple of 128: the networks halve a quarter of it.")
    if min(options.repeats, options.batch, options.warmup, options.frames, options.narrower) < 1:
        raise UserError("--repeats, --batch, --warmup, --frames and --narrower must be 1 or more.")

    def narrowed(arguments: dict[str, Any]) -> dict[str, Any]:
        found = dict(arguments)
        for name in ("block_expansion", "max_features"):
            found[name] = max(found[name] // options.narrower, 1)
        if "dense_motion_params" in found:
            found["dense_motion_params"] = narrowed(found["dense_motion_params"])
        return found

    return {
        "work": options.work,
        "size": options.size,
        "batch": options.batch,
        "dtype": options.dtype,
        "detector": narrowed(DETECTOR),
        "generator": narrowed(GENERATOR),
        "scales": list(SCALES),
        "weights": WEIGHTS,
    }


def measure(options: Options) -> dict[str, Any]:
    """Raises UserError where a side cannot be measured."""
    repeats = options.frames if options.work == "animation" else 1
    kept = ("work", "size", "batch", "dtype")
    return measured(options, setup_of(options), "first_order", kept=kept, repeats=repeats)


def table(result: dict[str, Any]) -> Any:
    settings = result["settings"]
    batch = f", batch {settings['batch']}" if settings["work"] == "step" else ""
    title = f"First Order Motion Model, {settings['work']}, {settings['size']} pixels{batch}"
    return beside.table(result, title, UNITS[settings["work"]])


def sections(results: Sequence[dict[str, Any]]) -> str:
    """Markdown for docs/performance.md, all results in one table."""
    rows = []
    for result in results:
        settings = result["settings"]
        row = {**result, **settings, "unit": UNITS[settings["work"]]}
        if settings["work"] != "step":
            row["batch"] = 1
        rows.append(row)
    text = (
        "The networks of vox-256: a photo animated frame after frame, and the training step "
        "without a discriminator."
    )
    return beside.section(rows, text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints and keeps the result."""
    beside.run("first_order", Options, measure, table, arguments)


if __name__ == "__main__":
    main()
