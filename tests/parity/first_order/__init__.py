"""The First Order Motion Model's fixtures: what each holds, and ours beside it.

`knows` says whether a fixture is one of these; `check` compares it. Everything is read from the
json: how networks are built, what is compared, and how closely.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from parity.first_order.data import (
    check_augmentation,
    check_best_frame,
    check_crop_video,
    check_dataset,
)
from parity.first_order.networks import (
    check_animation,
    check_dense_motion,
    check_detector,
    check_discriminator,
    check_generator,
    check_pyramid,
    check_transform,
)
from parity.first_order.training import check_trajectory

CHECKS = {
    "kp_detector": check_detector,
    "dense_motion": check_dense_motion,
    "generator": check_generator,
    "discriminator": check_discriminator,
    "transform": check_transform,
    "perceptual_pyramid": check_pyramid,
    "animation": check_animation,
    "best_frame": check_best_frame,
    "augmentation": check_augmentation,
    "crop_video": check_crop_video,
    "dataset": check_dataset,
    "trajectory": check_trajectory,
}


def knows(description: dict) -> bool:
    """Whether a fixture is one of these."""
    if description["kind"] == "trajectory":
        # Of several systems, whose settings differ.
        return "kp_detector_params" in description.get("config", {}).get("model_params", {})
    return description["kind"] in CHECKS


def check(path: Path, description: dict, seeded_vgg: Callable[[], dict]) -> None:
    """Compares one fixture; seeded_vgg: gives the parameters of its VGG-19."""
    npz = path.with_suffix(".npz")
    arrays = dict(np.load(npz)) if npz.exists() else {}
    CHECKS[description["kind"]](path, description, arrays, seeded_vgg())
