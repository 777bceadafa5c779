"""Drawn faces before a camera: what `motion-jax stylise` makes of a film, while it happens.

    camera ─▶ faces found ─▶ who is who, steady ─▶ cut out ─▶ network ─▶ laid back

A face that is lost for a moment is drawn where it was. Where there is no face the camera's own
picture is not shown: nobody wants to be seen because the detector slept.
"""

from typing import Any

import numpy as np
from jaxtyping import UInt8

from motion_jax.errors import UserError, option
from motion_jax.faces import align
from motion_jax.faces.find import Finder, landmarkers
from motion_jax.faces.forwards import Face, Faces
from motion_jax.faces.matte import Light, head_matte, laid_back, without_hands
from motion_jax.live.options import LiveOptions
from motion_jax.train.run import Run
from motion_jax.transfer.animate import even
from motion_jax.transfer.resident import Seen
from motion_jax.transfer.source import Moment
from motion_jax.transfer.translator import Translator

# Seconds between two looks for new faces, while some are there.
LOOK_SECONDS = 0.5
# Seconds in which the last picture fades when nobody is there.
FADE = 0.5
# What is worked on around a face, in sides of its square: a turned square reaches so far.
_REACH = 0.75


class FacesSeen:
    """Who is before the camera. Several runs share it.

    Args:
      finder: finds the faces of a picture: Finder.see.
    """

    def __init__(self, finder: Any, smooth: bool = True):
        self._finder, self._faces = finder, Faces(smooth)
        self._looked = -np.inf

    def reset(self) -> None:
        """Looks for everybody anew."""
        self._finder.reset()
        self._faces.reset()
        self._looked = -np.inf

    def next(self, image: UInt8[np.ndarray, "h w 3"], time: float) -> list[Face]:
        """The faces of the next picture, far ones first; time: seconds, increasing."""
        looks = time - self._looked >= LOOK_SECONDS
        records = self._finder.see(image, looks)
        found = self._faces.next(time, records)
        # While nobody is there each picture is looked at.
        self._looked = time if looks and found else self._looked
        return found


class DrawnFaces:
    """A run that draws faces: it is shown frames as a Resident is, and makes pictures as Networks
    do.

    Args:
      where: who is before the camera; hold: the last picture stays when nobody is there.

    Attributes:
      name: the run folder's; takes: "frames".
      camera_size: (height, width) of the camera's pictures; None: not known before they come.
    """

    takes = "frames"

    def __init__(self, run: Run, where: FacesSeen, translator: Translator, hold: bool = False):
        self.run, self.name = run, run.name
        self.camera_size: tuple[int, int] | None = None
        self._where, self._translator, self._hold = where, translator, hold
        self._seen: list[Face] = []
        self._light = Light()
        self._last: tuple[float, np.ndarray] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of its pictures. Raises UserError where the camera has not told."""
        if self.camera_size is None:
            raise UserError(
                f"{option('virtual_camera')} needs to know how large the pictures are before they "
                f"come, which a folder does not tell; name another {option('camera')}."
            )
        height, width = self.camera_size
        return height // 2 * 2, width // 2 * 2

    def look(self, image: UInt8[np.ndarray, "h w 3"], time: float) -> Seen | None:
        """Looks for the faces of a camera's picture; None where there is none."""
        image = even(image)
        self._seen = self._where.next(image, time)
        return Seen({"frames": image}, (0, 0, *image.shape[:2])) if self._seen else None

    def nobody(self, image: UInt8[np.ndarray, "h w 3"], time: float) -> UInt8[np.ndarray, "_ _ 3"]:
        """What is shown in place of a camera's picture without a face: the last picture, which
        fades to black, or with --lost hold stays."""
        if self._last is None:
            return np.zeros_like(even(image))
        since, last = self._last
        share = 1.0 if self._hold else float(np.clip(1 - (time - since) / FADE, 0, 1))
        return np.rint(last * np.float32(share)).astype(np.uint8)

    def measure_anew(self) -> None:
        """Looks for everybody anew."""
        self._where.reset()

    def reset(self) -> None:
        """Nothing is carried from picture to picture."""

    def go_on_from(self, other: object) -> None:
        """Each face is drawn by itself."""

    def trial(self) -> None:
        """Draws a face of nothing, for compiling and measuring."""
        self._translator(
            np.full((1, self._translator.size, self._translator.size, 3), 127, np.uint8)
        )

    def begin(self, moments: list[Moment]) -> list[UInt8[np.ndarray, "h w 3"]]:
        """The picture of the one moment that was looked at; see player.Maker."""
        (moment,) = moments
        assert moment.shown is not None, "only moments with a face"
        picture = moment.shown["frames"].copy()
        size = self._translator.size
        given = [align.cut(picture, face.numbers, size) for face in self._seen]
        made = self._translator(np.stack(given))
        for face, before, after in zip(self._seen, given, made, strict=True):
            matte = without_hands(head_matte(face.oval, size), face.numbers, face.hands)
            gains = self._light.gains(face.number, before, after, matte)
            _lay(picture, after, matte, face.numbers, gains)
        self._last = moment.time, picture
        return [picture]


def _lay(
    picture: np.ndarray, made: np.ndarray, matte: np.ndarray, numbers: np.ndarray, gains: np.ndarray
) -> None:
    """Lays a head into a picture uint8 [H, W, 3], in place; only around it anything is computed."""
    reach = _REACH * np.exp(numbers[2])
    height, width = picture.shape[:2]
    left, top = np.maximum(np.floor(numbers[:2] - reach), 0).astype(int)
    right, bottom = np.minimum(np.ceil(numbers[:2] + reach), (width, height)).astype(int)
    if right <= left or bottom <= top:
        return
    part = picture[top:bottom, left:right].astype(np.float32)
    there = numbers - np.array([left, top, 0.0, 0.0])
    if laid_back(part, made, matte, there, gains) is not None:
        picture[top:bottom, left:right] = np.clip(np.rint(part), 0, 255)


def finder(options: LiveOptions) -> Finder:
    """Finds faces, and with --detail holistic hands in front of them. To be closed."""
    bundle, hands = landmarkers(options.pose_model, options.detail == "holistic")
    return Finder(bundle, hands, far=False)


def check_options(options: LiveOptions) -> None:
    """Raises UserError for options that do not go with drawn faces."""
    for name, only in (
        ("smaller", None),
        ("ready_poses", False),
        ("background", "plate"),
    ):
        if getattr(options, name) != only:
            raise UserError(
                f"{option(name)} has no meaning with a run that draws faces; leave it out."
            )
    if options.precision == "int8":
        raise UserError(
            f"{option('precision')} int8 is scaled by poses, which a run that draws faces is not "
            "shown; use float32 or bfloat16."
        )
    if options.lost == "plate":
        raise UserError(
            f"{option('lost')} plate needs a background plate, which a run that draws faces has "
            "not; use black or hold."
        )
