"""The film of a transfer: pictures side by side under labels, sound, times and metadata."""

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import UInt8

from motion_jax import __version__, events
from motion_jax.pose.draw import PoseStyle, draw_host
from motion_jax.provenance.options import Provenance
from motion_jax.provenance.writer import HonestFolder, HonestWriter
from motion_jax.provenance.xmp import COMPOSITE as COMPOSITE
from motion_jax.provenance.xmp import SYNTHETIC as SYNTHETIC
from motion_jax.report.montage import enlarge, side_by_side, to_height
from motion_jax.transfer.player import Shot
from motion_jax.video.background import BackgroundWriter, Writer
from motion_jax.video.writer import H264, PRORES, VP9, Coding

RESULT = "result (synthetic)"
# Of real frames in another order.
REARRANGED = "result (rearranged)"

# (top, left, bottom, right) in pixels.
Part = tuple[int, int, int, int]


class Film:
    """An MP4 (with alpha a MOV, a WebM or a folder of PNG files, by the path's suffix), encoded by
    a thread; a context manager. The file appears whole at the end, or not at all.

    Args:
      path: the MP4.
      tags: its metadata, see `synthetic_tags`.
      sound: the video whose sound is kept, from the time of the first picture on; None: no sound.
      crf: of `VideoWriter`.
      provenance: of `HonestWriter`.
    """

    def __init__(
        self,
        path: Path,
        tags: dict[str, str],
        sound: Path | None = None,
        crf: float = 18,
        provenance: Provenance | None = None,
    ):
        self._path, self._tags, self._sound, self._crf = path, tags, sound, crf
        self._provenance = provenance or Provenance.of()
        self._writer: BackgroundWriter | None = None
        self._count = 0

    def add(self, picture: UInt8[np.ndarray, "h w c"], time: float) -> None:
        """The next picture, RGB or with alpha RGBA, shown at `time` (seconds of the source). All
        have one shape; it must not be changed afterwards."""
        if self._writer is None:
            self._start = time
            if self._path.suffix == "":
                height, width = picture.shape[:2]
                writer: Writer = HonestFolder(
                    self._path, height, width, self._tags, self._provenance
                )
            else:
                writer = HonestWriter(
                    self._path,
                    *picture.shape[:2],
                    tags=self._tags,
                    provenance=self._provenance,
                    audio_from=self._sound,
                    audio_start=time,
                    crf=self._crf,
                    coding=_coding(self._path, picture.shape[-1]),
                )
            self._writer = BackgroundWriter(writer).__enter__()
        self._writer.write(picture, time - self._start)
        made = functools.partial(np.asarray, picture)
        events.emit(events.PictureMade("frame", self._count, made))
        self._count += 1

    def __enter__(self) -> "Film":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return None if self._writer is None else self._writer.__exit__(kind, error, trace)


def _coding(path: Path, channels: int) -> Coding:
    if channels == 3:
        return H264
    return VP9 if path.suffix.lower() == ".webm" else PRORES


def synthetic_tags(
    who: str, comment: str, source: Path, kind: str = SYNTHETIC, **more: str
) -> dict[str, str]:
    """The metadata of a synthetic film, for people and for programs.

    who: the person who moves like the one in `source`; comment: how it was made, in a sentence or
    two; kind: SYNTHETIC or COMPOSITE; more: further values by name, after motion_jax_.
    """
    return {
        "title": f"Synthetic video: {who} moving like {source.name}",
        "comment": comment,
        "digital_source_type": kind,
        "motion_jax_synthetic": "true",
        "motion_jax_version": __version__,
        "motion_jax_source": source.name,
        **{f"motion_jax_{name}": value for name, value in more.items()},
    }


def cropped(shots: Iterable[Shot], part: Part) -> Iterator[Shot]:
    """The shots with this part of their pictures alone."""
    top, left, bottom, right = part
    for moment, picture in shots:
        whole = picture.shape[:2] == (bottom - top, right - left)
        cut = picture if whole else np.ascontiguousarray(picture[top:bottom, left:right])
        yield moment, cut


def beside_source(
    shots: Iterable[Shot],
    frames: Iterable[UInt8[np.ndarray, "_ _ 3"]],
    size: tuple[int, int],
    style: PoseStyle,
    part: Part,
    result: str = RESULT,
) -> Iterator[Shot]:
    """Source, pose and result in one picture, at the result's height (or a multiple of it).

    frames: the source's, one for each shot; size: (height, width) that the poses lie in; part: the
    part of it that the results show; result: what stands over them.
    """
    height, width = size
    rows = part[2] - part[0]
    times = enlarge(np.zeros((rows, 1, 3), np.uint8)).shape[0] // rows
    top, left, bottom, right = (times * side for side in part)
    scale = np.array([times, times, 1], np.float32)
    for (moment, picture), frame in zip(shots, frames, strict=True):
        pose = draw_host(moment.keypoints * scale, times * height, times * width, style)
        panels = [to_height(frame, bottom - top), pose[top:bottom, left:right], picture]
        yield moment, side_by_side(panels, ["source", "pose", result])


def beside_shown(shots: Iterable[Shot], label: str, part: Part) -> Iterator[Shot]:
    """The picture that the network is shown, under `label`, and the result in one picture."""
    top, left, bottom, right = part
    for moment, picture in shots:
        assert moment.picture is not None, "such a source has a picture at every moment"
        shown = enlarge(moment.picture[top:bottom, left:right])
        yield moment, side_by_side([shown, picture], [label, RESULT])
