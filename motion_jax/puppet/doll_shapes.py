"""The parts of a paper doll below the head, and all of them together."""

from collections.abc import Sequence

import numpy as np

from motion_jax.puppet.doll import Colour, Doll, light, shade
from motion_jax.puppet.doll_head import head_shapes
from motion_jax.puppet.doll_lines import Shape, limb, outline, smooth


def shapes(doll: Doll) -> list[Shape]:
    """All parts of a doll, in the order in which each layer is drawn."""
    found: list[Shape] = []
    for side in ("right", "left"):
        found += _leg(doll, side)
        found += _arm(doll, side)
    return found + _torso(doll) + _skirt(doll) + head_shapes(doll)


def _leg(doll: Doll, side: str) -> list[Shape]:
    layer, found = f"{side}_leg", []
    w, edge = doll.leg, -1.0 if side == "right" else 1.0
    thigh, shin, foot = f"{side}_thigh", f"{side}_shin", f"{side}_foot"
    line, dark = outline(doll.skin), shade(doll.skin, 0.84, 0.3)

    def add(part: str, frame: str, points: np.ndarray, colour: Colour, *rest: object) -> None:
        found.append(Shape(layer, part, frame, points, colour, *rest))  # type: ignore[arg-type]

    upper, lower = (w, 0.92 * w, 0.74 * w), (0.74 * w, 0.80 * w, 0.52 * w)
    add(thigh, thigh, limb(0, 1, upper, (1, 1)), doll.skin, line, 1)
    add(shin, shin, limb(0, 1, lower, (1, 1)), doll.skin, line, 1)
    add(thigh, thigh, limb(0.1, 1, upper, (0, 0.5), edge), dark)
    add(shin, shin, limb(0, 1, lower, (0, 0.5), edge), dark)
    covers = doll.bottom in ("trousers", "shorts")
    if not covers:
        sock, ends = doll.sock, {"ankle": 0.75, "knee": 0.1, "thigh": 0.0, "tights": 0.0}
        line = outline(sock)
        if doll.socks in ("thigh", "tights"):
            begin = 0.45 if doll.socks == "thigh" else 0.0
            half = tuple(1.05 * v for v in ((0.92 * w, 0.74 * w) if begin else upper))
            add(thigh, thigh, limb(begin, 1, half, (0, 1)), sock, line, 2)
        begin = ends[doll.socks]
        half = tuple(
            1.06 * float(np.interp(t, (0, 0.5, 1), lower)) for t in np.linspace(begin, 1, 3)
        )
        add(shin, shin, limb(begin, 1, half, (1.0 if begin == 0 else 0, 1)), sock, line, 2)
        add(shin, shin, limb(begin, 1, half, (0, 0.5), edge), shade(sock, 0.84, 0.3))
    shoe, line = doll.shoes, outline(doll.shoes)
    long = doll.body.length(foot)
    if doll.boots:
        half = (0.86 * w, 0.78 * w, 0.70 * w)
        add(shin, shin, limb(0.42, 1, half, (0, 1)), shoe, line, 3)
    heel, deep = 0.36 * long, 0.55 * doll.body.ankle
    sole = [
        (0, -heel, -0.9 * deep), (0.3, 0, -1.05 * deep), (0.75, 0, -0.8 * deep),
        (1.08, 0, -0.5 * deep),
        (1.2, 0, 0.05 * deep), (1.08, 0, 0.62 * deep), (0.6, 0, 0.95 * deep),
        (0, -heel, 0.95 * deep),
        (-0.0, -1.35 * heel, 0.2 * deep),
    ]  # fmt: skip
    add(foot, foot, smooth(sole, 3), shoe, line, 3)
    add(foot, foot, limb(-0.25, 1.05, (0.28 * deep, 0.24 * deep), (1, 1)) + (0, 0, 0.72 * deep),
        light(shoe, 0.65))  # fmt: skip
    if covers:
        cloth, line = doll.below, outline(doll.below)
        end = doll.trousers
        loose = 1.22 if doll.bottom == "trousers" else 1.35
        full = tuple(loose * v for v in upper)
        if end > 0.5:
            low = tuple(loose * 1.08 * v for v in (0.74 * w, 0.78 * w, 0.70 * w))
            add(thigh, thigh, limb(0, 1, full, (1, 1)), cloth, line, 4)
            add(shin, shin, limb(0, (end - 0.5) * 2, low, (1, 0)), cloth, line, 4)
            add(thigh, thigh, limb(0.1, 1, full, (0, 0.5), edge), shade(cloth, 0.82, 0.3))
            add(shin, shin, limb(0, (end - 0.5) * 2, low, (0, 0), edge), shade(cloth, 0.82, 0.3))
        else:
            half = (full[0], 1.02 * full[0], full[0])
            add(thigh, thigh, limb(0, end * 2, half, (1, 0)), cloth, line, 4)
            add(thigh, thigh, limb(0.1, end * 2, half, (0, 0), edge), shade(cloth, 0.82, 0.3))
    return found


