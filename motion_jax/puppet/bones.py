"""What a drawn character is hung on: bones, a stance that fits every character, and its joints.

A stance says where each bone points and how much of its length is seen; a character says how long
its bones are. Both together give joints, in pixels, which is all that a drawing, a rig or a network
is shown.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float, Float32

from motion_jax.pose import skeleton

# The joints of a character: OpenPose's 18 of COCO, and the big toes.
JOINTS = (
    *(skeleton.BODY_NAMES[i] for i in skeleton.COCO_18.body25), "right_big_toe", "left_big_toe",
)  # fmt: skip
JOINT = {name: number for number, name in enumerate(JOINTS)}
# Where each stands in the 137 keypoints.
IN_SKELETON = np.array([skeleton.INDEX[name] for name in JOINTS])

# Bones, each from a joint that is placed before it. "hips" and "head" are places without a joint:
# the middle of the hips and the middle of the head.
BONES = (
    ("spine", "hips", "neck"), ("head", "neck", "head"),
    ("right_shoulder", "neck", "right_shoulder"), ("left_shoulder", "neck", "left_shoulder"),
    ("right_upper_arm", "right_shoulder", "right_elbow"),
    ("right_forearm", "right_elbow", "right_wrist"),
    ("left_upper_arm", "left_shoulder", "left_elbow"),
    ("left_forearm", "left_elbow", "left_wrist"),
    ("right_hip", "hips", "right_hip"), ("left_hip", "hips", "left_hip"),
    ("right_thigh", "right_hip", "right_knee"), ("right_shin", "right_knee", "right_ankle"),
    ("left_thigh", "left_hip", "left_knee"), ("left_shin", "left_knee", "left_ankle"),
    ("right_foot", "right_ankle", "right_big_toe"), ("left_foot", "left_ankle", "left_big_toe"),
)  # fmt: skip
BONE = {name: number for number, (name, _, _) in enumerate(BONES)}
SIDES = ("right", "left")

# Places on a head of radius 1: right, up, towards the viewer, for a head that looks at the viewer.
_ON_HEAD = {
    "nose": (0.0, -0.30, 0.92), "right_eye": (-0.40, -0.12, 0.84), "left_eye": (0.40, -0.12, 0.84),
    "right_ear": (-0.92, -0.16, 0.0), "left_ear": (0.92, -0.16, 0.0),
}  # fmt: skip
# What lies further back than this is not seen.
_HIDDEN = {"nose": 0.0, "eye": -0.05, "ear": -0.62}


@dataclass(frozen=True)
class Stance:
    """N poses that fit every character.

    Attributes:
      bones: of each of BONES the vector in lengths of that bone, x to the picture's right, y down;
        shorter than 1 where the bone points towards or away from the viewer.
      root: of the middle of the hips, in lengths of the leg: to the picture's right of where the
        character stands, and above the floor; without a number: as high as the lower foot demands.
      yaw: of the head in radians towards the picture's right, beyond a right angle from behind.
      pitch: of the head in radians, upwards.
    """

    bones: Float[np.ndarray, "n 16 2"]
    root: Float[np.ndarray, "n 2"]
    yaw: Float[np.ndarray, " n"]
    pitch: Float[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.bones)

    def __getitem__(self, frames: slice | np.ndarray) -> "Stance":
        """The stance of some of the frames."""
        return replace(self, **{f.name: getattr(self, f.name)[frames] for f in fields(self)})


@dataclass(frozen=True)
class Body:
    """How long a character's bones are, in shares of its height.

    Attributes:
      lengths: of each of BONES.
      radius: of the head, which its nose, eyes and ears move on.
      ankle: height of the ankles above the floor.
    """

    lengths: tuple[float, ...]
    radius: float
    ankle: float

    def length(self, *bones: str) -> float:
        """Of these bones together."""
        return float(sum(self.lengths[BONE[name]] for name in bones))

    @property
    def leg(self) -> float:
        """Hip to ankle."""
        return self.length("right_thigh", "right_shin")


@dataclass(frozen=True)
class Figure:
    """A character in N stances, in pixels of a picture.

    Attributes:
      joints: of each of JOINTS x, y and 1 where it is seen, else zeros.
      hips, head: middle of the hips and of the head; up: along the head, of length 1.
      yaw, pitch: of the head, see Stance.
      scale: pixels of the character's height.
    """

    joints: Float32[np.ndarray, "n 20 3"]
    hips: Float[np.ndarray, "n 2"]
    head: Float[np.ndarray, "n 2"]
    up: Float[np.ndarray, "n 2"]
    yaw: Float[np.ndarray, " n"]
    pitch: Float[np.ndarray, " n"]
    scale: Float[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.joints)

    def __getitem__(self, frames: slice | np.ndarray) -> "Figure":
        """The figure of some of the frames."""
        return replace(self, **{f.name: getattr(self, f.name)[frames] for f in fields(self)})

    @property
    def back(self) -> Bool[np.ndarray, " n"]:
        """Whether it is seen from behind: its left shoulder is on the picture's left."""
        shoulders = self.joints[:, [JOINT["right_shoulder"], JOINT["left_shoulder"]], 0]
        return shoulders[:, 1] < shoulders[:, 0]


