"""`motion-jax adapt`: a run that begins with another run's weights, and is trained on another film.

The run is one like any other. Its first checkpoint holds the base's weights, generator and
discriminators, and says where they came from; what the base was trained on is in base.json.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from motion_jax import events
from motion_jax.config import Config
from motion_jax.data.identities import ALL
from motion_jax.data.records import PoseFrames, open_dataset
from motion_jax.errors import UserError, option
from motion_jax.events import Observer, StopToken
from motion_jax.files import check_outputs, check_writable, parted, remove_tree, write_json
from motion_jax.progress import say
from motion_jax.recipes.base import Recipe
from motion_jax.train import imported
from motion_jax.train import run as runs
from motion_jax.train.adapt_options import AdaptOptions
from motion_jax.train.checkpoint import SKIPPED, Checkpoints
from motion_jax.train.closest import closest
from motion_jax.train.dataset import check_data, fitted
from motion_jax.train.loop import train
from motion_jax.train.run import Run, load_run
from motion_jax.train.step import abstract_state

# What the base was, in the new run's folder.
BASE = "base.json"


def adapt(
    options: AdaptOptions,
    *,
    observer: Observer | None = None,
    stop: StopToken | None = None,
    command: str = "",
) -> Path:
    """Trains the new person's run, or goes on with it; returns its folder.

    Args: of `train.loop.train`.
    Raises UserError for every bad input, before anything is written; Interrupted as `train`.
    """
    with events.watched(observer, stop):
        _check(options)
        folder, who = parted(options.base)
        known = load_run(folder, options.step)
        # For the checks and the config it does not matter who.
        base = known.as_identity(who or (ALL if known.people else None))
        dataset = open_dataset(options.data)
        config, stage = adapted_config(base, options)
        _check_fit(base, dataset, config, stage, options)
        config = fitted(config, dataset, anew=True)
        if runs.read_config(options.run) is None:
            if known.people and who is None:
                base = known.as_identity(closest(known, config, dataset, stage))
                say(f"Of {len(known.people)} people {base.identity} looks most like the new one.")
            _begin(known, base, dataset, config, stage, options, command)
        limits = {} if options.minutes is None else {stage: 60 * options.minutes}
        train(config, options.data, options.run, command=command, limits=limits)
        events.emit(events.Done("adapt", options.run), at=1.0)
    return options.run


def _check(options: AdaptOptions) -> None:
    if options.steps < 1:
        raise UserError(f"{option('steps')} {options.steps} is less than 1.")
    if options.minutes is not None and not options.minutes > 0:
        raise UserError(f"{option('minutes')} {options.minutes:g} is not above 0.")
    if not options.rate > 0:
        raise UserError(f"{option('rate')} {options.rate:g} is not above 0; 1 is the base's own.")
    check_outputs(options, "run")


def adapted_config(base: Run, options: AdaptOptions) -> tuple[Config, str]:
    """(the new run's config, the one stage that it trains): the base's last stage that makes whole
    pictures, with a short schedule. Raises UserError for a base that is not driven by poses."""
    recipe: Any = base.config.recipe
    if "poses" not in recipe.shows or recipe.wants_photo or not recipe.paired:
        raise UserError(
            f"The run {options.base} ({recipe.name}) is not shown poses, so no film of another "
            "person can teach it that person; give a base that was trained on poses."
        )
    names = list(recipe.stages())
    whole = [name for name in names if name not in recipe.parts(base.params)]
    last = whole[whole.index(base.stage)] if base.stage in whole else whole[-1]
    for name in names:
        stage = getattr(recipe, f"{name}_stage")
        if name == last:
            changed = replace(
                stage,
                steps=options.steps,
                decay_steps=options.steps // 2,
                learning_rate=stage.learning_rate * options.rate,
            )
        else:
            changed = replace(stage, steps=0, decay_steps=0)
        recipe = replace(recipe, **{f"{name}_stage": changed})
    return replace(base.config, recipe=recipe), last


def _check_fit(
    base: Run, dataset: PoseFrames, config: Config, stage: str, options: AdaptOptions
) -> None:
    """Raises UserError where the base does not draw what the dataset shows."""
    height, width = base.size
    if dataset.size != (height, width):
        raise UserError(
            f"{options.data} has frames of {dataset.size[1]}x{dataset.size[0]}, and the base "
            f"{options.base} makes pictures of {width}x{height}; prepare the film with "
            f"{option('size')} {width}x{height}."
        )
    known, here = base.dataset.get("info", {}), dataset.info.to_json()
    for key, what in (("pose_pictures", "ready pose pictures"), ("pose_style", "a pose style")):
        if known and known.get(key) != here.get(key):
            raise UserError(
                f"The base {options.base} and {options.data} show poses differently ({what}: "
                f"{known.get(key) or 'none'} and {here.get(key) or 'none'}); a base knows poses "
                "only as it was trained on them."
            )
    check_data(dataset, config, stage)


def _begin(
    known: Run,
    base: Run,
    dataset: PoseFrames,
    config: Config,
    stage: str,
    options: AdaptOptions,
    command: str,
) -> None:
    """Makes the run's folder with the base's weights; leaves nothing behind where that fails.
    known: the base before one of its people was chosen."""
    config.validate()
    about = {
        "run": base.folder.resolve().name,
        "stage": base.stage,
        "step": base.step,
        "checkpoint": base.checkpoint,
        "dataset": base.dataset,
        **({"identity": base.identity} if base.identity else {}),
    }
    params = _weights(known, base, config.recipe, stage)
    state = imported.with_params(imported.fresh_state(config, stage), params)
    there = options.run.exists()
    if there and any(options.run.iterdir()):
        raise UserError(
            f"{options.run} is not empty and no run of motion_jax; choose another "
            f"{option('run')} folder."
        )
    check_writable(options.run)
    try:
        write_json(options.run / BASE, about)
        runs.write_description(options.run, config, dataset, command)
        came = f"the base {base.name} (step {base.step})"
        imported.save(options.run, config, stage, state, {"from": came, "base": about})
    except BaseException:
        for child in options.run.iterdir():
            remove_tree(child) if child.is_dir() else child.unlink()
        if not there:
            remove_tree(options.run)
        raise
    clips = len(base.dataset.get("info", {}).get("sources", ()))
    say(f"Begun with {', '.join(sorted(params))} of {came}, trained on {clips} video(s).")


def _weights(known: Run, base: Run, recipe: Recipe, stage: str) -> dict[str, Any]:
    """By name, the networks of the base that the stage has: its averaged generator, and the
    discriminators, where its checkpoint has them."""
    with Checkpoints(base.folder / "checkpoints", read_only=True) as checkpoints:
        record = checkpoints.record(base.step)
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        laid_out = imported.laid_out_with(record, known.config)
        abstract = abstract_state(laid_out, record["stage"], sharding)
        used = {id(leaf) for leaf in jax.tree.leaves(abstract.params)}
        wanted = jax.tree.map(lambda leaf: leaf if id(leaf) in used else SKIPPED, abstract)
        state = checkpoints.restore_part(base.step, wanted)
    found = {**state.params, **base.params}
    return {name: found[name] for name in recipe.networks(stage) if name in found}
