"""A side of benchmarks.retrieval: a process with the rows in memory that is asked to search.

The FAISS side imports nothing but numpy and faiss.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.workers import serve


def data(setup: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(database float32 [rows, dimensions], queries): the same in both processes.

    "poses": around so many centres as a dancer has poses; "random": standard normal."""
    random = np.random.default_rng(0)
    rows, queries, size = setup["rows"], setup["queries"], setup["dimensions"]
    both = random.standard_normal((rows + queries, size), np.float32)
    if setup["data"] == "poses":
        centres = random.standard_normal((2000, size), np.float32)
        both = centres[random.integers(0, len(centres), len(both))] + np.float32(0.1) * both
    return both[:rows], both[rows:]


def build(setup: Mapping[str, Any]) -> dict[str, Callable[..., dict[str, Any]]]:
    """setup: {"side": "ours" or "faiss", "rows", "queries", "dimensions", "k", "data"}."""
    database, queries = data(setup)
    k = setup["k"]
    if setup["side"] == "faiss":
        import faiss

        index = faiss.IndexFlatL2(setup["dimensions"])
        index.add(database)
        version, threads = faiss.__version__, faiss.omp_get_max_threads()

        def find() -> tuple[np.ndarray, np.ndarray]:
            return index.search(queries, k)

    else:
        import jax

        from motion_jax.retrieval import search

        version, threads = jax.__version__, None

        def find() -> tuple[np.ndarray, np.ndarray]:
            return search.flat(queries, database, k)

    def run() -> dict[str, float]:
        begin = time.perf_counter()
        find()
        return {"seconds": time.perf_counter() - begin}

    def keep(path: str) -> dict[str, str]:
        """Saves the indices [Q, k]."""
        np.save(path, np.asarray(find()[1], np.int64))
        return {"path": path}

    def describe() -> dict[str, Any]:
        return {"version": version, "threads": threads}

    return {"run": run, "keep": keep, "describe": describe}


if __name__ == "__main__":
    serve(build)
