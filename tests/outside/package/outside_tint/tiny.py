"""Tint at 16x16, for a test: seconds on one core."""

from motion_jax.config import Config, Data, Record
from motion_jax.recipes.schedule import Stage
from outside_tint.recipe import Tint

config = Config(
    recipe=Tint(
        main_stage=Stage(steps=4, height=16, width=16, batch_size=2, learning_rate=0.01), window=3
    ),
    data=Data(holdout=0.25),
    record=Record(
        log_every=1, sample_every=100, sample_seconds=0.2, checkpoint_every=1, keep=9, trace=False
    ),
)
