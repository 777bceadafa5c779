"""What drives a person, moment by moment: from a file, which has an end, or live, without an end.

A moment holds the arrays that a recipe asks for, by name and without the frame axis:

    keypoints      float32 [137, 3], pixels of the target's picture; absent: confidence 0
    pose_pictures  uint8 [H, W, 3], a drawn pose in place of keypoints
    frames         uint8 [H, W, 3], the source's picture laid into the target's
    face_boxes     float32 [4], top, left, bottom, right; zeros: no face is known
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from motion_jax.pose import long_arrays
from motion_jax.pose.face import face_boxes
from motion_jax.pose.forwards import Forwards
from motion_jax.pose.ready import ReadyPoses
from motion_jax.train.run import Run


@dataclass(frozen=True)
class Moment:
    """One moment.

    Attributes:
      time: seconds of the source.
      shown: its arrays, see above; None: the person is lost.
    """

    time: float
    shown: Mapping[str, np.ndarray] | None

    @property
    def keypoints(self) -> Float32[np.ndarray, "137 3"]:
        """Zeros where the person is lost or no keypoints are known."""
        nothing = np.zeros((137, 3), np.float32)
        return nothing if self.shown is None else self.shown.get("keypoints", nothing)

    @property
    def picture(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """What a network is shown in place of a drawn pose."""
        shown = self.shown or {}
        return shown.get("pose_pictures", shown.get("frames"))


@dataclass(frozen=True)
class Clip:
    """The poses of a source with an end, fitted to the target.

    Attributes:
      keypoints: in pixels of the target's picture; boxes: of faces, in the same pixels.
      lost: moments without a pose (their keypoints and boxes are 0).
      times: seconds of the source.
      how: how the poses were fitted to the target's body, in a sentence; "": they were not.
    """

    keypoints: Float32[np.ndarray, "n 137 3"]
    boxes: Float32[np.ndarray, "n 4"]
    lost: Bool[np.ndarray, " n"]
    times: Float[np.ndarray, " n"]
    how: str = ""

    def __len__(self) -> int:
        return len(self.times)

    def moments(
        self, frames: Iterable[UInt8[np.ndarray, "h w 3"] | None] | None = None
    ) -> Iterator[Moment]:
        """All of them in order; `frames`: pictures that are shown, too (None where the person is
        lost)."""
        pictures = None if frames is None else iter(frames)
        for pose, box, lost, time in zip(
            long_arrays.rows(self.keypoints), self.boxes, self.lost, self.times, strict=True
        ):
            shown: dict[str, Any] = {"keypoints": pose, "face_boxes": box}
            if pictures is not None:
                shown["frames"] = next(pictures)
            yield Moment(float(time), None if lost else shown)


def picture_moments(
    pictures: ReadyPoses, boxes: Float32[np.ndarray, "n 4"], name: str = "pose_pictures"
) -> Iterator[Moment]:
    """Moments of pictures with face boxes; name: "pose_pictures" or "frames"."""
    for picture, box, time in zip(pictures, boxes, pictures.times, strict=True):
        yield Moment(float(time), {name: picture, "face_boxes": box})


def live_moments(
    arriving: Iterable[tuple[float, Float[np.ndarray, "137 3"] | None]],
    lay: Callable[[float, np.ndarray], np.ndarray | None],
    size: tuple[int, int],
    mend: Forwards | None = None,
) -> Iterator[Moment]:
    """Moments of a source without an end, each from the past alone.

    Args:
      arriving: (seconds, keypoints in pixels of the source; None where nobody is seen).
      lay: (seconds, pose) → the pose in the target's picture, of `size`; `RunningFit.next`.
      mend: mends them first, by the same options as those of a video (`Forwards.of`).
    """
    for time, pose in arriving:
        if mend is not None:
            pose = mend.next(time, pose)
        laid = None if pose is None else lay(time, pose)
        if laid is None:
            yield Moment(time, None)
            continue
        yield Moment(time, {"keypoints": laid, "face_boxes": face_boxes(laid, *size)})


def takes_poses(run: Run) -> bool:
    """Whether the run's generator is shown poses; otherwise it is shown the source's frames."""
    return "poses" in run.config.recipe.shows


def takes_frames_too(run: Run) -> bool:
    """Whether frames are shown in addition to poses (edges are found in them)."""
    return {"poses", "frames"} <= set(run.config.recipe.shows)
