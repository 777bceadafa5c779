"""Makes the archives beside it, and what is expected of them: `python tests/before/make.py`.

To be run with the version whose runs are to be kept: see README.md. It uses names inside that
version in two places (the drawn dancers, and the step at which a run is stopped).
"""

import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from unittest import mock

# As tests compile, see tests/conftest.py.
os.environ |= {
    "JAX_PLATFORMS": "cpu",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
}

import av
import before_commands as commands
import numpy as np
from motion_jax.train.signals import Signals
from PIL import Image

from motion_jax import puppet
from motion_jax.cli import main

SIZE = 32
STAGE = {"height": SIZE, "width": SIZE, "batch-size": 2, "decay-steps": 1, "learning-rate": 3e-3}
COARSE = {
    "recipe.generator": {"ngf": 4, "n-downsampling": 1, "n-blocks": 1, "n-blocks-local": 1},
    "recipe.discriminator": {"ndf": 4, "n-layers": 1},
    "recipe.losses": {"perceptual": "none", "l1": 10.0},
    "recipe.global-stage": STAGE | {"steps": 6, "num-D": 1, "height": 16, "width": 16},
    "recipe.local-stage": STAGE | {"steps": 2, "num-D": 1},
    "recipe": {"dtype": "float32", "averaging": 0.5},
    "recipe.pose-style": {"stroke": 2.0},
}
CYCLE = {
    "recipe.generator": {"ngf": 2, "n-blocks": 1},
    "recipe.discriminator": {"ndf": 2, "n-layers": 1},
    "recipe.main-stage": STAGE | {"steps": 10},
    "recipe": {"pool-size": 3, "averaging": 0.5},
}
# Run -> (shipped config, its settings, total step after which it is stopped).
RUNS = {
    "everybody_dance_now": (
        "everybody_dance_now",
        COARSE
        | {
            "recipe.face": {
                "size": 8, "ngf": 4, "n-downsampling": 1, "n-blocks": 1, "ndf": 4, "n-layers": 1,
            },
            "recipe.face-stage": STAGE | {"steps": 5, "num-D": 2},
        },
        11,
    ),
    "pix2pixhd": ("pix2pixhd", COARSE, 4),
    "pix2pix": (
        "pix2pix",
        {
            "recipe.generator": {"ngf": 2, "n-downsampling": 5},
            "recipe.discriminator": {"ndf": 2, "n-layers": 1},
            "recipe.main-stage": STAGE | {"steps": 10},
            "recipe": {"averaging": 0.5},
        },
        8,
    ),
    "cyclegan": ("cyclegan", CYCLE, 8),
    "cyclegan_poses": (
        "cyclegan",
        CYCLE | {"recipe": CYCLE["recipe"] | {"domain-A": "poses"}},
        8,
    ),
}  # fmt: skip
COMMON = {"record": {"log-every": 1, "sample-seconds": 0.1}}


def flags(settings: dict[str, dict]) -> list[str]:
    found = ["--record.no-trace"]
    for part, values in settings.items():
        for name, value in values.items():
            found += [f"--{part}.{name}", str(value)]
    return found


def make_data(work: Path) -> None:
    """data/ada: prepared from a video; data/two: imported from pictures of two dancers; what drives
    runs."""
    ada, ben = puppet.CHARACTERS["ada"], puppet.CHARACTERS["ben"]
    dance = puppet.dance(24, 25, 0)
    puppet.make_video(work / "video", ada, dance, 64, 64)
    main([*commands.PREPARE, "--out", "data/ada"])
    for letter, character, seed in (("A", ben, 3), ("B", ada, 4)):
        folder = work / "pictures" / f"train{letter}"
        folder.mkdir(parents=True)
        pictures = puppet.draw(character, puppet.dance(10, 2, seed), SIZE, SIZE)
        for i, picture in enumerate(pictures):
            Image.fromarray(picture).save(folder / f"{i:04d}.jpg", quality=90)
    main(
        ["import-data", "pictures", "--layout", "unpaired", "--out", "data/two", "--workers", "1"]
    )  # fmt: skip
    puppet.make_video(work / "data" / "heldout", ada, dance[18:22], SIZE, SIZE)
    puppet.make_video(work / "data" / "other", ben, puppet.dance(6, 25, 1), 48, 64)


def train_until(stop: int, arguments: list[str]) -> None:
    """`motion-jax train`, stopped by a signal after so many steps in all."""
    asked = Signals.asked

    def asks(self: Signals, total_step: int) -> bool:
        if total_step == stop:
            os.kill(os.getpid(), signal.SIGTERM)
        return asked(self, total_step)

    with mock.patch.object(Signals, "asked", asks):
        try:
            main(["train", *arguments])
        except SystemExit as end:
            assert end.code == 0, end.code


def make() -> None:
    expected: dict = {"made_with": {"av": av.__version__}, "runs": {}}
    pictures = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        os.chdir(work)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(work / "xla")
        make_data(work)
        for name, (config, settings, stop) in RUNS.items():
            data, run = commands.DATASETS[name], f"runs/{name}"
            given = [config, "--data", data, "--run", run, *flags(COMMON | settings)]
            train_until(stop, given)
            shutil.copytree(run, f"ended/{name}")
            main(["train", "--run", f"ended/{name}", "--data", data])
            for driven in commands.DRIVEN:
                pictures[f"{name}.{driven}"] = commands.transferred(run, name, driven)
            expected["runs"][name] = {
                "stopped": stop,
                "rows": commands.losses(work / "ended" / name, stop),
                "networks": commands.layers(run),
            }
        # The networks of the stages before are still there.
        name = "everybody_dance_now"
        pictures[f"{name}.global"] = commands.transferred(
            f"runs/{name}", name, "heldout", "--step", "6"
        )
        expected["evaluated"] = commands.figures("runs/pix2pix")
        main(["export", "--run", f"runs/{name}", "--out", f"exported/{name}"])
        commands.pack(work, "data", ["data", "video"])
        commands.pack(work, "exported", ["exported"])
        for name in RUNS:
            commands.pack(work, f"run_{name}", [f"runs/{name}"])
        os.chdir(commands.HERE)
    np.savez_compressed("expected.npz", **pictures)
    Path("expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    for name, values in pictures.items():
        print(name, values.shape, "contrast", values.std((1, 2)).mean(), file=sys.stderr)


if __name__ == "__main__":
    make()
