"""The head of a paper doll: face, eyes, hair and what is worn on it.

Coordinates are in half heights of the head: x to the right, y up, depth towards where it looks.
Frames: "skull" moves by depth as the head turns and keeps its width; "face" becomes narrower, too;
"hang" is the skull whose y points down to the floor, for hair that hangs.
"""

from collections.abc import Sequence

import numpy as np

from motion_jax.puppet.doll import Colour, Doll, light, shade
from motion_jax.puppet.doll_lines import Shape, ellipse, outline, smooth


def _at(points: Sequence[tuple[float, float]], depth: float, curved: bool = True) -> np.ndarray:
    p = smooth(points) if curved else np.asarray(points, float)
    return np.column_stack([p, np.full(len(p), depth)])


def head_shapes(doll: Doll) -> list[Shape]:
    """Of all layers of the head."""
    return [*_back(doll), *_face(doll), *_eyes(doll), *_front(doll), *_worn(doll)]


def _face(doll: Doll) -> list[Shape]:
    w, sharp = doll.wide, 0.16 * doll.chin
    skin, line = doll.skin, outline(doll.skin)
    head = [(0, 0.92), (0.62 * w, 0.78), (0.92 * w, 0.25), (0.9 * w, -0.25),
            ((0.66 - sharp) * w, -0.68), (0.2 * w, -0.93 - 0.3 * sharp),
            (0, -0.96 - 0.4 * sharp)]  # fmt: skip
    head += [(-x, y) for x, y in head[-2:0:-1]]
    found = []
    for sign in (-1, 1):
        ear = ellipse(0.93 * sign * w, -0.16, 0.13, 0.2, 0.0, 10)
        found.append(Shape("head", "head", "skull", ear, skin, line, 1))
    found.append(Shape("head", "head", "skull", _at(head, 0.06), skin, line, 1))
    shadow = [(-0.8 * w, 0.62), (0.8 * w, 0.62), (0.84 * w, 0.2), (0.4, 0.36), (0, 0.28),
              (-0.4, 0.36), (-0.84 * w, 0.2)]  # fmt: skip
    found.append(
        Shape("head", "head", "skull", _at(shadow, 0.2), shade(skin, 0.86, 0.3), when="front")
    )
    blush = tuple(int(0.72 * a + 0.28 * b) for a, b in zip(skin, (240, 90, 100), strict=True))
    for sign in (-1, 1):
        cheek = ellipse(0.52 * sign * w, -0.46, 0.15, 0.07, 0.72, 10)
        when = f"{'right' if sign < 0 else 'left'}_eye"
        found.append(Shape("head", "head", "face", cheek, blush, when=when))  # type: ignore[arg-type]
    nose = [(-0.03, -0.36), (0.035, -0.36), (0.0, -0.30)]
    found.append(
        Shape("head", "head", "face", _at(nose, 0.98, False), shade(skin, 0.66), when="front")
    )
    smile = [(-0.15, -0.56), (0, -0.60), (0.15, -0.56), (0, -0.70 + 0.06 * doll.chin)]
    found.append(
        Shape("head", "head", "face", _at(smile, 0.88), (150, 52, 58), line, 2, when="front")
    )
    return found


