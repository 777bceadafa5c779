"""What libraries read when they are imported: the environment of a command."""

import logging
import os
import sys
from pathlib import Path

from motion_jax.files import cache_folder


def settle() -> None:
    """Settings of libraries that read them when they are imported."""
    # Names of files that are not UTF-8 are shown with escapes, as stderr does anyway.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    # Compiled programs are kept, so that a second start of the same config begins at once.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "xla"))
    # Orbax and MediaPipe warn about their own internals; errors still come through.
    logging.getLogger("absl").setLevel(logging.ERROR)
    os.environ.setdefault("GLOG_minloglevel", "2")
    # XLA's alarm about a slow compilation looks like a crash; its real errors are exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    quiet_without_tpu()


def quiet_without_tpu(devices: Path = Path("/dev")) -> None:
    """Where libtpu is installed and no TPU is, it complains of that at length on stderr: it is told
    what it asks for. What jax finds on the machine stays the same."""
    if any(devices.glob("accel*")) or any(devices.glob("vfio/[0-9]*")):
        return
    for name, value in (
        ("TPU_SKIP_MDS_QUERY", "1"),
        ("ALLOW_MULTIPLE_LIBTPU_LOAD", "1"),
        ("TPU_ACCELERATOR_TYPE", "v5litepod-1"),
        ("TPU_WORKER_HOSTNAMES", "localhost"),
    ):
        os.environ.setdefault(name, value)
