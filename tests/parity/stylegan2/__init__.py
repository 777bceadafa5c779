"""StyleGAN2, UI2I and what belongs to them, against the fixtures of the published programs.

One function a kind of fixture; `CHECKS` names them. Everything that a case needs is read from its
json and npz; tolerances are those that stand there.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from parity.stylegan2.augmentation import check_ada, check_augment
from parity.stylegan2.latents import (
    check_factor,
    check_layer_swap,
    check_projection,
    check_weight_blend,
)
from parity.stylegan2.networks import check_checkpoint, check_layout_pair, check_network
from parity.stylegan2.reading import Arrays
from parity.stylegan2.training import check_freeze, check_trajectory

CHECKS: dict[str, Callable[[Path, dict, Arrays], None]] = {
    "network": check_network,
    "layout_pair": check_layout_pair,
    "checkpoint": check_checkpoint,
    "trajectory": check_trajectory,
    "freeze": check_freeze,
    "augment": check_augment,
    "ada": check_ada,
    "layer_swap": check_layer_swap,
    "weight_blend": check_weight_blend,
    "factor": check_factor,
    "projection": check_projection,
}


def knows(description: Mapping) -> bool:
    """Whether a json is one of StyleGAN2's."""
    if description["kind"] not in CHECKS:
        return False
    parts = [description.get(name) or {} for name in ("network", "generator")]
    ours = any("key_layout" in part for part in parts if isinstance(part, Mapping))
    return ours or description["kind"] in ("augment", "ada")


def check(path: Path, description: dict, _: object) -> None:
    beside = path.with_suffix(".npz")
    arrays = dict(np.load(beside)) if beside.is_file() else {}
    CHECKS[description["kind"]](path, description, arrays)
