"""Shared by all tests: where the real videos, pose models and parity fixtures are, if anywhere."""

import os
from pathlib import Path

import pytest

# Tests compile many tiny programs; they must see the CPU whatever else the machine has.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("GLOG_minloglevel", "2")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with data/, models/ and parity/; tests that need it skip where it is absent."""
    folder = Path(
        os.environ.get("MOTION_JAX_SHARED", Path(__file__).resolve().parents[2] / "shared")
    )
    if not folder.is_dir():
        pytest.skip(
            f"no folder {folder.name} of real videos and fixtures beside the project "
            "(set MOTION_JAX_SHARED to its place)"
        )
    return folder
