"""One video, a laptop, an afternoon: 128x128 on 2 CPU cores.

Data: a minute of one person, whole body, still camera (`motion-jax prepare VIDEO --size 128x128`).
Without perceptual weights, so that nothing needs to be downloaded: the mean absolute difference and
1 - SSIM stand in for them. The person is drawn before the room as it was filmed; of a camera that
travels there is no such picture: --recipe.background drawn.
Command: motion-jax train two_cores --data DATASET --run DIR
Result: PSNR 30.82, SSIM 0.9345 after about 15 minutes (the first two stages); docs/results.md.
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
        generator=Generator(ngf=32, n_downsampling=3, n_blocks=4, n_blocks_local=2, up="resize"),
        discriminator=Discriminator(ndf=24),
        face=Face(size=32, ngf=16, n_downsampling=2, n_blocks=2, ndf=16, n_layers=2),
        losses=Losses(perceptual="none", l1=100.0, structure=80.0),
        global_stage=Stage(steps=600, height=64, width=64, batch_size=2, learning_rate=5e-4),
        local_stage=Stage(
            steps=1550, decay_steps=800, height=128, width=128, batch_size=2, learning_rate=5e-4
        ),
        face_stage=Stage(steps=400, decay_steps=200, height=128, width=128, batch_size=2),
        background="plate",
        pose_style=PoseStyle(stroke=3.0),
        previous="none",
        averaging=0.998,
    ),
    data=Data(augment=AugmentConfig(scale=0.06, shift=0.04)),
    record=Record(sample_every=1000),
)
