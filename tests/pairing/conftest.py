"""Two small datasets of two people whose poses are partly the same."""

from pathlib import Path

import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.data import records
from motion_jax.pose.face import face_boxes

FPS = 10


def _write(
    folder: Path, name: str, seconds: int, seed: int, height: int, width: int, /, **source
) -> Path:
    """A dancer's true keypoints; the pictures are of one colour each, which tells the frame."""
    motion = puppet.dance(8 * FPS, FPS, seed)[: seconds * FPS]
    keypoints = puppet.pose(puppet.CHARACTERS[name], motion, height, width)
    boxes, rows = face_boxes(keypoints, height, width), []
    for i, pose in enumerate(keypoints):
        frame = np.full((height, width, 3), (i, 2 * i, 200 if name == "ada" else 50), np.uint8)
        rows.append(
            {"frame": frame, "keypoints": pose, "face_box": boxes[i], "clip": 0, "index": i,
             "time": i / FPS}
        )  # fmt: skip
    records.write_shard(records.shard_path(folder, 0, 1), rows, height, width, "png")
    entry = {"file": f"{name}.mp4", "fps": FPS, "width": width, "height": height, "fit": "none"}
    clips = ((0, 0, 0, len(rows)),)
    info = records.DatasetInfo(height, width, clips, (entry | source,), picture="png")
    records.finish_dataset(folder, info, [len(rows)])
    return folder


@pytest.fixture(scope="session")
def write_dancer():
    """(folder, name, seconds, seed, height, width, **what the metadata say of the video) -> folder,
    with a dataset in it."""
    return _write


@pytest.fixture(scope="session")
def dancers(tmp_path_factory) -> tuple[Path, Path]:
    """Datasets of Ada (64x64, 40 frames) and of Ben (64x64, 80 frames), who begins alike."""
    folder = tmp_path_factory.mktemp("dancers")
    ada = _write(folder / "ada", "ada", 4, 0, 64, 64)
    return ada, _write(folder / "ben", "ben", 8, 0, 64, 64)
