"""The training loop: the stages of a recipe in order, from where an earlier process left off.

Order on start: the run's own checkpoint, else from scratch. Each stage is one compiled step; the
loop hands it batches and never waits for its result, except through the recorder, one interval
late.
"""

import contextlib
import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from motion_jax import mesh as meshes
from motion_jax.config import Config, differences
from motion_jax.data.inputs import check_data, open_batches
from motion_jax.data.records import PoseFrames, open_dataset
from motion_jax.errors import UserError
from motion_jax.files import check_writable
from motion_jax.memory import give_back_freed_memory
from motion_jax.port.vgg19 import load_vgg19
from motion_jax.progress import say
from motion_jax.recipes.state import State
from motion_jax.train import imported
from motion_jax.train import run as runs
from motion_jax.train.checkpoint import Checkpoints
from motion_jax.train.page import write_page
from motion_jax.train.record import Recorder, rewind_metrics
from motion_jax.train.samples import Sampler
from motion_jax.train.trace import StepTracer, step_marker


class Interrupted(Exception):
    """A signal asked for an end; everything is saved. Carries the exit status."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


def train(
    config: Config, data: Path, folder: Path, *, vgg: Path | None = None, command: str = ""
) -> None:
    """Trains what the config describes, or goes on with it.

    Args:
      config: the experiment.
      data: a prepared dataset.
      folder: the run directory; made where absent, continued where it holds this config's run.
      vgg: VGG-19 weights; None takes those of `motion-jax fetch vgg19`.
      command: the command line, for the record.
    Raises:
      UserError: settings, dataset and run directory that do not fit together; a NaN.
      Interrupted: SIGINT or SIGTERM, after saving.
    """
    config.validate()
    dataset = open_dataset(data)
    stages = config.recipe.stages()
    # The largest first: its size is the one to prepare a dataset at.
    for name in sorted(stages, key=lambda name: -stages[name].height):
        check_data(dataset, config, name)
    frozen = load_frozen(config, vgg)
    _check_run(folder, config, dataset)
    offsets, total = {}, 0
    for name, stage in stages.items():
        offsets[name], total = total, total + stage.steps
    always = [offsets[name] + stage.steps for name, stage in stages.items()]
    with contextlib.ExitStack() as stack:
        stack.enter_context(_alone(folder))
        runs.describe(folder, config, dataset, command)
        signals = stack.enter_context(_Signals())
        checkpoints = stack.enter_context(
            Checkpoints(folder / "checkpoints", config.record.keep, always)
        )
        latest = checkpoints.latest()
        if latest == total:
            say(f"{folder} is trained to its last step ({total}); nothing is left to do.")
            write_page(folder)
            return
        state, begun, record = _resume(config, checkpoints, folder)
        for name, stage in stages.items():
            if begun is not None and list(stages).index(name) < list(stages).index(begun):
                continue
            if begun != name:
                previous, record = state, record | {"step": 0, "position": 0}
                state = _begin(config, name, previous)
                del previous
            if record["step"] < stage.steps:
                state, record = _run_stage(
                    config,
                    name,
                    state,
                    record,
                    dataset,
                    frozen,
                    offsets[name],
                    folder,
                    checkpoints,
                    signals,
                )
            begun = None
        write_page(folder)
    say(f"Trained: {total} steps, {record['images']} images, in {folder}")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps other processes of this machine from training in the folder at the same time: each
    would remove the other's half-written checkpoints."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"Another motion-jax train is using {folder}; wait for it, stop it with Ctrl-C, or "
                "choose another --run folder."
            ) from error
        yield
    finally:
        os.close(lock)


def load_frozen(config: Config, vgg: Path | None) -> dict[str, Any]:
    """The parameters that losses need and nobody trains."""
    return {"vgg19": load_vgg19(vgg)} if config.recipe.needs_vgg19 else {}


def _begin(config: Config, name: str, previous: State | None) -> State:
    index = list(config.recipe.stages()).index(name)
    key = jax.random.fold_in(jax.random.key(config.seed), index)
    return jax.jit(lambda key, previous: config.recipe.init(key, name, previous))(key, previous)


def _resume(
    config: Config, checkpoints: Checkpoints, folder: Path
) -> tuple[State | None, str | None, dict[str, Any]]:
    """The state to go on from, its stage, its record; (None, None, zeros) from scratch."""
    latest = checkpoints.latest()
    if latest is None:
        rewind_metrics(folder, -1)
        return None, None, {"step": 0, "position": 0, "seconds": 0.0, "images": 0, "total_step": 0}
    record = checkpoints.record(latest)
    name = record["stage"]
    mesh = meshes.data_mesh(config.recipe.stages()[name].batch_size)
    if imported.untouched(record):
        rewind_metrics(folder, -1)
        state = imported.begin(config, record, checkpoints, latest, meshes.replicated(mesh))
        return state, name, record
    state = checkpoints.restore(latest, abstract_state(config, name, meshes.replicated(mesh)))
    rewind_metrics(folder, latest)
    say(f"Going on from step {record['step']} of the {name} stage ({folder}).")
    return state, name, record


def abstract_state(config: Config, name: str, sharding: Any) -> State:
    """Shapes, types and shardings of a stage's state, without computing it."""
    shapes = jax.eval_shape(lambda key: config.recipe.init(key, name), jax.random.key(0))
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes
    )


