"""Pickled dictionaries of tensors, read by a machine of our own that cannot execute anything.

Python's unpickler is not made for files from strangers: besides calling what a file names, it
allocates what a file declares and recurses as deep as a file nests. This one knows the instructions
that torch.save and similar programs write, keeps numbers, strings and containers, and turns the
few calls that weights need into records; everything else is refused. Its memory and time are
bounded by the two limits below.

The format: the comments of Python's pickletools.py.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

# A network of 10,000 tensors takes 1.5 MB and 300,000 instructions.
MAX_BYTES = 16 * 2**20
MAX_INSTRUCTIONS = 2_000_000
# The longest number that a weight file needs is the mark of the old format, of ten bytes.
_MAX_INTEGER_BYTES = 16
_MAX_NAME = 200

STORAGES = {
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


class Refused(Exception):
    """A pickle that is damaged, or that asks for more than weights need; str() says why."""


@dataclass(frozen=True, eq=False, slots=True)
class Storage:
    """Where a tensor's numbers lie: the name of a block of the file, its type, how many numbers."""

    key: str
    dtype: np.dtype
    count: int


@dataclass(frozen=True, eq=False, slots=True)
class Tensor:
    """A view of a storage: offset, shape and strides in numbers, all checked to be integers."""

    storage: Storage
    offset: int
    shape: tuple
    strides: tuple


class Namespace(dict):
    """The arguments of a program (argparse.Namespace), as a dictionary."""


@dataclass(frozen=True, eq=False, slots=True)
class _Name:
    """What a pickle may refer to; it is never called, only compared by identity."""

    kind: str
    dtype: np.dtype | None = None


_MARK = object()
_TENSOR, _PARAMETER, _DICTIONARY = _Name("tensor"), _Name("parameter"), _Name("dictionary")
_NAMESPACE = _Name("namespace")
_NAMES = {
    ("collections", "OrderedDict"): _DICTIONARY,
    ("argparse", "Namespace"): _NAMESPACE,
    ("torch._utils", "_rebuild_tensor"): _TENSOR,
    ("torch._utils", "_rebuild_tensor_v2"): _TENSOR,
    ("torch._utils", "_rebuild_parameter"): _PARAMETER,
    **{("torch", name): _Name("storage", dtype) for name, dtype in STORAGES.items()},
    **{("torch.storage", name): _Name("storage", dtype) for name, dtype in STORAGES.items()},
}


def quoted(text: object) -> str:
    """A string from a file, fit for a message: short, on one line, printable."""
    shown = repr(str(text)[: _MAX_NAME + 1])[1:-1]
    return shown if len(shown) <= _MAX_NAME else shown[:_MAX_NAME] + "…"


class Foreign(Refused):
    """A pickle that is whole, but not of weights alone; str() says what to do, too."""


_DEEPEST = 32


def converted(content: object, leaf: Callable[[Any], Any]) -> Any:
    """The dictionaries and lists of a pickle with leaf(value) in the place of all else; tuples
    become lists. A pickle may use one container in many places: each is looked at once. Raises
    Refused for one that is inside itself, and for what nests too deep."""
    done: dict[int, Any] = {}
    open_ones: set[int] = set()

    def each(value: Any, depth: int) -> Any:
        if not isinstance(value, dict | list | tuple):
            return leaf(value)
        if id(value) in open_ones or depth > _DEEPEST:
            raise Refused(f"it nests more than {_DEEPEST} containers")
        if id(value) not in done:
            open_ones.add(id(value))
            if isinstance(value, dict):
                result: Any = {key: each(inner, depth + 1) for key, inner in value.items()}
            else:
                result = [each(inner, depth + 1) for inner in value]
            open_ones.remove(id(value))
            done[id(value)] = result
        return done[id(value)]

    return each(content, 0)


