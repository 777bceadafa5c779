"""Transfer: chunks, gaps, times, sound and tags, with a run that draws instead of synthesizing."""

import sys
import types
from pathlib import Path

import av
import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.pose.draw import PoseStyle
from motion_jax.pose.track import PoseTrack
from motion_jax.transfer import command as module
from motion_jax.transfer.command import TransferOptions, normalised_poses, synthesize, transfer
from motion_jax.video.reader import frame_times, probe, read_frames
from motion_jax.video.writer import VideoWriter

SOURCE_SIZE = (96, 128)
# Shoulders, hips, knees, ankles, ... of someone standing, as shares of the frame's height.
BODY = np.array(
    [[0.5, 0.15], [0.5, 0.25], [0.42, 0.25], [0.38, 0.4], [0.36, 0.52], [0.58, 0.25], [0.62, 0.4],
     [0.64, 0.52], [0.5, 0.52], [0.45, 0.52], [0.44, 0.7], [0.44, 0.88], [0.55, 0.52], [0.56, 0.7],
     [0.56, 0.88], [0.48, 0.13], [0.52, 0.13], [0.46, 0.14], [0.54, 0.14], [0.58, 0.92],
     [0.59, 0.92], [0.55, 0.9], [0.42, 0.92], [0.41, 0.92], [0.45, 0.9]], np.float32,
)  # fmt: skip


class FakeSynthesizer:
    """Keeps what it was fed; a picture is grey, as bright as the nose's x times 4 plus the number
    of the frame since the last reset."""

    def __init__(self, size):
        self.size, self.shapes, self.resets, self.state = size, [], 0, None

    def reset(self):
        self.resets, self.state = self.resets + 1, 0

    def begin(self, keypoints, face_boxes=None):
        seen = keypoints if face_boxes is None else (keypoints, face_boxes)
        return iter(self.feed(*seen))

    def feed(self, keypoints, face_boxes):
        self.shapes.append((keypoints.shape, face_boxes.shape))
        assert (keypoints[:, 0, 2] > 0).all(), "a frame without a pose was fed"
        pictures = np.zeros((len(keypoints), *self.size, 3), np.uint8)
        for picture, pose in zip(pictures, keypoints, strict=True):
            picture[:] = round(float(pose[0, 0])) * 4 + self.state
            self.state += 1
        return pictures


class FakeRun:
    step, checkpoint, size = 1234, "ab" * 16, (64, 64)
    config = types.SimpleNamespace(
        recipe=types.SimpleNamespace(
            pose_style=PoseStyle(stroke=2.0),
            shows=("poses",),
            recurrent=True,
            seen=lambda moments: (moments["keypoints"], moments["face_boxes"]),
        )
    )

    def __init__(self):
        self.dataset = {"info": {"height": 64, "width": 64}}
        self.made = FakeSynthesizer(self.size)

    def tested(self, **changes):
        assert not any(changes.values())
        return self

    def synthesizer(self, recurrent=True, face=True, chunk=16):
        self.asked = {"recurrent": recurrent, "face": face, "chunk": chunk}
        return self.made


def a_track(times: np.ndarray, lost=(), size=SOURCE_SIZE) -> PoseTrack:
    """Someone who walks to the right, one source pixel a frame."""
    keypoints = np.zeros((len(times), 137, 3), np.float32)
    keypoints[:, :25, :2] = BODY * size[0]
    keypoints[:, :25, 0] += np.arange(len(times))[:, None]
    keypoints[:, :25, 2] = 0.9
    reasons = [""] * len(times)
    for i in lost:
        keypoints[i], reasons[i] = 0, "no person"
    return PoseTrack(keypoints, np.asarray(times, np.float64), size, tuple(reasons))


def a_source(folder: Path, times: np.ndarray, sound: bool = True) -> Path:
    voice = folder / "voice.wav"
    if sound:
        with av.open(str(voice), "w") as container:
            stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
            wave = (np.sin(np.arange(16000 * 3) * 0.2) * 9000).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
            frame.rate = 16000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    path = folder / "source.mp4"
    with VideoWriter(path, *SOURCE_SIZE, audio_from=voice if sound else None) as writer:
        for i, time in enumerate(times):
            writer.write(np.full((*SOURCE_SIZE, 3), 5 * i % 250, np.uint8), time)
    return path


@pytest.fixture
def run(monkeypatch):
    """A run that load_run gives."""
    made = FakeRun()
    fake = types.ModuleType("motion_jax.train.run")
    fake.load_run = lambda folder, step: made
    monkeypatch.setitem(sys.modules, "motion_jax.train.run", fake)
    return made


