"""Kills real commands at random moments, starts them again, and compares what comes out.

    python tests/faults/kill.py --kills 24 --prepare-kills 12 [--seed 0]

Trains a tiny run once without interruption and once killed (SIGKILL) again and again: while it
starts, during a step, during an asynchronous save. The parameters of both must be the same, bit for
bit, and no start may go on from a half-written checkpoint. Then the same with `prepare`.
"""

import argparse
import contextlib
import hashlib
import io
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import av
import numpy as np
import tiny_run

from motion_jax import cli
from motion_jax.pose import skeleton
from motion_jax.pose.files import write_openpose

MOMENTS = ("start", "step", "save")
# A moment that does not come in this time is given up: the process is killed where it is.
PATIENCE = 120.0


def killed(process: subprocess.Popen, run: Path, moment: str, dice: random.Random) -> str:
    """Kills the process at a random moment of a kind; what it said."""
    begun, rows = time.monotonic(), _size(run / "metrics.jsonl")
    if moment == "start":
        # Imports, resuming, compiling.
        _until(process, begun + dice.uniform(0.5, 6.0), lambda: False)
    else:
        _until(process, begun + PATIENCE, lambda: _size(run / "metrics.jsonl") > rows)
        _until(process, time.monotonic() + dice.uniform(0.0, 0.6), lambda: False)
        if moment == "save":
            checkpoints = run / "checkpoints"
            _until(
                process,
                time.monotonic() + PATIENCE,
                lambda: any(checkpoints.glob("*.orbax-checkpoint-tmp*")),
            )
            time.sleep(dice.uniform(0.0, 0.02))
    process.send_signal(signal.SIGKILL)
    return process.communicate()[1]


def _until(process: subprocess.Popen, ends: float, happened) -> None:
    while process.poll() is None and time.monotonic() < ends and not happened():
        time.sleep(0.001)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def half_written(run: Path) -> list[str]:
    folder = run / "checkpoints"
    return [p.name for p in folder.glob("*.orbax-checkpoint-tmp*")] if folder.is_dir() else []


def train(folder: Path, moments: list[str], seed: int, steps: int, every: int) -> dict:
    """Raises AssertionError where a killed run is not the uninterrupted one."""
    data, config = tiny_run.write(folder)
    cache, dice = folder / "cache", random.Random(seed)
    options = (
        f"{tiny_run.STAGE}steps={steps}",
        f"--record.checkpoint-every={every}",
        "--record.log-every=5",
    )
    whole, broken = folder / "whole", folder / "broken"
    [(status, said)] = tiny_run.finish([tiny_run.start(config, data, whole, cache, *options)], 900)
    assert status == 0, said
    happened, torn = Counter(), 0
    for moment in moments:
        process = tiny_run.start(config, data, broken, cache, *options)
        said = killed(process, broken, moment, dice)
        assert process.returncode == -signal.SIGKILL, (
            f"ended by itself ({process.returncode}) before it was killed; use more steps: {said}"
        )
        happened[moment] += 1
        torn += bool(half_written(broken))
        _resumed_whole(broken, said)
    [(status, said)] = tiny_run.finish([tiny_run.start(config, data, broken, cache, *options)], 900)
    assert status == 0, said
    assert not half_written(broken), "left-overs of a half-written checkpoint"
    one, other = (hashes(run) for run in (whole, broken))
    assert one == other, f"parameters differ: {one} {other}"
    kept = [row["total_step"] for row in tiny_run.rows_of(broken)]
    # The first step after each start is logged besides.
    missing = {row["total_step"] for row in tiny_run.rows_of(whole)} - set(kept)
    assert not missing and kept == sorted(set(kept)), "rows of metrics are missing or double"
    return {"kills": dict(happened), "half-written checkpoints left": torn, "parameters": one}


def _resumed_whole(run: Path, said: str) -> None:
    """A start that was resumed said from where; that is a multiple of the interval."""
    assert "cannot be restored" not in said and "Traceback" not in said, said
    whole = [p for p in (run / "checkpoints").glob("*") if p.name.isdigit()]
    for checkpoint in whole:
        assert json.loads((checkpoint / "record" / "metadata").read_text())["checksum"]


def hashes(run: Path) -> dict[str, str]:
    """SHA-256 of each network's parameters, as `motion-jax inspect RUN --json` says."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        cli.main(["inspect", str(run), "--json"])
    found = json.loads(said.getvalue())
    return {name: network["sha256"] for name, network in found["networks"].items()}


def write_clip(folder: Path, frames: int) -> tuple[Path, Path]:
    """A video and its poses."""
    folder.mkdir(parents=True)
    video, dice = folder / "clip.mp4", np.random.default_rng(0)
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for _ in range(frames):
            picture = dice.integers(0, 255, (96, 128, 3), dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    poses = np.zeros((frames, 137, 3), np.float32)
    for number, name in enumerate(("nose", "neck", "mid_hip", "right_ankle", "left_ankle")):
        poses[:, skeleton.INDEX[name]] = (60 + 3 * (number - 2), 15 + 15 * number, 0.9)
    write_openpose(folder / "poses", poses)
    return video, folder / "poses"


def prepare(folder: Path, kills: int, seed: int, frames: int = 400) -> dict:
    """The same for preparation."""
    video, poses = write_clip(folder / "in", frames)
    dice, cache = random.Random(seed), folder / "cache"

    def start(out: Path) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "motion_jax.cli", "prepare", str(video), "--out", str(out),
             "--poses", str(poses), "--size", "64x64", "--no-smooth", "--workers", "1"],
            env=tiny_run.environment(cache) | {"MOTION_JAX_CACHE": str(cache)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    begun = time.monotonic()
    [(status, said)] = tiny_run.finish([start(folder / "whole")], 600)
    assert status == 0, said
    seconds, done = time.monotonic() - begun, 0
    while done < kills:
        process = start(folder / "broken")
        # From where work begins; the first part is the interpreter's own start.
        _until(process, time.monotonic() + seconds * dice.uniform(0.2, 0.95), lambda: False)
        early = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        done += early
        if not early:
            # It came through, faster than the first time: once more from the beginning.
            seconds *= 0.9
            shutil.rmtree(folder / "broken")
    [(status, said)] = tiny_run.finish([start(folder / "broken")], 600)
    assert status == 0, said
    assert tree(folder / "whole") == tree(folder / "broken"), "the datasets differ"
    return {"kills": done, "files": len(tree(folder / "whole"))}


def tree(folder: Path) -> dict[str, str]:
    """SHA-256 of each file but the report, which is a page about the same."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "report" not in path.parts and path.suffix != ".html"
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--prepare-kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=3000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.kills:
            moments = [MOMENTS[k % len(MOMENTS)] for k in range(arguments.kills)]
            random.Random(arguments.seed).shuffle(moments)
            result = train(Path(folder), moments, arguments.seed, arguments.steps, 25)
            print("train:", json.dumps(result))
        if arguments.prepare_kills:
            result = prepare(Path(folder) / "prepare", arguments.prepare_kills, arguments.seed)
            print("prepare:", json.dumps(result))


if __name__ == "__main__":
    main()
