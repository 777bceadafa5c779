"""What metadata.json says about a dataset."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from motion_jax import __version__
from motion_jax.pose import skeleton


@dataclass(frozen=True)
class DatasetInfo:
    """What metadata.json says about a dataset.

    Attributes:
      height, width: size of every frame in pixels.
      clips: for each clip (clip number, index into `sources`, first record, number of records).
        A clip is a run of consecutive usable frames; its records follow one another.
      sources: for each video a dict: file name, sha256, fps, size, crop, fit, estimator, ...
      smoothing: the filter's parameters, or None where the poses are as measured.
      max_gap: gaps of up to so many frames were filled by interpolation.
      detection: figures of how well the person was found.
      options: the options that `motion-jax prepare` was given.
      picture: "jpeg" (quality 95) or "png".
      skeleton: the layout of the keypoints.
      version: of motion_jax.
      pose_pictures: whether every record holds a ready pose picture (drawn elsewhere) too.
      pose_format: "png" or "jpeg", of those pictures.
      pose_interpolation: how they are made smaller: "nearest" (Everybody Dance Now's way with its
        labels) or "area".
      pose_style: the fields of a pose.draw.PoseStyle, where it is known how they were drawn.
      held_out: numbers of the clips that are held out of training, whole; where there are any, the
        share `data.holdout` of a config does not count.
    """

    height: int
    width: int
    clips: tuple[tuple[int, int, int, int], ...] = ()
    sources: tuple[dict, ...] = ()
    smoothing: dict | None = None
    max_gap: int = 0
    detection: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)
    picture: str = "jpeg"
    skeleton: str = skeleton.NAME
    version: str = __version__
    pose_pictures: bool = False
    pose_format: str = "png"
    pose_interpolation: str = "area"
    pose_style: dict | None = None
    held_out: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values. What only some datasets have is left out of the others, so that a run's
        fingerprint of its dataset outlives versions."""
        value = json.loads(json.dumps(dataclasses.asdict(self)))
        for name in ("pose_pictures", "pose_format", "pose_interpolation", "pose_style"):
            if not self.pose_pictures:
                del value[name]
        if not self.held_out:
            del value["held_out"]
        return value

    @property
    def pixel_aspect(self) -> float:
        """Width of a pixel by its height: not 1 where the video was stretched (of several sources
        the first one of which it is known counts)."""
        for source in self.sources:
            if "pixel_aspect" in source:
                return float(source["pixel_aspect"])
            if source.get("fit") == "squash":
                return (source["width"] / self.width) / (source["height"] / self.height)
        return 1.0

    @property
    def pose_encoding(self) -> str | None:
        """ "png" or "jpeg" where there are ready pose pictures, else None."""
        return self.pose_format if self.pose_pictures else None

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "DatasetInfo":
        """Unknown entries, from a later version, are left out.

        Raises TypeError or ValueError where an entry is missing or of the wrong kind."""
        known = {f.name for f in dataclasses.fields(cls)}
        value = {name: entry for name, entry in value.items() if name in known}
        info = cls(**value)
        return dataclasses.replace(
            info,
            height=int(info.height),
            width=int(info.width),
            clips=tuple((int(c), int(s), int(a), int(n)) for c, s, a, n in info.clips),
            sources=tuple(dict(source) for source in info.sources),
            held_out=tuple(int(clip) for clip in info.held_out),
        )
