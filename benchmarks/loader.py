"""How fast pairs of frames come out of the loader, against bare JPEG decoding on all cores.

    python -m benchmarks.loader --height 512 --width 1024 [--augment] [--workers N] [--save]

The rival decodes the very same pictures, which it has in memory, and throws the result away: it
reads no file, knows no pose and hands nothing over. It runs once with a thread and once with a
process a core; the faster of them counts. All take turns in one run, and so do batches of pictures
that lie in the device's memory (data.cache = "device"), for which nothing is decoded.
"""

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reporting import machine, markdown, parse, report, sentences, summary, table
from motion_jax.errors import UserError

WINDOW = 2
# Drawn pictures are too smooth to be like a camera's: with noise of this standard deviation (grey
# levels) their JPEGs are as large as those of a real clip (280 kB at 1024x512).
NOISE = 6.0
# Drawing is slow; each drawn picture is used several times, with other noise.
DRAWN = 16

COLUMNS = {
    "what": "what",
    "pairs_per_s": "pairs/s",
    "share": "of bare decoding",
    "ms_per_frame": "ms a frame, all cores",
}
PARTS = {"part": "part of one frame, on one core", "ms": "ms"}


@dataclass(frozen=True)
class Options:
    """Pairs of frames a second out of the loader, against bare JPEG decoding on all cores."""

    height: int = 512
    """Of the frames, pixels."""
    width: int = 1024
    """Of the frames, pixels."""
    batch: int = 1
    """Pairs in a batch."""
    workers: int = 0
    """Worker processes of the loader; 0: a thread a core."""
    augment: bool = False
    """Vary scale, place, side and colours of every pair."""
    video: Path | None = None
    """Frames of this video, scaled to the size, instead of a drawn dancer with noise."""
    records: int = 512
    """Frames in the dataset; all are read from its file again and again."""
    pairs: int = 240
    """Pairs in one turn."""
    rounds: int = 7
    """Turns of each; the medians count."""
    json: bool = False
    """Print the result as JSON, alone."""
    save: bool = False
    """Keep the result in benchmarks/results/, for docs/performance.md."""


