"""Arrays with a row for each frame of a video, in memory that does not grow with its length.

Large ones lie in a temporary file without a name, which is gone with the process however it ends.
They are worked on in windows; after each window its pages are given back to the system.
"""

import math
import mmap
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from motion_jax import files

# Bytes up to which an array stays in memory, and rows that are worked on at once.
IN_MEMORY = 4 * 2**20
WINDOW = 1024


class _Pages(mmap.mmap):
    """A mapped file of ours; those of others may hold changes that were never written."""


def zeros(shape: tuple[int, ...], dtype: Any = np.float32) -> Shaped[np.ndarray, "..."]:
    """An array of zeros. Raises UserError where there is no room for its file."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size <= IN_MEMORY:
        return np.zeros(shape, dtype)
    folder = Path(tempfile.gettempdir())
    with files.writing(folder), tempfile.TemporaryFile(dir=folder) as file:
        # Written in full: a disk that is full when a page is used would kill the process.
        for first in range(0, size, IN_MEMORY):
            file.write(bytes(min(IN_MEMORY, size - first)))
        file.flush()
        return np.frombuffer(_Pages(file.fileno(), size), dtype).reshape(shape)


def opened(path: Path, dtype: np.dtype, count: int) -> Shaped[np.ndarray, " n"]:
    """The `count` records of a file, to read."""
    with open(path, "rb") as file:
        pages = _Pages(file.fileno(), count * dtype.itemsize, access=mmap.ACCESS_READ)
    return np.frombuffer(pages, dtype)


def release(*arrays: Any) -> None:
    """Takes arrays that lie in files out of memory; their values stay. Others are left alone."""
    for array in arrays:
        while isinstance(array, np.ndarray):
            array = array.base
        pages = array.obj if isinstance(array, memoryview) else None
        if isinstance(pages, _Pages) and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)


def windows(
    array: Shaped[np.ndarray, "n ..."], *others: np.ndarray | None, backwards: bool = False
) -> Iterator[slice]:
    """Slices that cover the rows of an array, one at least; after each, the pages of all arrays are
    released."""
    starts = range(0, max(len(array), 1), WINDOW)
    for first in reversed(starts) if backwards else starts:
        yield slice(first, min(first + WINDOW, len(array)))
        release(array, *others)


def rows(array: Shaped[np.ndarray, "n ..."]) -> Iterator[np.ndarray]:
    """Copies of the rows, one after another."""
    for window in windows(array):
        yield from np.array(array[window])


def copied(array: Shaped[np.ndarray, "n ..."], dtype: Any = np.float32) -> np.ndarray:
    result = zeros(array.shape, dtype)
    for window in windows(array, result):
        result[window] = array[window]
    return result


def taken(array: Shaped[np.ndarray, "n ..."], indices: Int[np.ndarray, " m"]) -> np.ndarray:
    """The rows of these numbers, copied."""
    result = zeros((len(indices), *array.shape[1:]), array.dtype)
    for window in windows(result, array):
        result[window] = array[indices[window]]
    return result


def gathered(
    function: Callable[..., tuple[np.ndarray, ...]], *arrays: np.ndarray
) -> tuple[np.ndarray, ...]:
    """What a function gives for each window of arrays of one length, joined: each of its results
    has some (small) values for every row."""
    parts = [function(*(array[window] for array in arrays)) for window in windows(*arrays)]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))
