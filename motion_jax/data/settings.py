"""How examples are drawn from a dataset: the settings that a config has of it."""

from dataclasses import dataclass, field
from typing import Literal

from motion_jax.data.augment import AugmentConfig
from motion_jax.data.published_augment import PublishedAugment


@dataclass(frozen=True)
class Data:
    """How examples are drawn from the dataset."""

    holdout: float = 0.2
    """Share of each clip, its end by time, kept out of training for evaluation; 0...0.9."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Random changes of frame and keypoints together; all off by default."""
    published: PublishedAugment = field(default_factory=PublishedAugment)
    """The First Order Motion Model's own augmentation, of pictures without poses; for recipes of
    pairs of a clip's frames (first_order)."""
    by_person: bool = False
    """For the same recipes: draw a person first, all alike, and then one of their clips. A person
    is what the names of videos have before their first #; without, every frame is drawn once."""
    domain_a: str = ""
    """Dataset folder of domain A, for CycleGAN: that of --data is then domain B. Empty: the dataset
    holds both (import-data of trainA and trainB), or A is its poses (recipe.domain_A)."""
    cache: Literal["auto", "host", "device"] = "auto"
    """Where training pictures wait: "host" (this computer, which hands each batch over) or "device"
    (all of them in the memory of every device; for recipes that learn from windows of frames).
    "auto": on the device where it is an accelerator and its memory holds them beside the step. May
    differ when a run is continued; what varies pictures then differs by rounding."""
    workers: int = 0
    """Processes that read and decode; 0: a thread a core of this process, which is faster. Changes
    nothing of what is trained, and may differ when a run is continued."""
