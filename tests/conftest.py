"""Shared by all tests: where the real videos, pose models and parity fixtures are, if anywhere."""

import contextlib
import os
from pathlib import Path

import pytest
from shapes import check_shapes

# Tests compile many tiny programs; they must see the CPU whatever else the machine has.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("GLOG_minloglevel", "2")

check_shapes()


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


@pytest.fixture
def unchecked():
    """For tests of what a function itself says of arrays of wrong shapes."""
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def quickly(tmp_path_factory):
    """A context manager: compiled programs are kept on the disk, so that a run which is begun again
    compiles nothing, and optimised little, since they run for milliseconds."""
    import jax

    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("xla")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": 0,
        "jax_disable_most_optimizations": True,
    }

    @contextlib.contextmanager
    def settled():
        before = {name: jax.config.values[name] for name in settings}
        for name, value in settings.items():
            jax.config.update(name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                jax.config.update(name, value)

    return settled


@pytest.fixture(scope="module")
def quick_compilation(quickly):
    """For a file alone: other tests see programs as they are for users."""
    with quickly():
        yield