def measure(options: Options) -> dict[str, Any]:
    """The result; see `main`."""
    from motion_jax.data.pairs import batches
    from motion_jax.data.records import open_dataset

    for name in ("batch", "pairs", "rounds"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name} must be at least 1.")
    if options.records < WINDOW:
        raise UserError(f"--records {options.records} is less than a pair; give 2 or more.")
    cores = machine()["cores"]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pictures = make_dataset(options, folder)
        dataset = open_dataset(folder)
        encoded = [dataset.encoded(record)["frame"] for record in range(len(dataset))]
        loader = stack.enter_context(
            batches(
                dataset,
                height=options.height,
                width=options.width,
                batch_size=options.batch,
                window=WINDOW,
                holdout=0.0,
                seed=0,
                augment=_augmentation(options.augment),
                workers=options.workers,
                # As with a dataset too large to be kept decoded: every frame is decoded.
                cache_bytes=0,
            )
        )
        rounds = -(-options.pairs // options.batch)

        def ours() -> float:
            # What was made ahead during the others' turns does not count.
            for _ in range(-(-16 // options.batch) + 2 * cores):
                next(loader)
            begin = time.perf_counter()
            for _ in range(rounds):
                next(loader)
            return rounds * options.batch / (time.perf_counter() - begin)

        frames = WINDOW * options.pairs
        turns = {
            "ours": ours,
            "device": stack.enter_context(_resident(dataset, options, rounds)),
            "threads": stack.enter_context(_threads(encoded, frames, cores)),
            "processes": stack.enter_context(_processes(encoded, frames, cores)),
        }
        taken = {name: [] for name in turns}
        for turn in range(options.rounds + 1):
            for name, run in turns.items():
                rate = run()
                if turn:  # The first round warms up.
                    taken[name].append(rate)
        parts = measure_parts(dataset, options)
    rates = {name: summary(values) for name, values in taken.items()}
    rival = max(("threads", "processes"), key=lambda name: rates[name]["median"])
    return {
        "pairs_per_s": rates["ours"]["median"],
        "decode_pairs_per_s": rates[rival]["median"],
        "ratio": round(rates["ours"]["median"] / rates[rival]["median"], 3),
        "rival": f"bare cv2.imdecode, {cores} {rival}",
        "height": options.height,
        "width": options.width,
        "window": WINDOW,
        "batch": options.batch,
        "workers": options.workers,
        "augment": options.augment,
        "cores": cores,
        "pictures": pictures,
        "picture_bytes": round(statistics.mean(map(len, encoded))),
        "rates": rates,
        "parts_ms": parts,
    }


def make_dataset(options: Options, folder: Path) -> str:
    """Writes a dataset of one clip of JPEGs, quality 95; returns what its pictures show."""
    import numpy as np

    from motion_jax import puppet
    from motion_jax.data import records

    height, width, count = options.height, options.width, options.records
    motion = puppet.dance(count, seed=0)
    keypoints = puppet.pose(puppet.CHARACTERS["ben"], motion, height, width)
    made, shown = _filmed(options) if options.video else _drawn(options)
    rows = (
        {
            "frame": frame,
            "keypoints": keypoints[index],
            "face_box": np.float32([0, 0, height // 4, height // 4]),
            "clip": 0,
            "index": index,
            "time": index / 25,
        }
        for index, frame in enumerate(made)
    )
    count = records.write_shard(records.shard_path(folder, 0, 1), rows, height, width, "jpeg")
    info = records.DatasetInfo(height, width, ((0, 0, 0, count),))
    records.finish_dataset(folder, info, [count])
    return shown


def _drawn(options: Options) -> tuple[Iterator[Any], str]:
    import numpy as np

    from motion_jax import puppet

    motion = puppet.dance(min(DRAWN, options.records), seed=0)
    drawn = puppet.draw(puppet.CHARACTERS["ben"], motion, options.height, options.width)
    random = np.random.default_rng(0)
    noise = np.float32(NOISE) * random.standard_normal(drawn.shape[1:], np.float32)

    def noisy() -> Iterator[np.ndarray]:
        for index in range(options.records):
            moved = np.roll(noise, random.integers(options.height), axis=0)
            yield np.clip(drawn[index % len(drawn)] + moved, 0, 255).astype(np.uint8)

    return noisy(), f"a drawn dancer with camera noise ({NOISE:g} grey levels)"


def _filmed(options: Options) -> tuple[Iterator[Any], str]:
    import itertools

    import cv2

    from motion_jax.video.reader import read_frames

    frames = itertools.islice(read_frames(options.video), options.records)
    size = (options.width, options.height)
    scaled = (cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA) for frame in frames)
    return scaled, f"a real video ({options.video.name})"


def _augmentation(varied: bool) -> Any:
    from motion_jax.data.augment import AugmentConfig

    if not varied:
        return AugmentConfig()
    return AugmentConfig(
        scale=0.1, shift=0.05, flip=True, brightness=0.1, contrast=0.1, saturation=0.1
    )


def _decode(pictures: Sequence[Any], first: int, count: int) -> None:
    import cv2

    for number in range(first, first + count):
        cv2.imdecode(pictures[number % len(pictures)], cv2.IMREAD_COLOR)


def _shares(frames: int, cores: int) -> list[tuple[int, int]]:
    """(first, count) of each core's frames."""
    edges = [frames * core // cores for core in range(cores + 1)]
    return [(a, b - a) for a, b in zip(edges[:-1], edges[1:], strict=True)]


@contextmanager
def _resident(dataset: Any, options: Options, rounds: int) -> Iterator[Callable[[], float]]:
    """Batches of pictures that lie in the device's memory (data.cache = "device"), until the device
    has made them."""
    import jax

    from motion_jax.config import Data, Devices
    from motion_jax.data.batches import Batches
    from motion_jax.data.inputs import numbered
    from motion_jax.data.reading import Window
    from motion_jax.devices import mesh as meshes
    from motion_jax.train.resident import Resident

    reading = Window(options.height, options.width, options.batch, length=WINDOW)
    mesh = meshes.make_mesh(Devices(data=1), options.batch)
    load = numbered(dataset, reading, Data(holdout=0.0, augment=_augmentation(options.augment)), 0)
    assert load is not None, "windows of a dataset"
    resident = Resident(load, mesh)
    with Batches(load, batch_size=options.batch, workers=0, start=0, rows=None) as numbers:

        def turn() -> float:
            begin = time.perf_counter()
            for _ in range(rounds):
                batch = resident.batch(meshes.place(next(numbers), mesh))
            jax.block_until_ready(batch)
            return rounds * options.batch / (time.perf_counter() - begin)

        yield turn


@contextmanager
def _threads(encoded: list[bytes], frames: int, cores: int) -> Iterator[Callable[[], float]]:
    import numpy as np

    pictures = [np.frombuffer(data, np.uint8) for data in encoded]
    with ThreadPoolExecutor(cores) as pool:

        def turn() -> float:
            begin = time.perf_counter()
            jobs = [pool.submit(_decode, pictures, *share) for share in _shares(frames, cores)]
            for job in jobs:
                job.result()
            return frames / WINDOW / (time.perf_counter() - begin)

        yield turn


@contextmanager
def _processes(encoded: list[bytes], frames: int, cores: int) -> Iterator[Callable[[], float]]:
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for share in _shares(frames, cores):
        here, there = context.Pipe()
        process = context.Process(target=_decoder, args=(there, encoded, share), daemon=True)
        process.start()
        there.close()
        pipes.append(here)
        processes.append(process)

    def turn() -> float:
        begin = time.perf_counter()
        for pipe in pipes:
            pipe.send(True)
        for pipe in pipes:
            pipe.recv()
        return frames / WINDOW / (time.perf_counter() - begin)

    try:
        for pipe in pipes:
            pipe.recv()
        yield turn
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join()


def _decoder(pipe: Any, encoded: list[bytes], share: tuple[int, int]) -> None:
    import numpy as np

    pictures = [np.frombuffer(data, np.uint8) for data in encoded]
    _decode(pictures, 0, min(len(pictures), 16))
    pipe.send(True)
    try:
        while pipe.recv():
            _decode(pictures, *share)
            pipe.send(True)
    except EOFError:
        return


def measure_parts(dataset: Any, options: Options) -> dict[str, float]:
    """Where the loader's time for one frame goes: median milliseconds on one core, warm."""
    import numpy as np
    from array_record.python import array_record_module

    from motion_jax.data.augment import augment
    from motion_jax.data.example import read_example
    from motion_jax.data.records import decode_picture, shard_path

    reader = array_record_module.ArrayRecordReader(str(shard_path(dataset.folder, 0, 1)))
    place = np.empty((WINDOW, options.height, options.width, 3), np.uint8)
    config = _augmentation(True)
    taken: dict[str, list[float]] = {}

    def timed(part: str, function: Callable[..., Any], *arguments: Any) -> Any:
        begin = time.perf_counter()
        result = function(*arguments)
        taken.setdefault(part, []).append(1e3 * (time.perf_counter() - begin))
        return result

    for record in range(len(dataset)):
        data = timed("read the record", lambda i: reader.read([i])[0], record)
        values = timed("parse it", read_example, data)
        frame = timed("decode the JPEG", decode_picture, values["frame"][0])
        timed("copy it into the batch", np.copyto, place[record % WINDOW], frame)
        if options.augment and record % WINDOW:
            keypoints = np.zeros((WINDOW, 137, 3), np.float32)
            boxes = np.zeros((WINDOW, 4), np.float32)
            window = {"frames": place, "keypoints": keypoints, "face_boxes": boxes}
            random = np.random.default_rng(record)
            timed("augment it", augment, window, config, random)
    reader.close()
    if "augment it" in taken:
        taken["augment it"] = [value / WINDOW for value in taken["augment it"]]
    return {part: round(statistics.median(values), 4) for part, values in taken.items()}


def rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """For the table and the page."""
    made = []
    workers = result["workers"]
    names = {
        "ours": "the loader, " + (f"{workers} processes" if workers else "a thread a core"),
        "device": "pictures in the device's memory, made into batches there",
        "threads": "bare cv2.imdecode, a thread a core",
        "processes": "bare cv2.imdecode, a process a core",
    }
    for name, what in names.items():
        if name not in result["rates"]:  # measured before there was such a thing
            continue
        rate = result["rates"][name]["median"]
        made.append(
            {
                "what": what,
                "pairs_per_s": rate,
                "share": f"{100 * rate / result['decode_pairs_per_s']:.0f} %",
                "ms_per_frame": 1e3 / rate / result["window"],
            }
        )
    return made


def part_rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"part": part, "ms": value} for part, value in result["parts_ms"].items()]


def section(result: dict[str, Any]) -> str:
    """Markdown for docs/performance.md."""
    what = "with augmentation" if result["augment"] else "without augmentation"
    return "\n".join(
        [
            f"Shuffled pairs of frames at {result['width']}x{result['height']} out of "
            f"`motion_jax.data.pairs`, {what}, against bare `cv2.imdecode` of the same pictures "
            f"({result['pictures']}, {result['picture_bytes'] / 1e3:.0f} kB of JPEG each) on "
            f"{result['cores']} cores: **{100 * result['ratio']:.0f} %** of what decoding alone "
            f"reaches. The rival has the pictures in memory and throws the result away.",
            "",
            markdown(rows(result), COLUMNS),
            "",
            "Where the time of one frame goes, measured apart:",
            "",
            markdown(part_rows(result), PARTS),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints and keeps {"pairs_per_s", "decode_pairs_per_s", "ratio", …}."""
    with sentences("loader"):
        options = parse(Options, "loader", arguments)
        result = measure(options)
        kind = "-augment" if options.augment else ""
        kind += f"-{options.workers}-processes" if options.workers else ""
        kind += "-video" if options.video else ""
        report(
            f"loader{kind}",
            result,
            [table(rows(result), COLUMNS), table(part_rows(result), PARTS)],
            as_json=options.json,
            keep=options.save,
            arguments=arguments,
        )


if __name__ == "__main__":
    main()
