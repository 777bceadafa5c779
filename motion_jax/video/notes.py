"""What is worth saying about a film: once, however often and in however many processes it is read.

Only the process that a person started speaks; its workers read the same films.
"""

import contextlib
import multiprocessing
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from motion_jax.progress import say

# (path, sentence) said by the command that runs here, or outside of commands.
_said: ContextVar[set[tuple[str, str]] | None] = ContextVar("notes said", default=None)
_said_outside: set[tuple[str, str]] = set()


@contextlib.contextmanager
def command() -> Iterator[None]:
    """Around what a user asked for: the next thing asked for says it all again, and so does what
    runs at the same time in another thread. Within another command it does nothing."""
    if _said.get() is not None:
        yield
        return
    token = _said.set(set())
    try:
        yield
    finally:
        _said.reset(token)


def note(path: Path, sentence: str) -> None:
    """Says a sentence about a file, unless the command has said it already."""
    said = _said.get()
    said = _said_outside if said is None else said
    if multiprocessing.parent_process() is None and (str(path), sentence) not in said:
        said.add((str(path), sentence))
        say(sentence)
