"""Scores of several methods against the true frames, in one pass, in constant memory."""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float32, Real, UInt8

from motion_jax.metrics import frames as metrics
from motion_jax.metrics.frames import FlickerMeter, frame_scores, pad
from motion_jax.metrics.lpips import Lpips
from motion_jax.pose.face import face_boxes as boxes_of

# Frames in one call of the compiled programs.
BATCH = 16
PICTURE_METRICS = ("psnr", "ssim", "body_psnr", "body_ssim", "face_psnr", "face_ssim")
LPIPS_METRICS = ("lpips", "body_lpips", "face_lpips")
FLICKER_METRICS = ("flicker", "background_flicker")
# Examples kept for a report: evenly spread, best and worst.
EVEN, EXTREME = 6, 3


class Scorer:
    """Scores one method. Feed it the frames in order, in pieces of any length.

    batch: frames computed at once. lpips: the metric with its weights, or None.
    """

    def __init__(self, batch: int = BATCH, lpips: Lpips | None = None):
        self.batch, self.lpips = batch, lpips
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
          Each metric's figures, NaN where a frame has no such figure. Raises ValueError where real
          and fake differ in shape.
        """
        if real.shape != fake.shape:
            raise ValueError(f"true frames of {real.shape}, synthesised ones of {fake.shape}")
        boxes = metrics.body_boxes(keypoints, *real.shape[1:3])
        results: dict[str, list[np.ndarray]] = {}
        for start in range(0, len(real), self.batch):
            rows = slice(start, start + self.batch)
            for name, values in self._batch(
                real[rows], fake[rows], boxes[rows], np.asarray(face_boxes, np.float32)[rows]
            ).items():
                results.setdefault(name, []).append(values)
        joined = {name: np.concatenate(values) for name, values in results.items()}
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
        if self.lpips is not None:
            boxes = np.stack(padded[2:], axis=1)
            distances = np.asarray(self.lpips(padded[0], padded[1], boxes))[:count]
            found |= dict(zip(LPIPS_METRICS, distances.T, strict=True))
        return found | flicker

    def per_frame(self) -> dict[str, Float32[np.ndarray, " n"]]:
        """Each metric's figures of all frames fed so far."""
        return {name: np.concatenate(parts) for name, parts in self._parts.items()}

    def summary(self) -> dict[str, float | None]:
        """Means over the frames that have a figure; None where none has. LPIPS is None where its
        weights are absent."""
        found = metrics.means(self.per_frame())
        names = (*PICTURE_METRICS, *LPIPS_METRICS, *FLICKER_METRICS)
        return {name: found.get(name) for name in names}


def score(
    real: Iterable[UInt8[np.ndarray, "h w 3"]],
    fake: Iterable[UInt8[np.ndarray, "h w 3"]],
    keypoints: Float[np.ndarray, "n 137 3"],
    face_boxes: Real[np.ndarray, "n 4"] | None = None,
    *,
    starts: Sequence[int] = (0,),
    batch: int = BATCH,
    lpips: Lpips | None = None,
) -> dict[str, float | None]:
    """Scores one method from two streams of frames.

    Args:
      real, fake: in order.
      keypoints: of the true frames, in their pixels.
      face_boxes: in their pixels; None computes them from the keypoints.
      starts: numbers of the frames with which a clip begins.

    Returns:
      {metric: mean}, see `Scorer.summary`, and "frames": N.
    Raises ValueError where the streams or the keypoints have different lengths.
    """
    stream = ((a, {"": b}) for a, b in zip(real, fake, strict=True))
    found = compare(
        pieces(stream, keypoints, face_boxes, starts=starts, batch=batch), batch=batch, lpips=lpips
    )
    return found.methods[""] | {"frames": found.frames}


@dataclass(frozen=True)
class Piece:
    """Consecutive frames of one clip.

    Attributes:
      fakes: the frames by each method.
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
    """One frame as all methods show it, for a report. group: "evenly spread", "best", "worst";
    pose: keypoints [137, 3] or a ready pose picture."""

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
    methods: dict[str, dict] = field(default_factory=dict)
    per_frame: dict[str, dict[str, Float32[np.ndarray, " n"]]] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)


def compare(
    stream: Iterable[Piece],
    *,
    total: int | None = None,
    batch: int = BATCH,
    lpips: Lpips | None = None,
) -> Comparison:
    """Scores all methods of a stream of pieces. Memory does not grow with the pictures: only the
    figures and a fixed number of examples are kept.

    total: frames to come, for examples evenly spread over them; None: no such examples. Best and
    worst go by the PSNR of the first method.
    """
    scorers: dict[str, Scorer] = {}
    result = Comparison()
    wanted = set() if total is None else {
        int(i) for i in np.linspace(0, max(total - 1, 0), min(EVEN, total)).round()
    }  # fmt: skip
    even: list[Example] = []
    best = _Extremes("best", EXTREME, 1)
    worst = _Extremes("worst", EXTREME, -1)
    for piece in stream:
        if not scorers:
            scorers = {name: Scorer(batch, lpips) for name in piece.fakes}
        psnr = np.zeros(0)
        for name, scorer in scorers.items():
            if piece.first:
                scorer.reset()
            found = scorer.feed(piece.real, piece.fakes[name], piece.keypoints, piece.face_boxes)
            psnr = psnr if len(psnr) else found["psnr"]
        for i in range(len(piece.real)):
            number = result.frames + i
            value = float(psnr[i])
            if number in wanted:
                even.append(_example("evenly spread", number, piece, i, value))
            for extremes in (best, worst):
                if extremes.takes(value):
                    extremes.add(_example(extremes.group, number, piece, i, value))
        result.frames += len(piece.real)
        result.labels += list(piece.labels)
    result.methods = {name: scorer.summary() for name, scorer in scorers.items()}
    result.per_frame = {name: scorer.per_frame() for name, scorer in scorers.items()}
    result.examples = even + best.sorted() + worst.sorted()
    return result


def _example(group: str, number: int, piece: Piece, i: int, psnr: float) -> Example:
    poses = piece.keypoints if piece.pose_pictures is None else piece.pose_pictures
    return Example(
        group,
        number,
        piece.labels[i],
        poses[i].copy(),
        piece.real[i].copy(),
        {name: frames[i].copy() for name, frames in piece.fakes.items()},
        psnr,
    )


class _Extremes:
    """The `most` examples with the highest (sign 1) or lowest (sign -1) PSNR seen so far."""

    def __init__(self, group: str, most: int, sign: int):
        self.group, self.most, self.sign = group, most, sign
        self._heap: list[tuple[float, int, Example]] = []

    def takes(self, psnr: float) -> bool:
        return len(self._heap) < self.most or self.sign * psnr > self._heap[0][0]

    def add(self, example: Example) -> None:
        entry = (self.sign * example.psnr, -example.frame, example)
        if len(self._heap) < self.most:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heapreplace(self._heap, entry)

    def sorted(self) -> list[Example]:
        return [entry[2] for entry in sorted(self._heap, key=lambda entry: entry[:2])][::-1]


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

    Arguments as in `score`; labels: N texts (default the frame's number). Raises ValueError where
    the stream and the keypoints have different lengths.
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
