"""Shared by all tests: where the real videos, pose models and parity fixtures are, if anywhere."""

import hashlib
import os
import platform
from importlib.metadata import version
from pathlib import Path

import pytest


def _compiled_programs() -> Path:
    """Where compiled programs are kept from run to run: a folder for each kind of processor, since
    they hold its instructions."""
    described = platform.machine() + platform.processor()
    processors = Path("/proc/cpuinfo")
    if processors.is_file():
        lines = processors.read_text().splitlines()
        described += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    name = hashlib.sha256(described.encode()).hexdigest()[:12]
    return Path(__file__).resolve().parents[1] / ".cache" / "compiled" / name


def _code_generator() -> str:
    """The flag for XLA's other code generator of elementwise work, which compiles in a quarter of
    the time. From jax 0.11 on there is no such flag, and XLA ends the process on an unknown one."""
    if tuple(map(int, version("jax").split(".")[:2])) < (0, 11):
        return "--xla_cpu_use_fusion_emitters=false"
    return ""


# Tests compile many tiny programs; they must see the CPU whatever else the machine has.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("GLOG_minloglevel", "2")
# Compiling takes far longer than running here. So programs are optimised little, in the processes
# that tests start too, and what was compiled once is read back (tests/README.md).
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_compiled_programs()))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")
os.environ.setdefault("XLA_FLAGS", _code_generator())


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
