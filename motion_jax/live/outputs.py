"""Where live pictures go: each output has a thread and takes the newest picture."""

import dataclasses
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from jaxtyping import UInt8

from motion_jax.errors import UserError, option
from motion_jax.live.slot import Closed, Slot
from motion_jax.provenance.options import Provenance
from motion_jax.provenance.writer import HonestWriter
from motion_jax.video.background import BackgroundWriter
from motion_jax.video.writer import H264, PRORES

# Encoding must not take the processor from the network: larger files instead.
LIVE = dataclasses.replace(
    H264, options={"preset": "ultrafast", "tune": "zerolatency", "bf": "0", "crf": "20"}
)
# Pictures that may wait for the encoder, besides the newest.
AHEAD = 60
# Of a window: pixels that its picture is wide at least, and the largest scale of its letters.
LEAST_WIDTH, LETTERS = 480, 0.45


@dataclass(frozen=True)
class Picture:
    """A finished picture.

    Attributes:
      number: of the camera's frame; taken: when that was, on the monotonic clock; time: on the
        camera's own, seconds since its first frame.
      image: RGB, or RGBA.
    """

    number: int
    taken: float
    time: float
    image: UInt8[np.ndarray, "h w c"]


class Sink(Protocol):
    """What shows or keeps pictures."""

    def show(self, picture: Picture) -> None: ...
    def close(self) -> None: ...


# (output, picture, when it was shown on the monotonic clock): measures its age.
Aged = Callable[[str, Picture, float], None]


class Place(Protocol):
    """Where pictures go, and how many were shown there."""

    name: str
    slot: Slot[Picture]
    shown: int


class Output:
    """A sink's thread.

    Attributes:
      slot: the newest picture; shown: pictures; ages: seconds from the camera to the end of `show`.
      failed: what went wrong, or None.
    """

    def __init__(self, name: str, sink: Sink, aged: Aged):
        self.name, self.sink = name, sink
        self.slot: Slot[Picture] = Slot()
        self.shown = 0
        self.failed: BaseException | None = None
        self._aged = aged
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Shows what still lies there, and closes the sink. Raises what went wrong."""
        self.slot.close()
        self._thread.join()
        if self.failed is not None:
            raise self.failed

    def _run(self) -> None:
        try:
            try:
                while True:
                    picture = self.slot.take()
                    if picture is None:
                        continue
                    self.sink.show(picture)
                    self._aged(self.name, picture, time.monotonic())
                    self.shown += 1
            except Closed:
                pass
            finally:
                self.sink.close()
        except BaseException as error:
            self.failed = error
            self.slot.close()


class Record:
    """A film, MP4 or with alpha MOV; its times are those of the camera.

    Args:
      sound: a file whose sound is kept.
      provenance: of `HonestWriter`.
    """

    def __init__(
        self, path: Path, tags: dict[str, str], sound: Path | None, provenance: Provenance
    ):
        self._path, self._tags, self._sound = path, tags, sound
        self._provenance = provenance
        self._writer: BackgroundWriter | None = None
        self._start, self._last = 0.0, -1.0

    def show(self, picture: Picture) -> None:
        image = picture.image
        if self._writer is None:
            self._start = picture.time
            writer = HonestWriter(
                self._path,
                *image.shape[:2],
                tags=self._tags,
                provenance=self._provenance,
                audio_from=self._sound,
                audio_start=picture.time,
                coding=PRORES if image.shape[-1] == 4 else LIVE,
            )
            self._writer = BackgroundWriter(writer, AHEAD).__enter__()
        at = picture.time - self._start
        if at > self._last + 1e-4:
            self._writer.write(image, at)
            self._last = at

    def close(self) -> None:
        if self._writer is not None:
            self._writer.__exit__(None, None, None)


def check_virtual_camera() -> None:
    """Raises UserError where its package is not installed."""
    try:
        import pyvirtualcam  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"{option('virtual_camera')} needs the package pyvirtualcam: pip install pyvirtualcam "
            "(it is under the GPL, and therefore not part of an extra)."
        ) from error


class VirtualCamera:
    """A camera that other programs can choose. Raises UserError where that cannot be."""

    def __init__(self, height: int, width: int, fps: float):
        check_virtual_camera()
        import pyvirtualcam

        try:
            self._camera: Any = pyvirtualcam.Camera(width=width, height=height, fps=fps)
        except RuntimeError as error:
            raise UserError(
                f"{option('virtual_camera')}: there is no driver of a virtual camera ({error}); "
                "install OBS (Windows, macOS), or on Linux: sudo modprobe v4l2loopback "
                "exclusive_caps=1 card_label=motion-jax."
            ) from error

    def show(self, picture: Picture) -> None:
        self._camera.send(np.ascontiguousarray(picture.image[..., :3]))

    def close(self) -> None:
        self._camera.close()


def has_screen() -> bool:
    """Whether there is one; where there is none, OpenCV's windows end the process."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def check_screen() -> None:
    """Raises UserError where no window can be shown."""
    try:
        if not has_screen():
            raise cv2.error("no screen")
        cv2.namedWindow("motion-jax", cv2.WINDOW_NORMAL)
        cv2.destroyWindow("motion-jax")
    except cv2.error as error:
        raise UserError(
            f"{option('window')} is not possible here (no screen, or OpenCV without windows); use "
            f"{option('port')} 0 for a page in the browser, or {option('record')} FILE.mp4."
        ) from error


class Window:
    """Shows the newest picture and hears keys; belongs to the main thread.

    Attributes: see Output.
    """

    name = "window"

    def __init__(self, aged: Aged) -> None:
        self.slot: Slot[Picture] = Slot()
        self.shown = 0
        self._aged = aged
        cv2.namedWindow("motion-jax", cv2.WINDOW_NORMAL)

    def turn(self, lines: Callable[[], list[str]]) -> str:
        """Shows what is new, over lines of text; the key that was pressed, or ""."""
        picture = self.slot.take(0.0)
        if picture is not None:
            cv2.imshow("motion-jax", cv2.cvtColor(over(picture.image, lines()), cv2.COLOR_RGB2BGR))
        key = cv2.waitKey(1) & 0xFF
        if picture is not None:
            # Drawn by now: the toolkit does it while it waits for a key.
            self._aged(self.name, picture, time.monotonic())
            self.shown += 1
        return chr(key) if key < 128 else ""

    def close(self) -> None:
        cv2.destroyAllWindows()


def over(image: UInt8[np.ndarray, "_ _ c"], lines: list[str]) -> UInt8[np.ndarray, "_ _ 3"]:
    """The picture over lines of text, which covers nothing of it; a small one is enlarged by whole
    pixels, or the text would not fit."""
    shown = np.ascontiguousarray(image[..., :3])
    factor = -(-LEAST_WIDTH // shown.shape[1])
    shown = np.repeat(np.repeat(shown, factor, 0), factor, 1)
    width = max((cv2.getTextSize(line, 0, 1.0, 1)[0][0] for line in lines), default=1)
    scale = min(LETTERS, (shown.shape[1] - 12) / width)
    step = round(36 * scale)
    band = np.full((step * len(lines) + 6, shown.shape[1], 3), 24, np.uint8)
    for number, line in enumerate(lines, 1):
        place = 6, round(step * (number - 0.2))
        cv2.putText(band, line, place, 0, scale, (220, 220, 220), 1, cv2.LINE_AA)
    return np.concatenate([shown, band])
