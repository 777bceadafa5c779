"""`motion-jax transfer --method nearest`: real frames of the target in the order of the source's
motion.

A retriever takes the place of a trained run: poses, fitting, gaps, sound and tags are the same. The
frames are real, so the result is a composite of recordings; it is labelled as synthetic, too.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Int, UInt8

from motion_jax.data.records import PoseFrames, open_dataset
from motion_jax.errors import UserError, option
from motion_jax.pose.draw import PoseStyle
from motion_jax.retrieval.options import RetrievalOptions
from motion_jax.retrieval.retriever import Retriever, compatible_keypoints
from motion_jax.transfer.film import COMPOSITE, REARRANGED, beside_source, synthetic_tags
from motion_jax.transfer.fit import Body
from motion_jax.transfer.options import TransferOptions
from motion_jax.transfer.performance import (
    Performance,
    laid_clip,
    source_frames,
    source_track,
    tell_unseen,
)
from motion_jax.transfer.player import Player
from motion_jax.transfer.source import Clip, Moment
from motion_jax.video.reader import probe

T = TypeVar("T")
# Options of networks.
OF_NETWORKS = (
    "step", "ready_poses", "region", "face_boxes", "pose_pictures", "statistics", "dropout_seed",
    "face", "recurrent", "background",
)  # fmt: skip


def performance(options: TransferOptions) -> Performance:
    """A performance by real frames of a dataset. Raises UserError for every bad input."""
    _check(options)
    assert options.data is not None and options.method is not None, "checked"
    info = probe(options.source)
    dataset = open_dataset(options.data)
    made = Retriever(dataset, options.method, options.retrieval)
    track = source_track(options)
    body = Body.of_dataset(dataset, compatible_keypoints(dataset))
    clip = laid_clip(track, body, options, steady=options.stabilise == "pose")
    tell_unseen(clip, dataset)
    at = output_times(clip.times, options.retrieval.fps)
    rows = _shown_rows(clip.times, at)
    if clip.lost[rows].all():
        raise UserError(
            f"{option('retrieval.fps')} {options.retrieval.fps:g} is so low that no frame with a "
            "person is shown; choose a higher one."
        )
    part = dataset.info.one_content or (0, 0, *dataset.size)
    return Performance(
        moments=_at(clip, rows, at),
        count=len(at),
        player=Player(Rearranged(made, clip, at), options.chunk, options.gaps),
        beside=lambda shots: beside_source(
            shots, repeated(source_frames(options), rows), body.size, PoseStyle(), part, REARRANGED
        ),
        part=part,
        tags=_tags(dataset, options),
        sound=info.has_audio,
        made=f"frames, rearranged from {len(made.records)} real ones",
    )


def _check(options: TransferOptions) -> None:
    if options.run is not None:
        raise UserError(
            f"{option('run')} and {option('method')} are two ways to the pictures; leave one of "
            "them out."
        )
    if options.data is None:
        raise UserError(
            f"{option('method')} {options.method} needs the target's dataset: give "
            f"{option('data')} DATASET, made by motion-jax prepare."
        )
    if problem := options.retrieval.error():
        raise UserError(problem)
    for field in dataclasses.fields(options):
        if field.name in OF_NETWORKS and getattr(options, field.name) != field.default:
            given = f"{field.name}=False" if field.default is True else field.name
            raise UserError(
                f"{option(given)} works only with {option('run')}; {option('method')} "
                f"{options.method} has no network."
            )
    if options.stabilise == "face":
        raise UserError(
            f"{option('stabilise')} face works only with {option('run')}; with {option('method')} "
            f"{options.method} the room would jump: use {option('stabilise')} pose."
        )


class Rearranged:
    """A player's maker: frames of a dataset for the moments of a clip, shown at the times `at`
    (ascending). Frames are chosen for a whole stretch without a gap at once."""

    def __init__(self, retriever: Retriever, clip: Clip, at: Float[np.ndarray, " s"]):
        self._retriever, self._clip, self._at = retriever, clip, at
        self._rows = _shown_rows(clip.times, at)
        self.reset()

    def reset(self) -> None:
        """Another stretch begins."""
        self._pictures: Iterator[np.ndarray] | None = None

    def begin(self, moments: Sequence[Moment]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """See `player.Maker`."""
        if self._pictures is None:
            self._pictures = self._stretch(int(np.searchsorted(self._at, moments[0].time)))
        return itertools.islice(self._pictures, len(moments))

    def _stretch(self, first: int) -> Iterator[np.ndarray]:
        """The pictures from number `first` on, until the person is lost."""
        gaps = np.flatnonzero(self._clip.lost[self._rows[first:]])
        last = first + int(gaps[0]) if len(gaps) else len(self._at)
        # With the frame after the last one, for interpolation towards it.
        rows = np.arange(self._rows[first], min(self._rows[last - 1] + 2, len(self._clip)))
        rows = rows[~self._clip.lost[rows]]
        return self._retriever.pictures(
            self._clip.keypoints[rows], self._clip.times[rows], self._at[first:last]
        )


def output_times(times: Float[np.ndarray, " n"], fps: float | None) -> Float[np.ndarray, " s"]:
    """Times of the result: the source's, or every 1 / fps seconds from its first frame until its
    last frame was shown."""
    if fps is None or len(times) < 2:
        return times
    shown = times[-1] - times[0] + np.median(np.diff(times))
    return times[0] + np.arange(max(1, round(float(shown) * fps))) / fps


def _shown_rows(times: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The number of the source's frame that is shown at each time of the result."""
    return np.clip(np.searchsorted(times, at + 1e-6, side="right") - 1, 0, len(times) - 1)


def _at(clip: Clip, rows: np.ndarray, at: np.ndarray) -> Iterator[Moment]:
    """The moments of a clip in those rows, shown at other times."""
    for moment, time in zip(repeated(clip.moments(), rows), at, strict=True):
        yield Moment(float(time), moment.shown)


def repeated(items: Iterable[T], rows: Int[np.ndarray, " s"]) -> Iterator[T]:
    """The items with the numbers `rows`, which do not decrease."""
    for count, item in zip(np.bincount(rows).tolist(), items, strict=False):
        yield from itertools.repeat(item, count)


def _tags(dataset: PoseFrames, options: TransferOptions) -> dict[str, str]:
    """The film's metadata."""
    name, retrieval = dataset.folder.resolve().name, options.retrieval
    made = RetrievalOptions(k=retrieval.k, every=retrieval.every, fps=retrieval.fps)
    mixed = made != RetrievalOptions()
    return synthetic_tags(
        name,
        f"Synthetic: motion_jax put real frames of {name} into the order of the motion of "
        f"{options.source.name}{' and mixed them by optical flow' if mixed else ''}; it is not "
        "a recording of what it shows.",
        options.source,
        kind=COMPOSITE,
        method=str(options.method),
        dataset=name,
        normalize=options.normalize,
    )
