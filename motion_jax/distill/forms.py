"""A student in the forms in which it can run: what each takes here, and how near it is to the
teacher and to the student in jax, over the held-out poses, each frame after its own picture before.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import UInt8

from motion_jax.data.pairs import stretches
from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError
from motion_jax.live.graphs import Elsewhere, Precision, Runtime, installed, times_of
from motion_jax.live.quantise import int8_models
from motion_jax.metrics.frames import ssim_map
from motion_jax.port.export_run import export_into
from motion_jax.progress import say
from motion_jax.train.run import Run
from motion_jax.transfer.player import Networks
from motion_jax.transfer.source import Moment

FORMS: tuple[tuple[Runtime, Precision], ...] = (
    ("jax", "float32"),
    ("onnxruntime", "float32"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("openvino", "int8"),
)
# Held-out frames that are made in each form, one after another.
FRAMES = 300
# Pictures by which a form is timed.
TRIES = 20
# A form is near enough where its SSIM to the teacher is at least this, and no more below that of
# the student in jax.
LEAST_SSIM, MOST_LOST = 0.9, 0.01


def export_all(run: Run) -> None:
    """Writes the student as ONNX and, where that is installed, for OpenVINO, into its folder."""
    there, forms = installed(), (("onnx", "onnxruntime"), ("openvino", "openvino"))
    form: Any
    for form, package in forms:
        folder = run.folder / form
        if package in there and not list(folder.glob("generator.*")):
            export_into(folder, run.folder, form)


def compared(teacher: Run, student: Run, dataset: PoseFrames) -> list[dict[str, Any]]:
    """A row for each form that this machine can run: runtime, precision, "milliseconds" of a
    picture (drawing and plate included; the median) and "milliseconds_p95", "psnr_to_teacher",
    "ssim_to_teacher", and against the student in jax "psnr" and "levels", the greatest difference
    of 255."""
    moments = list(_moments(dataset, teacher.config.data.holdout, teacher.person))
    wanted = _made(teacher, moments)
    rows: list[dict[str, Any]] = []
    plain: np.ndarray | None = None
    for runtime, precision in FORMS:
        if runtime not in installed():
            continue
        try:
            around: dict[str, Any] = {}
            if runtime != "jax":
                around["around"] = _around(student, runtime, precision)
        except UserError as error:
            say(f"Without {runtime} {precision}: {error}")
            continue
        pictures = _made(student, moments, **around)
        plain = pictures if plain is None else plain
        networks = Networks(student, chunk=1, **around)
        spent = times_of(partial(_first, networks, moments[:1]), TRIES)
        rows.append(
            {
                "runtime": runtime,
                "precision": precision,
                "milliseconds": round(float(np.median(spent)), 2),
                "milliseconds_p95": round(float(np.percentile(spent, 95)), 2),
                "psnr_to_teacher": psnr(pictures, wanted),
                "ssim_to_teacher": round(_ssim(pictures, wanted), 4),
                "psnr": None if pictures is plain else psnr(pictures, plain),
                "levels": int(np.abs(pictures.astype(int) - plain).max()),
            }
        )
    return rows


def fastest_near(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Of the rows of `compared` the fastest that is near enough to the teacher; None where none
    is."""
    plain = rows[0]["ssim_to_teacher"]
    least = max(LEAST_SSIM, plain - MOST_LOST)
    near = [row for row in rows if row["ssim_to_teacher"] >= least]
    return min(near, key=lambda row: row["milliseconds"], default=None)


def _first(networks: Networks, moments: list[Moment]) -> np.ndarray:
    return next(iter(networks.begin(moments)))


def _around(run: Run, runtime: Runtime, precision: Precision) -> Elsewhere:
    models: dict[str, Path] | None = int8_models(run) if precision == "int8" else None
    return Elsewhere(run, runtime, precision, models)


def _moments(dataset: PoseFrames, holdout: float, person: str | None) -> Iterator[Moment]:
    parts = stretches(dataset, holdout, "heldout", person=person)
    rows = [first + i for first, count in parts for i in range(count)][:FRAMES]
    for row in rows:
        example = dataset[row]
        shown = {name: example[key] for name, key in _SHOWN.items()}
        if (shown["keypoints"][:, 2] > 0).any():
            yield Moment(0.0, shown)


_SHOWN = {"keypoints": "keypoints", "face_boxes": "face_box"}


def _made(run: Run, moments: list[Moment], **settings: Any) -> UInt8[np.ndarray, "n h w 3"]:
    networks = Networks(run, chunk=1, **settings)
    return np.stack([next(iter(networks.begin([moment]))) for moment in moments])


def psnr(a: np.ndarray, b: np.ndarray) -> float | None:
    """Decibels over all pictures; None where they are the same."""
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return None if error == 0 else round(10 * float(np.log10(255**2 / error)), 2)


@jax.jit
def _similar(a: Array, b: Array) -> Array:
    return jnp.mean(ssim_map(a, b))


def _ssim(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean([_similar(*pair) for pair in zip(a, b, strict=True)]))
