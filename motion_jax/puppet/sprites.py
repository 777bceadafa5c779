"""Painting with signed distances, and the puppet's parts as small pictures with transparency.

A part ("sprite") is painted once for a character and size, in its own upright position, with cloth,
folds and round shading; drawing a frame only turns the parts into place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32

from motion_jax.puppet.characters import Colour, Puppet, toned

Pattern = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Where the light comes from: the upper left, in front.
LIGHT = np.array([-0.42, -0.42, 0.80])
LIGHT = LIGHT / np.linalg.norm(LIGHT)


@dataclass(frozen=True)
class Sprite:
    """A part of a picture.

    Attributes:
      image: RGB 0...255 times opacity, opacity 0...1.
      left, top: place of the image's upper left corner in the part's own coordinates.
      scale: pixels for one unit of those coordinates.
    """

    image: Float32[np.ndarray, "h w 4"]
    left: float
    top: float
    scale: float

    def paste(
        self,
        canvas: Float32[np.ndarray, "h w c"],
        matrix: Float[np.ndarray, "2 3"],
        tint: Float[np.ndarray, " c"] | float = 1.0,
    ) -> None:
        """Lays the part onto an RGB or RGBA canvas. `matrix` maps the part's coordinates to the
        canvas's, in pixels from its left and top edge."""
        found = self.warped(canvas.shape[:2], matrix)
        if found is None:
            return
        rows, columns, layer = found
        target = canvas[rows, columns]
        target *= 1 - layer[..., 3:]
        target += layer[..., : canvas.shape[-1]] * tint

    def warped(
        self, size: tuple[int, int], matrix: Float[np.ndarray, "2 3"]
    ) -> tuple[slice, slice, Float32[np.ndarray, "h w 4"]] | None:
        """The part in its place: (rows, columns) of a canvas of `size` (height, width) and the
        picture that covers them; None where it lies outside."""
        height, width = self.image.shape[:2]
        linear = matrix[:, :2] / self.scale
        # Between edges of pixels (ours) and their middles (OpenCV's) lies half a pixel.
        offset = matrix[:, :2] @ (self.left, self.top) + matrix[:, 2] + linear @ (0.5, 0.5) - 0.5
        corners = linear @ np.array([[0, width, 0, width], [0, 0, height, height]], float)
        corners += offset[:, None]
        x0, y0 = np.maximum(np.floor(corners.min(axis=1)) - 1, 0).astype(int)
        x1, y1 = np.minimum(np.ceil(corners.max(axis=1)) + 2, size[::-1]).astype(int)
        if x1 <= x0 or y1 <= y0:
            return None
        warp = np.concatenate([linear, (offset - (x0, y0))[:, None]], axis=1)
        layer = cv2.warpAffine(self.image, warp, (int(x1 - x0), int(y1 - y0)))
        return slice(y0, y1), slice(x0, x1), layer