def _arm(doll: Doll, side: str) -> list[Shape]:
    layer, found = f"{side}_arm", []
    a, edge = doll.arm, 1.0 if side == "right" else -1.0
    upper, lower = f"{side}_upper_arm", f"{side}_forearm"
    skin, line = doll.skin, outline(doll.skin)

    def add(part: str, frame: str, points: np.ndarray, colour: Colour, *rest: object) -> None:
        found.append(Shape(layer, part, frame, points, colour, *rest))  # type: ignore[arg-type]

    above: tuple[float, ...] = (a, 0.92 * a, 0.82 * a)
    under: tuple[float, ...] = (0.82 * a, 0.78 * a, 0.62 * a)
    # The hand: a mitten and a thumb, beyond the wrist.
    h = 1.18 * a
    hand = [(1, -0.5 * h, -0.5 * h), (1, 0.4 * h, -0.85 * h), (1, 1.5 * h, -0.75 * h),
            (1, 2.2 * h, -0.1 * h), (1, 1.8 * h, 0.62 * h), (1, 0.6 * h, 0.8 * h),
            (1, -0.5 * h, 0.5 * h)]  # fmt: skip
    thumb = [(1, 0.2 * h, 0.5), (1, 0.55 * h, 1.2), (1, 1.15 * h, 1.35), (1, 1.1 * h, 0.6)]
    thumb = [(t, c, -edge * s * h) for t, c, s in thumb]
    add(upper, upper, limb(0, 1, above, (1, 1)), skin, line, 1)
    add(lower, lower, limb(0, 1, under, (1, 1)), skin, line, 1)
    add(f"{side}_hand", lower, smooth(thumb, 3), skin, line, 1)
    add(f"{side}_hand", lower, smooth(hand, 3), skin, line, 1)
    add(lower, lower, limb(0, 1, under, (0, 0.5), -edge), shade(skin, 0.84, 0.3))
    cloth = doll.second if doll.top in ("jacket", "vest") and doll.top == "vest" else doll.cloth
    line, dark = outline(cloth), shade(cloth, 0.82, 0.3)
    share, loose = doll.sleeve, 1.30
    if doll.top == "vest":
        share = min(share, 0.3)
    if share > 0.5:
        end = (share - 0.5) * 2
        above = tuple(loose * v for v in above)
        under = (
            loose * 0.82 * a,
            loose * 0.95 * a,
            (1.6 if doll.top == "hoodie" else 1.25) * 0.8 * a,
        )
        add(upper, upper, limb(0, 1, above, (1, 1)), cloth, line, 2)
        add(lower, lower, limb(0, end, under, (1, 0.3)), cloth, line, 2)
        add(upper, upper, limb(0.1, 1, above, (0, 0.5), -edge), dark)
        add(lower, lower, limb(0, end, under, (0, 0.2), -edge), dark)
        if doll.top in ("sailor", "hoodie", "jacket"):
            cuff = tuple(1.08 * under[-1] for _ in range(2))
            add(lower, lower, limb(end - 0.12, end, cuff, (0, 0.2)), doll.second, line, 3)
    else:
        end = share * 2
        wide = (loose * a, 1.05 * loose * a, 1.12 * loose * a)
        add(upper, upper, limb(0, end, wide, (1, 0.2)), cloth, line, 2)
        add(upper, upper, limb(0.1, end, wide, (0, 0.1), -edge), dark)
        if doll.top == "sailor" and end > 0.4:
            add(upper, upper, limb(end - 0.14, end, (wide[-1], wide[-1]), (0, 0.2)), doll.second)
    return found


