"""pix2pixHD, one frame at a time: Everybody Dance Now without its previous frame, its second frame
for the discriminator and its face stage. For comparison with it, and for pictures of no video.

For: one person, filmed with a still camera, or aligned pairs of pictures.
Data: frames of 512x512, cropped around the person, or imported pairs of that size:
    motion-jax prepare VIDEO --out data/NAME --size 512x512
    motion-jax import-data FOLDER --out data/NAME --size 512x512
Weights: VGG-19 for the perceptual loss, once: motion-jax fetch vgg19. Without:
    … --recipe.losses.perceptual none --recipe.losses.l1 50
Command:
    motion-jax train pix2pixhd --data data/NAME --run runs/NAME
Hardware: one accelerator with bfloat16, or several: the batch is laid over as many as divide it.
Hours on an H200, estimated from the arithmetic of its steps (794 PFLOP) at 5 to 11 % of the card's
peak, which a similar step reached when it was measured once: 2 to 5.
Sizes and steps are those of everybody_dance_now, a first guess.
"""

from motion_jax.config import Config, Data
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes.pix2pixhd import Pix2PixHD, Stage

config = Config(
    recipe=Pix2PixHD(
        global_stage=Stage(
            steps=40_000, decay_steps=20_000, height=256, width=256, batch_size=8, num_D=3
        ),
        local_stage=Stage(
            steps=60_000, decay_steps=30_000, height=512, width=512, batch_size=8, num_D=3
        ),
        pose_style=PoseStyle(stroke=2.0),
        dtype="bfloat16",
        averaging=0.999,
    ),
    data=Data(holdout=0.2),
)
