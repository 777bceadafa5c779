"""The PyTorch counterpart of the First Order Motion Model against the published code's fixtures.
Needs torch (and not jax):

    TORCH/bin/python -m pytest tests/benchmarks/test_torch_first_order.py
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch, which this environment has not")

from benchmarks import torch_first_order as ours  # noqa: E402

BESIDE = Path(__file__).resolve().parents[3] / "shared"
FOLDER = Path(os.environ.get("MOTION_JAX_SHARED", BESIDE)) / "fixtures" / "first-order-motion-model"
absent = pytest.mark.skipif(not FOLDER.is_dir(), reason="no fixtures beside the project")


def arguments(description: dict) -> dict:
    return {key: value for key, value in description.items() if key != "class"}


def read(name: str) -> tuple[dict, dict[str, np.ndarray]]:
    return json.loads((FOLDER / f"{name}.json").read_text()), dict(np.load(FOLDER / f"{name}.npz"))


def picture(array: np.ndarray) -> "torch.Tensor":
    return torch.from_numpy(array.astype(np.float32) / np.float32(255))


@absent
@pytest.mark.parametrize("name", ["align_corners_true", "align_corners_false", "no_occlusion"])
def test_generator(name: str) -> None:
    name = f"generator_{name}"
    description, arrays = read(name)
    networks = {
        "kp_detector": ours.KPDetector(**arguments(description["kp_detector"])),
        "generator": ours.OcclusionAwareGenerator(
            align_corners=description["align_corners"], **arguments(description["generator"])
        ),
    }
    stem = description.get("weights_of", name)
    for kind, network in networks.items():
        weights = torch.load(FOLDER / f"{stem}.{kind}.pth", weights_only=True)
        network.load_state_dict(weights, strict=True)
        network.train()
    source, driving = (picture(arrays[who]) for who in ("source", "driving"))
    points = [networks["kp_detector"](each) for each in (source, driving)]
    found = networks["generator"](source, *points)
    found["prediction"].square().mean().backward()
    for key in ("mask", "deformation", "prediction", "occlusion_map"):
        if f"train_{key}" in arrays:
            np.testing.assert_allclose(found[key].detach(), arrays[f"train_{key}"], atol=1e-4)
    gradient = networks["generator"].final.weight.grad
    expected = arrays["train_grad_generator/final.weight"]
    assert np.linalg.norm(gradient - expected) < 1e-3 * np.linalg.norm(expected)


@absent
def test_step() -> None:
    """Losses of the first two steps of a training from the published program's beginning."""
    description, arrays = read("train_reconstruction")
    model, train = (description["config"][f"{part}_params"] for part in ("model", "train"))
    step = ours.TrainingStep(
        {**model["common_params"], **model["kp_detector_params"]},
        {**model["common_params"], **model["generator_params"]},
        train["loss_weights"],
        tuple(train["scales"]),
        description["align_corners"],
    )
    content = torch.load(FOLDER / "train_reconstruction" / description["initial"])
    step.detector.load_state_dict(content["kp_detector"], strict=True)
    step.generator.load_state_dict(content["generator"], strict=True)
    names = [str(name) for name in arrays["loss_names"]]
    for s in range(2):
        warp = ours.Warp(
            torch.from_numpy(arrays["theta"][s]),
            torch.from_numpy(arrays["control_params"][s, :, 0]),
        )
        losses = step(*(picture(arrays[who][s]) for who in ("source", "driving")), warp)
        limit = description["tolerance"]["losses_relative_by_step"][s]
        for name, expected in zip(names, arrays["losses"][s], strict=True):
            assert float(losses[name].detach()) == pytest.approx(expected, rel=limit), (name, s)