def _on_torso(points: Sequence[tuple[float, float]]) -> np.ndarray:
    """(u, v): across in half widths of the body, down from the neck to the hips in its length."""
    u, v = np.asarray(points, float).T
    return np.column_stack([v, u * (1 - v), u * v])


def _torso(doll: Doll) -> list[Shape]:
    found: list[Shape] = []
    shoulder = doll.body.length("right_shoulder")
    hip = doll.body.length("right_hip")
    # Half widths in those of the shoulders and hips; u at v is scaled by a mean of the two.
    waist = doll.waist / (0.45 * shoulder + 0.55 * hip)
    top = 1 + 0.5 * doll.arm / shoulder
    bottom = (hip + 0.85 * doll.leg) / hip
    cloth, line = doll.cloth, outline(doll.cloth)

    def add(
        points: Sequence[tuple[float, float]], colour: Colour, curved: bool = True, **more: object
    ):
        p = smooth(points) if curved else np.asarray(points, float)
        found.append(Shape("torso", "torso", "torso", _on_torso(p), colour, **more))  # type: ignore[arg-type]

    half = [(0.30, -0.05), (0.85 * top, 0.06), (top, 0.22), (1.02 * waist, 0.62), (bottom, 1.02)]
    body = (
        half + [(bottom * 0.9, 1.12)] + [(-bottom * 0.9, 1.12)] + [(-u, v) for u, v in half[::-1]]
    )
    add(body, cloth, line=line, group=1)
    strip = [(0.5 * top, 0.1), (top, 0.22), (waist, 0.62), (bottom, 1.05), (0.45 * bottom, 1.05),
             (0.5 * waist, 0.6)]  # fmt: skip
    add(strip, shade(cloth, 0.84, 0.3))
    if doll.top == "stripes":
        for v in (0.2, 0.42, 0.64, 0.86):
            w = float(np.interp(v, (0.06, 0.22, 0.62, 1.02), (0.85 * top, top, waist, bottom)))
            add([(-0.97 * w, v), (0.97 * w, v), (0.97 * w, v + 0.09), (-0.97 * w, v + 0.09)],
                doll.second, curved=False)  # fmt: skip
    if doll.top == "emblem":
        add(_emblem(doll.emblem), doll.accent, curved=False, when="front")
    if doll.top in ("jacket", "vest"):
        # Open over a shirt, with buttons' line.
        inner = doll.second if doll.top == "jacket" else light(doll.below, 0.8)
        add([(-0.3, -0.04), (0.3, -0.04), (0.26, 0.5), (0.3, 1.1), (-0.3, 1.1), (-0.26, 0.5)],
            inner, curved=False, line=line, group=2, when="front")  # fmt: skip
        add([(-0.06, 0.06), (0.06, 0.06), (0.1, 0.5), (0, 0.62), (-0.1, 0.5)], doll.accent,
            curved=False, line=line, group=3, when="front")  # fmt: skip
    if doll.top == "hoodie":
        add([(-0.5, 0.66), (0.5, 0.66), (0.72, 0.95), (-0.72, 0.95)], shade(cloth, 0.88),
            curved=False, line=line, group=2, when="front")  # fmt: skip
        for u in (-0.14, 0.14):
            add([(u - 0.03, 0.08), (u + 0.03, 0.08), (u + 0.04, 0.4), (u - 0.04, 0.4)],
                light(cloth, 0.8), curved=False, when="front")  # fmt: skip
    if doll.top == "sailor":
        collar = [(-0.6 * top, -0.02), (-0.75 * top, 0.2), (0, 0.46), (0.75 * top, 0.2),
                  (0.6 * top, -0.02)]  # fmt: skip
        back = [(-0.7 * top, 0), (-0.7 * top, 0.42), (0.7 * top, 0.42), (0.7 * top, 0)]
        add(collar, doll.second, curved=False, line=line, group=2, when="front")
        add(back, doll.second, curved=False, line=line, group=2, when="back")
        knot = [(0, 0.4), (-0.38, 0.28), (-0.42, 0.6), (0, 0.48), (0.42, 0.6), (0.38, 0.28)]
        add(knot, doll.accent, curved=False, line=outline(doll.accent), group=3, when="front")
    # The neck, and skin above a collar.
    open_ = [(-0.26, -0.06), (0.26, -0.06), (0.0, 0.2 if doll.top != "hoodie" else 0.04)]
    add(open_, doll.skin, curved=False, line=line, group=4, when="front")
    w = 0.25 * shoulder
    found.append(
        Shape("neck", "torso", "neck", limb(-0.2, 0.6, (w, w), (0, 0)), shade(doll.skin, 0.86, 0.3))
    )
    if doll.bottom in ("trousers", "shorts"):
        add([(-1.06 * waist, 0.86), (1.06 * waist, 0.86), (1.04 * bottom, 1.05),
             (0.7 * bottom, 1.25), (-0.7 * bottom, 1.25), (-1.04 * bottom, 1.05)], doll.below,
            curved=False)  # fmt: skip
        add([(-1.06 * waist, 0.86), (1.06 * waist, 0.86), (1.06 * waist, 0.93),
             (-1.06 * waist, 0.93)], shade(doll.below, 0.6), curved=False)  # fmt: skip
    return found


