"""A run directory: what was trained, on what, by which versions; and the trained model in it."""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
from jaxtyping import UInt8

from motion_jax import __version__
from motion_jax.config import Config, from_json, to_json
from motion_jax.data.find_plates import with_plates
from motion_jax.data.identities import names_of, weights, with_identities
from motion_jax.data.pairs import stretches
from motion_jax.data.plates import read_plates
from motion_jax.data.published_clips import person_of
from motion_jax.data.reading import Domains
from motion_jax.data.records import PoseFrames, open_dataset
from motion_jax.errors import UserError, option
from motion_jax.files import check_name, parted, write_json, write_text
from motion_jax.pose import joints
from motion_jax.pose.draw import PoseStyle
from motion_jax.pose.normalize import fit_target
from motion_jax.progress import say
from motion_jax.recipes.base import Moments
from motion_jax.train.checkpoint import SKIPPED, Checkpoints, has_checkpoint, parameter_hash
from motion_jax.train.checkpoint_record import Record
from motion_jax.train.imported import laid_out_with
from motion_jax.train.step import abstract_state
from motion_jax.train.synthesis import Synthesizer
from motion_jax.train.which_checkpoint import choose

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "mediapipe")


def fingerprint(dataset: PoseFrames) -> str:
    """SHA-256 of what a dataset consists of: sources, clips, size, preparation."""
    value = dataset.info.to_json()
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _versions() -> dict[str, str]:
    """Of those of PACKAGES that are installed: a machine that only trains may lack mediapipe."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def write_description(
    folder: Path, config: Config, dataset: PoseFrames | None, command: str = ""
) -> None:
    """Writes config.json, versions.json and, with a dataset, dataset.json; adds to command.txt."""
    write_json(folder / "config.json", to_json(config))
    if dataset is not None:
        _write_dataset_description(folder, config, dataset)
    devices = [f"{d.platform} {d.device_kind}" for d in jax.devices()]
    write_json(
        folder / "versions.json",
        {
            "motion_jax": __version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "devices": devices,
            **_versions(),
        },
    )
    path = folder / "command.txt"
    before = path.read_text() if path.is_file() else ""
    write_text(path, before + (command or shlex.join(sys.argv)) + "\n")


def _write_dataset_description(folder: Path, config: Config, dataset: PoseFrames) -> None:
    keypoints = dataset.keypoints()
    training = np.concatenate(
        [keypoints[a : a + n] for a, n in stretches(dataset, config.data.holdout, "train")]
    )
    statistics, bent = None, None
    # There are none where the dataset knows poses only as pictures.
    if (training[:, :25, 2] > 0).any():
        statistics = fit_target(training, dataset.info.pixel_aspect).to_json()
        bent = joints.to_json(joints.limits(training))
    write_json(
        folder / "dataset.json",
        {
            "path": os.path.relpath(dataset.folder.resolve(), folder.resolve()),
            "fingerprint": fingerprint(dataset),
            "info": dataset.info.to_json(),
            "frames": len(dataset),
            **({"crop": True} if config.data.augment.crop else {}),
            **_domain_a(config),
            **_identities(config, dataset, keypoints),
            "target_statistics": statistics,
            "target_joints": bent,
        },
    )


def _identities(config: Config, dataset: PoseFrames, keypoints: np.ndarray) -> dict[str, Any]:
    """The statistics of each of several people, and how far their joints bend, by name, from the
    training part."""
    if config.recipe.identities < 2:
        return {}
    names, info = names_of(dataset.info.to_json()), dataset.info
    found: dict[str, Any] = {}
    bent: dict[str, Any] = {}
    for name in names:
        runs = stretches(dataset, config.data.holdout, "train", person=name)
        some = np.concatenate([keypoints[a : a + n] for a, n in runs])
        seen = (some[:, :25, 2] > 0).any()
        found[name] = fit_target(some, info.pixel_aspect).to_json() if seen else None
        bent[name] = joints.to_json(joints.limits(some)) if seen else None
    return {"identities": found, "identities_joints": bent}


def _domain_a(config: Config) -> dict[str, Any]:
    """The metadata of the dataset that is domain A, where two datasets are read."""
    readings = map(config.recipe.reading, config.recipe.stages())
    if not (config.data.domain_a and any(isinstance(each, Domains) for each in readings)):
        return {}
    return {"domain_a": open_dataset(Path(config.data.domain_a)).info.to_json()}


def read_config(folder: Path) -> Config | None:
    """The config of a run directory; None for any other folder."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        return None
    return from_json(_read(path), str(path))


def read_dataset(folder: Path) -> dict[str, Any]:
    """What dataset.json says of the training data. Raises UserError where it is not there."""
    return _read(Path(folder) / "dataset.json")


def _known_dataset(folder: Path, config: Config, record: Record) -> dict[str, Any]:
    """The same; {} for a run that was imported, or that takes no dataset, and had none."""
    without = "imported" in record or not config.recipe.takes_dataset
    if without and not (folder / "dataset.json").exists():
        return {}
    return read_dataset(folder)


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is missing or damaged ({error}); give the folder that motion-jax train wrote."
        ) from error


