"""The baseline that a trained model must beat: show the training frame whose pose is nearest."""

import cv2
import numpy as np
from jaxtyping import Float, Int, Int64, UInt8

from motion_jax.data.pairs import Frames
from motion_jax.metrics.frames import pad
from motion_jax.pose.match import nearest
from motion_jax.pose.pose_pictures import is_ready

# Ready pose pictures are compared at so many pixels a side.
SIDE = 24


def nearest_pose(
    queries: Float[np.ndarray, "q 137 3"], database: Float[np.ndarray, "n 137 3"]
) -> Int64[np.ndarray, " q"]:
    """The index of the pose nearest to each query, all in pixels of one size. Where no pose shares
    half of a query's joints, hidden joints count too."""
    distances, indices = nearest(queries, database, k=1)
    if not np.isfinite(distances).all():
        _, others = nearest(queries, database, k=1, masked=False)
        indices = np.where(np.isfinite(distances), indices, others)
    return indices[:, 0].astype(np.int64)


class NearestFrame:
    """For each pose the frame of a set of records whose body joints are nearest to it.

    Has `feed` and `reset` of a run's synthesizer: with the held-out poses of the same dataset it is
    the baseline of `motion-jax evaluate`, with another video's normalised poses that of a transfer.

    frames: the dataset at the size wanted. records: those that may be shown (the training part).
    batch: poses are looked up in multiples of so many. Raises ValueError without a record.
    """

    def __init__(self, frames: Frames, records: Int[np.ndarray, " r"], batch: int = 16):
        if not len(records):
            raise ValueError("the nearest frame needs at least one frame to choose from")
        self.frames, self.records, self.batch = frames, np.asarray(records, int), batch
        scale = np.array([1 / frames.factor, 1 / frames.factor, 1], np.float32)
        self._database = frames.dataset.keypoints()[self.records] * scale

    def find(self, keypoints: Float[np.ndarray, "n 137 3"]) -> Int64[np.ndarray, " n"]:
        """The record of the nearest pose to each, in pixels of the size."""
        count = len(keypoints)
        if not count:
            return np.zeros(0, np.int64)
        # Repeated shapes compile once.
        whole = pad(np.asarray(keypoints, np.float32), -(-count // self.batch) * self.batch)
        return self.records[nearest_pose(whole, self._database)[:count]]

    def feed(self, keypoints: Float[np.ndarray, "n 137 3"]) -> UInt8[np.ndarray, "n h w 3"]:
        """Keypoints in pixels of the size → frames."""
        shown = [self.frames.read(int(record))[0] for record in self.find(keypoints)]
        empty = np.zeros((0, self.frames.height, self.frames.width, 3), np.uint8)
        return np.stack(shown) if shown else empty

    def reset(self) -> None:
        """Nothing is remembered from frame to frame."""


class NearestPicture:
    """The same for datasets whose poses are ready pictures: the frame whose pose picture, made
    small, differs least (sum of squares). Arguments as of NearestFrame."""

    def __init__(self, frames: Frames, records: Int[np.ndarray, " r"]):
        if not len(records):
            raise ValueError("the nearest frame needs at least one frame to choose from")
        self.frames, self.records = frames, np.asarray(records, int)
        small = [self._small(frames.window(int(r), 1)["pose_pictures"][0]) for r in self.records]
        self._database = np.stack(small)
        self._squares = (self._database**2).sum(1)

    def _small(self, pose: np.ndarray) -> np.ndarray:
        small = cv2.resize(pose, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        return small.astype(np.float32).ravel() / 255

    def feed(self, poses: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n h w 3"]:
        """Ready pose pictures → frames. Raises ValueError for other pictures."""
        if not is_ready(poses):
            raise ValueError("ready pose pictures are uint8")
        shown = []
        for pose in poses:
            distances = self._squares - 2 * (self._database @ self._small(pose))
            record = int(self.records[int(np.argmin(distances))])
            shown.append(self.frames.window(record, 1)["frames"][0])
        return np.stack(shown) if shown else np.zeros((0, *poses.shape[1:]), np.uint8)

    def reset(self) -> None:
        """Nothing is remembered from frame to frame."""


def baseline(
    frames: Frames, records: Int[np.ndarray, " r"], batch: int = 16
) -> NearestFrame | NearestPicture | None:
    """The baseline for the kind of poses that the dataset has; None where it has none. Arguments as
    of NearestFrame."""
    if frames.dataset.info.pose_pictures:
        return NearestPicture(frames, records)
    return NearestFrame(frames, records, batch) if frames.dataset.has_keypoints else None
