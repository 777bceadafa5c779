"""One record's tf.Example, read without TensorFlow and without copying its picture.

A record is a protocol buffers message, tensorflow/core/example/example.proto:

    Example { Features features = 1 }            Features { map<string, Feature> feature = 1 }
    Feature { oneof BytesList 1, FloatList 2, Int64List 3 }        each list { repeated value = 1 }

Of its wire format (protobuf.dev/programming-guides/encoding) three things are needed: varints,
fields with a length (messages, strings, packed numbers) and, where numbers are not packed, single
ones.
"""

from collections.abc import Iterator

import numpy as np

_VARINT, _LENGTH, _FOUR = 0, 2, 5
_BYTES, _FLOATS, _INTEGERS = 1, 2, 3

Value = list[np.ndarray] | np.ndarray


def read_example(data: bytes) -> dict[str, Value]:
    """The features by name.

    Returns:
      Per feature: float32 [n], int64 [n], or a list of uint8 arrays for bytes. Bytes and floats are
      views of `data`, which cannot be written to. A feature without a value is left out.
    Raises:
      ValueError, IndexError: not a tf.Example.
    """
    result = {}
    for _, (start, end) in _parts(data, 0, len(data), 1):
        for _, entry in _parts(data, start, end, 1):
            name, value = None, None
            for field, (first, last) in _parts(data, *entry, None):
                if field == 1:
                    name = data[first:last].decode()
                elif field == 2:
                    value = _feature(data, first, last)
            if name is not None and value is not None:
                result[name] = value
    return result


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, place after it)."""
    value = data[at] & 127
    shift = 7
    while data[at] > 127:
        at += 1
        value |= (data[at] & 127) << shift
        shift += 7
    return value, at + 1


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(field number, wire type, start, end) of each field's value."""
    while start < end:
        tag, start = _varint(data, start)
        kind = tag & 7
        if kind == _LENGTH:
            length, start = _varint(data, start)
            stop = start + length
        elif kind == _FOUR:
            stop = start + 4
        elif kind == _VARINT:
            stop = _varint(data, start)[1]
        else:
            raise ValueError(f"wire type {kind} in a tf.Example")
        if stop > end:
            raise ValueError("a tf.Example that is cut short")
        yield tag >> 3, kind, start, stop
        start = stop


def _parts(
    data: bytes, start: int, end: int, number: int | None
) -> Iterator[tuple[int, tuple[int, int]]]:
    """(field number, place) of the messages and strings in a message: all, or one field's."""
    for field, kind, first, last in _fields(data, start, end):
        if kind == _LENGTH and number in (None, field):
            yield field, (first, last)


def _feature(data: bytes, start: int, end: int) -> Value | None:
    for kind, (first, last) in _parts(data, start, end, None):
        values = [place for number, *place in _fields(data, first, last) if number == 1]
        if kind == _BYTES:
            return [np.frombuffer(data, np.uint8, b - a, a) for _, a, b in values]
        if kind == _FLOATS:
            return _joined([np.frombuffer(data, "<f4", (b - a) // 4, a) for _, a, b in values])
        if kind == _INTEGERS:
            return _joined([_integers(data, a, b) for _, a, b in values])
    return None


def _joined(parts: list[np.ndarray]) -> np.ndarray | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    return np.concatenate(parts)


def _integers(data: bytes, start: int, end: int) -> np.ndarray:
    small = np.frombuffer(data, np.uint8, end - start, start)
    if not (small & 128).any():
        return small.astype(np.int64)
    values = []
    while start < end:
        value, start = _varint(data, start)
        values.append(value - (1 << 64) if value >> 63 else value)
    return np.array(values, np.int64)
