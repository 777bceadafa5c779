"""A run directory before training: whether it may be used, and that only one training uses it."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from motion_jax.config import Config, differences
from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError, option
from motion_jax.files import check_writable, entries
from motion_jax.train import imported
from motion_jax.train import run as runs

# How long another machine may take to see what one process wrote (NFS caches folders for up to a
# minute).
SEEN_SECONDS = 60.0


@contextlib.contextmanager
def exclusive_use(folder: Path) -> Iterator[None]:
    """Keeps other processes of this machine from training in the folder at the same time: each
    would remove the other's half-written checkpoints. Other machines are kept out where the shared
    file system passes on locks (NFS 4 does; Lustre with -o flock)."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"Another motion-jax train is using {folder}; wait for it, stop it with Ctrl-C, "
                f"or choose another {option('run')} folder."
            ) from error
        except OSError:
            # A file system without locks (some bucket mounts): nothing can be guaranteed there.
            pass
        yield
    finally:
        os.close(lock)


def check_run(folder: Path, config: Config, dataset: PoseFrames | None) -> None:
    """Raises UserError where the directory holds something else, before anything is written."""
    check_writable(folder)
    existing = runs.read_config(folder)
    if existing is None:
        for path in entries(folder):
            raise UserError(
                f"{folder} is not empty and no run of motion_jax ({path.name} is in it); choose "
                f"another {option('run')} folder."
            )
        return
    if (untouched := imported.untouched_record(folder)) is not None:
        # Nothing was trained with other settings or on another dataset yet.
        imported.check_config(untouched, existing, config, folder)
        return
    if differing := differences(existing, config):
        raise UserError(
            f"{folder} holds a run of another config ({'; '.join(differing[:5])}); choose another "
            f"{option('run')} folder, or give the settings that it was begun with. To train on "
            f"from its weights with others: motion-jax import {folder} {option('run')} NEW, and "
            "train that."
        )
    if dataset is None:
        return
    known = runs.read_dataset(folder)
    if known["fingerprint"] != runs.fingerprint(dataset):
        raise UserError(
            f"{folder} was trained on another dataset ({known['path']}) than {dataset.folder}; "
            f"choose another {option('run')} folder, or give that dataset."
        )


def check_shared(folder: Path, token: str, host: str) -> None:
    """Raises UserError where this process does not see what process 0, on `host`, wrote into the
    folder: a command.txt that ends with `token`."""
    ends = time.monotonic() + SEEN_SECONDS
    while True:
        with contextlib.suppress(OSError):
            os.listdir(folder)
            if (folder / "command.txt").read_text().endswith(token):
                return
        if time.monotonic() > ends:
            raise UserError(
                f"This process does not see what process 0 ({host}) wrote to {folder}; all "
                f"processes need the same folder of a shared file system as {option('run')}."
            )
        time.sleep(0.2)
