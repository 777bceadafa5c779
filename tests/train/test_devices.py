"""The batch, the pictures' rows and the optimiser's state shared among eight devices (simulated):
the same training as on one."""

import os
import subprocess
import sys
from pathlib import Path


def test_eight_devices_train_as_one():
    environment = os.environ | {
        "XLA_FLAGS": os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
    }
    program = Path(__file__).with_name("eight_devices.py")
    # Nearly all of it is compiling, on one core each.
    running = [
        subprocess.Popen(
            [sys.executable, program, *cases],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for cases in (
            ["face", "cyclegan", "stylegan2", "first_order"],
            ["refused", "resident", "global", "local", "plate", "area", "pix2pix"],
        )
    ]
    # Both are waited for before either may fail the test.
    for each, (out, err) in [(each, each.communicate()) for each in running]:
        assert each.returncode == 0, err[-3000:]
        assert out.strip() == "same"
