"""Runs some steps of a stage as training does, and measures: start, steps, waiting, memory."""

import contextlib
import itertools
import math
import tempfile
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from motion_jax import puppet
from motion_jax.config import Config
from motion_jax.devices import mesh as meshes
from motion_jax.pose.face import face_boxes
from motion_jax.progress import say
from motion_jax.train import trace
from motion_jax.train.record import IN_FLIGHT
from motion_jax.train.step import compiled_step, place_state

# Steps before the traced ones that are timed, after some that warm up.
TIMED_FROM = 4


@dataclass
class Start:
    """Seconds from nothing to the first finished step.

    Attributes:
      state: making the initial state, or restoring it.
      tracing: from Python to a program for the compiler.
      compiling: by XLA, or reading the program from the cache.
      total: all of it, with the first step and what lies between.
    """

    state: float
    tracing: float
    compiling: float
    total: float


@dataclass
class Measured:
    """What some steps took.

    Attributes:
      cold, warm: the first step with an empty and with a filled compilation cache.
      compilations: programs compiled by each function before the first step was done;
        recompilations: after it (none in a sound training).
      step_seconds: of one step, without a trace; traced_seconds: with one.
      input_wait: share of the untraced time that the loop spent waiting for a batch.
      executable: of the step.
      folder: of the trace.
    """

    cold: Start
    warm: Start
    step_seconds: float
    traced_seconds: float
    input_wait: float
    executable: jax.stages.Compiled
    folder: Path
    compilations: Counter[str] = field(default_factory=Counter)
    recompilations: Counter[str] = field(default_factory=Counter)


def synthetic_batch(config: Config, stage: str) -> dict[str, np.ndarray]:
    """A batch as the loader makes them: a drawn dancer's poses before noise."""
    size, random = config.recipe.stages()[stage], np.random.default_rng(0)

    def made(shape: tuple[int, ...], dtype: str) -> np.ndarray:
        if dtype.startswith("uint"):
            return random.integers(0, 256, shape, dtype)
        count = math.prod(shape[:-2] if shape[-2:] == (137, 3) else shape[:-1])
        motion = puppet.dance(count + 25)
        keypoints = puppet.pose(puppet.CHARACTERS["ben"], motion, size.height, size.width)[:count]
        values = face_boxes(keypoints, size.height, size.width) if shape[-1] == 4 else keypoints
        return values.reshape(shape).astype(dtype)

    shapes = config.recipe.reading(stage).shapes()
    return {name: made(*shape) for name, shape in shapes.items()}


def synthetic_batches(config: Config, stage: str) -> Iterator[dict[str, np.ndarray]]:
    """The same batch again and again."""
    return itertools.repeat(synthetic_batch(config, stage))


def initial_state(config: Config, stage: str, mesh: Any) -> Any:
    """As training makes it, laid out over the mesh."""

    def initial_state(key: jax.Array) -> Any:
        return config.recipe.init(key, stage)

    return place_state(jax.jit(initial_state)(jax.random.key(config.seed)), config, mesh)


def frozen_parameters(config: Config, mesh: Any) -> dict[str, Any]:
    """Of the networks that losses need. Random: their values change no time."""
    made = {
        name: jax.jit(network.random)(jax.random.key(0))
        for name, network in config.recipe.pretrained().items()
    }
    return jax.device_put(made, meshes.replicated(mesh))


