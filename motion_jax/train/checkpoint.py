"""Checkpoints by Orbax: asynchronous, whole or absent, kept by a policy (retention.py)."""

import functools
import gc
import hashlib
import inspect
import json
import logging
import os
import shutil
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
import orbax.checkpoint as ocp

from motion_jax.errors import UserError
from motion_jax.files import check_writable, writing
from motion_jax.train.checkpoint_record import Record
from motion_jax.train.retention import Keep

# Stands in an abstract state for an array that is not to be read.
SKIPPED = ocp.PLACEHOLDER
# With several processes: how long one waits for the others' files at most.
TOGETHER_SECONDS = 600
# A checkpoint's files are a little larger than its arrays.
MARGIN, SPARE_BYTES = 1.05, 2**19
# Ends the name of a checkpoint that was found damaged.
DAMAGED = ".damaged"


class Damaged(UserError):
    """A checkpoint that cannot be restored."""


# While a save begins, Orbax takes a number that counts the process's saves for its own. Of two
# trainings in one process one would wait for the files of the other's number, for 300 s.
_STARTING = threading.Lock()


def _quieter(logger: str, level: int) -> None:
    """A logger says nothing below this level; one that says less already stays so."""
    found = logging.getLogger(logger)
    found.setLevel(max(found.level, level))


class Checkpoints:
    """The checkpoints of one run, by total step (over all stages): the stage's State and a Record.
    A context manager.

    Attributes:
      before: the newest checkpoint up to this total step is kept, whatever the policy; None: none.
    """

    def __init__(self, folder: Path, keep: Keep | None = None, read_only: bool = False):
        """With several processes (jax.process_count()) all do the same at the same steps."""
        self.folder = Path(folder).absolute()
        self.before: int | None = None
        self._keep = keep or Keep()
        self._saving: int | None = None
        self._records: dict[int, Record] = {}
        count = jax.process_count()
        common: dict[str, Any] = {"read_only": read_only}
        if count > 1:
            # Naming the processes makes Orbax wait for them with time limits, and not by a
            # collective operation of the devices, which train meanwhile.
            common |= {
                "multiprocessing_options": ocp.options.MultiprocessingOptions(
                    active_processes=set(range(count))
                ),
                "async_options": ocp.AsyncOptions(timeout_secs=TOGETHER_SECONDS),
                "create": False,
            }
        if read_only:
            # Orbax warns of what read_only means; errors still come through.
            _quieter("absl", logging.ERROR)
        else:
            # An error in Orbax's threads is raised here as well, and reported in one line.
            logging.getLogger("absl").setLevel(logging.CRITICAL)
            common |= {"preservation_policy": self, "cleanup_tmp_directories": True}
        with writing(self.folder):
            if not read_only:
                self.folder.mkdir(parents=True, exist_ok=True)
            self._manager = ocp.CheckpointManager(
                self.folder, options=ocp.CheckpointManagerOptions(**common)
            )
        self._records |= {step: quick_record(self.folder, step) for step in self.steps()}

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, _: object) -> None:
        try:
            self._manager.close()
        # Orbax raises here whatever its threads raised.
        except Exception as failure:
            if error is None:
                raise
            # The error that ended the training is reported; this one must not take its place.
            error.add_note(f"Closing the checkpoints failed, too: {failure!r}")

    def steps(self) -> list[int]:
        """The total steps of the whole checkpoints, the newest last."""
        return sorted(self._manager.all_steps())

    def latest(self) -> int | None:
        """The total step of the newest whole checkpoint."""
        return self._manager.latest_step()

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        """Orbax asks this after each save."""
        records = {info.step: self._records.get(info.step, Record()) for info in checkpoints}
        stay = self._keep.kept(records, self.before)
        return [info.step in stay for info in checkpoints]

    def save(self, step: int, state: Any, record: Record) -> None:
        """Begins to save; the arrays are copied before it returns, the files are written later.

        Raises UserError where it cannot begin, or where the save before failed and this was not yet
        noticed.
        """
        if step in self._manager.all_steps():
            return
        self.wait()
        self._records[step] = record
        self._saving = step
        try:
            with _STARTING, writing(self.folder):
                self._manager.save(
                    step,
                    args=ocp.args.Composite(
                        state=ocp.args.StandardSave(state), record=ocp.args.JsonSave(record)
                    ),
                    force=True,
                )
        except Exception as error:
            raise self._not_saved(error) from error

    def obstacle(self, state: Any) -> str:
        """Why a save cannot succeed, in a sentence, before it begins; "" where it can. Orbax itself
        reports a full disk in hundreds of lines."""
        try:
            check_writable(self.folder)
        except UserError as error:
            return str(error)
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        free = shutil.disk_usage(self.folder).free
        if free >= MARGIN * needed + SPARE_BYTES:
            return ""
        return (
            f"The disk is full: a checkpoint in {self.folder} needs {needed / 2**20:.1f} MB and "
            f"{free / 2**20:.1f} are left; free some space and run the same command again."
        )

    def poll(self) -> None:
        """Raises UserError where the save that was begun has failed; never waits."""
        if self._saving is not None and not self._manager.is_saving_in_progress():
            self.wait()

    def wait(self) -> None:
        """Waits until the save that was begun is on the disk. Raises UserError where it failed."""
        if self._saving is None:
            return
        try:
            with writing(self.folder):
                self._manager.wait_until_finished()
        except Exception as error:
            raise self._not_saved(error) from error
        if self._saving not in self._manager.all_steps():
            raise self._not_saved(OSError("it is not there"))
        self._saving = None

    def _not_saved(self, error: Exception) -> UserError:
        """Forgets the save that failed; what it wrote would only fill the disk."""
        step, self._saving = self._saving, None
        assert step is not None, "a save was begun"
        self._records.pop(step, None)
        if jax.process_index() == 0:
            for left in self.folder.glob(f"{step}.orbax-checkpoint-tmp*"):
                shutil.rmtree(left, ignore_errors=True)
        if isinstance(error, UserError):
            return error
        text = str(error)
        if "No space left" in text or "Disk quota" in text:
            return UserError(
                f"The disk is full: {self.folder / str(step)} could not be written; free some "
                "space and run the same command again."
            )
        reason = (text.splitlines() or [type(error).__name__])[0]
        return UserError(
            f"The checkpoint {self.folder / str(step)} could not be written ({reason[:200]}); make "
            "room for it or the folder writable, and run the same command again."
        )

    def delete(self, step: int) -> None:
        """Removes a checkpoint from which training must not go on."""
        self._manager.delete(step)
        self._records.pop(step, None)

    def set_aside(self, step: int) -> None:
        """Keeps a damaged checkpoint under another name, so that it can be looked at. One process
        calls this; then all call `reload`."""
        path = self.folder / str(step)
        aside = path.with_name(path.name + DAMAGED)
        shutil.rmtree(aside, ignore_errors=True)
        with writing(path):
            os.rename(path, aside)

    def reload(self) -> None:
        """Reads again which checkpoints the folder holds."""
        self._manager.reload()

    def record(self, step: int | None) -> Record:
        """The record of a checkpoint (None: the newest). Raises Damaged where it is not whole."""
        arguments = ocp.args.Composite(record=ocp.args.JsonRestore())
        try:
            return cast(Record, dict(self._manager.restore(step, args=arguments)["record"]))
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise self.damaged(step, _reason(error)) from error

    def restore(self, step: int, abstract_state: Any) -> Any:
        """The State of a checkpoint, laid out as the abstract one says (shapes and shardings).
        Raises Damaged where the checkpoint is not whole or of other networks."""
        return self._restore(step, ocp.args.StandardRestore(abstract_state))

    def restore_part(self, step: int | None, abstract_state: Any) -> Any:
        """As restore, but leaves of the abstract state that are `SKIPPED` are not read and stay so.
        Only for checkpoints opened read_only: Orbax does not save after it."""
        how = ocp.checkpoint_utils.construct_restore_args(abstract_state)
        return self._restore(step, ocp.args.PyTreeRestore(abstract_state, restore_args=how))

    def _restore(self, step: int | None, arguments: Any) -> Any:
        _hush_abandoned_reads()
        try:
            return self._manager.restore(step, args=ocp.args.Composite(state=arguments))["state"]
        # For a file with wrong bytes Orbax raises a plain Exception.
        except Exception as error:
            reason = _reason(error)
        # Frees now what the abandoned reads still hold, not while the next checkpoint is read.
        gc.collect()
        raise self.damaged(step, reason)

    def damaged(self, step: int | None, reason: str) -> Damaged:
        """The error about a checkpoint that is damaged, for a reason."""
        return Damaged(
            f"The checkpoint {self.folder / str(step)} cannot be restored ({reason}); it is "
            "damaged or of other networks: remove that folder to go on from the one before it."
        )


