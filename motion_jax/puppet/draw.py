"""Draws a puppet in its place: turns its parts into position over the background, then shrinks."""

import functools

import cv2
import numpy as np
from jaxtyping import UInt8

from motion_jax.puppet.characters import Puppet
from motion_jax.puppet.figure import SIDES, Joints, joints
from motion_jax.puppet.head import (
    BEARD_DEPTH,
    FEATURES_DEPTH,
    HAIR_DEPTH,
    head_parts,
    layer_matrix,
)
from motion_jax.puppet.motion import Motion
from motion_jax.puppet.scene import FLOOR, WHOLE, View, background
from motion_jax.puppet.sprites import Sprite, body_parts

# Frames are drawn this many times larger, then averaged, for smooth edges.
SUPERSAMPLE = 2


@functools.lru_cache(maxsize=8)
def parts(puppet: Puppet, scale: float) -> dict[str, Sprite]:
    """All of a character's parts for `scale` pixels per frame height."""
    return body_parts(puppet, scale) | head_parts(puppet, scale)


def draw(
    puppet: Puppet, motion: Motion, height: int, width: int, view: View = WHOLE
) -> UInt8[np.ndarray, "n {height} {width} 3"]:
    """RGB: the puppet in every frame of the motion. For long motions draw slices of it one after
    another."""
    body = joints(puppet, motion)
    frames = range(len(motion))
    return np.stack([draw_frame(puppet, body, frame, height, width, view) for frame in frames])


