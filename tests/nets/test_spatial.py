"""Pictures whose height is shared among devices: values, gradients and messages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Half-written by another process, it is compiled again.
KEPT = "ignore:Error reading persistent compilation cache"


@pytest.mark.parametrize("program", ["spatial_operations.py", "spatial_networks.py"])
def test_on_2_and_4_devices_as_on_one(program):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", KEPT, str(Path(__file__).with_name(program))],
        env=os.environ
        | {
            "XLA_FLAGS": os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=4",
            # The scopes' names in the programs are looked at.
            "JAX_COMPILATION_CACHE_INCLUDE_METADATA_IN_KEY": "true",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "same"
