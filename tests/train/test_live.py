"""The whole live path with a tiny run: what it shows is what transfer writes."""

import json
import shutil
import sys
import threading
import time
import types
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from motion_jax.config import Config, Data, Record
from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError
from motion_jax.events import Said, StopToken
from motion_jax.live import camera, graphs, marks
from motion_jax.live.command import live
from motion_jax.live.options import LiveOptions
from motion_jax.live.quantise import int8_models
from motion_jax.live.session import scaled_width
from motion_jax.train.loop import train
from motion_jax.train.run import load_run
from motion_jax.transfer.command import prepared
from motion_jax.transfer.options import TransferOptions
from motion_jax.transfer.player import Networks
from motion_jax.transfer.source import Moment
from motion_jax.video.reader import read_frames
from motion_jax.video.writer import VideoWriter

FRAMES, FPS = 20, 10
PATHS = ("record", "smaller", "calibration")


@pytest.fixture(scope="module")
def source(tmp_path_factory, dataset):
    """(video, folder of poses): the dataset's dancer, absent in the middle."""
    folder, data = tmp_path_factory.mktemp("camera"), open_dataset(dataset)
    with VideoWriter(folder / "camera.mp4", 96, 96) as writer:
        for i in range(FRAMES):
            frame = np.repeat(np.repeat(data[i]["frame"], 3, 0), 3, 1)
            writer.write(frame, i / FPS)
    (folder / "poses").mkdir()
    for i, pose in enumerate(data.keypoints()[:FRAMES]):
        points = (pose[:25] * [3, 3, 1]).astype(float)
        people = [{"pose_keypoints_2d": points.ravel().tolist()}] if not 8 <= i < 14 else []
        (folder / "poses" / f"{i:03d}_keypoints.json").write_text(json.dumps({"people": people}))
    return folder / "camera.mp4", folder / "poses"


@pytest.fixture(scope="module")
def plated(tmp_path_factory, dataset, config):
    """A run with a background plate, without a face stage."""
    folder = tmp_path_factory.mktemp("plated") / "run"
    stage = replace(config.recipe.global_stage, steps=1, decay_steps=0, height=32, width=32)
    none = replace(stage, steps=0)
    recipe = replace(
        config.recipe, global_stage=stage, local_stage=none, face_stage=none, background="plate"
    )
    record = Record(sample_every=100, sample_seconds=0.1, trace=False)
    train(Config(recipe=recipe, data=Data(holdout=0.25), record=record), dataset, folder)
    return folder


class Kept:
    """A sink that keeps what it is shown."""

    def __init__(self):
        self.pictures, self.closed = [], False

    def show(self, picture):
        self.pictures.append(picture)

    def close(self):
        self.closed = True


@pytest.fixture
def in_step(monkeypatch):
    """A file camera that waits for each picture, so that no frame is passed over, however slow the
    machine is; gives the sink that it waits for."""
    kept = Kept()

    def find(text, repeat=False):
        def frames(end):
            begun = time.monotonic()
            for shot in read_frames(Path(text)):
                taken = time.monotonic()
                yield camera.Frame(shot.index, shot.index, taken, shot.time, shot.image)
                while not (kept.pictures and kept.pictures[-1].number == shot.index):
                    assert time.monotonic() - begun < 300
                    if end.wait(0.002):
                        return

        return camera.Source(frames, FPS, Path(text).name)

    monkeypatch.setattr("motion_jax.live.command.find", find)
    return kept


def test_live_shows_the_pictures_that_transfer_writes(trained, source, tmp_path, in_step):
    """With jax, bit for bit."""
    film, poses = source
    options = LiveOptions(
        run=(trained,), camera=str(film), poses=poses, normalize="none", smooth=False,
        runtime="jax", degrade=False, stats=tmp_path / "s.json", record=tmp_path / "out.mp4",
    )  # fmt: skip
    said: list = []
    found = live(options, more=in_step, observer=said.append)
    # Compiling takes long, so that it is said before it begins.
    first, second, *_ = [event.message for event in said if isinstance(event, Said)]
    assert first.endswith("; compiling the network ...") and "a picture takes" in second
    driven = prepared(
        TransferOptions(
            source=film, out=tmp_path / "t.mp4", run=trained, poses=poses, normalize="none",
            smooth=False, swaps=False, bones=False, chunk=1,
        )
    )  # fmt: skip
    moments = list(driven.moments)
    assert [picture.number for picture in in_step.pictures] == list(range(FRAMES))
    # Somebody counts as there from the third frame on, and is faded in by the fifth.
    networks = Networks(load_run(trained), chunk=1)
    for number in range(2, 8):
        moment = Moment(0.0, moments[number].shown)
        expected = next(iter(networks.begin([moment])))
        if number >= 4:
            np.testing.assert_array_equal(in_step.pictures[number].image, expected)
    # The figures, as the command promises them.
    assert json.loads((tmp_path / "s.json").read_text()) == json.loads(json.dumps(found))
    assert {"fps", "age_ms", "dropped", "stages"} <= set(found)
    assert {"p50", "p95", "p99"} <= set(found["age_ms"])
    assert set(found["stages"]) >= {"pose", "picture"} and in_step.closed
    assert found["frames"]["camera"] == FRAMES and found["dropped"]["pose"] == 0
    shots = list(read_frames(tmp_path / "out.mp4"))
    times = [shot.time for shot in shots]
    assert times == sorted(times) and len(shots) == found["frames"]["record"]


