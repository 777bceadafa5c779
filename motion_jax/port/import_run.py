"""`motion-jax import`: weights of the original programs as a run of ours.

What comes out is a run directory like that of `motion-jax train`, with one checkpoint at step 0:
`transfer`, `evaluate`, `export` and `train` work on it.
"""

import shlex
import sys
from pathlib import Path
from typing import Any

from motion_jax.data.reading import Domains
from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError, marked, option
from motion_jax.files import check_outputs, check_writable, is_empty, remove_tree
from motion_jax.port import (
    import_edn,
    import_first_order,
    import_pix2pix,
    import_stylegan2,
    stylegan2,
)
from motion_jax.port.experiment import read_experiment
from motion_jax.port.export_run import parse_size
from motion_jax.port.import_edn import Plan
from motion_jax.port.options import ImportOptions
from motion_jax.port.run_state import all_params
from motion_jax.progress import say
from motion_jax.train import imported
from motion_jax.train import run as runs
from motion_jax.train.dataset import check_data
from motion_jax.train.run import check_whole

STILL_WORKS = (
    "motion-jax inspect FILE, motion-jax export FILE and motion_jax.port.load_network work with it"
)


def import_run(options: ImportOptions, command: str = "") -> Path:
    """Makes the run; returns its folder.

    Raises UserError, and leaves nothing behind, where the source cannot be read, is of a system
    that no recipe trains, or does not fit the size or the dataset.
    """
    check_outputs(options, "run")
    check_whole(options.source)
    if options.run.exists() and (not options.run.is_dir() or not is_empty(options.run)):
        raise UserError(
            f"{option('run')} {options.run} is there already; name a new folder, or remove that "
            "one."
        )
    dataset = open_dataset(options.data) if options.data else None
    plan, about = _planned(options, dataset)
    config, stage = plan.config, plan.stage
    write_import(options.run, plan, dataset, about, command or shlex.join(sys.argv))
    _say_what_came(options, config, stage, sorted(plan.params), about)
    return options.run


def write_import(
    folder: Path, plan: Plan, dataset: Any, about: dict[str, Any], command: str
) -> None:
    """Makes a run folder of a plan; leaves nothing behind where that fails.

    dataset: the target's, or None; about: where the weights came from.
    """
    existed, config, stage = folder.exists(), plan.config, plan.stage
    config.validate()
    if dataset is not None:
        _check_trainable(dataset, config)
    for note in plan.notes:
        say(note)
    state = imported.with_params(imported.fresh_state(config, stage), dict(plan.params))
    if isinstance(plan, import_stylegan2.StylePlan):
        state = plan.completed(state)
    check_writable(folder)
    try:
        runs.write_description(folder, config, dataset, command)
        imported.save(folder, config, stage, state, about)
    except BaseException:
        for child in folder.iterdir():
            remove_tree(child) if child.is_dir() else child.unlink()
        if not existed:
            remove_tree(folder)
        raise


def _planned(options: ImportOptions, dataset: Any) -> tuple[Any, dict[str, Any]]:
    """(the plan, where its weights come from)."""
    size = None
    if options.size:
        size = parse_size(options.size)
    elif dataset is not None:
        size = dataset.info.height, dataset.info.width
    if (options.source / "config.json").is_file():
        return _of_run(options)
    if import_first_order.fits(options.source):
        return import_first_order.plan(options, size)
    published = stylegan2.read(options.source)
    if published is not None:
        _check_size(published, size)
        return import_stylegan2.plan(published), import_stylegan2.provenance(published)
    for name, unset in (("yaml", None), ("align_corners", "auto")):
        if getattr(options, name) != unset:
            raise UserError(
                f"{option(name)} is for checkpoints of the First Order Motion Model (NAME.pth.tar);"
                " leave it out."
            )
    experiment = read_experiment(options.source, options.epoch)
    if options.size is None and dataset is not None:
        size = _size_within(dataset, experiment) or size
    return _of_experiment(experiment, size, options), experiment.provenance()


