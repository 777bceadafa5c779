"""Memory of freed pictures is kept for the next ones."""

import resource

import numpy as np
import pytest

from motion_jax.memory import give_back_freed_memory, keep_freed_memory


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


def test_freed_memory_is_given_back():
    if not give_back_freed_memory():
        pytest.skip("this system's C library is not glibc, whose allocator it is about")
    # Small pieces, every other one freed: none of it is at the end of the heap.
    pieces = [bytes(50_000) for _ in range(4000)]
    del pieces[::2]
    full = resident()
    give_back_freed_memory()
    assert full - resident() > 50e6
    assert len(pieces) == 2000


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
