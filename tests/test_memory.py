"""Memory of freed pictures is kept for the next ones."""

import resource

import numpy as np
import pytest

from motion_jax.memory import keep_freed_memory


def test_pictures_reuse_memory():
    if not keep_freed_memory():
        pytest.skip("this system's C library is not glibc, whose allocator it is about")

    def fill() -> None:
        picture = np.empty((512, 1024, 3), np.uint8)
        picture[:] = 1

    fill()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        fill()
    # Mapped anew, each picture would be 384 pages.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 384
