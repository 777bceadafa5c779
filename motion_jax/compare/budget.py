"""An equal number of training seconds for every method.

Steps are what a schedule is made of, seconds what is to be equal: a step of each stage is timed
first, and the stages get as many steps as fit. Where the machine turns out slower, the loop ends a
stage when its seconds are over (`train(limits=…)`). Seconds are those of steps; compiling, saving
and sample pictures do not count.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motion_jax import files
from motion_jax.config import Config, config_hash, differences
from motion_jax.devices import mesh as meshes
from motion_jax.errors import UserError, option
from motion_jax.plan.methods import with_steps
from motion_jax.plan.suggest import LOOP
from motion_jax.profiling.cost import step_seconds
from motion_jax.progress import say
from motion_jax.train.checkpoint import newest_record
from motion_jax.train.loop import train
from motion_jax.train.run import read_config
from motion_jax.train.step import compiled_step, step_inputs

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
# Of the seconds planned with: the rest is for a machine that is a little slower than it was.
FILLED = 0.95


def parse_budget(text: str) -> float:
    """Seconds of "90s", "10m", "1.5h" or "600". Raises UserError for anything else, and for 0."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([smh]?)", text.strip().lower())
    seconds = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not seconds:
        raise UserError(
            f"{option('budget')} {text} is no time to train; give seconds, minutes or hours, for "
            "example 90s, 10m or 1h."
        )
    return seconds


def show_seconds(seconds: float) -> str:
    """As --budget takes it: "90s", "10m"."""
    if seconds >= 60 and seconds % 60 == 0:
        return f"{seconds / 60:g}m"
    return f"{seconds:g}s"


@dataclass(frozen=True)
class Plan:
    """How a method uses its budget.

    Attributes:
      config: with the steps that fit.
      limits: by stage, the seconds after which it ends all the same.
      step_seconds: by stage, of one step, measured on this machine.
    """

    config: Config
    limits: dict[str, float]
    step_seconds: dict[str, float]


def plan(
    name: str,
    config: Config,
    shares: Mapping[str, float],
    budget: float,
    step_seconds: Mapping[str, float],
) -> Plan:
    """Chooses the steps. Raises UserError where not even one step of each stage fits.

    Args:
      name: of the method, for the message.
      config: as methods.base_config makes it; shares: of its stages, together 1.
      budget: seconds; step_seconds: by stage, of one step.
    """
    least = sum(step_seconds.values())
    if least > budget:
        what = "one step" if len(shares) == 1 else f"one step of each of its {len(shares)} stages"
        raise UserError(
            f"{option('budget')} {show_seconds(budget)} is too small for {name}: {what} takes "
            f"{least:.2g} s on this machine; give {math.ceil(least)}s or more (minutes, for a "
            "result worth seeing), or leave the method out."
        )
    limits = {stage: share * budget for stage, share in shares.items()}
    steps = {stage: max(1, int(FILLED * limits[stage] / step_seconds[stage])) for stage in shares}
    return Plan(with_steps(config, steps), limits, dict(step_seconds))


def measure(config: Config) -> dict[str, float]:
    """Seconds of one step of each stage on this machine, input included: compiles each and runs it
    a few times."""
    found = {}
    for name in config.recipe.stages():
        mesh = meshes.of_stage(config.devices, config.recipe.stages()[name], name)
        inputs = step_inputs(config, name, mesh)
        step: Any = compiled_step(config, name, mesh)  # jit and pmap both can be lowered
        compiled = step.lower(*inputs).compile()
        found[name] = LOOP * step_seconds(compiled, inputs, usual=True)
    return found


class Times:
    """Measured seconds a step, kept in a file, so that a second call plans as the first one did."""

    def __init__(self, path: Path):
        self.path = path

    def of(self, name: str, config: Config, anew: bool = False) -> dict[str, float]:
        """By stage; measured where it is not known of this config, or `anew`."""
        known = json.loads(self.path.read_text()) if self.path.is_file() else {}
        key = config_hash(config)
        if anew or known.get(name, {}).get("config") != key:
            if not anew:
                say(f"{name}: compiling, to see how long a step takes here …")
            known[name] = {"config": key, "step_seconds": measure(config)}
            files.write_json(self.path, known)
        return known[name]["step_seconds"]


@dataclass(frozen=True)
class Outcome:
    """What training was.

    Attributes:
      seconds: of steps; compile_seconds: besides.
      steps, planned: by stage.
      reused: nothing was left to train.
    """

    seconds: float
    compile_seconds: float
    steps: dict[str, int]
    planned: dict[str, int]
    reused: bool


def train_within(name: str, made: Plan, data: Path, folder: Path, command: str) -> Outcome:
    """Trains a run folder within its plan, goes on with it, or finds it done.

    Raises UserError where the folder holds a run of other settings."""
    checkpoints = folder / "checkpoints"
    record, last = newest_record(checkpoints), list(made.limits)[-1]
    reused = bool(record) and record["stage"] == last and bool(record.get("ended"))
    if reused:
        before = read_config(folder)
        assert before is not None, "a run with a checkpoint has its config"
        _check_same(name, before, made.config, folder)
        say(f"{name} is trained already; {folder} is used as it is.")
    else:
        steps = ", ".join(
            f"{stage.steps} of {stage.width}x{stage.height} ({label})"
            for label, stage in made.config.recipe.stages().items()
        )
        say(f"{name}: training, {sum(made.limits.values()):.4g} s for the steps {steps}")
        train(made.config, data, folder, command=command, limits=made.limits)
        record = newest_record(checkpoints)
    config = read_config(folder)
    assert config is not None, "a run that was trained has its config"
    return _outcome(record, config, reused)


def _check_same(name: str, before: Config, now: Config, folder: Path) -> None:
    """The number of steps may differ: it depends on how quick the machine was."""
    wrong = [
        line
        for line in differences(before, now)
        if not line.split(":")[0].endswith(("_stage.steps", "_stage.decay_steps"))
    ]
    if wrong:
        raise UserError(
            f"{folder} was trained with other settings ({'; '.join(wrong[:3])}); remove that "
            f"folder to train {name} anew, or choose another {option('out')}."
        )


def _outcome(record: Mapping[str, Any], config: Config, reused: bool) -> Outcome:
    return Outcome(
        sum(record["step_seconds"].values()),
        record["compile_seconds"],
        dict(record["steps_done"]),
        {name: stage.steps for name, stage in config.recipe.stages().items()},
        reused,
    )
