"""Which of the shipped configs fits this machine and this dataset, and how long it would take.

`propose` is a pure function of the dataset's frames, the machine's memory and its measured speed.
Its rules about data are judgements, each a constant with its reason.
"""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from motion_jax.config import Config, load_config
from motion_jax.data.advice import DIFFERENT, FACE, FACE_PIXELS, length
from motion_jax.data.coverage import measure
from motion_jax.data.pairs import stretches, windows
from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError
from motion_jax.plan.machine import Machine, step_seconds
from motion_jax.pose.face import face_heights
from motion_jax.profiling.size import stage_size

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
# How much longer a step takes in training, with batches, logs and samples, than alone (two_cores:
# 1.05 times in the local stage, 1.12 in the global, 1.25 in the short face stage).
LOOP = 1.1


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
      all_frames: with the held-out ones; 0: as many as `frames`.
    """

    frames: int
    pairs: int
    height: int
    width: int
    alone: float
    faces: float
    place: str
    face_height: float = math.inf
    all_frames: int = 0

    @property
    def has_faces(self) -> bool:
        """Whether there is something for a face stage to learn, by the limits of the advice."""
        return self.faces >= FACE and self.face_height >= FACE_PIXELS

    @property
    def length(self) -> Literal["few", "some", ""]:
        """As the advice says it of the film: see there."""
        return length(self.all_frames or self.frames)

    @property
    def short(self) -> bool:
        """Whether real frames look better than what can be learnt from them."""
        return self.length == "few"


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


def at_once(dataset: Dataset) -> str:
    """The command that needs no training."""
    words = ["motion-jax", "transfer", "--method", "nearest", "--data", shlex.quote(dataset.place)]
    return " ".join([*words, "--source", "VIDEO", "--out", "OUT.mp4"])


# --- the rules ------------------------------------------------------------------------------------


def facts_of(dataset: PoseFrames, holdout: float, place: str) -> Dataset:
    """What the rules need to know of a dataset. holdout: share of each clip that is held out;
    place: the dataset's folder."""
    height, width = dataset.size
    coverage = measure(dataset.keypoints(), dataset.clips, height, width, holdout)
    far = coverage.distances > DIFFERENT
    boxes = dataset.face_boxes()
    # Of the faces, as the dataset's report says it, not of the boxes around them.
    tall = face_heights(dataset.keypoints())
    tall = tall[np.isfinite(tall)]
    # Boxes stand around noses, too: where no face's points were found in any frame, nobody looked
    # for faces (prepare --detail body): there is nothing for the face stage, as the report says.
    faces = float((boxes[:, 2] > 0).mean()) if len(tall) else 0.0
    return Dataset(
        frames=sum(count for _, count in stretches(dataset, holdout, "train")),
        pairs=len(windows(dataset, 2, holdout)),
        height=height,
        width=width,
        alone=float(far.mean()) if len(far) else 0.0,
        faces=faces,
        place=place,
        face_height=float(np.median(tall)) if len(tall) else math.inf,
        all_frames=len(dataset.keypoints()),
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
