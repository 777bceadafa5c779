"""What drives a person, moment by moment: of a file, which has an end, or live, which has none.

A moment holds the named arrays that a recipe asks for, without the frame axis:

    keypoints      float32 [137, 3], pixels of the target's picture; absent: confidence 0
    pose_pictures  uint8 [H, W, 3], a drawn pose in place of keypoints
    frames         uint8 [H, W, 3], the source's picture laid into the target's
    face_boxes     float32 [4], top, left, bottom, right; zeros: no face is known
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from motion_jax.pose.face import face_boxes
from motion_jax.pose.forwards import Forwards
from motion_jax.pose.ready import ReadyPoses
from motion_jax.train.run import Run


@dataclass(frozen=True)
class Moment:
    """One moment.

    Attributes:
      time: seconds of the source.
      shown: what is known of it, see above; None: the person is lost.
    """

    time: float
    shown: Mapping[str, np.ndarray] | None

    @property
    def keypoints(self) -> np.ndarray:
        """float32 [137, 3]; zeros where the person is lost or no keypoints are known."""
        nothing = np.zeros((137, 3), np.float32)
        return nothing if self.shown is None else self.shown.get("keypoints", nothing)

    @property
    def picture(self) -> np.ndarray | None:
        """What a network is shown in place of a drawn pose."""
        shown = self.shown or {}
        return shown.get("pose_pictures", shown.get("frames"))


@dataclass(frozen=True)
class Clip:
    """The poses of N moments with an end, as the target takes them.

    Attributes:
      keypoints: float32 [N, 137, 3], pixels of the target's picture; boxes: float32 [N, 4] in them.
      lost: bool [N], moments without a pose (their keypoints and boxes are 0).
      times: float64 [N], seconds of the source.
      how: how the poses were fitted to the target's body, in a sentence; "": they were not.
    """

    keypoints: np.ndarray
    boxes: np.ndarray
    lost: np.ndarray
    times: np.ndarray
    how: str = ""

    def __len__(self) -> int:
        return len(self.times)

    def moments(self, frames: Iterable[np.ndarray | None] | None = None) -> Iterator[Moment]:
        """All of them in order; `frames`: N pictures uint8 [H, W, 3] that are shown besides (None
        where the person is lost)."""
        pictures = None if frames is None else iter(frames)
        for pose, box, lost, time in zip(
            self.keypoints, self.boxes, self.lost, self.times, strict=True
        ):
            shown: dict[str, Any] = {"keypoints": pose, "face_boxes": box}
            if pictures is not None:
                shown["frames"] = next(pictures)
            yield Moment(float(time), None if lost else shown)


def picture_moments(
    pictures: ReadyPoses, boxes: np.ndarray, name: str = "pose_pictures"
) -> Iterator[Moment]:
    """Moments of N pictures, "pose_pictures" or "frames", with boxes [N, 4]."""
    for picture, box, time in zip(pictures, boxes, pictures.times, strict=True):
        yield Moment(float(time), {name: picture, "face_boxes": box})


def live_moments(
    arriving: Iterable[tuple[float, np.ndarray | None]],
    lay: Callable[[float, np.ndarray], np.ndarray | None],
    size: tuple[int, int],
    mend: Forwards | None = None,
) -> Iterator[Moment]:
    """Moments of a source without an end, each from the past alone.

    Args:
      arriving: (seconds, keypoints [137, 3] in pixels of the source or None where nobody is seen).
      lay: (seconds, pose) -> where it goes in the target's picture, of `size`; `RunningFit.next`.
      mend: holds and smooths them first.
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
    """Whether frames are shown besides poses (edges are found in them)."""
    return {"poses", "frames"} <= set(run.config.recipe.shows)