@pytest.fixture
def estimated(monkeypatch):
    """Poses come from this list instead of MediaPipe: set estimated["lost"]."""
    given = {"lost": ()}

    def estimate_cached(path, *, detail, person, model, start, end, fps):
        given["asked"] = {"detail": detail, "person": person, "model": model}
        return a_track(frame_times(path, start=start, end=end, fps=fps), given["lost"])

    fake = types.ModuleType("motion_jax.pose.estimate")
    fake.estimate_cached = estimate_cached
    monkeypatch.setitem(sys.modules, "motion_jax.pose.estimate", fake)
    return given


IRREGULAR = np.cumsum([0.0] + [0.04, 0.0331, 0.1, 0.02, 0.0333] * 4)[:19]


def options(tmp_path, source, **others) -> TransferOptions:
    return TransferOptions(
        run=tmp_path / "my-run", source=source, out=tmp_path / "out" / "result.mp4",
        normalize="none", smooth=False, chunk=8, **others,
    )  # fmt: skip


def test_times_sound_tags_and_chunks(tmp_path, run, estimated):
    source = a_source(tmp_path, IRREGULAR)
    out = transfer(options(tmp_path, source))
    np.testing.assert_allclose(frame_times(out), IRREGULAR, atol=1e-3)
    info = probe(out)
    assert (info.height, info.width, info.has_audio) == (64, 64, True)
    assert info.duration == pytest.approx(IRREGULAR[-1] + np.diff(IRREGULAR)[-1], abs=0.01)
    expected = [((n, 137, 3), (n, 4)) for n in (8, 8, 3)]
    assert run.made.shapes == expected, "19 frames: two whole chunks of 8, and none made in vain"
    assert run.asked == {"recurrent": True, "face": True, "chunk": 8}
    # The nose starts at x = 0.5 * 96 in a frame 128 wide, which is scaled to 64.
    seen = [frame.image.mean() for frame in read_frames(out)]
    expected = [round((48 + i) / 2) * 4 + i for i in range(19)]
    np.testing.assert_allclose(seen, expected, atol=2)
    with av.open(str(out)) as container:
        tags = dict(container.metadata)
    assert "synthetic" in tags["comment"].lower() and "AI-generated" in tags["comment"]
    assert tags["motion_jax_run"] == "my-run"
    assert tags["motion_jax_step"] == "1234"
    assert tags["motion_jax_checkpoint"] == run.checkpoint
    assert tags["motion_jax_synthetic"] == "true"
    assert str(tmp_path) not in str(tags)
    assert [file.name for file in out.parent.iterdir()] == ["result.mp4"]


def test_each_frame_by_itself_and_without_the_face_stage(tmp_path, run, estimated):
    transfer(options(tmp_path, a_source(tmp_path, IRREGULAR), recurrent=False, face=False))
    assert run.asked == {"recurrent": False, "face": False, "chunk": 8}


def test_the_result_does_not_depend_on_the_chunk():
    track = a_track(np.arange(11) / 25, lost=(4, 5))
    keypoints, boxes, lost = normalised_poses(track, FakeRun(), "none")
    results = []
    for chunk in (1, 3, 16):
        made = FakeSynthesizer((4, 4))
        results.append(np.stack(list(synthesize(made, keypoints, boxes, lost, track.times, chunk))))
        given = [shape[0][0] for shape in made.shapes]
        assert max(given) <= chunk and sum(given) == 9, "each frame with a pose once"
        assert made.resets == 2
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_memory_is_two_chunks():
    """While the pictures of a chunk are given, the next one is being made, and no more."""
    track = a_track(np.arange(9) / 25)
    keypoints, boxes, lost = normalised_poses(track, FakeRun(), "none")
    made = FakeSynthesizer((4, 4))
    pictures = synthesize(made, keypoints, boxes, lost, track.times, 4)
    counts = []
    for _ in pictures:
        counts.append(len(made.shapes))
    assert counts == [2, 2, 2, 2, 3, 3, 3, 3, 3]


def test_gaps_are_held():
    track = a_track(np.arange(12) / 25, lost=(0, 1, 5, 6, 7, 11))
    keypoints, boxes, lost = normalised_poses(track, FakeRun(), "none")
    np.testing.assert_array_equal(np.flatnonzero(lost), [0, 1, 5, 6, 7, 11])
    assert not keypoints[lost].any() and not boxes[lost].any()
    assert boxes[~lost].any(axis=1).all()
    seen = np.stack(
        list(synthesize(FakeSynthesizer((4, 4)), keypoints, boxes, lost, track.times, 8))
    )[:, 0, 0, 0]
    assert seen[0] == seen[1] == seen[2], "before the first pose: the first picture"
    assert seen[5] == seen[6] == seen[7] == seen[4]
    assert seen[11] == seen[10]
    assert len(set(seen[[2, 3, 4, 8, 9, 10]])) == 6


