"""A photo moves like a film: the First Order Motion Model with the published networks and losses
of faces (vox-256), without a discriminator.

For: one kind of thing that moves (faces, whole people, an animal, a cartoon), many clips
of it, nothing marked in them.
Data: clips, or films out of which faces are cut:
    motion-jax prepare FOLDER --layout clips --out data/NAME --size 256x256
Weights: VGG-19 (`motion-jax fetch vgg19`). Without: --recipe.losses.perceptual none
    --recipe.losses.l1 100, which works offline and gives softer pictures.
Command:
    motion-jax train first_order --data data/NAME --run runs/NAME
    motion-jax animate --run runs/NAME --photo PHOTO --driving VIDEO --out OUT.mp4
Hardware: one GPU. At batch 40 the original took two days on two Titan X. Nobody has trained this
config to its end here.
From published weights instead: motion-jax import vox-cpk.pth.tar --run RUN (docs/first-order.md).

187,500 steps of 40 pairs are the published 100 passes, of 75 pairs of each clip, over 1,000 clips;
the rate falls after the same 60 and 90 hundredths. Augmentation and the drawing by person are the
published ones.
"""

from motion_jax.config import Config, Data
from motion_jax.data.published_augment import PublishedAugment
from motion_jax.recipes.first_order import FirstOrder, Stage

config = Config(
    recipe=FirstOrder(
        main_stage=Stage(
            steps=187_500,
            milestones=(112_500, 168_750),
            height=256,
            width=256,
            batch_size=40,
        ),
    ),
    data=Data(
        holdout=0.1,
        by_person=True,
        published=PublishedAugment(
            time_flip=True, mirror=True, brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1
        ),
    ),
)
