"""Runs that cannot wait for single pictures or poses are refused with a sentence."""

from pathlib import Path

import numpy as np
import pytest
from walker import a_track, fake_run

from motion_jax.config import load_config
from motion_jax.errors import UserError
from motion_jax.train.run import Run
from motion_jax.transfer import resident
from motion_jax.transfer.resident import Resident


@pytest.mark.parametrize(
    "config, sentence",
    [
        ("first_order", "makes a photo move, whoever is in it, .*; use motion-jax animate"),
        ("stylegan2", "makes pictures out of noise, so that nothing drives it"),
        ("fake_detector", "judges pictures and makes none; use motion-jax check FILE"),
        ("pose_stylegan", "makes pictures out of noise, so that nothing drives it"),
    ],
)
def test_runs_that_nothing_drives(config, sentence):
    run = Run(Path("runs/a"), load_config(config), stage="main", step=1, params={}, dataset={})
    with pytest.raises(UserError, match=f"runs/a {sentence}"):
        Resident(run)


def test_what_a_dataset_says_is_read_once_and_not_for_every_pose(monkeypatch):
    """Of thousands of frames it took longer than drawing one."""
    read = []
    original = resident.content_of
    monkeypatch.setattr(resident, "content_of", lambda run: (read.append(run), original(run))[1])
    waiting = Resident(fake_run())
    keypoints = a_track(np.zeros(1)).keypoints[0]
    parts = {waiting.pose(keypoints).part for _ in range(3)}
    assert parts == {(0, 0, 64, 64)} and len(read) == 1
