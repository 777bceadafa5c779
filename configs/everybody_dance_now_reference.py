"""Everybody Dance Now as its authors' program trains it: to compare with, not for the best result.

For: one person, filmed for many minutes with a still camera. The published training sets have 9,948
to 25,214 frames a person.
Data: frames of 1024x512, stretched to that shape as the original does:
    motion-jax prepare VIDEO --out data/NAME --size 1024x512 --fit squash --picture png --no-smooth
Weights: VGG-19 for the perceptual loss, once: motion-jax fetch vgg19
Command:
    motion-jax train everybody_dance_now_reference --data data/NAME --run runs/NAME
Hardware: one accelerator; the authors used a GPU of 12 GB. Hours on an H200, estimated from the
arithmetic of its steps (22,000 PFLOP) at 5 to 11 % of the card's peak, which a similar step reached
when it was measured once: 56 to 137. Memory, estimated: 9 GB.

Length. The original counts passes over the data (epochs): 100 at the full learning rate and 100
more in which it falls to 0, in each of the three stages. Here a stage counts steps, and with batch
1 a pass has one step for each pair of neighbouring frames: PAIRS = frames of the dataset - clips
(`prepare` prints the first, its report both). For your N pairs either copy this file, set PAIRS = N
and train with the copy's path, or give on the command line, for instance for N = 5000,
    --recipe.global-stage.steps 1000000 --recipe.global-stage.decay-steps 500000
and the same for local-stage and face-stage (200 N and 100 N), and
    --recipe.main-discriminator-after 50000 (10 N).
The paper's appendix speaks of 5, 30 and 5 passes; the program's defaults are the ones below.

What still differs from the original, because no setting brings it back, is listed in
docs/reference-behaviour.md.
"""

from motion_jax.config import Config, Data
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes.everybody_dance_now import (
    Discriminator,
    EverybodyDanceNow,
    Face,
    Generator,
    Losses,
    Stage,
)

# Pairs of neighbouring frames in the dataset: steps in one pass over it.
PAIRS = 10_000
EPOCHS, DECAY_EPOCHS = 100, 100
# Passes of the face stage before the main discriminator trains too (--niter_fix_main).
FIX_MAIN_EPOCHS = 10


def stage(height: int, width: int, num_D: int) -> Stage:
    return Stage(
        steps=(EPOCHS + DECAY_EPOCHS) * PAIRS,
        decay_steps=DECAY_EPOCHS * PAIRS,
        height=height,
        width=width,
        batch_size=1,
        window=2,
        num_D=num_D,
        learning_rate=2e-4,
    )


config = Config(
    recipe=EverybodyDanceNow(
        generator=Generator(
            ngf=64, n_downsampling=4, n_blocks=9, n_local_enhancers=1, n_blocks_local=3
        ),
        discriminator=Discriminator(ndf=64, n_layers=3),
        face=Face(size=128, ngf=64, n_downsampling=3, n_blocks=5, ndf=64, n_layers=3),
        losses=Losses(
            feature_matching=10.0,
            perceptual="vgg19",
            perceptual_weight=10.0,
            perceptual_global_factor=0.5,
            l1=0.0,
        ),
        global_stage=stage(256, 512, num_D=2),
        local_stage=stage(512, 1024, num_D=3),
        face_stage=stage(512, 1024, num_D=3),
        pose_style=PoseStyle(stroke=1.0, face_points=8, hands=True, body="body23"),
        dtype="float32",
        averaging=0.0,
        clamp_face=False,
        generator_updates=2,
        main_discriminator_after=FIX_MAIN_EPOCHS * PAIRS,
    ),
    data=Data(holdout=0.0),
)
