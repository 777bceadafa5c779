"""A dataset as a config's stages use it: what they need of it, their batches, and what their
trained generators are shown."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from jaxtyping import Int, Shaped

from motion_jax.config import Config
from motion_jax.data import inputs
from motion_jax.data.batches import Batches
from motion_jax.data.find_plates import make_plates, with_plates
from motion_jax.data.identities import names_of, with_identities
from motion_jax.data.pairs import Frames
from motion_jax.data.reading import Domains, noise_keys
from motion_jax.data.records import PoseFrames
from motion_jax.data.unpaired import Domain


def check_data(dataset: PoseFrames | None, config: Config, name: str) -> None:
    """Raises UserError where a stage cannot be trained on the dataset."""
    recipe = config.recipe
    reading = recipe.reading(name)
    if not reading.dataset or dataset is None:
        return
    inputs.check_contents(dataset, reading, config.data)
    recipe.check_dataset(dataset)
    inputs.check_amount(dataset, reading, config.data, name)


def fitted(config: Config, dataset: PoseFrames | None, anew: bool = False) -> Config:
    """The config with what its recipe finds out about the dataset when training begins, as the run
    keeps it: see Recipe.fitted."""
    if dataset is None:
        return config
    return replace(config, recipe=config.recipe.fitted(dataset, config.data, anew))


def with_background(dataset: PoseFrames, config: Config) -> PoseFrames:
    """The dataset with its clips' plates, where the recipe lays the person before one, and with who
    is seen, where it knows several people.

    Raises find_plates.CameraMoves where a camera travels, so that there is none.
    """
    if config.recipe.identities > 1:
        dataset = with_identities(dataset, names_of(dataset.info.to_json()))
    if config.recipe.background != "plate":
        return dataset
    return with_plates(dataset, make_plates(dataset, config.data.holdout))


def open_batches(
    dataset: PoseFrames | None,
    config: Config,
    name: str,
    start: int = 0,
    rows: Sequence[int] | None = None,
) -> Batches:
    """A stage's batches: see inputs.open_batches."""
    reading = config.recipe.reading(name)
    return inputs.open_batches(dataset, reading, config.data, config.seed, start, rows)


class ShownPart:
    """The records that a stage's trained generator is shown in samples and scores; for a recipe
    that is shown nothing but noise, NOISES random keys.

    Attributes:
      domain: which records those are; None where only keys are shown.
    """

    NOISES = 64

    def __init__(self, config: Config, stage: str, dataset: PoseFrames | None):
        self._config, self._reading = config, config.recipe.reading(stage)
        self._dataset = dataset
        self.domain: Domain | None = None
        if dataset is not None and set(config.recipe.shows) != {"noise"}:
            self.domain = inputs.shown(dataset, self._reading, config.data)

    @cached_property
    def frames(self) -> Frames:
        """The pictures of those records at the stage's size."""
        assert self.domain is not None, "without a dataset there are only keys"
        reading, crop = self._reading, self._config.data.augment.crop
        return Frames(self.domain.dataset, reading.height, reading.width, crop=crop)

    def runs(self, part: str) -> list[tuple[int, int]]:
        """Runs of consecutive moments (first, number) of "train", "heldout" or "all"."""
        if self.domain is None:
            return [(0, self.NOISES)]
        return self.domain.runs(self._config.data.holdout, part)

    def of(self, records: Int[np.ndarray, " n"]) -> dict[str, Shaped[np.ndarray, "n ..."]]:
        """What the recipe's `seen` and `rows` take of these records: arrays [n, ...]."""
        found: dict[str, np.ndarray] = {}
        if self.domain is not None:
            each = [self.frames.window(int(record), 1) for record in records]
            found = {name: np.concatenate([one[name] for one in each]) for name in each[0]}
        if "noise" in self._config.recipe.shows:
            found["keys"] = noise_keys(self._config.seed, records)
        return found

    @property
    def truth(self) -> bool:
        """Whether the frames of those records are what the generator should make of them."""
        # Poses of another dataset belong to another person's frames.
        other = isinstance(self._reading, Domains) and self._config.data.domain_a
        return self.domain is not None and self._config.recipe.paired and not other

    @property
    def real(self) -> Domain:
        """Where true pictures are, even if they do not belong to what is shown."""
        assert self._dataset is not None, "asked of datasets only"
        if isinstance(self._reading, Domains):
            return inputs.domains(self._dataset, self._reading, self._config.data)[1]
        return inputs.shown(self._dataset, self._reading, self._config.data)