class Unpickler:
    """Reads one pickle of `data`, from `start`; afterwards `end` is where it ended and `storages`
    are those that it mentions, by key. most: bytes that it may have."""

    def __init__(self, data: bytes | memoryview, start: int = 0, most: int = MAX_BYTES):
        self._data, self._at = data, start
        self._limit = min(len(data), start + most)
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}
        self.end = start

    def load(self) -> Any:
        """The object. Raises Refused, and nothing else."""
        for _ in range(MAX_INSTRUCTIONS):
            code = self._take(1)[0]
            if code == 0x2E:  # STOP
                self.end = self._at
                value = self._pop()
                if self._stack:
                    raise Refused("its pickle leaves values behind")
                return value
            handler = self._handler(code)
            if handler is None:
                raise Refused(f"its pickle has the instruction {code:#04x}, unknown in weights")
            handler(self)
        raise Refused(f"its pickle has more than {MAX_INSTRUCTIONS} instructions")

    def _handler(self, code: int) -> "Callable[[Any], None] | None":
        """What an instruction does; None for an unknown one."""
        return _INSTRUCTIONS.get(code)

    # --- input and stack -----------------------------------------------------------------------

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > self._limit:
            whole = self._limit == len(self._data)
            raise Refused(
                "its pickle is cut short" if whole else f"its pickle exceeds {MAX_BYTES >> 20} MB"
            )
        piece = bytes(self._data[self._at : end])
        self._at = end
        return piece

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self) -> str:
        window = bytes(self._data[self._at : min(self._limit, self._at + 2 * _MAX_NAME)])
        length = window.find(b"\n")
        if length < 0:
            raise Refused("its pickle is cut short within a name")
        self._at += length + 1
        return _decoded(window[:length])

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise Refused("its pickle takes more values than it gave")
        return self._stack.pop()

    def _top(self, kind: type) -> Any:
        if not self._stack or not isinstance(self._stack[-1], kind):
            raise Refused("its pickle fills something that is no container")
        return self._stack[-1]

    def _since_mark(self) -> list[Any]:
        for i in range(len(self._stack) - 1, -1, -1):
            if self._stack[i] is _MARK:
                values = self._stack[i + 1 :]
                del self._stack[i:]
                return values
        raise Refused("its pickle closes a group that it never opened")

    # --- instructions --------------------------------------------------------------------------

    def _protocol(self) -> None:
        if self._take(1)[0] > 5:
            raise Refused("its pickle is of an unknown protocol")

    def _string(self, length_form: str, encoding: str) -> None:
        self._push(_decoded(self._take(self._number(length_form)), encoding))

    def _bytes(self, length_form: str) -> None:
        self._push(self._take(self._number(length_form)))

    def _long(self) -> None:
        count = self._take(1)[0]
        if count > _MAX_INTEGER_BYTES:
            raise Refused(f"its pickle has an integer of {count} bytes")
        self._push(int.from_bytes(self._take(count), "little", signed=True))

    def _tuple(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(values)))

    def _append(self) -> None:
        value = self._pop()
        self._top(list).append(value)

    def _appends(self) -> None:
        values = self._since_mark()
        self._top(list).extend(values)

    def _setitem(self) -> None:
        value, key = self._pop(), self._pop()
        _set(self._top(dict), key, value)

    def _setitems(self) -> None:
        values = self._since_mark()
        target = self._top(dict)
        if len(values) % 2:
            raise Refused("its pickle has a key without a value")
        for key, value in zip(values[::2], values[1::2], strict=True):
            _set(target, key, value)

    def _put(self, index: int) -> None:
        if not self._stack or self._stack[-1] is _MARK:
            raise Refused("its pickle remembers a value that is not there")
        self._memo[index] = self._stack[-1]

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise Refused("its pickle recalls a value that it never stored")
        self._push(self._memo[index])

    def _refer(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise Refused("its pickle refers to something by a name that is no string")
        found = self._known(module, name)
        if found is None:
            raise Foreign(
                f"it refers to {quoted(f'{module}.{name}')}, which weights do not need (whole "
                "models are refused: save model.state_dict())"
            )
        self._push(found)

    def _known(self, module: str, name: str) -> Any:
        """What stands for something that a pickle refers to; None: refused."""
        return _NAMES.get((module, name))

    def _global(self) -> None:
        module = self._line()
        self._refer(module, self._line())

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self._refer(module, name)

    def _persistent(self) -> None:
        identity = self._pop()
        if not isinstance(identity, tuple) or not 5 <= len(identity) <= 6:
            raise Refused("its pickle has a reference of unknown kind")
        word, kind, key, _, count = identity[:5]
        if word != "storage" or not isinstance(kind, _Name) or kind.dtype is None:
            raise Refused("its pickle has a reference of unknown kind")
        if isinstance(key, int) and not isinstance(key, bool):
            key = str(key)  # the older format numbers its storages
        if not isinstance(key, str) or not _is_size(count):
            raise Refused("its pickle describes a storage wrongly")
        if len(identity) == 6 and identity[5] is not None:
            raise Refused("it has a storage that is a view of another")
        known = self.storages.setdefault(key, Storage(key, kind.dtype, count))
        if (known.dtype, known.count) != (kind.dtype, count):
            raise Refused(f"it describes the storage {quoted(key)} in two ways")
        self._push(known)

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(arguments, tuple) or not isinstance(function, _Name):
            raise Refused("its pickle calls something that is no function of PyTorch's")
        if function is _TENSOR:
            self._push(_tensor(arguments))
        elif function is _PARAMETER and arguments and isinstance(arguments[0], Tensor):
            self._push(arguments[0])
        elif function is _DICTIONARY and arguments == ():
            self._push({})
        elif function is _DICTIONARY and len(arguments) == 1 and isinstance(arguments[0], list):
            # How Python 2 wrote it: OrderedDict([[key, value], ...]).
            filled: dict = {}
            for pair in arguments[0]:
                if not isinstance(pair, list | tuple) or len(pair) != 2:
                    raise Refused("its pickle makes a dictionary of something else than pairs")
                _set(filled, *pair)
            self._push(filled)
        else:
            raise Refused("its pickle calls a function of PyTorch's with wrong arguments")

    def _new(self) -> None:
        arguments, kind = self._pop(), self._pop()
        if kind is not _NAMESPACE or arguments != ():
            raise Refused(
                "its pickle has the instruction 0x81 for an object that weights do not need"
            )
        self._push(Namespace())

    def _build(self) -> None:
        state = self._pop()
        target = self._top(dict)
        # A state_dict carries `_metadata`, the versions of PyTorch's modules; nobody needs them.
        if isinstance(target, Namespace) and isinstance(state, dict):
            for key, value in state.items():
                _set(target, key, value)


def _decoded(piece: bytes, encoding: str = "utf-8") -> str:
    try:
        return piece.decode(encoding)
    except UnicodeDecodeError as error:
        raise Refused("its pickle has a string that is no text") from error


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _set(target: dict, key: object, value: object) -> None:
    # Keys that are containers could be as deep, or as slow to compare, as a file likes.
    if not isinstance(key, str | int | float | bytes | None):
        raise Refused("its pickle has a dictionary with keys that are neither text nor numbers")
    if key in target:
        raise Refused(f"it has two entries named {quoted(key)}")
    target[key] = value


def _tensor(arguments: tuple) -> Tensor:
    if len(arguments) < 4 or not isinstance(arguments[0], Storage):
        raise Refused("it has a tensor without a storage")
    storage, offset, shape, strides = arguments[:4]
    for value in (shape, strides):
        if not isinstance(value, tuple) or len(value) > 32 or not all(map(_is_size, value)):
            raise Refused("it has a tensor with a broken shape")
    if not _is_size(offset) or len(shape) != len(strides):
        raise Refused("it has a tensor with a broken shape")
    return Tensor(storage, offset, shape, strides)


def _constant(value: Any) -> Callable[[Unpickler], None]:
    return lambda machine: machine._push(value)


def _frame(machine: Unpickler) -> None:
    """Its argument says how far a reader may look ahead, which is not needed here."""
    machine._take(8)


_INSTRUCTIONS: dict[int, Callable[[Unpickler], None]] = {
    0x80: Unpickler._protocol,
    0x95: _frame,
    ord("N"): _constant(None),
    0x88: _constant(True),
    0x89: _constant(False),
    ord("J"): lambda m: m._push(m._number("<i")),
    ord("K"): lambda m: m._push(m._number("<B")),
    ord("M"): lambda m: m._push(m._number("<H")),
    0x8A: Unpickler._long,
    ord("G"): lambda m: m._push(m._number(">d")),
    ord("X"): lambda m: m._string("<I", "utf-8"),
    0x8C: lambda m: m._string("<B", "utf-8"),
    0x8D: lambda m: m._string("<Q", "utf-8"),
    ord("U"): lambda m: m._string("<B", "latin-1"),  # str of Python 2
    ord("T"): lambda m: m._string("<I", "latin-1"),
    ord("C"): lambda m: m._bytes("<B"),
    ord("B"): lambda m: m._bytes("<I"),
    ord(")"): lambda m: m._push(()),
    ord("]"): lambda m: m._push([]),
    ord("}"): lambda m: m._push({}),
    ord("("): lambda m: m._push(_MARK),
    ord("t"): lambda m: m._push(tuple(m._since_mark())),
    ord("l"): lambda m: m._push(m._since_mark()),
    0x85: lambda m: m._tuple(1),
    0x86: lambda m: m._tuple(2),
    0x87: lambda m: m._tuple(3),
    ord("a"): Unpickler._append,
    ord("e"): Unpickler._appends,
    ord("s"): Unpickler._setitem,
    ord("u"): Unpickler._setitems,
    ord("0"): lambda m: m._pop() and None,
    ord("q"): lambda m: m._put(m._number("<B")),
    ord("r"): lambda m: m._put(m._number("<I")),
    0x94: lambda m: m._put(len(m._memo)),
    ord("h"): lambda m: m._get(m._number("<B")),
    ord("j"): lambda m: m._get(m._number("<I")),
    ord("c"): Unpickler._global,
    0x93: Unpickler._stack_global,
    0x81: Unpickler._new,
    ord("Q"): Unpickler._persistent,
    ord("R"): Unpickler._reduce,
    ord("b"): Unpickler._build,
}
