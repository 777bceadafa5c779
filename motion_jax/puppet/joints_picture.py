"""Joints drawn for people to see."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from motion_jax.puppet.bones import BONES, JOINT

# Right red, left blue, the middle green: as the person's own sides.
_COLOURS = {"right": (226, 92, 76), "left": (78, 132, 226), "": (90, 180, 110)}


def draw_joints(
    joints: Float[np.ndarray, "20 3"], height: int, width: int
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """RGB: the bones between joints (in pixels of height x width) that are seen, on white."""
    canvas = np.full((height, width, 3), 250, np.uint8)
    bones = [(name, start, end) for name, start, end in BONES if start in JOINT and end in JOINT]
    bones += [("", "neck", "right_hip"), ("", "neck", "left_hip"), ("", "neck", "nose")]
    bones += [(side, "nose", f"{side}_eye") for side in ("right", "left")]
    thick = max(round(height / 64), 1)
    for name, start, end in bones:
        ends = joints[JOINT[start]], joints[JOINT[end]]
        if min(ends[0][2], ends[1][2]) > 0:
            colour = _COLOURS[name.split("_")[0] if name else ""]
            a, b = (tuple(np.rint(16 * end[:2]).astype(int).tolist()) for end in ends)
            cv2.line(canvas, a, b, colour, thick, cv2.LINE_AA, 4)
    return canvas
