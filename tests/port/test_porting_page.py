"""docs/porting.md: its examples run, each compared with a definition and, where it is installed,
with PyTorch; its commands exist. (Its lines that dump layers: test_against_pytorch.py.)"""

import dataclasses
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from motion_jax import cli
from motion_jax.weights.torch import write_pth

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "porting.md").read_text()
BLOCKS = re.findall(r"(<!-- \w+ -->\n)?```(\w+)\n(.*?)```", PAGE, re.S)


@pytest.fixture(scope="module")
def page() -> dict:
    """What the page's examples define."""
    scope: dict = {}
    for mark, language, text in BLOCKS:
        if language == "python" and not mark:
            exec(compile(text, "docs/porting.md", "exec"), scope)
    return scope


@pytest.fixture
def torch():
    """PyTorch, or None: every example has a definition in NumPy besides."""
    try:
        import torch
    except ImportError:
        return None
    return torch


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def same(ours, nchw_definition, nchw_torch=None):
    """ours [N, H, W, C]."""
    ours = np.asarray(ours).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(ours, nchw_definition, atol=1e-4)
    if nchw_torch is not None:
        np.testing.assert_allclose(ours, nchw_torch.detach().numpy(), atol=1e-4)


def nhwc(x):
    return x.transpose(0, 2, 3, 1)


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (4, 2, 2), (7, 1, 0)]
)
def test_convolution(page, torch, size, stride, padding):
    x, weight, bias = drawn(2, 3, 8, 10), drawn(4, 3, size, size, seed=1), drawn(4, seed=2)
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    rows, columns = ((side - size) // stride + 1 for side in padded.shape[2:])
    expected = np.zeros((2, 4, rows, columns)) + bias[:, None, None]
    for i in range(rows):
        for j in range(columns):
            window = padded[:, :, i * stride : i * stride + size, j * stride : j * stride + size]
            expected[:, :, i, j] += np.einsum("nchw,ochw->no", window, weight)
    theirs = torch and torch.nn.functional.conv2d(
        *map(torch.tensor, (x, weight, bias)), stride=stride, padding=padding
    )
    same(page["conv2d"](nhwc(x), weight, bias, stride, padding), expected, theirs)


@pytest.mark.parametrize(
    ("size", "stride", "padding", "more"), [(3, 2, 1, 1), (4, 2, 1, 0), (3, 1, 1, 0), (5, 3, 2, 2)]
)
@pytest.mark.parametrize("function", ["conv_transpose2d", "flax_conv_transpose2d"])
def test_transposed_convolution(page, torch, function, size, stride, padding, more):
    x, weight, bias = drawn(1, 3, 4, 5), drawn(3, 2, size, size, seed=1), drawn(2, seed=2)
    # Each pixel spreads the kernel over the output, then the borders are cut.
    rows, columns = ((side - 1) * stride + size + more for side in x.shape[2:])
    spread = np.zeros((1, 2, rows, columns))
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            place = np.s_[:, :, i * stride : i * stride + size, j * stride : j * stride + size]
            spread[place] += np.einsum("nc,cohw->nohw", x[:, :, i, j], weight)
    expected = spread[:, :, padding : rows - padding, padding : columns - padding]
    theirs = torch and torch.nn.functional.conv_transpose2d(
        *map(torch.tensor, (x, weight, bias)), stride=stride, padding=padding, output_padding=more
    )
    ours = page[function](nhwc(x), weight, bias, stride, padding, more)
    same(ours, expected + bias[:, None, None], theirs)


def test_paddings(page, torch):
    x = drawn(1, 2, 4, 5)
    last = {"reflection": (2, 1), "replication": (0, 0)}
    for kind, (top, second) in last.items():
        ours = np.asarray(page["pad2d"](nhwc(x), 2, kind)).transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(ours[:, :, 0, 2:-2], x[:, :, top])
        np.testing.assert_array_equal(ours[:, :, 1, 2:-2], x[:, :, second])
        if torch:
            layer = getattr(torch.nn, f"{kind.title()}Pad2d")(2)
            np.testing.assert_array_equal(ours, layer(torch.tensor(x)).numpy())
    zeros = np.asarray(page["pad2d"](nhwc(x), 1, "zero"))
    assert zeros.shape == (1, 6, 7, 2) and not zeros[:, 0].any()


def test_norms(page, torch):
    x, weight, bias = 5 + drawn(3, 2, 6, 4), drawn(2, seed=1), drawn(2, seed=2)
    expected = [[(c - c.mean()) / np.sqrt(c.var() + 1e-5) for c in picture] for picture in x]
    theirs = torch and torch.nn.InstanceNorm2d(2)(torch.tensor(x))
    same(page["instance_norm"](nhwc(x)), expected, theirs)
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))

    def normed(mean, variance):
        scale = (weight / np.sqrt(variance + 1e-5))[:, None, None]
        return (x - mean[:, None, None]) * scale + bias[:, None, None]

    layer = torch and torch.nn.BatchNorm2d(2)
    if torch:
        layer.load_state_dict(
            {"weight": torch.tensor(weight), "bias": torch.tensor(bias)}, strict=False
        )
    theirs = torch and layer(torch.tensor(x))
    same(page["batch_norm"](nhwc(x), weight, bias), normed(mean, variance), theirs)
    count = 3 * 6 * 4
    running = page["updated_statistics"](nhwc(x), np.zeros(2), np.ones(2))
    np.testing.assert_allclose(running[0], 0.1 * mean, atol=1e-5)
    np.testing.assert_allclose(running[1], 0.9 + 0.1 * variance * count / (count - 1), atol=1e-5)
    if torch:
        np.testing.assert_allclose(running[0], layer.running_mean.numpy(), atol=1e-5)
        np.testing.assert_allclose(running[1], layer.running_var.numpy(), atol=1e-5)
    theirs = torch and layer.eval()(torch.tensor(x))
    same(
        page["batch_norm"](nhwc(x), weight, bias, running),
        normed(*map(np.asarray, running)),
        theirs,
    )


