"""Cameras: frames as they come, each with the time at which it was taken.

A thread reads and does nothing else; whoever is slower gets the newest frame.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from jaxtyping import UInt8

from motion_jax.errors import UserError, option
from motion_jax.live import marks
from motion_jax.live.slot import Slot
from motion_jax.video.image_files import Unreadable, list_pictures, read_picture
from motion_jax.video.reader import probe, read_frames

# The longer side of the pictures that go on: poses need no more.
LONGEST = 640
# Seconds: to open a camera, and between tries to open one again that went away.
OPENING, AGAIN = 5.0, 0.5
# A file's frame that is late by more than so many frames is passed over.
LATE = 1.0
FOLDER_LOOK = 0.02


@dataclass(frozen=True)
class Frame:
    """One frame of a camera.

    Attributes:
      number: from 0, those that were passed over counted.
      index: in a file, from 0 in each round; else the number.
      taken: seconds of the monotonic clock; time: seconds since the first frame, on the camera's
        own clock.
    """

    number: int
    index: int
    taken: float
    time: float
    image: UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Source:
    """A camera that was found.

    Attributes:
      frames: gives its frames, each when it is due; ends when there will be no more.
      fps: by what it says, or what is usual.
      sound: a file with its sound; None: there is none.
      name: for people.
    """

    frames: Callable[[threading.Event], Iterator[Frame]]
    fps: float
    name: str
    sound: Path | None = None


def find(text: str, repeat: bool = False) -> Source:
    """The camera of that number, file, address or folder.

    repeat: a file begins again at its end. Raises UserError where there is none.
    """
    if text.isascii() and text.isdigit():
        return _device(int(text))
    if "://" in text:
        return _stream(text)
    path = Path(text)
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        raise UserError(
            f"{option('camera')} {text} is neither the number of a camera nor a file or folder "
            "that is there, nor an address with ://."
        )
    return _file(path, repeat)


class Capture:
    """The thread of a camera; a context manager.

    Attributes:
      slot: the newest frame; closed when there will be no more.
      count: frames that came, those passed over counted; failed: what went wrong, or None.
      name: of the camera; shape: (height, width) of the pictures that go on.
    """

    def __init__(self, source: Source, mirror: bool = False, marked: bool = False):
        self.slot: Slot[Frame] = Slot()
        self.count, self.name, self.shape = 0, source.name, (1, 1)
        self._taken: dict[int, float] = {}
        self._source, self._mirror, self._marked = source, mirror, marked
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self.failed: BaseException | None = None

    def __enter__(self) -> "Capture":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(5)

    def taken_at(self, mark: int) -> float | None:
        """When the newest frame with that mark was taken, on the monotonic clock."""
        return self._taken.get(mark)

    def _run(self) -> None:
        try:
            for frame in self._source.frames(self._end):
                self.count = frame.number + 1
                self.slot.put(self._prepared(frame))
        except BaseException as error:
            self.failed = error
        finally:
            self.slot.close()

    def _prepared(self, frame: Frame) -> Frame:
        image = frame.image
        height, width = image.shape[:2]
        scale = LONGEST / max(height, width)
        if scale < 1:
            size = max(1, round(width * scale)), max(1, round(height * scale))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        if self._mirror:
            image = np.ascontiguousarray(image[:, ::-1])
        if self._marked:
            image = marks.draw(image, frame.number)
            self._taken[frame.number % marks.COUNT] = frame.taken
        self.shape = image.shape[:2]
        return Frame(frame.number, frame.index, frame.taken, frame.time, image)


# --- kinds --------------------------------------------------------------------------------------


def _file(path: Path, repeat: bool) -> Source:
    info = probe(path)
    fps = info.fps or 25.0

    def frames(end: threading.Event) -> Iterator[Frame]:
        begun, number, passed = time.monotonic(), 0, 0.0
        while not end.is_set():
            first: float | None = None
            last = 0.0
            for shot in read_frames(path):
                first = shot.time if first is None else first
                last = shot.time - first
                due = begun + passed + last
                wait = due - time.monotonic()
                if wait > 0 and end.wait(wait):
                    return
                if -wait <= LATE / fps:
                    yield Frame(number, shot.index, due, passed + last, shot.image)
                number += 1
                if end.is_set():
                    return
            passed += last + 1 / fps
            if not repeat:
                return

    sound = path if info.has_audio else None
    return Source(frames, fps, path.name, sound)


def _device(number: int) -> Source:
    def opened() -> cv2.VideoCapture | None:
        # Compressed pictures: uncompressed ones are slow on USB. It must be said when opening.
        settings = [
            cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"),
            cv2.CAP_PROP_FRAME_WIDTH, 640, cv2.CAP_PROP_FRAME_HEIGHT, 480, cv2.CAP_PROP_FPS, 30,
        ]  # fmt: skip
        device = cv2.VideoCapture(number, cv2.CAP_ANY, settings)
        if not device.isOpened():
            device = cv2.VideoCapture(number)
        if not device.isOpened() or not device.read()[0]:
            device.release()
            return None
        device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return device

    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        first = _in_time(opened)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if first is None:
        raise UserError(
            f"{option('camera')} {number} cannot be opened: there is no such camera, or another "
            "program uses it; name another number, a video file, or the address of a stream."
        )
    fps = first.get(cv2.CAP_PROP_FPS)

    def read(device: cv2.VideoCapture) -> np.ndarray | None:
        if not device.grab():
            return None
        done, image = device.retrieve()
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if done else None

    frames = _reopening(first, opened, read, lambda device: device.release())
    return Source(frames, fps if 1 <= fps <= 240 else 30.0, f"camera {number}")


def _stream(address: str) -> Source:
    Opened = tuple[av.container.InputContainer, Iterator[av.VideoFrame]]

    def opened() -> Opened | None:
        try:
            low = {"fflags": "nobuffer", "flags": "low_delay"}
            container = av.open(address, timeout=OPENING, options=low)
            return container, container.decode(video=0)
        except (av.error.FFmpegError, IndexError):
            return None

    first = opened()
    if first is None:
        raise UserError(
            f"{option('camera')} {address} gives no pictures; check the address, and that the "
            "stream runs."
        )
    rate = first[0].streams.video[0].average_rate

    def read(device: Opened) -> np.ndarray | None:
        try:
            return next(device[1]).to_ndarray(format="rgb24")
        except (av.error.FFmpegError, StopIteration):
            return None

    frames = _reopening(first, opened, read, lambda device: device[0].close())
    return Source(frames, float(rate) if rate else 25.0, address)


def _in_time(open_it: Callable[[], cv2.VideoCapture | None]) -> cv2.VideoCapture | None:
    """What it opens; None after OPENING seconds, too."""
    found: list[cv2.VideoCapture | None] = []
    thread = threading.Thread(target=lambda: found.append(open_it()), daemon=True)
    thread.start()
    thread.join(OPENING)
    return found[0] if found else None


def _reopening(first, opened, read, close) -> Callable[[threading.Event], Iterator[Frame]]:
    """Frames of a device that may go away and come back."""

    def frames(end: threading.Event) -> Iterator[Frame]:
        device, number, begun = first, 0, None
        try:
            while not end.is_set():
                if device is None:
                    end.wait(AGAIN)
                    device = opened()
                    continue
                image = read(device)
                if image is None:
                    close(device)
                    device = None
                    continue
                now = time.monotonic()
                begun = now if begun is None else begun
                yield Frame(number, number, now, now - begun, image)
                number += 1
        finally:
            if device is not None:
                close(device)

    return frames


def _folder(path: Path) -> Source:
    def frames(end: threading.Event) -> Iterator[Frame]:
        known: set[Path] = set()
        number, begun = 0, None
        while not end.is_set():
            new = [file for file in list_pictures(path) if file not in known]
            for file in new:
                try:
                    image = np.asarray(read_picture(file))
                except Unreadable:
                    continue  # It is still being written.
                known.add(file)
                now = time.monotonic()
                begun = now if begun is None else begun
                yield Frame(number, number, now, now - begun, image)
                number += 1
            end.wait(FOLDER_LOOK)

    return Source(frames, 25.0, str(path))
