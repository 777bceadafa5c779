"""Little data on one GPU, and nothing to download: 256x256, narrower networks, augmentation.

For: one person, filmed for about a minute with a still camera (hundreds to a few thousand frames).
Data: frames of 256x256, the default of prepare:
    motion-jax prepare VIDEO --out data/NAME
Weights: none. There is no perceptual loss (it needs VGG-19's weights); the mean absolute difference
and 1 - SSIM stand in for it, so this config works offline. With the weights at hand, try:
    motion-jax fetch vgg19
    … --recipe.losses.perceptual vgg19 --recipe.losses.l1 0
The person is drawn before the room as it was filmed; of a camera that travels there is no such
picture: --recipe.background drawn.
Command:
    motion-jax train small --data data/NAME --run runs/NAME
Hardware: one GPU; on two CPU cores take two_cores. Hours on an H200: 0.3, from measured steps
(global 16.6 ms, local 50.9 ms; the face stage's estimated). Memory, estimated: 1.2 GB.
Result: not measured with these settings, which are those that helped at 128x128. Near them, 88
minutes of steps on two CPU cores: PSNR 29.74, SSIM 0.936 (docs/results.md). With a drawn
background, after 55 seconds of its steps (1,085 and 617) on a dancer before a blue screen, held-out
PSNR 28.0 and SSIM 0.85 (nearest frame: SSIM 0.88). The numbers of steps are a first guess, not the
outcome of a search.

Augmentation scales, shifts and recolours windows. Mirroring is off, because it mirrors the room and
the parting of the person's hair too; where both are nearly symmetrical, --data.augment.flip doubles
the data. The last fifth of each clip is held out: watch it in the run's sample videos, because it
stops getting better before the training frames do.
"""

from motion_jax.config import Config, Data
from motion_jax.data.augment import AugmentConfig
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes.everybody_dance_now import (
    Discriminator,
    EverybodyDanceNow,
    Face,
    Generator,
    Losses,
    Stage,
)

config = Config(
    recipe=EverybodyDanceNow(
        generator=Generator(ngf=32, n_downsampling=3, n_blocks=6, n_blocks_local=3, up="resize"),
        discriminator=Discriminator(ndf=32),
        face=Face(size=64, ngf=32, n_downsampling=3, n_blocks=3, ndf=32),
        losses=Losses(perceptual="none", l1=100.0, structure=40.0),
        global_stage=Stage(
            steps=12_000, decay_steps=4_000, height=128, width=128, batch_size=4, num_D=2
        ),
        local_stage=Stage(
            steps=16_000, decay_steps=8_000, height=256, width=256, batch_size=4, num_D=2
        ),
        face_stage=Stage(
            steps=4_000, decay_steps=2_000, height=256, width=256, batch_size=4, num_D=2
        ),
        pose_style=PoseStyle(stroke=2.0),
        background="plate",
        previous="none",
        averaging=0.999,
    ),
    data=Data(
        holdout=0.2,
        augment=AugmentConfig(
            scale=0.08, shift=0.05, brightness=0.05, contrast=0.1, saturation=0.1
        ),
    ),
)
