"""Moments of files and of live sources."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from walker import a_track

from motion_jax.pose.forwards import Forwards
from motion_jax.transfer.fit import Body, RunningFit, fit_clip
from motion_jax.transfer.source import live_moments

# Megabytes by which memory may grow from minute 8 of a video to minute 20: the allocator alone was
# seen to take 24, and its pictures are 60.
GROWTH = 40


def test_a_clip_in_moments():
    clip = fit_clip(a_track(np.arange(4) / 25, lost=(2,)), Body((64, 64), None), "none")
    frames = (
        None if lost else np.full((64, 64, 3), i, np.uint8) for i, lost in enumerate(clip.lost)
    )
    moments = list(clip.moments(frames))
    assert [moment.time for moment in moments] == list(clip.times)
    assert [moment.shown is None for moment in moments] == [False, False, True, False]
    assert not moments[2].keypoints.any() and moments[2].picture is None
    for i in (0, 1, 3):
        np.testing.assert_array_equal(moments[i].keypoints, clip.keypoints[i])
        np.testing.assert_array_equal(moments[i].shown["face_boxes"], clip.boxes[i])
        assert (moments[i].picture == i).all()


def test_live_moments_are_those_of_the_clip_as_far_as_the_past_tells():
    track = a_track(np.arange(30) / 25, lost=(3, *range(10, 20)))
    body = Body((64, 64), None)
    clip = fit_clip(track, body, "none")
    arriving = [
        (float(time), pose if found else None)
        for time, pose, found in zip(track.times, track.keypoints, track.found, strict=True)
    ]
    fit = RunningFit(track.size, body, "none")
    plain = list(live_moments(arriving, fit.next, body.size))
    for moment, pose, box in zip(plain, clip.keypoints, clip.boxes, strict=True):
        np.testing.assert_array_equal(moment.keypoints, pose)
        if moment.shown:
            np.testing.assert_array_equal(moment.shown["face_boxes"], box)
    held = live_moments(arriving, fit.next, body.size, Forwards(2, smooth=False))
    lost = [i for i, moment in enumerate(held) if moment.shown is None]
    assert lost == list(range(12, 20)), "held for two frames"


@pytest.mark.parametrize("kind", ["poses", "pictures"])
def test_memory_does_not_grow_with_the_length(kind, tmp_path):
    """Twenty minutes."""
    program = Path(__file__).with_name("long_video.py")
    done = subprocess.run(
        [sys.executable, program, kind, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    frames, seconds, growth = (float(word) for word in done.stdout.split())
    assert frames == 20 * 60 * 3 and seconds == pytest.approx(20 * 60, abs=1)
    assert growth < GROWTH
