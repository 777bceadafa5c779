"""Files and networks against PyTorch itself, where it is installed; the package never needs it."""

import copy
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; it is compared with here")
reference_modules = pytest.importorskip("reference_modules")

from motion_jax.port import load_network, save_safetensors, save_torch  # noqa: E402
from motion_jax.port.options import ParityOptions  # noqa: E402
from motion_jax.port.parity import parity  # noqa: E402
from motion_jax.weights.read import recognise  # noqa: E402
from motion_jax.weights.torch import read_pth, write_pth  # noqa: E402

DESCRIPTIONS = [
    {"class": "GlobalGenerator", "input_nc": 6, "output_nc": 3, "ngf": 2, "n_downsampling": 3,
     "n_blocks": 1},
    {"class": "LocalEnhancer", "input_nc": 6, "output_nc": 3, "ngf": 2, "n_downsample_global": 1,
     "n_blocks_global": 1, "n_local_enhancers": 1, "n_blocks_local": 1},
    {"class": "MultiscaleDiscriminator", "input_nc": 12, "ndf": 2, "n_layers": 2, "num_D": 2,
     "intermediate_features": True},
    {"class": "MultiscaleDiscriminator", "input_nc": 4, "ndf": 2, "n_layers": 2, "num_D": 1,
     "intermediate_features": False},
    {"class": "NLayerDiscriminator", "input_nc": 6, "ndf": 2, "n_layers": 2, "norm": "batch",
     "intermediate_features": False, "prefix": "facemodel"},
    {"class": "NLayerDiscriminator", "input_nc": 3, "ndf": 2, "n_layers": 3, "norm": "instance"},
    {"class": "UnetGenerator", "input_nc": 3, "output_nc": 3, "num_downs": 5, "ngf": 2,
     "norm": "batch", "dropout": False},
    {"class": "ResnetGenerator", "input_nc": 3, "output_nc": 3, "ngf": 2, "n_blocks": 1,
     "norm": "instance", "dropout": True},
    {"class": "PixelDiscriminator", "input_nc": 6, "ndf": 2, "norm": "batch"},
]  # fmt: skip
IDS = [f"{d['class']}-{i}" for i, d in enumerate(DESCRIPTIONS)]


def made(description: dict) -> "torch.nn.Module":
    torch.manual_seed(1)
    return reference_modules.build(description)


@pytest.mark.parametrize("description", DESCRIPTIONS, ids=IDS)
def test_networks_compute_the_same_and_load_strictly(description, tmp_path):
    module = made(description)
    theirs = {key: value.clone() for key, value in module.state_dict().items()}
    torch.save(module.state_dict(), tmp_path / "theirs.pth")
    network = load_network(tmp_path / "theirs.pth")
    assert network.config == description
    save_torch(network, tmp_path / "ours.pth")
    ours = torch.load(tmp_path / "ours.pth", weights_only=True)
    mapped = torch.load(tmp_path / "ours.pth", weights_only=True, mmap=True)
    assert ours.keys() == mapped.keys() == theirs.keys()
    for key, value in theirs.items():
        assert ours[key].dtype == value.dtype and torch.equal(ours[key], value), key
        assert torch.equal(mapped[key], value), key
    again = reference_modules.build(description)
    again.load_state_dict(ours, strict=True)
    x = torch.rand(2, description["input_nc"], 64, 64) * 2 - 1
    with torch.no_grad():
        expected = again(x)
    output = network(x.numpy().transpose(0, 2, 3, 1))
    if not isinstance(expected, list):
        expected, output = [[expected]], [[output]]
    assert [len(scale) for scale in output] == [len(scale) for scale in expected]
    for one, two in zip(sum(output, []), sum(expected, []), strict=True):
        np.testing.assert_allclose(np.asarray(one).transpose(0, 3, 1, 2), two.numpy(), atol=1e-4)


def test_safetensors_are_read_by_their_own_library_for_pytorch(tmp_path):
    load_file = pytest.importorskip("safetensors.torch").load_file
    module = made(DESCRIPTIONS[5])
    torch.save(module.state_dict(), tmp_path / "theirs.pth")
    save_safetensors(load_network(tmp_path / "theirs.pth"), tmp_path / "ours.safetensors")
    reference_modules.build(DESCRIPTIONS[5]).load_state_dict(
        load_file(tmp_path / "ours.safetensors"), strict=True
    )


