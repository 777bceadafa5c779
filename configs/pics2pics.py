"""pics2pics: pix2pix from one person's pictures to another person's, on pairs found by pose.

For: one driving person and one target, before still cameras; at the end no pose is estimated: the
network is shown the driving video's frames themselves. It knows these two people alone.
Data: frames of 256x256, the default of prepare, of both people, paired by pose:
    motion-jax prepare DRIVER --out data/driver
    motion-jax prepare TARGET --out data/target
    motion-jax pair --kind pics2pics --a data/driver --b data/target --out data/pairs
Weights: none.
Command:
    motion-jax train pics2pics --data data/pairs --run runs/NAME
    motion-jax transfer --run runs/NAME --source DRIVER --out result.mp4
Hardware: one GPU. Hours on an H200, estimated from the arithmetic of its steps (18 PFLOP) at the
speed of small's: 0.6.
200,000 steps are 200 passes over a thousand pairs, as the source of this method trained.

import-data makes pairs of pictures, too, of aligned or side by side folders; a run on those is
driven with --ready-poses.
"""

from motion_jax.config import Config, Data
from motion_jax.recipes.pix2pix import Pix2Pix, Stage

config = Config(
    recipe=Pix2Pix(
        main_stage=Stage(steps=200_000, decay_steps=100_000, height=256, width=256),
        ready_pictures=True,
    ),
    data=Data(holdout=0.2),
)
