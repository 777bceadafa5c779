"""A run and poses that cost nothing."""

import sys
import types

import pytest
from walker import FakeRun, a_track

from motion_jax.video.reader import frame_times


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

    def estimate_cached(path, *, detail, person, model, start, end, fps, workers):
        given["asked"] = {"detail": detail, "person": person, "model": model}
        return a_track(frame_times(path, start=start, end=end, fps=fps), given["lost"])

    fake = types.ModuleType("motion_jax.pose.estimate")
    fake.estimate_cached = estimate_cached
    monkeypatch.setitem(sys.modules, "motion_jax.pose.estimate", fake)
    return given