def _eyes(doll: Doll) -> list[Shape]:
    found: list[Shape] = []
    e, dark = doll.eye, (34, 26, 34)
    depth = 0.84

    for sign in (-1, 1):
        when = f"{'right' if sign < 0 else 'left'}_eye"
        x, y = 0.40 * sign, -0.14

        def add(points: np.ndarray, colour: Colour, when: str = when) -> None:
            found.append(Shape("head", "head", "face", points, colour, when=when))

        rx, ry = 0.21 * e, 0.29 * e
        add(ellipse(x, y, rx, ry, depth), (252, 252, 255))
        add(ellipse(x - 0.01 * sign, y - 0.02, 0.155 * e, 0.25 * e, depth), shade(doll.iris, 0.6))
        add(ellipse(x - 0.01 * sign, y - 0.09 * e, 0.12 * e, 0.15 * e, depth), doll.iris)
        add(ellipse(x - 0.01 * sign, y - 0.01, 0.075 * e, 0.13 * e, depth, 10), dark)
        add(ellipse(x - 0.07 * e, y + 0.11 * e, 0.06 * e, 0.075 * e, depth, 8), (255, 255, 255))
        add(ellipse(x + 0.07 * e, y - 0.14 * e, 0.03 * e, 0.04 * e, depth, 6), (255, 255, 255))
        lash = [(x - 1.15 * rx, y + 0.35 * ry), (x, y + 1.12 * ry), (x + 1.15 * rx, y + 0.35 * ry),
                (x + 0.9 * rx, y + 0.62 * ry), (x, y + 0.86 * ry),
                (x - 0.9 * rx, y + 0.62 * ry)]  # fmt: skip
        add(_at(lash, depth), dark)
        brow = [(x - 0.2, y + 0.48), (x, y + 0.55), (x + 0.2, y + 0.48), (x, y + 0.51)]
        add(_at(brow, depth), shade(doll.hair, 0.55))
    return found


def _front(doll: Doll) -> list[Shape]:
    """The fringe with the crown, seen from the front; the whole head of hair from behind."""
    w, hair, line = doll.wide, doll.hair, outline(doll.hair)
    crown = [(-1.04 * w, -0.05), (-1.06 * w, 0.45), (-0.72 * w, 0.98), (0, 1.16), (0.72 * w, 0.98),
             (1.06 * w, 0.45), (1.04 * w, -0.05)]  # fmt: skip
    edge = {
        "straight": [(0.84, 0.0), (0.80, 0.30), (0.4, 0.22), (0, 0.26), (-0.4, 0.22), (-0.80, 0.30),
                     (-0.84, 0.0)],
        "swept": [(0.92, -0.1), (0.80, 0.25), (0.62, 0.5), (0.2, 0.55), (-0.3, 0.36), (-0.75, 0.02),
                  (-0.92, -0.25)],
        "parted": [(0.9, -0.2), (0.74, 0.12), (0.4, 0.42), (0.0, 0.84), (-0.4, 0.42), (-0.74, 0.12),
                   (-0.9, -0.2)],
        "spiky": [(0.9, -0.1), (0.78, 0.42), (0.55, 0.05), (0.42, 0.46), (0.1, 0.06), (0.0, 0.5),
                  (-0.34, 0.08), (-0.45, 0.48), (-0.78, 0.05), (-0.92, -0.1)],
        "curtain": [(0.9, -0.45), (0.76, 0.1), (0.5, 0.42), (0.1, 0.62), (-0.14, 0.6), (-0.5, 0.36),
                    (-0.76, 0.06), (-0.9, -0.45)],
    }[doll.fringe]  # fmt: skip
    sharp = doll.fringe == "spiky"
    below = [(x * w, y) for x, y in edge]
    points = np.concatenate(
        [_smooth_open(crown), np.asarray(below) if sharp else _smooth_open(below)]
    )
    fringe = np.column_stack([points, np.full(len(points), 0.22)])
    found = [Shape("hood", "hair", "skull", fringe, hair, line, 1, "front")]
    shine = [
        (-0.62 * w, 0.62),
        (-0.2, 0.78),
        (0.3, 0.76),
        (0.62 * w, 0.58),
        (0.3, 0.68),
        (-0.2, 0.70),
    ]
    found.append(Shape("hood", "hair", "skull", _at(shine, 0.3), light(hair, 0.45), when="front"))
    if doll.back == "spiky":
        spikes = [(-1.0, 0.5), (-1.3, 0.75), (-0.85, 0.85), (-0.9, 1.2), (-0.4, 1.05), (-0.1, 1.38),
                  (0.25, 1.08), (0.7, 1.25), (0.75, 0.88), (1.25, 0.8), (1.0, 0.45)]  # fmt: skip
        found.insert(
            0, Shape("head", "hair", "skull", _at([(x * w, y) for x, y in spikes], 0.0, False),
            hair,
                     line, 9)
        )  # fmt: skip
    whole = [(-1.05 * w, 0.3), (-0.72 * w, 0.98), (0, 1.16), (0.72 * w, 0.98), (1.05 * w, 0.3),
             (0.98 * w, -0.55), (0.5 * w, -0.9), (0, -0.8), (-0.5 * w, -0.9),
             (-0.98 * w, -0.55)]  # fmt: skip
    found.append(Shape("hood", "hair", "skull", _at(whole, 0.0), hair, line, 1, "back"))
    found.append(
        Shape("hood", "hair", "skull", _at([(x, y + 0.05) for x, y in shine], 0.0),
              light(hair, 0.4), when="back")
    )  # fmt: skip
    return found