class Painter:
    """Paints a sprite from shapes given as signed distances (negative inside)."""

    def __init__(self, left: float, top: float, right: float, bottom: float, scale: float):
        self.left, self.top, self.scale = left, top, scale
        columns = np.arange(max(int(np.ceil((right - left) * scale)), 2)) + 0.5
        rows = np.arange(max(int(np.ceil((bottom - top) * scale)), 2)) + 0.5
        self.x, self.y = np.meshgrid(left + columns / scale, top + rows / scale)
        self.image = np.zeros((*self.x.shape, 4), np.float32)

    def coverage(
        self, distance: Float[np.ndarray, "h w"], soft: float = 0.0
    ) -> Float[np.ndarray, "h w"]:
        """Share of each pixel inside the shape; `soft` widens its edge, in the shape's units."""
        return np.clip(0.5 - distance / (1 / self.scale + soft), 0, 1)

    def fill(
        self,
        distance: Float[np.ndarray, "h w"],
        colour: Colour | Float[np.ndarray, "h w 3"],
        *,
        shade: Float[np.ndarray, "h w"] | float = 1.0,
        opacity: float = 1.0,
        soft: float = 0.0,
        inside: bool = False,
    ) -> None:
        """Paints a shape over what is there; `inside` paints only where something is already."""
        alpha = (self.coverage(distance, soft) * opacity)[..., None]
        if inside:
            alpha = alpha * np.clip(self.image[..., 3:], 0, 1)
        rgb = np.asarray(colour, np.float32) * np.asarray(shade)[..., None]
        self.image[..., :3] = self.image[..., :3] * (1 - alpha) + np.clip(rgb, 0, 255) * alpha
        self.image[..., 3:] = self.image[..., 3:] * (1 - alpha) + alpha

    def done(self) -> Sprite:
        return Sprite(self.image.astype(np.float32), self.left, self.top, self.scale)

    def circle(self, x: float, y: float, radius: float) -> Float[np.ndarray, "h w"]:
        return np.hypot(self.x - x, self.y - y) - radius

    def ellipse(self, x: float, y: float, width: float, height: float) -> Float[np.ndarray, "h w"]:
        """Half axes width and height; the distance is approximate, exact at the edge."""
        scaled = np.hypot((self.x - x) / width, (self.y - y) / height)
        slope = np.hypot((self.x - x) / width**2, (self.y - y) / height**2)
        return (scaled - 1) * scaled / np.maximum(slope, 1e-6)

    def line(
        self, x0: float, y0: float, x1: float, y1: float, r0: float, r1: float | None = None
    ) -> Float[np.ndarray, "h w"]:
        """A thick line with round ends, radius r0 to r1."""
        r1 = r0 if r1 is None else r1
        dx, dy = x1 - x0, y1 - y0
        t = ((self.x - x0) * dx + (self.y - y0) * dy) / max(dx * dx + dy * dy, 1e-12)
        t = np.clip(t, 0, 1)
        return np.hypot(self.x - x0 - t * dx, self.y - y0 - t * dy) - (r0 + (r1 - r0) * t)


def round_shade(
    n: Float[np.ndarray, "h w"], m: Float[np.ndarray, "h w"] | float = 0.0, depth: float = 1.0
) -> Float[np.ndarray, "h w"]:
    """Brightness of a round body where its surface looks `n` to the right and `m` down (-1...1)."""
    n, m = np.clip(n, -1, 1), np.clip(m, -1, 1)
    front = np.sqrt(np.clip(1 - n * n - m * m, 0.02, 1))
    facing = n * LIGHT[0] + m * LIGHT[1] + front * LIGHT[2]
    return 1 + depth * (0.46 * facing - 0.36)


