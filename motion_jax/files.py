"""Files that are either whole or absent: write beside the target, then rename."""

import contextlib
import dataclasses
import errno
import fnmatch
import hashlib
import json
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from motion_jax.errors import UserError
from motion_jax.errors import option as named

_NOT_WRITABLE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENOENT,  # no folder can be made there, for example under /proc
)


# What systems leave in folders besides what people put there.
_CLUTTER = (
    ".ds_store", ".localized", ".directory", "thumbs.db", "ehthumbs.db", "desktop.ini",
    "icon\r", "__macosx",
)  # fmt: skip


def is_clutter(name: str) -> bool:
    """Whether a file or folder of this name is nobody's data: hidden, or left by a system (._NAME
    and .DS_Store of macOS, Thumbs.db, desktop.ini). Whoever reads folders passes these over."""
    return name.startswith(".") or name.lower() in _CLUTTER


def is_empty(folder: Path, *but: Path) -> bool:
    """Whether a folder holds nothing, or only `but` and what systems leave in folders. Hidden files
    of people count."""
    return all(
        path in but or path.name.startswith("._") or path.name.lower() in _CLUTTER
        for path in Path(folder).iterdir()
    )


def entries(folder: Path, pattern: str = "*") -> list[Path]:
    """What is in a folder, sorted by name, without clutter. Raises UserError where it cannot be
    read."""
    try:
        found = sorted(Path(folder).iterdir())
    except OSError as error:
        raise UserError(
            f"The folder {folder} cannot be read ({error.strerror}); check it and its rights."
        ) from error
    return [
        path
        for path in found
        if not is_clutter(path.name) and fnmatch.fnmatchcase(path.name, pattern)
    ]


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


@contextlib.contextmanager
def results_in(folder: Path) -> Iterator[None]:
    """As check_writable; where the block ends early with nothing written, the folder goes again."""
    there = Path(folder).exists()
    check_writable(folder)
    try:
        yield
    except BaseException:
        if not there:
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        raise


def check_outputs(
    options: Any,
    *outputs: str,
    own: Sequence[str] = (),
    adds: bool = False,
    any_name: bool = False,
) -> None:
    """Proves, before any work, that no output is an input, contains one or lies inside one, and
    that its name can be written.

    Another spelling of a path, a link and a hard link are the same file.

    Args:
      options: a dataclass of a verb's options. Every path in it, also within tuples and dataclasses
        in it, that is not in `outputs` is an input.
      outputs: the fields that name what is written; None there: nothing is.
      own: inputs that outputs may lie inside, because the verb keeps its results there anyway.
      adds: whether the output is a folder in which no file is ever written over, so that it may
        contain inputs.
      any_name: whether names that are not UTF-8 can be written to, see `check_name`.
    Raises UserError, with both paths.
    """
    inputs = [entry for entry in _paths(options) if entry[0] not in outputs]
    for name in outputs:
        out = getattr(options, name)
        if out is None:
            continue
        if not any_name:
            check_name(Path(out), f"{named(name)} ")
        for given, path in inputs:
            relation = _relation(Path(out), path)
            inside = relation == "lies inside"
            allowed = given in own if inside else adds and relation == "contains"
            if relation is None or allowed:
                continue
            why = "is a folder whose content counts" if inside else "could be lost or changed"
            raise UserError(
                f"{named(name)} {out} {relation} the input {path}, which {why}; name another place "
                "to write to."
            )


def check_name(path: Path, label: str = "") -> None:
    """Raises UserError where a path is not UTF-8, as names from old disks and archives may be: the
    libraries that store records and checkpoints cannot open it. label: what the sentence says
    before the path."""
    if _has_raw_bytes(str(path)):
        raise UserError(
            f"{label}{readable(str(path))} is a name that is not UTF-8, under which datasets and "
            "runs cannot be stored; rename it."
        )


def parted(place: Path) -> tuple[Path, str | None]:
    """RUN, or RUN:WHO → (the run folder, who of its people is meant; None: nothing is said).

    A folder that is there by its whole name is one, whatever its name has in it.
    """
    name, colon, who = place.name.partition(":")
    if not (name and colon) or place.is_dir():
        return place, None
    return place.parent / name, who


def _paths(options: Any) -> Iterator[tuple[str, Path]]:
    """(field, path) of all paths in a dataclass; of RUN:WHO the run's, too."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            yield from _paths(value)
            continue
        if field.name == "config" and isinstance(value, str):
            # The name of a shipped config, or a file.
            value = Path(value) if value.endswith(".py") else None
        for path in value if isinstance(value, tuple | list) else (value,):
            if isinstance(path, Path):
                yield field.name, path
                folder, who = parted(path)
                if who is not None and folder.is_dir():
                    yield field.name, folder


def _relation(out: Path, given: Path) -> str | None:
    """What an output has to do with an input: it "is", "lies inside" or "contains" it; None:
    nothing."""
    written, read = (Path(os.path.realpath(path)) for path in (out, given))
    # The same file under another name: a hard link, a mount, a disk that ignores case.
    if written == read or _same(written, read):
        return "is"
    if any(_same(folder, read) for folder in written.parents):
        return "lies inside"
    if any(_same(folder, written) for folder in read.parents):
        return "contains"
    return None


def _same(a: Path, b: Path) -> bool:
    try:
        return os.path.samefile(a, b)
    except (OSError, ValueError):
        return False


def write_bytes(target: Path, data: bytes) -> None:
    with atomic_path(target) as temporary:
        temporary.write_bytes(data)


def readable(text: str) -> str:
    """The text with a replacement sign for each byte that is not UTF-8; in names of files Python
    keeps such bytes in a form that cannot be written."""
    return os.fsencode(text).decode("utf-8", "replace") if _has_raw_bytes(text) else text


def _has_raw_bytes(text: str) -> bool:
    return any("\udc80" <= sign <= "\udcff" for sign in text)


def write_text(target: Path, text: str) -> None:
    write_bytes(target, readable(text).encode("utf-8", "replace"))


def write_json(target: Path, value: object) -> None:
    write_text(target, json.dumps(value, indent=2) + "\n")


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; of a folder, over the names and contents of its
    files."""
    if Path(path).is_dir():
        digest = hashlib.sha256()
        for file in sorted(file for file in path.rglob("*") if file.is_file()):
            name = file.relative_to(path)
            if not any(map(is_clutter, name.parts)):
                digest.update(os.fsencode(f"{name}\0{sha256(file)}\n"))
        return digest.hexdigest()
    with open(path, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def cache_folder() -> Path:
    """Where downloads and estimated poses are kept: $MOTION_JAX_CACHE, else the user's cache."""
    if folder := os.environ.get("MOTION_JAX_CACHE"):
        return Path(folder)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "motion_jax"


def remove_tree(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