def test_every_form_of_torch_save_is_read(tmp_path):
    flat = torch.arange(12.0)
    weights = {
        "a": torch.randn(3, 4).t(),
        "b": flat[2:8].view(2, 3),
        "c": flat[1::2],
        "half": torch.randn(3).half(),
        "bfloat16": torch.randn(2, 2).bfloat16(),
        "count": torch.tensor(3),
        "parameter": torch.nn.Parameter(torch.randn(2)),
        "empty": torch.zeros(0, 3),
    }
    for i, settings in enumerate(
        ({}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4})
    ):
        torch.save(weights, tmp_path / f"{i}.pt", **settings)
        found = read_pth(tmp_path / f"{i}.pt")
        assert found.keys() == weights.keys()
        for key, value in weights.items():
            expected = value.detach()
            assert found[key].shape == tuple(expected.shape) and expected.dtype == getattr(
                torch, found[key].dtype.name
            )
            np.testing.assert_array_equal(found[key].astype(float), expected.double().numpy())
    # And back, in every type.
    write_pth(tmp_path / "back.pth", found)
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    assert all(torch.equal(back[key], value) for key, value in weights.items())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of importing the compiler
def test_what_wrappers_write_is_read(tmp_path):
    module = made(DESCRIPTIONS[5])
    plain = {key: value.numpy() for key, value in module.state_dict().items()}
    wrapped = torch.compile(torch.nn.DataParallel(module))
    torch.save({"state_dict": wrapped.state_dict(), "epoch": 3}, tmp_path / "w.pth")
    weights = read_pth(tmp_path / "w.pth")
    assert all(key.startswith("_orig_mod.module.") for key in weights)
    found, clean = recognise(weights)
    assert found == DESCRIPTIONS[5] and clean.keys() == plain.keys()
    assert all(np.array_equal(clean[key], value) for key, value in plain.items())


@pytest.mark.parametrize("which", ["old spectral", "spectral", "old weight", "weight"])
@pytest.mark.parametrize(
    "description", [DESCRIPTIONS[5], DESCRIPTIONS[6]], ids=lambda d: d["class"]
)
def test_norms_of_weights_are_folded_as_in_evaluation(which, description, tmp_path):
    from torch.nn import utils

    module, plain = made(description), made(description)
    form = {
        "old spectral": utils.spectral_norm,
        "spectral": utils.parametrizations.spectral_norm,
        "old weight": utils.weight_norm,
        "weight": utils.parametrizations.weight_norm,
    }[which]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old forms are deprecated, and in many files
        for part in module.modules():
            if isinstance(part, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                form(part)
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        module(x), module(x)  # a few steps of the power iteration
        torch.save(module.state_dict(), tmp_path / "w.pth")
        module.eval()
        plain.eval()
        expected = module(x)
        weights = recognise(read_pth(tmp_path / "w.pth"))[1]
        plain.load_state_dict({k: torch.tensor(v) for k, v in weights.items()}, strict=True)
        again = plain(x)
    if isinstance(expected, list):
        expected, again = expected[0][0], again[0][0]
    np.testing.assert_allclose(again.numpy(), expected.numpy(), atol=1e-5)
    assert load_network(tmp_path / "w.pth").config == description


PAGE = (Path(__file__).resolve().parents[2] / "docs" / "porting.md").read_text()
(DUMP,) = re.findall(r"<!-- dump -->\n```python\n(.*?)```", PAGE, re.S)


def dump_layers(module: "torch.nn.Module", x: "torch.Tensor", path) -> None:
    """The eight lines of docs/porting.md."""
    assert len(DUMP.splitlines()) == 8
    scope = {"module": module, "x": x, "torch": torch, "np": np, "path": path}
    exec(DUMP.replace('"layers.npz"', "path"), scope)


@pytest.mark.parametrize("description", [DESCRIPTIONS[0], DESCRIPTIONS[2], DESCRIPTIONS[6]],
                         ids=lambda d: d["class"])  # fmt: skip
def test_the_first_layer_that_differs_from_pytorchs_is_named(description, tmp_path, capsys):
    module = made(description)
    torch.save(module.state_dict(), tmp_path / "w.pth")
    x = torch.rand(1, description["input_nc"], 64, 64) * 2 - 1
    dump_layers(copy.deepcopy(module), x, tmp_path / "layers.npz")
    result = parity(ParityOptions(tmp_path / "w.pth", tmp_path / "layers.npz"))
    assert result["first"] is None and len(result["layers"]) >= 8
    changed = [name for name, part in module.named_modules() if isinstance(part, torch.nn.Conv2d)][
        2
    ]
    with torch.no_grad():
        module.get_submodule(changed).weight[0, 0, 0, 0] += 0.5
    dump_layers(module, x, tmp_path / "layers.npz")
    result = parity(ParityOptions(tmp_path / "w.pth", tmp_path / "layers.npz"))
    assert result["first"] == changed
    assert f"first layer that differs is {changed}." in capsys.readouterr().out
