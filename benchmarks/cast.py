"""Four people of a film, each replaced by a run's person, in one `motion-jax transfer`.

    python -m benchmarks.cast --save

A drawn film of four dancers is made into one in which a run plays all of them before the film's own
place (`--person all --run RUN --background source`), by the command itself, once for each length:
the difference between lengths is the work a frame, the rest is start-up and compiling. The poses
are given, so that the figures do not hang on a detector; with --looked-for the shortest film is
also made by the command that looks for the people itself. The memory is the most that the command
held at any time.

Without --run the network is the one of the config many_people at the film's size, never trained: it
takes as long as another. Its matte covers everything, which costs the compositing more than a
person does, and noise costs the encoder more.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.reporting import in_one_table, markdown
from motion_jax.errors import UserError
from motion_jax.progress import say

DANCERS, SEED = 4, 2
COLUMNS = {
    "poses": "poses",
    "frames": "frames",
    "seconds": "seconds",
    "seconds_a_frame": "seconds a frame",
    "peak_mb": "most memory, MB",
}


@dataclass(frozen=True)
class Options:
    """Four people replaced in one film: seconds and memory of the whole command."""

    run: Path | None = None
    """A trained run that draws the person apart (default: networks that were never trained)."""
    size: int = 256
    """Side of the film's pictures, and of the untrained run's, in pixels."""
    frames: tuple[int, ...] = (50, 150, 300)
    """Lengths of the film."""
    looked_for: bool = False
    """Also let the command look for the people of the shortest film."""
    json: bool = False
    """Print the result as JSON, alone."""
    save: bool = False
    """Keep the result in benchmarks/results/, for docs/performance.md."""


def measure(options: Options) -> dict[str, Any]:
    """The result; see `main`."""
    if options.size % 16 or options.size < 64 or not options.frames or min(options.frames) < 8:
        raise UserError("--size is a multiple of 16 from 64 on, and --frames are 8 or more.")
    from motion_jax.train.run import load_person

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = options.run or _untrained(folder / "run", options.size)
        height, width = load_person(run).size
        lengths = sorted(options.frames)
        ways = [("given", count) for count in lengths]
        ways += [("looked for", lengths[0])] if options.looked_for else []
        rows = []
        for poses, count in ways:
            rows.append(_timed(folder / f"{poses}-{count}", run, options.size, count, poses))
            say(str(rows[-1]))
    given = [row for row in rows if row["poses"] == "given"]
    more = given[-1]["frames"] - given[0]["frames"]
    further = (given[-1]["seconds"] - given[0]["seconds"]) / more if more else None
    return {
        "rows": rows,
        "dancers": DANCERS,
        "size": f"{options.size}x{options.size}",
        "run": f"{width}x{height}" + ("" if options.run else ", never trained"),
        "seconds_a_further_frame": None if further is None else round(further, 3),
    }


def _untrained(folder: Path, size: int) -> Path:
    """A run of many_people's networks at this size."""
    import numpy as np

    from benchmarks.untrained import write_run
    from motion_jax import puppet
    from motion_jax.config import load_config
    from motion_jax.data.plates import Plates, write_plates

    recipe: Any = load_config("many_people").recipe
    stage = replace(recipe.global_stage, height=size, width=size)
    recipe = replace(recipe, global_stage=stage, averaging=0.0)
    plate = np.full((1, size, size, 3), 90, np.uint8)
    write_plates(folder, Plates(plate, np.zeros(0, int)), ())
    dance = puppet.dance(50, 25, 0)
    return write_run(folder, recipe, puppet.pose(puppet.CHARACTERS["ben"], dance, size, size))


def _timed(folder: Path, run: Path, size: int, frames: int, poses: str) -> dict[str, Any]:
    """The command in a process of its own."""
    from benchmarks.drawn_people import poses_of, write_film, write_poses
    from motion_jax.puppet import company

    folder.mkdir()
    film, sides = company.scene(SEED, DANCERS, frames), (size, size)
    path = write_film(film, folder / "film.mp4", sides)
    command = [
        sys.executable, "-m", "motion_jax.cli", "transfer", "--source", str(path), "--person",
        "all", "--run", str(run), "--background", "source", "--out", str(folder / "out.mp4"),
    ]  # fmt: skip
    if poses == "given":
        command += ["--poses", str(write_poses(poses_of(film, sides), folder / "poses"))]
    begun = time.perf_counter()
    with open(folder / "log.txt", "w") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, used = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        said = (folder / "log.txt").read_text().strip().splitlines()
        raise UserError(f"The command failed: {said[-1] if said else child.returncode}")
    return {
        "poses": poses,
        "frames": frames,
        "seconds": round(seconds, 1),
        "seconds_a_frame": round(seconds / frames, 3),
        "peak_mb": used.ru_maxrss // 1024,
    }


def section(result: dict[str, Any]) -> str:
    """Markdown for docs/performance.md."""
    further = result["seconds_a_further_frame"]
    each = f"; {further:g} s a further frame" if further is not None else ""
    return (
        f"{result['dancers']} people at {result['size']}, the run's pictures {result['run']}: the "
        f"whole command, start-up and compiling included{each}.\n\n"
        + markdown(result["rows"], COLUMNS)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints and keeps {"rows": [{"poses", "frames", "seconds", "peak_mb", …}], …}."""
    in_one_table("cast", Options, measure, COLUMNS, arguments)


if __name__ == "__main__":
    main()