def _emblem(kind: str) -> Sequence[tuple[float, float]]:
    if kind == "star":
        angles = np.pi / 5 * np.arange(10) - np.pi / 2
        radius = np.where(np.arange(10) % 2, 0.2, 0.45)
    elif kind == "heart":
        t = 2 * np.pi * np.arange(20) / 20
        x = 0.03 * 16 * np.sin(t) ** 3
        y = -0.03 * (13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
        return [(float(u), 0.4 + 0.42 * float(v)) for u, v in zip(x, y, strict=True)]
    else:
        angles, radius = 2 * np.pi * np.arange(14) / 14, np.full(14, 0.4)
    return [
        (float(r * np.cos(a)), 0.4 + 0.42 * float(r * np.sin(a)))
        for a, r in zip(angles, radius, strict=True)
    ]


def _skirt(doll: Doll) -> list[Shape]:
    """In the frame "skirt": across in lengths of the hips, down along the right and left thigh."""
    if doll.bottom not in ("skirt", "dress", "long_skirt"):
        return []
    leg, hip = doll.body.leg, doll.body.length("right_hip")
    cloth, line = doll.below, outline(doll.below)
    waist, hem = 1.05 * doll.waist / hip, doll.flare * (hip + doll.leg) / hip
    high, low = -0.24 * doll.body.length("spine"), doll.hem * leg

    def points(places: Sequence[tuple[float, float]]) -> np.ndarray:
        """(u, v): across from -1 to 1, down from 0 to 1."""
        u, v = np.asarray(places, float).T
        wide = waist + (hem - waist) * np.sin(np.pi / 2 * np.clip(v, 0, 1.1))
        down = high + v * (low - high)
        return np.column_stack([u * wide, down * (1 - u) / 2, down * (1 + u) / 2])

    edge = [(u, 1.0 + 0.05 * (i % 2)) for i, u in enumerate(np.linspace(1, -1, 9))]
    side = [(-1.0, v) for v in (0.75, 0.5, 0.25, 0.0)] + [(1.0, v) for v in (0, 0.25, 0.5, 0.75)]
    found = [Shape("skirt", "skirt", "skirt", points([*edge, *side]), cloth, line, 1)]
    dark = shade(cloth, 0.82, 0.3)
    for u in np.linspace(-0.75, 0.75, 4):
        pleat = [(u, 0.22), (u + 0.16, 1.03), (u - 0.04, 1.03)]
        found.append(Shape("skirt", "skirt", "skirt", points(pleat), dark))
    if doll.top == "sailor" or doll.bottom == "dress":
        band = [(u, 0.84) for u in np.linspace(-0.99, 0.99, 7)]
        band += [(u, 0.91) for u in np.linspace(0.99, -0.99, 7)]
        found.append(Shape("skirt", "skirt", "skirt", points(band), doll.second))
    belt = [(-1, 0.0), (1, 0.0), (1, 0.1), (-1, 0.1)]
    found.append(
        Shape("skirt", "skirt", "skirt", points(belt),
              doll.accent if doll.bottom == "dress" else shade(cloth, 0.62), line, 2)
    )  # fmt: skip
    return found
