"""The live path: camera, pose, picture and outputs, each in a thread of its own with one place
before it, in which the newest frame replaces an older one.

    camera ─▶ pose (its own process) ─▶ picture ─▶ outputs
"""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from motion_jax.live import marks, rungs
from motion_jax.live.calibration import Calibration
from motion_jax.live.camera import Capture, Frame
from motion_jax.live.faces import DrawnFaces
from motion_jax.live.figures import Figures
from motion_jax.live.outputs import Output, Picture, Place
from motion_jax.live.people import Person
from motion_jax.live.photo import MovingPhoto
from motion_jax.live.presence import Presence
from motion_jax.live.rungs import Ladder
from motion_jax.live.slot import Closed, Slot
from motion_jax.pose.forwards import Forwards
from motion_jax.pose.options import Joints
from motion_jax.report.montage import enlarge
from motion_jax.transfer.fit import RunningFit
from motion_jax.transfer.options import Method
from motion_jax.transfer.resident import Resident, Seen

# (frame, detail) -> the pose in pixels of the frame, or None.
Estimate = Callable[[Frame, str], "np.ndarray | None"]


@dataclass(frozen=True)
class Posed:
    """A frame and what the pose thread found in it."""

    frame: Frame
    pose: Float[np.ndarray, "137 3"] | None


