"""CycleGAN with the published networks and losses: pictures of domain A as pictures of domain B,
learnt from pictures that are not paired.

For: two people or places without matching moments; or poses and frames whose pairing cannot be
trusted (--recipe.domain-A poses).
Data: 256x256; one dataset of two domains, or two datasets:
    motion-jax import-data FOLDER --out data/NAME        (trainA, trainB)
    motion-jax prepare VIDEO --out data/B; … --data data/B --data.domain-a data/A
    motion-jax import-data DENSEPOSE --layout densepose --out data/A; … --data data/B \
        --data.domain-a data/A --recipe.domain-A poses     (docs/densepose.md)
Weights: none.
Command:
    motion-jax train cyclegan --data data/NAME --run runs/NAME
    motion-jax transfer --run runs/NAME --source VIDEO_OF_A --out OUT.mp4
Hardware: one GPU; on two CPU cores only much narrower and shallower (--width 8 --blocks 3). Hours
on an H200, estimated from the arithmetic of its steps (383 PFLOP): 4, at 3 % of the card's peak;
nobody has measured it.
200,000 steps are the published 200 passes over 1,000 pictures. An author who trained it on one
person found the best pictures after 20 to 50 passes: choose by the held-out score (with poses as
domain A), or look at the samples.

Differs from the published program: pictures are shifted and scaled a little instead of cut out of
286x286 (--data.augment.crop does that with a dataset of such frames), and not mirrored
(--data.augment.flip); the last fifth of each clip is held out.
"""

from motion_jax.config import Config, Data
from motion_jax.data.augment import AugmentConfig
from motion_jax.recipes.cyclegan import CycleGAN, Stage

config = Config(
    recipe=CycleGAN(
        main_stage=Stage(steps=200_000, decay_steps=100_000, height=256, width=256),
    ),
    data=Data(holdout=0.2, augment=AugmentConfig(scale=0.06, shift=0.05)),
)
