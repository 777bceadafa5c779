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
from motion_jax.video.background import BackgroundWriter
from motion_jax.video.writer import H264, PRORES, VideoWriter

# Encoding must not take the processor from the network: larger files instead.
LIVE = dataclasses.replace(
    H264, options={"preset": "ultrafast", "tune": "zerolatency", "bf": "0", "crf": "20"}
)
# Pictures that may wait for the encoder, besides the newest.
AHEAD = 60


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


class Output:
    """A sink's thread.

    Attributes:
      slot: the newest picture; shown: pictures; ages: seconds from the camera to the end of `show`.
      failed: what went wrong, or None.
    """

    def __init__(self, name: str, sink: Sink, aged: Callable[[Picture, float], None]):
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
                    self._aged(picture, time.monotonic())
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
    """

    def __init__(self, path: Path, tags: dict[str, str], sound: Path | None):
        self._path, self._tags, self._sound = path, tags, sound
        self._writer: BackgroundWriter | None = None
        self._start, self._last = 0.0, -1.0

    def show(self, picture: Picture) -> None:
        image = picture.image
        if self._writer is None:
            self._start = picture.time
            writer = VideoWriter(
                self._path,
                *image.shape[:2],
                audio_from=self._sound,
                audio_start=picture.time,
                metadata=self._tags,
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


class VirtualCamera:
    """A camera that other programs can choose. Raises UserError where that cannot be."""

    def __init__(self, height: int, width: int, fps: float):
        try:
            import pyvirtualcam
        except ImportError as error:
            raise UserError(
                f"{option('virtual_camera')} needs the package pyvirtualcam: pip install "
                "pyvirtualcam (it is under the GPL, and therefore not part of an extra)."
            ) from error
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
    """Shows the newest picture and hears keys; belongs to the main thread."""

    def __init__(self) -> None:
        self.slot: Slot[Picture] = Slot()
        cv2.namedWindow("motion-jax", cv2.WINDOW_NORMAL)

    def turn(self, text: str) -> str:
        """Shows what is new, with a line of text; the key that was pressed, or ""."""
        picture = self.slot.take(0.0)
        if picture is not None:
            image = cv2.cvtColor(picture.image[..., :3], cv2.COLOR_RGB2BGR)
            cv2.putText(image, text, (4, image.shape[0] - 6), 0, 0.35, (255, 255, 255), 1)
            cv2.imshow("motion-jax", image)
        key = cv2.waitKey(1) & 0xFF
        return chr(key) if key < 128 else ""

    def close(self) -> None:
        cv2.destroyAllWindows()
