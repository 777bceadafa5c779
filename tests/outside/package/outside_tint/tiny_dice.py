"""Dice at 8x8, for a test: seconds on one core, and no dataset."""

from motion_jax.config import Config, Record
from motion_jax.recipes.schedule import Stage
from outside_tint.dice import Dice

config = Config(
    recipe=Dice(main_stage=Stage(steps=3, height=8, width=8, batch_size=16, learning_rate=0.1)),
    record=Record(log_every=1, sample_every=100, checkpoint_every=1, keep=9, trace=False),
)
