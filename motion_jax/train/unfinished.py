"""How far a run that has not reached its end has learned, and how it goes on."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from motion_jax.config import Config
from motion_jax.progress import say
from motion_jax.train.checkpoint import newest_record
from motion_jax.train.checkpoint_record import Record
from motion_jax.train.imported import untouched
from motion_jax.train.run import Run


@dataclass(frozen=True)
class Unfinished:
    """A run whose training was stopped.

    Attributes:
      done, steps: steps that it has learned, and those that its config asks for, over all stages.
      stage: which stage it has come to, "" in the last one.
      command: what goes on with it.
    """

    done: int
    steps: int
    stage: str
    command: str

    def __str__(self) -> str:
        return (
            f"This run has learned {self.done:,} of {self.steps:,} steps{self.stage}; "
            f"`{self.command}` goes on."
        )


def unfinished(run: Run) -> Unfinished | None:
    """How far its newest checkpoint is; None where the run is at its end. A limit of minutes ends a
    run as well as its last step does; weights that were imported and not trained are whole."""
    record = newest_record(run.folder / "checkpoints")
    if not record or untouched(record) or _ended(record, run.config):
        return None
    stages = run.config.recipe.stages()
    names = list(stages)
    index, stage = names.index(record["stage"]), stages[record["stage"]]
    which = ""
    if index < len(names) - 1:
        number = "only its first stage" if index == 0 else f"stage {index + 1} of {len(names)}"
        which = f", {number} at {stage.width}x{stage.height}"
    return Unfinished(
        sum(record["steps_done"].values()) if "steps_done" in record else record["total_step"],
        sum(stage.steps for stage in stages.values()),
        which,
        _command(run),
    )


def tell_unfinished(run: Run) -> None:
    """Says so where a run is not at its end: its pictures may be noise."""
    if found := unfinished(run):
        say(str(found))


def _ended(record: Record, config: Config) -> bool:
    stages = config.recipe.stages()
    last = list(stages)[-1]
    done = record.get("ended") or record["step"] >= stages[record["stage"]].steps
    return bool(record["stage"] == last and done)


def _command(run: Run) -> str:
    words: list[str | Path] = ["motion-jax", "train"]
    if run.config.recipe.takes_dataset:
        words += ["--data", run.data_path if run.dataset else "DATASET"]
    return shlex.join(map(str, [*words, "--run", run.folder]))
