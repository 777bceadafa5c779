"""Paper dolls: drawn characters made from a seed, no two alike.

What sets one apart is a Doll: proportions, hair, clothes and colours. doll_shapes.py cuts its
parts, doll_draw.py draws them.
"""

import colorsys
from dataclasses import dataclass

import numpy as np

from motion_jax.puppet.bones import BONES, Body

Colour = tuple[int, int, int]

FRINGES = ("straight", "swept", "parted", "spiky", "curtain")
BACKS = ("short", "bob", "long", "twin_tails", "ponytail", "spiky", "bun")
TOPS = ("shirt", "sailor", "jacket", "hoodie", "stripes", "emblem", "vest")
BOTTOMS = ("skirt", "trousers", "shorts", "dress", "long_skirt")
SOCKS = ("ankle", "knee", "thigh", "tights")
EXTRAS = ("none", "ribbon", "cat_ears", "hairband", "glasses", "cap", "hairpin")
EMBLEMS = ("star", "heart", "circle")

_SKIN = (
    (255, 226, 205), (252, 214, 188), (246, 201, 168), (234, 184, 146), (206, 150, 112),
    (168, 114, 80), (132, 86, 60), (104, 68, 50),
)  # fmt: skip
_HAIR = (
    (48, 42, 52), (86, 58, 46), (140, 92, 58), (214, 168, 96), (245, 214, 130), (198, 84, 54),
    (236, 128, 160), (246, 172, 196), (106, 158, 222), (72, 96, 176), (96, 190, 160),
    (150, 118, 206), (196, 202, 220), (232, 108, 88), (120, 196, 110),
)  # fmt: skip


@dataclass(frozen=True)
class Doll:
    """One character. Lengths are shares of its height, colours RGB 0...255.

    Attributes:
      body: its bones.
      arm, leg, waist: half widths of shoulder, thigh and waist.
      head: half height of the head; wide: its width against that; chin: how pointed, 0 to 1.
      eye: size of the eyes, 1 usual.
      sleeve: share of the arm (shoulder to wrist) that is covered; trousers: of the leg.
      hem: length of a skirt in lengths of the leg; flare: how wide it is.
      length: of the hair in heights of the head.
    """

    seed: int
    body: Body
    arm: float
    leg: float
    waist: float
    head: float
    wide: float
    chin: float
    eye: float
    fringe: str
    back: str
    top: str
    bottom: str
    socks: str
    extra: str
    emblem: str
    sleeve: float
    trousers: float
    hem: float
    flare: float
    length: float
    boots: bool
    skin: Colour
    hair: Colour
    iris: Colour
    cloth: Colour
    second: Colour
    below: Colour
    accent: Colour
    sock: Colour
    shoes: Colour


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def shade(colour: Colour, share: float, blue: float = 0.0) -> Colour:
    """Darker by a factor, and a little towards blue, as shadows are drawn."""
    red, green, last = (share * value for value in colour)
    return int(red), int(green), int(min(last + blue * 40 * (1 - share), 255))


def light(colour: Colour, share: float) -> Colour:
    """Mixed with white."""
    red, green, blue = (int(value + share * (255 - value)) for value in colour)
    return red, green, blue


def make_doll(seed: int) -> Doll:
    """The character of that number; the same one every time."""
    random = np.random.default_rng((7, seed))

    def between(low: float, high: float) -> float:
        return float(random.uniform(low, high))

    def one(names: tuple[str, ...]) -> str:
        return str(random.choice(names))

    girlish = random.uniform() < 0.6
    head = between(0.118, 0.156)
    ankle = between(0.030, 0.040)
    neck = between(0.012, 0.024)
    torso = between(0.20, 0.235) - 0.25 * (head - 0.12)
    shoulder = between(0.062, 0.078) if girlish else between(0.072, 0.09)
    leg = 1.0 - 2 * head - neck - torso - ankle
    arm = (torso + 0.5 * leg) * between(0.72, 0.84)
    lengths = dict.fromkeys((name for name, _, _ in BONES), 0.0)
    thigh = between(0.50, 0.54)
    lengths |= {"spine": torso, "head": neck + 0.92 * head}
    for side in ("right", "left"):
        lengths |= {
            f"{side}_shoulder": shoulder, f"{side}_hip": between(0.040, 0.041),
            f"{side}_upper_arm": 0.51 * arm, f"{side}_forearm": 0.49 * arm,
            f"{side}_thigh": thigh * leg, f"{side}_shin": (1 - thigh) * leg,
            f"{side}_foot": 0.062,
        }  # fmt: skip
    body = Body(tuple(lengths.values()), 0.86 * head, ankle)

    hue = between(0, 1)
    vivid = between(0.35, 0.8)
    cloth = _colour(hue, vivid, between(0.7, 0.97))
    if random.uniform() < 0.25:
        cloth = _colour(hue, between(0, 0.08), between(0.85, 0.98))
    way = random.choice([0.5, 0.33, 0.08, -0.08, 0.6])
    below = _colour(hue + way, between(0.3, 0.75), between(0.35, 0.85))
    second = light(cloth, 0.75) if random.uniform() < 0.5 else shade(cloth, 0.55)
    accent = _colour(hue + between(0.3, 0.7), 0.75, 0.92)
    bottom = one(("skirt", "dress", "skirt", "shorts", "long_skirt", "trousers")) if girlish else (
        one(("trousers", "trousers", "shorts"))
    )  # fmt: skip
    back = one(("bob", "long", "twin_tails", "ponytail", "bun", "short", "long")) if girlish else (
        one(("short", "spiky", "spiky", "bob", "ponytail"))
    )  # fmt: skip
    top = one(TOPS)
    if bottom == "dress":
        below = cloth
        top = one(("shirt", "sailor", "emblem", "vest"))
    return Doll(
        seed=seed,
        body=body,
        arm=between(0.024, 0.031),
        leg=between(0.034, 0.046),
        waist=between(0.046, 0.060) if girlish else between(0.056, 0.070),
        head=head,
        wide=between(0.92, 1.04),
        chin=between(0.1, 0.9),
        eye=between(0.9, 1.15) if girlish else between(0.75, 0.95),
        fringe=one(FRINGES) if girlish else one(("spiky", "swept", "curtain", "parted")),
        back=back,
        top=top,
        bottom=bottom,
        socks=one(SOCKS) if bottom in ("skirt", "shorts", "dress") else "ankle",
        extra=one(EXTRAS) if random.uniform() < 0.75 else "none",
        emblem=one(EMBLEMS),
        sleeve=float(random.choice([0.22, 0.3, 0.5, 0.95, 0.95])),
        trousers=between(0.3, 0.48) if bottom == "shorts" else between(0.86, 0.97),
        hem=between(0.34, 0.55) if bottom != "long_skirt" else between(0.72, 0.85),
        flare=between(1.5, 2.4),
        length=between(1.5, 3.2),
        boots=bool(random.uniform() < 0.3),
        skin=_SKIN[int(len(_SKIN) * random.beta(0.9, 1.3))],
        hair=_HAIR[int(random.integers(len(_HAIR)))],
        iris=_colour(between(0, 1), between(0.5, 0.85), between(0.45, 0.8)),
        cloth=cloth,
        second=second,
        below=below,
        accent=accent,
        sock=_colour(hue, between(0, 0.3), between(0.2, 1.0)),
        shoes=_colour(between(0, 1), between(0.1, 0.6), between(0.25, 0.75)),
    )
