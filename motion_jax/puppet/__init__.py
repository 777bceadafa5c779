"""Two drawn dancers whose joints are known: the embedded example, and true answers for tests.

from motion_jax import puppet

ada, ben = puppet.CHARACTERS["ada"], puppet.CHARACTERS["ben"]
motion = puppet.dance(frames=250, fps=25, seed=0)      # no character in it
source = puppet.draw(ada, motion, 128, 128)            # uint8 [250, 128, 128, 3]
keypoints = puppet.pose(ada, motion, 128, 128)         # float32 [250, 137, 3]
answer = puppet.draw(ben, motion, 128, 128)            # what a perfect transfer would give
surface = puppet.draw_iuv(ada, motion, 128, 128)       # DensePose: uint8 [250, 128, 128, 3]
"""

from motion_jax.puppet.characters import CHARACTERS, Puppet
from motion_jax.puppet.densepose import draw_iuv
from motion_jax.puppet.draw import draw
from motion_jax.puppet.figure import keypoints as pose
from motion_jax.puppet.motion import Motion, dance
from motion_jax.puppet.video import make_video

__all__ = ["CHARACTERS", "Motion", "Puppet", "dance", "draw", "draw_iuv", "make_video", "pose"]
