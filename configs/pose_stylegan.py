"""Drawn characters in any pose, 128x128: of paper dolls that are drawn while it trains, no data
needed (docs/anime.md).

For: a character, made up or given as a picture, that moves as a person in a video (motion-jax
animate).
Data: none. Weights: none.
Command:
    motion-jax train pose_stylegan --run runs/anime
Hardware: one GPU; --recipe.main-stage.height and width 64 to 512.
Time: nobody has measured it at this size. At 64 pixels on two CPU cores: motion-jax demo anime,
docs/anime.md.
"""

from motion_jax.config import Config
from motion_jax.recipes.pose_stylegan import PoseStyleGAN, Stage

config = Config(
    recipe=PoseStyleGAN(
        main_stage=Stage(
            steps=100_000, decay_steps=30_000, height=128, width=128, batch_size=16,
            learning_rate=2e-3,
        ),
    ),
)  # fmt: skip
