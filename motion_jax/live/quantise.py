"""A run's generators in int8: their scales are measured on the poses that the run was trained on,
as the run sees them in use, each frame after its own picture before."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from motion_jax import files
from motion_jax.data.pairs import stretches
from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError, option
from motion_jax.live.graphs import Elsewhere, graph
from motion_jax.port import openvino
from motion_jax.progress import say
from motion_jax.train.run import Run
from motion_jax.transfer.player import Networks
from motion_jax.transfer.source import Moment, takes_poses

# Frames by which scales are measured, in so many stretches.
FRAMES, STRETCHES = 300, 3


def int8_models(run: Run, frames: int = FRAMES) -> dict[str, Path]:
    """OpenVINO models in RUN/openvino, by network name; made where those of this checkpoint are not
    there yet.

    Raises UserError where packages or the run's dataset are missing, or the run is not shown poses.
    """
    folder = run.folder / "openvino"
    networks = run.config.recipe.networks(run.stage)
    names = [name for name in run.params if networks[name].role == "generator"]
    about = folder / "int8.json"
    made = {name: folder / f"{name}-int8.xml" for name in names}
    known = json.loads(about.read_text()) if about.is_file() else {}
    if known.get("checkpoint") == run.checkpoint and all(path.is_file() for path in made.values()):
        return made
    examples, poses = _examples(run, frames), min(frames, FRAMES)
    modules = run.config.recipe.tested_modules(run.stage)
    folder.mkdir(exist_ok=True)
    for name, path in made.items():
        seen = examples.get(name)
        if not seen:
            raise UserError(
                f"The {name} of the run {run.folder} was never used on its training poses, so that "
                f"its scales in int8 cannot be measured; use {option('precision')} float32."
            )
        say(f"{path}: measuring the scales of int8 on {len(seen)} pictures ...")
        model = graph(modules[name], run.params[name], seen[0].shape[-1])
        openvino.write(path, openvino.quantised(model, seen[0].shape, seen))
    files.write_json(about, {"checkpoint": run.checkpoint, "step": run.step, "poses": poses})
    return made


def _examples(run: Run, frames: int) -> dict[str, list[np.ndarray]]:
    """What each generator is shown of the training poses."""
    if not takes_poses(run):
        raise UserError(
            f"The run {run.folder} is shown frames; {option('precision')} int8 is for runs that "
            "are driven by poses."
        )
    dataset = open_dataset(run.data_path)
    if dataset.size != run.size or not dataset.has_keypoints:
        raise UserError(
            f"int8 is calibrated on the poses that the run {run.folder} was trained on, and "
            f"{dataset.folder} has none at the size of its pictures; use {option('precision')} "
            "float32."
        )
    seen: dict[str, list[np.ndarray]] = defaultdict(list)
    around = Elsewhere(run, "openvino", tap=lambda name, x: seen[name].append(np.array(x)))
    networks = Networks(run, chunk=1, around=around)
    keypoints, boxes = dataset.keypoints(), dataset.face_boxes()
    parts = stretches(dataset, run.config.data.holdout, "train")
    rows = np.concatenate([np.arange(first, first + count) for first, count in parts])
    for part in np.array_split(rows, STRETCHES):
        networks.reset()
        for row in part[: max(1, frames // STRETCHES)]:
            shown = {"keypoints": keypoints[row], "face_boxes": boxes[row]}
            if (keypoints[row][:, 2] > 0).any():
                next(iter(networks.begin([Moment(0.0, shown)])))
    return seen
