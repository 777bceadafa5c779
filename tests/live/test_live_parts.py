"""The parts of the live path, each by itself: slots, marks, what is left out, who is there."""

import contextlib
import socket
import threading

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from motion_jax.errors import UserError
from motion_jax.live import calibration, camera, marks, outputs, rungs
from motion_jax.live.figures import Figures
from motion_jax.live.outputs import Picture, Window
from motion_jax.live.presence import Presence
from motion_jax.live.rungs import Ladder
from motion_jax.live.session import beside, moved_on, scaled_width
from motion_jax.live.slot import Closed, Slot
from motion_jax.live.whom import Whom
from motion_jax.pose.normalize import fit_target
from motion_jax.pose.skeleton import INDEX
from motion_jax.transfer.fit import Body, RunningFit
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


def test_two_outputs_are_not_twice_the_rate():
    figures = Figures()
    for i in range(50):
        for name, every in (("record", 1), ("page", 2)):
            if i % every == 0:
                figures.aged(name, i / 25, 0.05 * every)
    assert figures.rate(2.0) == figures.rate(2.0, 1.0) == pytest.approx(25)
    by_output = figures.by_output()
    assert by_output["page"]["fps"] == 12.5 and by_output["page"]["age_ms"]["p95"] == 100.0
    assert figures.ages()["most"] == 100.0


def test_a_window_shows_pictures_over_what_it_tells(monkeypatch):
    shown, aged = [], []
    for name, stub in (
        ("namedWindow", lambda *_: None),
        ("imshow", lambda _, image: shown.append(image)),
        ("waitKey", lambda _: ord("x") if shown else -1),
        ("destroyAllWindows", lambda: shown.append("closed")),
    ):
        monkeypatch.setattr(outputs.cv2, name, stub)
    window = Window(lambda *seen: aged.append(seen))
    assert window.turn(list) == "" and not shown and window.shown == 0
    picture = Picture(3, 1.0, 0.0, np.full((64, 64, 4), (250, 100, 0, 255), np.uint8))
    window.slot.put(picture)
    assert window.turn(lambda: ["25.0 frames/s, age 40 ms", "x measures anew"]) == "x"
    # Enlarged by whole pixels; nothing of it is covered.
    assert (shown[0][:512, :512] == (0, 100, 250)).all()
    band = shown[0][512:]
    assert band.shape[0] > 20 and band.max() > 150 and np.median(band) < 40
    assert aged[0][:2] == ("window", picture) and window.shown == 1
    window.close()
    assert shown[-1] == "closed"


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
            return (7.0, np.zeros((4, 4, 3), np.uint8)) if self.left >= 0 else None

    first, end = Device(), threading.Event()
    tries = iter([None, None, Device])

    def again():
        kind = next(tries)
        return kind and kind()

    frames = camera._reopening(first, again, Device.read, closed.append)
    got = []
    for frame in frames(end):
        got.append(frame.number)
        assert frame.taken == 7.0  # when it was grabbed, not when it was decoded
        if len(got) == 4:
            end.set()
            break
    assert got == [0, 1, 2, 3] and len(opened) == 2 and closed[0] is first


def test_a_stream_that_breaks_off_and_comes_back(tmp_path, monkeypatch):
    """A real one, by TCP: whoever sends goes away in the middle, and is there again later."""
    monkeypatch.setattr(camera, "AGAIN", 0.01)
    path, random = tmp_path / "sent.ts", np.random.default_rng(0)
    with av.open(str(path), "w") as film:
        video = film.add_stream("mpeg2video", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for _ in range(250):
            image = random.integers(0, 255, (48, 64, 3), np.uint8)
            film.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        film.mux(video.encode())
    accepted, end, got = [], threading.Event(), []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def send():
            for _ in range(2):
                connection, _ = listening.accept()
                accepted.append(len(got))
                with connection, contextlib.suppress(OSError):
                    connection.sendall(path.read_bytes())

        sender = threading.Thread(target=send)
        sender.start()
        source = camera.find(f"tcp://127.0.0.1:{listening.getsockname()[1]}")
        assert source.returns
        for frame in source.frames(end):
            got.append(frame)
            if len(accepted) == 2 and len(got) == accepted[1] + 5:
                end.set()
        sender.join()
    assert accepted[1] > 100 and len(got) == accepted[1] + 5
    assert [frame.number for frame in got] == list(range(len(got)))
    times = [frame.time for frame in got]
    assert times == sorted(times) and got[0].image.shape == (48, 64, 3)


def test_a_camera_by_its_name(monkeypatch):
    names = {0: "Integrated Webcam", 1: "Integrated Webcam", 4: "Capture card"}
    monkeypatch.setattr(camera, "_numbers", lambda: [*names, 5])
    monkeypatch.setattr(camera, "_name", lambda number: names.get(number, ""))
    monkeypatch.setattr(camera, "_device", lambda number: number)
    # Linux gives a camera several numbers, of which the first has the pictures.
    assert camera.find("webcam") == 0 and camera.find("Capture") == 4 and camera.find("4") == 4
    with pytest.raises(UserError, match=r"fits several cameras: 0 \(Integrated Webcam\)"):
        camera.find("ca")


def test_a_camera_that_is_there_and_does_not_open(monkeypatch):
    monkeypatch.setattr(camera.sys, "platform", "linux")
    monkeypatch.setattr(camera.Path, "exists", lambda self: True)
    for allowed, sentence in ((True, "another program uses it"), (False, "may not be read")):
        monkeypatch.setattr(camera.os, "access", lambda path, mode, allowed=allowed: allowed)
        with pytest.raises(UserError, match=f"camera 93 cannot be opened: .*{sentence}"):
            camera.find("93")


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("nowhere.mp4", "neither the number or name of a camera nor a file"),
        ("93", "camera 93 cannot be opened: there is no such camera; name another"),
        ("rtsp://127.0.0.1:1/x", "gives no pictures; check the address"),
    ],
)
def test_no_camera(text, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=sentence):
        camera.find(text)


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_cameras_are_listed(monkeypatch, platform, capsys):
    from motion_jax.live.command import live
    from motion_jax.live.options import LiveOptions

    class Device:
        def __init__(self, number):
            self.number = number

        def isOpened(self):
            return self.number == 2

        def get(self, of):
            return {cv2.CAP_PROP_FRAME_WIDTH: 640.0, cv2.CAP_PROP_FRAME_HEIGHT: 480.0}.get(of, 30.0)

        def release(self):
            pass

    monkeypatch.setattr(camera.sys, "platform", platform)
    monkeypatch.setattr(
        camera.Path, "glob", lambda *_: [camera.Path(f"/dev/video{n}") for n in (2, 10)]
    )
    monkeypatch.setattr(camera.cv2, "VideoCapture", Device)
    found = live(LiveOptions(list_cameras=True))["cameras"]
    assert len(found) == 1 and found[0].startswith("2  ")
    assert found[0].endswith("640x480, 30 frames/s")
    assert capsys.readouterr().out.strip() == found[0]


