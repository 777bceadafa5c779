"""Reads and writes `.safetensors` files: a header in JSON and raw arrays, nothing to execute."""

from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, TensorSpec, deserialize, serialize_file

from motion_jax.errors import UserError
from motion_jax.files import atomic_path
from motion_jax.weights.unpickle import quoted

# The format's names for types, and the library's for writing them.
_DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, by key, in the order in which they lie there.

    Raises UserError for a missing or damaged file, and for types that weights do not have.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no weight file {path}; check the path.")
    try:
        found = deserialize(path.read_bytes())
        weights = {}
        for key, entry in found:
            dtype = _DTYPES.get(entry["dtype"])
            if dtype is None:
                raise ValueError(f"{key} is of the type {entry['dtype']}, which no weights have")
            array = np.frombuffer(entry["data"], dtype)
            if dtype == np.bool_ and array.view(np.uint8).max(initial=0) > 1:
                raise ValueError(f"{key} has truth values that are neither 0 nor 1")
            weights[key] = array.reshape(entry["shape"])
        return weights
    except (SafetensorError, ValueError, OverflowError, OSError) as error:
        raise UserError(
            f"{path} cannot be read as safetensors ({quoted(error)}); the file is damaged: "
            "download or save it again."
        ) from error


def write_safetensors(
    path: Path, weights: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes arrays by key; bits are kept. metadata: texts for the header.

    Raises UserError for a type that the format does not know, and where the file cannot be
    written.
    """
    arrays = {key: np.asarray(value, order="C") for key, value in weights.items()}
    specs = {}
    for key, array in arrays.items():
        if array.dtype not in _DTYPES.values():
            raise UserError(
                f"{key} has the type {array.dtype}, which {path} cannot hold; convert it to "
                "float32 first."
            )
        specs[key] = TensorSpec(
            dtype=array.dtype.name, shape=array.shape, data_ptr=array.ctypes.data,
            data_len=array.nbytes,
        )  # fmt: skip
    with atomic_path(path) as temporary:
        # The library makes files that their owner alone may read; this one shall have the rights of
        # every other file that is written.
        temporary.touch()
        mode = temporary.stat().st_mode
        serialize_file(specs, str(temporary), dict(metadata) if metadata else None)
        temporary.chmod(mode)
