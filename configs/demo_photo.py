"""The photo's demo: hundreds of drawn faces and dancers at 64x64, minutes on 2 CPU cores.

Data: drawn by the program itself. Command: motion-jax demo photo.
Time: 14 minutes of processor time for the whole demo. Result: docs/first-order.md.
"""

from motion_jax.config import Config, Data, Record
from motion_jax.data.augment import AugmentConfig
from motion_jax.recipes.first_order import (
    DenseMotion,
    Detector,
    FirstOrder,
    Generator,
    Losses,
    Stage,
)

config = Config(
    recipe=FirstOrder(
        detector=Detector(expansion=16, most=128, halvings=3, scale=0.5, padding=3),
        motion=DenseMotion(expansion=16, most=128, halvings=3, scale=0.5),
        generator=Generator(expansion=24, most=96, halvings=1, residuals=2, skips=True),
        # There are no weights of VGG-19 in the program.
        losses=Losses(perceptual="none", l1=100.0, scales=(1.0, 0.5, 0.25)),
        main_stage=Stage(
            steps=1100, decay_steps=400, height=64, width=64, batch_size=8, learning_rate=8e-4
        ),
        averaging=0.995,
    ),
    data=Data(augment=AugmentConfig(flip=True)),
    record=Record(sample_every=500),
)
