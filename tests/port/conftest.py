"""Weight files as PyTorch writes them, made without PyTorch."""

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest

TYPES = {"float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage",
         "int64": "LongStorage", "uint8": "ByteStorage", "bool": "BoolStorage"}  # fmt: skip


class Storage:
    def __init__(self, key, array):
        self.key, self.array = key, array


class Tensor:
    """What torch writes for a tensor: a call of torch._utils._rebuild_tensor_v2."""

    def __init__(self, storage, shape, strides, offset=0):
        self.arguments = (storage, offset, shape, strides, False, OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class Pickler(pickle.Pickler):
    legacy = False

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        kind = getattr(sys.modules["torch"], TYPES[value.array.dtype.name])
        identity = ("storage", kind, value.key, "cpu", value.array.size)
        return (*identity, None) if self.legacy else identity


@pytest.fixture
def weight_files(monkeypatch):
    """Writers of such files. While a test runs, there are modules by the names that they mention;
    nothing of them is called."""
    module, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in TYPES.values():
        setattr(module, name, type(name, (), {"__module__": "torch"}))

    def rebuild(*_):
        raise AssertionError("only its name is used")

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild
    monkeypatch.setitem(sys.modules, "torch", module)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return SimpleNamespace(
        Storage=Storage, Tensor=Tensor, as_tensors=as_tensors, zip=write_zip, legacy=write_legacy
    )


def pickled(value, legacy=False) -> bytes:
    stream = io.BytesIO()
    pickler = Pickler(stream, protocol=2)
    pickler.legacy = legacy
    pickler.dump(value)
    return stream.getvalue()


def as_tensors(arrays):
    """A state_dict with torch's `_metadata` attribute, and its storages."""
    storages, state = {}, OrderedDict()
    for i, (name, array) in enumerate(arrays.items()):
        storages[str(i)] = array
        strides = tuple(s // array.itemsize for s in array.strides)
        state[name] = Tensor(Storage(str(i), array), array.shape, strides)
    state._metadata = OrderedDict(version=1)
    return state, storages


def write_zip(path, state, storages, compression=zipfile.ZIP_STORED, byteorder=b"little"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", pickled(state))
        archive.writestr("weights/byteorder", byteorder)
        for key, array in storages.items():
            archive.writestr(f"weights/data/{key}", array.tobytes(), compress_type=compression)
        archive.writestr("weights/version", b"3\n")
    return path


def write_legacy(path, state, storages):
    with open(path, "wb") as file:
        for head in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            pickle.dump(head, file, protocol=2)
        file.write(pickled(state, legacy=True))
        pickle.dump(list(storages), file, protocol=2)
        for array in storages.values():
            file.write(np.int64(array.size).tobytes() + array.tobytes())
    return path