def compiled_step(config: Config, name: str, mesh: Any) -> Callable[..., Any]:
    """The stage's train step, jitted: (state, batch, frozen) -> (state, metrics); state is
    donated."""
    replicated, over_data = meshes.replicated(mesh), meshes.over_data(mesh)

    def step(state: State, batch: Any, frozen: Any) -> tuple[State, Any]:
        return config.recipe.train_step(state, batch, name, frozen)

    return jax.jit(
        step,
        in_shardings=(replicated, over_data, replicated),
        out_shardings=(replicated, replicated),
        donate_argnums=0,
    )


def compile_ahead(step: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """A jitted step compiled for these arguments, which are not consumed. Compiling's memory is
    given back before anything runs, so that it does not add to the step's peak."""
    compiled = step.lower(*arguments).compile()
    give_back_freed_memory()
    return compiled


def _run_stage(
    config: Config,
    name: str,
    state: State,
    record: dict[str, Any],
    dataset: PoseFrames,
    frozen: dict[str, Any],
    offset: int,
    folder: Path,
    checkpoints: Checkpoints,
    signals: "_Signals",
) -> tuple[State, dict[str, Any]]:
    stage, settings = config.recipe.stages()[name], config.record
    mesh = meshes.data_mesh(stage.batch_size)
    state = jax.device_put(state, meshes.replicated(mesh))
    frozen = jax.device_put(frozen, meshes.replicated(mesh))
    train_step = None
    start = record["step"]
    # Where imported weights came from stays on record.
    origin = {key: value for key, value in record.items() if key == "imported"}
    say(
        f"Stage {name}: {stage.steps - start} steps of {stage.batch_size} x {stage.window} frames "
        f"at {stage.width}x{stage.height}; compiling (a minute, the first time perhaps more) …"
    )

    def last_good() -> str:
        latest = checkpoints.latest()
        if latest is None:
            return "there is no checkpoint yet"
        return f"the last good checkpoint is {checkpoints.folder / str(latest)}"

    recorder = Recorder(
        folder,
        stage=name,
        offset=offset,
        start=start,
        steps=stage.steps,
        frames_per_step=stage.batch_size * stage.window,
        log_every=settings.log_every,
        seconds=record["seconds"],
        images=record["images"],
        last_good=last_good,
    )
    sampler = Sampler(
        folder,
        config,
        name,
        dataset,
    )
    examples = open_batches(dataset, config, name, record["position"])
    tracer = StepTracer(folder / "trace" / name if settings.trace else None)
    with recorder, sampler, examples, tracer:
        saved_at = time.monotonic()
        for step in range(start + 1, stage.steps + 1):
            tracer.begin(step, state)
            with step_marker(step):
                asked = time.monotonic()
                batch = meshes.place(next(examples), mesh)
                recorder.waited(time.monotonic() - asked)
                if train_step is None:
                    jitted = compiled_step(config, name, mesh)
                    train_step = compile_ahead(jitted, state, batch, frozen)
                state, metrics = train_step(state, batch, frozen)
            tracer.end(step, state)
            rate = config.recipe.learning_rate_at(name, step - 1)
            recorder.step(step, metrics, rate)
            last = step == stage.steps
            sampled = step % settings.sample_every == 0 or last
            if sampled:
                sampler.sample(config.recipe.synthesis_params(state), offset + step)
            due = settings.checkpoint_every and step % settings.checkpoint_every == 0
            due = due or time.monotonic() - saved_at >= 60 * settings.checkpoint_minutes
            if last or due or signals.received:
                record = origin | {
                    "stage": name,
                    "step": step,
                    "total_step": offset + step,
                    "position": step * stage.batch_size,
                    "seconds": recorder.seconds,
                    "images": recorder.images,
                }
                # A state that holds a NaN must not become the newest checkpoint.
                recorder.check(step, metrics, state.params)
                checkpoints.save(offset + step, state, record)
                saved_at = time.monotonic()
            if sampled:
                write_page(folder)
            if signals.received:
                checkpoints.wait()
                raise Interrupted(
                    128 + signals.received,
                    f"Stopped by {signal.Signals(signals.received).name} after step {step} of the "
                    f"{name} stage; saved. The same command goes on from here.",
                )
    checkpoints.wait()
    return state, record


def _check_run(folder: Path, config: Config, dataset: PoseFrames) -> None:
    """Refuses a run directory of something else, before anything is written to it."""
    check_writable(folder)
    existing = runs.read_config(folder)
    if existing is None:
        strange = [p.name for p in folder.iterdir() if not p.name.startswith(".")]
        if strange:
            raise UserError(
                f"{folder} is not empty and no run of motion_jax ({strange[0]} is in it); choose "
                "another --run folder."
            )
        return
    untouched = imported.untouched_record(folder)
    if untouched is not None:
        # Nothing was trained with other settings or on another dataset yet.
        imported.check_config(untouched, existing, config, folder)
        return
    differing = differences(existing, config)
    if differing:
        raise UserError(
            f"{folder} holds a run of another config ({'; '.join(differing[:5])}); choose another "
            "--run folder, or give the settings that it was begun with."
        )
    known = runs.read_dataset(folder)
    if known["fingerprint"] != runs.fingerprint(dataset):
        raise UserError(
            f"{folder} was trained on another dataset ({known['path']}) than {dataset.folder}; "
            "choose another --run folder, or give that dataset."
        )


class _Signals:
    """Notes SIGINT and SIGTERM instead of dying; a second one acts as usual. Context manager."""

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "_Signals":
        # Only the main thread may set handlers; elsewhere (a notebook's, a test's) they stay.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, _: object) -> None:
        self.received = number
        print("\nStopping after this step and saving; once more to stop at once.", file=sys.stderr)
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
