"""The process that estimates poses, with another worker in MediaPipe's place: its end, and who is
told."""

import os
from multiprocessing import shared_memory

import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.pose import bundles, watcher


def sees_brightness(pipe, bundle):
    """A pose whose first x is the brightness; at 255 the process ends, at 254 for good."""
    try:
        while True:
            name, shape, _, detail, _ = pipe.recv()
            memory = shared_memory.SharedMemory(name)
            value = int(np.ndarray(shape, np.uint8, memory.buf)[0, 0, 0])
            memory.close()
            if value == 255 and not os.path.exists(bundle):
                open(bundle, "w").close()
                os._exit(1)
            if value == 254:
                os._exit(1)
            pose = np.full((137, 3), value, np.float32)
            pipe.send([pose, pose + 1] if detail == watcher.ALL else pose)
    except (EOFError, OSError):
        pass


@pytest.fixture
def stub(monkeypatch, tmp_path):
    class Found:
        path = tmp_path / "ended-once"

    monkeypatch.setattr(watcher, "_watch", sees_brightness)
    monkeypatch.setattr(bundles, "find_bundle", lambda detail, model: Found)


def test_a_process_that_ends_is_started_again_once(stub):
    with watcher.Watcher() as made:
        assert made.look(np.full((8, 9, 3), 7, np.uint8), 0.0)[0, 0] == 7
        first = made.process
        # The picture at which it ended is looked at again.
        assert made.look(np.full((8, 9, 3), 255, np.uint8), 0.1)[0, 0] == 255
        assert made.restarts == 1 and made.process != first
        assert [pose[0, 0] for pose in made.look_at_all(np.full((20, 9, 3), 3, np.uint8), 0.2)] == [
            3, 4,
        ]  # fmt: skip
        with pytest.raises(UserError, match="ended twice"):
            made.look(np.full((8, 9, 3), 254, np.uint8), 0.3)
