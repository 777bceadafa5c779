"""Scores of several methods against the true frames, in one pass, in constant memory."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Real, UInt8

from motion_jax.metrics import frames as metrics
from motion_jax.metrics.frames import FlickerMeter, frame_scores, pad
from motion_jax.metrics.lpips import BACKBONES, Lpips, load
from motion_jax.metrics.resnet import ResNetDistance
from motion_jax.pose.face import face_boxes as boxes_of

# Of one method: {metric: its mean, or None where there is none}.
Figures = dict[str, float | None]
# Frames in one call of the compiled programs.
BATCH = 16
PICTURE_METRICS = ("psnr", "ssim", "body_psnr", "body_ssim", "face_psnr", "face_ssim")
LPIPS_METRICS = ("lpips", "body_lpips", "face_lpips")
RESNET_METRICS = ("resnet50", "body_resnet50", "face_resnet50")
FLICKER_METRICS = ("flicker", "background_flicker")
SHARPNESS = "sharpness"
# Examples kept for a report: evenly spread, best and worst.
EVEN, EXTREME = 6, 3


def load_lpips(
    network: str, folder: Path | None, size: tuple[int, int]
) -> tuple[Lpips | None, str]:
    """(LPIPS for frames of `size` (height, width) or None, why there is none).

    network, folder: as metrics.lpips.load takes them.
    """
    lpips, why_not = load(network, folder)
    least = BACKBONES[network].least
    if lpips and min(size) < least:
        return None, f"frames under {least} pixels are too small for it"
    return lpips, why_not


class Scorer:
    """Scores one method. Feed it the frames in order, in pieces of any length.

    batch: frames computed at once. lpips, resnet: the metrics with their weights, or None.
    """

    def __init__(
        self, batch: int = BATCH, lpips: Lpips | None = None, resnet: ResNetDistance | None = None
    ):
        self.batch = batch
        known = ((LPIPS_METRICS, lpips), (RESNET_METRICS, resnet))
        self.perceptual = [(names, metric) for names, metric in known if metric is not None]
        self._flicker = FlickerMeter(batch)
        self._parts: dict[str, list[np.ndarray]] = {}

    def reset(self) -> None:
        """A new clip begins: its first frame does not flicker against the one before."""
        self._flicker.reset()

    def feed(
        self,
        real: UInt8[np.ndarray, "n h w 3"],
        fake: UInt8[np.ndarray, "n _ _ 3"],
        keypoints: Float[np.ndarray, "n 137 3"],
        face_boxes: Real[np.ndarray, "n 4"],
    ) -> dict[str, Float32[np.ndarray, " n"]]:
        """Scores the next n frames.

        Args:
          keypoints, face_boxes: of the true frames, in their pixels.

        Returns:
          Each metric's figures, NaN where a frame has no such figure.
        Raises ValueError where real and fake differ in shape.
        """
        if real.shape != fake.shape:
            raise ValueError(f"true frames of {real.shape}, synthesised ones of {fake.shape}")
        boxes = metrics.body_boxes(keypoints, *real.shape[1:3])
        faces = np.asarray(face_boxes, np.float32)
        parts: dict[str, list[np.ndarray]] = {}
        for start in range(0, len(real), self.batch):
            rows = slice(start, start + self.batch)
            found = self._batch(real[rows], fake[rows], boxes[rows], faces[rows])
            for name, values in found.items():
                parts.setdefault(name, []).append(values)
        joined = {name: np.concatenate(values) for name, values in parts.items()}
        for name, values in joined.items():
            self._parts.setdefault(name, []).append(values)
        return joined

    def _batch(
        self, real: np.ndarray, fake: np.ndarray, body: np.ndarray, face: np.ndarray
    ) -> dict[str, np.ndarray]:
        count = len(real)
        flicker = self._flicker.feed(real, fake, body)
        padded = [pad(values, self.batch) for values in (real, fake, body, face)]
        found = {k: np.asarray(v)[:count] for k, v in frame_scores(*padded).items()}
        for names, metric in self.perceptual:
            boxes = np.stack(padded[2:], axis=1)
            distances = np.asarray(metric(padded[0], padded[1], boxes))[:count]
            found |= dict(zip(names, distances.T, strict=True))
        return found | flicker | {SHARPNESS: metrics.sharpness(real, fake, body)}

    def per_frame(self) -> dict[str, Float32[np.ndarray, " n"]]:
        """Each metric's figures of all frames fed so far."""
        return {name: np.concatenate(parts) for name, parts in self._parts.items()}

    def summary(self) -> Figures:
        """Means over the frames that have a figure; None where none has. LPIPS and the distance of
        ResNet-50 are None where their weights are absent."""
        found = metrics.means(self.per_frame())
        names = (
            *PICTURE_METRICS, *LPIPS_METRICS, *RESNET_METRICS, *FLICKER_METRICS, SHARPNESS
        )  # fmt: skip
        return {name: found.get(name) for name in names}


@dataclass(frozen=True)
class Piece:
    """Consecutive frames of one clip.

    Attributes:
      real: the true frames; fakes: those of each method.
      keypoints, face_boxes: of the true frames, in their pixels.
      first: whether a clip begins here.
      labels: n short texts, for example "clip 2, 1.24 s".
      pose_pictures: of datasets that have ready ones.
    """

    real: UInt8[np.ndarray, "n h w 3"]
    fakes: Mapping[str, UInt8[np.ndarray, "n h w 3"]]
    keypoints: Float[np.ndarray, "n 137 3"]
    face_boxes: Real[np.ndarray, "n 4"]
    first: bool
    labels: Sequence[str]
    pose_pictures: UInt8[np.ndarray, "n h w 3"] | None = None


