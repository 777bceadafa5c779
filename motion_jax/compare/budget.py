"""An equal number of training seconds for every method.

Each stage ends when its seconds are over (`train(limits=…)`), and its learning rate falls with the
time, so every method gets what it was promised on a quick and on a slow machine. The steps are
timed first, to see whether a stage can do anything in its time, and so that more steps are planned
than the time is enough for. Every step is compiled once: the program that was timed is the one that
trains. Seconds are those of steps; compiling, saving and sample pictures do not count.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from motion_jax import files
from motion_jax.compare.duration import show_seconds
from motion_jax.config import Config, config_hash, differences
from motion_jax.data.records import open_dataset
from motion_jax.devices import mesh as meshes
from motion_jax.errors import UserError, option
from motion_jax.plan.methods import with_steps
from motion_jax.plan.suggest import LOOP
from motion_jax.profiling.cost import step_seconds
from motion_jax.progress import say
from motion_jax.recipes import schedule
from motion_jax.recipes.state import Kind
from motion_jax.train.checkpoint import newest_record
from motion_jax.train.dataset import open_batches, with_background
from motion_jax.train.loop import train
from motion_jax.train.run import read_config
from motion_jax.train.step import compile_ahead, compiled_step, step_inputs

# Steps planned, of those that fit by the time measured: the clock is to end a stage, also where the
# machine turns out quicker than it was.
PLANNED = 2.0
# A face stage of fewer steps leaves faces worse than they were without it (a judgement).
LEAST_FACE_STEPS = 50


@dataclass(frozen=True)
class Plan:
    """How a method uses its budget.

    Attributes:
      config: with more steps than will fit.
      limits: by stage, the seconds after which it ends in any case.
    """

    config: Config
    limits: dict[str, float]


def plan(
    name: str,
    config: Config,
    shares: Mapping[str, float],
    budget: float,
    step_seconds: Mapping[str, float],
) -> Plan:
    """Shares out the seconds. A face stage that its share cannot feed is left out, and the others
    get its time. Raises UserError where not even one step of each stage fits.

    Args:
      name: of the method, for the message.
      config: as methods.base_config makes it; shares: of its stages, together 1.
      budget: seconds; step_seconds: by stage, of a step, as `Programs` measures them.
    """
    least = sum(step_seconds.values())
    if least > budget:
        what = "one step" if len(shares) == 1 else f"one step of each of its {len(shares)} stages"
        raise UserError(
            f"{option('budget')} {show_seconds(budget)} is too small for {name}: {what} takes "
            f"{least:.2g} s on this machine; give {math.ceil(least)}s or more (minutes, for a "
            "result worth seeing), or leave the method out."
        )
    fed = budget * shares.get("face", 0.0) / step_seconds.get("face", 1.0)
    if "face" in shares and len(shares) > 1 and fed < LEAST_FACE_STEPS:
        rest = {stage: share for stage, share in shares.items() if stage != "face"}
        shares = {stage: share / sum(rest.values()) for stage, share in rest.items()}
        config = with_steps(config, {"face": 0})
    limits = {stage: share * budget for stage, share in shares.items()}
    steps = {
        stage: max(2, math.ceil(PLANNED * limits[stage] / step_seconds[stage])) for stage in shares
    }
    return Plan(with_steps(config, steps), limits)


@dataclass
class Measured:
    """What is known of a method's steps.

    Attributes:
      step_seconds: by stage, of a step.
      compile_seconds: how long compiling took.
      programs: by stage and kind; empty where they were measured by another process.
      inputs: of the programs of a stage, as shapes.
    """

    step_seconds: dict[str, float]
    compile_seconds: float = 0.0
    programs: dict[tuple[str, Kind], Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)


def whole_rhythm(config: Config) -> Config:
    """The config with as many steps in each stage as it takes to come to every kind of step."""
    recipe = config.recipe
    whole = {name: math.lcm(*recipe.rhythm(name).values()) for name in recipe.stages()}
    return with_steps(config, whole)


def measure(config: Config, data: Path | None = None) -> Measured:
    """Compiles a step of each kind of each stage, and times it on this machine, input included: the
    mean over the stage's rhythm of steps (Recipe.rhythm).

    data: the dataset, which says what a batch holds.
    """
    config, found = whole_rhythm(config), Measured({})
    dataset = None if data is None else with_background(open_dataset(data), config)
    for name, stage in config.recipe.stages().items():
        mesh = meshes.of_stage(config.devices, stage, name)
        state, batch, frozen = step_inputs(config, name, mesh)
        if dataset is not None:
            here = replace(config, data=replace(config.data, workers=0))
            with open_batches(
                dataset, here, name, 0, meshes.data_rows(mesh, stage.batch_size)
            ) as b:
                batch = jax.tree.map(_shape, meshes.place(next(b), mesh))
        share = jax.ShapeDtypeStruct((), np.float32, sharding=meshes.replicated(mesh))
        found.inputs[name] = state, batch, {**frozen, schedule.BY_CLOCK: share}
        for kind in config.recipe.kinds(name):
            begun = time.monotonic()
            # Any: jit and pmap both can be lowered.
            step: Any = compiled_step(config, name, mesh, kind)
            found.programs[name, kind] = compile_ahead(step, *found.inputs[name])
            found.compile_seconds += time.monotonic() - begun
    return timed(config, found)


def _shape(array: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)


def timed(config: Config, known: Measured) -> Measured:
    """The same programs, timed (again)."""
    recipe = whole_rhythm(config).recipe
    seconds = {
        name: LOOP
        * sum(
            share * step_seconds(known.programs[name, kind], inputs, usual=True)
            for kind, share in recipe.kinds(name).items()
        )
        for name, inputs in known.inputs.items()
    }
    return replace(known, step_seconds=known.step_seconds | seconds)


class Times:
    """What is known of the methods' steps; seconds are kept in a file, so that a second call plans
    as the first one did, and programs in memory."""

    def __init__(self, path: Path):
        self.path = path
        self._programs: dict[str, Measured] = {}

    def known(self, name: str, config: Config) -> bool:
        """Whether nothing of it need be compiled to plan with."""
        return self._kept().get(name, {}).get("config") == config_hash(config)

    def of(
        self, name: str, config: Config, data: Path | None = None, again: bool = False
    ) -> Measured:
        """Measured where it is not known of this config, or always (`again`)."""
        kept, here = self._kept(), self._programs.get(name)
        if again or not self.known(name, config):
            if here is None:
                say(f"{name}: compiling …")
                here = measure(config, data)
            else:
                here = timed(config, here)
            self._programs[name] = here
            kept[name] = {
                "config": config_hash(config),
                "step_seconds": here.step_seconds,
                "compile_seconds": here.compile_seconds,
            }
            files.write_json(self.path, kept)
        entry = kept[name]
        # Files of older versions have no compile_seconds.
        found = Measured(entry["step_seconds"], entry.get("compile_seconds", 0.0))
        return found if here is None else replace(here, step_seconds=entry["step_seconds"])

    def drop(self, name: str) -> None:
        """Forgets its programs, which take memory."""
        self._programs.pop(name, None)

    def _kept(self) -> dict[str, Any]:
        return json.loads(self.path.read_text()) if self.path.is_file() else {}


@dataclass(frozen=True)
class Outcome:
    """A finished training.

    Attributes:
      seconds: of steps; compile_seconds: besides.
      steps: made, by stage.
    """

    seconds: float
    compile_seconds: float
    steps: dict[str, int]


def train_within(
    name: str, made: Plan, data: Path, folder: Path, command: str, known: Measured
) -> Outcome:
    """Trains a run folder within its plan, goes on with it, or finds it done; known: of its steps.

    Raises UserError where the folder holds a run of other settings."""
    record, last = newest_record(folder / "checkpoints"), list(made.limits)[-1]
    if record and record["stage"] == last and record.get("ended"):
        before = read_config(folder)
        assert before is not None, "a run with a checkpoint has its config"
        _check_same(name, before, made.config, folder)
        say(f"{name} is trained already; {folder} is used as it is.")
    else:
        stages = ", ".join(
            f"{made.limits[label]:.4g} s at {stage.width}x{stage.height} ({label})"
            for label, stage in made.config.recipe.stages().items()
        )
        say(f"{name}: training, {stages}")
        train(
            made.config,
            data,
            folder,
            command=command,
            limits=made.limits,
            programs=known.programs,
        )
        record = newest_record(folder / "checkpoints")
    return Outcome(
        sum(record["step_seconds"].values()),
        # What was compiled before training, and what in it.
        known.compile_seconds + record["compile_seconds"],
        dict(record["steps_done"]),
    )


def left(folders: Sequence[Path], budget: float) -> float:
    """Seconds of training that are left of runs with a budget each (seconds)."""
    return sum(_left(folder, budget) for folder in folders)


def _left(folder: Path, budget: float) -> float:
    record, config = newest_record(folder / "checkpoints"), read_config(folder)
    if not record or config is None:
        return budget
    if record["stage"] == list(config.recipe.stages())[-1] and record.get("ended"):
        return 0.0
    return max(budget - sum(record["step_seconds"].values()), 0.0)


def sentence(config: str, plan: Plan, outcome: Outcome) -> str:
    """How a method was trained. config: the name of the shipped one."""
    recipe = plan.config.recipe
    stages = ", ".join(
        f"{outcome.steps.get(name, 0)} steps of {stage.batch_size}"
        f"{' windows' if stage.window > 1 else ''} at {stage.width}x{stage.height} ({name})"
        for name, stage in recipe.stages().items()
    )
    return f"Config {config} with generators of width {recipe.network_size('width')}: {stages}."


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
            f"folder to train {name} again, or choose another {option('out')}."
        )
