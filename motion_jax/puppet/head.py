"""The puppet's head: skin, hair and features as three layers that slide over one another when it
turns, and the 70 points of the face that lie exactly on what is drawn."""

import numpy as np
from jaxtyping import Float, Float64

from motion_jax.puppet.characters import Puppet, toned
from motion_jax.puppet.sprites import Painter, Sprite, noise, outline, round_shade

# Places on the face in half widths and half heights of the head, from its middle, y down. The
# person's right is at negative x.
EYE = (0.42, 0.06)
EYE_SIZE = (0.235, 0.155)
BROW = (0.43, -0.22)
BROW_SIZE = (0.26, 0.055)
NOSE = (0.30, 0.13)  # height of the tip, half width
MOUTH = (0.56, 0.31)  # height, half width
EAR = (0.99, 0.14)
# How far in front of the turning axis each layer lies, in half widths.
FEATURES_DEPTH, HAIR_DEPTH, BEARD_DEPTH = 0.62, 0.22, 0.24


def face_points() -> Float64[np.ndarray, "70 2"]:
    """The face's points looking straight ahead, in half widths and heights: the 68 iBUG points,
    then the right and the left pupil."""
    points = np.zeros((70, 2))
    around = np.linspace(np.pi * 0.97, np.pi * 0.03, 17)
    points[:17] = np.stack([0.97 * np.cos(around), 0.98 * np.sin(around)], axis=-1)
    arch = np.linspace(-1, 1, 5)
    for first, side in ((17, -1), (22, 1)):
        points[first : first + 5, 0] = side * BROW[0] + BROW_SIZE[0] * arch
        points[first : first + 5, 1] = BROW[1] - BROW_SIZE[1] * (1 - arch**2)
    points[27:31, 1] = np.linspace(EYE[1] - 0.02, NOSE[0], 4)
    points[31:36] = [(NOSE[1] * k, NOSE[0] + 0.07 - 0.02 * abs(k)) for k in (-1, -0.5, 0, 0.5, 1)]
    for first, side in ((36, -1), (42, 1)):
        corners = np.pi - np.arange(6) * np.pi / 3  # left corner, over the top, round clockwise
        points[first : first + 6, 0] = side * EYE[0] + EYE_SIZE[0] * np.cos(corners)
        points[first : first + 6, 1] = EYE[1] - EYE_SIZE[1] * np.sin(corners)
        points[68 + (first == 42)] = side * EYE[0], EYE[1]
    points[48:60] = [_lip(angle, 1.0) for angle in np.pi - np.arange(12) * np.pi / 6]
    points[60:68] = [_lip(angle, 0.6) for angle in np.pi - np.arange(8) * np.pi / 4]
    return points


def _lip(angle: float, size: float) -> tuple[float, float]:
    """A point of the smiling mouth's outline; its corners are higher than its middle."""
    x = MOUTH[1] * size * np.cos(angle)
    return x, MOUTH[0] - 0.10 * size * np.sin(angle) - 0.09 * (x / MOUTH[1]) ** 2


FACE_POINTS = face_points()


def layer_matrix(puppet: Puppet, turn: float, depth: float) -> Float[np.ndarray, "2 3"]:
    """How a layer of the head moves in the head's own coordinates when it turns."""
    return np.array(
        [[1 - 0.25 * depth * (1 - np.cos(turn)), 0, depth * puppet.head_width * np.sin(turn)],
         [0, 1, 0]]
    )  # fmt: skip