def _smooth_open(points: Sequence[tuple[float, float]], steps: int = 4) -> np.ndarray:
    """A curve through the points, its ends among them."""
    p = np.asarray(points, float)
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = (np.arange(steps) / steps)[:, None, None]
    a, b, c, d = p[:-3], p[1:-2], p[2:-1], p[3:]
    curve = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )
    return np.concatenate([curve.transpose(1, 0, 2).reshape(-1, 2), p[-2:-1]])


def _back(doll: Doll) -> list[Shape]:
    w, hair, line = doll.wide, shade(doll.hair, 0.86, 0.3), outline(doll.hair)
    long = doll.length
    found = []

    def add(points: Sequence[tuple[float, float]], frame: str, depth: float,
    layer: str = "hair_back",
            when: str = "", group: int = 1) -> None:  # fmt: skip
        found.append(Shape(layer, "hair", frame, _at(points, depth), hair, line, group, when))

    cap = [(-1.06 * w, 0.3), (-0.7 * w, 1.0), (0, 1.14), (0.7 * w, 1.0), (1.06 * w, 0.3)]
    if doll.back in ("short", "spiky"):
        add(
            [*cap, (1.02 * w, -0.5), (0.5 * w, -0.85), (-0.5 * w, -0.85), (-1.02 * w, -0.5)],
            "skull",
            -0.1,
        )
    elif doll.back == "bob":
        add([*cap, (1.2 * w, -0.5), (1.0 * w, -1.05), (0, -1.0), (-1.0 * w, -1.05),
            (-1.2 * w, -0.5)],
            "skull", -0.1)  # fmt: skip
    elif doll.back == "long":
        for layer, when in (("hair_back", "front"), ("hood", "back")):
            add([(-1.0 * w, 0.3), (-0.7 * w, 0.9), (0.7 * w, 0.9), (1.0 * w, 0.3), (1.15 * w, -0.8),
                 (1.2 * w, -long), (0.6 * w, -long - 0.22), (0, -long), (-0.6 * w, -long - 0.22),
                 (-1.2 * w, -long), (-1.15 * w, -0.8)], "hang", -0.25, layer, when)  # fmt: skip
    else:
        add(
            [*cap, (1.0 * w, -0.45), (0.5 * w, -0.8), (-0.5 * w, -0.8), (-1.0 * w, -0.45)],
            "skull",
            -0.1,
        )
    if doll.back == "twin_tails":
        for s in (-1, 1):
            tail = [(0.95 * s * w, 0.55), (1.3 * s * w, 0.5), (1.75 * s * w, -0.3),
                    (1.7 * s * w, -0.75 * long), (1.35 * s * w, -long), (1.2 * s * w, -0.7 * long),
                    (1.15 * s * w, -0.1)]  # fmt: skip
            add(tail, "hang", -0.1, group=2)
            bow = ellipse(1.08 * s * w, 0.5, 0.16, 0.16, -0.05, 8)
            found.append(Shape("hood", "hair", "hang", bow, doll.accent, outline(doll.accent), 3))
    if doll.back == "ponytail":
        for layer, when in (("hair_back", "front"), ("hood", "back")):
            add([(-0.15, 0.75), (0.2, 0.95), (0.6, 0.7), (0.75, -0.2), (0.65, -long * 0.8),
                 (0.25, -long), (0.2, -long * 0.6),
                 (0.1, -0.1)], "hang", -0.9, layer, when, 2)  # fmt: skip
    if doll.back == "bun":
        for layer, when in (("hair_back", "front"), ("hood", "back")):
            ball = ellipse(0, 1.18, 0.42, 0.38, -0.3)
            found.append(Shape(layer, "hair", "skull", ball, hair, line, 2, when))
    return found