def test_nobody_is_there(plated, source, in_step, tmp_path):
    """Never the camera's picture: the plate before and after, and the person fades out."""
    film, poses = source
    options = LiveOptions(
        run=(plated,), camera=str(film), poses=poses, normalize="none", runtime="jax",
        side_by_side=True, marks=True, record=tmp_path / "out.mp4",
    )  # fmt: skip
    found = live(options, more=in_step)
    # In the film that was written each frame is later than the one before.
    shots = list(read_frames(options.record))
    numbers = [marks.read(shot.image, scaled_width(96, 96, 192)) for shot in shots]
    assert numbers == sorted(set(numbers)) and len(numbers) == found["frames"]["record"] > 10
    plate = load_run(plated).plates[0]
    # Side by side, small pictures are six times enlarged.
    results = [picture.image[::6, -192::6] for picture in in_step.pictures]
    np.testing.assert_array_equal(results[0], plate)
    assert [state for _, state in found["states"]] == ["live", "coast", "lost", "live"]
    assert (results[6] != plate).any()
    for picture in in_step.pictures:
        result, shown = picture.image[:, -192:].astype(int), picture.image[:, :192].astype(int)
        assert np.abs(result - shown).mean() > 1
    # Read from the pictures that were shown, not reckoned.
    assert found["marks_misread"] == 0 and found["age_by_marks_ms"] == found["age_ms"]


def test_a_window_alone_is_measured_and_hears_keys(plated, source, monkeypatch):
    """What the window shows counts, and its keys reach the session; q ends it."""
    film, poses = source
    shown = []
    keys = {4: "2", 6: "1", 8: "q"}
    monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "destroyWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)
    monkeypatch.setattr(cv2, "imshow", lambda _, image: shown.append(image))
    monkeypatch.setattr(cv2, "waitKey", lambda _: ord(keys.pop(len(shown), "\xff")))
    monkeypatch.setenv("DISPLAY", ":0")
    options = LiveOptions(
        run=(plated, plated), camera=str(film), poses=poses, normalize="none", runtime="jax",
        seconds=60.0,
    )  # fmt: skip
    found = live(options)
    assert found["frames"]["window"] == len(shown) >= 8 and not keys and found["seconds"] < 60
    assert set(found["outputs"]) == {"window"} and found["outputs"]["window"]["age_ms"]["p99"] > 0
    assert found["fps"] == found["outputs"]["window"]["fps"] > 0
    assert all(image.shape[0] > image.shape[1] for image in shown)  # over lines of text


def test_the_process_of_poses_ends(plated, source, tmp_path, monkeypatch, capsys):
    """Once: the session goes on and says so. Twice: one sentence, and the film can be watched."""
    film, _ = source

    class Watcher:
        restarts, count = 0, 0

        def __init__(self, detail, model):
            assert detail == "body"

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def look(self, image, time, detail=None):
            self.count += 1
            if self.count == 6:
                self.restarts = 1
            if self.count == 12:
                raise UserError("The process that estimates poses ended twice; look why.")
            wait.wait(0.05)
            pose = np.zeros((137, 3), np.float32)
            pose[:25] = (48, 40, 1)
            pose[:25, 1] += np.arange(25)
            return pose

    wait = threading.Event()
    monkeypatch.setattr("motion_jax.live.command.Watcher", Watcher)
    options = LiveOptions(
        run=(plated,), camera=str(film), normalize="none", runtime="jax", window=False,
        record=tmp_path / "out.mp4", seconds=60.0,
    )  # fmt: skip
    with pytest.raises(UserError, match="ended twice"):
        live(options)
    assert "it was started again" in capsys.readouterr().err
    assert list(read_frames(tmp_path / "out.mp4"))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_other_runtimes_give_the_same_pixels(trained, plated, dataset, name):
    """Within one level in 255, over a whole closed loop; face stage and plate included."""
    pytest.importorskip("onnx")
    pytest.importorskip(name)
    data = open_dataset(dataset)
    for folder in (trained, plated):
        run = load_run(folder)
        made = {}
        for kind in ("jax", name):
            around = {} if kind == "jax" else {"around": graphs.Elsewhere(run, name)}
            networks = Networks(run, chunk=1, **around)
            made[kind] = [
                next(iter(networks.begin([Moment(0.0, shown)]))).astype(int)
                for shown in (
                    {"keypoints": data.keypoints()[i], "face_boxes": data.face_boxes()[i]}
                    for i in range(6)
                )
            ]
        difference = np.abs(np.stack(made["jax"]) - np.stack(made[name]))
        assert difference.max() <= 1
        assert np.std(made["jax"]) > 1


