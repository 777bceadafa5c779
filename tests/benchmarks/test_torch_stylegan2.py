"""The PyTorch counterpart of StyleGAN2 against the published code's fixtures. Needs torch (and not
jax):

    TORCH/bin/python -m pytest tests/benchmarks/test_torch_stylegan2.py
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch, which this environment has not")

from benchmarks import torch_stylegan2 as ours  # noqa: E402

BESIDE = Path(__file__).resolve().parents[3] / "shared"
FOLDER = Path(os.environ.get("MOTION_JAX_SHARED", BESIDE)) / "fixtures" / "stylegan2"
absent = pytest.mark.skipif(not FOLDER.is_dir(), reason="no fixtures beside the project")


def read(name: str) -> tuple[dict, dict, dict]:
    """(the network's description, its weights, the arrays)."""
    network = json.loads((FOLDER / f"{name}.json").read_text())["network"]
    weights = torch.load(FOLDER / f"{name}.pt", weights_only=True)
    arrays = dict(np.load(FOLDER / f"{name}.npz"))
    return network, weights, {key: torch.from_numpy(value) for key, value in arrays.items()}


@absent
@pytest.mark.parametrize("size", [32, 64])
@torch.no_grad()
def test_generator(size: int) -> None:
    network, weights, arrays = read(f"rosinality_generator_{size}")
    widths = list(network["channels"].values())
    generator = ours.Generator(widths, network["style_dim"], network["n_mlp"])
    generator.load_state_dict(weights, strict=True)
    w = generator.style(arrays["z"])
    np.testing.assert_allclose(w, arrays["w"], atol=2e-5)
    noise = [arrays[f"noise_{i}"] for i in range(len(generator.fixed()))]
    made = generator(generator.repeated(w), noise)
    np.testing.assert_allclose(made, arrays["image_z_noise"], atol=2e-5)
    made = generator(arrays["w_plus"], generator.fixed())
    np.testing.assert_allclose(made, arrays["image_w_plus"], atol=2e-5)


@absent
def test_discriminator() -> None:
    network, weights, arrays = read("rosinality_discriminator_32")
    judge = ours.Discriminator(list(network["channels"].values()))
    judge.load_state_dict(weights, strict=True)
    for count in (1, 4, 8):
        found = judge(arrays[f"input_{count}"]).detach()
        np.testing.assert_allclose(found, arrays[f"output_{count}"], atol=1e-5)


def test_a_step_moves_both_networks() -> None:
    from benchmarks.stylegan2_settings import SETTINGS

    generator, judge = ours.Generator([4, 4], 4, 1), ours.Discriminator([4, 4])
    before = [p.detach().clone() for m in (generator, judge) for p in m.parameters()]
    step = ours.TrainingStep(generator, judge, SETTINGS)
    for _ in range(2):
        step(torch.rand(2, 3, 8, 8))
    after = [p for m in (generator, judge) for p in m.parameters()]
    moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert all(moved) and step.path_mean > 0
