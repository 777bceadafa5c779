"""metadata.json of a dataset."""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypedDict

import numpy as np
from jaxtyping import Int

from motion_jax import __version__
from motion_jax.pose import skeleton


class SourceEntry(TypedDict, total=False):
    """A video or folder that a dataset was made of."""

    file: str
    sha256: str
    fps: float
    width: int  # of the source, in pixels
    height: int
    frames: int
    kept: int
    fit: str
    estimator: dict[str, Any]  # of the poses
    crop: dict[str, int]  # prepare: left, top, width, height in source pixels
    phase: str  # import-data: "train", "val" or "test"
    domain: str  # of unpaired pictures, "A" or "B"
    densepose: str  # import-data: how it was read
    kind: str  # pair: "pose2pics" or "pics2pics"
    pixel_aspect: float  # where it is known: width of a pixel by its height


class Detection(TypedDict, total=False):
    """How well the person was found, or the pictures read: numbers of frames."""

    frames: int
    kept: int
    rejected: dict[str, int]  # by reason
    skipped: list[str]  # damaged pictures
    nobody: int


@dataclass(frozen=True)
class DatasetInfo:
    """What metadata.json says about a dataset.

    Attributes:
      height, width: size of every frame in pixels.
      clips: for each clip (clip number, index into `sources`, first record, number of records).
        A clip is a run of consecutive usable frames; its records follow one another.
      sources: the videos or folders.
      smoothing: the filter's parameters, or None where the poses are as measured.
      max_gap: gaps of up to this many frames were filled by interpolation.
      detection: how many frames were kept, and why others were not.
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
      densepose: how DensePose was drawn in the pose pictures (a pose.densepose.Drawing); None where
        they are something else.
      content: where the pictures are in letterboxed frames: runs (number of records, top, left,
        bottom, right in pixels), in the order of the records; empty where `sources` tell it.
    """

    height: int
    width: int
    clips: tuple[tuple[int, int, int, int], ...] = ()
    sources: tuple[SourceEntry, ...] = ()
    smoothing: dict | None = None
    max_gap: int = 0
    detection: Detection = field(default_factory=Detection)
    options: dict = field(default_factory=dict)
    picture: str = "jpeg"
    skeleton: str = skeleton.NAME
    version: str = __version__
    pose_pictures: bool = False
    pose_format: str = "png"
    pose_interpolation: str = "area"
    pose_style: dict | None = None
    held_out: tuple[int, ...] = ()
    densepose: str | None = None
    content: tuple[tuple[int, int, int, int, int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values. What only some datasets have is left out of the others, so that a run's
        fingerprint of its dataset outlives versions."""
        value = json.loads(json.dumps(dataclasses.asdict(self)))
        for name in ("pose_pictures", "pose_format", "pose_interpolation", "pose_style"):
            if not self.pose_pictures:
                del value[name]
        for name in ("held_out", "densepose", "content"):
            if not value[name]:
                del value[name]
        return value

    @cached_property
    def contents(self) -> Int[np.ndarray, "n 4"]:
        """(top, left, bottom, right) of each record's frame: where the picture is that was
        letterboxed, or all of the frame."""
        whole = (0, 0, self.height, self.width)
        if self.content:
            counts, boxes = [run[0] for run in self.content], [run[1:] for run in self.content]
            return np.repeat(np.array(boxes, int), counts, axis=0)
        boxes = [self._letterboxed(source) or whole for source in self.sources]
        rows = [(boxes[s] if s < len(boxes) else whole, n) for _, s, _, n in self.clips]
        if not rows:
            return np.zeros((0, 4), int)
        return np.repeat(np.array([box for box, _ in rows], int), [n for _, n in rows], axis=0)

    def _letterboxed(self, source: SourceEntry) -> tuple[int, int, int, int] | None:
        """Of a video that `prepare --fit letterbox` laid into the frame: whole pixels inside it."""
        crop = source.get("crop")
        if source.get("fit") != "letterbox" or not crop:
            return None
        found = []
        for start, length, full, side in (
            (crop["top"], crop["height"], source["height"], self.height),
            (crop["left"], crop["width"], source["width"], self.width),
        ):
            low, high = max(-start, 0), min(full - start, length)
            found.append((math.ceil(low * side / length), math.floor(high * side / length)))
        (top, bottom), (left, right) = found
        return top, left, bottom, right

    @property
    def one_content(self) -> tuple[int, int, int, int] | None:
        """The box of `contents` where all records have the same and it is not the whole frame."""
        boxes = np.unique(self.contents, axis=0)
        if len(boxes) != 1 or tuple(boxes[0]) == (0, 0, self.height, self.width):
            return None
        top, left, bottom, right = (int(side) for side in boxes[0])
        return top, left, bottom, right

    @property
    def pixel_aspect(self) -> float:
        """Width of a pixel by its height: not 1 where the video was stretched (the first source
        counts of which it is known)."""
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
            sources=tuple(SourceEntry(**source) for source in info.sources),
            held_out=tuple(int(clip) for clip in info.held_out),
            content=tuple(
                (int(n), int(top), int(left), int(bottom), int(right))
                for n, top, left, bottom, right in info.content
            ),
        )
