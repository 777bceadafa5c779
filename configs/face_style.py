"""face_style: faces of a film drawn as a blend of two StyleGAN2 draws them, by a small network that
learned it from pairs (docs/faces.md).

For: faces of a film as drawn ones, steady and fast; every face of every frame, several people.
Data: 256x256 pairs of a photo and a drawing of the same latent, made by two generators:
    motion-jax blend A B --out runs/blend
    motion-jax pair-faces A runs/blend --out data/faces
Weights: A and B, generators of StyleGAN2 that were trained from one another.
Command:
    motion-jax train face_style --data data/faces --run runs/NAME
    motion-jax stylise --run runs/NAME --source VIDEO --out OUT.mp4
Hardware: one GPU. On two CPU cores only at 64 pixels and narrower (--recipe.main-stage.height 64
--recipe.main-stage.width 64 --recipe.generator.n-downsampling 5 --recipe.generator.ngf 16).
Time: nobody has measured it at this size, and nobody has trained it on photos here.

Pairs are moved, scaled and coloured a little in training, because faces of films lie less exactly
than those that a generator makes.
"""

from motion_jax.config import Config, Data
from motion_jax.data.augment import AugmentConfig
from motion_jax.recipes.face_style import FaceStyle, Losses, Stage

config = Config(
    recipe=FaceStyle(
        losses=Losses(steady=20.0),
        main_stage=Stage(steps=60_000, decay_steps=30_000, height=256, width=256, batch_size=4),
        averaging=0.999,
    ),
    data=Data(holdout=0.1, augment=AugmentConfig(scale=0.06, shift=0.03)),
)
