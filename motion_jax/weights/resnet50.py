"""ResNet-50's weights of the package `imgsim`: AugNet (Chen, 2021), trained on natural pictures
without labels. MIT licence. The file is read, the package's own code is not run."""

import importlib.util
from pathlib import Path

import numpy as np

from motion_jax.errors import UserError, option
from motion_jax.nets.resnet50 import STAGES
from motion_jax.weights.folded import folded
from motion_jax.weights.torch import read_pth

# Of torchvision's batch norm.
EPSILON = 1e-5
PREFIX = "module.pre."
INSTALL = "pip install --no-deps imgsim"


def installed() -> Path | None:
    """The weight file of the installed package; None where it is not installed."""
    try:
        spec = importlib.util.find_spec("imgsim")
    except (ImportError, ValueError):
        return None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    path = Path(folders[0]) / "model.pth" if folders else None
    return path if path and path.is_file() else None


def load_resnet50(path: Path | None = None) -> dict:
    """Parameters of nets.resnet50.ResNet50 from a state_dict file with torchvision's keys, with or
    without the package's prefix; without a path the installed package's.

    Raises UserError that says how to get them where there are none, and where the file is not of a
    ResNet-50.
    """
    path = path or installed()
    if path is None:
        raise UserError(
            "This config's perceptual loss needs ResNet-50's weights, which come with the package "
            f"imgsim: {INSTALL} (93 MB), or train without with "
            f"{option('recipe.losses.perceptual')} none {option('recipe.losses.l1')} 50."
        )
    try:
        return {"params": _folded(read_pth(path))}
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{path} does not hold ResNet-50's weights ({error}); install them again: {INSTALL}."
        ) from error


def _folded(state: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    prefix = PREFIX if f"{PREFIX}conv1.weight" in state else ""

    def layer(conv: str, norm: str, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
        return folded(state, f"{prefix}{conv}", f"{prefix}{norm}", shape, EPSILON)

    found = {"conv_0": layer("conv1", "bn1", (64, 3, 7, 7))}
    inputs = 64
    for stage, (blocks, channels) in enumerate(STAGES):
        for block in range(blocks):
            theirs, ours = f"layer{stage + 1}.{block}.", f"stage_{stage}_block_{block}_"
            shapes = (
                (channels, inputs, 1, 1), (channels, channels, 3, 3), (4 * channels, channels, 1, 1)
            )  # fmt: skip
            for k, shape in enumerate(shapes):
                names = f"{theirs}conv{k + 1}", f"{theirs}bn{k + 1}"
                found[f"{ours}conv_{k}"] = layer(*names, shape)
            if not block:
                names = f"{theirs}downsample.0", f"{theirs}downsample.1"
                found[f"{ours}skip"] = layer(*names, (4 * channels, inputs, 1, 1))
            inputs = 4 * channels
    return found
