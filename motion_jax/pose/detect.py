"""MediaPipe at work: pieces of a video through the landmarkers, in processes of their own.

A video is cut into pieces of a length that depends on the number of its frames alone, each with a
fresh landmarker and a few frames to warm it up; so the result does not depend on how many workers
there are. The landmarkers run in spawned processes: MediaPipe starts threads, writes to stderr as
it likes, and can end a process; none of that may happen in the caller's.
"""

import os
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, UInt8

from motion_jax.errors import UserError
from motion_jax.pose import bundles
from motion_jax.pose.landmarks import Found, RecordFile
from motion_jax.pose.person import disagreement, mirrored
from motion_jax.video import tracks
from motion_jax.video.reader import read_frames
from motion_jax.workers import advance, run_jobs

# Frames that a fresh landmarker sees before the first one that counts: its smoothing settles.
WARM_UP = 4
MOST_PEOPLE = 4
# The follower's pose and the one in the mirror are the same, without another look, if they differ
# by less than so many torso lengths; stricter than `person.MOST_DISAGREEMENT`.
SAME = 0.1
# What hides everything but the followed person.
GREY = 127


@dataclass(frozen=True)
class Source:
    """Which frames of which video: see `motion_jax.video.reader`. `times` are those of all frames
    considered, in seconds; `choice`: of the command that made this."""

    path: Path
    start: float | None
    end: float | None
    fps: float | None
    times: Float64[np.ndarray, " n"]
    choice: tracks.Choice = field(default_factory=tracks.current)


@dataclass(frozen=True)
class Job:
    """Pieces of one video for one process.

    Attributes:
      source: the frames.
      detail: "body" or "holistic".
      bundle: path of the model bundle.
      pieces: (first, last + 1) frame numbers, one after another.
      records: what is found is written there.
      look_every: the detector for several people looks at every nth frame (and at the last), at
        its mirror image and where need be at itself; 0: never.
      boxes: None, or (left, top, right, bottom) of each frame in pixels: all else is hidden from
        the landmarker; NaN where the person is not there at all and the frame is passed over.
    """

    source: Source
    detail: str
    bundle: Path
    pieces: tuple[tuple[int, int], ...]
    records: RecordFile
    look_every: int = 0
    boxes: Float[np.ndarray, "n 4"] | None = None


@dataclass
class Result:
    """What a job found besides what it wrote: {frame number: (poses, poses in the mirror)} of the
    frames looked at by the detector for several people; (height, width) of the frames."""

    looks: dict[int, tuple[list[np.ndarray], list[np.ndarray]]]
    size: tuple[int, int] = (0, 0)


