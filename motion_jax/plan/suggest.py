"""Which of the shipped configs fits this machine and this dataset, and how long it would take.

`propose` is a pure function of the dataset's frames, the machine's memory and its measured speed.
Its rules about data are judgements, each a constant with its reason.
"""

import functools
import math
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from motion_jax.config import Config, Data, load_config
from motion_jax.data.advice import DIFFERENT, FACE, FACE_PIXELS, FEW_FRAMES
from motion_jax.data.coverage import measure
from motion_jax.data.pairs import stretches, windows
from motion_jax.data.quality import TrainingAdvice
from motion_jax.data.records import PoseFrames, open_dataset
from motion_jax.errors import UserError
from motion_jax.nets.blocks import ResidualBlock
from motion_jax.nets.initial import initialise
from motion_jax.plan.methods import METHODS, base_config
from motion_jax.profiling.cost import fastest, memory_of
from motion_jax.profiling.size import StageSize, stage_size

# (config, training frames below which it is not proposed), best result first. A thousand frames are
# too few for everybody_dance_now, as it says itself; 3,000 is a guess above that.
CANDIDATES = (("everybody_dance_now", 3000), ("small", 0), ("two_cores", 0))
# (training frames, channels of the widest generator). The published training sets of Everybody
# Dance Now have 9,948 frames and more for a width of 64. An author who trained on 1,300 pairs made
# the network smaller against overfitting. Half the width (a quarter of the parameters) was trained
# here on 1,257 frames, and the held-out PSNR did not fall. The rest are guesses.
WIDTHS = ((10_000, 64), (3_000, 48), (300, 32), (0, 16))
# A stage is cut short after so many passes over the data: those of the published program.
PASSES = 200
# What takes longer than a night is not proposed while there is something quicker.
NIGHT_HOURS = 12.0
# What takes longer than this is not offered at all.
WEEK_HOURS = 7 * 24.0
# Share of the machine's memory that a training may take.
MEMORY_SHARE = 0.75
# Memory that Python, the compiler and the decoded frames take on a CPU, besides the arrays (the
# runs of demo and two_cores on two cores took 2.1 GB at most, 0.2 GB of it arrays).
PROGRAM_BYTES = 2e9
# Steps of less arithmetic say nothing about wider networks: with few channels hardware is slow.
TELLING_FLOPS = 5e9
# A training step reaches this share of the FLOP/s of a residual block alone (measured on 2 cores).
STEP_SHARE = 0.7
# Seconds from the beginning of one small kernel of a GPU to that of the next: an assumption. Where
# all that a step does is small, as many of these as it has kernels are its time.
KERNEL_SECONDS = 4e-6
# Bytes of the array by whose addition an accelerator's memory is measured.
ARRAY_BYTES = 2**28
# How much longer a step takes in training, with batches, logs and samples, than alone (two_cores:
# 1.05 times in the local stage, 1.12 in the global, 1.25 in the short face stage).
LOOP = 1.1


@dataclass(frozen=True)
class Machine:
    """What decides how large a network can be here.

    Attributes:
      device: for people, e.g. "2 CPU cores".
      accelerator: whether training runs on something else than the CPU.
      memory_bytes: of the device that trains.
      step_flops: {dtype: FLOP/s that a training step is expected to reach}; empty: not measured.
      how: where step_flops come from, for people; or why there are none.
      bandwidth: of a GPU's memory, measured, bytes/s; 0: a step's bytes are not counted, because
        step_flops already say what a step reaches with all that it does besides.
    """

    device: str
    accelerator: bool
    memory_bytes: float
    step_flops: Mapping[str, float]
    how: str
    bandwidth: float = 0.0


@dataclass(frozen=True)
class Dataset:
    """What decides how large a network can be with these frames.

    Attributes:
      frames: for training, without the held-out ones.
      pairs: pairs of neighbouring frames among them.
      height, width: of its frames, pixels.
      alone: share of the held-out poses that resemble no training pose, 0...1.
      faces: share of the frames with a face.
      place: its folder, for the command.
      face_height: of the faces, the median in pixels of its frames; infinite: not known.
    """

    frames: int
    pairs: int
    height: int
    width: int
    alone: float
    faces: float
    place: str
    face_height: float = math.inf

    @property
    def has_faces(self) -> bool:
        """Whether there is something for a face stage to learn, by the limits of the advice."""
        return self.faces >= FACE and self.face_height >= FACE_PIXELS

    @property
    def short(self) -> bool:
        """Whether real frames look better than what can be learnt from them, by the same."""
        return self.frames < FEW_FRAMES