def figure(
    body: Body,
    stance: Stance,
    scale: float | Float[np.ndarray, " n"],
    place: tuple[float, float] | Float[np.ndarray, "n 2"],
) -> Figure:
    """A character in a picture.

    Args:
      scale: pixels of its height.
      place: x, y in pixels of where it stands on the floor.
    """
    n = len(stance)
    scale = np.broadcast_to(np.asarray(scale, float), (n,))
    vectors = stance.bones * np.asarray(body.lengths)[:, None]
    at: dict[str, np.ndarray] = {"hips": np.zeros((n, 2))}
    for number, (_, start, end) in enumerate(BONES):
        at[end] = at[start] + vectors[:, number]
    # The floor under the lower foot, where the stance does not say how high the hips are.
    lowest = np.stack(
        [at[f"{side}_{joint}"][:, 1] for side in SIDES for joint in ("ankle", "big_toe")]
    )
    lowest[0::2] += body.ankle
    lowest[1::2] += 0.25 * body.ankle
    high = lowest.max(0)
    known = np.isfinite(stance.root[:, 1])
    high = np.where(known, body.ankle + stance.root[:, 1] * body.leg, high)
    hips = np.stack([stance.root[:, 0] * body.leg, -high], -1)
    length = np.linalg.norm(vectors[:, BONE["head"]], axis=-1, keepdims=True)
    up = vectors[:, BONE["head"]] / np.maximum(length, 1e-9)
    seen = {name: np.ones(n, bool) for name in JOINTS}
    for name, point in on_head(body.radius, up, stance.yaw, stance.pitch).items():
        at[name] = at["head"] + point[:, :2]
        seen[name] = point[:, 2] > _HIDDEN[name.split("_")[-1]] * body.radius
    moved = {
        name: (places + hips) * scale[:, None] + np.asarray(place) for name, places in at.items()
    }
    joints = np.stack(
        [np.column_stack([moved[name], np.ones(n)]) * seen[name][:, None] for name in JOINTS], 1
    )
    return Figure(
        joints.astype(np.float32), moved["hips"], moved["head"], up, stance.yaw, stance.pitch, scale
    )


def on_head(
    radius: float,
    up: Float[np.ndarray, "n 2"],
    yaw: Float[np.ndarray, " n"],
    pitch: Float[np.ndarray, " n"],
) -> dict[str, Float[np.ndarray, "n 3"]]:
    """Nose, eyes and ears from the middle of the head: x, y (down), and towards the viewer."""
    right = np.stack([-up[:, 1], up[:, 0]], -1)
    found = {}
    for name, (x, y, z) in _ON_HEAD.items():
        across = x * np.cos(yaw) + z * np.sin(yaw)
        depth = z * np.cos(yaw) - x * np.sin(yaw)
        above = y * np.cos(pitch) + depth * np.sin(pitch)
        depth = depth * np.cos(pitch) - y * np.sin(pitch)
        flat = across[:, None] * right + above[:, None] * up
        found[name] = radius * np.column_stack([flat, depth])
    return found