def pieces(count: int) -> list[tuple[int, int]]:
    """Cuts `count` frames into 4 pieces, or a multiple of 8 pieces of at most 256 frames, so that
    each of two, four or eight workers has as much to do as the others."""
    number = 4 if count < 1024 else 8 * -(-count // 2048)
    length = max(32, -(-count // number))
    return [(first, min(first + length, count)) for first in range(0, count, length)]


def shared_pieces(count: int, workers: int) -> list[tuple[tuple[int, int], ...]]:
    """The pieces of `count` frames in order, a run of them for each worker that has something to
    do."""
    found = pieces(count)
    shares = np.array_split(np.arange(len(found)), min(workers, len(found)))
    return [tuple(found[i] for i in share) for share in shares]


def look_step(times: Float64[np.ndarray, " n"], seconds: float) -> int:
    """How many frames lie between two looks of the detector for several people."""
    if len(times) < 2:
        return 1
    interval = float(times[-1] - times[0]) / (len(times) - 1)
    return max(1, round(seconds / interval))


def frames(
    source: Source, first: int, last: int
) -> Generator[tuple[int, UInt8[np.ndarray, "_ _ 3"]], None, None]:
    """(number, RGB picture) of the frames first ... last - 1 of a source.

    Raises UserError where the video gives other frames than the first time."""
    # Resampling takes the frame nearest to a tick, which may lie before it: begin a little earlier.
    begin = max(0, first - 2)
    start = source.start if begin == 0 else float(source.times[begin])
    reading = read_frames(
        source.path, start=start, end=source.end, fps=source.fps, choice=source.choice
    )
    number = begin
    for frame in reading:
        if abs(frame.time - source.times[number]) > 2e-3:
            break
        if number >= first:
            yield number, frame.image
        number += 1
        if number == last:
            reading.close()
            return
    raise UserError(
        f"{source.path} changed while it was read (frame {number} of {len(source.times)} is not "
        "where it was); run the same command again."
    )


def run(jobs: list[Job], workers: int, description: str) -> list[Result]:
    """The results in order of the jobs; shows progress. Raises UserError of a worker."""
    total = sum(last - first for job in jobs for first, last in job.pieces)
    return run_jobs(_run, jobs, workers, description, total)


def _run(job: Job) -> Result:
    result = Result({})
    count = len(job.source.times)
    looker = still_landmarker(job.bundle, MOST_PEOPLE) if job.look_every else None
    starts = {first for first, _ in job.pieces}
    first, last = job.pieces[0][0], job.pieces[-1][1]
    recent: deque[tuple[int, np.ndarray]] = deque(maxlen=WARM_UP)
    follower: _Follower | None = None
    try:
        for number, image in frames(job.source, max(0, first - WARM_UP), last):
            height, width, _ = image.shape
            result.size = (height, width)
            if number >= first:
                if number in starts:
                    if follower:
                        follower.close()
                    follower = _Follower(job)
                    for earlier in recent:
                        follower.see(*earlier)
                assert follower is not None  # the first number begins a piece
                found = follower.see(number, image)
                job.records.write(number, found, result.size)
                if looker and (number % job.look_every == 0 or number == count - 1):
                    result.looks[number] = _look(looker, image, found)
                advance()
            recent.append((number, image))
    finally:
        for landmarker in (follower, looker):
            if landmarker:
                landmarker.close()
    return result


class _Follower:
    """One landmarker in VIDEO mode, which follows one person from frame to frame."""

    def __init__(self, job: Job):
        self._job = job
        self._latest = -1
        self._landmarker: Any = None

    def see(self, number: int, image: np.ndarray) -> Found | None:
        job = self._job
        if job.boxes is not None:
            box = job.boxes[number]
            if np.isnan(box[0]):
                # Nobody to follow: when the person is back, a fresh landmarker starts.
                self.close()
                return None
            image = _hide(image, box)
        if self._landmarker is None:
            self._landmarker = follower_of(job.detail, job.bundle)
        self._latest = max(self._latest + 1, round(job.source.times[number] * 1000))
        return followed(self._landmarker, job.detail, image, self._latest)

    def close(self) -> None:
        if self._landmarker is not None:
            self._landmarker.close()
        self._landmarker = None


def _look(
    looker: Any, image: np.ndarray, found: Found | None
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(poses of all people in the frame, poses in its mirror image).

    Where the mirror image shows nobody but the one whom the follower has found here, or nobody at
    all, the detector need not look at the frame itself."""
    size = image.shape[:2]
    turned = np.ascontiguousarray(image[:, ::-1])
    in_mirror = poses_in(looker, turned)
    if not in_mirror:
        return ([] if found is None else [found.pose]), []
    if found is not None and len(in_mirror) == 1:
        back = mirrored(in_mirror[0], size[1])
        if disagreement(found.pose, back) < SAME:
            return [found.pose], in_mirror
    return poses_in(looker, image), in_mirror


def poses_in(landmarker: Any, image: UInt8[np.ndarray, "h w 3"]) -> list[Float[np.ndarray, "33 4"]]:
    """All poses in a picture, in its pixels; landmarker: `still_landmarker`."""
    size = image.shape[:2]
    return [_pose(pose, size) for pose in landmarker.detect(_picture(image)).pose_landmarks]


def _hide(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    left, top = np.clip(np.floor(box[:2]).astype(int), 0, (width, height))
    right, bottom = np.clip(np.ceil(box[2:]).astype(int), 0, (width, height))
    hidden = np.full_like(image, GREY)
    hidden[top:bottom, left:right] = image[top:bottom, left:right]
    return hidden


def _quiet() -> None:
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def _picture(image: np.ndarray) -> Any:
    import mediapipe

    return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)


def still_landmarker(bundle: Path, people: int) -> Any:
    """A landmarker of bodies for single pictures, up to so many people; to be closed."""
    _quiet()
    from mediapipe.tasks.python import BaseOptions, vision

    packed = bundles.pose_bundle_bytes(bundle)
    return vision.PoseLandmarker.create_from_options(
        vision.PoseLandmarkerOptions(
            BaseOptions(model_asset_buffer=packed),
            vision.RunningMode.IMAGE,
            num_poses=people,
            min_pose_detection_confidence=0.4,
        )
    )


def face_landmarker(bundle: Path, faces: int) -> Any:
    """A landmarker of faces for single pictures, up to so many, out of the holistic bundle; to be
    closed."""
    _quiet()
    from mediapipe.tasks.python import BaseOptions, vision

    base = BaseOptions(model_asset_buffer=bundles.face_bundle_bytes(bundle))
    return vision.FaceLandmarker.create_from_options(
        vision.FaceLandmarkerOptions(base, vision.RunningMode.IMAGE, num_faces=faces)
    )


def faces_in(landmarker: Any, image: UInt8[np.ndarray, "h w 3"]) -> list[Float[np.ndarray, "_ 3"]]:
    """The points of all faces in a picture, in its pixels, depth too; landmarker:
    `face_landmarker`."""
    height, width = image.shape[:2]
    return [
        np.array([(p.x * width, p.y * height, p.z * width) for p in face], np.float32)
        for face in landmarker.detect(_picture(image)).face_landmarks
    ]


def hand_landmarker(bundle: Path, hands: int) -> Any:
    """A landmarker of hands for single pictures, up to so many; to be closed."""
    _quiet()
    from mediapipe.tasks.python import BaseOptions, vision

    base = BaseOptions(model_asset_path=str(bundle))
    return vision.HandLandmarker.create_from_options(
        vision.HandLandmarkerOptions(base, vision.RunningMode.IMAGE, num_hands=hands)
    )


def hands_in(landmarker: Any, image: UInt8[np.ndarray, "h w 3"]) -> list[Float[np.ndarray, "21 2"]]:
    """The points of all hands in a picture, in its pixels; landmarker: `hand_landmarker`."""
    height, width = image.shape[:2]
    return [
        np.array([(p.x * width, p.y * height) for p in hand], np.float32)
        for hand in landmarker.detect(_picture(image)).hand_landmarks
    ]


def follower_of(detail: str, bundle: Path, still: bool = False) -> Any:
    """A landmarker in VIDEO mode, "body" or "holistic", of a model bundle; to be closed. still: in
    IMAGE mode, in which each picture stands alone."""
    _quiet()
    from mediapipe.tasks.python import BaseOptions, vision

    base = BaseOptions(model_asset_path=str(bundle))
    mode = vision.RunningMode.IMAGE if still else vision.RunningMode.VIDEO
    if detail == "body":
        base = BaseOptions(model_asset_buffer=bundles.pose_bundle_bytes(bundle))
        return vision.PoseLandmarker.create_from_options(vision.PoseLandmarkerOptions(base, mode))
    return vision.HolisticLandmarker.create_from_options(
        vision.HolisticLandmarkerOptions(base, mode)
    )


def follower_of_all(bundle: Path) -> Any:
    """A landmarker in VIDEO mode for the bodies of several people; to be closed."""
    _quiet()
    from mediapipe.tasks.python import BaseOptions, vision

    base = BaseOptions(model_asset_buffer=bundles.pose_bundle_bytes(bundle))
    return vision.PoseLandmarker.create_from_options(
        vision.PoseLandmarkerOptions(base, vision.RunningMode.VIDEO, num_poses=MOST_PEOPLE)
    )


def all_followed(
    landmarker: Any, image: UInt8[np.ndarray, "_ _ 3"], milliseconds: int | None
) -> list[Found]:
    """Everybody whom such a landmarker finds in the next frame of its video; without a time, whom
    `still_landmarker` finds in a picture."""
    if milliseconds is None:
        answer = landmarker.detect(_picture(image))
    else:
        answer = landmarker.detect_for_video(_picture(image), milliseconds)
    return [Found(_pose(pose, image.shape[:2])) for pose in answer.pose_landmarks]


def followed(
    landmarker: Any, detail: str, image: UInt8[np.ndarray, "_ _ 3"], milliseconds: int | None
) -> Found | None:
    """What such a landmarker finds in the next frame of its video, whose time must be greater than
    that of the one before; in a still picture, without a time."""
    if milliseconds is None:
        answer = landmarker.detect(_picture(image))
    else:
        answer = landmarker.detect_for_video(_picture(image), milliseconds)
    size = image.shape[:2]
    if detail == "body":
        poses = answer.pose_landmarks
        return Found(_pose(poses[0], size)) if poses else None
    if not answer.pose_landmarks:
        return None
    return Found(
        _pose(answer.pose_landmarks, size),
        _points(answer.face_landmarks, size),
        _points(answer.left_hand_landmarks, size),
        _points(answer.right_hand_landmarks, size),
    )


def _pose(landmarks: Any, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    return np.array(
        [(p.x * width, p.y * height, p.visibility or 0, p.presence or 0) for p in landmarks],
        np.float32,
    )


def _points(landmarks: Any, size: tuple[int, int]) -> np.ndarray | None:
    if not landmarks:
        return None
    height, width = size
    return np.array([(p.x * width, p.y * height) for p in landmarks], np.float32)
