"""Whether somebody who is going to be filmed stands well, from pictures of the camera; and who is
in a frame of a film.

The pose is estimated in a process that begins with the first picture and ends when none came for a
while. Without a pose model on this machine there is no word about it: nothing is downloaded here.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from motion_jax.errors import UserError
from motion_jax.pose import bundles
from motion_jax.pose.skeleton import INDEX
from motion_jax.pose.watcher import Watcher

Hint = Literal["", "nobody", "step_back", "come_closer", "to_the_middle", "good"]
# Confidence from which a joint counts as seen.
SEEN = 0.3
# Of the picture's height: a head over the nose, at the least; the smallest person; the lowest foot.
HEAD, SMALL, EDGE = 0.06, 0.45, 0.98
# Of its width: from where to where the hips may be.
MIDDLE = (0.25, 0.75)
# Seconds without a picture after which the process ends, and after which a pose model that was not
# there is looked for again; the widest picture that is looked at.
IDLE, AGAIN, WIDEST = 20.0, 30.0, 640
# How often those who are found are painted over, with which grey; and how far, in sizes of a
# person, the mirror's box may be off.
LOOKS, GREY, SAME = 3, 127, 0.2
_NOSE, _HIPS = INDEX["nose"], INDEX["mid_hip"]
_ANKLES = [INDEX["right_ankle"], INDEX["left_ankle"]]


class Estimator(Protocol):
    """What Watcher is, for whoever asks it."""

    def __enter__(self) -> Any: ...

    def __exit__(self, *_: object) -> None: ...

    def look(self, image: np.ndarray, time: float) -> np.ndarray | None: ...

    def look_at_all(self, image: np.ndarray, time: float, still: bool) -> list[np.ndarray]: ...


def hint(pose: Float32[np.ndarray, "137 3"] | None, height: int, width: int) -> Hint:
    """What to do better. pose: in pixels of a picture of that size, its first 25 joints those of
    the body; None: nobody is there."""
    if pose is None or pose[_NOSE, 2] < SEEN or pose[_HIPS, 2] < SEEN:
        return "nobody"
    feet = pose[_ANKLES]
    seen = feet[:, 2] >= SEEN
    nose = float(pose[_NOSE, 1])
    if not seen.all() or float(feet[:, 1].max()) > EDGE * height or nose < HEAD * height:
        return "step_back"
    if float(feet[:, 1].max()) - nose < SMALL * height:
        return "come_closer"
    if not MIDDLE[0] <= float(pose[_HIPS, 0]) / width <= MIDDLE[1]:
        return "to_the_middle"
    return "good"


def _only_here(*_: Any, **__: Any) -> Any:
    raise UserError("The studio downloads nothing by itself.")


def _watcher() -> Estimator:
    bundles.find_bundle("body", None, _only_here)
    return Watcher("body")


def _everybody(
    watcher: Estimator, image: UInt8[np.ndarray, "h w 3"], time: float
) -> list[Float32[np.ndarray, "137 3"]]:
    """The detector prefers the largest: those who are found are painted over, and it looks again.
    Who is found then is believed if the mirrored picture shows them, too."""
    found = watcher.look_at_all(image, time, True)
    rest, new = image.copy(), found
    for _ in range(LOOKS if found else 0):
        for pose in new:
            (left, top), (right, bottom) = _extent(pose)
            more = 0.1 * (bottom - top)
            high, wide = (
                slice(_from(top - more), _from(bottom + more)),
                slice(_from(left - more), _from(right + more)),
            )
            rest[high, wide] = GREY
        mirror = watcher.look_at_all(np.ascontiguousarray(rest[:, ::-1]), time, True)
        width = image.shape[1]
        new = [
            pose
            for pose in watcher.look_at_all(rest, time, True)
            if any(_same(pose, other, width) for other in mirror)
        ]
        if not new:
            break
        found = [*found, *new]
    return found


def _from(place: float) -> int:
    return max(round(place), 0)


def _extent(pose: Float32[np.ndarray, "137 3"]) -> Float32[np.ndarray, "2 2"]:
    """(left, top), (right, bottom) of the joints that are seen."""
    points = pose[pose[:, 2] > 0, :2]
    return np.stack([points.min(0), points.max(0)])


def _same(pose: np.ndarray, other: np.ndarray, width: int) -> bool:
    """Whether another pose, of the mirrored picture, is at the same place and as large."""
    box, there = _extent(pose), _extent(other)
    there = np.array([[width - there[1, 0], there[0, 1]], [width - there[0, 0], there[1, 1]]])
    return bool(np.abs(box - there).max() <= SAME * float((box[1] - box[0]).max()))


class Guide:
    """Looks at pictures, one at a time. begin: makes what estimates poses (default: a Watcher)."""

    def __init__(self, begin: Callable[[], Estimator] | None = None):
        self._begin = begin
        self._lock = threading.Lock()
        self._watcher: Estimator | None = None
        self._off_until, self._last = 0.0, 0.0

    def look(self, data: bytes) -> Hint:
        """Of a picture as JPEG; "" where nothing can be said."""
        image = _decoded(data)
        # Who asks while another picture is looked at learns nothing new.
        if image is None or not self._lock.acquire(blocking=False):
            return ""
        try:
            watcher = self._ready()
            if watcher is None:
                return ""
            return hint(watcher.look(image, self._last), *image.shape[:2])
        except UserError:
            self._off()
            return ""
        finally:
            self._lock.release()

    def everybody(
        self, image: UInt8[np.ndarray, "h w 3"]
    ) -> list[Float32[np.ndarray, "137 3"]] | None:
        """The bodies in a picture, in its pixels, from left to right; None where nothing can be
        said, for want of a pose model."""
        with self._lock:
            try:
                watcher = self._ready()
                if watcher is None:
                    return None
                poses = _everybody(watcher, image, self._last)
            except UserError:
                self._off()
                return None
        return sorted(poses, key=lambda pose: float(pose[pose[:, 2] > 0, 0].mean()))

    def _ready(self) -> Estimator | None:
        self._last = time.monotonic()
        if self._watcher is None and self._last >= self._off_until:
            self._watcher = (self._begin or _watcher)().__enter__()
            threading.Thread(target=self._end_when_idle, daemon=True).start()
        return self._watcher

    def _off(self) -> None:
        self._off_until = time.monotonic() + AGAIN

    def close(self) -> None:
        with self._lock:
            if self._watcher is not None:
                self._watcher.__exit__(None, None, None)
                self._watcher = None

    def _end_when_idle(self) -> None:
        while time.monotonic() - self._last < IDLE:
            time.sleep(1)
        self.close()


def _decoded(data: bytes) -> UInt8[np.ndarray, "h w 3"] | None:
    if not data.startswith(b"\xff\xd8"):
        return None
    # A JPEG of a megabyte may say that it is very large: its size is read before it is decoded.
    size = _jpeg_size(data)
    if size is None or max(size) > 2 * WIDEST:
        return None
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) as its header says."""
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        kind, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return (
                int.from_bytes(data[at + 5 : at + 7], "big"),
                int.from_bytes(data[at + 7 : at + 9], "big"),
            )
        at += 2 + length
    return None