def draw_frame(
    puppet: Puppet,
    body: Joints,
    frame: int,
    height: int,
    width: int,
    view: View = WHOLE,
    camera: View = WHOLE,
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """RGB: one frame of `joints(puppet, motion)`.

    view: of the puppet; what lies behind it stays as it is. camera: which part of all that a camera
    shows that turned and zoomed: puppet and place move alike.
    """
    tall, wide = height * SUPERSAMPLE, width * SUPERSAMPLE
    canvas = background(puppet.scene, tall, wide, camera).copy()
    # Where the top in the middle of the stage is on the canvas.
    painted = tall * view.zoom
    scale = painted * camera.zoom
    x, y = view.x + camera.x / view.zoom, view.y + (camera.y - 0.5) / view.zoom
    middle = wide / 2 - x * scale, tall / 2 - y * scale
    # One painting of the parts serves all frames, however far the camera zoomed.
    Drawing(puppet, body, frame, canvas, scale, middle, painted).all()
    np.clip(canvas, 0, 255, out=canvas)
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return (small + 0.5).astype(np.uint8)


class Drawing:
    """One frame being drawn; places are in shares of the frame's height until they are pasted.

    Args:
      canvas: float32 [h, w, 3], or [h, w, 4] for the dancer alone, colours times opacity.
      scale, middle: (pixels for the frame's height; the place in pixels of what is in the middle of
        its upper edge); None: those of a dancer who has the canvas to itself.
      painted: pixels for the frame's height at which the parts are painted; None: `scale`.
    """

    def __init__(
        self,
        puppet: Puppet,
        body: Joints,
        frame: int,
        canvas: np.ndarray,
        scale: float | None = None,
        middle: tuple[float, float] | None = None,
        painted: float | None = None,
    ):
        self.puppet, self.body, self.frame, self.canvas = puppet, body, frame, canvas
        self.scale = float(canvas.shape[0]) if scale is None else scale
        self.middle = np.array((canvas.shape[1] / 2, 0.0) if middle is None else middle)
        self.parts = parts(puppet, self.scale if painted is None else painted)
        opaque = (1.0,) * (canvas.shape[-1] - 3)
        self.tint = np.asarray((*puppet.light, *opaque), np.float32)

    def paste(self, name: str, origin: np.ndarray, axes: np.ndarray) -> None:
        """`axes` columns: where the part's right and down point, in shares of the height."""
        self.parts[name].paste(self.canvas, self.matrix(origin, axes), self.tint)

    def matrix(self, origin: np.ndarray, axes: np.ndarray) -> np.ndarray:
        """[2, 3] from a part's coordinates to the canvas's pixels."""
        place = origin * self.scale + self.middle
        return np.concatenate([axes * self.scale, place[:, None]], axis=1)

    def bone(self, name: str, start: np.ndarray, end: np.ndarray, mirror: bool = False) -> None:
        """A part that hangs from `start` towards `end`."""
        down = (end - start) / max(float(np.linalg.norm(end - start)), 1e-9)
        right = np.array([down[1], -down[0]]) * (-1 if mirror else 1)
        self.paste(name, start, np.stack([right, down], axis=1))

    def all(self) -> None:
        self.shadow()
        self.person()

    def person(self) -> None:
        sides = (0, 1) if self.body.hip[self.frame, 0] > 0 else (1, 0)
        for side in sides:
            self.leg(side)
        self.torso()
        self.head()
        for side in sides:
            self.arm(side)

    def shadow(self) -> None:
        """Soft dark spots on the floor: a broad one below the body, a dense one below each foot."""
        body, frame = self.body, self.frame
        spots = [(body.hip[frame, 0] + 0.015, 0.15, 0.026, 0.34)]
        for x, y in body.ankles[frame]:
            lifted = max(FLOOR - self.puppet.ankle - y, 0)
            spots.append((x + 0.01, 0.055, 0.013, 0.42 * np.exp(-lifted / 0.05)))
        for x, wide, high, dark in spots:
            left, right = (np.array([x - 2.2 * wide, x + 2.2 * wide])) * self.scale + self.middle[0]
            lowest = np.array([FLOOR - 2.2 * high, FLOOR + 2.2 * high])
            top, bottom = lowest * self.scale + self.middle[1]
            x0, x1 = max(int(left), 0), min(int(right) + 1, self.canvas.shape[1])
            y0, y1 = max(int(top), 0), min(int(bottom) + 1, self.canvas.shape[0])
            if x1 <= x0 or y1 <= y0:
                continue
            across = ((np.arange(x0, x1) + 0.5 - self.middle[0]) / self.scale - x) / wide
            down = ((np.arange(y0, y1) + 0.5 - self.middle[1]) / self.scale - FLOOR + 0.004) / high
            fall = dark * np.exp(-(down**2))[:, None] * np.exp(-(across**2))
            self.canvas[y0:y1, x0:x1] *= (1 - fall[..., None]).astype(np.float32)

    def end(self, name: str, place: np.ndarray, turn: float, side: int) -> None:
        """A hand or shoe at its joint, turned by an angle."""
        flip, c, s = -SIDES[side], np.cos(turn), np.sin(turn)
        self.paste(name, place, np.array([[c * flip, s], [-s * flip, c]]))

    def leg(self, side: int) -> None:
        body, frame, mirror = self.body, self.frame, side == 1
        hip, knee, ankle = (joints[frame, side] for joints in (body.hips, body.knees, body.ankles))
        self.bone("calf", knee, ankle, mirror)
        self.end("shoe_r", ankle, body.feet[frame, side], side)
        self.bone("trouser_leg", knee, ankle, mirror)
        self.bone("thigh", hip, knee, mirror)

    def torso(self) -> None:
        body, frame = self.body, self.frame
        up, narrow = body.up[frame], body.narrow[frame]
        across = np.array([-up[1], up[0]])
        level = np.array([[narrow, 0], [0, 1.0]])
        self.paste("pelvis", body.hip[frame], level)
        self.bone("neck", body.neck[frame] - 0.02 * up, body.head[frame])
        self.paste("torso", body.hip[frame], np.stack([across * narrow, -up], axis=1))

    def head(self) -> None:
        body, frame = self.body, self.frame
        up, turn = body.head_up[frame], body.head_turn[frame]
        axes = np.stack([np.array([-up[1], up[0]]), -up], axis=1)
        for name, depth in (
            ("hair_back", -HAIR_DEPTH),
            ("skin", 0.0),
            ("beard", BEARD_DEPTH),
            ("features", FEATURES_DEPTH),
            ("hair_front", HAIR_DEPTH),
        ):
            if name in self.parts:
                layer = layer_matrix(self.puppet, turn, depth)
                self.paste(name, body.head[frame] + axes @ layer[:, 2], axes @ layer[:, :2])

    def arm(self, side: int) -> None:
        body, frame, mirror = self.body, self.frame, side == 1
        shoulder, elbow, wrist = (
            joints[frame, side] for joints in (body.shoulders, body.elbows, body.wrists)
        )
        if not self.puppet.sleeve:
            self.bone("upper_arm_bare", shoulder, elbow, mirror)
        self.bone("forearm", elbow, wrist, mirror)
        self.end("hand_r", wrist, body.hands[frame, side], side)
        self.bone("sleeve", shoulder, elbow, mirror)
        if self.puppet.sleeve:
            self.bone("cuff", elbow, wrist, mirror)
