"""Runs whose networks were never trained: their pictures are noise, and take as long as others."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from motion_jax.config import Config
from motion_jax.data.info import DatasetInfo
from motion_jax.files import write_json
from motion_jax.pose.normalize import fit_target
from motion_jax.recipes import everybody_dance_now as edn
from motion_jax.train.checkpoint import Checkpoints
from motion_jax.train.run import write_description


def student(size: int, **generator: Any) -> edn.EverybodyDanceNow:
    """A recipe as `motion-jax distill` finds them."""
    stage = edn.Stage(steps=1, height=size, width=size, num_D=1)
    none = dataclasses.replace(stage, steps=0)
    return edn.EverybodyDanceNow(
        generator=edn.Generator(**generator),
        discriminator=edn.Discriminator(ndf=4, n_layers=1),
        losses=edn.Losses(perceptual="none", l1=10.0),
        global_stage=stage,
        local_stage=none,
        face_stage=none,
    )


def write_run(folder: Path, recipe: Any, body: np.ndarray) -> Path:
    """A run folder of one stage. body: poses [n, 137, 3] of the target, in pixels of its
    pictures."""
    [(name, stage)] = recipe.stages().items()
    write_description(folder, Config(recipe=recipe), None, "benchmarks")
    info = DatasetInfo(stage.height, stage.width, clips=(), sources=())
    write_json(
        folder / "dataset.json",
        {
            "path": ".",
            "fingerprint": "",
            "info": info.to_json(),
            "frames": 0,
            "target_statistics": fit_target(body).to_json(),
        },
    )
    state = jax.jit(lambda key: recipe.init(key, name))(jax.random.key(0))
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(1, state, {"stage": name, "step": 1, "total_step": 1, "position": 1})
    return folder
