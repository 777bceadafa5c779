"""Finds the classic TFDS builder datasets/pose_frames, installed or in a checkout."""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

INSTALLED = "motion_jax.shipped_builders.pose_frames.pose_frames"
CHECKOUT = Path(__file__).parents[2] / "datasets" / "pose_frames" / "pose_frames.py"


def load_builder() -> type[Any]:
    """The class PoseFrames, a tfds.core.GeneratorBasedBuilder.

    In a checkout it is loaded by its path: a top-level package called `datasets` would hide another
    library's. TFDS accepts a builder's name only once, so it is loaded once.
    """
    if INSTALLED in sys.modules:
        return sys.modules[INSTALLED].PoseFrames
    if importlib.util.find_spec(INSTALLED.split(".pose_frames")[0]) is not None:
        return importlib.import_module(INSTALLED).PoseFrames
    spec = importlib.util.spec_from_file_location(INSTALLED, CHECKOUT)
    if spec is None or spec.loader is None or not CHECKOUT.is_file():
        raise FileNotFoundError(f"the TFDS builder {CHECKOUT} is not installed")
    module = importlib.util.module_from_spec(spec)
    sys.modules[INSTALLED] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:  # Ctrl-C too: half a module must not be found by the next call.
        del sys.modules[INSTALLED]
        raise
    return module.PoseFrames