def _check_size(published: stylegan2.Published, size: tuple[int, int] | None) -> None:
    side = 4 << (len(published.generator.settings["widths"]) - 1)
    if size is not None and (size[0] != size[1] or size[0] % side):
        raise UserError(
            f"{published.path} makes pictures of {side}x{side}, but {size[1]}x{size[0]} is asked "
            f"for; leave {option('size')} out, and import pictures of {side}x{side}."
        )


def _of_experiment(experiment: Any, size: tuple[int, int] | None, options: ImportOptions) -> Any:
    """The plan of the first recipe that the networks fit."""
    if import_edn.fits(experiment):
        return import_edn.plan(experiment, size, options.face_size, main_only=not options.face)
    plan = import_pix2pix.plan(experiment, size)
    if plan is not None:
        return plan
    raise UserError(_untrainable(experiment))


def _untrainable(experiment: Any) -> str:
    """Why no recipe takes the networks, and what still works."""
    networks = experiment.networks
    if not {"G", "G_A", "G_B"} & set(networks):
        return (
            f"{experiment.source} holds no generator (only {', '.join(networks)}), which a run "
            f"needs; {STILL_WORKS}."
        )
    generator = next(networks[name] for name in ("G", "G_A", "G_B") if name in networks)
    takes = f"{generator.name} with {generator.config.get('input_nc')} input channels"
    judge = networks.get("D") or networks.get("D_A")
    if judge is not None:
        takes += f" beside a {judge.name} with {judge.config.get('input_nc')}"
    return (
        f"{experiment.source} is of a system that no recipe here trains ({takes}; recipes have a "
        f"pose picture and the previous frame, or one picture, as input); {STILL_WORKS}."
    )


def _of_run(options: ImportOptions) -> tuple[Any, dict[str, Any]]:
    """The last state of a run as the beginning of another."""
    if options.size is not None:
        raise UserError(f"A run has its own size; leave {option('size')} out.")
    run, params = all_params(options.source)
    about = {
        "from": str(options.source),
        "run": {"stage": run.stage, "step": run.step, "checkpoint": run.checkpoint},
    }
    return Plan(run.config, run.stage, params), about


def _size_within(dataset: Any, experiment: Any) -> tuple[int, int] | None:
    """The size that the options tell, where the dataset's pictures can be reduced to it."""
    known = import_edn.ours_of(experiment).get("size")
    known = known or import_edn.published_size(experiment.options)
    info = dataset.info
    if known and info.height % known[0] == 0 and info.width * known[0] == info.height * known[1]:
        return known
    return None


def _check_trainable(dataset: Any, config: Any) -> None:
    """Raises UserError where motion-jax train would refuse the dataset."""
    try:
        for stage in config.recipe.stages():
            check_data(dataset, config, stage)
    except UserError as error:
        if not isinstance(config.recipe.reading(stage), Domains):
            raise
        raise UserError(
            f"{marked(error).removesuffix('.')} (both are options of motion-jax train: for them, "
            f"import without {option('data')})."
        ) from error


def _say_what_came(
    options: ImportOptions, config: Any, stage: str, names: list[str], about: dict[str, Any]
) -> None:
    adam = "Imported weights have no optimiser state; training starts Adam fresh, with a warm-up."
    if about.get("adam_left"):
        adam = "The file's Adam state is not used; training starts Adam fresh, with a warm-up."
    elif "run" in about:
        adam = "The run's Adam state is not used; training starts Adam fresh, with a warm-up."
    elif about.get("optimizer"):
        adam = "Adam's averages came with them; training goes on with these."
    sizes = config.recipe.stages()[stage]
    say(
        f"Imported {', '.join(names)} of {options.source} into {options.run}: recipe "
        f"{config.recipe.name}, stage {stage}, {sizes.width}x{sizes.height}. {adam}"
    )
    if options.data:
        return
    trains = (
        f"Training it further takes a dataset of {sizes.width}x{sizes.height} or a whole multiple"
    )
    # StyleGAN2's size is in its weights.
    if not (options.source / "config.json").is_file() and config.recipe.name != "stylegan2":
        trains += f"; {option('data')} or {option('size')} at import choose another size"
    say(f"{trains}.")
    if "poses" in config.recipe.shows:
        say(
            f"Without {option('data')} the target's body is not known: transfer works with "
            f"{option('normalize')} none."
        )
