"""A convolution and the batch norm after it as one convolution with a bias."""

from collections.abc import Mapping

import numpy as np


def folded(
    state: Mapping[str, np.ndarray], conv: str, norm: str, shape: tuple[int, ...], epsilon: float
) -> dict[str, np.ndarray]:
    """kernel [rows, columns, in, out] and bias [out], float32, of PyTorch's conv.weight and norm's
    weight, bias, running_mean and running_var.

    Args:
      shape: of the weight, (out, in, rows, columns); epsilon: the batch norm's.
    Raises:
      KeyError: a tensor is not there; ValueError: one has another shape.
    """
    weight = np.asarray(state[f"{conv}.weight"], np.float64)
    if weight.shape != shape:
        raise ValueError(f"{conv}.weight is {weight.shape} and not {shape}")
    values = [
        np.asarray(state[f"{norm}.{name}"], np.float64)
        for name in ("weight", "bias", "running_mean", "running_var")
    ]
    if any(value.shape != shape[:1] for value in values):
        raise ValueError(f"{norm} is not of {shape[0]} channels")
    scale, bias, mean, variance = values
    scale = scale / np.sqrt(variance + epsilon)
    kernel = weight.transpose(2, 3, 1, 0) * scale
    return {"kernel": kernel.astype(np.float32), "bias": (bias - mean * scale).astype(np.float32)}
