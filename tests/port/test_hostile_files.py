"""Weight files made to harm, and eleven thousand damaged ones: arrays or one sentence."""

import io
import pickle
import resource
import struct
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.weights import torch, unpickle
from motion_jax.weights.safetensors import read_safetensors, write_safetensors
from motion_jax.weights.torch import read_pth, write_pth

RNG = np.random.default_rng(5)
WEIGHTS = {
    "model.1.weight": RNG.standard_normal((4, 3, 3, 3)).astype(np.float32),
    "model.1.bias": RNG.standard_normal(4).astype(np.float16),
    "model.2.running_mean": np.zeros(4, np.float32),
    "model.2.num_batches_tracked": np.array(7, np.int64),
    "flags": np.array([True, False, True]),
}


# --- pickles made to harm -------------------------------------------------------------------------


def archive(path, pickled, storages=None, **changes):
    """A zip with that data.pkl."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", pickled)
        for key, data in (storages or {}).items():
            file.writestr(f"x/data/{key}", data)
    return path


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


STORAGE = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x04tQ"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
DICTIONARY = b"ccollections\nOrderedDict\n"


def tensor(shape: bytes = b"K\x04\x85", strides: bytes = b"K\x01\x85", offset: bytes = b"K\0"):
    return TENSOR + b"(" + STORAGE + offset + shape + strides + b"\x89}tR"


def test_the_parts_of_these_files_are_right(tmp_path):
    data = np.arange(4, dtype=np.float32)
    path = archive(tmp_path / "w.pth", b"}" + text("w") + tensor() + b"s.", {"0": data.tobytes()})
    np.testing.assert_array_equal(read_pth(path)["w"], data)


DEEP = b")" + b"\x85" * 100_000
# Each tuple holds the one before it twice: comparing or hashing the last would take 2**100 steps.
LAUGHS = b")" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(100))
REFUSED = {
    "a call of the system": (b"cos\nsystem\n" + text("true") + b"\x85R.", "refers to os.system"),
    "a call in older words": (b"(" + text("true") + b"ios\nsystem\n.", "instruction 0x69"),
    "evaluation": (b"cbuiltins\neval\n" + text("1") + b"\x85R.", "refers to builtins.eval"),
    "a pickle in a storage": (
        b"ctorch.storage\n_load_from_bytes\nC\x01.\x85R.", "torch.storage._load_from_bytes",
    ),
    "a whole model": (b"ctorch.nn.modules.conv\nConv2d\n)\x81.", r"save model.state_dict\(\)"),
    "a name computed on the stack": (text("os") + text("system") + b"\x93.", "refers to os.system"),
    "a name that is a number": (b"K\x01K\x02\x93.", "no string"),
    "an endless name": (b"c" + b"a" * 100_000 + b"\nb\n.", "within a name"),
    "an object of a class": (DICTIONARY + b")\x81.", "instruction 0x81"),
    "the extension registry": (b"\x82\x01.", "instruction 0x82"),
    "an integer of a gigabyte": (b"\x8b\0\0\0\x40.", "instruction 0x8b"),
    "an integer of 255 bytes": (b"\x8a\xff" + b"1" * 255 + b".", "integer of 255 bytes"),
    "text of four gigabytes": (b"X\xff\xff\xff\xffab.", "cut short"),
    "text of an exabyte": (b"\x8d" + struct.pack("<Q", 1 << 60) + b".", "cut short"),
    "bytes of four gigabytes": (b"B\xff\xff\xff\xff.", "cut short"),
    "text that is none": (b"X\x01\0\0\0\xff.", "no text"),
    "a deep key": (b"}" + DEEP + b"K\x01s.", "neither text nor numbers"),
    "a key that laughs": (b"}" + LAUGHS + b"K\x01s.", "neither text nor numbers"),
    "deep groups": (b"(" * 100_000 + b".", "takes more values"),
    "two entries of one name": (b"}" + (text("a") + b"N") * 2 + b"u.", "never opened"),
    "an entry twice": (b"}(" + (text("a") + b"N") * 2 + b"u.", "two entries named a"),
    "half an entry": (b"}(" + text("a") + b"u.", "key without a value"),
    "values into a number": (b"K\x01K\x02a.", "no container"),
    "values into a tensor": (b"}" + text("w") + tensor() + b"}bs.", "no container"),
    "a state for a storage": (STORAGE + b"}b.", "no container"),
    "a call of a tensor": (tensor() + b")R.", "no function"),
    "a call of a dictionary's own": (DICTIONARY + b"K\x01\x85R.", "wrong arguments"),
    "a dictionary of deep pairs": (DICTIONARY + b"]" + DEEP + b"a\x85R.", "else than pairs"),
    "a tensor of nothing": (TENSOR + b")R.", "without a storage"),
    "a parameter of nothing": (b"ctorch._utils\n_rebuild_parameter\nK\x01\x85R.", "wrong arg"),
    "an empty stack": (b".", "more values than it gave"),
    "values left behind": (b"NN.", "leaves values behind"),
    "a value never stored": (b"h\x07.", "recalls"),
    "nothing to store": (b"q\x07.", "remembers"),
    "another protocol": (b"\x80\x09.", "unknown protocol"),
    "no end": (b"\x80\x02}", "cut short"),
    "a number alone": (b"K\x01.", "not a dictionary"),
    "a list of tensors": (b"]" + tensor() + b"a.", "not a dictionary"),
    "a storage of two types": (
        b"}(" + text("a") + tensor() + text("b")
        + tensor().replace(b"FloatStorage", b"LongStorage") + b"u.", "in two ways",
    ),
    "a storage by a strange name": (STORAGE.replace(text("0"), b"]") + b".", "storage wrongly"),
    "a storage of text": (STORAGE.replace(b"K\x04", text("4")) + b".", "storage wrongly"),
    "a storage of less than nothing": (
        STORAGE.replace(b"K\x04", b"J\xff\xff\xff\xff") + b".", "storage wrongly",
    ),
    "a module for a storage": (STORAGE.replace(text("storage"), text("module")) + b".", "unk"),
    "a reference that is no tuple": (b"NQ.", "unknown kind"),
    "a storage outside the file": (
        b"}" + text("w") + tensor().replace(text("0"), text("../0")) + b"s.", "../0 is missing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_pickles_made_to_harm_are_refused(tmp_path, name):
    pickled, why = REFUSED[name]
    path = archive(tmp_path / "w.pth", pickled, {"0": bytes(16)})
    with pytest.raises(UserError, match=why) as error:
        read_pth(path)
    assert len(str(error.value)) < 1000 and "\n" not in str(error.value)


WRONG = {
    "a shape of text": dict(shape=text("4") + b"\x85"),
    "a shape of fractions": dict(shape=b"G" + struct.pack(">d", 4.0) + b"\x85"),
    "a shape of truth": dict(shape=b"\x88\x85"),
    "a shape that is a list": dict(shape=b"]"),
    "a shape below zero": dict(shape=b"J\xff\xff\xff\xff\x85"),
    "a shape beyond all": dict(shape=b"\x8a\x10" + b"\x7f" * 16 + b"\x85"),
    "a shape within a shape": dict(shape=b"K\x04\x85\x85"),
    "a thousand axes": dict(shape=b"(" + b"K\1" * 999 + b"t", strides=b"(" + b"K\1" * 999 + b"t"),
    "strides of text": dict(strides=text("1") + b"\x85"),
    "strides of another length": dict(strides=b"K\x01K\x01\x86"),
    "an offset of text": dict(offset=text("0")),
    "an offset of nothing": dict(offset=b"N"),
    "an offset beyond the end": dict(offset=b"K\x05"),
    "more than there is": dict(shape=b"K\x05\x85"),
    "strides that repeat": dict(shape=b"K\x05\x85", strides=b"K\0\x85"),
    "strides beyond the end": dict(strides=b"K\x02\x85"),
    "no entries, far away": dict(shape=b"K\0\x85", offset=b"K\x05"),
    "no entries, exabytes wide": dict(
        shape=b"K\0\x8a\x07" + b"\x7f" * 7 + b"\x86", strides=b"K\x01K\x01\x86"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_tensors_that_do_not_fit_are_refused(tmp_path, name):
    pickled = b"}" + text("w") + tensor(**WRONG[name]) + b"s."
    with pytest.raises(UserError, match="tensor"):
        read_pth(archive(tmp_path / "w.pth", pickled, {"0": bytes(16)}))


def test_values_that_nobody_needs_are_passed_over(tmp_path):
    # As in a checkpoint with an epoch and an optimiser's settings; deep and laughing values too.
    extra = b"".join(
        text(n) + v for n, v in {"deep": DEEP, "laughs": LAUGHS, "epoch": b"K\3"}.items()
    )
    pickled = b"}(" + text("w") + tensor() + extra + b"u."
    found = read_pth(archive(tmp_path / "w.pth", pickled, {"0": bytes(16)}))
    assert list(found) == ["w"]
    nested = (
        b"}(" + text("state_dict") + b"}" + text("w") + tensor() + b"s" + text("epoch") + b"Nu."
    )
    assert list(read_pth(archive(tmp_path / "w.pth", nested, {"0": bytes(16)}))) == ["w"]
    several = nested.replace(text("state_dict"), text("generator"))
    with pytest.raises(UserError, match="dictionaries of them under generator; save one"):
        read_pth(archive(tmp_path / "w.pth", several, {"0": bytes(16)}))


def test_memory_and_time_of_a_pickle_are_bounded(tmp_path, monkeypatch):
    path = tmp_path / "w.pth"
    monkeypatch.setattr(unpickle, "MAX_INSTRUCTIONS", 1000)
    with pytest.raises(UserError, match="more than 1000 instructions"):
        read_pth(archive(path, b"N0" * 1000 + b"N."))
    monkeypatch.undo()
    # An index of the memo that Python's own unpickler answers with 64 GB.
    tracemalloc.start()
    read_pth(archive(path, b"}r\xff\xff\xff\xff" + text("w") + tensor() + b"s.", {"0": bytes(16)}))
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
    monkeypatch.setattr(torch, "MAX_BYTES", 1000)
    with pytest.raises(UserError, match="data.pkl is too large"):
        read_pth(archive(path, b"N0" * 1000 + b"N."))


def test_a_tensor_told_a_thousand_times_is_refused(tmp_path):
    one = tensor() + b"q\x00"
    entries = text("0") + one + b"".join(text(str(i)) + b"h\x00" for i in range(1, 10_000))
    big = {"0": bytes(16)}
    with pytest.raises(UserError, match="far larger than the file"):
        # Sixteen bytes that would be 160 MB, were each tensor 16 KB.
        pickled = (
            b"}("
            + entries.replace(b"K\x04tQ", b"M\0\x10tQ").replace(b"K\x04\x85", b"M\0\x10\x85")
            + b"u."
        )
        big["0"] = bytes(4 * 4096)
        read_pth(archive(tmp_path / "w.pth", pickled, big))


# --- archives made to harm ------------------------------------------------------------------------


def good_bytes(tmp_path) -> bytearray:
    write_pth(tmp_path / "good.pth", WEIGHTS)
    return bytearray((tmp_path / "good.pth").read_bytes())


def central(data: bytes) -> list[int]:
    """Where the entries of the directory at the end begin."""
    found, at = [], data.find(b"PK\1\2")
    while at >= 0:
        found.append(at)
        at = data.find(b"PK\1\2", at + 1)
    return found


def refused(path, data, why):
    path.write_bytes(data)
    with pytest.raises(UserError, match=why):
        read_pth(path)


def test_archives_made_to_harm_are_refused(tmp_path):
    path, good = tmp_path / "w.pth", good_bytes(tmp_path)
    entries = central(good)
    overlapping = good.copy()
    overlapping[entries[3] + 42 : entries[3] + 46] = good[entries[2] + 42 : entries[2] + 46]
    refused(path, overlapping, "overlap")
    giant = good.copy()
    giant[entries[2] + 20 : entries[2] + 28] = struct.pack("<II", 0x7FFFFFFF, 0x7FFFFFFF)
    refused(path, giant, "overlap|beyond its end")
    inflated = good.copy()
    inflated[entries[2] + 24 : entries[2] + 28] = struct.pack("<I", 0x7FFFFFFF)
    refused(path, inflated, "compressed")
    compressed = good.copy()
    compressed[entries[2] + 10] = 8
    refused(path, compressed, "compressed")
    encrypted = good.copy()
    encrypted[entries[2] + 8] |= 1
    refused(path, encrypted, "encrypted")
    crowded = good.copy()
    end = good.rfind(b"PK\5\6")
    crowded[end:end] = b"PK\6\6" + bytes(28) + struct.pack("<Q", 10**9) + bytes(16)
    refused(path, crowded, "claims to hold 1000000000 files")
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", b"}.")
        file.writestr("x/data.pkl", b"}.")
    refused(path, path.read_bytes(), "two members of one name")


def test_what_is_cut_short_is_said_to_be(tmp_path):
    good = good_bytes(tmp_path)
    for length in (10, len(good) // 2, len(good) - 30, len(good) - 1):
        refused(tmp_path / "w.pth", good[:length], r"\(it is cut short\)")


def test_every_bit_of_the_numbers_is_under_a_checksum(tmp_path):
    path, good = tmp_path / "w.pth", good_bytes(tmp_path)
    at = good.find(WEIGHTS["model.1.weight"].tobytes())
    for place in (at, at + 5, at + WEIGHTS["model.1.weight"].nbytes - 1):
        flipped = good.copy()
        flipped[place] ^= 4
        refused(path, flipped, "CRC|crc")


def test_legacy_files_made_to_harm_are_refused(tmp_path, weight_files):
    path = tmp_path / "w.pth"
    array = np.arange(4, dtype=np.float32)
    good = weight_files.legacy(path, *weight_files.as_tensors({"w": array})).read_bytes()
    count = good.rfind(struct.pack("<q", 4))
    for number in (-1, 5, 2**62, 3):
        changed = good[:count] + struct.pack("<q", number) + good[count + 8 :]
        refused(path, changed, "cut short|after its last")
    refused(path, good + b"more", "goes on after")
    refused(path, good.replace(pickle.dumps(["0"], 2), pickle.dumps(["1"], 2)), "list of storages")
    refused(path, good.replace(b"little_endian", b"middle_endian", 1)[:-1], "cut short|cannot")
    refused(path, b"", "empty")
    refused(path, b"\x80\x02", "cut short")
    refused(path, b"GIF89a" + bytes(100), "cannot be read")


def test_safetensors_made_to_harm_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"

    def file(header: bytes, data: bytes = b"", length: int | None = None) -> None:
        size = len(header) if length is None else length
        path.write_bytes(struct.pack("<Q", size) + header + data)
        with pytest.raises(UserError, match="cannot be read as safetensors"):
            read_safetensors(path)

    file(b"{}", length=2**62)
    file(b"[" * 100_000)
    file(b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,1000000000000]}}', bytes(16))
    file(b'{"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,16]}}', bytes(16))
    file(b'{"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,16]}}', bytes(16))
    file(b'{"w":{"dtype":"O","shape":[4],"data_offsets":[0,16]}}', bytes(16))
    file(b'{"w":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}', b"\0\2")
    file(
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
        b'"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}', bytes(12),
    )  # fmt: skip
    path.write_bytes(b"")
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        read_safetensors(path)


# --- ten thousand damaged ones --------------------------------------------------------------------

_watched: list[str] | None = None
_EVENTS = {
    "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "exec", "compile", "import",
    "pickle.find_class", "socket.connect", "os.remove", "ctypes.dlopen",
}  # fmt: skip


def _hook(event: str, _arguments: object) -> None:
    # Hooks cannot be taken off; this one does nothing unless a test watches.
    if _watched is not None and event in _EVENTS:
        _watched.append(event)


def mutate(data: bytes, other: bytes, generator: np.random.Generator) -> bytes:
    """One damaged copy."""
    size, kind = len(data), int(generator.integers(7))
    at = int(generator.integers(size))
    changed = bytearray(data)
    if kind == 0:  # flipped bits
        for _ in range(int(generator.integers(1, 9))):
            changed[int(generator.integers(size))] ^= 1 << int(generator.integers(8))
    elif kind == 1:  # cut short
        del changed[at:]
    elif kind == 2:  # a piece of another file, or of another place
        length = int(generator.integers(1, 64))
        source = other if generator.integers(2) else data
        start = int(generator.integers(len(source)))
        changed[at : at + length] = source[start : start + length]
    elif kind == 3:  # an instruction in place of another
        changed[at] = INSTRUCTIONS[int(generator.integers(len(INSTRUCTIONS)))]
    elif kind == 4:  # the largest and smallest numbers
        width = (1, 2, 4, 8)[int(generator.integers(4))]
        changed[at : at + width] = (b"\xff", b"\0", b"\x7f", b"\x80")[
            int(generator.integers(4))
        ] * width
    elif kind == 5:  # a gap
        del changed[at : at + int(generator.integers(1, 32))]
    else:  # a piece twice
        changed[at:at] = data[at : at + int(generator.integers(1, 32))]
    return bytes(changed)


INSTRUCTIONS = bytes(
    sorted({*unpickle._INSTRUCTIONS, *b".iIoP(dLVSFg", 0x81, 0x82, 0x8B, 0x8F, 0x98})
)
COUNTS = {"zip": 3000, "pickle": 3000, "legacy": 3000, "safetensors": 2500}


@pytest.mark.parametrize("form", COUNTS)
def test_damaged_files_give_arrays_or_one_sentence(tmp_path, weight_files, form):
    """Bits, cuts, splices, instructions, numbers; "pickle": only in data.pkl, under a right CRC."""
    global _watched
    generator = np.random.default_rng(sorted(COUNTS).index(form))
    good = tmp_path / "good.pth"
    suffix = ".safetensors" if form == "safetensors" else ".pth"
    path, read = tmp_path / f"damaged{suffix}", read_pth
    if form == "safetensors":
        write_safetensors(good, WEIGHTS)
        read = read_safetensors
    elif form == "legacy":
        weight_files.legacy(good, *weight_files.as_tensors(WEIGHTS))
    else:
        write_pth(good, WEIGHTS)
    whole = good.read_bytes()
    other = io.BytesIO()
    np.savez(other, **WEIGHTS)
    storages = {}
    if form == "pickle":
        with zipfile.ZipFile(good) as file:
            names = {n.split("data/")[1]: n for n in file.namelist() if "/data/" in n}
            storages = {key: file.read(name) for key, name in names.items()}
            whole = file.read("good/data.pkl")
    sys.addaudithook(_hook)
    arrays = sentences = 0
    outcomes: set[str] = set()
    # Whatever is imported late is imported now.
    (archive(path, whole, storages) if form == "pickle" else path.write_bytes(whole))
    assert read(path).keys() == WEIGHTS.keys()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(COUNTS[form]):
        damaged = mutate(whole, other.getvalue(), generator)
        if form == "pickle":
            archive(path, damaged, storages)
        else:
            path.write_bytes(damaged)
        _watched = []
        try:
            found = read(path)
            assert all(isinstance(value, np.ndarray) for value in found.values())
            assert sum(value.nbytes for value in found.values()) <= 4 * path.stat().st_size
            arrays += 1
        except UserError as error:
            message = str(error)
            assert len(message) < 1000 and "\n" not in message
            assert str(path) in message
            outcomes.add(message)
            sentences += 1
        finally:
            events, _watched = _watched, None
        assert not set(events), f"{form}: reading did {set(events)}"
    assert arrays + sentences == COUNTS[form] and sentences > COUNTS[form] // 4
    assert len(outcomes) > 10
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200 * 1024, f"{grown >> 10} MB more"