def test_int8_is_measured_once_and_near(plated, dataset, tmp_path):
    pytest.importorskip("nncf")
    pytest.importorskip("openvino")
    folder = tmp_path / "run"
    shutil.copytree(plated, folder)
    described = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(described | {"path": str(dataset)}))
    run, data = load_run(folder), open_dataset(dataset)
    made = int8_models(run, frames=12)
    [path] = made.values()
    assert path.parent == folder / "openvino" and path.with_suffix(".bin").is_file()
    before = path.stat().st_mtime_ns
    assert int8_models(run) == made and path.stat().st_mtime_ns == before
    pictures = {}
    for precision, models in (("float32", None), ("int8", made)):
        networks = Networks(
            run, chunk=1, around=graphs.Elsewhere(run, "openvino", precision, models)
        )
        shown = [
            {"keypoints": data.keypoints()[i], "face_boxes": data.face_boxes()[i]} for i in range(6)
        ]
        pictures[precision] = np.stack(
            [next(iter(networks.begin([Moment(0.0, each)]))).astype(int) for each in shown]
        )
    difference = np.abs(pictures["int8"] - pictures["float32"])
    # Pictures of a network that learned for a moment are noise, whose spread is about 60.
    assert difference.max() > 0 and difference.mean() < 10
    # Another checkpoint's scales are not taken.
    about = json.loads((folder / "openvino" / "int8.json").read_text())
    assert about["checkpoint"] == run.checkpoint


def test_runs_are_switched_and_live_ends_when_it_is_told(trained, plated, source, tmp_path):
    film, poses = source
    stop = StopToken()

    class Stopping(Kept):
        def show(self, picture):
            super().show(picture)
            if len(self.pictures) == 3:
                stop.stop()

    kept = Stopping()
    options = LiveOptions(
        run=(plated, plated), camera=str(film), poses=poses, normalize="none", runtime="jax",
        seconds=60.0, virtual_camera=True,
    )  # fmt: skip
    sent = []

    class Camera:
        def __init__(self, width, height, fps):
            assert (width, height) == (32, 32) and fps == pytest.approx(FPS)

        def send(self, picture):
            sent.append(picture.shape)

        def close(self):
            sent.append("closed")

    sys.modules["pyvirtualcam"] = types.SimpleNamespace(Camera=Camera)
    try:
        found = live(options, stop=stop, more=kept)
    finally:
        del sys.modules["pyvirtualcam"]
    assert found["seconds"] < 30
    assert sent[0] == (32, 32, 3) and sent[-1] == "closed"


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"run": ()}, "Say who is to move"),
        ({"camera": "nowhere.mp4"}, "neither the number or name of a camera"),
        ({"seconds": 0.0}, "seconds 0 is not above 0"),
        ({"record": "out.avi"}, "does not end in .mp4"),
        ({"marks": True}, "add side_by_side"),
        ({"lost": "plate"}, "needs a run with a background plate"),
        ({"precision": "bfloat16", "runtime": "jax"}, "only with runtime openvino"),
        ({"virtual_camera": True}, "pip install pyvirtualcam"),
        ({"background": "green"}, "draws the person apart"),
        ({"window": True}, "no screen, or OpenCV without windows"),
        ({"smaller": "other"}, "is not a run directory"),
        ({"method": "nearest"}, "two ways to the pictures"),
        ({"method": "nearest", "run": ()}, "needs the target's dataset"),
        ({"person": "tallest"}, "person tallest is not a choice"),
        ({"person": "2", "detail": "holistic"}, "looks at bodies alone"),
        ({"ready_poses": True}, "is for runs that are driven by estimated poses"),
        ({"calibration": "me.json"}, "has no use with normalize none"),
        ({"precision": "int8", "runtime": "onnxruntime"}, "only with runtime openvino"),
    ],
)
def test_bad_input(trained, source, tmp_path, options, sentence, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    paths = {name: tmp_path / options[name] for name in PATHS if name in options}
    given = {
        "run": (trained,), "camera": str(source[0]), "poses": source[1], "normalize": "none",
        "runtime": "jax", "window": False, **options, **paths,
    }  # fmt: skip
    with pytest.raises(UserError, match=sentence):
        live(LiveOptions(**given))
    assert not list(tmp_path.glob("*.mp4"))