@dataclass(frozen=True)
class Candidate:
    """A config as it would be trained.

    Attributes:
      name: of the shipped config. config: with all changes. settings: the command's words for them.
      memory_bytes: estimated. seconds: of all steps, estimated; None where the speed is unknown.
      against: why it is not proposed; empty where nothing speaks against it.
    """

    name: str
    config: Config
    settings: tuple[str, ...]
    memory_bytes: float = 0.0
    seconds: float | None = None
    against: str = ""

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.config.recipe.stages().values())

    @property
    def size(self) -> str:
        """WIDTHxHEIGHT of the pictures that it ends with."""
        stage = list(self.config.recipe.stages().values())[-1]
        return f"{stage.width}x{stage.height}"


@dataclass(frozen=True)
class Suggestion:
    """What `propose` found: the chosen candidate (None: none can be trained), and all of them in
    order of preference."""

    dataset: Dataset
    machine: Machine
    chosen: Candidate | None
    candidates: Sequence[Candidate]

    @property
    def recommended(self) -> str:
        """The command to give next: training, or where film is short, or nothing can be trained,
        what shows real frames."""
        if self.chosen is None or self.dataset.short:
            return at_once(self.dataset)
        return self.command

    @property
    def command(self) -> str:
        """What trains the chosen candidate."""
        name = self.chosen.name if self.chosen else "CONFIG"
        words = ["motion-jax", "train", name, "--data", shlex.quote(self.dataset.place)]
        return " ".join([*words, "--run", "RUN", *(self.chosen.settings if self.chosen else ())])

    def to_json(self) -> dict[str, Any]:
        """Plain values; "config" is the chosen one's name, or None."""
        chosen = self.chosen
        return {
            "text": " ".join(sentences(self)),
            "command": self.command if chosen else None,
            "recommended": self.recommended,
            **_plain(chosen),
            "candidates": [_plain(c) | {"against": c.against} for c in self.candidates],
        }


def _plain(candidate: Candidate | None) -> dict[str, Any]:
    if candidate is None:
        return {"config": None}
    return {
        "config": candidate.name,
        "settings": list(candidate.settings),
        "size": candidate.size,
        "steps": candidate.steps,
        "hours": candidate.seconds / 3600 if candidate.seconds else None,
        "memory_gb": candidate.memory_bytes / 1e9 or None,
    }


# --- the machine ----------------------------------------------------------------------------------


def this_machine(step_flops: Mapping[str, float], how: str, bandwidth: float = 0.0) -> Machine:
    """The device that jax would train on. Arguments: see Machine."""
    device, count = jax.devices()[0], jax.device_count()
    accelerator = device.platform != "cpu"
    if accelerator:
        name = device.device_kind + (f" x {count}" if count > 1 else "")
    else:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        name = f"{cores} CPU core{'s' if cores != 1 else ''}"
    return Machine(name, accelerator, memory_of(device), step_flops, how, bandwidth)


@functools.cache
def measured_machine() -> Machine:
    """This machine, its speed estimated from that of a residual block, forward and backward, and
    on a GPU of its memory. Takes about two seconds, most of them compiling.

    Where the device cannot run even that (another program has its memory, for instance), `how` says
    so and step_flops is empty.
    """
    accelerator = jax.default_backend() != "cpu"
    rates, bandwidth = {}, 0.0
    try:
        for dtype in ("float32", "bfloat16") if accelerator else ("float32",):
            rates[dtype] = _block_flops(dtype, accelerator)
        if jax.default_backend() == "gpu":
            bandwidth = _bandwidth()
    except RuntimeError as error:  # jax's errors of a device
        first = (str(error).splitlines() or [type(error).__name__])[0]
        return this_machine({}, f"its speed could not be measured ({first})")
    count = jax.device_count()
    if bandwidth:
        how = (
            f"reckoned from its steps' own arithmetic and bytes, with {_tera(rates)} TFLOP/s and "
            f"{bandwidth / 1e9:.0f} GB/s measured here"
        )
        rates = {dtype: count * rate for dtype, rate in rates.items()}
        return this_machine(rates, how, count * bandwidth)
    how = f"reckoned from {rates['float32'] / 1e9:.0f} GFLOP/s measured in one residual block"
    return this_machine({dtype: count * STEP_SHARE * rate for dtype, rate in rates.items()}, how)


def _tera(rates: Mapping[str, float]) -> str:
    """ "210 (float32) and 480 (bfloat16)"."""
    return " and ".join(f"{rate / 1e12:.0f} ({dtype})" for dtype, rate in rates.items())


