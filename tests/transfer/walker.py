"""Someone who walks, a run that draws instead of synthesizing, and a video to drive it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np

from motion_jax.config import Config
from motion_jax.pose.draw import PoseStyle
from motion_jax.pose.track import PoseTrack
from motion_jax.recipes.everybody_dance_now import EverybodyDanceNow, Stage
from motion_jax.train.run import Run
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

    def begin(self, seen):
        return iter(self.feed(seen))

    def feed(self, seen):
        keypoints = seen["keypoints"]
        self.shapes.append((keypoints.shape, seen["face_boxes"].shape))
        assert (keypoints[:, 0, 2] > 0).all(), "a frame without a pose was fed"
        pictures = np.zeros((len(keypoints), *self.size, 3), np.uint8)
        for picture, pose in zip(pictures, keypoints, strict=True):
            picture[:] = round(float(pose[0, 0])) * 4 + self.state
            self.state += 1
        return pictures


class Given(EverybodyDanceNow):
    """Of runs whose networks are never run: what is seen of moments are the moments."""

    recurrent = True

    def seen(self, moments):
        return moments


@dataclass(frozen=True, kw_only=True)
class FakeRun(Run):
    """Gives a FakeSynthesizer, and keeps how it was asked for it. See `fake_run`."""

    made: FakeSynthesizer
    asked: dict[str, Any] = field(default_factory=dict)

    checkpoint = "ab" * 16

    def synthesizer(self, recurrent=True, face=True, chunk=16, **settings):
        self.asked.update(recurrent=recurrent, face=face, chunk=chunk, **settings)
        return self.made


def fake_run(size=(64, 64), dataset=None, recipe=Given, made=FakeSynthesizer) -> FakeRun:
    """dataset: besides its path and size, what is known of it; recipe, made: classes."""
    stage = Stage(steps=1, height=size[0], width=size[1])
    return FakeRun(
        folder=Path("runs/my-run"),
        config=Config(recipe(pose_style=PoseStyle(stroke=2.0), global_stage=stage)),
        stage="global",
        step=1234,
        params={},
        dataset={"path": "data/fake", "info": {"height": 64, "width": 64}, **(dataset or {})},
        made=made(size),
    )


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
