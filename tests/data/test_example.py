"""tf.Example: what protobuf's own library writes is read the same."""

import numpy as np
import pytest
from tensorflow_datasets.proto import tf_example_generated_pb2 as proto

from motion_jax.data.example import read_example


def test_every_kind_of_value():
    example = proto.Example()
    feature = example.features.feature
    floats = np.random.default_rng(0).normal(size=411).astype(np.float32)
    feature["floats"].float_list.value.extend(floats.tolist())
    integers = [0, 1, 127, 128, 300, 2**40, -1, -(2**63), 2**63 - 1]
    feature["integers"].int64_list.value.extend(integers)
    feature["flags"].int64_list.value.extend([1, 0, 1])
    picture = bytes(range(256)) * 300
    feature["picture"].bytes_list.value.append(picture)
    feature["words"].bytes_list.value.extend([b"one", b"", b"three"])
    feature["nothing"].float_list.SetInParent()
    got = read_example(example.SerializeToString())
    np.testing.assert_array_equal(got["floats"], floats)
    assert got["floats"].dtype == np.float32
    assert got["integers"].tolist() == integers and got["integers"].dtype == np.int64
    assert got["flags"].tolist() == [1, 0, 1]
    assert got["picture"][0].tobytes() == picture
    assert [word.tobytes() for word in got["words"]] == [b"one", b"", b"three"]
    assert "nothing" not in got


def test_numbers_that_are_not_packed():
    # The same numbers one by one: another writer may do so.
    floats = b"".join(b"\x0d" + np.float32(x).tobytes() for x in (1.5, -2.0))
    integers = b"\x08\x05\x08\xac\x02"

    def message(number, content):
        return bytes([number * 8 + 2, len(content)]) + content

    entries = [
        message(1, name) + message(2, message(kind, values))
        for name, kind, values in ((b"f", 2, floats), (b"i", 3, integers))
    ]
    data = message(1, b"".join(message(1, entry) for entry in entries))
    assert set(proto.Example.FromString(data).features.feature) == {"f", "i"}
    got = read_example(data)
    assert got["f"].tolist() == [1.5, -2.0] and got["i"].tolist() == [5, 300]


def test_what_is_no_example():
    example = proto.Example()
    example.features.feature["x"].bytes_list.value.append(b"abc" * 100)
    data = example.SerializeToString()
    for damaged in (data[:-20], b"\x0b" + data, data[:1]):
        with pytest.raises((ValueError, IndexError)):
            read_example(damaged)
    assert read_example(b"") == {}
