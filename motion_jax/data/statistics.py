"""What `prepare` knows of its videos beyond the records, for metadata.json and quality.json."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from motion_jax.data.crop import Region
from motion_jax.data.info import SourceEntry
from motion_jax.data.quality_json import ClipEntry, VideoEntry
from motion_jax.pose import long_arrays, skeleton
from motion_jax.pose.face import face_heights
from motion_jax.pose.track import PoseTrack
from motion_jax.video.reader import VideoInfo

# Confidence above which a joint or group counts as seen.
SEEN = 0.3

_GROUPS = {
    "face": skeleton.FACE,
    "left_hand": skeleton.LEFT_HAND,
    "right_hand": skeleton.RIGHT_HAND,
}
_LEGS = [skeleton.INDEX[f"{s}_{j}"] for s in ("left", "right") for j in ("knee", "ankle")]
_ARMS = [skeleton.INDEX[f"{s}_{j}"] for s in ("left", "right") for j in ("elbow", "wrist")]


@dataclass(frozen=True)
class Prepared:
    """One video, ready to be written.

    Attributes:
      info, sha256: the video.
      track: its poses after filling and smoothing, in pixels of the source; `reasons` final.
      measured: confidences before that.
      region: what becomes the dataset's frame.
      clips: (first, last + 1) frames of each clip.
      keypoints, face_boxes: in pixels of the dataset's frame.
      repairs: what was mended in the poses (`pose.mend.Repairs` as JSON).
    """

    info: VideoInfo
    sha256: str
    track: PoseTrack
    measured: Float32[np.ndarray, "n 137"]
    region: Region
    clips: list[tuple[int, int]]
    keypoints: Float32[np.ndarray, "n 137 3"]
    face_boxes: Float32[np.ndarray, "n 4"]
    repairs: dict

    @property
    def kept(self) -> int:
        """Frames."""
        return sum(last - first for first, last in self.clips)


def source_entry(video: Prepared, fit: str) -> SourceEntry:
    """What the dataset's metadata say of one video."""
    info, track = video.info, video.track
    return {
        "file": info.path.name,
        "sha256": video.sha256,
        "fps": info.fps,
        "width": track.size[1],
        "height": track.size[0],
        "frames": len(track),
        "kept": video.kept,
        "fit": fit,
        "crop": video.region.to_json(),
        "estimator": _without_lists(track.estimator),
    }


def _without_lists(estimator: dict) -> dict:
    return {name: value for name, value in estimator.items() if name != "people"}


def clip_entries(video: Prepared) -> list[ClipEntry]:
    """The "clips" of quality.json, in order of their records, for a video by itself."""
    entries: list[ClipEntry] = []
    record, track = 0, video.track
    for first, last in video.clips:
        entries.append(
            {
                "clip": len(entries),
                "video": 0,
                "first_record": record,
                "length": last - first,
                "first_frame": first,
                "start_time": float(track.times[first]),
                "end_time": float(track.times[last - 1]),
                "ended_by": track.reasons[last] if last < len(track) else "",
            }
        )
        record += last - first
    return entries


def video_entry(video: Prepared, clips: list[ClipEntry], blur: dict[int, float]) -> VideoEntry:
    """One of the "videos" of quality.json, its records and clips numbered from 0.

    Args:
      clips: of `clip_entries`.
      blur: {frame: sharpness} of the frames kept.
    """
    track, info = video.track, video.info
    count = len(track)
    record, clip = np.full(count, -1), np.full(count, -1)
    for entry in clips:
        span = slice(entry["first_frame"], entry["first_frame"] + entry["length"])
        record[span] = entry["first_record"] + np.arange(entry["length"])
        clip[span] = entry["clip"]
    kept = record >= 0
    confidence = {
        name: _rounded(video.measured[:, joint]) for joint, name in enumerate(skeleton.BODY_NAMES)
    }
    visible = {}
    for name, part in _GROUPS.items():
        means = video.measured[:, part].mean(axis=1)
        confidence[name] = _rounded(means)
        visible[name] = (means > SEEN).tolist()
    filled = track.filled if track.filled is not None else np.zeros((count, skeleton.COUNT), bool)
    seen = video.keypoints[..., 2] > SEEN
    return {
        "name": info.path.name,
        "sha256": video.sha256,
        "width": track.size[1],
        "height": track.size[0],
        "fps": info.fps,
        "duration": info.duration,
        "rotation": info.rotation,
        "estimator": _without_lists(track.estimator),
        "crop": video.region.to_json(),
        "frames": count,
        "kept": int(kept.sum()),
        "reasons": list(track.reasons),
        "times": track.times.tolist(),
        "record": record.tolist(),
        "clip": clip.tolist(),
        "confidence": confidence,
        "filled": filled.sum(axis=1).tolist(),
        "face_visible": visible["face"],
        "left_hand_visible": visible["left_hand"],
        "right_hand_visible": visible["right_hand"],
        "face_height": _face_heights(video.keypoints),
        "body_visible": {
            "legs": float(seen[kept][:, _LEGS].all(axis=1).mean()),
            "arms": float(seen[kept][:, _ARMS].all(axis=1).mean()),
        },
        "blur": [blur.get(frame) for frame in range(count)],
        "people": list(track.estimator.get("people", [0] * count)),
        "repairs": video.repairs,
    }


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 2) for value in values]


def _face_heights(keypoints: np.ndarray) -> list[float | None]:
    (heights,) = long_arrays.gathered(lambda part: (face_heights(part),), keypoints)
    return [None if np.isnan(height) else round(float(height), 1) for height in heights]
