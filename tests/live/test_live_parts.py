"""The parts of the live path, each by itself: slots, marks, what is left out, who is there."""

import threading

import av
import numpy as np
import pytest
from PIL import Image

from motion_jax.errors import UserError
from motion_jax.live import camera, marks, rungs
from motion_jax.live.presence import Presence
from motion_jax.live.rungs import Ladder
from motion_jax.live.session import beside, moved_on, scaled_width
from motion_jax.live.slot import Closed, Slot
from motion_jax.pose.skeleton import INDEX
from motion_jax.video.writer import VideoWriter


def test_a_slot_holds_the_newest():
    slot = Slot()
    for number in range(5):
        slot.put(number)
    assert slot.take() == 4 and slot.dropped == 4
    assert slot.take(0.01) is None
    slot.put(5)
    slot.close()
    assert slot.take() == 5
    with pytest.raises(Closed):
        slot.take()


def test_marks_are_read_after_scaling_and_compression(tmp_path):
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 255, (6, 8, 3), dtype=np.uint8))
    image = np.asarray(coarse.resize((320, 240)))
    path = tmp_path / "marked.mp4"
    numbers = [0, 1, 2, 77, 128, 200, 255, 256 + 5]
    width = scaled_width(240, 320, 256)
    with VideoWriter(path, 256, width + 256) as writer:
        for i, number in enumerate(numbers):
            marked = marks.draw(image, number)
            assert marks.read(marked) == number % marks.COUNT
            writer.write(beside(marked, np.zeros((128, 128, 3), np.uint8)), i / 25)
    with av.open(str(path)) as film:
        read = [marks.read(f.to_ndarray(format="rgb24"), width) for f in film.decode(video=0)]
    assert read == [number % marks.COUNT for number in numbers]
    assert marks.read(np.zeros((240, 320, 3), np.uint8)) is None


def test_what_is_left_out_and_comes_back_in_order():
    ladder = Ladder(0.04, (rungs.HANDS, rungs.EVERY_SECOND, rungs.SMALLER))
    now, changed = 0.0, []

    def work(seconds, pose, picture):
        nonlocal now
        for _ in range(round(seconds / 0.04)):
            now += 0.04
            for stage, spent in (("pose", pose), ("picture", picture)):
                rung = ladder.note(now, stage, spent)
                if rung is not None:
                    changed.append((rung, ladder.has(rung), now))

    work(10, 0.03, 0.03)
    assert not changed
    work(30, 0.06, 0.03)  # Poses are too slow: only what relieves them is left out.
    assert [(rung, taken) for rung, taken, _ in changed] == [
        (rungs.HANDS, True), (rungs.EVERY_SECOND, True),
    ]  # fmt: skip
    work(10, 0.03, 0.06)
    assert changed[-1][:2] == (rungs.SMALLER, True)
    work(60, 0.01, 0.01)
    assert [rung for rung, taken, _ in changed[3:]] == [
        rungs.SMALLER, rungs.EVERY_SECOND, rungs.HANDS,
    ]  # fmt: skip
    assert not ladder.taken
    times = [at for _, _, at in changed]
    assert min(np.diff(times)) >= rungs.REST
    assert [way for _, way, _ in ladder.changes] == ["down"] * 3 + ["up"] * 3


def pose(x=50.0, y=50.0):
    found = np.zeros((137, 3), np.float32)
    for name, point in (("neck", (x, y - 20)), ("mid_hip", (x, y))):
        found[INDEX[name]] = (*point, 1)
    return found


def test_comings_and_goings():
    presence, shown = Presence(), []
    for i in range(100):
        there = 10 <= i < 50 or i >= 80
        shown.append(presence.next(i / 25, pose() if there else None))
    states = [one.state for one in shown]
    assert states[:12] == ["wait"] * 12 and states[12] == "live"  # the third frame with a person
    assert shown[12].fresh and not any(one.fresh for one in shown[13:80])
    assert states[50:57] == ["coast"] * 7 and states[58:80] == ["lost"] * 22
    faded = [one.faded for one in shown]
    assert faded[0] == 1.0 and faded[30] == 0.0 and 0 < faded[62] < 1 and faded[75] == 1.0
    assert all(b >= a for a, b in zip(faded[50:79], faded[51:80], strict=True))
    # Back: the network begins anew, whoever it is is measured, and the picture fades in.
    assert states[80] == "live" and shown[80].fresh and shown[80].another
    assert 0 < faded[81] < 1 and faded[90] == 0.0
    assert [state for _, state in presence.changes] == ["live", "coast", "lost", "live"]


