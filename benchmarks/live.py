"""How old a live picture is, whether a runtime within our program costs more than alone, and how a
loop as people write it does beside it.

    python -m benchmarks.live [--run runs/ben] --seconds 20 [--torch-python PATH] [--save]

A drawn dancer's film is the camera (or --camera). Numbers are drawn into its frames and read from
the finished pictures, so that ages are measured from camera to screen. Without --run the network is
one of the student's family with random weights, at 256x256. What is measured:

  live        frames/s, ages p50, p95, p99 by the marks, frames passed over, what each stage takes
  checks      of that session's film: marks that go up, its length; of one whose network is slowed
              to 200 ms: nothing accumulates, memory; of a viewer that stalls for five seconds
  generators  a generator's graph by OpenVINO or ONNX Runtime alone, the same called from our
              compiled program, and a whole picture (drawing the pose included), in turns
  loop        OpenCV, MediaPipe and PyTorch in one thread, before the same film
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.reporting import machine, markdown, parse, report, sentences, summary, table

# Milliseconds of a picture in the session that is slowed, and seconds that a viewer stalls.
SLOWED, STALL = 200.0, 5.0
AGES = {"what": "", "fps": "frames/s", "p50": "p50 ms", "p95": "p95 ms", "p99": "p99 ms"}
RUNTIMES = {
    "runtime": "runtime", "alone": "the graph alone, ms", "ours": "in our program, ms",
    "ratio": "ratio", "whole": "a whole picture, ms",
}  # fmt: skip


@dataclass(frozen=True)
class Network:
    """The network with random weights, where there is no --run."""

    ngf: int = 16
    """Channels."""
    n_downsampling: int = 3
    """Halvings."""
    n_blocks: int = 4
    """Residual blocks."""
    shuffle: int = 2
    """Pixels a side that enter as one."""


@dataclass(frozen=True)
class Options:
    """Ages of live pictures, the cost of a generator in each runtime, and a loop beside it."""

    run: Path | None = None
    """Run folder, driven by poses (default: --network with random weights)."""
    size: int = 256
    """Of its pictures, where there is no --run."""
    network: Network = field(default_factory=Network)
    """Its network, where there is no --run."""
    smaller: Path | None = None
    """A smaller run, as for motion-jax live."""
    camera: Path | None = None
    """Video of a person (default: a drawn dancer, whose poses are estimated like anybody's)."""
    seconds: float = 20.0
    """Of live pictures, in each session."""
    fps: int = 30
    """Of the drawn dancer."""
    precision: str = "float32"
    """Of the generator, as for motion-jax live."""
    repeats: int = 40
    """Pictures by which runtimes are compared."""
    torch_python: Path | None = None
    """A Python with torch, for the loop (default: without the loop)."""
    name: str = "live"
    """Of the result: live, or live-WORD."""
    json: bool = False
    """Print the result as JSON."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def main(arguments: Sequence[str] | None = None) -> None:
    with sentences("live"):
        options = parse(Options, "live", arguments)
        result = measure(options)
        checks = [{"check": name, "value": str(value)} for name, value in result["checks"].items()]
        tables = [
            table(
                result["live"],
                AGES,
                f"{result['dropped']['all']} passed over, marks misread: {result['marks_misread']}",
            ),
            table(result["generators"], RUNTIMES),
            table(checks, {"check": "check", "value": "value"}),
        ]
        report(options.name, result, tables, as_json=options.json, keep=options.save)


def section(result: dict[str, Any]) -> str:
    """For docs/performance.md."""
    checks = ", ".join(f"{name.replace('_', ' ')} {v}" for name, v in result["checks"].items())
    return "\n\n".join(
        [
            f"{result['what']}, {result['precision']}:",
            markdown(result["live"], AGES),
            markdown(result["generators"], RUNTIMES),
            f"Checks: {checks}.",
        ]
    )


def measure(options: Options) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        camera = options.camera or _dancer(place, options.fps)
        run = options.run or _untrained(place, options)
        film = place / "out.mp4"
        found = _session(options, run, camera, record=film)
        slow = _slowed(options, run, camera)
        stalled = _stalled(options, run, camera)
        rows = [{"what": "age, by marks", "fps": found["fps"], **found["age_by_marks_ms"]}]
        rows += [{"what": stage, **times} for stage, times in found["stages"].items()]
        if options.torch_python is not None:
            rows += _loop(options, camera)
        return {
            "machine": machine(),
            "what": _words(options),
            "precision": options.precision,
            "fps": found["fps"],
            "dropped": found["dropped"],
            "marks_misread": found["marks_misread"],
            "left_out": found["left_out"],
            "runtimes": found["runs"],
            "live": rows,
            "checks": {**_of_film(film, camera, options.seconds), **slow, **stalled},
            "generators": generators(run, options.repeats),
        }


def _words(options: Options) -> str:
    if options.run is not None:
        return f"The run {options.run.name}"
    n = options.network
    return (
        f"A network of {n.ngf} channels, {n.n_downsampling} halvings, {n.n_blocks} blocks, shuffle "
        f"{n.shuffle} at {options.size}x{options.size}"
    )


def _dancer(folder: Path, fps: int) -> Path:
    """A film of a drawn dancer, large enough for MediaPipe."""
    from motion_jax import puppet

    dance = puppet.dance(10 * fps, fps, 1)
    video, _ = puppet.make_video(folder, puppet.CHARACTERS["ada"], dance, 480, 480)
    return video


def _untrained(folder: Path, options: Options) -> Path:
    import dataclasses

    from benchmarks.untrained import student, write_run
    from motion_jax import puppet

    poses = puppet.pose(puppet.CHARACTERS["ben"], puppet.dance(50, 25), options.size, options.size)
    recipe = student(options.size, **dataclasses.asdict(options.network))
    return write_run(folder / "untrained", recipe, poses)


def _session(
    options: Options, run: Path, camera: Path, record: Path | None = None, **settings: Any
) -> dict[str, Any]:
    from motion_jax.live.command import live
    from motion_jax.live.options import LiveOptions

    more = settings.pop("more", None)
    given = LiveOptions(
        run=(run,),
        smaller=options.smaller,
        camera=str(camera),
        seconds=options.seconds,
        side_by_side=True,
        marks=True,
        record=record,
        window=False,
        precision=options.precision,  # type: ignore[arg-type]
        **settings,
    )
    return live(given, more=more)


# --- checks -------------------------------------------------------------------------------------


@cache
def _marked_width(camera: Path, height: int) -> int:
    """Of the camera's part of a picture of that height."""
    from motion_jax.live.session import scaled_width
    from motion_jax.video.reader import probe

    info = probe(camera)
    return scaled_width(info.height, info.width, height)


def _of_film(film: Path, camera: Path, seconds: float) -> dict[str, Any]:
    """Whether a session's film shows later frames later, and how long it is beside the session."""
    import numpy as np

    from motion_jax.live import marks
    from motion_jax.video.reader import read_frames

    numbers, times = [], []
    for shot in read_frames(film):
        number = marks.read(shot.image, _marked_width(camera, shot.image.shape[0]))
        if number is not None:
            numbers.append(number)
        times.append(shot.time)
    steps = np.diff(numbers) % marks.COUNT
    return {
        "marks_read_of_the_film": len(numbers),
        "all_go_up": bool(((steps > 0) & (steps < marks.COUNT // 2)).all()),
        "film_seconds": round(times[-1] - times[0], 2),
        "session_seconds": seconds,
    }


def _slowed(options: Options, run: Path, camera: Path) -> dict[str, Any]:
    """A session whose network takes 200 ms more: ages stay those of a few pictures."""
    from motion_jax.live.people import Person

    plain = Person.picture
    held: list[float] = []

    def slow(self: Person, seen: Any, at: float) -> Any:
        time.sleep(SLOWED / 1000)
        held.append(_memory())
        return plain(self, seen, at)

    Person.picture = slow  # type: ignore[method-assign]
    try:
        found = _session(options, run, camera, degrade=False)
    finally:
        Person.picture = plain  # type: ignore[method-assign]
    pose = found["stages"]["pose"]["p95"]
    return {
        "slowed_p95_ms": found["age_ms"]["p95"],
        "slowed_limit_ms": round(pose + 2 * (SLOWED + found["stages"]["fit"]["p95"]), 1),
        "slowed_dropped": found["dropped"]["all"],
        # From the second quarter to the end: what was loaded at the start is not growth.
        "memory_growth": round(held[-1] / held[len(held) // 4] - 1, 4),
    }


def _stalled(options: Options, run: Path, camera: Path) -> dict[str, Any]:
    """A viewer by WebSocket that reads nothing for five seconds: the ages that it sees before, and
    within a second after."""
    import cv2
    import numpy as np

    from motion_jax.live import marks
    from motion_jax.live.command import live
    from motion_jax.live.options import LiveOptions

    port, ages = _free_port(), []
    taken: dict[int, float] = {}

    def watch() -> None:
        from websockets.sync.client import connect

        with _patient(lambda: connect(f"ws://127.0.0.1:{port}/stream", max_size=None)) as socket:
            stalled = False
            begun = time.monotonic()
            while time.monotonic() - begun < 2 * STALL + 2:
                data = socket.recv(30)
                image = cv2.imdecode(np.frombuffer(data[16:], np.uint8), cv2.IMREAD_COLOR)
                number = marks.read(image, _marked_width(camera, image.shape[0]))
                if number in taken:
                    now = time.monotonic()
                    ages.append((now - begun, 1000 * (now - taken[number])))
                if not stalled and time.monotonic() - begun > STALL / 2:
                    stalled = True
                    time.sleep(STALL)
                socket.send("ok")

    from motion_jax.live.camera import Capture

    plain = Capture._prepared

    def noted(self: Capture, frame: Any) -> Any:
        taken[frame.number % marks.COUNT] = frame.taken
        return plain(self, frame)

    Capture._prepared = noted  # type: ignore[method-assign]
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        live(
            LiveOptions(
                run=(run,), camera=str(camera), seconds=2 * STALL + 8, side_by_side=True,
                marks=True, port=port, window=False,
            )
        )  # fmt: skip
    finally:
        Capture._prepared = plain  # type: ignore[method-assign]
    thread.join(30)
    before = [age for at, age in ages if at < STALL / 2]
    after = [age for at, age in ages if STALL * 1.5 + 1 < at < STALL * 1.5 + 3]
    found = {"seen_by_websocket_p95_ms": before, "a_second_after_a_stall_p95_ms": after}
    return {k: round(float(np.percentile(v, 95)), 1) if v else None for k, v in found.items()}


@contextmanager
def _patient(connect: Any) -> Iterator[Any]:
    deadline = time.monotonic() + 120
    while True:
        try:
            socket = connect()
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    with socket:
        yield socket


def _free_port() -> int:
    import socket

    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def _memory() -> float:
    """Megabytes that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


# --- runtimes and the loop ----------------------------------------------------------------------


def generators(folder: Path, repeats: int) -> list[dict[str, Any]]:
    """Each runtime alone, called from a compiled program of ours, and in a whole picture, in
    turns."""
    import jax
    import numpy as np

    from motion_jax.live.graphs import Elsewhere, installed
    from motion_jax.train.run import load_run
    from motion_jax.transfer.player import Networks
    from motion_jax.transfer.resident import Resident
    from motion_jax.transfer.source import Moment

    run = load_run(folder)
    height, width = run.size
    pose = np.zeros((137, 3), np.float32)
    pose[:25] = (width / 2, height / 2, 1)
    moment = Moment(0.0, Resident(run).pose(pose).shown)
    kinds = [("onnxruntime", "float32"), ("openvino", "float32"), ("openvino", "bfloat16")]
    rows = []
    for name, precision in kinds:
        if name not in installed():
            continue
        elsewhere = Elsewhere(run, name, precision)  # type: ignore[arg-type]
        networks = Networks(run, chunk=1, around=elsewhere)
        next(iter(networks.begin([moment])))
        [(shape, call)] = elsewhere.sessions()
        module = run.config.recipe.networks(run.stage)["generator"].module

        def ours(params: Any, x: Any, around: Any = elsewhere, module: Any = module) -> Any:
            with around():
                return module.apply(params, x)

        compiled, params = jax.jit(ours), run.params["generator"]
        x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
        # In a picture's program it is drawn there.
        drawn = jax.device_put(x)
        np.asarray(compiled(params, drawn))
        works = {
            "alone": lambda call=call, x=x: call(x),
            "ours": lambda f=compiled, p=params, x=drawn: np.asarray(f(p, x)),
            "whole": lambda n=networks: next(iter(n.begin([moment]))),
        }
        spent: dict[str, list[float]] = {which: [] for which in works}
        for _ in range(repeats):
            for which, work in works.items():
                begun = time.perf_counter()
                work()
                spent[which].append((time.perf_counter() - begun) * 1000)
        medians = {which: summary(times)["median"] for which, times in spent.items()}
        ratio = round(medians["ours"] / medians["alone"], 3)
        rows.append({"runtime": f"{name} {precision}", **medians, "ratio": ratio})
    return rows


def _loop(options: Options, camera: Path) -> list[dict[str, Any]]:
    """The loop in PyTorch, with a network of the same channels, halvings and blocks on pixels."""
    n = options.network
    network = {"ngf": n.ngf, "n_downsampling": n.n_downsampling, "n_blocks": n.n_blocks}
    told = subprocess.run(
        [str(options.torch_python), "-c", "import torch, os; print(os.path.dirname("
         "os.path.dirname(torch.__file__)))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    path = os.pathsep.join([os.environ.get("PYTHONPATH", ""), told.stdout.strip()]).strip(
        os.pathsep
    )
    command = [
        sys.executable, "-m", "benchmarks.torch_live", "--film", str(camera), "--fps",
        str(options.fps), "--seconds", str(options.seconds), "--size", str(options.size),
        "--network", json.dumps(network),
    ]  # fmt: skip
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return [
        {"what": "the loop in PyTorch and OpenCV: age", "fps": found["fps"], **found["age"]},
        *({"what": f"its {name}", **found[name]} for name in ("pose", "picture")),
    ]


if __name__ == "__main__":
    main()