def _reason(error: BaseException) -> str:
    """The first cause of an error, in one line."""
    while below := error.__cause__ or error.__context__:
        error = below
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


@functools.cache
def _hush_abandoned_reads() -> None:
    """Orbax begins many reads together. When one fails it abandons the others and closes their
    event loop. Python would then print a traceback for each, which says nothing new."""
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        read = unraisable.object
        abandoned = inspect.iscoroutine(read) and "orbax" in read.cr_code.co_filename
        too_late = read is None and str(unraisable.exc_value) == "Event loop is closed"
        if not (abandoned or too_late):
            before(unraisable)

    sys.unraisablehook = hook


def parameter_hash(params: Any) -> str:
    """SHA-256 over all parameters by their paths: the same for equal weights on any machine."""
    digest = hashlib.sha256()
    leaves = jax.tree_util.tree_leaves_with_path(params)
    for path, leaf in sorted(leaves, key=lambda item: str(item[0])):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def steps_in(folder: Path) -> list[int]:
    """Total steps of the checkpoints in a folder, ascending, without opening it."""
    folder = Path(folder)
    names = [child.name for child in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdigit())


def has_checkpoint(folder: Path) -> bool:
    """Whether the folder holds at least one checkpoint, without opening it."""
    return bool(steps_in(folder))


def quick_record(folder: Path, step: int) -> Record:
    """A checkpoint's record, without opening it; {} where it is not whole."""
    try:
        found = json.loads((Path(folder) / str(step) / "record" / "metadata").read_text())
        return cast(Record, dict(found))
    except (OSError, ValueError, TypeError):
        return {}


def newest_record(folder: Path) -> Record:
    """The newest checkpoint's record, without opening it; {} without a checkpoint."""
    steps = steps_in(folder)
    return quick_record(folder, steps[-1]) if steps else {}
