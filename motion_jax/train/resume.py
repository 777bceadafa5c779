"""Where a run goes on: its newest whole checkpoint, laid out for the devices at hand."""

import json
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from motion_jax.config import HOW_READ, Config, config_hash, flatten, to_json
from motion_jax.data.records import PoseFrames
from motion_jax.devices import mesh as meshes
from motion_jax.devices.processes import Job
from motion_jax.errors import marked
from motion_jax.progress import say
from motion_jax.recipes.state import State
from motion_jax.train import imported
from motion_jax.train import run as runs
from motion_jax.train.checkpoint import Checkpoints, Damaged
from motion_jax.train.checkpoint_record import Record
from motion_jax.train.checksum import examined
from motion_jax.train.record import rewind_metrics
from motion_jax.train.step import laid_out_state


def shared_facts(config: Config, dataset: PoseFrames | None) -> dict[str, str]:
    """What must be the same in all processes of a job, by name."""
    settings = {k: v for k, v in flatten(to_json(config)).items() if k not in HOW_READ}
    return {
        **{name: json.dumps(value) for name, value in settings.items()},
        "config's hash": config_hash(config)[:16],
        "dataset's fingerprint": "" if dataset is None else runs.fingerprint(dataset)[:16],
    }


def begin_stage(config: Config, name: str, previous: State | None) -> State:
    """The state at the start of a stage, on its devices."""
    index = list(config.recipe.stages()).index(name)
    key = jax.random.fold_in(jax.random.key(config.seed), index)
    mesh = meshes.of_stage(config.devices, config.recipe.stages()[name], name)
    init = jax.jit(
        lambda key, previous: config.recipe.init(key, name, previous),
        out_shardings=_shardings(config, name, mesh),
    )
    return init(key, previous)


def _shardings(config: Config, name: str, mesh: Mesh) -> Any:
    """How a stage's state lies on the mesh, leaf by leaf."""
    return jax.tree.map(lambda leaf: leaf.sharding, laid_out_state(config, name, mesh))


def onto(tree: Any, sharding: Any) -> Any:
    """Arrays that every process has, onto devices of all of them; sharding: one, or a tree."""
    # jax.device_put takes devices of its own process alone.
    each = jax.tree.leaves(sharding)
    if all(one.is_fully_addressable for one in each):
        return jax.device_put(tree, sharding)
    return jax.jit(lambda tree: tree, out_shardings=sharding)(tree)


def resume(
    config: Config, checkpoints: Checkpoints, folder: Path, job: Job
) -> tuple[State | None, str | None, Record]:
    """The state to go on from, its stage, its record; (None, None, zeros) from scratch.

    A damaged checkpoint is set aside, and the one before it taken. Raises Damaged where none is
    whole.
    """
    damaged: list[int] = []
    # What process 0 sees counts: another machine may still see an older state of the folder.
    for step in reversed(json.loads(job.share(json.dumps(checkpoints.steps())))):
        try:
            state, record = _restored(config, checkpoints, step, job)
        except Damaged as error:
            damaged.append(step)
            last = error
            say(f"{marked(error).split(';')[0]}; trying the one before it.")
            continue
        _set_aside(checkpoints, damaged, job)
        if job.first:
            rewind_metrics(folder, -1 if imported.untouched(record) else step)
        if not imported.untouched(record):
            say(f"Going on from step {record['step']} of the {record['stage']} stage ({folder}).")
        return state, record["stage"], record
    if damaged:
        raise last
    if job.first:
        rewind_metrics(folder, -1)
    return None, None, Record(step=0, position=0, seconds=0.0, images=0, total_step=0)


def _restored(
    config: Config, checkpoints: Checkpoints, step: int, job: Job
) -> tuple[State, Record]:
    """A checkpoint's state and record. Raises Damaged, in all processes, where one of them cannot
    restore it or gets something else than was saved."""
    error: Damaged | None = None
    try:
        record = checkpoints.record(step)
        name = record["stage"]
        mesh = meshes.of_stage(config.devices, config.recipe.stages()[name], name)
        if imported.untouched(record):
            state = imported.begin(config, record, checkpoints, step, meshes.replicated(mesh))
            state = onto(state, _shardings(config, name, mesh))
        else:
            state = checkpoints.restore(step, laid_out_state(config, name, mesh))
    except Damaged as caught:
        error = caught
    if not job.all_agree(error is None):
        raise error or checkpoints.damaged(step, "another process cannot read it")
    # Older checkpoints have no checksum, and an import's state is not what was saved.
    if not imported.untouched(record) and "checksum" in record:
        same = examined(state)[1] == record["checksum"]
        if not job.all_agree(same):
            raise checkpoints.damaged(step, "its contents are not what was saved")
    return state, record


def _set_aside(checkpoints: Checkpoints, damaged: list[int], job: Job) -> None:
    # A later save of the same step would otherwise be skipped as done.
    if not damaged:
        return
    if job.first:
        for step in damaged:
            checkpoints.set_aside(step)
    job.meet()
    checkpoints.reload()


def on_one_device(params: Any, mesh: Any) -> Any:
    """Replicated parameters as they lie on one device of this process, for work that it does alone.

    Where their parts are on several devices they are gathered first, which all processes do.
    """
    everywhere = meshes.replicated(mesh)
    whole = jax.tree.map(lambda leaf: leaf.sharding.is_fully_replicated, params)
    if not all(jax.tree.leaves(whole)):
        params = jax.jit(lambda tree: tree, out_shardings=everywhere)(params)
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), params)
