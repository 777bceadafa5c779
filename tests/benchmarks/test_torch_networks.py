"""The PyTorch counterparts against the fixtures of the published code: what is measured against is
the original's arithmetic. Needs torch (and not jax):

    TORCH/bin/python -m pytest tests/benchmarks/test_torch_networks.py
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch, which this environment has not")

from benchmarks import torch_networks as networks  # noqa: E402
from benchmarks.torch_step import TwoFrameStep  # noqa: E402

OUTPUT_TOLERANCE = 1e-4
# Relative, of the losses at a step; the published code against itself drifts by more afterwards.
LOSS_TOLERANCE = (1e-4, 1e-3, 2e-2, 2e-2)
LATER = 0.1


def fixtures(kind: str) -> list[Path]:
    beside = Path(__file__).resolve().parents[3] / "shared"
    folder = Path(os.environ.get("MOTION_JAX_SHARED", beside)) / "parity" / "everybody-dance-now"
    files = sorted(folder.glob("*.json"))
    found = [path for path in files if json.loads(path.read_text())["kind"] == kind]
    absent = pytest.mark.skip(reason="no parity fixtures beside the project")
    return found or [pytest.param(folder / "absent.json", marks=absent)]


def read(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    return json.loads(path.read_text()), dict(np.load(path.with_suffix(".npz")))


def number(value: "torch.Tensor | float") -> float:
    return float(torch.as_tensor(value).detach())


def tensor(array: np.ndarray) -> "torch.Tensor":
    return torch.from_numpy(array)


@pytest.mark.parametrize("path", fixtures("network"), ids=lambda path: path.stem)
def test_network(path: Path) -> None:
    description, arrays = read(path)
    network = networks.network_from_description(description["network"])
    weights = path.with_suffix(".pth")
    if weights.is_file():  # VGG's are seeded, not stored
        network.load_state_dict(torch.load(weights, weights_only=True), strict=True)
    x = tensor(arrays.pop("input")).requires_grad_()
    output = network(x)
    if "output" in arrays:
        named = {"output": output}
    elif "slice1" in arrays:
        named = {f"slice{i + 1}": value for i, value in enumerate(output)}
    elif "scale0" in arrays:
        named = {f"scale{i}": scale[-1] for i, scale in enumerate(output)}
    else:
        named = {
            f"scale{i}_layer{j}": value
            for i, scale in enumerate(output)
            for j, value in enumerate(scale)
        }
    if "input_grad_of_mean_square" in arrays:
        output.square().mean().backward()
        named["input_grad_of_mean_square"] = x.grad
        named["grad_first_conv"] = network.model[1].weight.grad
    assert named.keys() == arrays.keys()
    for name, value in named.items():
        scale = 1.0 if name.startswith(("output", "scale")) else np.abs(arrays[name]).max()
        np.testing.assert_allclose(
            value.detach().numpy() / scale, arrays[name] / scale, atol=OUTPUT_TOLERANCE
        )


@pytest.mark.parametrize("path", fixtures("trajectory"), ids=lambda path: path.stem)
def test_trajectory(path: Path) -> None:
    description, arrays = read(path)
    step, batch = TwoFrameStep(description), description["batch"]
    files = {
        "generator": "G",
        "discriminator": "D",
        "face_generator": "Gface",
        "face_discriminator": "Dface",
    }
    for name, suffix in files.items():
        if name in description:
            file = path.with_name(f"{path.stem}.initial_net_{suffix}.pth")
            weights = torch.load(file, weights_only=True)
            step.networks[name].load_state_dict(weights, strict=True)
    shape = (batch["size"], 3, batch["height"], batch["width"])
    for s in range(description["steps"]):
        generator = np.random.default_rng(batch["seed_of_step_0"] + s)
        pictures = [tensor((generator.random(shape) * 2 - 1).astype(np.float32)) for _ in range(4)]
        losses, fake = step(*pictures)
        if s == 0:
            side_by_side = torch.cat(fake, 3).detach().numpy()
            np.testing.assert_allclose(
                side_by_side, arrays["first_generated"], atol=OUTPUT_TOLERANCE
            )
        tolerance = LOSS_TOLERANCE[s] if s < len(LOSS_TOLERANCE) else LATER
        for column, expected in zip(arrays["loss_names"], arrays["losses"][s], strict=True):
            found = number(losses.get(str(column), 0.0))
            assert found == pytest.approx(expected, rel=tolerance, abs=1e-6), (
                f"{column} at step {s}: {found}, the published code has {expected}"
            )


def test_modes_compute_the_same() -> None:
    """Autocast changes rounding only: the loss of the first step is near that of float32."""
    description = {
        "generator": {"class": "GlobalGenerator", "ngf": 4, "n_downsampling": 2, "n_blocks": 1},
        "discriminator": {"class": "MultiscaleDiscriminator", "ndf": 4, "num_D": 1},
    }
    generator = np.random.default_rng(0)
    pictures = [tensor(generator.random((1, 3, 32, 32), np.float32)) for _ in range(4)]
    found = {}
    for mode in ("eager", "amp"):
        torch.manual_seed(0)
        found[mode] = TwoFrameStep(description, mode=mode)(*pictures)[0]
    for name, value in found["eager"].items():
        assert number(found["amp"][name]) == pytest.approx(number(value), rel=0.05), name
