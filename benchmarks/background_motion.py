"""A photo that moves before a camera that moves, too: with and without a network that sees how the
background moved (recipe.background_motion).

    python -m benchmarks.background_motion --keep out/background [--save]

The config demo_photo learns from drawn people, faces and dancers, whose cameras turn and zoom, once
with "still" and once with "affine", with the same steps and seed. Films of people whom it never saw
are made again from their first frames, as evaluate does. The drawn cameras are known: "camera" is
how far the corners of the picture are from where they should be looked up, by the map that the
network gives ("still": by none), on average over the same films. With --keep it goes on in a folder
where it was stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.reporting import in_one_table, markdown, place_to_work
from motion_jax.errors import UserError
from motion_jax.progress import say

COLUMNS = {
    "background": "background",
    "steps": "steps",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "body_psnr": "PSNR, person",
    "camera": "camera, pixels",
    "parameters": "parameters",
}
PHOTO = "the photo as it is"


@dataclass(frozen=True)
class Options:
    """A photo that moves before a moving camera: a background that stands still beside one that
    moves by an affine map."""

    people: int = 400
    """Drawn people to learn from."""
    held_out: int = 24
    """Drawn people to be tried on."""
    steps: int = 1100
    """Training steps of each run."""
    seed: int = 0
    """Of the weights and the order of the pairs."""
    keep: Path | None = None
    """Keep dataset and runs here, and go on in them (default: nothing is kept)."""
    json: bool = False
    """Print the result as JSON, alone."""
    save: bool = False
    """Keep the result in benchmarks/results/, for docs/performance.md."""


def measure(options: Options) -> dict[str, Any]:
    """The result; see `main`."""
    if min(options.people, options.held_out, options.steps) < 1:
        raise UserError("--people, --held-out and --steps must be at least 1.")
    with place_to_work(options.keep) as folder:
        return _measured(options, folder)


def _measured(options: Options, folder: Path) -> dict[str, Any]:
    from motion_jax.data import records
    from motion_jax.demos.photo import draw_people
    from motion_jax.evaluate.measure import measure as evaluated
    from motion_jax.evaluate.options import EvaluateOptions
    from motion_jax.profiling.arithmetic import count_parameters
    from motion_jax.train.loop import train
    from motion_jax.train.run import load_run

    people = folder / "people"
    if not records.is_dataset(people):
        draw_people(people, options.people, options.held_out, moving=True)
    rows: list[dict[str, Any]] = []
    kinds: tuple[Literal["still", "affine"], ...] = ("still", "affine")
    for kind in kinds:
        config = configured(options, kind)
        train(config, people, folder / kind)
        methods = evaluated(EvaluateOptions(folder / kind, reestimate="no"))["methods"]
        run = load_run(folder / kind)
        rows.append(
            _row(kind, options.steps, methods["trained"])
            | {
                "camera": missed(run, options.people, options.held_out),
                "parameters": count_parameters(run.params),
            }
        )
        say(str(rows[-1]))
    rows.append(_row(PHOTO, None, methods["photo"]) | {"camera": None, "parameters": None})
    return {
        "config": "demo_photo",
        "size": f"{config.recipe.size[0]}x{config.recipe.size[1]}",
        "people": options.people,
        "held_out": options.held_out,
        "seed": options.seed,
        "rows": rows,
    }


def _row(name: str, steps: int | None, figures: Any) -> dict[str, Any]:
    found = {key: round(float(figures[key]), 4) for key in ("psnr", "ssim", "body_psnr")}
    return {"background": name, "steps": steps, **found}


def configured(options: Options, kind: Literal["still", "affine"]) -> Any:
    """demo_photo with this kind of background."""
    from motion_jax.config import load_config
    from motion_jax.recipes.first_order import BackgroundMotion

    config = load_config("demo_photo")
    recipe: Any = config.recipe
    decay = min(recipe.main_stage.decay_steps, options.steps // 2)
    recipe = replace(
        recipe,
        background_motion=BackgroundMotion(kind, expansion=16, most=128, halvings=4, scale=0.5),
        main_stage=replace(recipe.main_stage, steps=options.steps, decay_steps=decay),
    )
    config = replace(config, recipe=recipe, seed=options.seed)
    config.validate()
    return config


def missed(run: Any, people: int, held_out: int) -> float:
    """How far, in pixels, the corners of the pictures are from where the drawn camera has them in
    the first frame: the mean over the films of the held-out people of `draw_people`."""
    import jax
    import jax.numpy as jnp

    from motion_jax.demos.photo import motion_of
    from motion_jax.puppet import crowd
    from motion_jax.puppet.camera import between

    recipe, size = run.config.recipe, run.size[0]
    behind = jax.jit(recipe.behind) if recipe.background_moves else None
    far = []
    for person in range(people, people + held_out):
        take = crowd.take(person, moving=True)
        motion = motion_of(take, person, people)
        views = take.seen(motion)
        truth = np.stack([between(views[0], view) for view in views[1:]])
        if behind is not None:
            frames = jnp.asarray(take.frames(motion, size), jnp.float32) / 255
            found = np.asarray(behind(run.params, frames[:1], frames[1:]))
        else:
            found = np.tile(np.eye(2, 3), (len(truth), 1, 1))
        far.append(distances(found, truth, size))
    return round(float(np.concatenate(far).mean()), 3)


def distances(found: np.ndarray, truth: np.ndarray, size: int) -> np.ndarray:
    """Of maps [n, 2, 3], the mean distance in pixels of where the corner pixels are looked up, [n].

    found: of coordinates as the model has them (the centres of the outermost pixels at -1 and 1);
    truth: as puppet.camera.between.
    """
    corners = np.array([(x, y, 1) for x in (-1, 1) for y in (-1, 1)], float)
    # From the middle of the picture to the middle of its outermost pixels, in pixels.
    reach = (size - 1) / 2
    ours = np.einsum("nij,kj->nki", found, corners) * reach
    places = corners * (reach / size, reach / size, 1)
    theirs = np.einsum("nij,kj->nki", truth, places) * size
    return np.linalg.norm(ours - theirs, axis=-1).mean(axis=-1)


def section(result: dict[str, Any]) -> str:
    """Markdown for docs/performance.md."""
    return (
        f"{result['people']} drawn people to learn from, {result['held_out']} others to be tried "
        f"on, {result['size']}, config {result['config']}, seed {result['seed']}; their cameras "
        "turn and zoom.\n\n" + markdown(result["rows"], COLUMNS)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints and keeps {"rows": [{"background", "steps", "psnr", …, "camera"}], …}."""
    in_one_table("background_motion", Options, measure, COLUMNS, arguments)


if __name__ == "__main__":
    main()