@dataclass(frozen=True)
class Run:
    """A trained model with everything that using it needs.

    Attributes:
      folder: the run directory.
      config: what was trained; its pose_style is that of the dataset's ready pose pictures, where
        it has some and their style is known.
      stage: of the checkpoint, by its name.
      step: total steps trained, over all stages.
      params: parameters of the generators by network name (averaged where averaging is on).
      dataset: metadata of the training dataset, with "path", "info", "target_statistics" and
        "target_joints" (pose/joints.py); {} where the run was imported without one.
      identity: who was chosen of a run that knows several people (as_identity); "": nobody.
      who: those whom it draws, where any were chosen, the largest share first; several are a
        mixture.
      plate: the number of its own plate among `plates`.
      made: steps that were made, by stage, where that is known: a stage may end by the clock.
    """

    folder: Path
    config: Config
    stage: str
    step: int
    params: dict[str, Any]
    dataset: dict[str, Any]
    identity: str = ""
    who: tuple[str, ...] = ()
    plate: int = 0
    made: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The folder's, and who was chosen, as RUN:WHO."""
        folder = self.folder.resolve().name
        return f"{folder}:{self.identity}" if self.identity else folder

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pictures that it makes."""
        stage = self.config.recipe.stages()[self.stage]
        return stage.height, stage.width

    @property
    def data_path(self) -> Path:
        """Where the training dataset was. Raises UserError for a run that was imported without."""
        if not self.dataset:
            how = "imported" if self.config.recipe.takes_dataset else "trained"
            raise UserError(
                f"The run {self.folder} was {how} without a dataset; name one with "
                f"{option('data')}."
            )
        path = Path(self.dataset["path"])
        return path if path.is_absolute() else Path(os.path.normpath(self.folder / path))

    @cached_property
    def checkpoint(self) -> str:
        """SHA-256 of the parameters."""
        return parameter_hash(self.params)

    @cached_property
    def plates(self) -> UInt8[np.ndarray, "k h w 3"]:
        """Its plates at the size of its pictures, the longest clip's first. Raises UserError where
        they are missing."""
        return read_plates(self.folder).resized(*self.size).pictures

    def seen(self, moments: Moments) -> Any:
        """What its generator sees of moments (Recipe.seen), before its own plate where it has one
        and they have none."""
        moments = self.told(moments)
        if self.config.recipe.background == "plate" and "plates" not in moments:
            plate = self.plates[self.plate]
            count = len(next(iter(moments.values())))
            moments = {**moments, "plates": np.broadcast_to(plate, (count, *plate.shape))}
        return self.config.recipe.seen(moments)

    @property
    def people(self) -> list[str]:
        """Those whom a run knows by name, where it knows several and nobody was chosen."""
        several = self.config.recipe.identities > 1
        return names_of(self.dataset["info"]) if several else []

    def as_identity(self, text: str | None) -> "Run":
        """The run of one of its people, or of a mixture of them (identities.weights): like any run
        of one person. Body and background are those of the person of the largest weight. None: of a
        run that knows one person, the run itself.

        Raises UserError for a run that knows one person and a text, or several and none; and as
        identities.weights.
        """
        if not self.people:
            if text is None:
                return self
            raise UserError(
                f"The run {self.folder} knows one person alone, so that there is no {text} to "
                "choose; leave the name out."
            )
        if text is None:
            raise self._untold()
        chosen = weights(text, self.people)
        recipe, params = self.config.recipe.of_person(self.params, chosen)
        order = sorted(range(len(chosen)), key=lambda i: -chosen[i])
        who = tuple(self.people[i] for i in order if chosen[i] > 0)
        name = who[0]
        own = {
            "target_statistics": self.dataset.get("identities", {}).get(name),
            "target_joints": self.dataset.get("identities_joints", {}).get(name),
        }
        return dataclasses.replace(
            self,
            config=dataclasses.replace(self.config, recipe=recipe),
            params=params,
            dataset={**self.dataset, **own},
            identity="+".join(part.strip() for part in text.split(",")),
            who=who,
            plate=self._plate_of(name) if recipe.background == "plate" else 0,
        )

    @property
    def person(self) -> str | None:
        """The one who was chosen, of a mixture the one of the largest share; None: nobody was."""
        return self.who[0] if self.who else None

    @property
    def mixture(self) -> bool:
        """Whether several were chosen: of what it draws there is no true picture."""
        return len(self.who) > 1

    def told(self, moments: Moments) -> Moments:
        """Moments that say who it is, where the run knows several people. Raises UserError where
        they do not."""
        if self.people and "identities" not in moments:
            raise self._untold()
        return moments

    def _untold(self) -> UserError:
        return UserError(
            f"The run {self.folder} knows {', '.join(self.people)}; say who it is, as in "
            f"{self.folder}:{self.people[0]} in place of {self.folder}."
        )

    def _plate_of(self, name: str) -> int:
        """The number of the plate of a person's longest clip."""
        info = self.dataset["info"]
        clips = [(first, count) for _, _, first, count in info["clips"]]
        of_clip = read_plates(self.folder, clips).of_record
        own = [
            (count, int(of_clip[first]))
            for _, source, first, count in info["clips"]
            if person_of(info["sources"][source]["file"]) == name
        ]
        return max(own)[1]

    def plated(self, dataset: PoseFrames) -> PoseFrames:
        """A dataset whose frames are given with the run's plates, where it has some, and with who
        is seen, where it knows several people."""
        if self.people:
            dataset = with_identities(dataset, self.people)
        if self.config.recipe.background != "plate":
            return dataset
        return with_plates(dataset, read_plates(self.folder, dataset.clips))

    def tested(self, **changes: Any) -> "Run":
        """The run with another way to run its generator (see Recipe.tested); None changes nothing.

        Raises UserError where its recipe has no such choice.
        """
        changes = {name: value for name, value in changes.items() if value is not None}
        if not changes:
            return self
        recipe = self.config.recipe.tested(**changes)
        return dataclasses.replace(self, config=dataclasses.replace(self.config, recipe=recipe))

    def synthesizer(
        self, recurrent: bool = True, face: bool = True, chunk: int = 16, **settings: Any
    ) -> Synthesizer:
        """Makes frames of what the recipe's `seen` gives; face = False leaves out the recipe's part
        of that name. settings: further ones of Synthesizer."""
        recipe = self.config.recipe
        params = self.params if face else recipe.without("face", self.params)
        return Synthesizer(recipe, self.stage, params, recurrent, chunk, **settings)


