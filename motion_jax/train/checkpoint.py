"""Checkpoints by Orbax: asynchronous, whole or absent, the last of each stage kept for good."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as managers

from motion_jax.errors import UserError
from motion_jax.files import writing

# Stands in an abstract state for an array that is not to be read.
SKIPPED = ocp.PLACEHOLDER


class Checkpoints:
    """The checkpoints of one run, by total step (over all stages). A context manager.

    Each holds the stage's State and a record in JSON: stage, step in the stage, position in the
    data, seconds and images so far.
    """

    def __init__(
        self,
        folder: Path,
        keep: int = 3,
        always: Sequence[int] = (),
        read_only: bool = False,
    ):
        """keep: how many of the latest are kept; always: total steps that are never deleted."""
        self.folder = Path(folder).absolute()
        if read_only:
            options = ocp.CheckpointManagerOptions(read_only=True)
        else:
            options = ocp.CheckpointManagerOptions(
                preservation_policy=managers.AnyPreservationPolicy(
                    [managers.LatestN(keep), managers.CustomSteps(list(always))]
                ),
                cleanup_tmp_directories=True,
            )
        with writing(self.folder):
            self._manager = ocp.CheckpointManager(self.folder, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.close()

    def latest(self) -> int | None:
        """The total step of the newest whole checkpoint."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any, record: dict[str, Any]) -> None:
        """Begins to save; the arrays are copied before it returns, the files written meanwhile."""
        if step in self._manager.all_steps():
            return
        with writing(self.folder):
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state), record=ocp.args.JsonSave(record)
                ),
                force=True,
            )

    def wait(self) -> None:
        """Until everything that was begun is on the disk."""
        with writing(self.folder):
            self._manager.wait_until_finished()

    def record(self, step: int) -> dict[str, Any]:
        """What was saved beside a checkpoint's state. Raises UserError where it is damaged."""
        try:
            restored = self._manager.restore(
                step, args=ocp.args.Composite(record=ocp.args.JsonRestore())
            )
            return dict(restored["record"])
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise self._damaged(step, error) from error

    def restore(self, step: int, abstract_state: Any) -> Any:
        """The State of a checkpoint, laid out as the abstract one says (shapes and shardings).

        Raises UserError where the checkpoint is damaged or of other networks.
        """
        return self._restore(step, ocp.args.StandardRestore(abstract_state))

    def restore_part(self, step: int, abstract_state: Any) -> Any:
        """As restore, but leaves of the abstract state that are `SKIPPED` are not read and stay so.

        For checkpoints opened read_only: Orbax does not save after it.
        """
        how = ocp.checkpoint_utils.construct_restore_args(abstract_state)
        return self._restore(step, ocp.args.PyTreeRestore(abstract_state, restore_args=how))

    def _restore(self, step: int, arguments: Any) -> Any:
        try:
            restored = self._manager.restore(step, args=ocp.args.Composite(state=arguments))
        except (ValueError, KeyError, OSError) as error:
            raise self._damaged(step, error) from error
        return restored["state"]

    def _damaged(self, step: int, error: Exception) -> UserError:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        return UserError(
            f"The checkpoint {self.folder / str(step)} cannot be restored ({reason}); it is "
            "damaged or of other networks: remove that folder to go on from the one before it."
        )


def parameter_hash(params: Any) -> str:
    """SHA-256 over all parameters by their paths: the same for equal weights on any machine."""
    digest = hashlib.sha256()
    for path, leaf in sorted(
        jax.tree_util.tree_leaves_with_path(params), key=lambda item: str(item[0])
    ):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def has_checkpoint(folder: Path) -> bool:
    """Whether the folder holds at least one checkpoint, without opening it."""
    folder = Path(folder)
    return folder.is_dir() and any(child.name.isdigit() for child in folder.iterdir())
