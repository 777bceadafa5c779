"""Methods at work: moments in, pictures out, whether they were trained or look frames up."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

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


class Mover(Protocol):
    """A method that is ready to be used. parameters: of the networks that make the picture."""

    parameters: int

    def move(self, clip: Clip) -> Iterator[np.ndarray]:
        """One uint8 [H, W, 3] for each moment, in order; every clip begins anew."""


class RunMover:
    """A trained run. pictures: it is shown the source's pictures, not poses."""

    def __init__(self, run: Any, pictures: bool):
        from motion_jax.profiling.cost import count_parameters

        self.parameters, self._pictures = count_parameters(run.params), pictures
        self._synthesizer, self._recipe = run.synthesizer(chunk=CHUNK), run.config.recipe

    def move(self, clip: Clip) -> Iterator[np.ndarray]:
        self._synthesizer.reset()
        for start in range(0, len(clip), CHUNK):
            stop = min(start + CHUNK, len(clip))
            moments = {"face_boxes": clip.face_boxes[start:stop]}
            if self._pictures:
                # In datasets of pairs (pics2pics) the driver's pictures stand where poses do.
                name = "pose_pictures" if "poses" in self._recipe.shows else "frames"
                moments[name] = clip.pictures(start, stop)
            else:
                moments["keypoints"] = clip.keypoints[start:stop]
            yield from self._synthesizer.feed(self._recipe.seen(moments))


class RetrievalMover:
    """Frames of the target's training part, as `motion-jax transfer --method NAME` chooses them by
    default, a clip at a time.

    stage: score.Stage. Raises UserError as retrieval.retriever does.
    """

    parameters = 0

    def __init__(self, stage: Any, name: str):
        from motion_jax.retrieval.retriever import retriever

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
