"""The threads of a live session with stubs at both ends: nothing queues, what is left out is
counted, and keys change the run without a gap."""

import threading
import time

import numpy as np

from motion_jax.live import rungs
from motion_jax.live.camera import Frame
from motion_jax.live.figures import Figures
from motion_jax.live.outputs import Output
from motion_jax.live.rungs import Ladder
from motion_jax.live.session import Session
from motion_jax.live.slot import Slot
from motion_jax.pose.skeleton import INDEX
from motion_jax.transfer.fit import Body
from motion_jax.transfer.resident import Resident, Seen


class Camera:
    """A capture that gives what it is told to."""

    def __init__(self):
        self.slot, self.failed, self.shape, self.count, self.name = Slot(), None, (8, 8), 0, "stub"

    def put(self, number):
        self.count = number + 1
        image = np.full((8, 8, 3), number, np.uint8)
        self.slot.put(Frame(number, number, time.monotonic(), number / 25, image))


class Shows(Resident):
    takes = "frames"

    def __init__(self):
        self.name, self.size = "stub", (8, 8)

    size = (8, 8)

    def picture(self, image):
        return Seen({"frames": image}, (0, 0, 8, 8))


class Slow:
    """A person whose pictures wait for a gate."""

    background = body = None

    def __init__(self):
        self.resident = object.__new__(Shows)
        self.resident.name = "stub"
        self.gate = threading.Event()
        self.runtime, self.speeds = "stub", {}

    def picture(self, seen, at):
        assert self.gate.wait(20)
        return seen.shown["frames"]


class Kept:
    def __init__(self):
        self.numbers = []

    def show(self, picture):
        self.numbers.append(picture.number)

    def close(self):
        pass


def until(true):
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < 20
        time.sleep(0.002)


def test_nothing_queues_behind_a_slow_network():
    camera, person, kept = Camera(), Slow(), Kept()
    figures = Figures()
    output = Output("kept", kept, lambda name, picture, now: None)
    session = Session(camera, [person], None, None, [output], Ladder(0.04, ()), figures)
    with session.running():
        for begun in range(0, 250, 50):
            person.gate.clear()
            for number in range(begun, begun + 50):
                camera.put(number)
            until(lambda: camera.slot._thing is None)
            person.gate.set()
            # What was begun, perhaps one more, and then the newest at once.
            until(lambda last=begun + 49: kept.numbers[-1:] == [last])
    assert kept.numbers == sorted(set(kept.numbers)) and len(kept.numbers) <= 4 * 5
    assert sum(session.dropped().values()) == 250 - len(kept.numbers)
    assert session.over


class Poser:
    """A resident that is driven by poses."""

    name = "stub"

    def pose(self, keypoints):
        return Seen({}, (0, 0, 8, 8))


class Posed:
    """A person whose pictures are of one grey."""

    background, body = None, Body((8, 8), None)

    def __init__(self, grey):
        self.resident, self.networks = Poser(), self
        self.grey, self.runtime, self.speeds, self.before = grey, "stub", {}, []

    def reset(self):
        pass

    def go_on_from(self, other):
        self.before.append(other.grey)

    def picture(self, seen, at):
        return np.full((8, 8, 3), self.grey, np.uint8)


class Greys:
    """A sink that keeps (number, grey)."""

    def __init__(self):
        self.shown = []

    def show(self, picture):
        self.shown.append((picture.number, int(picture.image[0, 0, 0])))

    def close(self):
        pass


def standing(frame):
    """A pose that walks by a hundredth of a pixel a frame."""
    found = np.zeros((137, 3), np.float32)
    for name, y in (("neck", 2), ("mid_hip", 5)):
        found[INDEX[name]] = (4 + frame.number / 100, y, 1)
    return found


def in_step(session, camera, sink, frames, first=0):
    """Gives frame after frame, each when the one before has been shown."""
    for number in range(first, first + frames):
        camera.put(number)
        # Nobody counts as there before the third frame.
        until(lambda n=number: n < 2 or sink.shown[-1:] and sink.shown[-1][0] == n)
        until(lambda: camera.slot._thing is None and session._posed._thing is None)


def test_what_is_left_out_is_counted():
    """In the stated order: hands and face, every second pose, the network."""
    camera, sink, asked = Camera(), Greys(), []
    large, small = Posed(200), Posed(50)

    def estimate(frame, detail):
        asked.append((frame.number, detail))
        return standing(frame)

    ways = (rungs.HANDS, rungs.EVERY_SECOND, rungs.SMALLER)
    ladder = Ladder(0.04, ways)
    ladder.note = lambda *_: None  # This test decides, not the clock.
    output = Output("kept", sink, lambda name, picture, now: None)
    session = Session(
        camera, [large], small, estimate, [output], ladder, Figures(), "none", False, "holistic"
    )
    with session.running():
        in_step(session, camera, sink, 6)
        assert [detail for _, detail in asked] == ["holistic"] * 6
        for count, rung in enumerate(ways):
            ladder.taken.append(rung)
            in_step(session, camera, sink, 6, 6 + 6 * count)
        ladder.taken.clear()
        in_step(session, camera, sink, 2, 24)
    # Left out stays left out while more is.
    assert [detail for number, detail in asked if 6 <= number < 24] == ["body"] * 12
    assert [number for number, _ in asked if 6 <= number < 12] == list(range(6, 12))
    numbers = [number for number, _ in asked if 12 <= number < 24]
    assert np.diff(numbers).tolist() == [2] * 5
    assert [grey for number, grey in sink.shown if number >= 2] == [200] * 16 + [50] * 6 + [200] * 2
    assert session.with_less == {
        rungs.HANDS.name: 12, rungs.EVERY_SECOND.name: 6, rungs.SMALLER.name: 6,
    }  # fmt: skip
    # The smaller network goes on from the large one's last picture, and back.
    assert small.before == [200] and large.before == [50]


def test_keys_change_the_run_without_a_gap():
    camera, sink = Camera(), Greys()
    ada, ben = Posed(10), Posed(90)
    output = Output("kept", sink, lambda name, picture, now: None)
    session = Session(
        camera, [ada, ben], None, lambda frame, _: standing(frame), [output], Ladder(0.04, ()),
        Figures(), "none", False,
    )  # fmt: skip
    with session.running():
        in_step(session, camera, sink, 8)
        for number, key in enumerate("29x1", 1):  # there is no ninth
            session.press(key)
            in_step(session, camera, sink, 4, 4 + 4 * number)
    greys = [grey for number, grey in sink.shown if number >= 2]
    assert greys == [10] * 6 + [90] * 12 + [10] * 4
    # A picture for every frame, each run's first after the other's last.
    assert [number for number, _ in sink.shown if number >= 2] == list(range(2, 24))
    assert ben.before == [10] and ada.before == [90] and session.measured_anew
