"""Draws paper dolls: RGBA pictures of any size, and of every pixel the part of the body."""

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from motion_jax.puppet.bones import BONE, BONES, JOINT, Figure
from motion_jax.puppet.doll import Doll
from motion_jax.puppet.doll_lines import LAYERS, PART, Shape
from motion_jax.puppet.doll_shapes import shapes

# Pictures are drawn this many times larger, then averaged.
SUPERSAMPLE = 2
# Bits of a pixel's fraction in which OpenCV takes places.
_SHIFT = 4
# Of outlines, in shares of the character's height.
LINE = 0.0085
_LIMBS = tuple(name for name, _, _ in BONES if name not in ("spine", "head") and "_hip" not in name
               and "shoulder" not in name)  # fmt: skip
# What carries shapes, by name: rows of the origins and matrices of `_frames`.
FRAMES = (*_LIMBS, "torso", "neck", "skirt", "skull", "face", "hang")
_FRAME = {name: number for number, name in enumerate(FRAMES)}
# An eye is seen up to this angle from the direction of view, in radians.
_EYE_SEEN = 1.25
_EYE_ANGLE = 0.42


@dataclass(frozen=True)
class _Cut:
    """A doll's shapes, ready to be placed: all points in one array."""

    shapes: tuple[Shape, ...]
    points: np.ndarray  # [k, 3]
    frame: np.ndarray  # [k] of FRAMES
    ends: np.ndarray  # where each shape ends in the points
    layers: dict[str, list[list[int]]]  # by layer: groups of shapes


@functools.lru_cache(maxsize=512)
def _cut(doll: Doll) -> _Cut:
    cut = tuple(shapes(doll))
    layers: dict[str, list[list[int]]] = {name: [] for name in LAYERS}
    for number, shape in enumerate(cut):
        groups = layers[shape.layer]
        last = cut[groups[-1][-1]] if groups else None
        if last and shape.line and last.line and last.group == shape.group:
            groups[-1].append(number)
        else:
            groups.append([number])
    return _Cut(
        cut,
        np.concatenate([shape.points for shape in cut]),
        np.concatenate([np.full(len(s.points), _FRAME[s.frame]) for s in cut]),
        np.cumsum([len(shape.points) for shape in cut]),
        layers,
    )


