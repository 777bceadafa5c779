"""Cameras: frames as they come, each with the time at which it was taken.

A thread reads and does nothing else; whoever is slower gets the newest frame.
"""

import contextlib
import os
import sys
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
# Numbers of cameras that are tried where the system does not tell them.
TRIED = 6

# When a picture was taken, on the monotonic clock; RGB.
Taken = tuple[float, UInt8[np.ndarray, "h w 3"]]


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
      returns: it may go away and come back.
      size: (height, width) of its pictures; None: that is not known before they come.
    """

    frames: Callable[[threading.Event], Iterator[Frame]]
    fps: float
    name: str
    sound: Path | None = None
    returns: bool = False
    size: tuple[int, int] | None = None


def find(text: str, repeat: bool = False) -> Source:
    """The camera of that number or name, file, address or folder.

    text: of a name any part, in small or large letters. repeat: a file begins again at its end.
    Raises UserError where there is none.
    """
    if "://" in text:
        return _stream(text)
    path = Path(text)
    if _is_number(text) or not path.exists():
        return _device(_number(text))
    return _folder(path) if path.is_dir() else _file(path, repeat)


def check(text: str) -> None:
    """Raises UserError where there can be no such camera; nothing is opened yet."""
    if "://" in text or (Path(text).exists() and not _is_number(text)):
        return
    number = _number(text)
    if str(sys.platform).startswith("linux") and not Path(f"/dev/video{number}").exists():
        raise _closed(number)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(text: str) -> int:
    """Of a camera, by its number or name. Raises UserError for another text."""
    number = int(text) if _is_number(text) else _called(text)
    if number is None:
        raise UserError(
            f"{option('camera')} {text} is neither the number or name of a camera nor a file or "
            "folder that is there, nor an address with ://."
        )
    return number


class Capture:
    """The thread of a camera; a context manager.

    Args:
      whole: pictures go on at their own size; without, not larger than poses need.

    Attributes:
      slot: the newest frame; closed when there will be no more.
      count: frames that came, those passed over counted; failed: what went wrong, or None.
      name: of the camera; shape: (height, width) of the pictures that go on.
    """

    def __init__(
        self, source: Source, mirror: bool = False, marked: bool = False, whole: bool = False
    ):
        self.slot: Slot[Frame] = Slot()
        self.count, self.name, self.shape = 0, source.name, (1, 1)
        self._taken: dict[int, float] = {}
        self._source, self._mirror, self._marked, self._whole = source, mirror, marked, whole
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
        if scale < 1 and not self._whole:
            size = max(1, round(width * scale)), max(1, round(height * scale))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        if self._mirror:
            image = np.ascontiguousarray(image[:, ::-1])
        if self._marked:
            image = marks.draw(image, frame.number)
            self._taken[frame.number % marks.COUNT] = frame.taken
        self.shape = image.shape[:2]
        return Frame(frame.number, frame.index, frame.taken, frame.time, image)


_ABOUT = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS)


def devices() -> list[str]:
    """A line for each camera of this machine that opens: number, name where the system tells it,
    size and rate."""
    found = []
    with _silent():
        for number in _numbers():
            device = cv2.VideoCapture(number)
            if device.isOpened():
                width, height, fps = (device.get(of) for of in _ABOUT)
                size = f"{width:.0f}x{height:.0f}, {fps:.0f} frames/s"
                found.append("  ".join(filter(None, [str(number), _name(number), size])))
            device.release()
    return found


def _called(text: str) -> int | None:
    """The number of the camera whose name has this in it. Raises UserError for several."""
    names = {number: name for number in _numbers() if (name := _name(number))}
    found = {number: name for number, name in names.items() if text.casefold() in name.casefold()}
    if len(set(found.values())) > 1:
        several = ", ".join(f"{number} ({name})" for number, name in found.items())
        raise UserError(f"{option('camera')} {text} fits several cameras: {several}; name one.")
    # A camera may have more than one number; pictures come from its first.
    return min(found, default=None)


def _numbers() -> list[int]:
    """Those that may be cameras: Linux tells, elsewhere the first few are tried."""
    if str(sys.platform).startswith("linux"):
        names = (path.name.removeprefix("video") for path in Path("/dev").glob("video*"))
        return sorted(int(name) for name in names if name.isdigit())
    return list(range(TRIED))


def _name(number: int) -> str:
    """What the system calls it; "" where it does not tell (only Linux does)."""
    path = Path(f"/sys/class/video4linux/video{number}/name")
    return path.read_text().strip() if path.is_file() else ""


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """OpenCV says nothing of cameras that do not open."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


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
    return Source(frames, fps, path.name, sound, size=(info.height, info.width))


def _device(number: int) -> Source:
    def opened() -> cv2.VideoCapture | None:
        # Compressed pictures: uncompressed ones are slow on USB. It must be said when opening.
        settings = [
            cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"),
            cv2.CAP_PROP_FRAME_WIDTH, 640, cv2.CAP_PROP_FRAME_HEIGHT, 480, cv2.CAP_PROP_FPS, 30,
        ]  # fmt: skip
        with _silent():
            device = cv2.VideoCapture(number, cv2.CAP_ANY, settings)
            if not device.isOpened():
                device = cv2.VideoCapture(number)
            if not device.isOpened() or not device.read()[0]:
                device.release()
                return None
        device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return device

    first = _in_time(opened)
    if first is None:
        raise _closed(number)
    fps = first.get(cv2.CAP_PROP_FPS)

    def read(device: cv2.VideoCapture) -> Taken | None:
        if not device.grab():
            return None
        taken = time.monotonic()  # Decoding comes after it.
        done, image = device.retrieve()
        return (taken, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)) if done else None

    frames = _reopening(first, opened, read, lambda device: device.release())
    fps = fps if 1 <= fps <= 240 else 30.0
    height, width = (int(first.get(of)) for of in (_ABOUT[1], _ABOUT[0]))
    return Source(frames, fps, f"camera {number}", returns=True, size=(height, width))


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
    stream = first[0].streams.video[0]
    rate, size = stream.average_rate, (stream.height, stream.width)

    def read(device: Opened) -> Taken | None:
        try:
            image = next(device[1]).to_ndarray(format="rgb24")
            return time.monotonic(), image
        except (av.error.FFmpegError, StopIteration):
            return None

    frames = _reopening(first, opened, read, lambda device: device[0].close())
    return Source(frames, float(rate) if rate else 25.0, address, returns=True, size=size)


def _in_time(open_it: Callable[[], cv2.VideoCapture | None]) -> cv2.VideoCapture | None:
    """What it opens; None after OPENING seconds, too."""
    found: list[cv2.VideoCapture | None] = []
    thread = threading.Thread(target=lambda: found.append(open_it()), daemon=True)
    thread.start()
    thread.join(OPENING)
    return found[0] if found else None


def _closed(number: int) -> UserError:
    """A camera does not open."""
    return UserError(
        f"{option('camera')} {number} cannot be opened: {_why(number)}; name another number "
        f"({option('list_cameras')} shows them), a video file, or the address of a stream."
    )


def _why(number: int) -> str:
    path = Path(f"/dev/video{number}")
    if not str(sys.platform).startswith("linux"):
        return "there is no such camera, another program uses it, or this one may not"
    if not path.exists():
        return "there is no such camera"
    if not os.access(path, os.R_OK | os.W_OK):
        return f"{path} may not be read (usually the group video may)"
    return "another program uses it, or it gives no pictures"


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
                got = read(device)
                if got is None:
                    close(device)
                    device = None
                    continue
                now, image = got
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
