"""Which checkpoint of a run is used: the newest, one by its step, or the best."""

import json
from pathlib import Path

from motion_jax.errors import UserError, option
from motion_jax.train.checkpoint import quick_record, steps_in

# Beside the other files of an evaluation: what `motion-jax evaluate --step all` found.
TABLE = "steps.json"


def steps_of(folder: Path) -> list[int]:
    """Total steps of the run's checkpoints, ascending."""
    return steps_in(folder / "checkpoints")


def choose(folder: Path, wanted: str) -> tuple[int, str]:
    """(total step of the checkpoint, why this one, for the user).

    Args:
      folder: a run directory with checkpoints.
      wanted: "latest", "best" or a total step.
    Raises UserError where there is no such checkpoint, or nothing says which one is best.
    """
    steps = steps_of(folder)
    if wanted == "latest":
        return steps[-1], "the newest checkpoint"
    if wanted == "best":
        return _best(folder, steps)
    if not wanted.isdigit():
        raise UserError(
            f"{option('step')} {wanted} is none of latest, best or the step of a checkpoint."
        )
    if int(wanted) not in steps:
        raise UserError(
            f"The run {folder} keeps no checkpoint of step {int(wanted)}; it has those of "
            f"{', '.join(map(str, steps))}."
        )
    return int(wanted), "as asked for"


def _best(folder: Path, steps: list[int]) -> tuple[int, str]:
    """The best one by the scores that training saved, else by those of `evaluate --step all`."""
    records = {step: quick_record(folder / "checkpoints", step) for step in steps}
    stage = records[steps[-1]].get("stage")
    scores = {
        step: record["score"]
        for step, record in records.items()
        if record.get("stage") == stage and record.get("score") is not None
    }
    if scores:
        # Among equals the later one, as training keeps it.
        step = min(scores, key=lambda step: (scores[step], -step))
        by = records[step].get("config", {}).get("record", {}).get("keep_best", "score")
        return step, f"{by} {scores[step]:.4g}, the lowest of {len(scores)} checkpoints"
    measured = _measured(folder, steps)
    if measured:
        step = max(measured, key=lambda step: (measured[step], step))
        return step, f"SSIM {measured[step]:.4g}, the highest of {len(measured)} checkpoints"
    raise UserError(
        f"No checkpoint of {folder} has a score, so none is known as the best: measure them with "
        f"motion-jax evaluate --run {folder} --step all, or train with "
        f"{option('record.keep_best')} heldout."
    )


def _measured(folder: Path, steps: list[int]) -> dict[int, float]:
    try:
        rows = json.loads((folder / "evaluation" / TABLE).read_text())["steps"]
        return {int(row["step"]): float(row["ssim"]) for row in rows if int(row["step"]) in steps}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
