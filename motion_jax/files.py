"""Files that are either whole or absent: write beside the target, then rename."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from motion_jax.errors import UserError

_NOT_WRITABLE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENOENT,  # no folder can be made there, for example under /proc
)


@contextlib.contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yields a temporary path in the target's folder (same suffix); renames it onto the target when
    the block ends well, removes it otherwise.

    Raises UserError where the folder cannot be written or the disk is full.
    """
    target = Path(target)
    # Machines that share a folder may have processes of the same number; threads of one process may
    # make the same file at once.
    writer = f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"
    temporary = target.with_name(f".{target.stem}.{writer}.partial{target.suffix}")
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turns the operating system's errors while writing `target` into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise UserError(
                f"The disk is full: {target} could not be written; free some space and run the "
                "same command again."
            ) from error
        if error.errno in _NOT_WRITABLE:
            raise UserError(
                f"Cannot write {target} ({error.strerror}); choose an output folder that you may "
                "write to."
            ) from error
        raise


def check_writable(folder: Path) -> None:
    """Creates the folder if need be and proves that a file can be made in it, before any work."""
    folder = Path(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


def write_bytes(target: Path, data: bytes) -> None:
    with atomic_path(target) as temporary:
        temporary.write_bytes(data)


def write_text(target: Path, text: str) -> None:
    write_bytes(target, text.encode())


def write_json(target: Path, value: object) -> None:
    write_text(target, json.dumps(value, indent=2) + "\n")


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Where downloads and estimated poses are kept: $MOTION_JAX_CACHE, else the user's cache."""
    if folder := os.environ.get("MOTION_JAX_CACHE"):
        return Path(folder)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "motion_jax"


def remove_tree(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
