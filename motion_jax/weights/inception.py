"""The weights of FID's Inception, from the file that pytorch-fid uses. It comes with no package:
the user has it."""

from pathlib import Path

from motion_jax.errors import UserError
from motion_jax.nets.inception import layers
from motion_jax.weights.folded import folded
from motion_jax.weights.torch import read_pth

# TensorFlow's.
EPSILON = 1e-3
FILE = "pt_inception-2015-12-05-6726825d.pth"


def load_inception(path: Path) -> dict:
    """Parameters of nets.inception.Inception. Raises UserError where the file is not of it."""
    state = read_pth(path)
    if any(name.startswith("AuxLogits") for name in state):
        raise UserError(
            f"{path} is torchvision's Inception, by which FID is not defined; give pytorch-fid's "
            f"file {FILE}."
        )
    try:
        return {
            "params": {
                name: folded(
                    state,
                    f"{name}.conv",
                    f"{name}.bn",
                    (layer.channels, taken, layer.rows, layer.columns),
                    EPSILON,
                )
                for name, layer, taken in layers()
            }
        }
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{path} does not hold the weights of FID's Inception ({error}); give pytorch-fid's "
            f"file {FILE}."
        ) from error
