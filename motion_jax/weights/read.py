"""A weight file's arrays under the plain keys of the network that they belong to.

Training leaves marks on a state_dict: wrappers put names in front of the keys, spectral and weight
norm split a weight into parts, PyTorch 0.3 kept running statistics for instance norm. Here they are
undone, each as PyTorch computes it in evaluation mode.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from motion_jax.errors import UserError
from motion_jax.weights import architecture
from motion_jax.weights.safetensors import read_safetensors
from motion_jax.weights.torch import read_pth
from motion_jax.weights.unpickle import quoted

# What DataParallel and DistributedDataParallel, torch.compile and FSDP put into keys.
_WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module"})
# The parts of a weight (w: itself or its direction, g: its length, u and v: of spectral norm), by
# the ends of their keys.
_SPECTRAL = {".weight_orig": "w", ".weight_u": "u", ".weight_v": "v"}
_WEIGHT = {".weight_g": "g", ".weight_v": "w"}
_MARK = ".parametrizations.weight."
_ENDS = {"original": "w", "original0": "g", "original1": "w", "0._u": "u", "0._v": "v"}
_PARAMETRIZED = {_MARK + end: part for end, part in _ENDS.items()}


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .pth, .pt or .safetensors file, by its own keys. Raises UserError."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return read_safetensors(path)
    if suffix in (".pth", ".pt"):
        return read_pth(path)
    if path.name.lower().endswith((".pth.tar", ".pkl")):
        raise UserError(
            f"{path} holds several networks and is no weight file of one; motion-jax inspect shows "
            "them, and motion-jax import makes a run of it."
        )
    raise UserError(
        f"{path} is no weight file; give a .pth, .pt or .safetensors file (a .pth.tar of the First "
        "Order Motion Model and a .pkl of StyleGAN2 are for motion-jax inspect, import and parity)."
    )


@dataclass(frozen=True)
class _Split:
    """A weight in parts, of a shape; `join(transposed)` computes it, where transposed says whether
    it belongs to a transposed convolution."""

    shape: tuple[int, ...]
    join: Callable[[bool], np.ndarray]


def recognise(weights: Mapping[str, np.ndarray]) -> tuple[dict, dict[str, np.ndarray]]:
    """The description of the network (see architecture_of), and its arrays by plain keys.

    Raises UserError where it is no network that we know, with the keys that do not fit.
    """
    clean, split = _plain(weights)
    shaped: dict[str, Any] = {**clean, **split}
    description = architecture.architecture_of(shaped)
    transposed = {
        f"{layer.prefix}.weight" for layer in architecture.layers(description) if layer.kind == "up"
    }
    # In the file's order, so that nothing depends on which parts a weight had.
    joined = {key: part.join(key in transposed) for key, part in split.items()}
    return description, {**clean, **joined}


def _plain(weights: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, _Split]]:
    """Whole arrays and weights in parts, by plain keys; statistics of instance norms left out."""
    clean: dict[str, np.ndarray] = {}
    for key, value in weights.items():
        plain = ".".join(part for part in key.split(".") if part not in _WRAPPERS)
        if plain in clean:
            raise UserError(
                f"The file holds {quoted(plain)} twice, with and without the name of a wrapper "
                f"({quoted(key)}); save the network itself, not the wrapped one, once."
            )
        clean[plain] = value
    split = _take_split(clean)
    for key in list(clean):
        prefix, _, name = key.rpartition(".")
        if name in architecture.STATISTICS and f"{prefix}.weight" not in clean:
            del clean[key]
    return clean, split


def _take_split(clean: dict[str, np.ndarray]) -> dict[str, _Split]:
    """Removes the parts of spectral and weight norm from `clean`; the weights that they make."""
    layers = {
        k.removesuffix(".weight_orig"): _SPECTRAL for k in clean if k.endswith(".weight_orig")
    }
    layers |= {k.removesuffix(".weight_g"): _WEIGHT for k in clean if k.endswith(".weight_g")}
    layers |= {k.split(_MARK)[0]: _PARAMETRIZED for k in clean if _MARK in k}
    split: dict[str, _Split] = {}
    for layer, names in layers.items():
        keys = {layer + name: part for name, part in names.items()}
        parts = {part: clean.pop(key) for key, part in keys.items() if key in clean}
        # Files of PyTorch 0.4 hold the finished weight of spectral norm too, and no weight_v.
        whole = clean.pop(f"{layer}.weight", None) if names is _SPECTRAL else None
        split[f"{layer}.weight"] = _split(layer, parts, whole)
    return split


def _split(layer: str, parts: dict[str, np.ndarray], whole: np.ndarray | None) -> _Split:
    if whole is not None and "v" not in parts:
        return _Split(whole.shape, lambda transposed: whole)
    if {"w", "u", "v"} <= set(parts):
        w, u, v = parts["w"], parts["u"], parts["v"]
        return _Split(w.shape, lambda transposed: spectral_norm(w, u, v, transposed))
    if {"w", "g"} <= set(parts):
        w, g = parts["w"], parts["g"]
        return _Split(w.shape, lambda transposed: weight_norm(w, g))
    raise UserError(
        f"The weight of {quoted(layer)} is stored in parts (spectral or weight norm) of which some "
        f"are missing; there are {', '.join(sorted(parts))}. Remove the norm with PyTorch's "
        "remove_spectral_norm or remove_parametrizations and save again."
    )


def spectral_norm(
    weight: Float[np.ndarray, "*shape"],
    u: Float[np.ndarray, " rows"],
    v: Float[np.ndarray, " columns"],
    transposed: bool = False,
) -> Float[np.ndarray, "*shape"]:
    """weight / sigma with sigma = u^T W v: torch.nn.utils.spectral_norm in evaluation mode, which
    takes the stored u and v as they are.

    W is the weight [out, in, k, k] as a matrix with a row for each output channel; of a transposed
    convolution, [in, out, k, k], too.
    """
    matrix = np.swapaxes(weight, 0, 1) if transposed else weight
    matrix = matrix.reshape(matrix.shape[0], -1).astype(np.float64)
    if matrix.shape != (u.size, v.size):
        raise UserError(
            f"A weight of spectral norm is {list(weight.shape)}, but its vectors have {u.size} and "
            f"{v.size} entries; check that the file is whole."
        )
    sigma = u.astype(np.float64).ravel() @ matrix @ v.astype(np.float64).ravel()
    if not np.isfinite(sigma) or sigma == 0:
        raise UserError(f"A weight of spectral norm has the norm {sigma}; check the file.")
    return _same_type(weight.astype(np.float64) / sigma, weight)


def weight_norm(
    direction: Float[np.ndarray, "*shape"], length: Float[np.ndarray, "..."]
) -> Float[np.ndarray, "*shape"]:
    """length * direction / |direction|, the norm over the axes where length has one entry
    (torch.nn.utils.weight_norm)."""
    wide, length = direction.astype(np.float64), length.astype(np.float64)
    if length.ndim not in (0, wide.ndim):
        raise UserError(
            f"A weight of weight norm is {list(direction.shape)}, but its lengths "
            f"{list(length.shape)}; check that the file is whole."
        )
    axes = tuple(i for i in range(wide.ndim) if length.ndim == 0 or length.shape[i] == 1)
    norm = np.sqrt(np.square(wide).sum(axis=axes, keepdims=True))
    return _same_type(wide * (length / norm), direction)


def _same_type(value: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Half-precision parts give a float32 weight: what is computed is not rounded a second time."""
    return value.astype(np.float64 if like.dtype == np.float64 else np.float32)