def test_gaps_are_faded():
    class Checkered(FakeSynthesizer):
        def feed(self, keypoints, face_boxes):
            pictures = np.zeros((len(keypoints), 4, 4, 3), np.uint8)
            pictures[:, :2] = 200
            return pictures

    times = np.arange(60) / 25
    track = a_track(times, lost=range(10, 50))
    keypoints, boxes, lost = normalised_poses(track, FakeRun(), "none")
    args = (keypoints, boxes, lost, times, 8)
    seen = np.stack(list(synthesize(Checkered((4, 4)), *args, gaps="fade"))).astype(int)
    contrast = seen[:, 0, 0, 0] - seen[:, 3, 0, 0]
    assert (contrast[:10] == 200).all() and (contrast[50:] == 200).all()
    assert (np.diff(contrast[9:23]) <= 0).all() and (np.diff(contrast[37:51]) >= 0).all()
    assert (contrast[23:37] == 0).all(), "nothing but the mean colour half a second into the gap"
    assert (seen[30] == 100).all()


def test_short_gaps_are_filled(tmp_path, run, estimated):
    source = a_source(tmp_path, np.arange(20) / 25, sound=False)
    estimated["lost"] = (7, 8)
    transfer(options(tmp_path, source, max_gap=3))
    assert run.made.resets == 1
    run.made = FakeSynthesizer(run.size)
    transfer(options(tmp_path, source, max_gap=1))
    assert run.made.resets == 2


def test_start_end_and_fps(tmp_path, run, estimated):
    source = a_source(tmp_path, np.arange(50) / 25)
    out = transfer(options(tmp_path, source, start=0.5, end=1.5, fps=10, audio="drop"))
    np.testing.assert_allclose(frame_times(out), np.arange(10) / 10, atol=1e-3)
    assert not probe(out).has_audio


def test_side_by_side(tmp_path, run, estimated):
    source = a_source(tmp_path, np.arange(10) / 25, sound=False)
    out = transfer(options(tmp_path, source, side_by_side=True))
    info = probe(out)
    assert info.width > 3 * info.height / 2 and info.height % 2 == 0 and info.width % 2 == 0
    frames = list(read_frames(out))
    assert len(frames) == 10
    # Left the source's grey, right the synthesizer's, between them the pose on white.
    height, width = frames[8].image.shape[:2]
    assert abs(frames[8].image[-40:, 20:100].mean() - 40) < 3
    expected = round((48 + 8) / 2) * 4 + 8
    assert abs(frames[8].image[-40:, width - 100 : width - 20].mean() - expected) < 3
    middle = frames[8].image[-180:, width - 380 : width - 220]
    assert (middle > 240).mean() > 0.5 and (middle < 200).mean() > 0.01


def test_nobody_in_the_source(tmp_path, run, estimated):
    source = a_source(tmp_path, np.arange(5) / 25, sound=False)
    estimated["lost"] = range(5)
    with pytest.raises(UserError, match=r"No person.*source\.mp4.*no person"):
        transfer(options(tmp_path, source))
    assert not (tmp_path / "out").exists()


def test_source_shorter_than_needed(tmp_path, run, estimated):
    source = a_source(tmp_path, np.arange(5) / 25, sound=False)
    with pytest.raises(UserError, match=r"shorter than needed.*--start 7"):
        transfer(options(tmp_path, source, start=7.0))
    assert not (tmp_path / "out").exists()


def test_out_not_writable(tmp_path, run, estimated):
    source = a_source(tmp_path, np.arange(5) / 25, sound=False)
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="out"):
        transfer(options(tmp_path, source))
    assert run.made.shapes == [], "found out before any work"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out", "source.mp4"]


