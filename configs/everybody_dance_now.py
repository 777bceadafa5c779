"""Everybody Dance Now the way we would train it: its known bugs fixed, bfloat16, batches of 8
windows, the generator's parameters averaged.

For: one person, filmed for some minutes with a still camera; a thousand frames are too few for it
(see small).
Data: frames of 512x512, cropped around the person:
    motion-jax prepare VIDEO --out data/NAME --size 512x512
Weights: VGG-19 for the perceptual loss, once: motion-jax fetch vgg19
Command:
    motion-jax train everybody_dance_now --data data/NAME --run runs/NAME
Hardware: one accelerator with bfloat16, or several: the batch is laid over as many as divide it.
Hours on an H200, estimated from the arithmetic of its steps (1,800 PFLOP) at 5 to 11 % of the
card's peak, which a similar step reached when it was measured once: 5 to 11. Memory, estimated: 15
GB; with less, --recipe.rematerialise, or halve the batch sizes of the three stages
(--recipe.local-stage.batch-size 4 and so on).
The numbers of steps are a first guess, not the outcome of a search.

Differs from everybody_dance_now_reference: a square frame, in which the person is larger at half
the pixels; one update of the generator for each gradient; 3 scales of the discriminator in every
stage, as the paper says (the program has 2 in the first); the face's crop clamped; the main
discriminator frozen throughout the face stage; the last fifth of each clip held out; the lines of
the pose picture twice as wide, the body drawn as BODY_25 (with heels).
"""

from motion_jax.config import Config, Data
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes.everybody_dance_now import EverybodyDanceNow, Face, Stage

config = Config(
    recipe=EverybodyDanceNow(
        face=Face(size=128),
        global_stage=Stage(
            steps=40_000, decay_steps=20_000, height=256, width=256, batch_size=8, num_D=3
        ),
        local_stage=Stage(
            steps=60_000, decay_steps=30_000, height=512, width=512, batch_size=8, num_D=3
        ),
        face_stage=Stage(
            steps=20_000, decay_steps=10_000, height=512, width=512, batch_size=8, num_D=3
        ),
        pose_style=PoseStyle(stroke=2.0),
        dtype="bfloat16",
        previous_noise=0.1,
        averaging=0.999,
        clamp_face=True,
    ),
    data=Data(holdout=0.2),
)
