"""Brings the poses of COUNT frames to a target's picture: of "files", or "estimated" by a detector
that sees one person at once. Prints the most megabytes that this process had in memory."""

import contextlib
import os
import resource
import sys
import tempfile
import types
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "transfer"))
from walker import a_track

from motion_jax.pose import detect, estimate, motion
from motion_jax.pose.files import write_openpose
from motion_jax.pose.landmarks import Found
from motion_jax.pose.motion import motion_of
from motion_jax.pose.normalize import fit_target
from motion_jax.pose.options import PoseOptions
from motion_jax.transfer.fit import Body, fit_clip, placements
from motion_jax.transfer.stabilise import steadied

FPS, SIZE = 30, (96, 128)


def from_files(count: int, folder: Path) -> None:
    few = a_track(np.arange(8) / FPS, size=SIZE)
    write_openpose(folder / "few", few.keypoints)
    files = sorted((folder / "few").iterdir())
    poses = folder / "poses"
    poses.mkdir()
    for number in range(count):
        os.link(files[number % 8], poses / f"a_{number:012d}_keypoints.json")
    track = motion_of(folder / "film.mp4", PoseOptions(poses=poses)).track
    assert track.found.sum() == count
    body = Body((64, 64), fit_target(few.keypoints), (64, 64))
    clip = fit_clip(track, body, "limbs")
    steadied(clip.keypoints, clip.times, clip.lost, *body.size)
    placements(track.keypoints, clip.keypoints)
    assert sum(moment.shown is not None for moment in clip.moments()) == count


def estimated(count: int, folder: Path) -> None:
    pose = np.ones((33, 4), np.float32)
    pose[:, 0] = 64 + np.tile([-8, 8, 0], 11)
    pose[:, 1] = np.linspace(10, 90, 33)
    found = Found(pose, np.tile(pose[0, :2], (478, 1)))

    class Follower:
        see = staticmethod(lambda number, image: found)
        close = staticmethod(lambda: None)

    detect._Follower = lambda job: Follower
    detect.still_landmarker = lambda bundle, people: Follower
    detect._look = lambda looker, image, found: (
        [pose.copy()],
        [estimate.people.mirrored(pose, 128)],
    )
    detect.frames = lambda source, first, last: (
        (number, np.zeros((*SIZE, 3), np.uint8)) for number in range(first, last)
    )
    detect.run_jobs = lambda work, jobs, *_: [work(job) for job in jobs]
    estimate.pool = lambda *_: contextlib.nullcontext()
    estimate._mediapipe_version = lambda: "0"
    estimate.bundles.find_bundle = lambda detail, model: types.SimpleNamespace(
        path=folder, sha256="", origin=dict
    )
    os.environ["MOTION_JAX_CACHE"] = str(folder / "cache")
    (folder / "film.mp4").write_bytes(b"")
    options = PoseOptions(smooth=False, swaps=False, bones=False)
    # Estimated, then from the cache.
    for _ in range(2):
        track = motion_of(folder / "film.mp4", options).track
        assert track.found.sum() == count and (track.keypoints[:9, 1, 2] == 1).all()
        del track


def main(kind: str, count: int, folder: Path) -> None:
    times = np.arange(count) / FPS
    motion.frame_times = estimate.frame_times = lambda path, **span: times
    motion.probe = lambda path: types.SimpleNamespace(height=SIZE[0], width=SIZE[1])
    motion.check_choice = lambda *_: None
    estimate.peculiarities = lambda path: {}
    {"files": from_files, "estimated": estimated}[kind](count, folder)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[3]) as place:
        main(sys.argv[1], int(sys.argv[2]), Path(place))
