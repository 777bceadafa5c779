"""A studio in a thread whose queue is never started: what is asked for waits in the book."""

from pathlib import Path

import pytest
from studio_opened import Opened

from motion_jax.jobs import queue


@pytest.fixture
def no_queue(monkeypatch):
    monkeypatch.setattr(queue, "ensure", lambda root: None)


@pytest.fixture
def studio(tmp_path, no_queue):
    opened = Opened(tmp_path)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def dancer(tmp_path_factory) -> Path:
    """A film of a drawn dancer: one second, 96 x 96."""
    from motion_jax import puppet

    folder = tmp_path_factory.mktemp("dancer")
    motion = puppet.dance(25, 25, 0)
    return puppet.make_video(folder, puppet.CHARACTERS["ben"], motion, 96, 96)[0]
