"""The demo: two drawn dancers at 128x128, all three stages, minutes on 2 CPU cores.

Data: drawn by the program itself. Command: make demo, or motion-jax demo.
Result: docs/results.md.
"""

from motion_jax.config import Config, Data, Record
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
        generator=Generator(ngf=24, n_downsampling=3, n_blocks=3, n_blocks_local=2, up="resize"),
        discriminator=Discriminator(ndf=16),
        face=Face(size=32, ngf=16, n_downsampling=2, n_blocks=2, ndf=16, n_layers=2),
        losses=Losses(perceptual="none", l1=100.0, structure=20.0),
        global_stage=Stage(steps=700, height=64, width=64, batch_size=2, learning_rate=6e-4),
        local_stage=Stage(
            steps=600, decay_steps=350, height=128, width=128, batch_size=2, learning_rate=6e-4
        ),
        face_stage=Stage(
            steps=100, decay_steps=50, height=128, width=128, batch_size=2, learning_rate=4e-4
        ),
        pose_style=PoseStyle(stroke=3.0),
        averaging=0.99,
        previous_noise=0.3,
        background="plate",
    ),
    data=Data(augment=AugmentConfig(scale=0.06, shift=0.04)),
    record=Record(sample_every=1000),
)