# --- people -------------------------------------------------------------------------------------


def whole(x, size=40.0):
    """A standing body of that height."""
    found = np.zeros((137, 3), np.float32)
    for i, name in enumerate(("nose", "neck", "mid_hip", "right_ankle", "left_ankle")):
        found[INDEX[name]] = (x + i % 2, 20 + size * i / 4, 1)
    return found


@pytest.mark.parametrize(
    "person, first", [("largest", 120), ("leftmost", 20), ("rightmost", 200), ("2", 120)]
)
def test_whom_it_follows(person, first):
    whom = Whom(person)
    for i in range(10):
        left, middle, right = 20 + i, 120 + 2 * i, 200 - 3 * i
        people = [whole(right), whole(left), whole(middle, 80.0)]
        seen = whom.next(people)
        wanted = {20: left, 120: middle, 200: right}[first]
        assert seen[INDEX["nose"], 0] == wanted
    # Gone: nobody else is taken for that person; back: the same again.
    others = [each for each in people if each[INDEX["nose"], 0] != wanted]
    assert whom.next(others) is None and whom.next([]) is None
    assert whom.next(people)[INDEX["nose"], 0] == wanted
    # Two in one place: it is a guess.
    assert whom.next([whole(wanted), whole(wanted)]) is None


def test_the_third_of_two_people_is_nobody():
    whom = Whom("3")
    assert whom.next([whole(20), whole(90)]) is None
    assert whom.next([whole(20), whole(90), whole(150)])[INDEX["nose"], 0] == 150
    with pytest.raises(UserError, match="person tallest is not a choice"):
        Whom("tallest")


def test_measures_are_kept_from_session_to_session(tmp_path):
    body = Body((100, 100), fit_target(np.stack([whole(50, 60.0)])), (100, 100))
    fit = RunningFit((240, 320), body)
    for i in range(40):
        laid = fit.next(i / 25, whole(150 + i, 90.0))
    path = tmp_path / "me.json"
    calibration.keep(path, fit)
    again = RunningFit((240, 320), body, known=calibration.read(path).of((240, 320)))
    np.testing.assert_array_equal(again.next(0.0, whole(189, 90.0)), laid)
    # Measured by its first frame alone, somebody who crouches would be made larger.
    crouched = again.next(0.1, whole(150, 45.0))
    alone = RunningFit((240, 320), body).next(0.1, whole(150, 45.0))
    assert np.ptp(crouched[:15, 1]) < 0.8 * np.ptp(alone[:15, 1])
    with pytest.raises(UserError, match="measured in frames of 320x240"):
        calibration.read(path).of((480, 640))
    path.write_text("{}")
    with pytest.raises(UserError, match="holds no measures"):
        calibration.read(path)
    assert calibration.read(tmp_path / "none.json") is None
    calibration.keep(tmp_path / "none.json", RunningFit((240, 320), body))
    assert not (tmp_path / "none.json").exists()


def test_one_dance_at_two_sizes_is_one_dance():
    """Somebody far from the camera and somebody near it are drawn alike, once they were measured:
    joints within 3 % of the picture's height."""
    body = Body((256, 256), fit_target(np.stack([whole(120, 180.0)])), (256, 256))
    drawn = []
    for scale in (0.6, 1.3):
        fit, laid = RunningFit((480, 640), body), []
        for i in range(100):
            sway = 10 * np.sin(i / 7)
            pose = whole(240 + sway, 200.0)
            pose[INDEX["nose"], :2] += (3 * np.cos(i / 5), 4)
            pose[:, :2] = (pose[:, :2] - (240, 220)) * scale + (300, 220)
            pose[pose[:, 2] == 0] = 0
            laid.append(fit.next(i / 25, pose))
        drawn.append(np.stack(laid[50:]))
    seen = drawn[0][..., 2] > 0
    apart = np.linalg.norm((drawn[0] - drawn[1])[..., :2], axis=-1)[seen]
    assert seen.any() and apart.mean() < 0.03 * 256
