"""Methods ready to be used, trained or looking frames up: moments in, pictures out."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float32, Float64, Int, UInt8

from motion_jax.data.crop import cut_out
from motion_jax.data.records import PoseFrames
from motion_jax.profiling.arithmetic import count_parameters
from motion_jax.retrieval.retriever import Retriever
from motion_jax.train.run import Run
from motion_jax.transfer.animator import Animator
from motion_jax.transfer.best_frame import best_frame
from motion_jax.transfer.framing import middle, pasted
from motion_jax.transfer.player import Networks, Player
from motion_jax.transfer.source import Moment, takes_poses

Picture = UInt8[np.ndarray, "h w 3"]

# The row of --photo-run.
PHOTO = "first-order"
# Frames computed at once.
CHUNK = 16
# Frames that the speed of a method is measured on, after some that are not counted.
TIMED, WARM_UP = 48, 4


@dataclass(frozen=True)
class Clip:
    """Consecutive moments.

    Attributes:
      keypoints: as the target would take the poses, in pixels of the table's size; face_boxes: in
        them.
      pictures: (first, last) -> the source's pictures that belong to those moments.
      times: seconds.
    """

    keypoints: Float32[np.ndarray, "n 137 3"]
    face_boxes: Float32[np.ndarray, "n 4"]
    pictures: Callable[[int, int], UInt8[np.ndarray, "m h w 3"]]
    times: Float64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.keypoints)

    def first(self, count: int) -> "Clip":
        """Its first `count` moments."""
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

    def move(self, clip: Clip) -> Iterator[Picture]:
        """A picture for each moment, in order; no clip depends on another."""


class RunMover:
    """A trained run. pictures: it is shown the source's pictures, not poses."""

    def __init__(self, run: Run, pictures: bool):
        self.parameters = count_parameters(run.params)
        self._pictures = ("pose_pictures" if takes_poses(run) else "frames") if pictures else None
        self._player = Player(Networks(run, chunk=CHUNK), CHUNK)

    def move(self, clip: Clip) -> Iterator[Picture]:
        return (picture for _, picture in self._player.play(clip.moments(self._pictures)))


class RetrievalMover:
    """Frames of the target, as `motion-jax transfer --method NAME` chooses them by default, a clip
    at a time. Arguments and errors as of retrieval.retriever."""

    parameters = 0

    def __init__(
        self,
        target: PoseFrames,
        method: str,
        records: Int[np.ndarray, " n"],
        size: tuple[int, int],
    ):
        self._retriever = Retriever(target, method, records=records, size=size)

    def move(self, clip: Clip) -> Iterator[Picture]:
        yield from self._retriever.pictures(clip.keypoints)


class PhotoMover:
    """A photo of the target, moved by the source's pictures with a run of first_order, as
    `motion-jax animate` does by default: from the frame of each clip that lies most like the photo.

    Args:
      run: of first_order; photo: of the table's size.
    """

    def __init__(self, run: Run, photo: Picture):
        self.parameters = count_parameters(run.params)
        self._photo, self._size = photo, run.size
        self._cut = middle(photo.shape[0], photo.shape[1], run.size)
        shown = cut_out(photo, self._cut, *run.size)
        self._animator = Animator(run, shown, "relative", adapt_scale=True)

    def move(self, clip: Clip) -> Iterator[Picture]:
        points = self._animator.points(self._seen(clip))
        number, _ = best_frame(self._animator.photo_points.value[0], points.value)
        self._animator.begin(points[number : number + 1])
        for picture in self._animator.pictures(points):
            yield pasted(self._photo, self._cut, picture)

    def _seen(self, clip: Clip) -> Iterator[Picture]:
        for start in range(0, len(clip), CHUNK):
            for picture in clip.pictures(start, min(start + CHUNK, len(clip))):
                region = middle(picture.shape[0], picture.shape[1], self._size)
                yield cut_out(picture, region, *self._size)


def frame_seconds(mover: Mover, clip: Clip) -> float:
    """Seconds for a picture once everything is compiled, what the method reads and looks up for it
    included: the mean over the clip's beginning."""
    clip = clip.first(TIMED)
    for _ in mover.move(clip.first(WARM_UP)):
        pass
    begun = time.perf_counter()
    count = sum(1 for _ in mover.move(clip))
    return (time.perf_counter() - begun) / count
