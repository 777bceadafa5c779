"""From a motion to a character's joints and keypoints: exact, the same that the drawing uses."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from motion_jax.pose import skeleton
from motion_jax.puppet.characters import Puppet
from motion_jax.puppet.head import EAR, face_places
from motion_jax.puppet.motion import Motion
from motion_jax.puppet.scene import FLOOR
from motion_jax.puppet.sprites import HAND_POINTS

# How far the body's and the head's turn go, in radians for a turn of 1.
BODY_TURN, HEAD_TURN = 0.7, 0.8
# Shoulders hang a little below the neck's base (share of the torso).
DROOP = 0.055


@dataclass(frozen=True)
class Joints:
    """Where a puppet's joints are: in shares of the frame's height, x from the frame's middle, y
    from its top. Side 0 is the person's right.

    Attributes:
      head: its middle.
      up: along the torso; head_up: along the head.
      narrow: width of the body as seen (1 from the front).
      head_turn: in radians.
      hands: angle of the hand from hanging straight down, counter-clockwise in the picture.
      feet: the shoe's turn.
    """

    hip: Float[np.ndarray, "n 2"]
    neck: Float[np.ndarray, "n 2"]
    head: Float[np.ndarray, "n 2"]
    hips: Float[np.ndarray, "n side=2 2"]
    knees: Float[np.ndarray, "n side=2 2"]
    ankles: Float[np.ndarray, "n side=2 2"]
    shoulders: Float[np.ndarray, "n side=2 2"]
    elbows: Float[np.ndarray, "n side=2 2"]
    wrists: Float[np.ndarray, "n side=2 2"]
    up: Float[np.ndarray, "n 2"]
    head_up: Float[np.ndarray, "n 2"]
    narrow: Float[np.ndarray, " n"]
    head_turn: Float[np.ndarray, " n"]
    hands: Float[np.ndarray, "n side=2"]
    feet: Float[np.ndarray, "n side=2"]


SIDES = np.array([-1.0, 1.0])  # The person's right is on the picture's left.


def joints(puppet: Puppet, motion: Motion) -> Joints:
    """The puppet's joints in every frame of the motion."""
    floor = FLOOR - puppet.ankle
    hip = np.stack(
        [motion.root[:, 0] * puppet.leg, floor - motion.root[:, 1] * puppet.leg], axis=-1
    )
    narrow = np.cos(BODY_TURN * motion.turn)
    hips = hip[:, None] + np.stack([SIDES * puppet.hip, np.zeros(2)], axis=-1)
    ankles = np.stack(
        [
            SIDES * puppet.hip + motion.feet[..., 0] * puppet.leg,
            floor - motion.feet[..., 1] * puppet.leg,
        ],
        axis=-1,
    )
    up = np.stack([np.sin(motion.lean), -np.cos(motion.lean)], axis=-1)
    across = np.stack([-up[:, 1], up[:, 0]], axis=-1)
    neck = hip + puppet.torso * up
    shoulders = (neck - DROOP * puppet.torso * up)[:, None] + (SIDES * puppet.shoulder)[
        :, None
    ] * narrow[:, None, None] * across[:, None]
    # Angles in the picture from straight down, outwards for each side, with the torso's lean.
    upper = SIDES * motion.shoulders - motion.lean[:, None]
    lower = upper + SIDES * motion.elbows
    elbows = shoulders + puppet.upper_arm * _hanging(upper)
    wrists = elbows + puppet.forearm * _hanging(lower)
    nod = motion.lean + motion.head_tilt
    head_up = np.stack([np.sin(nod), -np.cos(nod)], axis=-1)
    return Joints(
        hip=hip, neck=neck, head=neck + puppet.neck * head_up,
        hips=hips, knees=_knees(puppet, hips, ankles), ankles=ankles,
        shoulders=shoulders, elbows=elbows, wrists=wrists,
        up=up, head_up=head_up, narrow=narrow, head_turn=HEAD_TURN * motion.head_turn,
        hands=lower + SIDES * motion.wrists, feet=SIDES * 1.1 * motion.feet[..., 1],
    )  # fmt: skip


def _hanging(angle: np.ndarray) -> np.ndarray:
    """Unit vectors turned from straight down towards the picture's right: [..., 2]."""
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1)


