"""The training loop: the stages of a recipe in order, from the newest checkpoint or from scratch.

Each stage is one compiled step; the loop hands it batches and never waits for its result, except
through the recorder, one interval late.
"""

import contextlib
import itertools
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from motion_jax import events
from motion_jax.config import Config, to_json
from motion_jax.data.plates import write_plates
from motion_jax.data.records import PoseFrames, open_dataset
from motion_jax.devices import mesh as meshes
from motion_jax.devices.processes import Job, Place, join
from motion_jax.errors import UserError, marked, option
from motion_jax.events import Interrupted, Observer, StopToken
from motion_jax.progress import say, warn
from motion_jax.recipes import schedule
from motion_jax.recipes.pretrained import load_all
from motion_jax.recipes.state import Kind, State
from motion_jax.train import heldout
from motion_jax.train import run as runs
from motion_jax.train.checkpoint import Checkpoints
from motion_jax.train.checkpoint_record import Lowered, Record
from motion_jax.train.dataset import check_data, fitted, with_background
from motion_jax.train.feed import Feed
from motion_jax.train.folder import check_run, check_shared, exclusive_use
from motion_jax.train.guard import Collapsed, Watch, lowered
from motion_jax.train.journal import going_on
from motion_jax.train.page import write_page
from motion_jax.train.record import NotFinite, Recorder
from motion_jax.train.resume import begin_stage, on_one_device, onto, resume, shared_facts
from motion_jax.train.retention import Keep
from motion_jax.train.samples import Sampler
from motion_jax.train.step import check_layout, compile_ahead, compiled_step, step_inputs
from motion_jax.train.trace import StepTracer, step_marker

# After a save that failed the next one is tried this soon.
RETRY_MINUTES = 1.0


def train(
    config: Config,
    data: Path | None,
    folder: Path,
    *,
    vgg: Path | None = None,
    command: str = "",
    place: Place | None = None,
    wait_seconds: float = 300.0,
    limits: Mapping[str, float] | None = None,
    programs: Mapping[tuple[str, Kind], Any] | None = None,
    observer: Observer | None = None,
    stop: StopToken | None = None,
) -> None:
    """Trains what the config describes, or goes on with it.

    Args:
      config: the experiment.
      data: a prepared dataset; None for a recipe that takes none.
      folder: the run directory; made where absent, continued where it holds this config's run.
      vgg: VGG-19 weights; None takes those of `motion-jax fetch vgg19`.
      command: the command line, for the record.
      place: which process this is among several; None: it trains alone.
      wait_seconds: how long the processes may take to come together.
      limits: seconds by stage after which the stage ends, however many of its steps are left. Only
        steps count, not compiling, saving and samples; those of a stopped process of the run count,
        too. One step is always made. The learning rate falls with this time in place of the steps.
        Only for one process: the clocks of several differ.
      programs: of stages with limits, steps that are compiled already, by stage and kind, for
        inputs laid out as this loop lays them; others are compiled here.
      observer: is told what happens; stop: asks for an end after the step under way (see
        motion_jax.events; None: those of the caller). It is enough to ask one of several processes.
    Raises:
      UserError: settings, dataset and run directory that do not fit together; processes that do not
        come together or differ; a NaN or a collapsed discriminator; a last save that failed.
      Interrupted: was asked to stop, and has saved.
    """
    with events.watched(observer, stop):
        _train(
            config, data, folder, vgg, command, place, wait_seconds, limits or {}, programs or {}
        )
        events.emit(events.Done("train", folder), at=1.0)