@pytest.mark.parametrize("counted", [True, False])
def test_average_pooling(page, torch, counted):
    x = drawn(1, 2, 5, 6)
    expected = np.zeros((1, 2, 3, 3))
    for i in range(3):
        for j in range(3):
            rows = [r for r in range(2 * i - 1, 2 * i + 2) if 0 <= r < 5]
            columns = [c for c in range(2 * j - 1, 2 * j + 2) if 0 <= c < 6]
            window = x[:, :, rows][:, :, :, columns]
            expected[:, :, i, j] = window.sum((2, 3)) / (9 if counted else window[0, 0].size)
    theirs = torch and torch.nn.AvgPool2d(3, 2, 1, count_include_pad=counted)(torch.tensor(x))
    same(page["avg_pool2d"](nhwc(x), 3, 2, 1, counted), expected, theirs)


def test_enlarging(page, torch):
    x = drawn(1, 4, 3, 5)
    interpolate = torch and torch.nn.functional.interpolate
    theirs = torch and interpolate(torch.tensor(x), scale_factor=2, mode="nearest")
    same(page["upsample"](nhwc(x), 2), np.kron(x, np.ones((2, 2))), theirs)
    theirs = torch and interpolate(
        torch.tensor(x), scale_factor=2, mode="bilinear", align_corners=False
    )

    # Between centres: output pixel i lies at (i + 0.5) / 2 - 0.5 of the input, held at the ends.
    def along(values, axis):
        n = values.shape[axis]
        at = np.clip((np.arange(2 * n) + 0.5) / 2 - 0.5, 0, n - 1)
        low = np.minimum(at.astype(int), n - 2)
        share = (at - low).reshape([-1 if i == axis else 1 for i in range(4)])
        return values.take(low, axis) * (1 - share) + values.take(low + 1, axis) * share

    same(page["upsample"](nhwc(x), 2, "bilinear"), along(along(x, 2), 3), theirs)
    theirs = torch and torch.nn.PixelShuffle(2)(torch.tensor(x))
    expected = np.zeros((1, 1, 6, 10))
    for i in range(2):
        for j in range(2):
            expected[:, 0, i::2, j::2] = x[:, 2 * i + j]
    same(page["pixel_shuffle"](nhwc(x), 2), expected, theirs)