def measure(
    config: Config,
    stage: str,
    batches: Iterator[dict[str, np.ndarray]],
    folder: Path,
    make_state: Callable[[], Any] | None = None,
) -> Measured:
    """Runs a stage's first steps and traces steps 10 to 14.

    Args:
      batches: as the loader makes them.
      folder: where the trace is written.
      make_state: the state to begin with, laid out over `mesh.of_stage`; None: a fresh one.
    """
    mesh, recipe = (
        meshes.of_stage(config.devices, config.recipe.stages()[stage], stage),
        config.recipe,
    )
    frozen = frozen_parameters(config, mesh)
    make_state = make_state or (lambda: initial_state(config, stage, mesh))
    first = next(batches)

    def begin() -> tuple[Start, Counter[str], Any, Any]:
        """A start as of a new process, but for what Python has imported."""
        jax.clear_caches()
        begun = time.perf_counter()
        with Compilations() as done:
            state = jax.block_until_ready(make_state())
            made = time.perf_counter()
            steps = {kind: compiled_step(config, stage, mesh, kind) for kind in recipe.kinds(stage)}
            state, metrics = steps[recipe.kind_of(stage, 1)](
                state, meshes.place(first, mesh), frozen
            )
            jax.block_until_ready((state, metrics))
        ended = time.perf_counter()
        tracing, compiling = done.seconds_of("step")
        return Start(made - begun, tracing, compiling, ended - begun), done.names, steps, state

    with tempfile.TemporaryDirectory() as cache, _compilation_cache(cache):
        say(f"Compiling the {stage} stage anew …")
        cold, *_ = begin()
        say(f"Compiled in {cold.compiling:.1f} s; once more, from the cache …")
        warm, names, steps, state = begin()
        executable = (
            steps[recipe.usual_kind(stage)]
            .lower(state, meshes.place(first, mesh), frozen)
            .compile()
        )
    say(f"Running {trace.LAST_STEP} steps …")
    waited = 0.0
    in_flight: deque[Any] = deque()

    def run(number: int) -> None:
        nonlocal state, waited
        with trace.step_marker(number):
            asked = time.perf_counter()
            batch = meshes.place(next(batches), mesh)
            waited += time.perf_counter() - asked
            state, metrics = steps[recipe.kind_of(stage, number)](state, batch, frozen)
        in_flight.append(metrics)
        if len(in_flight) > IN_FLIGHT:
            jax.block_until_ready(in_flight.popleft())

    def timed(numbers: range) -> float:
        begun = time.perf_counter()
        for number in numbers:
            run(number)
        jax.block_until_ready(state)
        return (time.perf_counter() - begun) / len(numbers)

    with Compilations() as later:
        timed(range(2, TIMED_FROM))
        waited = 0.0
        numbers = range(TIMED_FROM, trace.FIRST_STEP)
        seconds = timed(numbers)
        wait = waited / (seconds * len(numbers))
        with trace.tracing(folder):
            traced = timed(range(trace.FIRST_STEP, trace.LAST_STEP + 1))
    return Measured(
        cold=cold,
        warm=warm,
        step_seconds=seconds,
        traced_seconds=traced,
        input_wait=min(wait, 1.0),
        executable=executable,
        folder=folder,
        compilations=names,
        recompilations=later.names,
    )


@contextlib.contextmanager
def _compilation_cache(folder: str) -> Iterator[None]:
    """Another folder for compiled programs, for a while."""
    # jax makes its settings while it is imported.
    before = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]  # see above
    jax.config.update("jax_compilation_cache_dir", folder)
    compilation_cache.reset_cache()
    try:
        yield
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
        compilation_cache.reset_cache()


class Compilations:
    """Counts and times what jax compiles inside the block, by the function's name."""

    _TRACING = ("/jax/core/compile/jaxpr_trace_duration",
                "/jax/core/compile/jaxpr_to_mlir_module_duration")  # fmt: skip
    _COMPILING = "/jax/core/compile/backend_compile_duration"

    def __init__(self) -> None:
        self.names: Counter[str] = Counter()
        self._tracing: defaultdict[str, float] = defaultdict(float)
        self._compiling: defaultdict[str, float] = defaultdict(float)

    def seconds_of(self, function: str) -> tuple[float, float]:
        """(tracing, compiling) of a function."""

        def of(seconds_by_name: dict[str, float]) -> float:
            return sum(s for name, s in seconds_by_name.items() if _plain(name) == function)

        return of(self._tracing), of(self._compiling)

    def _note(self, event: str, duration_secs: float, **details: Any) -> None:
        name = str(details.get("fun_name", ""))
        if event == self._COMPILING:
            self.names[_plain(name)] += 1
            self._compiling[name] += duration_secs
        elif event in self._TRACING:
            self._tracing[name] += duration_secs

    def __enter__(self) -> "Compilations":
        jax.monitoring.register_event_duration_secs_listener(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        jax.monitoring.unregister_event_duration_listener(self._note)


def _plain(name: str) -> str:
    """jit(step) -> step, jit_step -> step."""
    return name.removeprefix("jit(").removesuffix(")").removeprefix("jit_")
