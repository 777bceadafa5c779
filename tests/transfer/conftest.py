"""A run and poses that cost nothing."""

import pytest
from walker import a_track, fake_run

from motion_jax.video.reader import frame_times


@pytest.fixture
def run(monkeypatch):
    """A run that load_person gives."""
    made = fake_run()
    monkeypatch.setattr("motion_jax.transfer.command.load_person", lambda *_: made)
    return made


@pytest.fixture
def estimated(monkeypatch):
    """Poses come from this list instead of MediaPipe: set estimated["lost"]."""
    given = {"lost": ()}

    def estimate_cached(path, *, detail, person, model, start, end, fps, workers):
        given["asked"] = {"detail": detail, "person": person, "model": model}
        return a_track(frame_times(path, start=start, end=end, fps=fps), given["lost"])

    monkeypatch.setattr("motion_jax.pose.motion.estimate_cached", estimate_cached)
    return given
