"""How good the generator is on pictures that training does not see: one number a checkpoint.

Of frames with their poses it is 1 - SSIM of the generated frames to the true ones. Of two domains
without partners there is no true picture: there it is the sliced Wasserstein distance (see
metrics/sliced.py) of the generated pictures from held-out pictures of domain B. Lower is better.
"""

from typing import Any

import numpy as np

from motion_jax.config import Config
from motion_jax.data import inputs
from motion_jax.data.pairs import Frames
from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError
from motion_jax.train.synthesis import Synthesizer

# What record.keep_best is called for it.
NAME = "heldout"
# Pictures at most, and computed at once.
MOST, BATCH = 64, 16


class HeldOut:
    """Scores a stage's generators. Raises UserError where nothing is held out."""

    def __init__(self, config: Config, stage: str, dataset: PoseFrames):
        recipe, holdout = config.recipe, config.data.holdout
        size = recipe.stages()[stage]
        self._synthesizer = Synthesizer(recipe, stage, None, chunk=BATCH)
        self._recipe = recipe
        crop = config.data.augment.crop
        # Domain A as poses of the same frames as domain B: those are the true pictures.
        self.paired = not recipe.unpaired or (recipe.draws_poses and not config.data.domain_a)
        sides = [inputs.shown(dataset, config)]
        if not self.paired:
            sides = list(inputs.domains(dataset, config))
        self._sides = []
        for side in sides:
            runs = side.runs(holdout, "heldout")
            if not runs:
                raise UserError(
                    f"record.keep_best = {NAME!r} scores held-out pictures, and {dataset.folder} "
                    f"holds out none with data.holdout = {holdout:g}; hold some out, or name a "
                    "loss of training."
                )
            frames = Frames(side.dataset, size.height, size.width, crop=crop)
            self._sides.append((frames, _first(runs)))

    def score(self, params: Any) -> float:
        """Of these parameters (Recipe.synthesis_params); lower is better."""
        self._synthesizer.params = params
        frames, runs = self._sides[0]
        made, real = [], []
        for first, count in runs:
            self._synthesizer.reset()
            for start in range(first, first + count, BATCH):
                window = frames.window(start, min(BATCH, first + count - start))
                seen = self._recipe.seen(window)
                made.append(self._synthesizer.feed(seen, window["face_boxes"]))
                real.append(window["frames"])
        generated = np.concatenate(made)
        if self.paired:
            from motion_jax.evaluate.content import one_box
            from motion_jax.metrics.frames import ssim

            # Without the bars of letterboxed frames.
            top, left, bottom, right = one_box(frames) or (0, 0, frames.height, frames.width)
            inside = np.s_[:, top:bottom, left:right]
            scores = [
                np.asarray(ssim(a[inside], b[inside])) for a, b in zip(real, made, strict=True)
            ]
            return float(1 - np.concatenate(scores).mean(dtype=np.float64))
        from motion_jax.metrics.sliced import sliced_wasserstein

        frames, runs = self._sides[1]
        others = np.concatenate([frames.window(first, n)["frames"] for first, n in runs])
        return sliced_wasserstein(generated, others)


def _first(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """At most MOST frames, the same share of each stretch."""
    from motion_jax.evaluate.evaluate import limit

    return limit(runs, MOST)


def check(config: Config, dataset: PoseFrames) -> None:
    """Raises UserError where a stage could not be scored."""
    for name in config.recipe.stages():
        HeldOut(config, name, dataset)
