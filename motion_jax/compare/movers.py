"""Methods at work: moments in, pictures out, whether they were trained or look frames up."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from motion_jax.profiling.arithmetic import count_parameters
from motion_jax.retrieval.retriever import retriever
from motion_jax.train.run import Run
from motion_jax.transfer.player import Networks, Player
from motion_jax.transfer.source import Moment, takes_poses

# Frames computed at once.
CHUNK = 16
# Frames that the speed of a method is measured on, after some that are not counted.
TIMED, WARM_UP = 48, 4


@dataclass(frozen=True)
class Clip:
    """Consecutive moments.

    Attributes:
      keypoints: float32 [N, 137, 3], as the target would take the poses, in pixels of the table's
        size; face_boxes: float32 [N, 4] in them.
      pictures: (first, last) -> uint8 [last - first, H, W, 3], the source's pictures that belong to
        those moments.
      times: float64 [N], seconds.
    """

    keypoints: np.ndarray
    face_boxes: np.ndarray
    pictures: Callable[[int, int], np.ndarray]
    times: np.ndarray

    def __len__(self) -> int:
        return len(self.keypoints)

    def first(self, count: int) -> "Clip":
        """Its beginning."""
        parts = self.keypoints[:count], self.face_boxes[:count]
        return Clip(*parts, self.pictures, self.times[:count])

    def moments(self, pictures: str | None = None) -> Iterator[Moment]:
        """For a player: with the poses, or instead of them the source's pictures, which the recipe
        knows by the name `pictures`."""
        for start in range(0, len(self), CHUNK):
            rows = slice(start, min(start + CHUNK, len(self)))
            shown = self.pictures(rows.start, rows.stop) if pictures else self.keypoints[rows]
            for one, box, when in zip(shown, self.face_boxes[rows], self.times[rows], strict=True):
                named = {pictures or "keypoints": one, "face_boxes": box}
                yield Moment(float(when), named)


class Mover(Protocol):
    """A method that is ready to be used. parameters: of the networks that make the picture."""

    parameters: int

    def move(self, clip: Clip) -> Iterator[np.ndarray]:
        """One uint8 [H, W, 3] for each moment, in order; every clip begins anew."""


class RunMover:
    """A trained run. pictures: it is shown the source's pictures, not poses."""

    def __init__(self, run: Run, pictures: bool):
        self.parameters = count_parameters(run.params)
        self._pictures = ("pose_pictures" if takes_poses(run) else "frames") if pictures else None
        self._player = Player(Networks(run, chunk=CHUNK), CHUNK)

    def move(self, clip: Clip) -> Iterator[np.ndarray]:
        return (picture for _, picture in self._player.play(clip.moments(self._pictures)))


class RetrievalMover:
    """Frames of the target's training part, as `motion-jax transfer --method NAME` chooses them by
    default, a clip at a time.

    stage: score.Stage. Raises UserError as retrieval.retriever does.
    """

    parameters = 0

    def __init__(self, stage: Any, name: str):
        dataset = stage.target.dataset
        self._retriever = retriever(dataset, name, records=stage.training, size=stage.size)

    def move(self, clip: Clip) -> Iterator[np.ndarray]:
        yield from self._retriever.pictures(clip.keypoints)


def frame_seconds(mover: Mover, clip: Clip) -> float:
    """Seconds of a picture, once everything is compiled: the mean over the clip's beginning, with
    what the method reads and looks up for it."""
    clip = clip.first(TIMED)
    for _ in mover.move(clip.first(WARM_UP)):
        pass
    begun = time.perf_counter()
    count = sum(1 for _ in mover.move(clip))
    return (time.perf_counter() - begun) / count
