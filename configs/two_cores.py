"""One video, a laptop, an afternoon: 128x128 on 2 CPU cores.

Data: a minute of one person, whole body, still camera (`motion-jax prepare VIDEO --size 128x128`).
Without perceptual weights, so that nothing needs to be downloaded: the L1 loss stands in for them.
Command: motion-jax train two_cores --data DATASET --run DIR
Result: PSNR 29.7 after 31 minutes, measured with previous_noise = 0; docs/results.md.
"""

from motion_jax.config import Config, Record
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
        generator=Generator(ngf=32, n_downsampling=3, n_blocks=4, n_blocks_local=2),
        discriminator=Discriminator(ndf=24),
        face=Face(size=32, ngf=16, n_downsampling=2, n_blocks=2, ndf=16, n_layers=2),
        losses=Losses(perceptual="none", l1=100.0),
        global_stage=Stage(steps=1400, height=64, width=64, batch_size=2, learning_rate=5e-4),
        local_stage=Stage(
            steps=2000, decay_steps=1000, height=128, width=128, batch_size=2, learning_rate=5e-4
        ),
        face_stage=Stage(steps=400, decay_steps=200, height=128, width=128, batch_size=2),
        pose_style=PoseStyle(stroke=3.0),
        previous_noise=0.1,
        averaging=0.998,
    ),
    record=Record(sample_every=1000),
)
