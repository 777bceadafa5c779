"""What this process does with memory that is given back."""

import ctypes
import functools
import platform

# Parameters of glibc's mallopt (malloc.h).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# Larger blocks come from the system and go back to it, as always.
_LARGEST = 32 << 20
# Free memory that is kept at the end of each thread's heap.
_KEPT = 256 << 20


def give_back_freed_memory() -> bool:
    """Gives the system what this process has freed and still holds; whether that was possible.

    A compiler leaves a quarter of a gigabyte in glibc's heaps, in pieces too small for a training
    step, which would otherwise count on top of the step's own peak. Without glibc this does
    nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    ctypes.CDLL(None).malloc_trim(0)
    return True


@functools.cache
def keep_freed_memory() -> bool:
    """Lets glibc keep the memory of freed pictures for the next ones; whether that was possible.

    By default a picture of a few megabytes may come from the system each time and go back to it,
    which then has to clear its pages and map them one by one. Where this happens (the history of
    the heap decides), it is a third of the time of decoding a JPEG. Without glibc this does
    nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST) and mallopt(_TRIM_THRESHOLD, _KEPT))
