"""`motion-jax frechet`: how far a generator's pictures are from a dataset's."""

import json
import sys
from typing import Any

import numpy as np

from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError, option
from motion_jax.latents.model import load_model
from motion_jax.latents.options import FrechetOptions
from motion_jax.latents.project import square
from motion_jax.metrics.frechet import (
    Features,
    InceptionFeatures,
    frechet_distance,
    kernel_distance,
)
from motion_jax.nets.resnet50 import LEAST
from motion_jax.progress import Meter, say
from motion_jax.weights.inception import load_inception
from motion_jax.weights.resnet50 import load_resnet50

# Fewer pictures tell nothing of a covariance.
LEAST_PICTURES = 8
_BATCH = 16


def frechet(options: FrechetOptions) -> dict[str, float | int]:
    """The figures: "fd_r50" and "kd_r50" of made and true pictures, or "fid" and "kid" with
    Inception's weights; the same with "_floor" of one half of the true ones and the other; "made"
    and "true", how many pictures were compared. Raises UserError."""
    if options.count < LEAST_PICTURES:
        raise UserError(
            f"{option('count')} {options.count} pictures are too few; give {LEAST_PICTURES} or "
            "more."
        )
    model, dataset = load_model(options.run), open_dataset(options.data)
    least = LEAST if options.inception is None else 1
    if model.module.channels != 3 or model.module.size < least:
        raise UserError(
            f"{options.run} makes pictures of {model.module.size} pixels with "
            f"{model.module.channels} channels; compared are those of {least} or more and of 3."
        )
    if len(dataset) < 2 * LEAST_PICTURES:
        raise UserError(
            f"The dataset {options.data} has {len(dataset)} pictures, too few to compare with; "
            f"{2 * LEAST_PICTURES} are the least."
        )
    features, names = _measured_by(options)
    random = np.random.default_rng((options.seed, 1))
    chosen = random.permutation(len(dataset))[: 2 * options.count]
    true, made = [], []
    mapped, drawn = model.mapping(options.truncation), model.drawing()
    with Meter("Comparing pictures", len(chosen) + options.count) as meter:
        for first in range(0, len(chosen), _BATCH):
            numbers = chosen[first : first + _BATCH]
            pictures = [square(dataset[int(n)]["frame"], model.module.size) for n in numbers]
            true.append(features(np.stack(pictures)))
            meter.advance(len(numbers))
        for first in range(0, options.count, _BATCH):
            pictures_ = drawn(mapped(model.latents((options.seed, first), _BATCH)))
            made.append(features(pictures_[: options.count - first]))
            meter.advance(len(made[-1]))
    ours, theirs = np.concatenate(made), np.concatenate(true)
    half = len(theirs) // 2
    result: dict[str, float | int] = {"made": len(ours), "true": len(theirs)}
    for name, distance in zip(names, (frechet_distance, kernel_distance), strict=True):
        result[name] = distance(ours, theirs)
        result[f"{name}_floor"] = distance(theirs[:half], theirs[half:])
    if options.json:
        json.dump(result, sys.stdout, indent=2)
        print(flush=True)
        return result
    _tell(result, names)
    return result


def _measured_by(options: FrechetOptions) -> tuple[Any, tuple[str, str]]:
    """(what computes features, the names of their Fréchet and kernel distance)."""
    if options.inception is None:
        return Features(load_resnet50()), ("fd_r50", "kd_r50")
    return InceptionFeatures(load_inception(options.inception)), ("fid", "kid")


def _tell(result: dict[str, float | int], names: tuple[str, str]) -> None:
    frechet, kernel = names
    titles = [name.upper().replace("_", "-") for name in names]
    say(
        f"{titles[0]} {result[frechet]:.4f} of {result['made']} made and {result['true']} true "
        f"pictures; {result[f'{frechet}_floor']:.4f} of one half of the true ones and the other."
    )
    worth = (
        "Published figures are of 50,000 made pictures and all true ones; fewer give a larger FID."
        if frechet == "fid"
        else "Neither is FID or KID: compare them only with each other, at the same numbers of "
        "pictures."
    )
    say(f"{titles[1]} {result[kernel]:.6f}; of the halves {result[f'{kernel}_floor']:.6f}. {worth}")
