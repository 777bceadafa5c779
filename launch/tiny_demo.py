"""For launch/release.sh alone: the demo with networks of a few channels and two steps, to see that
an installed wheel has everything. Its pictures show nothing."""

from motion_jax.config import Config, Record
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes.everybody_dance_now import (
    Discriminator,
    EverybodyDanceNow,
    Generator,
    Losses,
    Stage,
)

config = Config(
    recipe=EverybodyDanceNow(
        generator=Generator(ngf=4, n_downsampling=1, n_blocks=1),
        discriminator=Discriminator(ndf=4, n_layers=1),
        losses=Losses(perceptual="none", l1=10.0),
        global_stage=Stage(steps=2, height=32, width=32, num_D=1),
        pose_style=PoseStyle(stroke=2.0),
    ),
    record=Record(trace=False),
)
