"""Any number of drawn people, each from a number: bodies, faces, clothes and rooms that differ. A
model that learns from them must move people whom it never saw."""

import colorsys
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8

from motion_jax.puppet import figure
from motion_jax.puppet.camera import Camera
from motion_jax.puppet.characters import CHARACTERS, Colour, Puppet
from motion_jax.puppet.draw import draw_frame
from motion_jax.puppet.motion import Motion, dance, talk
from motion_jax.puppet.scene import WHOLE, View

Framing = Literal["face", "dancer"]
PATTERNS = ("plain", "stripes", "plaid", "dots", "denim")
SKINS = (
    (252, 218, 190), (240, 196, 166), (224, 172, 134), (198, 140, 100), (172, 112, 78),
    (128, 80, 56), (92, 58, 44),
)  # fmt: skip
HAIRS = (
    (28, 22, 24), (60, 38, 28), (110, 66, 36), (196, 92, 36), (226, 182, 96), (170, 170, 176),
    (196, 70, 140), (70, 110, 190),
)  # fmt: skip
# Of a face's picture: how many of them are as high as a frame, so that a head is half of it.
FACE_ZOOM = 3.3


def character(seed: int) -> Puppet:
    """The person of this number."""
    random = np.random.default_rng((seed, 1))
    base = CHARACTERS["ada" if random.random() < 0.5 else "ben"]

    def around(name: str, share: float = 0.12) -> float:
        return float(getattr(base, name) * random.uniform(1 - share, 1 + share))

    skin = SKINS[random.integers(len(SKINS))]
    red, green, blue = (float(x) for x in np.random.default_rng((seed, 3)).uniform(0.9, 1.08, 3))
    return replace(
        base,
        name=f"person {seed}",
        **{name: around(name) for name in (
            "thigh", "shin", "torso", "shoulder", "upper_arm", "forearm", "foot", "head_height",
            "head_width", "arm_width", "leg_width", "waist",
        )},
        skin=_near(random, skin, 12),
        hair=_near(random, HAIRS[random.integers(len(HAIRS))], 16),
        hairstyle=("bob", "short_beard")[random.integers(2)],
        eyes=_colour(random, 0.5, 0.6),
        lips=_near(random, (186, 76, 80), 30),
        shirt=_colour(random),
        shirt_second=_colour(random),
        shirt_pattern=PATTERNS[random.integers(len(PATTERNS))],
        sleeve=float(random.choice([0.0, 0.88])),
        trousers=_colour(random, 0.5, 0.6),
        trousers_second=_colour(random, 0.5, 0.8),
        trousers_pattern=("plain", "denim", "stripes")[random.integers(3)],
        trouser_flare=float(random.uniform(0.75, 1.35)),
        shoes=_colour(random),
        soles=_colour(random, 0.2, 0.9),
        scene=f"wall-{seed}",
        light=(red, green, blue),
    )  # fmt: skip


def _colour(random: np.random.Generator, saturation: float = 0.9, value: float = 1.0) -> Colour:
    rgb = colorsys.hsv_to_rgb(
        random.random(), saturation * random.uniform(0.3, 1), value * random.uniform(0.45, 1)
    )
    red, green, blue = (int(255 * part) for part in rgb)
    return red, green, blue


def _near(random: np.random.Generator, colour: Colour, reach: int) -> Colour:
    red, green, blue = np.clip(np.array(colour) + random.integers(-reach, reach + 1, 3), 0, 255)
    return int(red), int(green), int(blue)


@dataclass(frozen=True)
class Take:
    """A person in a framing: what is filmed.

    Attributes:
      puppet: who; framing: a face that looks around and nods, or the whole dancer.
      camera: one that turns and zooms; None: it stands still.
    """

    puppet: Puppet
    framing: Framing
    camera: Camera | None = None

    def motion(self, frames: int, fps: float, seed: int) -> Motion:
        """What such a picture shows: talking for a face, dancing for a dancer."""
        return (talk if self.framing == "face" else dance)(frames, fps, seed)

    def frames(self, motion: Motion, size: int) -> UInt8[np.ndarray, "n {size} {size} 3"]:
        """RGB."""
        body, view = figure.joints(self.puppet, motion), self._view
        return np.stack(
            [
                draw_frame(self.puppet, body, frame, size, size, view, camera)
                for frame, camera in enumerate(self.seen(motion))
            ]
        )

    def keypoints(self, motion: Motion, size: int) -> Float32[np.ndarray, "n 137 3"]:
        """The joints in pixels of these frames; those outside are unobserved."""
        view = self._view
        points = figure.keypoints(self.puppet, motion, 1, 1)
        places = points[..., :2] - (0.5, 0.0)
        places = (places - (view.x, view.y)) * view.zoom
        camera = np.array([[one.x, one.y - 0.5, one.zoom] for one in self.seen(motion)])[:, None]
        pixels = ((places - camera[..., :2]) * camera[..., 2:] + 0.5) * size
        inside = (points[..., 2] > 0) & ((pixels >= 0) & (pixels <= size)).all(-1)
        found = np.concatenate([pixels, np.ones((*pixels.shape[:-1], 1))], axis=-1)
        return np.where(inside[..., None], found, 0).astype(np.float32)

    def seen(self, motion: Motion) -> list[View]:
        """What the camera shows in each frame."""
        if self.camera is None:
            return [WHOLE] * len(motion)
        return self.camera.at(motion.times)

    @property
    def _view(self) -> View:
        if self.framing == "dancer":
            return WHOLE
        standing = talk(1, still=True)
        body = figure.joints(self.puppet, standing)
        x, y = body.head[0]
        # A little below the middle of the head, so that hair and shoulders show.
        return View(FACE_ZOOM, float(x), float(y) + 0.25 * self.puppet.head_height)


def take(seed: int, moving: bool = False) -> Take:
    """The person of this number, faces and dancers by turns. moving: before a camera that turns and
    zooms, another one for each."""
    framing: Framing = "face" if seed % 2 == 0 else "dancer"
    return Take(character(seed), framing, Camera(seed) if moving else None)
