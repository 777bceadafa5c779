"""What a checkpoint holds beside the state: a record in JSON."""

from typing import Any, TypedDict


class Lowered(TypedDict):
    """A learning rate that was lowered: of which stage, times which factor."""

    stage: str
    factor: float


class Record(TypedDict, total=False):
    """The record of a checkpoint. Those of imports and of earlier versions have fewer keys.

    stage, step: of the checkpoint; step counts from the stage's beginning.
    total_step: over all stages.
    position: in the data, in examples.
    seconds, images: of training so far; images are those that were seen.
    low_since: the stage's step since which the discriminator's losses are too low; None: they
      are not.
    lowered: the learning rate that was lowered after a failure.
    ended: whether the stage is done.
    steps_done, step_seconds: steps made and seconds that they took, by stage.
    compile_seconds: in all.
    checksum: of the state, see checksum.py.
    config: in JSON.
    score: by which the best checkpoint is kept.
    imported: where imported weights came from ("from", …) and "config", with which the state was
      laid out.
    """

    stage: str
    step: int
    total_step: int
    position: int
    seconds: float
    images: int
    low_since: int | None
    lowered: Lowered | None
    ended: bool
    steps_done: dict[str, int]
    step_seconds: dict[str, float]
    compile_seconds: float
    checksum: int
    config: dict[str, Any]
    score: float
    imported: dict[str, Any]
