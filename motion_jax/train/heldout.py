"""How good the generator is on pictures that training does not see: one number a checkpoint.

For frames with their poses it is 1 - SSIM of the generated frames to the true ones. For two domains
without pairs, and for pictures out of noise, there is no true picture: there it is the sliced
Wasserstein distance (see metrics/sliced.py) of the generated pictures from held-out pictures (of
domain B). Lower is better.
"""

import numpy as np

from motion_jax.config import Config
from motion_jax.data.pairs import Frames, limit, one_box
from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError
from motion_jax.metrics.frames import ssim
from motion_jax.metrics.sliced import sliced_wasserstein
from motion_jax.recipes.state import Params
from motion_jax.train.dataset import ShownPart
from motion_jax.train.synthesis import Synthesizer

# The value of record.keep_best that asks for it.
NAME = "heldout"
# The most pictures that are scored, and how many at once.
MOST, BATCH = 64, 16


class HeldOut:
    """Scores a stage's generators. Raises UserError where nothing is held out.

    Attributes:
      paired: whether what is shown has true pictures.
    """

    def __init__(self, config: Config, stage: str, dataset: PoseFrames | None):
        self._recipe, holdout = config.recipe, config.data.holdout
        if self._recipe.detects:
            raise UserError(
                f"record.keep_best = {NAME!r} scores the pictures that a run makes, and a detector "
                "makes none; name a loss of training, or leave it out."
            )
        size = self._recipe.stages()[stage]
        self._synthesizer = Synthesizer(self._recipe, stage, None, chunk=BATCH)
        self._part = ShownPart(config, stage, dataset)
        self.paired = self._part.truth

        if dataset is None:
            raise UserError(
                f"record.keep_best = {NAME!r} scores held-out pictures, and there is no dataset; "
                "name a loss of training."
            )

        def limited(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
            """At most MOST frames, the same share of each run."""
            if runs:
                return limit(runs, MOST)
            raise UserError(
                f"record.keep_best = {NAME!r} scores held-out pictures, and {dataset.folder} "
                f"holds out none with data.holdout = {holdout:g}; hold some out, or name a "
                "loss of training."
            )

        # Noise is not of the dataset; a score has as many of it as of pictures.
        shown = self._part.runs("heldout" if self._part.domain is not None else "all")
        self._runs = limited(shown)
        if not self.paired:
            real, crop = self._part.real, config.data.augment.crop
            frames = Frames(real.dataset, size.height, size.width, crop=crop)
            runs = limited(real.runs(holdout, "heldout"))
            self._others = [frames.window(start, count)["frames"] for start, count in runs]

    def score(self, params: Params) -> float:
        """The score of these parameters (Recipe.synthesis_params)."""
        self._synthesizer.params = params
        made, real = [], []
        for first, count in self._runs:
            photo = None
            if self._recipe.wants_photo:
                photo = self._recipe.reference(self._part.of(np.array([first])))
            self._synthesizer.reset(photo)
            for start in range(first, first + count, BATCH):
                rows = np.arange(start, min(start + BATCH, first + count))
                moments = self._part.of(rows)
                made.append(self._synthesizer.feed(self._recipe.seen(moments)))
                if self.paired:
                    real.append(moments["frames"])
        if self.paired:
            # Bars of letterboxed frames do not count.
            frames = self._part.frames
            top, left, bottom, right = one_box(frames) or (0, 0, frames.height, frames.width)
            inside = np.s_[:, top:bottom, left:right]
            scores = [
                np.asarray(ssim(a[inside], b[inside])) for a, b in zip(real, made, strict=True)
            ]
            return float(1 - np.concatenate(scores).mean(dtype=np.float64))
        return sliced_wasserstein(np.concatenate(made), np.concatenate(self._others))


def check(config: Config, dataset: PoseFrames | None) -> None:
    """Raises UserError where a stage could not be scored."""
    for name in config.recipe.stages():
        HeldOut(config, name, dataset)
