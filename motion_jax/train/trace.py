"""Traces of training steps, for XProf, TensorBoard and `motion-jax profile`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from motion_jax.files import writing
from motion_jax.progress import say
from motion_jax.train.journal import going_on

FIRST_STEP, LAST_STEP = 10, 14
# The name of the step markers.
STEP = "train"


@contextlib.contextmanager
def tracing(folder: Path) -> Iterator[None]:
    """Traces the block into folder/plugins/profile/TIME, for XProf and TensorBoard (.xplane.pb).

    Python's own calls are left out: they would slow the loop down and hide all else.
    """
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    with writing(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
    jax.profiler.start_trace(str(folder), profiler_options=options)
    try:
        yield
    finally:
        with writing(folder):
            jax.profiler.stop_trace()


def step_marker(step: int) -> Any:
    """A context manager that marks a training step in a trace (it costs nothing without one)."""
    return jax.profiler.StepTraceAnnotation(STEP, step_num=step)


class StepTracer:
    """Traces steps 10 to 14 of a training loop into a folder (None: nothing); a context manager. A
    process that begins later than step 10, or in which another trace is under way, makes none."""

    def __init__(self, folder: Path | None):
        self._folder, self._open = folder, contextlib.ExitStack()

    def begin(self, step: int, state: Any) -> None:
        """Before a step; `state` is what the step before it left."""
        if step == FIRST_STEP and self._folder is not None:
            # Steps that are still under way do not belong to the trace.
            jax.block_until_ready(state)
            try:
                with going_on("The trace"):
                    self._open.enter_context(tracing(self._folder))
            except RuntimeError as error:
                say(f"No trace of steps {FIRST_STEP} to {LAST_STEP}: {error}")

    def end(self, step: int, state: Any) -> None:
        """After a step was dispatched."""
        if step == LAST_STEP and self._folder is not None:
            jax.block_until_ready(state)
            with going_on("The trace"):
                self._open.close()

    def __enter__(self) -> "StepTracer":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
