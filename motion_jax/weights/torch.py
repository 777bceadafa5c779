"""Reads and writes PyTorch's weight files without PyTorch and without executing anything in them.

A `.pth` (or `.pt`) is either a zip archive (since PyTorch 1.6: `<name>/data.pkl` and one raw file
for each storage) or the older stream of pickles followed by raw storages. Both hold a pickled
dictionary whose tensors refer to storages; `unpickle.py` reads it. PyTorch is used nowhere in this
package.
"""

import contextlib
import math
import mmap
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from motion_jax.errors import UserError
from motion_jax.files import atomic_path
from motion_jax.weights.systems import other
from motion_jax.weights.unpickle import (
    MAX_BYTES,
    STORAGES,
    Foreign,
    Refused,
    Storage,
    Tensor,
    Unpickler,
    converted,
    quoted,
)

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_MAX_MEMBERS = 100_000
# Tensors may share a storage (tied weights); a file whose tensors are together larger than this
# many times the file is a bomb.
_MAX_SHARING = 4
# What a damaged file raises: our reader Refused, the zip reader all of the rest.
BROKEN = (
    Refused,
    zipfile.BadZipFile,
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    OverflowError,
    struct.error,
)


def read_pth(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a state_dict file, by key, in PyTorch's layout; they may be read-only.

    Of a training checkpoint, {"state_dict": {...}, "epoch": ...}, the arrays of "state_dict".
    Raises UserError for a missing, damaged or foreign file, and for one whose pickle asks for
    anything but tensors.
    """
    path = Path(path)
    with _reading(path):
        content, storages, size = _content(path)
        if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
            content = content["state_dict"]
        if not isinstance(content, dict):
            raise Refused("it is not a dictionary of weights")
        tensors = {str(k): value for k, value in content.items() if isinstance(value, Tensor)}
        if not tensors:
            inside = [
                key
                for key, value in content.items()
                if isinstance(value, dict) and any(isinstance(v, Tensor) for v in value.values())
            ]
            if system := other(content):
                raise Foreign(
                    f"it is a checkpoint of {system}, which has other networks than those known"
                )
            if {"generator", "kp_detector"} <= set(map(str, content)):
                raise Foreign(
                    "it holds several networks, as checkpoints of the First Order Motion Model do; "
                    "those are recognised by their names: call it NAME.pth.tar"
                )
            if inside:
                raise Foreign(
                    "it holds no weights itself but dictionaries of them under "
                    f"{', '.join(map(quoted, inside[:8]))}; save one of these by itself"
                )
        _check_total(tensors.values(), size)
        return {key: view(tensor, storages) for key, tensor in tensors.items()}


def read_tree(path: Path) -> Any:
    """All that a file holds: dictionaries, lists, numbers and text, with arrays in the place of
    tensors; of a program's arguments (argparse.Namespace) a dictionary. Raises UserError as
    read_pth."""
    path = Path(path)
    with _reading(path):
        content, storages, size = _content(path)
        found: dict[int, Tensor] = {}

        def noted(value: Any) -> Any:
            if isinstance(value, Tensor):
                found[id(value)] = value
            return value

        tree = converted(content, noted)
        _check_total(found.values(), size)
        arrays = {key: view(tensor, storages) for key, tensor in found.items()}
        return converted(tree, lambda value: arrays.get(id(value), value))


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Says in one sentence what is wrong with a file."""
    if not path.is_file():
        raise UserError(f"There is no weight file {path}; check the path.")
    try:
        yield
    except Foreign as error:
        raise UserError(f"{path} cannot be read as PyTorch weights: {error}.") from error
    except BROKEN as error:
        with open(path, "rb") as file:
            start = file.read(200).lstrip().lower()
        if start.startswith((b"<!doctype", b"<html")):
            raise UserError(
                f"{path} cannot be read as PyTorch weights: it begins like a web page; download "
                "the file itself, not the page that shows it."
            ) from error
        raise UserError(
            f"{path} cannot be read as PyTorch weights ({quoted(error)}); the file is damaged or "
            "not a state_dict: download or save it again."
        ) from error


def _content(path: Path) -> tuple[object, dict[str, np.ndarray], int]:
    """(what the pickle holds, its storages, the file's size)."""
    with open(path, "rb") as file:
        read = _read_zip if file.read(4) == b"PK\3\4" else _read_legacy
    return read(path)


def is_zip(path: Path) -> bool:
    """Whether a file is in the form that PyTorch writes since 1.6."""
    with open(path, "rb") as file:
        return file.read(4) == b"PK\3\4"


def _check_total(tensors: Iterable[Tensor], size: int) -> None:
    total = sum(math.prod(t.shape) * t.storage.dtype.itemsize for t in tensors)
    if total > _MAX_SHARING * size:
        raise Refused("its tensors are together far larger than the file")


def view(tensor: Tensor, storages: dict[str, np.ndarray]) -> np.ndarray:
    """The array of a tensor. Raises Refused where it reaches beyond its storage."""
    storage = storages[tensor.storage.key]
    pairs = list(zip(tensor.shape, tensor.strides, strict=True))
    size = math.prod(tensor.shape)
    if size == 0:
        if tensor.offset > storage.size or max(tensor.shape) > 2**31:
            raise Refused("a tensor reaches beyond its storage")
        return np.zeros(tensor.shape, storage.dtype)
    if size > storage.size:
        # Strides of 0 would blow a few bytes up to any size.
        raise Refused("a tensor is larger than its storage")
    if tensor.offset + sum((n - 1) * stride for n, stride in pairs) >= storage.size:
        raise Refused("a tensor reaches beyond its storage")
    # The stride of an axis of one entry is never used, and may be any number.
    step = storage.dtype.itemsize
    strides = tuple(stride * step if n > 1 else step for n, stride in pairs)
    view = np.lib.stride_tricks.as_strided(
        storage[tensor.offset :], tensor.shape, strides, writeable=False
    )
    return np.ascontiguousarray(view).reshape(tensor.shape)


def _array(data: bytes | memoryview, storage: Storage) -> np.ndarray:
    if len(data) != storage.count * storage.dtype.itemsize:
        raise Refused(f"the storage {quoted(storage.key)} is not of the size declared for it")
    if storage.dtype == np.bool_ and np.frombuffer(data, np.uint8).max(initial=0) > 1:
        raise Refused("it has truth values that are neither 0 nor 1")
    return np.frombuffer(data, storage.dtype)


# --- since PyTorch 1.6: a zip archive -------------------------------------------------------------


def _read_zip(path: Path) -> tuple[object, dict[str, np.ndarray], int]:
    size = path.stat().st_size
    _check_member_count(path, size)
    with zipfile.ZipFile(path) as archive:
        members = _members(archive, size)
        pickles = [name for name in members if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise Refused("a zip archive without weights (no data.pkl)")
        root = pickles[0][: -len("data.pkl")]
        byteorder = root + "byteorder"
        if byteorder in members and _read(archive, members[byteorder], 16) != b"little":
            raise Refused("weights of a big-endian machine")
        unpickler = Unpickler(_read(archive, members[pickles[0]], MAX_BYTES))
        content = unpickler.load()
        storages = {}
        for key, storage in unpickler.storages.items():
            info = members.get(f"{root}data/{key}")
            if info is None:
                raise Refused(f"the storage {quoted(key)} is missing")
            storages[key] = _array(_read(archive, info, size), storage)
    return content, storages, size


def _check_member_count(path: Path, size: int) -> None:
    """Before zipfile makes an object for each member. Raises Refused, also without their list."""
    with open(path, "rb") as file:
        file.seek(max(size - 2**16 - 200, 0))
        tail = file.read()
    if not 0 <= tail.rfind(b"PK\5\6") <= len(tail) - 22:
        # The end of an archive's list of members, which is at its end.
        raise Refused("it is cut short")
    for mark, at, form in ((b"PK\5\6", 10, "<H"), (b"PK\6\6", 32, "<Q")):
        found = tail.rfind(mark)
        if 0 <= found <= len(tail) - at - 8:
            (count,) = struct.unpack_from(form, tail, found + at)
            if count > _MAX_MEMBERS:
                raise Refused(f"it claims to hold {count} files")


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """By name, after checking that they lie side by side in the file and are stored as they are."""
    infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
    end = 0
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            # PyTorch does not compress; a compressed member could be a bomb.
            raise Refused("it has a compressed storage, which PyTorch does not write")
        if info.flag_bits & 1:
            raise Refused("it is encrypted")
        if info.header_offset < end:
            raise Refused("its members overlap")
        end = info.header_offset + 30 + info.file_size
        if end > size:
            raise Refused("it has a member that reaches beyond its end")
    members = {info.filename: info for info in infos}
    if len(members) != len(infos):
        raise Refused("it has two members of one name")
    return members


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> bytes:
    if info.file_size > limit:
        raise Refused(f"its member {quoted(info.filename)} is too large")
    return archive.read(info)  # checks the CRC


# --- PyTorch 1.5 and older: a stream of pickles and storages --------------------------------------


def _read_legacy(path: Path) -> tuple[object, dict[str, np.ndarray], int]:
    size = path.stat().st_size
    if size == 0:
        raise Refused("it is empty")
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    # The arrays keep the map open as long as they live.
    return read_stream(memoryview(data))


def read_stream(view: memoryview) -> tuple[object, dict[str, np.ndarray], int]:
    """What a stream of pickles and storages holds, its storages by key, and its size. Raises
    Refused, and what reading broken numbers raises."""
    size = len(view)
    at, heads = 0, []
    for _ in range(3):  # mark, version, the writing machine's type sizes
        unpickler = Unpickler(view, at)
        heads.append(unpickler.load())
        at = unpickler.end
        if heads[0] != _LEGACY_MAGIC:
            break
    if heads[:2] != [_LEGACY_MAGIC, _LEGACY_PROTOCOL] or not isinstance(heads[2], dict):
        if len(heads) == 1 and isinstance(heads[0], dict | list | str | tuple) and at == size:
            raise Foreign(
                "it is an ordinary pickle, not a file of torch.save; save the weights with "
                "torch.save(model.state_dict(), FILE)"
            )
        raise Refused("it is no PyTorch file")
    if heads[2].get("little_endian", True) is not True:
        raise Refused("weights of a big-endian machine")
    unpickler = Unpickler(view, at)
    content = unpickler.load()
    names = Unpickler(view, unpickler.end)
    keys, at = names.load(), names.end
    expected = unpickler.storages
    if not isinstance(keys, list) or not all(isinstance(key, str | int) for key in keys):
        raise Refused("its list of storages is broken")
    keys = [str(key) for key in keys]
    if len(set(keys)) != len(keys) or set(keys) != set(expected):
        raise Refused("its list of storages is not that of its tensors")
    storages = {}
    for key in keys:
        if at + 8 > size:
            raise Refused("it is cut short")
        (count,) = struct.unpack_from("<q", view, at)
        end = at + 8 + max(count, 0) * expected[key].dtype.itemsize
        if count != expected[key].count or end > size:
            raise Refused("it is cut short, or a storage is not of the size declared for it")
        storages[key] = _array(view[at + 8 : end], expected[key])
        at = end
    if at != size:
        raise Refused("it goes on after its last storage")
    return content, storages, size


# --- writing --------------------------------------------------------------------------------------

_STORAGE_OF = {dtype: name for name, dtype in STORAGES.items()}
_ALIGNMENT = 64


def write_pth(path: Path, weights: Mapping[str, np.ndarray]) -> None:
    """Writes arrays by key as torch.save writes a state_dict; torch.load(weights_only=True) reads
    it.

    Bits are kept; equal arrays give equal files. Raises UserError for a type that PyTorch's files
    do not know, and where the file cannot be written.
    """
    write_nested(path, weights)


def write_nested(path: Path, content: Mapping[Any, Any]) -> None:
    """Writes what read_tree gives, as torch.save does; otherwise as write_pth.

    content: nested dictionaries, lists and tuples of arrays, numbers, text, truth values and None.
    """
    arrays: list[np.ndarray] = []
    pickle = b"\x80\x02" + b"".join(_pickled(content, arrays, path, "")) + b"."
    root = Path(path).stem
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        _add(archive, f"{root}/data.pkl", pickle)
        _add(archive, f"{root}/byteorder", b"little")
        for i, array in enumerate(arrays):
            _add(archive, f"{root}/data/{i}", array.tobytes())
        _add(archive, f"{root}/version", b"3\n")


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """A member whose bytes begin at a multiple of 64, as PyTorch needs to map them into memory."""
    info = zipfile.ZipInfo(name)  # dated 1980
    assert archive.fp is not None  # open
    begin = archive.fp.tell() + 30 + len(name.encode()) + 4
    padding = -begin % _ALIGNMENT
    info.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
    archive.writestr(info, data)


_ORDERED = b"ccollections\nOrderedDict\n)R"


def _pickled(value: Any, arrays: list[np.ndarray], path: Path, where: str) -> Iterator[bytes]:
    """Of a value, in pickle's protocol 2; each array gets a storage of its own, in `arrays`.

    where: the keys that lead to the value.
    """
    if isinstance(value, Mapping):
        yield _ORDERED + b"("
        for key, each in value.items():
            yield from _pickled(key, arrays, path, where)
            yield from _pickled(each, arrays, path, f"{where}.{key}" if where else str(key))
        yield b"u"
    elif isinstance(value, list | tuple):
        yield b"](" if isinstance(value, list) else b"("
        for each in value:
            yield from _pickled(each, arrays, path, where)
        yield b"e" if isinstance(value, list) else b"t"
    elif value is None or isinstance(value, bool):
        yield {None: b"N", True: b"\x88", False: b"\x89"}[value]
    elif isinstance(value, str):
        yield _text(value)
    elif isinstance(value, int):
        yield _integer(value)
    elif isinstance(value, float):
        yield b"G" + struct.pack(">d", value)
    else:
        array = np.asarray(value, order="C")
        if array.dtype not in _STORAGE_OF:
            raise UserError(
                f"{where} has the type {array.dtype}, which {path} cannot hold; convert it to "
                "float32 first."
            )
        strides = [stride // array.itemsize for stride in array.strides]
        storage = f"ctorch\n{_STORAGE_OF[array.dtype]}\n".encode()
        parts = [b"ctorch._utils\n_rebuild_tensor_v2\n((", _text("storage"), storage]
        parts += [_text(str(len(arrays))), _text("cpu"), _integer(array.size), b"tQK\0"]
        parts += [b"(", *map(_integer, array.shape), b"t(", *map(_integer, strides), b"t"]
        yield b"".join([*parts, b"\x89", _ORDERED, b"tR"])  # requires no gradient, no hooks
        arrays.append(array)


def _text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _integer(value: int) -> bytes:
    if value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)
