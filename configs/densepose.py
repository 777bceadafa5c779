"""DensePose to frames: pix2pix's networks and losses on DensePose as the pose picture, each frame
by itself.

For: one person, filmed with a still camera, with DensePose of each frame from a detector of your
own (raw IUV pictures, or a video in the colours of Viridis or Parula).
Data: 256x256, letterboxed; bars are cut off again from results and not measured:
    motion-jax import-data IUV_FOLDER --layout densepose --frames VIDEO --out data/NAME \
        --size 256x256 --fit letterbox
Weights: none.
Command:
    motion-jax train densepose --data data/NAME --run runs/NAME
    motion-jax transfer --run runs/NAME --source OTHER_DENSEPOSE --ready-poses --out OUT.mp4
Hardware: one GPU; on two CPU cores only much narrower (--width 16). Hours on an H200, estimated
from the arithmetic of its steps (3.5 PFLOP) at the speed of small's: 0.1.
Result: that of a small one at 128x128 is in docs/densepose.md.
40,000 steps are 50 passes over 800 frames: others who trained on DensePose found the best result
after 20 to 50 passes and worse ones after hundreds, so choose by the held-out score.

Differs from config pix2pix: fewer steps, and frames are not shifted and scaled, because bars and a
still camera's room are always in the same place. Never mirror them: parts tell left from right.
"""

from motion_jax.config import Config, Data
from motion_jax.recipes.pix2pix import Pix2Pix, Stage

config = Config(
    recipe=Pix2Pix(main_stage=Stage(steps=40_000, decay_steps=20_000, height=256, width=256)),
    data=Data(holdout=0.2),
)
