"""Every setting of jax, XLA and libtpu in launch/ is one that the installed versions accept."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
TEXTS = {
    path: path.read_text()
    for path in sorted(LAUNCH.rglob("*"))
    if path.is_file() and "__pycache__" not in path.parts
}
FLAG = re.compile(r"--xla_\w+(?:=[\w.-]+)?")


def variables_of_gpu() -> dict[str, str]:
    """What gpu.env sets, and what it only proposes."""
    lines = TEXTS[LAUNCH / "gpu.env"].splitlines()
    exports = [line.lstrip("#") for line in lines if line.lstrip("#").startswith("export ")]
    return dict(line.removeprefix("export ").split("=", 1) for line in exports)


def start(**variables: str) -> subprocess.CompletedProcess:
    """A process that compiles something on the CPU: jax and XLA have read all their settings."""
    code = "import jax; print(jax.jit(lambda x: x + 1)(1), jax.config.jax_optimization_level)"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", **variables}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )


def test_jax_and_xla_accept_the_settings_for_gpus(tmp_path):
    variables = variables_of_gpu()
    assert set(variables) == {
        "JAX_OPTIMIZATION_LEVEL", "XLA_PYTHON_CLIENT_MEM_FRACTION", "JAX_COMPILATION_CACHE_DIR"
    }  # fmt: skip
    variables["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path)
    assert 0 < float(variables["XLA_PYTHON_CLIENT_MEM_FRACTION"]) < 1
    flags = [flag for text in TEXTS.values() for flag in FLAG.findall(text) if "_tpu_" not in flag]
    done = start(**variables, XLA_FLAGS=" ".join(flags))
    assert done.returncode == 0 and done.stdout == "2 O1\n", done.stderr
    # The check itself: a wrong setting is noticed.
    assert "Unknown flag" in start(XLA_FLAGS="--xla_gpu_graph_level=1").stderr
    assert start(JAX_OPTIMIZATION_LEVEL="O9").returncode != 0


def test_the_memory_variable_is_one_that_jax_reads():
    import jaxlib

    client = Path(jaxlib.__file__).with_name("xla_client.py").read_text()
    assert "'XLA_PYTHON_CLIENT_MEM_FRACTION'" in client.replace('"', "'")


def test_variables_of_the_targets():
    import jax

    for name in ("tpu", "gke"):
        for variable in yaml.safe_load(TEXTS[LAUNCH / f"{name}.yaml"])["environment"]:
            assert variable == variable.upper() and variable.startswith("JAX_")
            assert hasattr(jax.config, variable.lower()), variable


def test_flags_for_tpu_stay_out_of_xla_flags():
    """A process without a TPU ends at once on them; libtpu reads them from its own variable."""
    for text in TEXTS.values():
        for line in text.splitlines():
            if "--xla_tpu_" in line:
                assert "LIBTPU_INIT_ARGS" in line and "XLA_FLAGS" not in line


def test_libtpu_accepts_the_flags():
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("libtpu is not installed: extra tpu")
    flags = {flag for text in TEXTS.values() for flag in FLAG.findall(text) if "_tpu_" in flag}
    assert flags
    code = (
        "from jax.experimental import topologies\n"
        "topologies.get_topology_desc(platform='tpu', topology_name='v5e:2x2')\n"
    )
    environment = {
        **os.environ, "JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    }  # fmt: skip
    for arguments, status in ((" ".join(sorted(flags)), 0), ("--xla_tpu_no_such_flag=1", 1)):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**environment, "LIBTPU_INIT_ARGS": arguments},
            capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode != 0) == bool(status), done.stderr
