"""Networks that see an area around the person beside the same that see whole frames: time.

    python -m benchmarks.area --save

two_cores' local stage, both sides in turns in one process: a training step as the loop runs it, and
a picture as transfer and live make them, with pose drawing and plate. The areas are those that
training finds for two films: the blue-screen dancer's and, wider than high, the juggler's.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.reporting import parse, report, sentences, summary, table
from motion_jax.errors import UserError
from motion_jax.progress import say

# (height, width) of frames and areas.
CASES = (((128, 128), (128, 96)), ((144, 256), (144, 80)))
STAGE = "local"

COLUMNS = {
    "work": "",
    "frame": "frame",
    "area": "area",
    "pixels": "pixels, share",
    "frame_ms": "ms, frame",
    "area_ms": "ms, area",
    "faster": "times as fast",
}


@dataclass(frozen=True)
class Options:
    """Time of training steps and of pictures, of areas beside whole frames."""

    repeats: int = 9
    """Timed steps, and pictures, of each side."""
    json: bool = False
    """Print the result as JSON (nothing else goes to standard output)."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def measure(options: Options) -> dict[str, Any]:
    """Raises UserError for an option that makes no sense."""
    if options.repeats < 1:
        raise UserError("--repeats must be at least 1.")
    rows = []
    for frame, area in CASES:
        sides = {"frame": configured(frame, None), "area": configured(frame, area)}
        for work, begin in (("training step", stepping), ("picture", picturing)):
            say(f"{work} of {frame[1]}x{frame[0]}: compiling …")
            calls = {side: begin(config) for side, config in sides.items()}
            spent = turns(calls, options.repeats)
            medians = {side: each["median"] for side, each in spent.items()}
            rows.append(
                {
                    "work": work,
                    "frame": f"{frame[1]}x{frame[0]}",
                    "area": f"{area[1]}x{area[0]}",
                    "pixels": area[0] * area[1] / (frame[0] * frame[1]),
                    "frame_ms": 1000 * medians["frame"],
                    "area_ms": 1000 * medians["area"],
                    "faster": medians["frame"] / medians["area"],
                    "seconds": spent,
                }
            )
    return {"config": "two_cores", "stage": STAGE, "rows": rows}


def configured(frame: tuple[int, int], area: tuple[int, int] | None) -> Any:
    """two_cores for frames of a size, with an area of a size or whole frames."""
    from motion_jax.config import load_config

    config = load_config("two_cores")
    recipe: Any = config.recipe
    for name, stage in recipe.stages().items():
        height, width = (side // (2 if name == "global" else 1) for side in frame)
        recipe = replace(recipe, **{f"{name}_stage": replace(stage, height=height, width=width)})
    if area is not None:
        recipe = replace(recipe, area="person", area_height=area[0], area_width=area[1])
    config = replace(config, recipe=recipe)
    config.validate()
    return config


def stepping(config: Any) -> Callable[[], Any]:
    """A call that trains for one step."""
    import jax

    from motion_jax.devices import mesh as meshes
    from motion_jax.profiling.measure import initial_state, synthetic_batch
    from motion_jax.train.step import compile_ahead, compiled_step

    mesh = meshes.of_stage(config.devices, config.recipe.stages()[STAGE], STAGE)
    state = initial_state(config, STAGE, mesh)
    batch = meshes.place(synthetic_batch(config, STAGE), mesh)
    step = compile_ahead(compiled_step(config, STAGE, mesh), state, batch, {})

    def call() -> None:
        nonlocal state
        state, metrics = step(state, batch, {})
        jax.block_until_ready(metrics)

    return call


def picturing(config: Any) -> Callable[[], Any]:
    """A call that makes one picture."""
    import jax

    from motion_jax.profiling.measure import synthetic_batch
    from motion_jax.train.synthesis import Synthesizer

    recipe = config.recipe
    batch = synthetic_batch(config, STAGE)
    moment = {name: batch[name][0, :1] for name in ("keypoints", "face_boxes", "plates")}
    params = recipe.synthesis_params(recipe.init(jax.random.key(0), STAGE))
    synthesizer, seen = Synthesizer(recipe, STAGE, params, chunk=1), recipe.seen(moment)
    return lambda: synthesizer.feed(seen)


def turns(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, Any]:
    """Seconds of each call by name, after one that warms up."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(repeats + 1):
        for name, call in calls.items():
            begun = time.perf_counter()
            call()
            if number:
                spent[name].append(time.perf_counter() - begun)
    return {name: summary(samples) for name, samples in spent.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints and keeps the result."""
    with sentences("area"):
        options = parse(Options, "area", arguments)
        result = measure(options)
        rows = result["rows"]
        title = "Areas around the person beside whole frames (two_cores, local stage)"
        report(
            "area",
            result,
            [table(rows, COLUMNS, title)],
            as_json=options.json,
            keep=options.save,
        )


if __name__ == "__main__":
    main()