def test_linear_layer_activation_and_input_of_vgg(page, torch):
    x, weight, bias = drawn(2, 3, 4, 5), drawn(6, 60, seed=1), drawn(6, seed=2)
    ours = page["flatten_and_linear"](nhwc(x), weight, bias)
    np.testing.assert_allclose(ours, x.reshape(2, -1) @ weight.T + bias, atol=1e-4)
    np.testing.assert_allclose(page["leaky_relu"](x), np.maximum(x, 0.01 * x), atol=1e-7)
    if torch:
        theirs = torch.nn.LeakyReLU()(torch.tensor(x))
        np.testing.assert_allclose(page["leaky_relu"](x), theirs.numpy(), atol=1e-7)
    middle = page["imagenet_input"](np.zeros((1, 1, 1, 3), np.float32))
    expected = [(0.5 - m) / d for m, d in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
    np.testing.assert_allclose(middle.ravel(), expected, atol=1e-5)


def test_spectral_norm(page):
    weight = drawn(2, 3, 2, 2)
    rows = np.linalg.svd(weight.reshape(2, -1))
    expected = weight / rows[1][0]
    np.testing.assert_allclose(
        page["folded"](weight, rows[0][:, 0], rows[2][0]), expected, rtol=1e-5
    )


def test_networks_in_python(page, tmp_path, capsys):
    arrays = {"net.0.weight": drawn(2, 3, 1, 1), "net.0.bias": drawn(2),
              "net.2.weight": drawn(4, 2, 1, 1), "net.5.weight": drawn(1, 4, 1, 1)}  # fmt: skip
    write_pth(tmp_path / "w.pth", arrays)
    network = page["convert"](tmp_path / "w.pth", tmp_path / "again.pth")
    assert "PixelDiscriminator" in capsys.readouterr().out
    assert (
        network.state_dict().keys()
        == page["load_network"](tmp_path / "again.pth").state_dict().keys()
    )


def test_another_gan(page):
    arrays = {
        "net.0.weight": drawn(4, 3, 3, 3),
        "net.0.bias": drawn(4, seed=1),
        "net.2.weight": drawn(1, 4, 1, 1, seed=2),
        "net.2.bias": drawn(1, seed=3),
    }
    x = nhwc(drawn(1, 3, 8, 8))
    first = page["conv2d"](x, arrays["net.0.weight"], arrays["net.0.bias"], 2, 1)
    second = page["conv2d"](
        page["leaky_relu"](first, 0.2), arrays["net.2.weight"], arrays["net.2.bias"]
    )
    theirs = {
        "net.0": np.asarray(first).transpose(0, 3, 1, 2),
        "net.2": np.asarray(second).transpose(0, 3, 1, 2),
    }
    assert page["first_difference"](arrays, x, theirs) is None
    theirs["net.2"] = theirs["net.2"] + 1
    assert page["first_difference"](arrays, x, theirs) == "net.2"


def test_the_commands_exist():
    lines = [line for _, language, text in BLOCKS if language == "sh" for line in text.splitlines()]
    commands = [shlex.split(line) for line in lines if line]
    assert len(commands) > 10
    for command in commands:
        assert command[0] == "motion-jax" and command[1] in cli.VERBS, command
        if command[1] not in OPTIONS:
            continue
        known = {f"--{f.name.replace('_', '-')}" for f in dataclasses.fields(OPTIONS[command[1]]())}
        assert {word for word in command if word.startswith("--")} <= known, command


def _lazily(module: str, name: str):
    def find():
        import importlib

        return getattr(importlib.import_module(module), name)

    return find


OPTIONS = {
    "inspect": _lazily("motion_jax.port.inspect", "InspectOptions"),
    "parity": _lazily("motion_jax.port.parity", "ParityOptions"),
    "import": _lazily("motion_jax.port.import_run", "ImportOptions"),
    "export": _lazily("motion_jax.port.export_run", "ExportOptions"),
    "transfer": _lazily("motion_jax.transfer.command", "TransferOptions"),
    "prepare": _lazily("motion_jax.data.prepare", "PrepareOptions"),
}
