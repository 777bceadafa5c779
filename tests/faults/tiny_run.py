"""A run that takes seconds, as a real command: its dataset, its config, processes that train it.

Alone it is a program: `python tests/faults/tiny_run.py DIR` writes the dataset and the config.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

from motion_jax.data import records

SIZE, FRAMES = 16, 24
CONFIG = """
from motion_jax.config import Config, Data, Record
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes import everybody_dance_now as edn

STAGE = edn.Stage(steps=20, decay_steps=5, height=16, width=16, batch_size=4, num_D=1)
config = Config(
    recipe=edn.EverybodyDanceNow(
        generator=edn.Generator(ngf=4, n_downsampling=1, n_blocks=1, n_blocks_local=1),
        discriminator=edn.Discriminator(ndf=4, n_layers=1),
        losses=edn.Losses(perceptual="none", l1=10.0),
        global_stage=STAGE,
        local_stage=edn.Stage(steps=0),
        face_stage=edn.Stage(steps=0),
        pose_style=PoseStyle(face_points=0, hands=False, stroke=2.0),
        averaging=0.9,
    ),
    data=Data(holdout=0.25),
    record=Record(
        log_every=1, sample_every=1000, sample_seconds=0.1, checkpoint_every=5, keep=9, trace=False
    ),
)
"""
STAGE = "--recipe.global-stage."


def write(folder: Path) -> tuple[Path, Path]:
    """Writes a dataset and a config file; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    random, rows = np.random.default_rng(0), []
    for i in range(FRAMES):
        keypoints = np.zeros((137, 3), np.float32)
        x = 3 + 0.4 * i
        keypoints[[0, 1, 8, 11, 14], :] = [
            (x, 3, 1), (x, 5, 1), (x, 9, 1), (x - 1, 14, 1), (x + 1, 14, 1)
        ]  # fmt: skip
        frame = random.integers(0, 60, (SIZE, SIZE, 3), dtype=np.uint8)
        frame[2:15, int(x) - 1 : int(x) + 2] = (200, 120, 60)
        rows.append(
            {"frame": frame, "keypoints": keypoints, "face_box": np.zeros(4, np.float32),
             "clip": 0, "index": i, "time": i / 25}
        )  # fmt: skip
    data = folder / "data"
    records.write_shard(records.shard_path(data, 0, 1), rows, SIZE, SIZE, "png")
    info = records.DatasetInfo(
        SIZE, SIZE, ((0, 0, 0, FRAMES),), ({"file": "a.mp4"},), picture="png"
    )
    records.finish_dataset(data, info, [FRAMES])
    config = folder / "config.py"
    config.write_text(CONFIG)
    return data, config


def environment(cache: Path | str, devices: int = 1) -> dict[str, str]:
    """For a process of `devices` simulated CPU devices; compiled programs are kept in `cache`."""
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} "
        f"--xla_force_host_platform_device_count={devices}",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "GLOG_minloglevel": "3",
    }


def start(
    config: Path, data: Path, run: Path, cache: Path, *options: str, devices: int = 1
) -> subprocess.Popen:
    """A `motion-jax train` under way; stderr is kept."""
    command = [sys.executable, "-m", "motion_jax.cli", "train", str(config)]
    return subprocess.Popen(
        [*command, "--data", str(data), "--run", str(run), *options],
        env=environment(cache, devices),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_together(
    count: int, config: Path, data: Path, run: Path, cache: Path, *options: str, devices: int = 1
) -> list[subprocess.Popen]:
    """The processes of one job over loopback."""
    place = ("--coordinator", f"127.0.0.1:{free_port()}", "--processes", str(count))
    return [
        start(config, data, run, cache, *place, "--process", str(k), *options, devices=devices)
        for k in range(count)
    ]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def finish(processes: list[subprocess.Popen], seconds: float = 900) -> list[tuple[int, str]]:
    """Exit status and stderr of each; kills what does not end in time."""
    try:
        results = []
        for process in processes:
            _, err = process.communicate(timeout=seconds)
            results.append((process.returncode, err))
        return results
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            if not process.stderr.closed:
                process.communicate()


def rows_of(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


if __name__ == "__main__":
    print(*write(Path(sys.argv[1])), sep="\n")
