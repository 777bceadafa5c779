"""A small dataset of a drawn dancer, and another dancer's video to drive it."""

from pathlib import Path

import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.data import records

SIZE, FPS = 64, 25


def write_dataset(folder: Path, keypoints, frames, clips=None, **info) -> records.PoseFrames:
    """keypoints [N, 137, 3], frames uint8 [N, H, W, 3], clips: lengths."""
    height, width = frames.shape[1:3]
    lengths = clips or [len(frames)]
    numbers = np.repeat(np.arange(len(lengths)), lengths)
    pictures = {"pose_pictures": True} if info.pop("ready", False) else {}
    rows = (
        {
            "frame": frame, "keypoints": points, "face_box": np.zeros(4, np.float32),
            "clip": numbers[i], "index": i, "time": i / FPS,
            **({"pose_picture": frame} if pictures else {}),
        }
        for i, (points, frame) in enumerate(zip(keypoints, frames, strict=True))
    )  # fmt: skip
    pose = "png" if pictures else None
    count = records.write_shard(
        records.shard_path(folder, 0, 1), rows, height, width, "png", pose_picture=pose
    )
    ends = np.cumsum(lengths).tolist()
    made = records.DatasetInfo(
        height, width, tuple((n, 0, ends[n] - c, c) for n, c in enumerate(lengths)),
        sources=({"file": "drawn"},), picture="png", **info, **pictures,
    )  # fmt: skip
    records.finish_dataset(folder, made, [count])
    return records.open_dataset(folder)


@pytest.fixture(scope="session")
def dancer(tmp_path_factory) -> records.PoseFrames:
    """Ben, 60 frames of 64x64 in two clips of 40 and 20."""
    motion = puppet.dance(60, FPS, seed=0)
    ben = puppet.CHARACTERS["ben"]
    keypoints = puppet.pose(ben, motion, SIZE, SIZE)
    folder = tmp_path_factory.mktemp("retrieval") / "ben"
    folder.mkdir()
    return write_dataset(folder, keypoints, puppet.draw(ben, motion, SIZE, SIZE), [40, 20])


@pytest.fixture(scope="session")
def ada(tmp_path_factory) -> Path:
    """A folder with video.mp4 (12 frames of 64x64) and poses/ of another dancer."""
    folder = tmp_path_factory.mktemp("retrieval") / "ada"
    motion = puppet.dance(12, FPS, seed=1)
    puppet.make_video(folder, puppet.CHARACTERS["ada"], motion, SIZE, SIZE)
    return folder


@pytest.fixture(scope="session")
def write():
    return write_dataset
