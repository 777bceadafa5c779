"""Shared by all tests: where the real videos, pose models and parity fixtures are, if anywhere."""

import gc
import hashlib
import os
import platform
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import pytest
from shapes import check_shapes


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


def pytest_configure(config: pytest.Config) -> None:
    """Forgets compiled programs after two weeks; most are of code that has changed since."""
    if hasattr(config, "workerinput"):
        return  # one of several processes of the same tests
    for path in Path(os.environ["JAX_COMPILATION_CACHE_DIR"]).glob("*-cache"):
        if path.stat().st_mtime < time.time() - 14 * 24 * 3600:
            path.unlink(missing_ok=True)


def _code_generator() -> str:
    """Flags for XLA's other code generator of elementwise work, which compiles in a quarter of the
    time, and for one piece of code a program, since small ones are not worth dividing. Of jax 0.10
    alone: XLA ends the process on a flag that it does not know."""
    if tuple(map(int, version("jax").split(".")[:2])) < (0, 11):
        return "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    return ""


# Tests compile many tiny programs; they must see the CPU whatever else the machine has.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("GLOG_minloglevel", "2")
# Compiling takes far longer than running here. So programs are optimised little, in the processes
# that tests start too, and what was compiled once is read back (tests/README.md).
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")
# Of compilers for chips that are not here too.
os.environ.setdefault("JAX_EXEC_TIME_OPTIMIZATION_EFFORT", "-1.0")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_compiled_programs()))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")
os.environ.setdefault("XLA_FLAGS", _code_generator())
# Tracing makes millions of small objects that stay: looking through them for rubbish, which the
# default does every 700, takes a tenth of the time.
gc.set_threshold(50_000, 20, 100)


@pytest.fixture(autouse=True)
def shown_on_stderr():
    """What a test's calls say is on stderr, as for users of the command line. (Calls of fixtures
    with a wider scope are silent, as in a library.)"""
    from motion_jax.cli.terminal import Terminal
    from motion_jax.events import watched

    with watched(Terminal()):
        yield


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


@pytest.fixture(scope="session")
def slow_tests() -> dict[str, float]:
    return _slow_tests()


@pytest.fixture
def unchecked():
    """For tests of what a function itself says of arrays of wrong shapes."""
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def optimised():
    """For a test whose bounds are those of programs as users have them."""
    import jax

    usual = {"jax_disable_most_optimizations": False, "jax_exec_time_optimization_effort": 0.0}
    before = {name: jax.config.values[name] for name in usual}
    for name, value in usual.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def _slow_tests() -> dict[str, float]:
    """What slow.txt says: seconds by file, or by file::function, as in a test's name."""
    lines = Path(__file__).with_name("slow.txt").read_text().splitlines()
    entries = (line.split() for line in lines if line and not line.startswith("#"))
    return {f"tests/{name}": float(seconds) for seconds, name in entries}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the slow tests, and begins with the files that take longest, so that at the end no
    process waits for another."""
    slow, by_file = _slow_tests(), Counter()
    for name, seconds in slow.items():
        by_file[name.partition("::")[0]] += seconds
    for item in items:
        function = item.nodeid.partition("[")[0]
        if function in slow or function.partition("::")[0] in slow:
            item.add_marker("slow")
    items.sort(key=lambda item: -by_file[item.nodeid.partition("::")[0]])
