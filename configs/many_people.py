"""A base that has seen many people, for `motion-jax adapt`: 128x128 on 2 CPU cores, one stage.

Data: films of many people, each with a still camera, in one dataset (`motion-jax prepare *.mp4
--size 128x128`); or drawn people, by `python -m benchmarks.adapt`. The generator draws the person
alone, before the plate of each film, and every frame by itself: who it is, is what `adapt` teaches.
Command: motion-jax train many_people --data DATASET --run DIR
Result: docs/adapt.md.
"""

from motion_jax.config import Config, Data, Record
from motion_jax.data.augment import AugmentConfig
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes.everybody_dance_now import (
    Discriminator,
    EverybodyDanceNow,
    Generator,
    Losses,
    Stage,
)

_none = Stage(steps=0, height=128, width=128, batch_size=2)
config = Config(
    recipe=EverybodyDanceNow(
        generator=Generator(ngf=32, n_downsampling=3, n_blocks=4, up="resize"),
        discriminator=Discriminator(ndf=24),
        losses=Losses(perceptual="none", l1=100.0, structure=80.0),
        global_stage=Stage(
            steps=6000, decay_steps=3000, height=128, width=128, batch_size=2, learning_rate=5e-4
        ),
        local_stage=_none,
        face_stage=_none,
        background="plate",
        pose_style=PoseStyle(stroke=3.0),
        previous="none",
        averaging=0.998,
    ),
    data=Data(augment=AugmentConfig(scale=0.06, shift=0.04)),
    record=Record(sample_every=2000),
)
