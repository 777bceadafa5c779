"""Reads the `.pkl` of NVIDIA's StyleGAN programs without executing anything in it.

Such a file is a pickled dictionary of whole networks. Each is stored as the source code of its
class, which NVIDIA's own reader runs, and its state: parameters, buffers, inner networks and
constructor arguments. Here the source code is left where it is; the state is kept as plain values,
by the machine of unpickle.py, and everything that weights do not need is refused.
"""

import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motion_jax.errors import UserError
from motion_jax.weights.torch import BROKEN, read_stream, view
from motion_jax.weights.unpickle import Refused, Storage, Tensor, Unpickler, converted, quoted

_DEEPEST = 32


@dataclass(frozen=True, eq=False, slots=True)
class _Word:
    """Something that a file refers to; only compared."""

    name: str


_LOAD, _OBJECT, _EASY, _SET = _Word("load"), _Word("object"), _Word("dictionary"), _Word("set")
_WORDS = {
    ("torch.storage", "_load_from_bytes"): _LOAD,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _OBJECT,
    ("dnnlib.util", "EasyDict"): _EASY,
    ("dnnlib", "EasyDict"): _EASY,
    **{(module, "set"): _SET for module in ("builtins", "__builtin__")},
    **{("torch", name): name for name in ("float32", "float16")},
}


@dataclass(frozen=True, eq=False, slots=True)
class _Object:
    """A network as it is stored."""

    name: str
    state: dict


@dataclass(frozen=True)
class Pickled:
    """One network of a file.

    Attributes:
      name: of its class.
      arguments: of its constructor, those that are plain values.
      arrays: parameters and buffers by their keys in a state_dict.
    """

    name: str
    arguments: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]


def read_nvidia_pickle(path: Path) -> dict[str, Pickled]:
    """The networks of a file by name ("G", "D", "G_ema"). Raises UserError for what is no such
    file, is damaged, or asks for anything but tensors and plain values."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no weight file {path}; check the path.")
    try:
        if path.stat().st_size == 0:
            raise Refused("it is empty")
        with open(path, "rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        machine = _Machine(memoryview(data), 0, most=len(data))
        content = machine.load()
        if not isinstance(content, dict):
            raise Refused("it is not a dictionary of networks")
        found = {
            str(name): Pickled(each.name, _plain(_arguments(each)), _arrays(each, machine))
            for name, each in content.items()
            if isinstance(each, _Object) and name in ("G", "D", "G_ema")
        }
        if not found:
            raise Refused(f"it holds no networks, but {', '.join(map(quoted, list(content)[:8]))}")
        return found
    except BROKEN as error:
        raise UserError(
            f"{path} cannot be read as a .pkl of NVIDIA's StyleGAN2-ADA ({quoted(error)}); nothing "
            "in it was run. Files of the older TensorFlow program are converted by NVIDIA's "
            "legacy.py first."
        ) from error


class _Machine(Unpickler):
    """Also knows tensors whose numbers stand in the pickle itself, and stored networks."""

    def __init__(self, data: memoryview, start: int, most: int):
        super().__init__(data, start, most)
        self.blocks: dict[str, np.ndarray] = {}

    def _handler(self, code: int) -> Callable[[Any], None] | None:
        return _INSTRUCTIONS.get(code) or super()._handler(code)

    def _known(self, module: str, name: str) -> Any:
        return _WORDS.get((module, name)) or super()._known(module, name)

    def _call(self) -> None:
        arguments = self._pop()
        function = self._pop()
        if not isinstance(function, _Word):
            self._push(function)
            self._push(arguments)
            self._reduce()
            return
        if not isinstance(arguments, tuple):
            raise Refused("its pickle calls something with what are no arguments")
        if function is _LOAD and len(arguments) == 1 and isinstance(arguments[0], bytes):
            self._push(self._storage(arguments[0]))
        elif function is _OBJECT and len(arguments) == 1 and isinstance(arguments[0], dict):
            self._push(_object(arguments[0]))
        elif function is _EASY and arguments == ():
            self._push({})
        elif function is _SET and len(arguments) <= 1:
            self._push(list(arguments[0]) if arguments and isinstance(arguments[0], list) else [])
        else:
            raise Refused(f"its pickle calls {function.name} with wrong arguments")

    def _make(self) -> None:
        arguments, kind = self._pop(), self._pop()
        if kind is not _EASY or arguments != ():
            raise Refused("its pickle makes an object that weights do not need")
        self._push({})

    def _storage(self, data: bytes) -> Storage:
        content, storages, _ = read_stream(memoryview(data))
        if not isinstance(content, Storage):
            raise Refused("it has a block of numbers that holds something else")
        key = f"block {len(self.blocks)}"
        self.blocks[key] = storages[content.key]
        return Storage(key, content.dtype, content.count)

    def _add_items(self) -> None:
        values = self._since_mark()
        self._top(list).extend(values)

    def _long_bytes(self) -> None:
        self._push(self._take(self._number("<Q")))


_INSTRUCTIONS: dict[int, Callable[[Any], None]] = {
    ord("R"): _Machine._call,
    0x81: _Machine._make,
    0x8F: lambda m: m._push([]),  # an empty set
    0x90: _Machine._add_items,
    0x8E: _Machine._long_bytes,
}


def _object(meta: dict) -> _Object:
    name, state = meta.get("class_name"), meta.get("state")
    if not isinstance(name, str) or not isinstance(state, dict):
        raise Refused("it has a network without a class or a state")
    return _Object(name, state)


def _arrays(
    network: _Object, machine: _Machine, depth: int = 0, seen: set[int] | None = None
) -> dict[str, np.ndarray]:
    """By their keys in a state_dict."""
    seen = set() if seen is None else seen
    if depth > _DEEPEST or id(network) in seen:
        raise Refused("it has a network inside of itself, or one in two places")
    seen.add(id(network))
    found: dict[str, np.ndarray] = {}
    for part in ("_parameters", "_buffers"):
        for name, value in _dictionary(network, part).items():
            if isinstance(value, Tensor):
                found[str(name)] = view(value, machine.blocks)
    for name, inner in _dictionary(network, "_modules").items():
        if isinstance(inner, _Object):
            arrays = _arrays(inner, machine, depth + 1, seen)
            found |= {f"{name}.{key}": value for key, value in arrays.items()}
    return found


def _dictionary(network: _Object, part: str) -> dict:
    found = network.state.get(part)
    return found if isinstance(found, dict) else {}


def _arguments(network: _Object) -> dict:
    return _dictionary(network, "_init_kwargs")


def _plain(arguments: dict) -> dict[str, Any]:
    """Numbers, text and containers of them; None in the place of anything else."""
    return converted(
        arguments, lambda value: value if isinstance(value, bool | int | float | str) else None
    )
