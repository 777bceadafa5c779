"""Exact DensePose of a drawn dancer: of every pixel the part of the body and the place on it.

The parts are those of DensePose, of which a dancer seen from the front shows: torso, hands, feet,
fronts of the legs, insides and outsides of the arms, and both halves of the head with the neck. U
and V run across and down each part from 0 to 1, in the part's own upright position, with clothes
or without.
"""

import functools

import numpy as np
from jaxtyping import UInt8

from motion_jax.puppet.characters import Puppet
from motion_jax.puppet.draw import Drawing, parts
from motion_jax.puppet.figure import Joints, joints
from motion_jax.puppet.motion import Motion
from motion_jax.puppet.sprites import Sprite

# What is drawn over one bone has one system of coordinates, and so U and V.
_GROUPS = {
    "torso": ("torso", "pelvis"),
    "neck": ("neck",),
    "head": ("hair_back", "skin", "beard", "features", "hair_front"),
    "upper_arm": ("upper_arm_bare", "sleeve"),
    "lower_arm": ("forearm", "cuff"),
    "hand": ("hand_r",),
    "thigh": ("thigh",),
    "lower_leg": ("calf", "trouser_leg"),
    "foot": ("shoe_r",),
}
_GROUP_OF = {name: group for group, names in _GROUPS.items() for name in names}
# The part's index where the sprite's x is 0 or less, and where it is more, for the person's right
# side and left side. A limb's x grows towards the body's middle, on both sides.
_INDEX = {
    "torso": ((2, 2), (2, 2)),
    "neck": ((23, 24), (23, 24)),
    "head": ((23, 24), (23, 24)),
    "upper_arm": ((18, 16), (17, 15)),
    "lower_arm": ((22, 20), (21, 19)),
    "hand": ((3, 3), (4, 4)),
    "thigh": ((9, 9), (10, 10)),
    "lower_leg": ((13, 13), (14, 14)),
    "foot": ((5, 5), (6, 6)),
}
# Head and neck are one part, the neck its lower end: the share of V that is the head's.
_HEAD_SHARE = 0.85


def draw_iuv(
    puppet: Puppet, motion: Motion, height: int, width: int
) -> UInt8[np.ndarray, "n {height} {width} 3"]:
    """I (0 ... 24), U and V (times 255) of every pixel of `draw`'s frames; background is 0 in all
    three."""
    body = joints(puppet, motion)
    frames = range(len(motion))
    return np.stack([draw_iuv_frame(puppet, body, frame, height, width) for frame in frames])


def draw_iuv_frame(
    puppet: Puppet, body: Joints, frame: int, height: int, width: int
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """One frame of `joints(puppet, motion)`."""
    canvas = np.zeros((height, width, 3), np.uint8)
    _Surface(puppet, body, frame, canvas).all()
    return canvas


@functools.lru_cache(maxsize=8)
def _extents(puppet: Puppet, scale: float) -> dict[str, tuple[float, float, float, float]]:
    """For each group (left, top, right, bottom) of what its sprites cover, in their coordinates."""
    found, sprites = {}, parts(puppet, scale)
    for group, names in _GROUPS.items():
        places = [_covered(sprites[name]) for name in names if name in sprites]
        corners = np.concatenate([np.zeros((0, 2)), *places])
        if len(corners):
            found[group] = (*corners.min(0), *(corners.max(0) + 1 / scale))
    return found


def _covered(sprite: Sprite) -> np.ndarray:
    """Upper left corners (x, y) of the pixels that a sprite covers, in its coordinates."""
    y, x = np.nonzero(sprite.image[..., 3] >= 0.5)
    return np.stack([sprite.left + x / sprite.scale, sprite.top + y / sprite.scale], axis=-1)


class _Surface(Drawing):
    """The same drawing, of parts and places instead of colours."""

    side = 0

    def shadow(self) -> None:
        """A shadow is not part of a body."""

    def leg(self, side: int) -> None:
        self.side = side
        super().leg(side)

    def arm(self, side: int) -> None:
        self.side = side
        super().arm(side)

    def paste(self, name: str, origin: np.ndarray, axes: np.ndarray) -> None:
        matrix = self.matrix(origin, axes)
        found = self.parts[name].warped(self.canvas.shape[:2], matrix)
        if found is None:
            return
        rows, columns, layer = found
        y, x = np.mgrid[rows, columns] + 0.5
        inverse = np.linalg.inv(matrix[:, :2])
        x, y = x - matrix[0, 2], y - matrix[1, 2]
        own_x, own_y = inverse[0, 0] * x + inverse[0, 1] * y, inverse[1, 0] * x + inverse[1, 1] * y
        group = _GROUP_OF[name]
        left, top, right, bottom = _extents(self.puppet, self.scale)[group]
        u = np.clip((own_x - left) / (right - left), 0, 1)
        v = np.clip((own_y - top) / (bottom - top), 0, 1)
        if group == "head":
            v = v * _HEAD_SHARE
        elif group == "neck":
            v = _HEAD_SHARE + v * (1 - _HEAD_SHARE)
        outer, inner = _INDEX[group][self.side]
        index = np.where(own_x > 0, inner, outer)
        surface = np.stack([index, np.rint(255 * u), np.rint(255 * v)], axis=-1).astype(np.uint8)
        shown = layer[..., 3] >= 0.5
        self.canvas[rows, columns][shown] = surface[shown]
