"""Reads a record's tf.Example without TensorFlow and without copying its picture.

A record is a protocol buffers message, tensorflow/core/example/example.proto:

    Example { Features features = 1 }            Features { map<string, Feature> feature = 1 }
    Feature { oneof BytesList 1, FloatList 2, Int64List 3 }        each list { repeated value = 1 }

Of its wire format (protobuf.dev/programming-guides/encoding) three things are needed: varints,
fields with a length (messages, strings, packed numbers) and, where numbers are not packed, single
ones.
"""

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
    for _, start, end in _messages(data, 0, len(data)):
        for _, first, last in _messages(data, start, end):
            name, value = None, None
            for field, a, b in _messages(data, first, last):
                if field == 1:
                    name = data[a:b].decode()
                elif field == 2:
                    value = _feature(data, a, b)
            if name is not None and value is not None:
                result[name] = value
    return result


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, place after it)."""
    byte = data[at]
    if byte < 128:
        return byte, at + 1
    value, shift = byte & 127, 7
    while byte > 127:
        at += 1
        byte = data[at]
        value |= (byte & 127) << shift
        shift += 7
    return value, at + 1


def _fields(data: bytes, start: int, end: int) -> list[tuple[int, int, int, int]]:
    """(wire type, field number, start, end) of each field's value."""
    found = []
    while start < end:
        tag, start = _varint(data, start)
        kind = tag & 7
        if kind == _LENGTH:
            length, start = _varint(data, start)
            stop = start + length
        elif kind == _FOUR:
            stop = start + 4
        elif kind == _VARINT:
            _, stop = _varint(data, start)
        else:
            raise ValueError(f"wire type {kind} in a tf.Example")
        if stop > end:
            raise ValueError("a tf.Example that is cut short")
        found.append((kind, tag >> 3, start, stop))
        start = stop
    return found


def _messages(data: bytes, start: int, end: int) -> list[tuple[int, int, int]]:
    """(field number, start, end) of the messages and strings in a message."""
    return [field[1:] for field in _fields(data, start, end) if field[0] == _LENGTH]


def _feature(data: bytes, start: int, end: int) -> Value | None:
    for kind, first, last in _messages(data, start, end):
        places = [(a, b) for _, number, a, b in _fields(data, first, last) if number == 1]
        if kind == _BYTES:
            return [np.frombuffer(data, np.uint8, b - a, a) for a, b in places]
        if kind == _FLOATS:
            return _joined([np.frombuffer(data, "<f4", (b - a) // 4, a) for a, b in places])
        if kind == _INTEGERS:
            return _joined([_integers(data, a, b) for a, b in places])
    return None


def _joined(parts: list[np.ndarray]) -> np.ndarray | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    return np.concatenate(parts)


def _integers(data: bytes, start: int, end: int) -> np.ndarray:
    if data[start:end].isascii():  # Each fits into one byte.
        return np.frombuffer(data, np.uint8, end - start, start).astype(np.int64)
    values = []
    while start < end:
        value, start = _varint(data, start)
        values.append(value - (1 << 64) if value >> 63 else value)
    return np.array(values, np.int64)