def test_a_failure_leaves_nothing(tmp_path, run, estimated, monkeypatch):
    source = a_source(tmp_path, np.arange(30) / 25, sound=False)
    feed = run.made.feed

    def failing(keypoints, boxes):
        if len(run.made.shapes) == 2:
            raise UserError("The disk is full: x could not be written; free some space.")
        return feed(keypoints, boxes)

    monkeypatch.setattr(run.made, "feed", failing)
    with pytest.raises(UserError, match="disk is full"):
        transfer(options(tmp_path, source))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"out": Path("x.avi")}, r"x\.avi does not end in \.mp4"),
        ({"chunk": 0}, "--chunk 0"),
        ({"max_gap": -1}, "--max-gap -1"),
    ],
)
def test_senseless_options(tmp_path, run, change, message):
    import dataclasses

    chosen = dataclasses.replace(options(tmp_path, tmp_path / "source.mp4"), **change)
    with pytest.raises(UserError, match=message):
        transfer(chosen)


def test_source_that_is_no_video(tmp_path, run):
    text = tmp_path / "source.mp4"
    text.write_text("not a film " * 30)
    with pytest.raises(UserError, match="not a video"):
        transfer(options(tmp_path, text))
    with pytest.raises(UserError, match="no file"):
        transfer(options(tmp_path, tmp_path / "absent.mp4"))
    assert not (tmp_path / "out").exists()


def test_without_normalisation_the_frame_is_fitted_undistorted():
    track = a_track(np.arange(2) / 25, size=(100, 50))
    run = FakeRun()
    run.size = (200, 300)
    keypoints, boxes, lost = normalised_poses(track, run, "none")
    assert not lost.any() and keypoints.dtype == np.float32 and boxes.shape == (2, 4)
    nose = track.keypoints[0, 0]
    np.testing.assert_allclose(keypoints[0, 0], [nose[0] * 2 + 100, nose[1] * 2, 0.9], rtol=1e-5)
    assert not keypoints[:, 25:].any()


@pytest.mark.parametrize("method", ["global", "limbs"])
def test_normalised_to_the_target_in_pixels_of_the_run(method):
    """A target twice as tall, standing elsewhere, in a dataset of another size than the run's."""
    from motion_jax.pose.normalize import fit_target

    times = np.arange(30) / 25
    source = a_track(times, lost=(3,))
    target = a_track(times, size=(192, 256))
    target.keypoints[..., 0] += 20 * (target.keypoints[..., 2] > 0)
    run = FakeRun()
    run.size = (96, 128)
    run.dataset = {
        "info": {"height": 192, "width": 256},
        "target_statistics": fit_target(target.keypoints).to_json(),
    }
    keypoints, boxes, lost = normalised_poses(source, run, method)
    np.testing.assert_array_equal(np.flatnonzero(lost), [3])
    assert not keypoints[3].any()
    # The target in the run's pixels: half the dataset's. Its heights are the source's own.
    goal = target.keypoints[15] / [2, 2, 1]
    np.testing.assert_allclose(keypoints[15, :25, 1], goal[:25, 1], atol=1.0)
    median = np.median(target.keypoints[:, 8, 0]) / 2
    assert abs(np.median(keypoints[~lost, 8, 0]) - median) < 1.0
    assert (boxes[~lost, 2] - boxes[~lost, 0] == 24).all(), "a quarter of the run's height"


def test_a_run_on_crops_is_the_middle_of_its_dataset():
    """Trained on 64x64 pieces of 96x80 frames: the same scale, shifted by half of what is cut."""
    from motion_jax.pose.normalize import fit_target

    source, run = a_track(np.arange(20) / 25), FakeRun()
    target = a_track(np.arange(20) / 25, size=(80, 96))
    run.dataset = {
        "info": {"height": 80, "width": 96},
        "target_statistics": fit_target(target.keypoints).to_json(),
    }
    run.size = (80, 96)
    whole, _, _ = normalised_poses(source, run)
    run.size, run.dataset["crop"] = (64, 64), True
    piece, _, _ = normalised_poses(source, run)
    np.testing.assert_allclose(piece[:, :25, :2], whole[:, :25, :2] - [16, 8], atol=1e-3)


def test_a_run_of_another_version(tmp_path, run, estimated):
    import dataclasses

    run.dataset = {"info": {"height": 64, "width": 64}, "target_statistics": {"height": 3}}
    source = a_source(tmp_path, np.arange(5) / 25, sound=False)
    chosen = dataclasses.replace(options(tmp_path, source), normalize="global")
    with pytest.raises(UserError, match=r"dataset\.json.*--normalize none"):
        transfer(chosen)
    assert not (tmp_path / "out").exists()


def test_the_options_are_documented():
    import dataclasses
    import inspect

    text = inspect.getsource(module.TransferOptions)
    for field in dataclasses.fields(TransferOptions):
        after = text.split(f"    {field.name}: ")[1].split("\n")[1]
        assert after.strip().startswith('"""'), f"{field.name} has no help text"
