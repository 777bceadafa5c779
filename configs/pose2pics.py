"""pose2pics: pix2pix from one person's poses to another person's pictures, on pairs found by pose.

For: a target whose training poses should be those of the driving person (another body, another
style of moving), found by `motion-jax pair`; or one person's own pairs.
Data: frames of 256x256, the default of prepare, of both people:
    motion-jax prepare DRIVER --out data/driver
    motion-jax prepare TARGET --out data/target
    motion-jax pair --a data/driver --b data/target --out data/pairs
Of the target's own pairs --data data/target needs no pairing.
Weights: none.
Command:
    motion-jax train pose2pics --data data/pairs --run runs/NAME
Hardware: one GPU. Hours on an H200, estimated from the arithmetic of its steps (18 PFLOP) at the
speed of small's: 0.6.
200,000 steps are 200 passes over a thousand pairs, as the source of this method trained.

The condition is the skeleton; the face's contours have a channel of their own
(--recipe.conditions.no-face-contour leaves them out). Edges (--recipe.conditions.canny) are off:
they fit only one person's outline. No augmentation moves the pairs.
"""

from motion_jax.config import Config, Data
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes.conditions import Conditions
from motion_jax.recipes.pix2pix import Pix2Pix, Stage

config = Config(
    recipe=Pix2Pix(
        main_stage=Stage(steps=200_000, decay_steps=100_000, height=256, width=256),
        conditions=Conditions(face_contour=True),
        # The contours are drawn by themselves.
        pose_style=PoseStyle(stroke=2.0, face_points=0),
    ),
    data=Data(holdout=0.2),
)
