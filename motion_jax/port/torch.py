"""Reads PyTorch's weight files without PyTorch and without executing anything in them.

A `.pth` is either a zip archive (since PyTorch 1.6: `<name>/data.pkl` and one raw file for each
storage) or the older stream of pickles followed by raw storages. Both hold a pickled dictionary
whose tensors refer to storages; the unpickler below knows the few names that such a dictionary
needs and refuses every other.
"""

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import ml_dtypes
import numpy as np

from motion_jax.errors import UserError

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

_STORAGE_DTYPES = {
    "FloatStorage": np.dtype(np.float32),
    "DoubleStorage": np.dtype(np.float64),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}


class _Storage:
    """A storage class by name; stands for torch.FloatStorage and its kin."""

    def __init__(self, dtype: np.dtype):
        self.dtype = dtype


class _Tensor:
    """A view that is resolved when all storages are known (the legacy format stores them last)."""

    def __init__(self, key: str, offset: int, shape: tuple, strides: tuple):
        self.key, self.offset, self.shape, self.strides = key, offset, shape, strides

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a tensor with a state of its own")


def _rebuild_tensor(storage_key, offset, shape, strides, *_: object) -> _Tensor:
    return _Tensor(storage_key, int(offset), tuple(shape), tuple(strides))


def _rebuild_parameter(tensor: _Tensor, *_: object) -> _Tensor:
    return tensor


class _Unpickler(pickle.Unpickler):
    """Knows ordered dictionaries, tensors, parameters and storages; refuses all else."""

    def __init__(self, file: io.BufferedIOBase):
        super().__init__(file, encoding="latin-1")
        self.dtypes: dict[str, np.dtype] = {}

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch._utils" and name == "_rebuild_parameter":
            return _rebuild_parameter
        if module in ("torch", "torch.storage") and name in _STORAGE_DTYPES:
            return _Storage(_STORAGE_DTYPES[name])
        raise pickle.UnpicklingError(f"it refers to {module}.{name}, which weights do not need")

    def persistent_load(self, identity: tuple) -> str:
        kind, storage, key = identity[:3]
        if kind != "storage" or not isinstance(storage, _Storage):
            raise pickle.UnpicklingError(f"a reference of unknown kind {kind!r}")
        if len(identity) > 5 and identity[5] is not None:
            raise pickle.UnpicklingError("a storage that is a view of another")
        self.dtypes[str(key)] = storage.dtype
        return str(key)


def _view(tensor: _Tensor, storages: dict[str, np.ndarray]) -> np.ndarray:
    storage = storages[tensor.key]
    if len(tensor.shape) != len(tensor.strides) or min((*tensor.shape, *tensor.strides, 0)) < 0:
        raise pickle.UnpicklingError("a tensor with a broken shape")
    last = tensor.offset + sum(
        (size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    empty = 0 in tensor.shape
    if math.prod(tensor.shape) > storage.size:
        # Strides of 0 would blow a few bytes up to any size.
        raise pickle.UnpicklingError("a tensor larger than its storage, or beyond its end")
    if tensor.offset < 0 or (not empty and last >= storage.size):
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    if empty:
        return np.zeros(tensor.shape, storage.dtype)
    step = storage.dtype.itemsize
    return np.lib.stride_tricks.as_strided(
        storage[tensor.offset :], tensor.shape, tuple(stride * step for stride in tensor.strides)
    ).copy()


def _read_zip(path: Path) -> tuple[object, dict[str, np.ndarray]]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        pickles = [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise pickle.UnpicklingError("a zip archive without weights (no data.pkl)")
        root = pickles[0][: -len("data.pkl")]
        byteorder = root + "byteorder"
        if byteorder in names and archive.read(byteorder) != b"little":
            raise pickle.UnpicklingError("weights of a big-endian machine")
        unpickler = _Unpickler(io.BytesIO(archive.read(pickles[0])))
        content = unpickler.load()
        storages = {}
        for key, dtype in unpickler.dtypes.items():
            info = archive.getinfo(f"{root}data/{key}")
            # Weights are stored as they are; a compressed member could be a bomb.
            if info.compress_type != zipfile.ZIP_STORED:
                raise pickle.UnpicklingError("a compressed storage")
            storages[key] = np.frombuffer(archive.read(info), dtype)
    return content, storages


def _read_legacy(path: Path) -> tuple[object, dict[str, np.ndarray]]:
    with open(path, "rb") as file:
        if _Unpickler(file).load() != _LEGACY_MAGIC or _Unpickler(file).load() != _LEGACY_PROTOCOL:
            raise pickle.UnpicklingError("not a PyTorch file")
        _Unpickler(file).load()  # the writing machine's type sizes
        unpickler = _Unpickler(file)
        content = unpickler.load()
        storages = {}
        for key in _Unpickler(file).load():
            dtype = unpickler.dtypes[key]
            (count,) = np.frombuffer(file.read(8), np.int64)
            data = file.read(int(count) * dtype.itemsize)
            storages[key] = np.frombuffer(data, dtype, int(count))
    return content, storages


def read_pth(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a state_dict file, by key, in PyTorch's layout.

    Raises UserError for a missing, damaged or foreign file, and for one whose pickle asks for
    anything but tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no weight file {path}; check the path.")
    try:
        content, storages = (_read_zip if zipfile.is_zipfile(path) else _read_legacy)(path)
        if not isinstance(content, dict):
            raise pickle.UnpicklingError("not a dictionary of weights")
        return {
            str(key): _view(value, storages)
            for key, value in content.items()
            if isinstance(value, _Tensor)
        }
    except Exception as error:  # every way in which a damaged pickle can fail, said in one sentence
        raise UserError(
            f"{path} cannot be read as PyTorch weights ({error}); the file is damaged or not a "
            "state_dict: download or save it again."
        ) from error
