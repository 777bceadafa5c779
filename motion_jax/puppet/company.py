"""Several drawn dancers in one picture: they cross, leave, come back and hide each other.

from motion_jax.puppet import company

scene = company.scene(seed=3, dancers=3, frames=200)
picture = company.draw_frame(scene, 17, 240, 320)      # uint8 [240, 320, 3]
keypoints = company.keypoints(scene, 0, 240, 320)      # of the first dancer, float32 [200, 137, 3]

Who stands lower in the picture is nearer, larger, and in front. The true answer of every question
about several people is known: who is who, what is hidden, and what the place looks like without
one of them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from motion_jax.pose.skeleton import COUNT
from motion_jax.puppet.characters import Puppet
from motion_jax.puppet.crowd import character
from motion_jax.puppet.draw import SUPERSAMPLE, Drawing
from motion_jax.puppet.figure import joints
from motion_jax.puppet.figure import keypoints as pose
from motion_jax.puppet.motion import Motion, dance
from motion_jax.puppet.scene import FLOOR, background

# The camera's eye level, as a share of the frame's height: size grows with the distance of the
# soles from it. Alone at FLOOR a dancer would be so large:
EYE_LEVEL, LARGEST = 0.36, 0.86
# Where the soles of the farthest and of the nearest stand.
FAR, NEAR = 0.78, 0.95
# A pixel that others cover by more than this is not seen.
HIDDEN = 0.5


@dataclass(frozen=True)
class Dancer:
    """One of a company.

    Attributes:
      puppet, motion: who, and how it dances.
      x: of each frame, where it stands across: shares of the frame's height from its middle.
      floor: of each frame, where its soles are: shares of the frame's height from the top.
    """

    puppet: Puppet
    motion: Motion
    x: Float[np.ndarray, " n"]
    floor: Float[np.ndarray, " n"]

    @property
    def scale(self) -> Float[np.ndarray, " n"]:
        """Size of each frame relative to a dancer who has the picture to itself."""
        return LARGEST * (self.floor - EYE_LEVEL) / (FLOOR - EYE_LEVEL)


@dataclass(frozen=True)
class Company:
    """Dancers in one place ("studio" or "stage"), all with as many frames."""

    dancers: tuple[Dancer, ...]
    place: str = "studio"

    def __len__(self) -> int:
        return len(self.dancers[0].x)

    @property
    def times(self) -> Float[np.ndarray, " n"]:
        """Seconds."""
        return self.dancers[0].motion.times

    def far_to_near(self, frame: int) -> list[int]:
        """The numbers of the dancers, the farthest first."""
        return sorted(range(len(self.dancers)), key=lambda i: self.dancers[i].floor[frame])


def scene(
    seed: int,
    dancers: int = 3,
    frames: int = 200,
    fps: float = 25.0,
    width: float = 4 / 3,
    puppets: Sequence[Puppet] = (),
) -> Company:
    """A scene in which the dancers cross in front of each other, hide each other, leave and return.

    Args:
      width: of the picture, in heights.
      puppets: who dances; by default people whom nobody else is like (`crowd.character`).
    """
    random = np.random.default_rng((seed, 77))
    floors = np.linspace(FAR, NEAR, dancers) + random.uniform(-0.015, 0.015, dancers)
    random.shuffle(floors)
    company = []
    for number in range(dancers):
        puppet = puppets[number] if puppets else character(seed * 10 + number)
        motion = dance(frames, fps, seed=int(random.integers(1 << 30)))
        x = _path(random, frames, fps, width / 2, number, dancers)
        sway = 0.012 * np.sin(np.arange(frames) / fps * random.uniform(0.4, 1.2))
        company.append(Dancer(puppet, motion, x, floors[number] + sway))
    return Company(tuple(company), str(random.choice(["studio", "stage"])))


def _path(
    random: np.random.Generator, frames: int, fps: float, half: float, number: int, count: int
) -> Float[np.ndarray, " n"]:
    """Where a dancer is across the picture: from place to place, with rests, and now and then
    outside it for a while."""
    at, now = (number + 0.5) / count * 1.5 * half - 0.75 * half, 0.0
    times, places = [0.0], [at]
    while now < frames / fps:
        outside = random.random() < 0.22
        aim = (
            random.choice([-1, 1]) * (half + 0.35) if outside else random.uniform(-0.8, 0.8) * half
        )
        # Between a stroll and a run, in heights of the picture a second.
        way = abs(aim - at) / random.uniform(0.25, 0.7)
        rest = random.uniform(0.3, 1.4)
        times += [now + way, now + way + rest]
        places += [aim, aim]
        at, now = aim, now + way + rest
    x = np.interp(np.arange(frames) / fps, times, places)
    # Nobody turns round in one frame.
    radius = max(round(0.25 * fps), 1)
    kernel = np.hanning(2 * radius + 3)[1:-1]
    padded = np.pad(x, len(kernel) // 2, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")


def draw_frame(
    company: Company,
    frame: int,
    height: int,
    width: int,
    without: Collection[int] = (),
    shadows: bool = True,
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """One frame, RGB; without: numbers of dancers who are not there."""
    canvas = background(company.place, height * SUPERSAMPLE, width * SUPERSAMPLE).copy()
    for number in company.far_to_near(frame):
        if number in without:
            continue
        drawing = _drawing(company.dancers[number], frame, canvas)
        if shadows:
            drawing.shadow()
        drawing.person()
    np.clip(canvas, 0, 255, out=canvas)
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return (small + 0.5).astype(np.uint8)


def layer(
    dancer: Dancer, frame: int, height: int, width: int, sample: int = SUPERSAMPLE
) -> Float32[np.ndarray, "{height} {width} 4"]:
    """The dancer alone: RGB 0...255 times opacity, opacity 0...1."""
    canvas = np.zeros((height * sample, width * sample, 4), np.float32)
    _drawing(dancer, frame, canvas).person()
    return cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)


def _drawing(dancer: Dancer, frame: int, canvas: np.ndarray) -> Drawing:
    height, width = canvas.shape[:2]
    scale = float(dancer.scale[frame])
    across, down = _shift(dancer, frame)
    middle = (width / 2 + height * across, height * down)
    body = joints(dancer.puppet, dancer.motion[frame : frame + 1])
    # One painting of the parts serves all frames, though the dancer comes nearer and goes away.
    return Drawing(dancer.puppet, body, 0, canvas, height * scale, middle, height * LARGEST)


def _shift(dancer: Dancer, frame: int) -> tuple[float, float]:
    """Where the middle of the upper edge of the dancer's own picture lies: shares of the frame's
    height, from its middle and from its top."""
    scale = float(dancer.scale[frame])
    return float(dancer.x[frame]), float(dancer.floor[frame]) - scale * FLOOR


def keypoints(
    company: Company, number: int, height: int, width: int
) -> Float32[np.ndarray, "n 137 3"]:
    """A dancer's keypoints in pixels, hidden ones too; what lies outside the picture was not
    observed."""
    dancer = company.dancers[number]
    # In a picture so large that nothing lies outside.
    large = 16.0
    alone = pose(dancer.puppet, dancer.motion, 1000, round(1000 * large))
    alone[..., 0] = alone[..., 0] / 1000 - large / 2
    alone[..., 1] /= 1000
    scale = dancer.scale[:, None]
    floor = dancer.floor[:, None] - scale * FLOOR
    found = np.zeros((len(company), COUNT, 3), np.float32)
    found[..., 0] = width / 2 + height * (dancer.x[:, None] + scale * alone[..., 0])
    found[..., 1] = height * (floor + scale * alone[..., 1])
    found[..., 2] = alone[..., 2]
    inside = (found[..., 0] >= 0) & (found[..., 0] < width)
    inside &= (found[..., 1] >= 0) & (found[..., 1] < height) & (found[..., 2] > 0)
    found[~inside] = 0
    return found


def seen(
    company: Company, frame: int, points: Float32[np.ndarray, "dancers 137 3"], rows: int = 96
) -> tuple[Bool[np.ndarray, "dancers 137"], Float[np.ndarray, " dancers"]]:
    """Which keypoints (of all dancers in this frame, in pixels of a picture one high) nobody
    stands in front of, and the share of each dancer that is seen: 0 hidden or outside.

    points: x and y as shares of the frame's height from its upper left corner.
    rows: of the small picture in which that is looked up.
    """
    order = company.far_to_near(frame)
    width = 2 * rows
    shown = points[..., 2] > 0
    share = np.zeros(len(company.dancers))
    covered = np.zeros((rows, width), np.float32)
    for number in reversed(order):
        alpha = layer(company.dancers[number], frame, rows, width, 1)[..., 3]
        whole = float(alpha.sum())
        share[number] = float((alpha * (covered < HIDDEN)).sum()) / max(whole, 1e-6)
        at = np.rint(points[number, :, :2] * rows).astype(int)
        at = np.clip(at, 0, (width - 1, rows - 1))
        shown[number] &= covered[at[:, 1], at[:, 0]] < HIDDEN
        covered = np.maximum(covered, alpha)
    return shown, share
