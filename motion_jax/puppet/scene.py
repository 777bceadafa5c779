"""Where the puppets dance: two places, painted once for a size. The feet stand at FLOOR of the
frame's height; the frame may be of any width."""

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from motion_jax.puppet.sprites import noise

FLOOR = 0.94  # Height in the picture at which the soles stand.
HORIZON = 0.74  # Where the wall ends and the floor begins.


@dataclass(frozen=True)
class View:
    """Which part of something a picture shows.

    Attributes:
      zoom: heights of the picture in a frame's height.
      x, y: the middle of the picture, in shares of the frame's height, x from the frame's middle, y
        from its top.
    """

    zoom: float = 1.0
    x: float = 0.0
    y: float = 0.5


WHOLE = View()


@functools.lru_cache(maxsize=8)
def background(
    scene: str, height: int, width: int, view: View = WHOLE
) -> Float32[np.ndarray, "{height} {width} 3"]:
    """RGB in 0...255; read-only. scene: "studio", "stage", or "wall-N": a plain room of the seed
    N; it goes on beyond the frame."""
    # x from the middle, y from the top, both in shares of the height.
    y, x = np.mgrid[0:height, 0:width] + 0.5
    x, y = (x - width / 2) / height, y / height
    x, y = x / view.zoom + view.x, y / view.zoom + (view.y - 0.5 / view.zoom)
    if scene.startswith("wall-"):
        painted = _wall(x, y, int(scene.removeprefix("wall-")))
    else:
        painted = {"studio": _studio, "stage": _stage}[scene](
            x, y, 1 / (height * view.zoom)
        )  # fmt: skip
    painted = np.clip(painted, 0, 255).astype(np.float32)
    painted.setflags(write=False)
    return painted


def _over(below: np.ndarray, colour: object, cover: np.ndarray) -> np.ndarray:
    return below + (np.asarray(colour, float) - below) * np.clip(cover, 0, 1)[..., None]


def _box(
    x: np.ndarray, y: np.ndarray, left: float, top: float, right: float, bottom: float, pixel: float
) -> np.ndarray:
    """Coverage of a rectangle with an edge as soft as a pixel."""
    outside = np.maximum(
        np.abs(x - (left + right) / 2) - (right - left) / 2,
        np.abs(y - (top + bottom) / 2) - (bottom - top) / 2,
    )
    return np.clip(0.5 - outside / pixel, 0, 1)


def _studio(x: np.ndarray, y: np.ndarray, pixel: float) -> np.ndarray:
    """A sunny room: brick wall, a window, a poster, a plant, floorboards."""
    # Bricks, each of its own tone.
    row = np.floor(y / 0.042)
    along = x / 0.105 + 0.5 * (row % 2)
    column = np.floor(along)
    tone = np.sin(column * 12.9898 + row * 78.233) * 43758.5453
    tone = tone - np.floor(tone)
    u, v = (along - column) * 0.105, y - row * 0.042
    joint = np.minimum(np.minimum(u, 0.105 - u), np.minimum(v, 0.042 - v)) - 0.0028
    wall = np.stack([214 + 20 * tone, 178 + 26 * tone, 152 + 24 * tone], axis=-1)
    wall = wall + 6 * noise(x, y, 5, 0.03)[..., None]
    wall = _over(wall, (236, 222, 206), 0.5 - joint / pixel)
    # A window with a sky, hills and a cross of wood.
    left, top, right, bottom = -0.46, 0.07, -0.19, 0.47
    frame = _box(x, y, left - 0.018, top - 0.018, right + 0.018, bottom + 0.026, pixel)
    wall = _over(wall, (120, 84, 60), frame)
    down = (y - top) / (bottom - top)
    sky = np.stack([118 + 90 * down, 178 + 52 * down, 236 + 8 * down], axis=-1)
    cloud = 0.6 * noise(x * 0.7, y * 2, 8, 0.16) - 0.25
    sky = _over(sky, (255, 255, 255), cloud * 2)
    hill = 0.36 + 0.025 * np.sin(x * 30) + 0.015 * np.sin(x * 61 + 1)
    sky = _over(sky, (104, 158, 92), (y - hill) / 0.008 + 0.5)
    inside = _box(x, y, left, top, right, bottom, pixel)[..., None]
    wall = wall * (1 - inside) + sky * inside
    wall = _over(wall, (150, 110, 80), _box(x, y, -0.331, top, -0.319, bottom, pixel))
    wall = _over(wall, (150, 110, 80), _box(x, y, left, 0.25, right, 0.26, pixel))
    # A framed poster.
    wall = _over(wall, (52, 46, 58), _box(x, y, 0.235, 0.10, 0.43, 0.37, pixel))
    wall = _over(wall, (246, 232, 190), _box(x, y, 0.248, 0.113, 0.417, 0.357, pixel))
    sun = np.hypot(x - 0.333, y - 0.205) - 0.055
    wall = _over(wall, (232, 92, 60), 0.5 - sun / pixel)
    sea = 0.262 + 0.008 * np.sin(x * 70)
    poster = _box(x, y, 0.248, 0.113, 0.417, 0.357, pixel)
    wall = _over(wall, (40, 116, 140), np.clip((y - sea) / pixel, 0, 1) * poster)
    # The sun's light falls in from the window.
    wall = wall * (0.93 + 0.10 * np.exp(-((x + 0.1) ** 2 + (y - 0.4) ** 2) / 0.18))[..., None]
    # Skirting board.
    wall = _over(wall, (246, 238, 226), _box(x, y, -9, HORIZON - 0.028, 9, HORIZON, pixel))
    # Floorboards that run towards the viewer, vanishing at a point.
    depth = np.maximum(y - 0.45, 0.02)
    across = x / depth * 0.55
    board = np.floor(across / 0.115)
    tone = np.sin(board * 39.346 + 4) * 24634.6345
    tone = tone - np.floor(tone)
    gap = np.abs((across / 0.115) % 1 - 0.5) * 2
    grain = noise(across * 3, y * 0.25, 21, 0.06)
    floor = np.stack([186 + 26 * tone, 132 + 20 * tone, 84 + 14 * tone], axis=-1)
    floor = floor + 7 * grain[..., None]
    floor = _over(floor, (120, 78, 46), (gap - 0.955) / 0.02)
    shine = np.exp(-(((x + 0.24 - (y - 0.8) * 0.4) / 0.14) ** 2)) * 26
    floor = floor + shine[..., None]
    room = np.where((y > HORIZON)[..., None], floor, wall)
    return _plant(room, x, y, pixel)