def _drawing_as(config: Config, dataset: dict[str, Any]) -> Config:
    """The config with the style of the ready pose pictures that the run was trained on, where it is
    known: keypoints are drawn like those."""
    info = dataset.get("info", {})
    style = info.get("pose_style") if info.get("pose_pictures") else None
    if style is None or config.recipe.pose_style is None:
        return config
    # Any: who draws keypoints has the style as a field.
    recipe = dataclasses.replace(cast(Any, config.recipe), pose_style=PoseStyle(**style))
    return dataclasses.replace(config, recipe=recipe)


def check_whole(place: Path) -> None:
    """Raises UserError for RUN:WHO, where a run is taken with all whom it knows."""
    folder, who = parted(place)
    if who is not None and (folder / "config.json").is_file():
        raise UserError(
            f"{place} is one person of the run {folder}, and this takes a run as a whole; give "
            f"{folder}."
        )


def check_run(folder: Path) -> Config:
    """The config of a run that can be loaded. Raises UserError where the folder is no run, is
    RUN:WHO, or holds no checkpoint yet."""
    check_whole(folder)
    config = read_config(folder)
    if config is None:
        raise UserError(
            f"{folder} is not a run directory (no config.json in it); give the folder that "
            f"motion-jax train wrote with {option('run')}."
        )
    if not has_checkpoint(folder / "checkpoints"):
        raise UserError(
            f"The run {folder} has no checkpoint yet; train it first, with motion-jax train."
        )
    return config


def load_run(folder: Path, step: str = "latest") -> Run:
    """A checkpoint of a run directory. step: see which_checkpoint.choose.

    Raises UserError where the folder is no run, or holds no checkpoint yet.
    """
    folder = Path(folder)
    config = check_run(folder)
    check_name(folder, "The run ")
    with Checkpoints(folder / "checkpoints", read_only=True) as checkpoints:
        latest = checkpoints.latest()
        if step != "latest":
            latest, why = choose(folder, step)
            say(f"{folder}: checkpoint of step {latest} ({why}).")
        record = checkpoints.record(latest)
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        abstract = abstract_state(laid_out_with(record, config), record["stage"], sharding)
        # Optimiser states and discriminators are three quarters of a checkpoint and of no use here.
        used = {id(leaf) for leaf in jax.tree.leaves(config.recipe.synthesis_params(abstract))}
        wanted = jax.tree.map(lambda leaf: leaf if id(leaf) in used else SKIPPED, abstract)
        state = checkpoints.restore_part(latest, wanted)
    dataset = _known_dataset(folder, config, record)
    return Run(
        folder=folder,
        config=_drawing_as(config, dataset),
        stage=record["stage"],
        step=record["total_step"],
        params=config.recipe.synthesis_params(state),
        dataset=dataset,
        made=record.get("steps_done", {}),
    )


def load_chosen(place: Path, step: str = "latest") -> Run:
    """RUN:WHO as a run that draws WHO; RUN as it is, whomever it knows. Raises UserError as
    load_run and Run.as_identity."""
    folder, who = parted(place)
    run = load_run(folder, step)
    return run if who is None else run.as_identity(who)


def load_person(place: Path, step: str = "latest", identity: str | None = None) -> Run:
    """A run that draws one person: RUN, or of one that knows several RUN:WHO.

    identity: WHO, where `place` does not say it. Raises UserError as load_run and Run.as_identity.
    """
    folder, who = parted(place)
    if who and identity:
        raise UserError(f"{place} says who it is already; leave {option('identity')} out.")
    return load_run(folder, step).as_identity(who or identity)
