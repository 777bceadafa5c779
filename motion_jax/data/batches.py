"""Endless batches of what a loader makes, read ahead by Grain: an order that is a pure function of
(seed, global index) and does not depend on the number of processes and workers."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from motion_jax.errors import UserError
from motion_jax.workers import worker_count

# Batches made ahead, at least: enough to hide a slow one, few enough to stay small in memory.
AHEAD = 4
# Threads that decode, each making a batch of its own; more would hold many batches in memory.
MOST_THREADS = 16


class Batches(Iterator[dict[str, np.ndarray]]):
    """Endless batches of what `load` makes, a Load or what has its `starts` and `seed`; a context
    manager. Arguments as in BatchSettings.

    Attributes:
      position: examples drawn so far, of whole batches (the state to save).
      per_epoch: examples in one pass over the data.
    """

    def __init__(
        self,
        load: Any,
        *,
        batch_size: int,
        workers: int,
        start: int,
        rows: Sequence[int] | None,
    ):
        import grain.python as grain

        self.per_epoch, self.batch_size, self.position = len(load.starts), batch_size, start
        # Each pass over the data has its own order: repeat() seeds its shuffle by the epoch.
        order = grain.MapDataset.range(self.per_epoch).seed(load.seed).shuffle().repeat()
        # Numbers alone are shuffled, batched and shared among the processes; pictures are read
        # by whole batches, so that each goes straight to its place.
        numbered = order.map_with_index(_numbered)[start:].batch(batch_size, drop_remainder=True)
        batched = (numbered if rows is None else numbered.map(_Rows(rows))).map(load)
        # Decoding lets other threads run, so that a thread a core does as much as a process a core
        # and saves handing the pictures over.
        threads = 1 if workers else min(worker_count(None), MOST_THREADS)
        reading = batched.to_iter_dataset(
            grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(AHEAD, threads + 2))
        )
        if workers:
            _parse_no_flags()
            reading = reading.mp_prefetch(
                grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=AHEAD)
            )
        self._iterator = iter(reading)

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        try:
            batch = next(self._iterator)
        except UserError:
            raise
        except Exception as error:
            # A worker process sends its error as text, somewhere in the chain of causes.
            if message := _user_message(error):
                raise UserError(message) from error
            raise
        self.position += self.batch_size
        return batch

    def close(self) -> None:
        """Stops threads and worker processes; without it their shared memory is left behind."""
        self._iterator.close()

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Rows:
    """Grain's map from a batch's (global indices [B], windows [B]) to those of some rows."""

    def __init__(self, rows: Sequence[int]):
        self.rows = list(rows)

    def __call__(self, examples: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        indices, windows = examples
        return indices[self.rows], windows[self.rows]

    def __repr__(self) -> str:
        # Grain names its worker's stages by this.
        return f"Rows({len(self.rows)})"


def _numbered(index: int, window: int) -> tuple[int, int]:
    return index, window


def _parse_no_flags() -> None:
    """Grain's worker processes read absl's flags, which raise unless somebody parsed them."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def _user_message(error: BaseException) -> str | None:
    """The sentence of a UserError that happened in a worker process, if that is what happened."""
    marker = f"{UserError.__module__}.{UserError.__name__}: "
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError):
            return str(cause)
        if marker in str(cause):
            return str(cause).rsplit(marker, 1)[1].splitlines()[0]
        cause = cause.__cause__ or cause.__context__
    return None