def _train(
    config: Config,
    data: Path | None,
    folder: Path,
    vgg: Path | None,
    command: str,
    place: Place | None,
    wait_seconds: float,
    limits: Mapping[str, float],
    programs: Mapping[tuple[str, Kind], Any],
) -> None:
    opened: list[tuple[Config, PoseFrames | None]] = []

    def check() -> dict[str, str]:
        config.validate()
        dataset = None if data is None else open_dataset(data)
        if dataset is None and config.recipe.takes_dataset:
            raise UserError(f"This config is trained on a dataset; give one with {option('data')}.")
        stages = config.recipe.stages()
        # The largest first: a dataset is to be prepared at its size.
        for name in sorted(stages, key=lambda name: -stages[name].height):
            check_data(dataset, config, name)
        opened.append((fitted(config, dataset), dataset))
        return shared_facts(*opened[0])

    with contextlib.ExitStack() as stack:
        job = stack.enter_context(join(place, check, wait_seconds))
        [(config, dataset)] = opened
        if limits and job.count > 1:
            raise UserError(
                f"{option('minutes')} goes with one process alone, since the clocks of several "
                "differ; leave it out."
            )
        check_layout(config)
        frozen = load_frozen(config, vgg)
        check_best(config, dataset)
        if dataset is not None:
            dataset = with_background(dataset, config)
        if job.first:
            if text := config.recipe.found_out():
                say(text)
            check_run(folder, config, dataset)
            stack.enter_context(exclusive_use(folder))
            runs.write_description(folder, config, dataset, command)
            if dataset is not None and dataset.plates is not None:
                write_plates(folder, dataset.plates, dataset.clips)
        # Nobody reads the folder before process 0 has made it.
        token = (folder / "command.txt").read_text().splitlines()[-1] if job.first else ""
        host, token = job.share(f"{socket.gethostname()}\n{token}").split("\n")
        if not job.first:
            check_shared(folder, token + "\n", host)
        stack.enter_context(_stoppable(job))
        settings = config.record
        ends = list(itertools.accumulate(each.steps for each in config.recipe.stages().values()))
        keep = Keep(settings.keep, settings.keep_hours, ends, bool(settings.keep_best))
        checkpoints = stack.enter_context(Checkpoints(folder / "checkpoints", keep))
        training = _Training(config, folder, dataset, frozen, checkpoints, job, limits, programs)
        if checkpoints.latest() == ends[-1]:
            say(f"{folder} is trained to its last step ({ends[-1]}); nothing is left to do.")
        else:
            training.run()
        if job.first:
            with going_on("The run's page"):
                events.emit(events.FileWritten(write_page(folder, config.recipe)))
    if training.images:
        say(f"Trained: {training.steps} steps, {training.images} images, in {folder}")


@contextlib.contextmanager
def _stoppable(job: Job) -> Iterator[None]:
    """Within the block a stop is answered after the step under way."""
    events.emit(events.Stoppable(job.count))
    try:
        yield
    finally:
        events.emit(events.Stoppable(0))


def load_frozen(config: Config, vgg: Path | None) -> dict[str, Any]:
    """The parameters of networks that losses need and that are not trained."""
    return load_all(config.recipe.pretrained(), {"vgg19": vgg})


def check_best(config: Config, dataset: PoseFrames | None) -> None:
    """Raises UserError where record.keep_best is no loss of one of the stages, or nothing is held
    out to be scored."""
    best = config.record.keep_best
    if best == heldout.NAME:
        heldout.check(config, dataset)
        return
    for name in config.recipe.stages() if best else ():
        metrics: set[str] = set()
        for kind in config.recipe.kinds(name):
            _, found = jax.eval_shape(
                lambda s, b, f, n=name, k=kind: config.recipe.train_step(s, b, n, f, k),
                *step_inputs(config, name),
            )
            metrics |= set(found)
        if best not in metrics:
            raise UserError(
                f"record.keep_best = {best!r} is no loss of the {name} stage; use one of "
                f"{', '.join(sorted(metrics))}, or {heldout.NAME}."
            )