def _knees(puppet: Puppet, hips: np.ndarray, ankles: np.ndarray) -> np.ndarray:
    """Knees that bend outwards: the corner of the triangle with the sides thigh and shin."""
    line = ankles - hips
    far = np.linalg.norm(line, axis=-1)
    reach = np.clip(far, abs(puppet.thigh - puppet.shin) * 1.001, puppet.leg * 0.9999)
    along = (puppet.thigh**2 - puppet.shin**2 + reach**2) / (2 * reach)
    aside = np.sqrt(np.maximum(puppet.thigh**2 - along**2, 0))
    direction = line / np.maximum(far, 1e-9)[..., None]
    normal = np.stack([direction[..., 1], -direction[..., 0]], axis=-1)
    outward = normal * SIDES[None, :, None]
    return hips + direction * along[..., None] + outward * aside[..., None]


def keypoints(
    puppet: Puppet, motion: Motion, height: int, width: int
) -> Float32[np.ndarray, "n 137 3"]:
    """All keypoints in pixels of a height x width frame, confidence 1."""
    body = joints(puppet, motion)
    places = np.zeros((len(motion), skeleton.COUNT, 2))
    index = skeleton.INDEX
    places[:, index["neck"]] = body.neck - DROOP * puppet.torso * body.up
    places[:, index["mid_hip"]] = body.hip
    for side, name in enumerate(("right", "left")):
        for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
            places[:, index[f"{name}_{joint}"]] = getattr(body, f"{joint}s")[:, side]
        toes = foot_places(puppet, body.feet[:, side], side)
        for number, part in enumerate(("big_toe", "small_toe", "heel")):
            places[:, index[f"{name}_{part}"]] = body.ankles[:, side] + toes[:, number]
        hand = skeleton.RIGHT_HAND if side == 0 else skeleton.LEFT_HAND
        points = hand_places(puppet, body.hands[:, side], side)
        places[:, hand] = body.wrists[:, side, None] + points

    across = np.stack([-body.head_up[:, 1], body.head_up[:, 0]], axis=-1)
    axes = np.stack([across, -body.head_up], axis=1)  # rows: the head's right, the head's down

    def on_head(local: np.ndarray) -> np.ndarray:
        return body.head[:, None] + local @ axes

    face = face_places(puppet, body.head_turn)
    places[:, skeleton.FACE] = on_head(face)
    places[:, index["nose"]] = places[:, skeleton.FACE.start + 30]
    places[:, index["right_eye"]] = places[:, skeleton.FACE.start + 68]
    places[:, index["left_eye"]] = places[:, skeleton.FACE.start + 69]
    ears = np.array([(side * EAR[0], EAR[1]) for side in SIDES])
    ears = on_head(np.tile(ears * (puppet.head_width, puppet.head_height), (len(motion), 1, 1)))
    places[:, index["right_ear"]], places[:, index["left_ear"]] = ears[:, 0], ears[:, 1]

    pixels = np.ones((len(motion), skeleton.COUNT, 3), np.float32)
    pixels[..., 0] = places[..., 0] * height + width / 2
    pixels[..., 1] = places[..., 1] * height
    # What has left the picture cannot be observed.
    outside = (
        (pixels[..., 0] < 0) | (pixels[..., 0] > width)
        | (pixels[..., 1] < 0) | (pixels[..., 1] > height)
    )  # fmt: skip
    pixels[outside] = 0
    return pixels


def foot_places(
    puppet: Puppet, turn: Float[np.ndarray, " n"], side: int
) -> Float[np.ndarray, "n 3 2"]:
    """Big toe, small toe, heel from the ankle, for a shoe turned by `turn` radians."""
    long, deep = puppet.foot, puppet.ankle
    local = np.array(
        [(-0.58 * long, 0.92 * deep), (-0.74 * long, 0.70 * deep), (0.20 * long, 0.88 * deep)]
    )
    return _turned(local * (-SIDES[side], 1), turn)


def hand_places(
    puppet: Puppet, angle: Float[np.ndarray, " n"], side: int
) -> Float[np.ndarray, "n 21 2"]:
    """The hand's points from the wrist."""
    return _turned(HAND_POINTS * puppet.hand * (-SIDES[side], 1), angle)


def _turned(local: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """[P, 2] places turned with the picture's down towards its right by angles [N]: [N, P, 2]."""
    c, s = np.cos(angle), np.sin(angle)
    # Down (0, 1) becomes (s, c), right (1, 0) becomes (c, -s).
    rows = np.stack([np.stack([c, -s], axis=-1), np.stack([s, c], axis=-1)], axis=1)
    return local @ rows
