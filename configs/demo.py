"""The demo: two drawn dancers at 128x128, all three stages, minutes on 2 CPU cores."""

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
        discriminator=Discriminator(ndf=16),
        face=Face(size=32, ngf=16, n_downsampling=2, n_blocks=2, ndf=16, n_layers=2),
        losses=Losses(perceptual="none", l1=50.0),
        global_stage=Stage(steps=450, height=64, width=64, batch_size=2, num_D=2),
        local_stage=Stage(steps=320, decay_steps=160, height=128, width=128, batch_size=2, num_D=2),
        face_stage=Stage(steps=120, decay_steps=60, height=128, width=128, batch_size=2, num_D=2),
        pose_style=PoseStyle(stroke=3.0),
        averaging=0.995,
    ),
    record=Record(sample_every=1000),
)
