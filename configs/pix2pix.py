"""pix2pix with the published networks and losses: U-Net 256, PatchGAN of 70 pixels, cross-entropy
and 100 times the mean absolute difference. Each frame by itself, from its pose picture alone.

For: one person, filmed with a still camera; about a thousand pairs are what others have trained on.
Data: frames of 256x256, the default of prepare, or pairs of ready pose pictures and frames:
    motion-jax prepare VIDEO --out data/NAME
    motion-jax import-data FOLDER --out data/NAME
Weights: none.
Command:
    motion-jax train pix2pix --data data/NAME --run runs/NAME
Hardware: one GPU; on two CPU cores only much narrower (--width 16). Hours on an H200, estimated
from the arithmetic of its steps (18 PFLOP) at the speed of small's: 0.6.
200,000 steps are the published 200 passes over 1,000 pairs.

Differs from the published program: frames are shifted and scaled a little instead of cut out of
286x286 (--data.augment.crop does that with a dataset of such frames), and not mirrored, which would
exchange a dancer's left and right; the last fifth of each clip is held out; trained generators are
run without dropout (--recipe.test.dropout-seed 0 in train, --dropout-seed 0 in transfer: with).
"""

from motion_jax.config import Config, Data
from motion_jax.data.augment import AugmentConfig
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes.pix2pix import Pix2Pix, Stage

config = Config(
    recipe=Pix2Pix(
        main_stage=Stage(steps=200_000, decay_steps=100_000, height=256, width=256),
        pose_style=PoseStyle(stroke=2.0),
    ),
    data=Data(holdout=0.2, augment=AugmentConfig(scale=0.06, shift=0.05)),
)
