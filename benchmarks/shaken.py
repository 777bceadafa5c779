"""A film as a hand-held camera and changing light would give it, from one of a camera on a tripod:
the background plate is tried on it.

    python -m benchmarks.shaken dancer.avi shaken.mp4

Each frame is shifted and turned by a damped random walk (a few per cent of the width, a degree) and
made brighter and darker by another one and by a mains flicker. What comes in at the edges is the
mirrored picture, which three per cent of zoom mostly hide. The same seed gives the same film.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro

from motion_jax.video.reader import read_frames
from motion_jax.video.writer import VideoWriter


@dataclass(frozen=True)
class Options:
    """Shake a film."""

    source: tyro.conf.Positional[Path]
    out: tyro.conf.Positional[Path]
    seed: int = 0
    """Of the walks."""


def main(options: Options) -> None:
    random = np.random.default_rng(options.seed)
    # Across, down (shares of the width) and turned (degrees): place and speed; brightness.
    place, speed, light = np.zeros(3), np.zeros(3), 0.0
    writer: VideoWriter | None = None
    for number, frame in enumerate(read_frames(options.source)):
        height, width = (side - side % 2 for side in frame.image.shape[:2])
        if writer is None:
            writer = VideoWriter(options.out, height, width, crf=16).__enter__()
        speed = 0.9 * speed + random.normal(0, [0.0007, 0.0007, 0.03])
        place = 0.97 * place + speed
        light = 0.96 * light + random.normal(0, 0.012)
        factor = 1 + light + 0.015 * np.sin(2 * np.pi * number * 0.31)
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), place[2], 1.03)
        matrix[:, 2] += place[:2] * width
        moved = cv2.warpAffine(frame.image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
        lit = np.clip(np.rint(moved.astype(np.float32) * factor), 0, 255).astype(np.uint8)
        writer.write(lit, frame.time)
    if writer is not None:
        writer.__exit__(None, None, None)


if __name__ == "__main__":
    main(tyro.cli(Options))
