"""Pictures whose height is shared among devices: values, gradients and messages."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest


@pytest.mark.parametrize("program", ["spatial_operations.py", "spatial_networks.py"])
def test_on_2_and_4_devices_as_on_one(program):
    flags = ["--xla_force_host_platform_device_count=4"]
    if jax.__version_info__ < (0, 11):
        # Another code generator for elementwise work, which compiles in a quarter of the time.
        flags.append("--xla_cpu_use_fusion_emitters=false")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(Path(__file__).with_name(program))],
        env=os.environ | {"XLA_FLAGS": " ".join(flags), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "same"
