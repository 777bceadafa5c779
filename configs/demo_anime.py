"""Drawn characters in any pose at 64x64, small enough for two CPU cores: motion-jax demo anime.

Data: none, characters are drawn while it trains. Command: motion-jax demo anime.
Time: 12 minutes of processor time for the whole demo. Result: docs/anime.md.
"""

from motion_jax.config import Config, Record
from motion_jax.recipes.pose_stylegan import (
    Characters,
    Losses,
    Networks,
    PoseStyleGAN,
    Stage,
)

config = Config(
    recipe=PoseStyleGAN(
        sizes=Networks(
            latent=64, style=64, channel_base=2048, channel_max=64, judge=0.5, pose=12, reader=24
        ),
        # A discriminator needs more than ten minutes to be of use; true answers do not.
        losses=Losses(adversarial=0.0),
        characters=Characters(reference=1.0),
        main_stage=Stage(
            steps=1500, decay_steps=700, height=64, width=64, batch_size=8, learning_rate=3e-3
        ),
        averaging=0.99,
    ),
    record=Record(sample_every=500, trace=False),
)
