"""Transfer by nearest frames, from poses to the MP4: frames a second, and where the time goes.

    python -m benchmarks.retrieval_video [--size 512] [--save]

A drawn dancer's dataset is driven by another dance, once in each way: frames as they are, every
third frame chosen and the rest interpolated, twice the frame rate, and three frames blended.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reporting import markdown, parse, report, sentences, summary, table
from motion_jax.errors import UserError

# Options of each way.
WAYS: dict[str, dict[str, Any]] = {
    "chosen frames": {},
    "every 3rd, interpolated": {"every": 3},
    "at 50 frames/s, interpolated": {"fps": 50.0},
    "3 blended": {"k": 3},
}
COLUMNS = {"what": "", "frames": "frames", "frames_per_s": "frames/s, with the MP4"}
PARTS = {"part": "part", "ms": "ms"}
FPS = 25


@dataclass(frozen=True)
class Options:
    """Frames a second of transfer by nearest frames, from poses to the MP4."""

    size: int = 512
    """Height and width of the pictures (pixels)."""
    records: int = 400
    """Frames of the target."""
    frames: int = 150
    """Frames of the source."""
    repeats: int = 3
    """Turns; the medians count."""
    json: bool = False
    """Print the result as JSON, alone."""
    save: bool = False
    """Keep the result in benchmarks/results/, for docs/performance.md."""


def measure(options: Options) -> dict[str, Any]:
    """The result; see `main`."""
    from motion_jax import puppet
    from motion_jax.data.records import open_dataset
    from motion_jax.retrieval.options import RetrievalOptions
    from motion_jax.retrieval.retriever import Retriever
    from motion_jax.transfer.retrieved import output_times

    if options.size < 64:
        raise UserError(f"--size {options.size} is too small; give 64 or more.")
    for name in ("records", "frames", "repeats"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name} must be at least 1.")
    import numpy as np

    motion = puppet.dance(options.frames, FPS, seed=1)
    poses = puppet.pose(puppet.CHARACTERS["ben"], motion, options.size, options.size)
    times = np.arange(options.frames) / FPS
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    counts = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_dataset(folder, options)
        dataset = open_dataset(folder)
        for turn in range(options.repeats + 1):
            for way, changes in WAYS.items():
                made = Retriever(dataset, "nearest", RetrievalOptions(**changes))
                at = output_times(times, changes.get("fps"))
                counts[way] = len(at)
                with timed() as taken:
                    write(folder / "out.mp4", made.pictures(poses, times, at), at, options.size)
                if turn:  # The first round compiles.
                    found[way].append(len(at) / taken[0])
        parts = measure_parts(dataset, poses)
    return {
        "size": options.size,
        "records": options.records,
        "source_frames": options.frames,
        "ways": {way: summary(values) | {"frames": counts[way]} for way, values in found.items()},
        "parts_ms": parts,
    }


@contextmanager
def timed() -> Iterator[list[float]]:
    taken: list[float] = []
    begin = time.perf_counter()
    yield taken
    taken.append(time.perf_counter() - begin)


def make_dataset(folder: Path, options: Options) -> None:
    """A drawn dancer with poses; JPEGs of quality 95, as `prepare` writes them."""
    import numpy as np

    from motion_jax import puppet
    from motion_jax.data import records

    size, count = options.size, options.records
    motion = puppet.dance(count, FPS, seed=0)
    ben = puppet.CHARACTERS["ben"]
    keypoints, frames = puppet.pose(ben, motion, size, size), puppet.draw(ben, motion, size, size)
    rows = (
        {
            "frame": frames[i],
            "keypoints": keypoints[i],
            "face_box": np.zeros(4, np.float32),
            "clip": 0,
            "index": i,
            "time": i / FPS,
        }
        for i in range(count)
    )
    count = records.write_shard(records.shard_path(folder, 0, 1), rows, size, size, "jpeg")
    info = records.DatasetInfo(size, size, ((0, 0, 0, count),))
    records.finish_dataset(folder, info, [count])


def write(path: Path, pictures: Iterator[Any], times: Any, size: int) -> None:
    """Writes pictures as `transfer` does."""
    from motion_jax.video.background import BackgroundWriter
    from motion_jax.video.writer import VideoWriter

    with BackgroundWriter(VideoWriter(path, size, size)) as writer:
        for picture, at in zip(pictures, times, strict=True):
            writer.write(picture, float(at))


def measure_parts(dataset: Any, poses: Any) -> dict[str, float]:
    """Median milliseconds of the parts, each alone."""
    from motion_jax.retrieval.flow import Between, blend, flow
    from motion_jax.retrieval.retriever import Retriever

    taken: dict[str, list[float]] = {}

    def part(name: str, run: Any) -> Any:
        with timed() as seconds:
            result = run()
        taken.setdefault(name, []).append(1e3 * seconds[0])
        return result

    made = Retriever(dataset)
    for _ in range(3):
        part(f"choose frames for {len(poses)} poses", lambda: made.choose(poses))
    step = max(1, (len(dataset) - 7) // 20)
    for record in range(0, len(dataset) - 6, step):
        a, b, c = (
            part("read and decode a frame", lambda r=r: made.frames.read(r)[0])
            for r in (record, record + 3, record + 6)
        )
        part("optical flow, one way", lambda a=a, b=b: flow(a, b))
        between = Between(a, b)
        part("first picture between two (flows both ways)", lambda m=between: m(0.3))
        part("each further one", lambda m=between: m(0.6))
        part("blend three", lambda x=(a, b, c): blend(x, [1.0, 1.0, 1.0]))
    return {name: float(f"{statistics.median(values):.3g}") for name, values in taken.items()}


def rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """For the table and the page."""
    return [
        {"what": way, "frames": values["frames"], "frames_per_s": values["median"]}
        for way, values in result["ways"].items()
    ]


def part_rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"part": part, "ms": value} for part, value in result["parts_ms"].items()]


def section(result: dict[str, Any]) -> str:
    """Markdown for docs/performance.md."""
    return "\n".join(
        [
            f"`transfer --method nearest` at {result['size']}x{result['size']} out of "
            f"{result['records']} frames of a drawn dancer, from normalised poses to the written "
            "MP4 (choosing, decoding, interpolating and encoding; the source's poses are there):",
            "",
            markdown(rows(result), COLUMNS),
            "",
            "The parts, each alone:",
            "",
            markdown(part_rows(result), PARTS),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints and keeps {"ways": {…}, "parts_ms", …}."""
    with sentences("retrieval_video"):
        options = parse(Options, "retrieval_video", arguments)
        result = measure(options)
        size = "" if options.size == 512 else f"-{options.size}"
        report(
            f"retrieval_video{size}",
            result,
            [table(rows(result), COLUMNS), table(part_rows(result), PARTS)],
            as_json=options.json,
            keep=options.save,
            arguments=arguments,
        )


if __name__ == "__main__":
    main()