@dataclass(frozen=True)
class Example:
    """One frame as all methods show it, for a report.

    Attributes:
      group: why it was chosen: "evenly spread", "best" or "worst".
      frame, label: its number among all, and a short text.
      pose: keypoints, or a ready pose picture.
      real: the true frame; fakes: those of each method.
      psnr: of the first method, dB.
    """

    group: str
    frame: int
    label: str
    pose: Float[np.ndarray, "137 3"] | UInt8[np.ndarray, "h w 3"]
    real: UInt8[np.ndarray, "h w 3"]
    fakes: Mapping[str, UInt8[np.ndarray, "h w 3"]]
    psnr: float


@dataclass
class Comparison:
    """What `compare` found.

    Attributes:
      frames: number of frames.
      methods: {method: {metric: mean or None}}.
      per_frame: {method: {metric: figures}}.
      labels: N texts.
      examples: frames to look at, by group and then in order.
    """

    frames: int = 0
    methods: dict[str, Figures] = field(default_factory=dict)
    per_frame: dict[str, dict[str, Float32[np.ndarray, " n"]]] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)


def compare(
    stream: Iterable[Piece],
    *,
    total: int | None = None,
    batch: int = BATCH,
    lpips: Lpips | None = None,
    resnet: ResNetDistance | None = None,
) -> Comparison:
    """Scores all methods of a stream of pieces. Memory does not grow with the pictures: only the
    figures and a fixed number of examples are kept, evenly spread ones and the best and worst by
    the first method's PSNR.

    total: frames to come; None: no examples that are evenly spread.
    """
    scorers: dict[str, Scorer] = {}
    result = Comparison()
    wanted = set() if total is None else {
        int(i) for i in np.linspace(0, max(total - 1, 0), min(EVEN, total)).round()
    }  # fmt: skip
    even: list[Example] = []
    best: list[Example] = []
    worst: list[Example] = []
    for piece in stream:
        if not scorers:
            scorers = {name: Scorer(batch, lpips, resnet) for name in piece.fakes}
        psnr = np.zeros(0)
        for name, scorer in scorers.items():
            if piece.first:
                scorer.reset()
            found = scorer.feed(piece.real, piece.fakes[name], piece.keypoints, piece.face_boxes)
            psnr = psnr if len(psnr) else found["psnr"]
        begin = result.frames
        for i in range(len(piece.real)):
            if begin + i in wanted:
                even.append(_example("evenly spread", begin, piece, i, psnr))
        for group, extremes, highest in (("best", best, True), ("worst", worst, False)):
            rows = np.argsort(-psnr if highest else psnr, kind="stable")[:EXTREME]
            extremes += [_example(group, begin, piece, int(i), psnr) for i in rows]
            # Of equal ones the earlier frame stays first.
            extremes.sort(key=lambda example: example.psnr, reverse=highest)
            del extremes[EXTREME:]
        result.frames += len(piece.real)
        result.labels += list(piece.labels)
    result.methods = {name: scorer.summary() for name, scorer in scorers.items()}
    result.per_frame = {name: scorer.per_frame() for name, scorer in scorers.items()}
    result.examples = even + best + worst
    return result


def _example(group: str, begin: int, piece: Piece, i: int, psnr: np.ndarray) -> Example:
    """Frame i of a piece that begins with frame `begin`."""
    poses = piece.keypoints if piece.pose_pictures is None else piece.pose_pictures
    return Example(
        group,
        begin + i,
        piece.labels[i],
        poses[i].copy(),
        piece.real[i].copy(),
        {name: frames[i].copy() for name, frames in piece.fakes.items()},
        float(psnr[i]),
    )


def pieces(
    stream: Iterable[tuple[UInt8[np.ndarray, "h w 3"], Mapping[str, UInt8[np.ndarray, "h w 3"]]]],
    keypoints: Float[np.ndarray, "n 137 3"],
    face_boxes: Real[np.ndarray, "n 4"] | None = None,
    *,
    starts: Sequence[int] = (0,),
    labels: Sequence[str] | None = None,
    batch: int = BATCH,
) -> Iterator[Piece]:
    """From single frames (true frame, {method: frame}) to pieces for `compare`.

    Args:
      stream: in order.
      keypoints: of the true frames, in their pixels.
      face_boxes: in their pixels; None computes them from the keypoints.
      starts: numbers of the frames with which a clip begins.
      labels: N texts (default: the frames' numbers).
      batch: frames in a piece, at most.
    Raises ValueError where the stream and the keypoints have different lengths.
    """
    begins, count = set(starts), len(keypoints)
    waiting: list[tuple[np.ndarray, Mapping[str, np.ndarray]]] = []
    done = 0

    def piece() -> Piece:
        nonlocal waiting, done, face_boxes
        rows = slice(done, done + len(waiting))
        real = np.stack([a for a, _ in waiting])
        if face_boxes is None:
            face_boxes = boxes_of(keypoints, *real.shape[1:3])
        made = Piece(
            real,
            {name: np.stack([fakes[name] for _, fakes in waiting]) for name in waiting[0][1]},
            keypoints[rows],
            face_boxes[rows],
            done in begins or done == 0,
            [str(i) for i in range(done, rows.stop)] if labels is None else labels[rows],
        )
        done, waiting = rows.stop, []
        return made

    for frame in stream:
        number = done + len(waiting)
        if number >= count:
            raise ValueError(f"more frames than the {count} poses")
        if waiting and (len(waiting) == batch or number in begins):
            yield piece()
        waiting.append(frame)
    if waiting:
        yield piece()
    if done != count:
        raise ValueError(f"{done} frames for {count} poses")