def _wall(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """A wall in two tones, with soft shapes on it, above a floor."""
    random = np.random.default_rng(seed)
    base = random.uniform(60, 235, 3)
    second = np.clip(base + random.uniform(-60, 60, 3), 0, 255)
    share = 0.5 + 0.5 * noise(x, y, int(random.integers(1 << 30)), random.uniform(0.3, 1.2))
    wall = base + (second - base) * np.clip(share, 0, 1)[..., None]
    for _ in range(random.integers(0, 4)):
        middle, size = random.uniform((-0.5, 0.05), (0.5, 0.7)), random.uniform(0.05, 0.2, 2)
        far = np.maximum(np.abs(x - middle[0]) - size[0], np.abs(y - middle[1]) - size[1])
        wall = _over(wall, random.uniform(30, 245, 3), 0.5 - far / 0.01)
    floor = random.uniform(50, 220, 3) * (1 + 0.06 * noise(x * 3, y, 5, 0.1))[..., None]
    return np.where((y > HORIZON)[..., None], floor, wall)


def _plant(room: np.ndarray, x: np.ndarray, y: np.ndarray, pixel: float) -> np.ndarray:
    """A pot plant at the right wall."""
    at, soil = 0.41, 0.64
    for number in range(11):
        angle = -1.35 + 2.7 * number / 10
        long = 0.15 + 0.03 * ((number * 7) % 3)
        tip = at + long * np.sin(angle), soil - long * np.cos(angle)
        dx, dy = tip[0] - at, tip[1] - soil
        t = np.clip(((x - at) * dx + (y - soil) * dy) / (dx * dx + dy * dy), 0, 1)
        distance = np.hypot(x - at - t * dx, y - soil - t * dy) - 0.020 * np.sin(np.pi * t) ** 0.7
        light = 0.75 + 0.3 * ((number * 5) % 4) / 3
        colour = np.array([58, 132, 66]) * light
        room = _over(room, colour, 0.5 - distance / pixel)
        vein = np.hypot(x - at - t * dx, y - soil - t * dy) - 0.0016
        room = _over(room, colour * 1.35, (0.5 - vein / pixel) * 0.7)
    half = 0.062 - 0.018 * np.clip((y - soil) / 0.13, 0, 1)
    pot = np.maximum(np.abs(x - at) - half, np.abs(y - soil - 0.065) - 0.065)
    shade = 1.05 - 0.35 * np.clip((x - at) / 0.06, -0.6, 1)
    room = _over(room, np.array([70, 120, 150]) * shade[..., None], 0.5 - pot / pixel)
    band = np.maximum(np.abs(x - at) - half, np.abs(y - soil - 0.05) - 0.012)
    return _over(room, (240, 220, 170), 0.5 - band / pixel)


def _stage(x: np.ndarray, y: np.ndarray, pixel: float) -> np.ndarray:
    """A small theatre: violet curtain, a string of lamps, loudspeaker, chequered floor."""
    fold = np.sin(x * 34 + 0.9 * np.sin(x * 7 + 1) + 0.25 * np.sin(y * 5))
    bright = 0.78 + 0.34 * fold + 0.10 * np.sin(x * 68 + 2)
    curtain = np.array([92, 52, 122]) * bright[..., None]
    # A warm light on its middle.
    glow = np.exp(-((x / 0.42) ** 2 + ((y - 0.42) / 0.40) ** 2))
    curtain = curtain * (0.72 + 0.85 * glow)[..., None] + np.array([30, 12, 4]) * glow[..., None]
    # Its golden hem, and the pelmet with scallops.
    gold = np.array([214, 168, 70]) * (0.6 + 0.4 * bright)[..., None]
    curtain = _over(curtain, gold, _box(x, y, -9, HORIZON - 0.045, 9, HORIZON - 0.02, pixel))
    scallop = 0.075 + 0.022 * np.abs(np.sin(x * np.pi / 0.17))
    velvet = np.array([150, 34, 56]) * (0.8 + 0.25 * np.sin(x * 52))[..., None]
    curtain = _over(curtain, velvet, (scallop - y) / pixel + 0.5)
    curtain = _over(curtain, (232, 190, 92), 0.5 - (np.abs(y - scallop) - 0.004) / pixel)
    # A string of lamps that hangs in arcs.
    string = 0.135 + 0.035 * np.cos(x * np.pi / 0.25) ** 2
    curtain = _over(curtain, (30, 24, 34), (0.5 - (np.abs(y - string) - 0.002) / pixel))
    lamps = itertools.cycle([(255, 214, 110), (255, 130, 110), (130, 220, 255)])
    for number, colour in zip(range(-11, 12), lamps, strict=False):
        at = number * 0.0833
        height = 0.135 + 0.035 * np.cos(at * np.pi / 0.25) ** 2 + 0.014
        distance = np.hypot(x - at, y - height)
        curtain = _over(curtain, colour, 0.55 * np.exp(-((distance / 0.026) ** 2)))
        bulb = np.minimum(np.array(colour) + 40, 255)
        curtain = _over(curtain, bulb, 0.5 - (distance - 0.011) / pixel)
    # Chequered floor in perspective.
    depth = np.maximum(y - 0.52, 0.02)
    column, row = np.floor(x / depth * 0.30 / 0.105 + 0.5), np.floor(0.42 / depth / 0.26)
    dark = ((column + row) % 2)[..., None]
    floor = np.array([222, 204, 178]) * (1 - dark) + np.array([66, 70, 92]) * dark
    floor = floor + 5 * noise(x, y, 31, 0.02)[..., None]
    pool = np.exp(-((x / 0.40) ** 2 + ((y - 0.90) / 0.12) ** 2))
    floor = floor * (0.62 + 0.46 * pool)[..., None]
    stage = np.where((y > HORIZON)[..., None], floor, curtain)
    stage = _over(stage, (30, 20, 26), _box(x, y, -9, HORIZON - 0.004, 9, HORIZON + 0.004, pixel))
    return _speaker(stage, x, y, pixel)


def _speaker(stage: np.ndarray, x: np.ndarray, y: np.ndarray, pixel: float) -> np.ndarray:
    """A loudspeaker at the left."""
    stage = _over(stage, (38, 36, 42), _box(x, y, -0.475, 0.52, -0.335, 0.80, pixel))
    stage = _over(stage, (58, 56, 64), _box(x, y, -0.468, 0.527, -0.342, 0.793, pixel))
    for middle, radius in ((0.595, 0.036), (0.705, 0.052)):
        distance = np.hypot(x + 0.405, y - middle)
        stage = _over(stage, (22, 20, 26), 0.5 - (distance - radius) / pixel)
        ring = 0.5 - (np.abs(distance - radius * 0.72) - 0.004) / pixel
        stage = _over(stage, (140, 140, 150), ring)
        stage = _over(stage, (96, 92, 106), 0.5 - (distance - radius * 0.36) / pixel)
    return stage