def _bandwidth() -> float:
    """Bytes/s that adding one long array to another moves, in place."""
    add = jax.jit(lambda a, b: a + b, donate_argnums=0)
    held = [jnp.zeros(ARRAY_BYTES // 4), jnp.ones(ARRAY_BYTES // 4)]

    def run() -> jax.Array:
        held[0] = add(*held)
        return held[0]

    return 3 * ARRAY_BYTES / fastest(run, least=0.2)


def step_seconds(size: StageSize, machine: Machine, dtype: str) -> float | None:
    """An estimate of one step's time; None where the machine's speed is not known.

    On a GPU the sum of its convolutions' arithmetic, of what the other kernels move, and of the
    kernels' beginnings: the compiled programs have the first two one after the other.
    """
    rate = machine.step_flops.get(dtype) or machine.step_flops.get("float32")
    if not rate:
        return None
    if not machine.bandwidth:
        return size.flops / rate
    moved = size.moved_bytes / machine.bandwidth
    return size.flops / rate + moved + size.kernels * KERNEL_SECONDS


def _block_flops(dtype: str, accelerator: bool) -> float:
    """FLOP/s of a residual block, forward and backward."""
    batch, side, channels = (8, 64, 256) if accelerator else (4, 32, 64)
    x = jnp.ones((batch, side, side, channels), jnp.dtype(dtype))
    block = ResidualBlock(jnp.dtype(dtype))
    params = initialise(block, jax.random.key(0), x)

    def loss(params: Any, x: Any) -> Any:
        made = cast(jax.Array, block.apply(params, x))  # a pair only with `mutable`
        return jnp.square(made).mean(dtype=jnp.float32)

    run = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(params, x).compile()
    seconds = fastest(lambda: run(params, x), least=0.3)
    # Two convolutions; each forward, towards its input and towards its kernel.
    return 2 * 3 * 2 * batch * side**2 * 9 * channels**2 / seconds


# --- the rules ------------------------------------------------------------------------------------


def facts_of(dataset: PoseFrames, holdout: float, place: str) -> Dataset:
    """What the rules need to know of a dataset. holdout: share of each clip that is held out;
    place: the dataset's folder."""
    height, width = dataset.size
    coverage = measure(dataset.keypoints(), dataset.clips, height, width, holdout)
    far = coverage.distances > DIFFERENT
    boxes = dataset.face_boxes()
    tall = (boxes[:, 2] - boxes[:, 0])[boxes[:, 2] > 0]
    return Dataset(
        frames=sum(count for _, count in stretches(dataset, holdout, "train")),
        pairs=len(windows(dataset, 2, holdout)),
        height=height,
        width=width,
        alone=float(far.mean()) if len(far) else 0.0,
        faces=float((boxes[:, 2] > 0).mean()) if len(dataset) else 0.0,
        place=place,
        face_height=float(np.median(tall)) if len(tall) else math.inf,
    )


def widest(dataset: Dataset) -> int:
    """Channels of the widest generator for which this much data is thought to be enough.

    A frame whose pose resembles no other is learned by heart and does not count. Their share among
    the training frames is taken to be that among the held-out ones.
    """
    counted = dataset.frames * (1 - dataset.alone)
    return next(width for least, width in WIDTHS if counted >= least)


def propose(dataset: Dataset, machine: Machine) -> Suggestion:
    """Chooses the best of the shipped configs that the data, the memory and a night allow; where
    all take longer than a night, the quickest, unless it takes over a week. Without a measured
    speed, time does not count."""
    candidates = [
        _judged(_fitted(name, dataset), least, dataset, machine) for name, least in CANDIDATES
    ]
    possible = [candidate for candidate in candidates if not candidate.against]
    chosen = next((c for c in possible if (c.seconds or 0) <= NIGHT_HOURS * 3600), None)
    if chosen is None and possible:
        quickest = min(possible, key=lambda candidate: candidate.seconds or 0)
        chosen = quickest if (quickest.seconds or 0) <= WEEK_HOURS * 3600 else None
    return Suggestion(dataset, machine, chosen, candidates)


def _fitted(name: str, dataset: Dataset) -> Candidate:
    """A shipped config with its widths, sizes and steps made to fit the data; its `against` is set
    where the dataset's size does not allow it."""
    config = load_config(name)
    recipe: Any = config.recipe  # stages are fields of the shipped ones
    settings: list[str] = []
    width = widest(dataset)
    if width < (recipe.network_size("width") or 0):
        settings += ["--width", str(width)]
        recipe = recipe.resized({"width": width})
    stages = dict(recipe.stages())
    if "face" in stages and not dataset.has_faces:
        stages["face"] = replace(stages["face"], steps=0, decay_steps=0)
        settings += ["--recipe.face-stage.steps", "0", "--recipe.face-stage.decay-steps", "0"]
    sizes = _sizes(recipe, dataset)
    if sizes is None:
        last = list(recipe.stages().values())[-1]
        against = f"needs a dataset of {last.width}x{last.height} (or a whole multiple)"
        return Candidate(name, config, tuple(settings), against=against)
    for stage_name, stage in stages.items():
        changes = dict(zip(("height", "width"), sizes[stage_name], strict=True))
        most = max(int(PASSES * dataset.pairs / stage.batch_size), 1)
        if stage.steps > most:
            changes["steps"] = most
            changes["decay_steps"] = stage.decay_steps * most // stage.steps
        for key, value in changes.items():
            if getattr(stage, key) != value:
                settings += [f"--recipe.{stage_name}-stage.{key.replace('_', '-')}", str(value)]
        stages[stage_name] = replace(stage, **changes)
    recipe = replace(recipe, **{f"{key}_stage": stage for key, stage in stages.items()})
    config = replace(config, recipe=recipe)
    against = ""
    try:
        config.validate()
    except UserError as error:
        against = str(error)
    return Candidate(name, config, tuple(settings), against=against)


def _sizes(recipe: Any, dataset: Dataset) -> dict[str, tuple[int, int]] | None:
    """(height, width) of each stage: of the dataset's shape, with at most as many pixels as in the
    config; None where the dataset's frames cannot be made so small."""
    stages = recipe.stages()
    largest = max(stage.height * stage.width for stage in stages.values())
    last_name, last = list(stages.items())[-1]
    multiple = recipe.size_multiple(last_name)
    for factor in range(1, dataset.height // (2 * multiple) + 1):
        height, width = dataset.height // factor, dataset.width // factor
        if (height * factor, width * factor) != (dataset.height, dataset.width):
            continue
        if height % multiple or width % multiple or height * width > largest:
            continue
        # Far fewer pixels would be another config.
        if 2 * height * width < largest or min(height, width) < 2 * multiple:
            return None
        return {
            name: (height * stage.height // last.height, width * stage.width // last.width)
            for name, stage in stages.items()
        }
    return None


def _judged(candidate: Candidate, least: int, dataset: Dataset, machine: Machine) -> Candidate:
    """The candidate with its memory and time, and what speaks against it. least: training frames
    below which it is not proposed."""
    recipe = candidate.config.recipe
    sizes = {stage: stage_size(recipe, stage) for stage in recipe.stages()}
    memory = max(
        size.state_bytes + size.temporary_bytes(machine.accelerator) for size in sizes.values()
    )
    if not machine.accelerator:
        memory += PROGRAM_BYTES
    each = {stage: step_seconds(size, machine, recipe.dtype) for stage, size in sizes.items()}
    known = {stage: taken for stage, taken in each.items() if taken is not None}
    seconds = None
    if len(known) == len(each):
        seconds = LOOP * sum(recipe.stages()[stage].steps * taken for stage, taken in known.items())
    if candidate.against:
        against = candidate.against
    elif dataset.frames < least:
        against = f"wants {least:,} training frames or more"
    elif machine.memory_bytes and memory > MEMORY_SHARE * machine.memory_bytes:
        against = (
            f"needs about {memory / 1e9:.0f} GB of memory, and there are "
            f"{machine.memory_bytes / 1e9:.0f}, not all of them free"
        )
    else:
        against = ""
    return replace(candidate, memory_bytes=memory, seconds=seconds, against=against)


# --- in words -------------------------------------------------------------------------------------


def _against(candidate: Candidate) -> list[str]:
    """All that speaks against a candidate, in words."""
    reasons = [candidate.against] if candidate.against else []
    if candidate.seconds is not None and candidate.seconds > WEEK_HOURS * 3600:
        reasons.append("would take over a week")
    elif candidate.seconds is not None and candidate.seconds > NIGHT_HOURS * 3600:
        reasons.append(f"would take {duration(candidate.seconds)}")
    return reasons


def duration(seconds: float) -> str:
    """For people: "12 minutes", "3.4 hours", "5 days"."""
    if seconds < 90 * 60:
        minutes = max(round(seconds / 60), 1)
        return f"{minutes} minute{'s' if minutes > 1 else ''}"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 86400:.0f} days"


def sentences(suggestion: Suggestion, command: str | None = None) -> list[str]:
    """The suggestion for people. command: a word in its place, where it is shown beside them."""
    dataset, machine, chosen = suggestion.dataset, suggestion.machine, suggestion.chosen
    lines = [
        f"You have {dataset.frames:,} training frames of {dataset.width}x{dataset.height} "
        "(the end of each clip is held out to measure the result)."
    ]
    if chosen is None:
        reasons = "; ".join(f"{c.name} {' and '.join(_against(c))}" for c in suggestion.candidates)
        lines.append(f"None of the shipped configs can be trained here: {reasons}.")
        return [*lines, *_instead(dataset, machine)]
    if dataset.short:
        lines.append(
            "That is too little film for a network. Show real frames chosen by pose, which needs "
            f"no training: `{at_once(dataset)}`; or film a minute more of varied movement. What "
            "follows is for the case that you train all the same."
        )
        command = None
    command = command or f"`{suggestion.command}`"
    if chosen.seconds is None:
        lines.append(f"Train with {command}. How long it takes is not known: {machine.how}.")
    else:
        lines.append(
            f"{command} takes about {duration(chosen.seconds)} on this machine ({machine.device}): "
            f"{chosen.steps:,} steps of {chosen.seconds / chosen.steps:.2g} s on average, "
            f"{machine.how}; and about {chosen.memory_bytes / 1e9:.1f} GB of memory."
        )
        if chosen.seconds > NIGHT_HOURS * 3600:
            lines.append(
                "That is longer than a night; fewer steps (--recipe.local-stage.steps) or a "
                "smaller --width make it shorter, and the result worse."
            )
    for other in suggestion.candidates[: suggestion.candidates.index(chosen)]:
        reasons = " and ".join(_against(other))
        lines.append(f"{other.name} would give a better picture, but {reasons}.")
    if "vgg19" in chosen.config.recipe.pretrained():
        lines.append("It needs the weights of VGG-19, once: motion-jax fetch vgg19.")
    shipped = load_config(chosen.name).recipe.network_size("width")
    width = chosen.config.recipe.network_size("width")
    if width != shipped:
        lines.append(
            f"The network is {width} channels wide instead of {shipped}: a larger one soon learns "
            "so few frames by heart (a rule of thumb, not a measurement)."
        )
    return lines


def at_once(dataset: Dataset) -> str:
    """The command that needs no training."""
    words = ["motion-jax", "transfer", "--method", "nearest", "--data", shlex.quote(dataset.place)]
    return " ".join([*words, "--source", "VIDEO", "--out", "OUT.mp4"])


def _instead(dataset: Dataset, machine: Machine) -> list[str]:
    """What can be done where no shipped config can be trained."""
    lines = [f"Without any training, this works at once: `{at_once(dataset)}`."]
    fitting = []
    for method in METHODS.values():
        try:
            if method.trained:
                size = dataset.height, dataset.width
                base_config(method, size, on_cpu=not machine.accelerator, holdout=0.2, seed=0)
        except UserError:
            continue
        fitting.append(method.name)
    if any(METHODS[name].trained for name in fitting):
        chosen = "" if len(fitting) == len(METHODS) else f" --methods {','.join(fitting)}"
        lines.append(
            f"Smaller networks that fit this size are trained and compared by `motion-jax compare "
            f"--target {dataset.place} --source VIDEO --out FOLDER{chosen}`."
        )
    return lines


HEADINGS = ("config", "size", "width", "blocks", "steps", "memory", "time", "")


def rows(suggestion: Suggestion) -> list[list[str]]:
    """A row a candidate, under HEADINGS."""
    return [
        [
            candidate.name,
            candidate.size,
            str(candidate.config.recipe.network_size("width")),
            str(candidate.config.recipe.network_size("blocks")),
            f"{candidate.steps:,}",
            f"{candidate.memory_bytes / 1e9:.1f} GB" if candidate.memory_bytes else "–",
            _shown_time(candidate.seconds),
            "proposed" if candidate is suggestion.chosen else "; ".join(_against(candidate)),
        ]
        for candidate in suggestion.candidates
    ]


def _shown_time(seconds: float | None) -> str:
    if not seconds:
        return "–"
    return "over a week" if seconds > WEEK_HOURS * 3600 else duration(seconds)


def advise(folder: Path) -> TrainingAdvice:
    """What to train on a dataset on this machine, whose speed is measured for it (two seconds).

    Raises UserError where there is no dataset in the folder.
    """
    dataset = facts_of(open_dataset(folder), Data().holdout, str(folder))
    return in_words(propose(dataset, measured_machine()))


def in_words(suggestion: Suggestion) -> TrainingAdvice:
    """The suggestion as a dataset's report and a terminal show it."""
    return TrainingAdvice(
        text=" ".join(sentences(suggestion)),
        sentences=sentences(suggestion, "This"),
        command=suggestion.recommended,
        headings=HEADINGS,
        rows=rows(suggestion),
    )