@dataclass
class _Training:
    """A run under way: what every stage needs, and what is handed on from stage to stage.

    Attributes:
      limits, programs: see train.
      images: seen in all; 0 where nothing was left to train.
      steps: made in all, where something was left.
      lowered: the learning rate that was lowered after a failure.
      unsaved: what was wrong with the last save, where it failed.
    """

    config: Config
    folder: Path
    dataset: PoseFrames | None
    frozen: dict[str, Any]
    checkpoints: Checkpoints
    job: Job
    limits: Mapping[str, float]
    programs: Mapping[tuple[str, Kind], Any] = field(default_factory=dict)
    images: int = 0
    steps: int = 0
    lowered: Lowered | None = None
    unsaved: UserError | None = None
    saved_at: float = field(default_factory=time.monotonic)
    stop: StopToken = field(default_factory=events.stop_token)

    def run(self) -> None:
        """All stages that are left; once more from a good checkpoint where the guard says so."""
        while True:
            try:
                self._stages()
            except (NotFinite, Collapsed) as failure:
                self._roll_back(failure)
            else:
                break
        if self.unsaved is not None:
            raise self.unsaved

    def offset(self, name: str) -> int:
        """Steps of the stages before."""
        stages = self.config.recipe.stages()
        return sum(stages[other].steps for other in list(stages)[: list(stages).index(name)])

    def _done(self, record: Record) -> dict[str, int]:
        """Steps made by stage; in a run whose record has none, no stage had a limit."""
        if "stage" not in record:
            return {}
        stages = self.config.recipe.stages()
        before = itertools.takewhile(lambda name: name != record["stage"], stages)
        done = record.get("steps_done", {name: stages[name].steps for name in before})
        return done | {record["stage"]: record["step"]}

    def _stages(self) -> None:
        state, begun, record = resume(self.config, self.checkpoints, self.folder, self.job)
        # After going back the record is of a time before it was lowered.
        self.lowered = self.lowered or record.get("lowered")
        stages = self.config.recipe.stages()
        for name in list(stages)[list(stages).index(begun) if begun else 0 :]:
            if begun != name:
                record = record | {
                    "stage": name,
                    "step": 0,
                    "position": 0,
                    "low_since": None,
                    "ended": False,
                    "steps_done": self._done(record),
                }
                state = begin_stage(self.config, name, state)
            assert state is not None, "resume gives one with the stage that it belongs to"
            if record["step"] < stages[name].steps and not record.get("ended"):
                state, record = self._stage(name, state, record)
                if self.stop.asked and self.job.count == 1 and name != list(stages)[-1]:
                    # Asked while the stage's last pictures were drawn or saved: the next stage
                    # would first compile. Of several processes all go on to its first step.
                    self._stop(record["step"], name)
            self.images, self.steps = record["images"], sum(self._done(record).values())
            begun = None

    def _stage(self, name: str, state: State, record: Record) -> tuple[State, Record]:
        config = lowered(self.config, self.lowered)
        stage, settings, offset = config.recipe.stages()[name], config.record, self.offset(name)
        reading = config.recipe.reading(name)
        mesh = meshes.of_stage(config.devices, stage, name)
        frozen = onto(self.frozen, meshes.replicated(mesh))
        first, start = self.job.first, record["step"]
        steps: dict[Kind, Any] = {}
        seconds = dict(record.get("step_seconds", {}))
        compiling, limit = record.get("compile_seconds", 0.0), self.limits.get(name)
        # A learning rate that was lowered is another program.
        ready = self.programs if self.lowered is None and limit is not None else {}
        wait = "compiled before" if ready else "compiling (a minute, the first time perhaps more) …"
        most = "at most " if limit is not None else ""
        say(
            f"Stage {name}: {most}{stage.steps - start} steps of "
            f"{stage.batch_size} x {reading.frames} frames at {stage.width}x{stage.height} on "
            f"{meshes.layout_text(mesh, stage.batch_size)}; {wait}"
        )
        recorder = Recorder(
            self.folder,
            stage=name,
            offset=offset,
            start=start,
            steps=stage.steps,
            frames_per_step=stage.batch_size * reading.frames,
            log_every=settings.log_every,
            seconds=record["seconds"],
            images=record["images"],
            last_good=self._last_good,
            writes=first,
        )
        sampler = Sampler(self.folder, config, name, self.dataset) if first else None
        scorer = None
        if first and settings.keep_best == heldout.NAME:
            scorer = heldout.HeldOut(config, name, self.dataset)
        batches = Feed(self.dataset, config, name, record["position"], mesh)
        tracer = StepTracer(self.folder / "trace" / name if settings.trace and first else None)
        watch = Watch(config.guard, name, config.recipe.metrics(name), record.get("low_since"))
        total = sum(stage.steps for stage in config.recipe.stages().values())
        here = events.stage(name, offset / total, (offset + stage.steps) / total)
        with here, recorder, sampler or contextlib.nullcontext(), batches, tracer:
            begun = time.monotonic()
            for kind in config.recipe.kinds(name):
                given = frozen if limit is None else {**frozen, schedule.BY_CLOCK: np.float32(0)}
                steps[kind] = ready.get((name, kind)) or compile_ahead(
                    compiled_step(config, name, mesh, kind), state, batches.first(), given
                )
            self.job.meet()
            compiling += time.monotonic() - begun
            batches.settle(steps.values(), self.job.all_agree)
            if limit is not None:
                later = [m for n, m in self.limits.items() if n not in {*seconds, name}]
                left = max(limit - seconds.get(name, 0.0), 0.0)
                events.emit(events.Expected(left + sum(later)))
            self.saved_at = time.monotonic()
            for step in range(start + 1, stage.steps + 1):
                tracer.begin(step, state)
                with step_marker(step):
                    asked = time.monotonic()
                    batch = next(batches)
                    recorder.waited(time.monotonic() - asked)
                    rate, given = config.recipe.learning_rate_at(name, step - 1), frozen
                    if limit is not None:
                        over = min(seconds.get(name, 0.0) / limit, 1.0) if limit else 0.0
                        share = schedule.share_by_clock(stage, over)
                        rate = stage.learning_rate * share
                        given = {**frozen, schedule.BY_CLOCK: np.float32(share)}
                    kind = config.recipe.kind_of(name, step)
                    state, metrics = steps[kind](state, batch, given)
                tracer.end(step, state)
                if limit is not None:
                    recorder.clock = max(limit - seconds.get(name, 0.0), 0.0), over
                recorder.step(step, metrics, rate)
                if limit is not None:
                    # Seconds of steps that are done, not of steps that were dispatched.
                    jax.block_until_ready(metrics)
                seconds[name] = seconds.get(name, 0.0) + time.monotonic() - asked
                watch.step(step, metrics)
                self._written(wait=False)
                ended = limit is not None and seconds[name] >= limit
                last = step == stage.steps or ended
                sampled = step % settings.sample_every == 0 or last
                if sampled:
                    params = on_one_device(config.recipe.synthesis_params(state), mesh)
                    if sampler is not None:
                        sampler.sample(params, offset + step)
                stop = self.job.stops(offset + step, self.stop.asked)
                if self._due(offset + step) or last or stop:
                    watch.look()
                    # Where imported weights came from stays on record.
                    origin = {k: v for k, v in record.items() if k == "imported"}
                    record = cast(Record, origin) | {
                        "stage": name,
                        "step": step,
                        "total_step": offset + step,
                        "position": step * stage.batch_size,
                        "low_since": watch.since,
                        "lowered": self.lowered,
                        "ended": last,
                        "steps_done": self._done(record) | {name: step},
                        "step_seconds": seconds,
                        "compile_seconds": compiling,
                    }
                    score = recorder.means().get(settings.keep_best)
                    if settings.keep_best == heldout.NAME:
                        params = on_one_device(config.recipe.synthesis_params(state), mesh)
                        score = self._agreed(None if scorer is None else scorer.score(params))
                    record = self._save(state, record, recorder, metrics, score)
                self.checkpoints.before = watch.since and offset + watch.since - 1
                if sampled:
                    if first:
                        with going_on("The run's page"):
                            page = write_page(self.folder, config.recipe)
                            events.emit(events.FileWritten(page))
                    self.job.meet()
                if stop:
                    self._stop(step, name)
                if ended and step < stage.steps:
                    say(
                        f"Stage {name} ends after {step} of {stage.steps} steps: its {limit:.4g} s "
                        "are over."
                    )
                if last:
                    break
        self._written()
        return state, record

    def _last_good(self) -> str:
        latest = self.checkpoints.latest()
        if latest is None:
            return "there is no checkpoint yet"
        return f"the last good checkpoint is {self.checkpoints.folder / str(latest)}"

    def _due(self, total_step: int) -> bool:
        """Whether it is time for a checkpoint; the same answer in all processes."""
        settings = self.config.record
        minutes = settings.checkpoint_minutes
        if self.unsaved is not None:
            minutes = min(minutes, RETRY_MINUTES)
        late = time.monotonic() - self.saved_at >= 60 * minutes
        by_clock = self.job.together_at(total_step, late)
        offsets = [self.offset(name) for name in self.config.recipe.stages()]
        step = total_step - max(offset for offset in offsets if offset < total_step)
        by_count = settings.checkpoint_every and step % settings.checkpoint_every == 0
        return bool(by_clock or by_count)

    def _save(
        self, state: State, record: Record, recorder: Recorder, metrics: Any, score: float | None
    ) -> Record:
        """Begins to save, where nothing of the state is NaN; a failure to write stops nothing."""
        step, total_step = record["step"], record["total_step"]
        # A state that holds a NaN must not become the newest checkpoint.
        checksum = recorder.check(step, metrics, state)
        record |= {"seconds": recorder.seconds, "images": recorder.images, "checksum": checksum}
        record |= {"config": to_json(self.config)}
        if score is not None:
            record["score"] = score
        self._written()
        # All write to process 0's disk: none begins a save that another one cannot.
        obstacle = self.job.share(self.checkpoints.obstacle(state) if self.job.first else "")
        try:
            if obstacle:
                raise UserError(obstacle)
            self.checkpoints.save(total_step, state, record)
        except UserError as error:
            self._not_saved(error)
        else:
            self.unsaved = None
        self.saved_at = time.monotonic()
        return record

    def _agreed(self, score: float | None) -> float:
        """Process 0's score, in all processes."""
        return float(self.job.share("" if score is None else repr(score)))

    def _written(self, wait: bool = True) -> None:
        """Notes a save that failed in the background."""
        try:
            self.checkpoints.wait() if wait else self.checkpoints.poll()
        except UserError as error:
            self._not_saved(error)

    def _not_saved(self, error: UserError) -> None:
        self.unsaved = error
        reason = marked(error).split(";")[0]
        warn(f"{reason}; training goes on and tries again at the next checkpoint.")

    def _stop(self, step: int, name: str) -> None:
        self._written()
        if self.unsaved is not None:
            raise self.unsaved
        reason = self.stop.reason or "a preemption notice to one of the processes"
        raise Interrupted(
            f"Stopped by {reason} after step {step} of the {name} stage; saved. The same command "
            "goes on from here.",
            reason,
        )

    def _roll_back(self, failure: NotFinite | Collapsed) -> None:
        """Goes back to the last good checkpoint with a lower learning rate, where the guard says so
        and it was not done before; otherwise raises the failure."""
        settings = self.config.guard
        if settings.on_failure == "stop" or self.lowered is not None:
            raise failure
        self._written()
        self.unsaved = None
        good = None if failure.since is None else self.offset(failure.stage) + failure.since - 1
        for step in self.checkpoints.steps():
            if good is not None and step > good:
                self.checkpoints.delete(step)
        self.checkpoints.before = None
        self.lowered = {"stage": failure.stage, "factor": settings.factor}
        warn(
            f"{marked(failure).split(';')[0]}; going back to the last good checkpoint, with the "
            f"learning rate of the {failure.stage} stage times {settings.factor}."
        )
