"""What is worth saying about a film: once, however often and in however many processes it is read.

Only the process that a person started speaks; its workers read the same films.
"""

import contextlib
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

from motion_jax.progress import say

_said: set[tuple[str, str]] = set()
_commands = 0


@contextlib.contextmanager
def command() -> Iterator[None]:
    """Around what a user asked for: the next thing asked for says it all again. Within another
    command it does nothing."""
    global _commands
    if not _commands:
        _said.clear()
    _commands += 1
    try:
        yield
    finally:
        _commands -= 1


def note(path: Path, sentence: str) -> None:
    """Says a sentence about a file, unless this process has said it already."""
    if multiprocessing.parent_process() is None and (str(path), sentence) not in _said:
        _said.add((str(path), sentence))
        say(sentence)