@dataclass
class Session:
    """One live session.

    Args:
      capture: the camera's thread; people: the runs, the first one is shown; smaller: see options.
      estimate: finds poses; None: the runs are shown frames.
      outputs: threads that show pictures; windows: what shows pictures in the main thread.
      ladder: what may be left out.
      measured: of the person before the camera, from an earlier session; used until x is pressed.

    Attributes:
      made: pictures that the network made, those held or faded not counted.
      with_less: frames that were worked on with something left out, by the rung's name.
      fit: how the newest person is fitted; measured_anew: whether x was pressed.
    """

    capture: Capture
    people: Sequence[Person]
    smaller: Person | None
    estimate: Estimate | None
    outputs: Sequence[Output]
    ladder: Ladder
    figures: Figures
    normalize: Method = "global"
    smooth: bool = True
    detail: str = "body"
    beside: bool = False
    windows: Sequence[Place] = ()
    made: int = 0
    with_less: Counter[str] = field(default_factory=Counter)
    joints: Joints = "free"
    failed: BaseException | None = None
    presence: Presence = field(default_factory=Presence)
    measured: Calibration | None = None
    measured_anew: bool = False
    fit: RunningFit | None = None

    def __post_init__(self) -> None:
        self._posed: Slot[Posed] = Slot()
        self._person, self._now = self.people[0], self.people[0]
        self._measure_anew = False
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            for name, work in (("pose", self._pose), ("picture", self._picture))
        ]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The session runs within the block; ends with it. Raises what a thread failed with."""
        for output in self.outputs:
            output.start()
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self.capture.slot.close()
            for thread in self._threads:
                thread.join()
            errors = [self.failed, self.capture.failed]
            for output in self.outputs:
                try:
                    output.end()
                except BaseException as error:
                    errors.append(error)
        for failed in errors:
            if failed is not None:
                raise failed

    @property
    def over(self) -> bool:
        """Whether the camera has ended or a thread failed."""
        failed = any(output.failed is not None for output in self.outputs)
        return failed or not self._threads[-1].is_alive()

    @property
    def places(self) -> list[Place]:
        """Where its pictures go."""
        return [*self.outputs, *self.windows]

    def press(self, key: str) -> None:
        """A key: x measures the person anew, 1 ... 9 choose a run."""
        with self._lock:
            if key == "x":
                self._measure_anew = True
            elif key.isdigit() and 1 <= int(key) <= len(self.people):
                self._person = self.people[int(key) - 1]

    def dropped(self) -> dict[str, int]:
        """Frames and pictures that a newer one took the place of, by who was too slow."""
        found = {"pose": self.capture.slot.dropped, "picture": self._posed.dropped}
        return found | {place.name: place.slot.dropped for place in self.places}

    # --- threads -------------------------------------------------------------------------------

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            with contextlib.suppress(Closed):
                work()
        except BaseException as error:
            self.failed = error
        finally:
            self.capture.slot.close()
            self._posed.close()

    def _pose(self) -> None:
        before: list[tuple[float, np.ndarray]] = []
        skipped = False
        while True:
            frame = self.capture.slot.take()
            if frame is None:
                continue
            if self.estimate is None:
                self._posed.put(Posed(frame, None))
                continue
            begun = time.monotonic()
            skipped = self.ladder.has(rungs.EVERY_SECOND) and len(before) == 2 and not skipped
            if skipped:
                pose: np.ndarray | None = moved_on(before, frame.time)
                self.with_less[rungs.EVERY_SECOND.name] += 1
            else:
                less = self.ladder.has(rungs.HANDS)
                self.with_less[rungs.HANDS.name] += less
                pose = self.estimate(frame, "body" if less else self.detail)
                before = [*before[-1:], (frame.time, pose)] if pose is not None else []
            now = time.monotonic()
            if not skipped:
                self.figures.spent("pose", now - begun)
            self.ladder.note(now, "pose", now - begun)
            self._posed.put(Posed(frame, pose))

    def _picture(self) -> None:
        mend = Forwards(smooth=self.smooth)
        last: np.ndarray | None = None
        while True:
            posed = self._posed.take()
            if posed is None:
                continue
            frame, begun = posed.frame, time.monotonic()
            if self._choose():
                self.fit = None
            if self.estimate is None:
                seen, faded = self._translated(frame), 0.0
            else:
                if self.fit is None:
                    self.fit = self._new_fit(frame)
                seen, faded = self._seen(posed, mend, self.fit)
            fitted = time.monotonic()
            self.figures.spent("fit", fitted - begun)
            if seen is not None:
                last = self._now.picture(seen, frame.time)
                self.made += 1
                self.with_less[rungs.SMALLER.name] += self._now is self.smaller
                now = time.monotonic()
                self.figures.spent("picture", now - fitted)
                self.ladder.note(now, "picture", now - begun)
            resident = self._now.resident
            if seen is None and isinstance(resident, DrawnFaces):
                self._show(frame, resident.nobody(frame.image, frame.time))
            else:
                self._show(frame, self._mixed(last, faded))

    def _translated(self, frame: Frame) -> Seen | None:
        """What a run that is shown frames is shown of one; None: nothing yet."""
        resident = self._now.resident
        if isinstance(resident, MovingPhoto | DrawnFaces):
            if self._asked_anew():
                resident.measure_anew()
            return resident.look(frame.image, frame.time)
        assert isinstance(resident, Resident), "real frames are shown poses"
        return resident.picture(frame.image)

    def _new_fit(self, frame: Frame) -> RunningFit:
        body, size = self._now.body, frame.image.shape[:2]
        assert body is not None, "poses are estimated for runs that have one"
        known = None
        if self.measured is not None and not self.measured_anew:
            known = self.measured.of(size)
        return RunningFit(size, body, self.normalize, known=known, bend=self.joints)

    def _seen(self, posed: Posed, mend: Forwards, fit: RunningFit) -> tuple[Seen | None, float]:
        """(what the run is shown, or None; how much of the background)."""
        frame = posed.frame
        shown = self.presence.next(frame.time, posed.pose)
        anew = self._asked_anew()
        if shown.fresh:
            mend.reset()
            self._now.networks.reset()
        self.measured_anew = self.measured_anew or anew
        # Measures from a file are of whoever the file says.
        kept = self.measured is not None and not self.measured_anew
        if anew or (shown.another and not kept):
            fit.reset()
        if shown.pose is None:
            return None, shown.faded
        pose = mend.next(frame.time, posed.pose if shown.state == "live" else None)
        laid = None if pose is None else fit.next(frame.time, pose)
        resident = self._now.resident
        assert not isinstance(resident, MovingPhoto | DrawnFaces), "they are shown frames"
        return None if laid is None else resident.pose(laid), shown.faded

    def _asked_anew(self) -> bool:
        """Whether x was pressed since the last frame."""
        with self._lock:
            anew, self._measure_anew = self._measure_anew, False
        return anew

    def _choose(self) -> bool:
        """The run that was asked for, or the smaller one; it goes on from the last picture. Whether
        another person is drawn now."""
        with self._lock:
            wanted = self._person
        if self.smaller is not None and self.ladder.has(rungs.SMALLER):
            wanted = self.smaller
        if wanted is self._now:
            return False
        wanted.go_on_from(self._now)
        another = self.smaller not in (wanted, self._now)
        self._now = wanted
        return another

    def _mixed(self, last: np.ndarray | None, faded: float) -> np.ndarray | None:
        """The last picture, faded into the background."""
        background = self._now.background
        if background is None:
            return last
        if last is None or last.shape != background.shape:
            return background if last is None else last
        if faded <= 0:
            return last
        return cv2.addWeighted(last, 1 - faded, background, faded, 0)

    def _show(self, frame: Frame, image: np.ndarray | None) -> None:
        if image is None:
            return
        if self.beside:
            image = beside(frame.image, image)
        picture = Picture(frame.number, frame.taken, frame.time, image)
        for place in self.places:
            place.slot.put(picture)


def moved_on(
    before: Sequence[tuple[float, Float[np.ndarray, "137 3"]]], time: float
) -> Float[np.ndarray, "137 3"]:
    """The pose at `time`, moved on in a straight line from two before it, by at most their
    distance in time."""
    (first, old), (second, new) = before
    share = min((time - second) / (second - first), 1.0) if second > first else 0.0
    both = (old[:, 2] > 0) & (new[:, 2] > 0)
    pose = new.copy()
    pose[both, :2] += share * (new[both, :2] - old[both, :2])
    return pose


def beside(
    source: UInt8[np.ndarray, "_ _ 3"], picture: UInt8[np.ndarray, "_ _ c"]
) -> UInt8[np.ndarray, "_ _ 3"]:
    """The camera's picture at the height of the result, and the result; a small one is enlarged by
    whole pixels, so that it can be seen."""
    picture = enlarge(np.ascontiguousarray(picture[..., :3]))
    height = picture.shape[0]
    width = scaled_width(source.shape[0], source.shape[1], height)
    shown = cv2.resize(source, (width, height), interpolation=cv2.INTER_AREA)
    return np.concatenate([shown, picture], axis=1)


def scaled_width(rows: int, columns: int, height: int) -> int:
    """Of a picture at another height; even, as films want it."""
    return max(2, round(columns * height / rows / 2) * 2)


class AgeMeter:
    """Measures how old pictures are when they are shown.

    marked: a camera whose frames are marked and stand on the left of the pictures: their age is
    that of the frame whose number is read there.
    """

    def __init__(self, figures: Figures, marked: Capture | None):
        self._figures, self._marked = figures, marked

    def __call__(self, output: str, picture: Picture, now: float) -> None:
        self._figures.aged(output, now, now - picture.taken)
        if self._marked is None:
            return
        height, width = self._marked.shape
        number = marks.read(picture.image, scaled_width(height, width, picture.image.shape[0]))
        taken = None if number is None else self._marked.taken_at(number)
        self._figures.by_mark(None if taken is None else now - taken)


def summary(session: Session, seconds: float) -> dict[str, Any]:
    """The figures of a session that lasted so long."""
    found = session.figures.summary()
    dropped = session.dropped()
    return {
        "fps": round(session.figures.rate(time.monotonic()), 2),
        "seconds": round(seconds, 2),
        **found,
        "dropped": {"all": sum(dropped.values()), **dropped},
        "frames": {
            "camera": session.capture.count,
            "made": session.made,
            **{place.name: place.shown for place in session.places},
        },
        "frames_with_less": dict(+session.with_less),
        "outputs": session.figures.by_output(),
        "states": [[round(at, 2), state] for at, state in session.presence.changes],
        "left_out": [[round(at, 2), way, name] for at, way, name in session.ladder.changes],
        "runs": {
            person.resident.name: {
                "runtime": person.runtime,
                "milliseconds": {name: round(value, 2) for name, value in person.speeds.items()},
            }
            for person in [*session.people, *([session.smaller] if session.smaller else [])]
        },
    }
