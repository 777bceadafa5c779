"""The figures of the First Order Motion Model's paper, for runs that move a photo: held-out clips
made again from their first frames (Siarohin et al. 2019, section 4.1).

They are named apart from this program's own, and are the paper's in kind, not in number: landmarks
come from MediaPipe and identities from another network than the authors took, so that they can be
compared with one another and not with published tables.

- L1: mean absolute difference, values 0...1.
- AKD, average keypoint distance: in pixels, of the landmarks found in the real frame and in the
  generated one, both by the same detector.
- MKR, missing keypoint rate: the share of those found in the real frame that the generated one
  lacks.
- identity: Euclidean distance of the ResNet-50 features of both, of length 1.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, UInt8

from motion_jax.evaluate.score import Piece
from motion_jax.metrics.frames import FOUND, pad
from motion_jax.nets.resnet50 import ResNet50
from motion_jax.pose.landmarks import Found, to_keypoints
from motion_jax.report import html, montage
from motion_jax.report.html import format_value

# Small pictures are enlarged to this height for the detector, by a whole number.
HEIGHT = 256
TITLES = {"l1": "L1", "akd": "AKD, px", "mkr": "MKR", "identity": "identity distance"}
TITLE = "By the First Order Motion Model's paper"

Landmarks = Callable[[UInt8[np.ndarray, "h w 3"]], Float32[np.ndarray, "137 3"]]
Embedding = Callable[[UInt8[np.ndarray, "n h w 3"]], Float32[np.ndarray, "n d"]]


@dataclass
class Totals:
    """Of one method: sums and counts, by the names of TITLES."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, total: float, count: int) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + total
        self.counts[name] = self.counts.get(name, 0) + count

    def means(self) -> dict[str, float | None]:
        return {
            name: self.sums[name] / self.counts[name] if self.counts.get(name) else None
            for name in TITLES
        }


class PaperProtocol:
    """Taps a stream of pieces.

    landmarks: of a picture, confidence 0 where a point is not found; None: no AKD and MKR.
    embedding: of pictures; None: no identity.
    most: frames that are looked for landmarks in. measures: off, pieces only pass through.
    """

    def __init__(
        self,
        landmarks: Landmarks | None,
        embedding: Embedding | None,
        most: int,
        measures: bool = True,
    ):
        self.landmarks, self.embedding, self.left = landmarks, embedding, most
        self.measures = measures
        self.methods: dict[str, Totals] = {}
        self.frames = self.looked_at = 0

    def tap(self, stream: Iterable[Piece]) -> Iterator[Piece]:
        """Yields the same pieces."""
        for piece in stream:
            if self.measures:
                self._add(piece)
            yield piece

    def _add(self, piece: Piece) -> None:
        count = len(piece.real)
        self.frames += count
        looked = min(count, self.left) if self.landmarks else 0
        self.left -= looked
        self.looked_at += looked
        real = [self._found(picture) for picture in piece.real[:looked]]
        who = self.embedding(piece.real) if self.embedding else None
        for name, fakes in piece.fakes.items():
            totals = self.methods.setdefault(name, Totals())
            away = np.abs(piece.real.astype(np.float32) - fakes).mean(axis=(1, 2, 3)) / 255
            totals.add("l1", float(away.sum()), count)
            if who is not None and self.embedding is not None:
                apart = np.linalg.norm(self.embedding(fakes) - who, axis=-1)
                totals.add("identity", float(apart.sum()), count)
            for points, picture in zip(real, fakes, strict=False):
                keypoint_figures(totals, points, self._found(picture))

    def _found(self, picture: np.ndarray) -> np.ndarray:
        assert self.landmarks is not None, "asked only where there are some"
        large = montage.enlarge(picture, HEIGHT)
        points = np.array(self.landmarks(large), np.float32)
        points[..., :2] /= len(large) / len(picture)
        return points

    def results(self, absent: Mapping[str, str]) -> dict[str, Any]:
        """For evaluation.json: methods, numbers of frames, and what is absent and why."""
        return {
            "methods": {name: totals.means() for name, totals in self.methods.items()},
            "frames": self.frames,
            "frames_with_landmarks": self.looked_at,
            "absent": dict(absent),
        }


def keypoint_figures(totals: Totals, real: np.ndarray, fake: np.ndarray) -> None:
    """Adds the distances of points found in both, and of those in the real one how many lack."""
    there, seen = real[:, 2] >= FOUND, fake[:, 2] >= FOUND
    both = there & seen
    distances = np.linalg.norm(real[both, :2] - fake[both, :2], axis=-1)
    totals.add("akd", float(distances.sum()), int(both.sum()))
    totals.add("mkr", float((there & ~seen).sum()), int(there.sum()))


def mediapipe_landmarks(bundle: Path) -> tuple[Landmarks, Callable[[], None]]:
    """(landmarks of head and body in single pictures, what closes it). The detector of poses, which
    keeps nothing from picture to picture: the holistic one gives a picture other points the second
    time."""
    from motion_jax.pose import detect

    landmarker = detect.still_landmarker(bundle, 1)

    def landmarks(picture: np.ndarray) -> np.ndarray:
        found = detect.poses_in(landmarker, picture)
        if not found:
            return np.zeros((137, 3), np.float32)
        return to_keypoints(Found(found[0]), picture.shape[:2])

    return landmarks, landmarker.close


def resnet_embedding(params: dict, batch: int) -> Embedding:
    """The mean over the picture of ResNet-50's last stage, of length 1. params: its parameters."""

    @jax.jit
    def embedded(pictures: Any) -> Any:
        features: Any = ResNet50().apply(
            {"params": params}, pictures.astype(jnp.float32) / 127.5 - 1
        )
        mean = features[-1].mean(axis=(1, 2))
        return mean / (jnp.linalg.norm(mean, axis=-1, keepdims=True) + 1e-8)

    def embedding(pictures: np.ndarray) -> np.ndarray:
        parts = [
            np.asarray(embedded(pad(part, batch)))[: len(part)]
            for part in np.split(pictures, range(batch, len(pictures), batch))
        ]
        return np.concatenate(parts)

    return embedding


def lines(found: Mapping[str, Any], titles: Callable[[str], str]) -> list[str]:
    """For the terminal: a line a method, and what is absent."""
    made = [f"{TITLE} ({found['frames']} frames; not to be put beside its tables):"]
    for method, figures in found["methods"].items():
        parts = [
            f"{TITLES[name]} {format_value(value)}"
            for name, value in figures.items()
            if value is not None
        ]
        made.append(f"  {titles(method)}: {', '.join(parts)}")
    made += [f"  No {name}: {why}." for name, why in found["absent"].items()]
    return made


def section(found: Mapping[str, Any], titles: Callable[[str], str]) -> str:
    """For the page."""
    rows = [
        [titles(method), *(figures[name] for name in TITLES)]
        for method, figures in found["methods"].items()
    ]
    header = ["method", *TITLES.values()]
    better = dict.fromkeys(range(1, len(header)), "min")
    notes = [f"No {name}: {why}." for name, why in found["absent"].items()]
    explained = (
        "Held-out clips made again from their first frames. The paper's kind of figures, with "
        "landmarks of MediaPipe and identities of another network: to be compared with one "
        f"another, not with published tables. Landmarks: {found['frames_with_landmarks']} frames."
    )
    return html.section(
        TITLE, html.paragraph(explained), html.table(header, rows, best=better), html.bullets(notes)
    )
