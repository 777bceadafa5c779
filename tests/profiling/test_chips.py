"""The table of chips, and the host's own peak."""

from types import SimpleNamespace

import pytest

from motion_jax.errors import UserError
from motion_jax.profiling import chips


def test_every_chip_is_complete_and_plausible():
    assert {"v4", "v5e", "v5p", "v6e", "H100", "H200", "A100", "L4", "RTX 4090"} <= set(chips.CHIPS)
    for name, chip in chips.CHIPS.items():
        assert chip.name == name and chip.source
        assert 1e13 < chip.peak_flops_f32 <= chip.peak_flops_bf16 < 1e16
        assert 1e10 < chip.memory_bytes < 1e12 and 1e11 < chip.bandwidth_bytes_s < 1e13
        assert 50 < chip.ridge < 1000
        assert chip.peak_flops("bfloat16") == chip.peak_flops_bf16
        assert chip.peak_flops("float32") == chip.peak_flops_f32


def test_a_chip_by_name():
    assert chips.chip("h200") is chips.CHIPS["H200"]
    with pytest.raises(UserError, match=r"no 'v7x'; it has v4, v5e.*RTX 4090\."):
        chips.chip("v7x")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("TPU v4", "v4"), ("TPU v5 lite", "v5e"), ("TPU v5", "v5p"), ("TPU v5p", "v5p"),
        ("TPU v6 lite", "v6e"), ("NVIDIA H200", "H200"), ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100-PCIe"), ("NVIDIA A100-SXM4-40GB", "A100-40GB"),
        ("NVIDIA A100-SXM4-80GB", "A100"), ("NVIDIA L4", "L4"), ("NVIDIA L40S", "L40S"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"), ("NVIDIA GeForce GTX 1080", None),
    ],
)  # fmt: skip
def test_a_chip_by_its_device(kind, name):
    device = SimpleNamespace(platform="tpu" if "TPU" in kind else "gpu", device_kind=kind)
    found = chips.chip_of(device)
    assert (found.name if found else None) == name
    assert chips.chip_of(SimpleNamespace(platform="cpu", device_kind="cpu")) is None


def test_the_host_is_measured(monkeypatch):
    monkeypatch.setattr(chips, "_MATRIX", 128)
    monkeypatch.setattr(chips, "_ARRAY", 1 << 14)
    found = chips.measure_host.__wrapped__()
    assert found.name.endswith(("core)", "cores)"))
    assert "measured" in found.source
    for value in (found.peak_flops_bf16, found.peak_flops_f32, found.bandwidth_bytes_s):
        assert value > 1e6
    assert found.memory_bytes > 1e8