def _worn(doll: Doll) -> list[Shape]:
    w, accent, line = doll.wide, doll.accent, outline(doll.accent)
    found: list[Shape] = []

    def add(points: np.ndarray, colour: Colour, frame: str = "skull", when: str = "",
    group: int = 5,
            part: str = "head") -> None:  # fmt: skip
        found.append(Shape("hood", part, frame, points, colour, line, group, when))

    if doll.extra == "ribbon":
        for s in (-1, 1):
            add(_at([(0.05 * s, 1.02), (0.5 * s, 1.42), (0.62 * s, 1.0),
                (0.4 * s, 0.86)], -0.1, False),
                accent)  # fmt: skip
        add(ellipse(0, 1.05, 0.12, 0.13, -0.08, 8), shade(accent, 0.8))
    elif doll.extra == "cat_ears":
        for s in (-1, 1):
            outer = [(0.3 * s * w, 1.02), (0.8 * s * w, 1.58), (0.98 * s * w, 0.62)]
            inner = [(0.45 * s * w, 1.05), (0.76 * s * w, 1.38), (0.86 * s * w, 0.8)]
            found.insert(0, Shape("head", "hair", "skull", _at(outer, 0.0, False), doll.hair,
                                  outline(doll.hair), 8))  # fmt: skip
            found.insert(1, Shape("head", "hair", "skull", _at(inner, 0.02, False), (244, 170, 180),
                                  when="front"))  # fmt: skip
    elif doll.extra == "hairband":
        band = [(-1.04 * w, 0.42), (-0.66 * w, 0.94), (0, 1.1), (0.66 * w, 0.94), (1.04 * w, 0.42),
                (0.92 * w, 0.42), (0.58 * w, 0.8), (0, 0.94), (-0.58 * w, 0.8),
                (-0.92 * w, 0.42)]  # fmt: skip
        add(_at(band, 0.15, False), accent)
    elif doll.extra == "glasses":
        for s in (-1, 1):
            when = f"{'right' if s < 0 else 'left'}_eye"
            ring = ellipse(0.40 * s, -0.16, 0.30, 0.30, 0.9, 14)
            hole = ellipse(0.40 * s, -0.16, 0.25, 0.25, 0.9, 14)[::-1]
            whole = np.concatenate([ring, ring[:1], hole[-1:], hole])
            found.insert(0, Shape("head", "head", "face", whole, (60, 50, 60), when=when))
        bridge = [(-0.12, -0.12), (0.12, -0.12), (0.12, -0.16), (-0.12, -0.16)]
        found.insert(
            0, Shape("head", "head", "face", _at(bridge, 0.95, False), (60, 50, 60), when="front")
        )
    elif doll.extra == "cap":
        dome = [(-1.1 * w, 0.42), (-0.95 * w, 0.95), (-0.4, 1.28), (0.4, 1.28), (0.95 * w, 0.95),
                (1.1 * w, 0.42), (0.5 * w, 0.56), (-0.5 * w, 0.56)]  # fmt: skip
        add(_at(dome, 0.1), accent)
        brim = [
            (-0.85 * w, 0.5),
            (0, 0.66),
            (0.85 * w, 0.5),
            (0.7 * w, 0.26),
            (0, 0.36),
            (-0.7 * w, 0.26),
        ]
        add(_at(brim, 0.6), shade(accent, 0.8), when="front", group=6)
    elif doll.extra == "hairpin":
        add(ellipse(0.62 * w, 0.42, 0.14, 0.1, 0.45, 8), accent, when="front")
    return found
