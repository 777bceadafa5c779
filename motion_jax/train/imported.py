"""Runs that begin with weights from elsewhere: how they are saved, and how training goes on.

Such a run has one checkpoint, at step 0 of a stage, whose record says under "imported" where the
weights came from and with which config the state was laid out. Until a later checkpoint exists, it
may be trained with other settings than it was imported with, as long as the networks stay the same.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from motion_jax.config import Config, differences, from_json, to_json
from motion_jax.errors import UserError
from motion_jax.progress import say
from motion_jax.recipes.state import State
from motion_jax.train.checkpoint import Checkpoints, newest_record
from motion_jax.train.checkpoint_record import Record
from motion_jax.train.step import abstract_state


def untouched(record: Record) -> bool:
    """Whether a checkpoint's record is that of an import that was not trained since."""
    return record["step"] == 0 and "imported" in record


def laid_out_with(record: Record, config: Config) -> Config:
    """The config whose networks and optimisers a checkpoint's state has: the run's own, or that of
    the import."""
    if untouched(record):
        return from_json(record["imported"]["config"], "the record of the import")
    return config


def untouched_record(folder: Path) -> Record | None:
    """The record of a run that is as it was imported; None for any other folder."""
    record = newest_record(Path(folder) / "checkpoints")
    return record if record and untouched(record) else None


def fresh_state(config: Config, stage: str) -> State:
    """A stage's state from the config's seed, as at the start of training."""
    key = jax.random.fold_in(jax.random.key(config.seed), list(config.recipe.stages()).index(stage))
    return jax.jit(lambda key: config.recipe.init(key, stage))(key)


def with_params(state: State, params: dict[str, Any]) -> State:
    """The state with these networks' parameters in place of its own, averages included. Raises
    UserError for a network of another shape than the state's."""
    # Everybody Dance Now keeps no running statistics of batch norm, but its files have some.
    params = {
        name: {kind: part for kind, part in tree.items() if kind in state.params.get(name, tree)}
        for name, tree in params.items()
    }
    for name, tree in params.items():
        here = state.params.get(name)
        if here is None or _shapes(here) != _shapes(tree):
            raise UserError(
                f"The weights of the {name} are not of the network that the recipe builds (other "
                "norms or biases), so they cannot be trained here; motion-jax inspect, motion-jax "
                "export FILE and motion_jax.port.load_network work with them."
            )
    merged = {**state.params, **{n: jax.tree.map(jnp.asarray, tree) for n, tree in params.items()}}
    averaged = {name: jax.tree.map(jnp.copy, merged[name]) for name in state.averaged}
    return state.replace(params=merged, averaged=averaged)


def _shapes(tree: Any) -> tuple[Any, list[tuple[int, ...]]]:
    return jax.tree.structure(tree), [leaf.shape for leaf in jax.tree.leaves(tree)]


def save(folder: Path, config: Config, stage: str, state: State, about: dict[str, Any]) -> None:
    """Writes the checkpoint of an import; about: where the weights came from."""
    record = Record(
        stage=stage,
        step=0,
        total_step=0,
        position=0,
        seconds=0.0,
        images=0,
        imported={**about, "config": to_json(config)},
    )
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(0, state, record)
        checkpoints.wait()


def check_config(record: Record, existing: Config, config: Config, folder: Path) -> None:
    """Raises UserError where a config cannot go on from an import because its networks differ."""
    stage, before = record["stage"], laid_out_with(record, existing)
    if before.recipe.name == config.recipe.name and stage in config.recipe.stages():
        key = jax.random.key(0)
        old, new = (
            jax.eval_shape(lambda k, c=c: c.recipe.init(k, stage), key) for c in (before, config)
        )
        if _shapes(old.params) == _shapes(new.params):
            return
    differing = differences(before, config)
    raise UserError(
        f"{folder} holds imported weights of the {stage} stage, which do not fit this config "
        f"({'; '.join(differing[:5])}); change no network, or leave the config's name out: "
        f"motion-jax train --run {folder} --data DATASET."
    )


def begin(
    config: Config, record: Record, checkpoints: Checkpoints, step: int, sharding: Any
) -> State:
    """The state in which training of an import begins: its weights, and all else fresh."""
    stage = record["stage"]
    abstract = abstract_state(laid_out_with(record, config), stage, sharding)
    restored = checkpoints.restore(step, abstract)
    state = with_params(fresh_state(config, stage), restored.params)
    # Some files hold averages of their own, and Adam's.
    kept = {n: tree for n, tree in restored.averaged.items() if n in state.averaged}
    state = state.replace(averaged={**state.averaged, **kept})
    if record["imported"].get("optimizer"):
        say(f"Going on from {record['imported']['from']}, {stage} stage, with its optimisers.")
        return state.replace(optimizer=restored.optimizer)
    warmup = getattr(config.recipe.stages()[stage], "warmup_steps", 0)
    rises = (
        f"the learning rate rises over the first {warmup} steps"
        if warmup
        else "the learning rate is at its full height from the first step (warmup_steps = 0)"
    )
    adam = "imported weights bring no optimiser state"
    if record["imported"].get("adam_left"):
        adam = "the file's Adam state is not used"
    say(
        f"Going on from the weights imported from {record['imported']['from']}, {stage} stage: "
        f"{adam}, so Adam starts fresh, and {rises}."
    )
    return state
