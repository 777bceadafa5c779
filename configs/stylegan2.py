"""StyleGAN2 at 256x256: pictures like those of a folder, out of noise; drawn faces for example, or
the second half of a face-to-anime blend (docs/stylegan2.md).

For: some thousand pictures of one kind, alike in place and size (aligned faces); with a few
hundred, fine-tune a trained network instead (motion-jax import), with --recipe.freeze.mapping.
Data: a folder of pictures, square:
    motion-jax import-data FOLDER --layout pictures --size 256x256 --fit crop --out data/NAME
Weights: none, or an imported checkpoint of StyleGAN2.
Command:
    motion-jax train stylegan2 --data data/NAME --run runs/NAME
Hardware: one GPU. On two CPU cores only at 32 or 64 pixels and with few channels
(--recipe.main-stage.height 64 --recipe.main-stage.width 64 --recipe.generator.channel-base 1024).
Time: nobody has measured it at this size. 800,000 steps of 16 pictures are what rosinality's
program trains.

Differs from the published program: the augmentation is on and adapts itself (as in StyleGAN2-ADA);
narrow channels above 64 pixels ("paper256"), which 256 pixels do not need twice as wide.
"""

from motion_jax.config import Config, Data
from motion_jax.recipes.stylegan2 import Augment, Generator, Stage, StyleGAN2

config = Config(
    recipe=StyleGAN2(
        generator=Generator(channel_base=16_384),
        augment=Augment("adaptive"),
        main_stage=Stage(steps=800_000, height=256, width=256, batch_size=16, learning_rate=2e-3),
    ),
    data=Data(holdout=0.05),
)
