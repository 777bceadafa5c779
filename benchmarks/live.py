"""How old a live picture is, and whether a runtime within our program costs more than alone.

    python -m benchmarks.live --run runs/ben --seconds 20 [--json] [--save]

A drawn dancer's film is the camera (or --camera). Numbers are drawn into its frames and read from
the finished pictures, so that ages are measured from camera to screen. Two tables:

  live        frames/s, ages p50, p95, p99 by the marks, frames passed over, what each stage takes
  generators  a picture by our program with OpenVINO or ONNX Runtime inside (drawing and laying
              over the plate included) beside the same graph in the runtime alone, in turns
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reporting import machine, parse, report, sentences, summary, table


@dataclass(frozen=True)
class Options:
    """Ages of live pictures, and the cost of a generator in each runtime."""

    run: Path
    """Run folder, driven by poses."""
    smaller: Path | None = None
    """A smaller run, as for motion-jax live."""
    camera: Path | None = None
    """Video of a person (default: a drawn dancer, whose poses are estimated like anybody's)."""
    seconds: float = 20.0
    """Of live pictures."""
    fps: int = 30
    """Of the drawn dancer."""
    repeats: int = 40
    """Pictures by which runtimes are compared."""
    json: bool = False
    """Print the result as JSON."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def main(arguments: Sequence[str] | None = None) -> None:
    with sentences("live"):
        options = parse(Options, "live", arguments)
        result = measure(options)
        tables = [
            table(
                result["live"],
                {"what": "live", "p50": "p50 ms", "p95": "p95 ms", "p99": "p99 ms"},
                f"{result['fps']:.1f} frames/s, {result['dropped']['all']} passed over, marks "
                f"misread: {result['marks_misread']}",
            ),
            table(
                result["generators"],
                {"runtime": "runtime", "alone": "alone, ms", "ours": "in our program, ms",
                 "ratio": "ratio"},
            ),
        ]  # fmt: skip
        report("live", result, tables, as_json=options.json, keep=options.save)


def measure(options: Options) -> dict[str, Any]:
    from motion_jax.live.command import live
    from motion_jax.live.options import LiveOptions

    with tempfile.TemporaryDirectory() as folder:
        camera = options.camera or _dancer(Path(folder), options.fps)
        found = live(
            LiveOptions(
                run=(options.run,),
                smaller=options.smaller,
                camera=str(camera),
                seconds=options.seconds,
                side_by_side=True,
                marks=True,
                record=Path(folder) / "out.mp4",
            )
        )
    rows = [{"what": "age, by marks", **found["age_by_marks_ms"]}]
    rows += [{"what": stage, **times} for stage, times in found["stages"].items()]
    return {
        "machine": machine(),
        "run": options.run.name,
        "fps": found["fps"],
        "dropped": found["dropped"],
        "marks_misread": found["marks_misread"],
        "left_out": found["left_out"],
        "runtimes": found["runs"],
        "live": rows,
        "generators": generators(options),
    }


def _dancer(folder: Path, fps: int) -> Path:
    """A film of a drawn dancer, large enough for MediaPipe."""
    from motion_jax import puppet

    dance = puppet.dance(10 * fps, fps, 1)
    video, _ = puppet.make_video(folder, puppet.CHARACTERS["ada"], dance, 480, 480)
    return video


def generators(options: Options) -> list[dict[str, Any]]:
    """Each runtime alone and inside our program, in turns."""
    import numpy as np

    from motion_jax.live.graphs import Elsewhere, installed
    from motion_jax.train.run import load_run
    from motion_jax.transfer.player import Networks
    from motion_jax.transfer.resident import Resident
    from motion_jax.transfer.source import Moment

    run = load_run(options.run)
    height, width = run.size
    pose = np.zeros((137, 3), np.float32)
    pose[:25] = (width / 2, height / 2, 1)
    moment = Moment(0.0, Resident(run).pose(pose).shown)
    rows = []
    for name in [each for each in installed() if each != "jax"]:
        elsewhere = Elsewhere(run, name)
        networks = Networks(run, chunk=1, around=elsewhere)
        next(iter(networks.begin([moment])))
        calls = [(call, shape) for shape, call in elsewhere.sessions()]
        spent: dict[str, list[float]] = {"alone": [], "ours": []}
        inputs = [np.zeros(shape, np.float32) for _, shape in calls]
        for _ in range(options.repeats):
            begun = time.perf_counter()
            for (call, _), x in zip(calls, inputs, strict=True):
                call(x)
            between = time.perf_counter()
            next(iter(networks.begin([moment])))
            spent["alone"].append((between - begun) * 1000)
            spent["ours"].append((time.perf_counter() - between) * 1000)
        medians = {which: summary(times)["median"] for which, times in spent.items()}
        ratio = round(medians["ours"] / medians["alone"], 3)
        rows.append({"runtime": name, **medians, "ratio": ratio})
    return rows


if __name__ == "__main__":
    main()