def _frames(doll: Doll, figure: Figure, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Origins [f, 2] and matrices [f, 3, 2] of FRAMES, in pixels."""
    joints = figure.joints[frame, :, :2].astype(float)
    scale = float(figure.scale[frame])
    origins, matrices = np.zeros((len(FRAMES), 2)), np.zeros((len(FRAMES), 3, 2))
    hips, head, up = figure.hips[frame], figure.head[frame], figure.up[frame]

    def bone(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        along = end - start
        length = float(np.hypot(*along))
        unit = along / length if length > 1e-6 else np.array([0.0, 1.0])
        return start, np.stack([along, scale * unit, scale * np.array([-unit[1], unit[0]])])

    for name in _LIMBS:
        _, start, end = BONES[BONE[name]]
        origins[_FRAME[name]], matrices[_FRAME[name]] = bone(
            joints[JOINT[start]], joints[JOINT[end]]
        )
    neck = joints[JOINT["neck"]]
    shoulders = joints[JOINT["left_shoulder"]] - joints[JOINT["right_shoulder"]]
    across = joints[JOINT["left_hip"]] - joints[JOINT["right_hip"]]
    # Half a body turned to the side is not flat: it keeps some width.
    shoulders, across = (_widened(v, scale * doll.body.length(f"left_{n}") * 2, 0.62) / 2
                         for v, n in ((shoulders, "shoulder"), (across, "hip")))  # fmt: skip
    origins[_FRAME["torso"]] = neck
    matrices[_FRAME["torso"]] = np.stack([hips - neck, shoulders, across])
    origins[_FRAME["neck"]], matrices[_FRAME["neck"]] = bone(neck, head)
    down = (hips - neck) / max(float(np.hypot(*(hips - neck))), 1e-6)
    rows = [across]
    for side in ("right", "left"):
        thigh = joints[JOINT[f"{side}_knee"]] - joints[JOINT[f"{side}_hip"]]
        thigh = thigh / max(float(np.hypot(*thigh)), 1e-6)
        mixed = 0.55 * thigh + 0.45 * down
        rows.append(scale * mixed / max(float(np.hypot(*mixed)), 0.5))
    if across[0] < 0:
        rows = [rows[0], rows[1], rows[2]]
    origins[_FRAME["skirt"]], matrices[_FRAME["skirt"]] = hips, np.stack(rows)
    right = np.array([-up[1], up[0]])
    yaw, pitch, size = float(figure.yaw[frame]), float(figure.pitch[frame]), scale * doll.head
    depth = np.sin(yaw) * right + np.cos(yaw) * np.sin(pitch) * up
    tall = np.cos(pitch) * up
    sign = 1.0 if np.cos(yaw) >= 0 else -1.0
    gravity = 0.35 * up + 0.65 * np.array([0.0, -1.0])
    gravity = gravity / float(np.hypot(*gravity))
    for name, wide, high in (
        ("skull", right, up),
        ("face", np.cos(yaw) * right, tall),
        ("hang", sign * right, gravity),
    ):
        origins[_FRAME[name]] = head
        matrices[_FRAME[name]] = size * np.stack([wide, high, depth])
    return origins, matrices


def _widened(vector: np.ndarray, full: float, least: float) -> np.ndarray:
    length = float(np.hypot(*vector))
    if length >= least * full:
        return vector
    unit = vector / length if length > 1e-3 * full else np.array([1.0, 0.0])
    return least * full * unit


def _order(figure: Figure, frame: int) -> tuple[str, ...]:
    """Layers from far to near."""
    back = bool(figure.back[frame])
    # The leg whose foot is lower stands nearer.
    right, left = (figure.joints[frame, JOINT[f"{side}_ankle"], 1] for side in ("right", "left"))
    legs = ("right_leg", "left_leg") if right <= left else ("left_leg", "right_leg")
    arms = ("right_arm", "left_arm")
    if back:
        return ("hair_back", *arms, *legs, "torso", "skirt", "neck", "head", "hood")
    return ("hair_back", *legs, "torso", "skirt", "neck", "head", "hood", *arms)


def _shown(shape: Shape, back: bool, behind: bool, yaw: float) -> bool:
    """back: of the body; behind: of the head."""
    if not shape.when:
        return True
    if shape.when.endswith("_eye"):
        angle = yaw + (-_EYE_ANGLE if shape.when.startswith("right") else _EYE_ANGLE)
        return not behind and abs(angle) < _EYE_SEEN
    hidden = behind if shape.layer in ("head", "hood", "hair_back") else back
    return hidden == (shape.when == "back")


class _Drawing:
    """One doll in one stance, its points placed."""

    def __init__(self, doll: Doll, figure: Figure, frame: int, times: float):
        self.cut, self.figure, self.frame = _cut(doll), figure, frame
        origins, matrices = _frames(doll, figure, frame)
        cut = self.cut
        places = origins[cut.frame] + np.einsum("kc,kcd->kd", cut.points, matrices[cut.frame])
        # OpenCV's places are those of pixels' middles.
        fixed = np.rint((places * times - 0.5) * (1 << _SHIFT)).astype(np.int32)
        self.lines = np.split(fixed, cut.ends[:-1])
        self.thick = max(1, round(LINE * float(figure.scale[frame]) * times))

    def groups(self) -> list[list[int]]:
        """Shapes to draw, far to near; those of a group share an outline."""
        yaw = (float(self.figure.yaw[self.frame]) + np.pi) % (2 * np.pi) - np.pi
        back, behind = bool(self.figure.back[self.frame]), abs(yaw) > 1.75
        found = []
        for layer in _order(self.figure, self.frame):
            for group in self.cut.layers[layer]:
                shown = [n for n in group if _shown(self.cut.shapes[n], back, behind, yaw)]
                if shown:
                    found.append(shown)
        return found


def draw_doll(
    doll: Doll, figure: Figure, height: int, width: int, frame: int = 0
) -> UInt8[np.ndarray, "{height} {width} 4"]:
    """RGBA of the doll in one stance of the figure, colours not multiplied by alpha.

    The figure must be of the doll's body, in pixels of height x width.
    """
    canvas = np.zeros((height * SUPERSAMPLE, width * SUPERSAMPLE, 4), np.uint8)
    drawing = _Drawing(doll, figure, frame, SUPERSAMPLE)
    lines, cut = drawing.lines, drawing.cut
    for group in drawing.groups():
        for number in group:
            shape = cut.shapes[number]
            if shape.line:
                cv2.polylines(canvas, [lines[number]], True, (*shape.line, 255), 2 * drawing.thick,
                              cv2.LINE_8, _SHIFT)  # fmt: skip
        for number in group:
            shape = cut.shapes[number]
            if shape.colour is not None:
                cv2.fillPoly(canvas, [lines[number]], (*shape.colour, 255), cv2.LINE_AA, _SHIFT)
    return straight(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA))


def straight(premultiplied: UInt8[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h w 4"]:
    """RGBA whose colours are divided by alpha."""
    alpha = premultiplied[..., 3:]
    partly = (alpha > 0) & (alpha < 255)
    rows, columns = np.nonzero(partly[..., 0])
    if len(rows):
        edge = premultiplied[rows, columns].astype(np.float32)
        edge[:, :3] = np.minimum(edge[:, :3] * (255 / edge[:, 3:]), 255)
        premultiplied[rows, columns] = np.rint(edge).astype(np.uint8)
    return premultiplied


def part_map(
    doll: Doll, figure: Figure, height: int, width: int, frame: int = 0
) -> UInt8[np.ndarray, "{height} {width}"]:
    """Of every pixel the number of the part (doll_lines.PARTS) that is seen there."""
    return _maps(doll, figure, height, width, frame)[0]


def depth_map(
    doll: Doll, figure: Figure, height: int, width: int, frame: int = 0
) -> Float[np.ndarray, "{height} {width}"]:
    """Of every pixel how near the layer is that is seen there: 1 the nearest, 0 nothing. A paper
    doll is flat: these are the places of its layers in the pile, no distances."""
    return _maps(doll, figure, height, width, frame)[1] / len(LAYERS)


def _maps(
    doll: Doll, figure: Figure, height: int, width: int, frame: int
) -> tuple[np.ndarray, np.ndarray]:
    parts, piles = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    drawing = _Drawing(doll, figure, frame, 1)
    order = {layer: number + 1 for number, layer in enumerate(_order(figure, frame))}
    for group in drawing.groups():
        for number in group:
            shape, line = drawing.cut.shapes[number], [drawing.lines[number]]
            for canvas, value in ((parts, PART[shape.part]), (piles, order[shape.layer])):
                cv2.fillPoly(canvas, line, (value,), cv2.LINE_8, _SHIFT)
                if shape.line:
                    cv2.polylines(canvas, line, True, (value,), drawing.thick, cv2.LINE_8, _SHIFT)
    return parts, piles