def face_places(puppet: Puppet, turn: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 70 2"]:
    """The face's points in the head's coordinates (shares of the frame's height) for these turns:
    the outline stays, the features slide with their layer."""
    places = FACE_POINTS * (puppet.head_width, puppet.head_height)
    places = np.tile(places, (len(turn), 1, 1))
    for frame, angle in enumerate(turn):
        matrix = layer_matrix(puppet, angle, FEATURES_DEPTH)
        places[frame, 17:] = places[frame, 17:] @ matrix[:, :2].T + matrix[:, 2]
    return places


def head_parts(puppet: Puppet, scale: float) -> dict[str, Sprite]:
    """Layers from back to front: hair_back, skin, beard (or none), features, hair_front. All in
    coordinates from the middle of the head, in shares of the frame's height."""
    parts = {"skin": _skin(puppet, scale), "features": _features(puppet, scale)}
    if puppet.hairstyle == "bob":
        parts |= _bob(puppet, scale)
    else:
        parts |= _short_hair_and_beard(puppet, scale)
    return parts


def _painter(puppet: Puppet, scale: float, reach: float = 1.5) -> Painter:
    wide, high = puppet.head_width * reach, puppet.head_height * reach
    return Painter(-wide, -high, wide, high, scale)


def _skin(puppet: Puppet, scale: float) -> Sprite:
    painter, wide, high = _painter(puppet, scale), puppet.head_width, puppet.head_height
    x, y = painter.x / wide, painter.y / high
    darker = toned(puppet.skin, 0.82)
    for side in (-1, 1):
        ear = painter.ellipse(side * EAR[0] * wide, EAR[1] * high, 0.17 * wide, 0.20 * high)
        painter.fill(ear, puppet.skin, shade=round_shade(x * 0.7, y * 0.3))
        inner = painter.ellipse(side * EAR[0] * wide, EAR[1] * high, 0.08 * wide, 0.11 * high)
        painter.fill(inner, darker)
    # Broader above than at the chin.
    narrowing = 1 - 0.16 * np.clip(y, 0, 1) ** 1.5
    skull = (np.hypot(x / narrowing, y) - 1) * min(wide, high)
    painter.fill(skull, puppet.skin, shade=round_shade(x * 0.8, y * 0.6) + 0.02)
    for side in (-1, 1):
        rosy = painter.ellipse(side * 0.56 * wide, 0.40 * high, 0.20 * wide, 0.12 * high)
        painter.fill(rosy, (228, 96, 88), opacity=0.35, soft=0.01, inside=True)
    outline(painter, skull)
    return painter.done()


def _features(puppet: Puppet, scale: float) -> Sprite:
    painter, wide, high = _painter(puppet, scale, 1.2), puppet.head_width, puppet.head_height
    dark = toned(puppet.skin, 0.62)
    brow = toned(puppet.hair, 0.72)
    for side in (-1, 1):
        middle = side * EYE[0] * wide, EYE[1] * high
        rim = painter.ellipse(*middle, EYE_SIZE[0] * 1.12 * wide, EYE_SIZE[1] * 1.22 * high)
        painter.fill(rim, (46, 26, 26))
        white = painter.ellipse(*middle, EYE_SIZE[0] * wide, EYE_SIZE[1] * high)
        painter.fill(white, (252, 252, 250))
        iris = painter.circle(*middle, EYE_SIZE[1] * high * 0.86)
        painter.fill(np.maximum(iris, white), puppet.eyes)
        painter.fill(painter.circle(*middle, EYE_SIZE[1] * high * 0.46), (14, 10, 12))
        glint = painter.circle(
            middle[0] - 0.05 * wide, middle[1] - 0.055 * high, EYE_SIZE[1] * high * 0.26
        )
        painter.fill(glint, (255, 255, 255))
        arch = (painter.x / wide - side * BROW[0]) / BROW_SIZE[0]
        line = painter.y / high - (BROW[1] - BROW_SIZE[1] * (1 - arch**2))
        thick = 0.055 * (1.15 - 0.35 * side * arch)
        painter.fill(np.maximum(np.abs(line) - thick, np.abs(arch) - 1) * high, brow)
    side_of_nose = painter.line(
        0.01 * wide, EYE[1] * high, 0.07 * wide, NOSE[0] * high, 0.02 * wide, 0.05 * wide
    )
    painter.fill(side_of_nose, dark, opacity=0.35, soft=0.003)
    tip = painter.ellipse(0, NOSE[0] * high, NOSE[1] * wide, 0.085 * high)
    painter.fill(tip, puppet.skin, shade=1.08)
    under = painter.ellipse(0, (NOSE[0] + 0.075) * high, NOSE[1] * 0.9 * wide, 0.022 * high)
    painter.fill(under, dark, opacity=0.8)
    across = painter.x / (wide * MOUTH[1])
    line = painter.y / high - (MOUTH[0] - 0.09 * across**2)
    half = 0.105 * np.sqrt(np.clip(1 - across**2, 0, 1))
    lips = np.maximum(np.abs(line) - half, np.abs(across) - 1) * high
    painter.fill(lips, puppet.lips)
    teeth = np.maximum(np.abs(line) - 0.6 * half + 0.01, np.abs(across) - 0.62) * high
    painter.fill(teeth, (255, 252, 246))
    return painter.done()


def _strands(painter: Painter, puppet: Puppet, wavelength: float) -> np.ndarray:
    """Hair's brightness: strands and a gleam."""
    x, y = painter.x / puppet.head_width, painter.y / puppet.head_height
    fine = noise(x * 2.2, y * 0.5, 11, wavelength)
    gleam = np.exp(-(((np.hypot(x + 0.35, y + 0.55) - 0.42) / 0.16) ** 2))
    return 0.92 + 0.16 * fine + 0.55 * gleam


def _bob(puppet: Puppet, scale: float) -> dict[str, Sprite]:
    """Chin-length hair with a fringe, and a yellow bow."""
    wide, high = puppet.head_width, puppet.head_height
    back = _painter(puppet, scale, 1.7)
    shape = np.minimum(
        back.ellipse(0, -0.14 * high, 1.26 * wide, 1.10 * high),
        back.line(-0.92 * wide, 0.1 * high, -1.0 * wide, 0.86 * high, 0.42 * wide, 0.34 * wide),
    )
    right = back.line(0.92 * wide, 0.1 * high, 1.0 * wide, 0.86 * high, 0.42 * wide, 0.34 * wide)
    shape = np.minimum(shape, right)
    back.fill(shape, puppet.hair, shade=0.8 * _strands(back, puppet, 0.5))
    outline(back, shape)
    front = _painter(puppet, scale, 1.7)
    x, y = front.x / wide, front.y / high
    cap = front.ellipse(0, -0.16 * high, 1.18 * wide, 1.0 * high)
    # The fringe's lower edge: a side parting.
    edge = -0.40 + 0.34 * np.abs(x - 0.25) ** 1.7 + 0.03 * np.sin(x * 17)
    fringe = np.maximum(cap, (y - edge) * high)
    front.fill(fringe, puppet.hair, shade=_strands(front, puppet, 0.35))
    outline(front, fringe)
    bow = (248, 196, 44)
    for side in (-1, 1):
        wing = front.ellipse((0.62 + 0.21 * side) * wide, -0.93 * high, 0.20 * wide, 0.17 * high)
        front.fill(wing, bow, shade=round_shade((x - 0.62 - 0.21 * side) / 0.22))
    front.fill(front.circle(0.62 * wide, -0.93 * high, 0.10 * wide), (222, 150, 24))
    return {"hair_back": back.done(), "hair_front": front.done()}


def _short_hair_and_beard(puppet: Puppet, scale: float) -> dict[str, Sprite]:
    """Short hair swept up, and a full beard."""
    wide, high = puppet.head_width, puppet.head_height
    back = _painter(puppet, scale, 1.5)
    shape = back.ellipse(0, -0.30 * high, 1.08 * wide, 0.86 * high)
    back.fill(shape, puppet.hair, shade=0.75)
    front = _painter(puppet, scale, 1.7)
    x, y = front.x / wide, front.y / high
    crown = front.ellipse(0, -0.36 * high, 1.08 * wide, 0.84 * high)
    quiff = front.ellipse(-0.15 * wide, -0.92 * high, 0.80 * wide, 0.36 * high)
    edge = -0.48 + 0.22 * np.abs(x) ** 4 + 0.05 * np.sin(x * 14 + 1)
    hair = np.maximum(np.minimum(crown, quiff), (y - edge) * high)
    front.fill(hair, puppet.hair, shade=_strands(front, puppet, 0.35))
    outline(front, hair)
    beard = _painter(puppet, scale, 1.35)
    x, y = beard.x / wide, beard.y / high
    outer = (np.hypot(x / 1.0, (y - 0.06) / 1.04) - 1) * high
    inner = np.abs(x) * 0.55 + 0.30 - y  # a line from the ears down to beneath the nose
    inner = np.maximum(inner * high, -beard.ellipse(0, 0.57 * high, 0.37 * wide, 0.17 * high))
    cheeks = beard.ellipse(0, 0.02 * high, 0.70 * wide, 0.42 * high)
    shape = np.maximum(np.maximum(outer, inner), -cheeks)
    beard.fill(shape, puppet.hair, shade=0.9 * _strands(beard, puppet, 0.3))
    outline(beard, shape, 0.2)
    return {"hair_back": back.done(), "beard": beard.done(), "hair_front": front.done()}
