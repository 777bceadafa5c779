"""The invisible mark: what it outlives, how visible it is, what it costs, what is found without it.

    python -m benchmarks.mark --videos FOLDER [--save]

Two drawn dancers, and the videos of a folder, cut to the sizes below. Every film is written with
the mark as `transfer` writes it (crf 18), then copied: encoded again at crf 28, cropped, resized.
A bit error is a bit of the 32 that is read wrong, over all films of a size.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reporting import in_one_table, markdown
from motion_jax.errors import UserError
from motion_jax.progress import track

# (height, width) of the films.
SIZES = ((512, 288), (256, 256), (128, 128))
NUMBER = 0xABCDE5
COLUMNS = {
    "size": "size",
    "copy": "copied how",
    "films": "films",
    "found": "mark found",
    "number": "number read",
    "errors": "bit errors, %",
    "clear": "least clear",
}


@dataclass(frozen=True)
class Options:
    """What the invisible mark outlives, and what it costs."""

    videos: Path
    """Folder of real videos; each of them is a film."""
    frames: int = 50
    """Frames of each film."""
    json: bool = False
    """Print the result as JSON, alone."""
    save: bool = False
    """Keep the result in benchmarks/results/, for docs/performance.md."""


def measure(options: Options) -> dict[str, Any]:
    """The result; see `main`."""
    import numpy as np

    from motion_jax.provenance import watermark

    videos = sorted(
        path
        for path in (options.videos.iterdir() if options.videos.is_dir() else ())
        if path.suffix in (".mp4", ".avi", ".mov", ".mkv")
    )
    if not videos:
        raise UserError(f"--videos {options.videos} has no videos; name a folder that has some.")
    mark = watermark.Mark(NUMBER)
    names = ["ada", "ben", *videos]
    read: dict[tuple[str, str], list[tuple[Any, float]]] = {}
    seen, without = [], []
    for size in SIZES:
        luma, colour, costs = [], [], []
        for name in track(names, f"{size[1]}x{size[0]}"):
            frames = film_of(name, size, options.frames)
            begin = time.perf_counter()
            marked = [mark(frame) for frame in frames]
            costs.append((time.perf_counter() - begin) / len(frames) * 1e3)
            change = np.stack(marked).astype(np.float32) - np.stack(frames)
            luma.append(psnr(change @ np.array([0.299, 0.587, 0.114], np.float32)))
            colour.append(psnr(change))
            written = encoded(marked, 18)
            again = encoded(written, 28)
            for copy, make in copies(size).items():
                reading = watermark.read(make(written if make is list else again))
                wrong = float(np.mean(reading.bits != mark.bits))
                read.setdefault((f"{size[1]}x{size[0]}", copy), []).append((reading, wrong))
            without.append(watermark.read(encoded(frames, 28)))
        seen.append(
            {
                "size": f"{size[1]}x{size[0]}",
                "psnr_luma": f"{np.mean(luma):.1f} ({min(luma):.1f} – {max(luma):.1f})",
                "psnr": f"{np.mean(colour):.1f} ({min(colour):.1f} – {max(colour):.1f})",
                "milliseconds": round(float(np.median(costs)), 2),
            }
        )
    rows = [
        {
            "size": size,
            "copy": copy,
            "films": len(readings),
            "found": sum(reading.found for reading, _ in readings),
            "number": sum(reading.number == NUMBER for reading, _ in readings),
            "errors": round(100 * float(np.mean([wrong for _, wrong in readings])), 1),
            "clear": round(min(reading.clear for reading, _ in readings), 2),
        }
        for (size, copy), readings in read.items()
    ]
    return {
        "copies": rows,
        "seen": seen,
        "frames": options.frames,
        "needed": [watermark.FOUND, watermark.FOUND_FITTING],
        "without": {
            "films": len(without),
            "found": sum(reading.found for reading in without),
            "most": round(max(reading.clear for reading in without), 2),
        },
    }


def film_of(name: str | Path, size: tuple[int, int], count: int) -> list[Any]:
    """`count` frames of a drawn dancer or a video, its middle."""
    import cv2

    from motion_jax import puppet
    from motion_jax.video.reader import read_frames

    if isinstance(name, str):
        return list(puppet.draw(puppet.CHARACTERS[name], puppet.dance(count, 25, 1), *size))
    frames = []
    for frame in read_frames(name):
        height, width = frame.image.shape[:2]
        scale = max(size[0] / height, size[1] / width)
        shape = max(round(width * scale), size[1]), max(round(height * scale), size[0])
        small = cv2.resize(frame.image, shape, interpolation=cv2.INTER_AREA)
        top, left = (small.shape[0] - size[0]) // 2, (small.shape[1] - size[1]) // 2
        frames.append(small[top : top + size[0], left : left + size[1]].copy())
        if len(frames) == count:
            break
    return frames


def copies(size: tuple[int, int]) -> dict[str, Callable[[list[Any]], list[Any]]]:
    """What happens to a film after it was encoded again; `list` is the film as it was written."""
    import cv2

    def crop(share: float) -> Callable[[list[Any]], list[Any]]:
        height, width = (int(side * share) for side in size)
        top, left = int((size[0] - height) * 0.37), int((size[1] - width) * 0.61)
        return lambda film: [frame[top : top + height, left : left + width] for frame in film]

    def resize(factor: float) -> Callable[[list[Any]], list[Any]]:
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC

        def resized(film: list[Any]) -> list[Any]:
            height, width = (round(side * factor / 2) * 2 for side in film[0].shape[:2])
            return [cv2.resize(frame, (width, height), interpolation=how) for frame in film]

        return resized

    area = 0.8**0.5
    return {
        "as written": list,
        "crf 28": lambda film: film,
        "crf 28, crop of 20 % of the picture": crop(area),
        "crf 28, crop of 20 % of each side": crop(0.8),
        "crf 28, resized to 75 %": resize(0.75),
        "crf 28, resized to 150 %": resize(1.5),
        "crf 28, crop of 20 % of the picture, resized to 130 %": lambda film: resize(1.3)(
            crop(area)(film)
        ),
    }


def encoded(frames: Sequence[Any], crf: float) -> list[Any]:
    """The frames as an H.264 film has them."""
    from motion_jax.video.reader import read_frames
    from motion_jax.video.writer import VideoWriter

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        with VideoWriter(path, *frames[0].shape[:2], crf=crf) as writer:
            for number, frame in enumerate(frames):
                writer.write(frame, number / 25)
        return [frame.image for frame in read_frames(path)]


def psnr(change: Any) -> float:
    import numpy as np

    return float(10 * np.log10(255**2 / np.mean(np.square(change))))


def section(result: dict[str, Any]) -> str:
    """Markdown for docs/performance.md."""
    return (
        f"Films of {result['frames']} frames, drawn and real, marked and written as `transfer` "
        f"does, then copied. A mark counts as found from a clearness of {result['needed'][0]} on, "
        f"or {result['needed'][1]} where its check bits fit; of {result['without']['films']} films "
        f"without one the clearest had {result['without']['most']}, and "
        f"{result['without']['found']} were taken for marked.\n\n"
        + markdown(result["copies"], COLUMNS)
        + "\n\n"
        + markdown(
            result["seen"],
            {
                "size": "size",
                "psnr_luma": "PSNR of the brightness, dB",
                "psnr": "PSNR of the colours, dB",
                "milliseconds": "ms a frame",
            },
        )
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints and keeps {"copies": [{"size", "copy", …}], "seen": [...], "without": {…}, …}."""
    in_one_table("mark", Options, measure, COLUMNS, arguments, "copies")


if __name__ == "__main__":
    main()
