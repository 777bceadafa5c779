"""All networks of a run's newest checkpoint, the discriminators too."""

from pathlib import Path
from typing import Any

import jax

from motion_jax.errors import UserError, option
from motion_jax.train.checkpoint import SKIPPED, Checkpoints
from motion_jax.train.imported import laid_out_with
from motion_jax.train.run import Run, load_run
from motion_jax.train.step import abstract_state


def all_params(folder: Path, weights: str = "default") -> tuple[Run, dict[str, Any]]:
    """(the run, parameters by network name).

    weights: "averaged" or "raw" generators; "default": averaged where averaging is on.
    Raises UserError where the folder is no run, or "averaged" is asked for and not there.
    """
    run = load_run(folder)
    with Checkpoints(Path(folder) / "checkpoints", read_only=True) as checkpoints:
        latest = checkpoints.latest()
        record = checkpoints.record(latest)
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        config = laid_out_with(record, run.config)
        abstract = abstract_state(config, record["stage"], sharding)
        # Optimiser states are half of a checkpoint and of no use here.
        used = {id(leaf) for leaf in jax.tree.leaves((abstract.params, abstract.averaged))}
        wanted = jax.tree.map(lambda leaf: leaf if id(leaf) in used else SKIPPED, abstract)
        state = checkpoints.restore_part(latest, wanted)
    if weights == "averaged" and not state.averaged:
        raise UserError(
            f"The run {folder} kept no averaged parameters (recipe.averaging = 0); use "
            f"{option('weights')} raw."
        )
    if weights == "raw":
        return run, dict(state.params)
    return run, {**state.params, **state.averaged}