def noise(
    x: Float[np.ndarray, "*places"],
    y: Float[np.ndarray, "*places"],
    seed: int,
    wavelength: float,
) -> Float[np.ndarray, "*places"]:
    """A smooth random field, about -1...1: a few plane waves."""
    random = np.random.default_rng(seed)
    total = np.zeros_like(x)
    for _ in range(5):
        angle, phase = random.uniform(0, 2 * np.pi, 2)
        k = 2 * np.pi / (wavelength * random.uniform(0.7, 1.6))
        total += np.sin(k * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    return total / 3


def cloth(name: str, first: Colour, second: Colour) -> Pattern:
    """The colour of a cloth at places in shares of the frame's height: [..., 3]."""
    one, two = np.asarray(first, float), np.asarray(second, float)

    def mix(share: np.ndarray) -> np.ndarray:
        return one + (two - one) * np.clip(share, 0, 1)[..., None]

    def wave(v: np.ndarray, period: float, share: float = 0.5) -> np.ndarray:
        """Soft-edged bands: 1 on `share` of every period."""
        phase = np.abs((v / period) % 1 - 0.5) * 2
        return np.clip((share - phase) * 8 + 0.5, 0, 1)

    def paint(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if name == "stripes":
            return mix(wave(y + 0.006 * np.sin(x * 60), 0.034))
        if name == "plaid":
            bands = 0.42 * wave(x, 0.044, 0.42) + 0.42 * wave(y, 0.044, 0.42)
            thin = np.maximum(wave(x + 0.011, 0.044, 0.10), wave(y + 0.011, 0.044, 0.10))
            colour = one * (1 - bands)[..., None] + np.array([22, 40, 50]) * bands[..., None]
            return colour + (two - colour) * 0.85 * thin[..., None]
        if name == "dots":
            row = np.floor(y / 0.03)
            u = (x / 0.03 + 0.5 * (row % 2)) % 1 - 0.5
            v = (y / 0.03) % 1 - 0.5
            return mix((0.28 - np.hypot(u, v)) * 10 + 0.5)
        if name == "denim":
            fade = np.exp(-((x / 0.018) ** 2)) * 0.45
            return mix(fade + 0.10 * noise(x, y, 3, 0.012))
        return mix(0.25 + 0.2 * noise(x, y, 4, 0.05))

    return paint


def limb(
    scale: float,
    length: float,
    profile: Sequence[tuple[float, float]],
    pattern: Pattern | Colour,
    *,
    caps: tuple[bool, bool] = (True, True),
    folds: float = 0.0,
    seed: int = 0,
    seam: Colour | None = None,
) -> Sprite:
    """A limb from (0, 0) down to (0, length).

    Args:
      scale: pixels per unit.
      profile: half widths along it, pairs of (share of the length, half width).
      pattern: its cloth, or one colour.
      caps: round ends at the beginning and the end, or cut straight.
      folds: strength of the cloth's folds.
      seam: colour of a hem at the end.
    """
    widest = max(width for _, width in profile)
    painter = Painter(-widest * 1.1, -widest * 1.1, widest * 1.1, length + widest * 1.1, scale)
    x, y = painter.x, painter.y
    shares, widths = zip(*profile, strict=True)
    width = np.interp(y / length, shares, widths)
    beyond = np.maximum(-y, 0) * caps[0] + np.maximum(y - length, 0) * caps[1]
    distance = np.hypot(x, beyond) - width
    if not caps[0]:
        distance = np.maximum(distance, -y)
    if not caps[1]:
        distance = np.maximum(distance, y - length)
    colour = pattern(x, y) if callable(pattern) else pattern
    shade = round_shade(x / width, 0.0)
    shade = shade + folds * noise(x * 0.4, y, seed, 0.05) * (0.4 + np.abs(x / width))
    painter.fill(distance, colour, shade=shade)
    if seam is not None:
        painter.fill(np.maximum(distance, length - 0.009 - y), seam, shade=round_shade(x / width))
    outline(painter, distance)
    return painter.done()


def outline(painter: Painter, distance: Float[np.ndarray, "h w"], strength: float = 0.34) -> None:
    """A thin dark rim inside a shape's edge, which separates it from what lies behind."""
    rim = np.abs(distance + 0.0022) - 0.0024
    painter.fill(rim, (30, 18, 28), opacity=strength, soft=0.0022, inside=True)


def body_parts(puppet: Puppet, scale: float) -> dict[str, Sprite]:
    """All parts but the head. Names ending in _r are mirrored for the other side."""
    shirt = cloth(puppet.shirt_pattern, puppet.shirt, puppet.shirt_second)
    trousers = cloth(puppet.trousers_pattern, puppet.trousers, puppet.trousers_second)
    arm, leg = puppet.arm_width, puppet.leg_width
    hem = toned(puppet.trousers, 0.72)
    flare, covered = puppet.trouser_flare, puppet.trouser_length
    parts = {
        "thigh": limb(
            scale, puppet.thigh, [(-0.3, leg), (0.0, leg * 1.02), (1.0, leg * 0.76)], trousers,
            folds=0.06, seed=1,
        ),
        "calf": limb(
            scale, puppet.shin, [(0, leg * 0.42), (0.35, leg * 0.50), (1, leg * 0.34)], puppet.skin
        ),
        "trouser_leg": limb(
            scale, puppet.shin * covered, [(0, leg * 0.77), (1.0, leg * 0.77 * flare)], trousers,
            caps=(True, False), folds=0.07, seed=2, seam=hem,
        ),
        "forearm": limb(
            scale, puppet.forearm, [(0, arm * 0.92), (0.3, arm * 0.98), (1, arm * 0.66)],
            puppet.skin,
        ),
        "upper_arm_bare": limb(
            scale, puppet.upper_arm, [(0, arm), (0.4, arm * 1.05), (1, arm * 0.92)], puppet.skin
        ),
        "neck": limb(
            scale, puppet.neck, [(0, puppet.head_width * 0.50), (1, puppet.head_width * 0.44)],
            toned(puppet.skin, 0.86),
        ),
    }  # fmt: skip
    if puppet.sleeve > 0:
        parts["sleeve"] = limb(
            scale, puppet.upper_arm, [(0, arm * 1.25), (0.5, arm * 1.22), (1, arm * 1.1)], shirt,
            folds=0.05, seed=3,
        )  # fmt: skip
        parts["cuff"] = limb(
            scale, puppet.forearm * puppet.sleeve, [(0, arm * 1.12), (1, arm * 0.95)], shirt,
            caps=(True, False), folds=0.05, seed=4, seam=toned(puppet.shirt, 0.7),
        )  # fmt: skip
    else:
        parts["sleeve"] = limb(
            scale, puppet.upper_arm * 0.66, [(0, arm * 1.35), (1, arm * 1.5)], shirt,
            caps=(True, False), folds=0.04, seed=3, seam=puppet.shirt,
        )  # fmt: skip
    parts["torso"] = _torso(puppet, scale, shirt)
    parts["pelvis"] = _pelvis(puppet, scale, trousers)
    parts["hand_r"] = _hand(puppet, scale)
    parts["shoe_r"] = _shoe(puppet, scale)
    return parts


def _torso(puppet: Puppet, scale: float, shirt: Pattern) -> Sprite:
    """From the middle of the hips (0, 0) up to the neck (0, -torso)."""
    top, wide = puppet.torso, puppet.shoulder + puppet.arm_width * 1.1
    painter = Painter(-wide * 1.2, -top * 1.2, wide * 1.2, top * 0.25, scale)
    x, y = painter.x, painter.y
    shares = [-0.2, 0.0, 0.30, 0.62, 0.86, 0.97, 1.06]
    chest = puppet.shoulder * 0.98
    widths = [
        puppet.waist * 1.10, puppet.waist * 1.06, puppet.waist * 0.98, chest,
        wide, wide * 0.80, puppet.head_width * 0.42,
    ]  # fmt: skip
    width = np.interp(-y / top, shares, widths)
    hem = 0.016
    distance = np.maximum(np.maximum(np.abs(x) - width, y - hem), -y - top * 1.06)
    shade = round_shade(0.92 * x / width, -0.25 * np.clip(-y / top, 0, 1))
    shade = shade + 0.05 * noise(x, y, 7, 0.06) * (1.2 - np.clip(-y / top, 0, 1))
    painter.fill(distance, shirt(x, y), shade=shade)
    opening = np.hypot(x / 1.15, y + top * 1.08) - puppet.head_width * 0.54
    painter.fill(opening, toned(puppet.skin, 0.9), inside=True)
    painter.fill(np.abs(opening) - 0.0045, toned(puppet.shirt, 0.8), inside=True)
    if puppet.sleeve > 0:  # a buttoned shirt
        painter.fill(np.abs(x) - 0.0022, (20, 34, 40), opacity=0.7, inside=True)
        for share in (0.15, 0.38, 0.61, 0.82):
            painter.fill(painter.circle(0.0, -top * share, 0.0052), (246, 240, 226), inside=True)
    else:  # a printed star
        star = painter.circle(0.016, -top * 0.66, 0.012)
        painter.fill(star, (250, 200, 60), inside=True)
    painter.fill(np.abs(y - hem + 0.004) - 0.002, (30, 18, 28), opacity=0.3, inside=True)
    outline(painter, distance)
    return painter.done()


def _pelvis(puppet: Puppet, scale: float, trousers: Pattern) -> Sprite:
    """Around the middle of the hips (0, 0): what joins the thighs, with a belt."""
    wide = max(puppet.waist * 1.05, puppet.hip + puppet.leg_width * 0.9)
    painter = Painter(-wide * 1.2, -0.05, wide * 1.2, 0.06, scale)
    x, y = painter.x, painter.y
    width = np.interp(y, [-0.03, 0.02, 0.05], [puppet.waist, wide, wide * 0.75])
    distance = np.maximum(np.maximum(np.abs(x) - width, y - 0.045), -y - 0.04)
    painter.fill(distance, trousers(x, y), shade=round_shade(0.9 * x / width))
    belt = np.maximum(np.abs(y + 0.002 - 0.02) - 0.0055, distance)
    painter.fill(belt, (72, 44, 30), shade=round_shade(0.9 * x / width))
    painter.fill(painter.circle(0, 0.018, 0.006), (236, 206, 120), inside=True)
    return painter.done()


# The 21 points of a hand that hangs down, thumb towards positive x, in lengths of the hand from the
# wrist: wrist, then thumb, index, middle, ring and little finger from the palm outwards.
HAND_POINTS = np.array(
    [(0, 0)]
    + [(0.16, 0.18), (0.30, 0.32), (0.40, 0.46), (0.46, 0.58)]
    + [(0.20, 0.50), (0.23, 0.68), (0.24, 0.80), (0.25, 0.92)]
    + [(0.07, 0.52), (0.08, 0.72), (0.08, 0.86), (0.08, 0.99)]
    + [(-0.06, 0.50), (-0.07, 0.69), (-0.08, 0.82), (-0.09, 0.93)]
    + [(-0.18, 0.46), (-0.21, 0.60), (-0.23, 0.70), (-0.25, 0.79)]
)


def _hand(puppet: Puppet, scale: float) -> Sprite:
    """The right hand, hanging from the wrist (0, 0), its thumb towards positive x."""
    size = puppet.hand
    painter = Painter(-0.55 * size, -0.3 * size, 0.75 * size, 1.25 * size, scale)
    points = HAND_POINTS * size
    radius = size * 0.088
    distance = np.minimum(
        painter.ellipse(0.01 * size, 0.32 * size, 0.27 * size, 0.34 * size),
        painter.line(0, -0.1 * size, 0, 0.2 * size, puppet.arm_width * 0.66),
    )
    for first in (1, 5, 9, 13, 17):
        fat = radius * (1.2 if first == 1 else 1.0)
        (x0, y0), (x1, y1) = points[first], points[first + 3]
        finger = painter.line(x0, y0, x1, y1, fat, fat * 0.8)
        distance = np.minimum(distance, finger)
    shade = round_shade((painter.x / size) * 1.2, (painter.y / size - 0.4) * 0.8, 0.9)
    painter.fill(distance, puppet.skin, shade=shade)
    for gap in (0.14, 0.01, -0.12):
        crease = painter.line(gap * size, 0.56 * size, gap * 1.1 * size, 0.9 * size, size * 0.018)
        painter.fill(crease, (60, 30, 24), opacity=0.35, inside=True)
    outline(painter, distance)
    return painter.done()


def _shoe(puppet: Puppet, scale: float) -> Sprite:
    """The right shoe; the ankle is (0, 0), the floor at y = ankle, the toes point to negative x and
    towards the viewer."""
    long, deep = puppet.foot, puppet.ankle
    painter = Painter(-long * 1.0, -deep * 1.3, long * 0.55, deep * 1.9, scale)
    x, y = painter.x, painter.y
    toe = painter.ellipse(-long * 0.44, deep * 0.62, long * 0.38, deep * 0.62)
    heel = painter.ellipse(long * 0.04, deep * 0.42, long * 0.27, deep * 0.82)
    ankle = painter.line(0, -deep * 0.6, 0, deep * 0.3, puppet.leg_width * 0.50)
    distance = np.minimum(np.minimum(toe, heel), ankle)
    distance = np.maximum(distance, y - deep * 1.16)
    shade = round_shade(x / long * 1.1 + 0.25, (y / deep - 0.3) * 0.6)
    painter.fill(distance, puppet.shoes, shade=shade)
    sole = np.maximum(distance, deep * 0.86 - y)
    painter.fill(sole, puppet.soles, shade=round_shade(x / long, 0.2))
    for share in (0.12, 0.26, 0.40):
        lace = painter.line(
            -long * share - 0.006, deep * (0.05 + share), -long * share + 0.008,
            deep * (0.22 + share), 0.0026,
        )  # fmt: skip
        painter.fill(lace, (60, 52, 60), opacity=0.75, inside=True)
    outline(painter, distance)
    return painter.done()