def test_a_jump_is_somebody_else():
    presence = Presence(first=1)
    for i in range(10):
        presence.next(i / 25, pose(50 + i))
    jumped = [presence.next((10 + i) / 25, pose(140)) for i in range(12)]
    assert jumped[0].state == "coast" and jumped[0].pose[INDEX["neck"], 0] < 100
    back = next(one for one in jumped if one.state == "live")
    assert back.another and back.fresh


def test_a_pose_is_moved_on_in_a_straight_line():
    before = [(0.0, pose(10)), (0.1, pose(20))]
    moved = moved_on(before, 0.15)
    np.testing.assert_allclose(moved[INDEX["neck"], :2], (25, 30))
    # Never farther than the last step.
    np.testing.assert_allclose(moved_on(before, 5.0)[INDEX["neck"], :2], (30, 30))


# --- cameras ------------------------------------------------------------------------------------


def a_film(folder, frames=10, fps=50):
    path = folder / "film.mp4"
    with VideoWriter(path, 32, 48) as writer:
        for i in range(frames):
            writer.write(np.full((32, 48, 3), 20 * i, np.uint8), i / fps)
    return path


def test_a_file_is_played_at_its_own_pace(tmp_path, monkeypatch):
    """On a clock of its own: frames come when they are due, late ones are passed over."""
    clock, end = [100.0], threading.Event()
    monkeypatch.setattr(camera.time, "monotonic", lambda: clock[0])

    class Waiting:
        def wait(self, seconds):
            clock[0] += seconds
            return False

        is_set = end.is_set

    source = camera.find(str(a_film(tmp_path)), repeat=True)
    assert source.fps == pytest.approx(50) and source.sound is None
    frames, got = source.frames(Waiting()), []
    for frame in frames:
        got.append(frame)
        if len(got) == 5:
            clock[0] += 0.1  # Whoever reads was held up for five frames.
        if len(got) == 16:
            break
    end.set()
    assert [frame.number for frame in got[:5]] == [0, 1, 2, 3, 4]
    assert got[5].number in (8, 9)  # at most one frame late
    assert [frame.index for frame in got[-5:]] == [frame.number % 10 for frame in got[-5:]]
    assert got[-1].number > 10  # It began again at its end.
    for frame in got:
        assert frame.taken == pytest.approx(100 + frame.number / 50, abs=2e-3)
        assert frame.time == pytest.approx(frame.number / 50, abs=2e-3)


def test_a_folder_that_grows(tmp_path):
    end, got = threading.Event(), []
    Image.new("RGB", (8, 6), (255, 0, 0)).save(tmp_path / "0.png")
    (tmp_path / "1.png").write_bytes(b"\x89PNG half written")
    for frame in camera.find(str(tmp_path)).frames(end):
        got.append(frame)
        if len(got) == 1:
            Image.new("RGB", (8, 6), (0, 255, 0)).save(tmp_path / "1.png")
        else:
            break
    assert [tuple(frame.image[0, 0]) for frame in got] == [(255, 0, 0), (0, 255, 0)]


def test_a_device_that_goes_away_and_comes_back(monkeypatch):
    monkeypatch.setattr(camera, "AGAIN", 0.001)
    opened, closed = [], []

    class Device:
        def __init__(self):
            opened.append(self)
            self.left = 2

        def read(self):
            self.left -= 1
            return np.zeros((4, 4, 3), np.uint8) if self.left >= 0 else None

    first, end = Device(), threading.Event()
    tries = iter([None, None, Device])

    def again():
        kind = next(tries)
        return kind and kind()

    frames = camera._reopening(first, again, Device.read, closed.append)
    got = []
    for frame in frames(end):
        got.append(frame.number)
        if len(got) == 4:
            end.set()
            break
    assert got == [0, 1, 2, 3] and len(opened) == 2 and closed[0] is first


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("nowhere.mp4", "neither the number of a camera nor a file"),
        ("93", "camera 93 cannot be opened: there is no such camera"),
        ("rtsp://127.0.0.1:1/x", "gives no pictures; check the address"),
    ],
)
def test_no_camera(text, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=sentence):
        camera.find(text)
