"""`motion-jax frechet`: how far a generator's pictures are from a dataset's."""

import json
import sys

import numpy as np

from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError, option
from motion_jax.latents.model import load_model
from motion_jax.latents.options import FrechetOptions
from motion_jax.latents.project import square
from motion_jax.metrics.frechet import Features, frechet_distance, kernel_distance
from motion_jax.nets.resnet50 import LEAST
from motion_jax.progress import Meter, say
from motion_jax.weights.resnet50 import load_resnet50

# Fewer pictures tell nothing of a covariance.
LEAST_PICTURES = 8
_BATCH = 16


def frechet(options: FrechetOptions) -> dict[str, float | int]:
    """The figures: "fd_r50" and "kd_r50" of made and true pictures, "fd_r50_floor" and
    "kd_r50_floor" of one half of the true ones and the other, "made" and "true", how many pictures
    were compared. Raises UserError."""
    if options.count < LEAST_PICTURES:
        raise UserError(
            f"{option('count')} {options.count} pictures are too few; give {LEAST_PICTURES} or "
            "more."
        )
    model, dataset = load_model(options.run), open_dataset(options.data)
    if model.module.channels != 3 or model.module.size < LEAST:
        raise UserError(
            f"{options.run} makes pictures of {model.module.size} pixels with "
            f"{model.module.channels} channels; compared are those of {LEAST} or more and of 3."
        )
    if len(dataset) < 2 * LEAST_PICTURES:
        raise UserError(
            f"The dataset {options.data} has {len(dataset)} pictures, too few to compare with; "
            f"{2 * LEAST_PICTURES} are the least."
        )
    features = Features(load_resnet50())
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
    for name, distance in (("fd_r50", frechet_distance), ("kd_r50", kernel_distance)):
        result[name] = distance(ours, theirs)
        result[f"{name}_floor"] = distance(theirs[:half], theirs[half:])
    if options.json:
        json.dump(result, sys.stdout, indent=2)
        print(flush=True)
        return result
    say(
        f"FD-R50 {result['fd_r50']:.4f} of {len(ours)} made and {len(theirs)} true pictures; "
        f"{result['fd_r50_floor']:.4f} of one half of the true ones and the other."
    )
    say(
        f"KD-R50 {result['kd_r50']:.6f}; of the halves {result['kd_r50_floor']:.6f}. Neither is "
        "FID or KID: compare them only with each other, at the same numbers of pictures."
    )
    return result
