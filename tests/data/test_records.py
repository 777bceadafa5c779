"""The record format: what is written comes back, by us and by plain TFDS; damage is named."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from motion_jax.data import records
from motion_jax.errors import UserError


def examples(count, clip, height=16, width=24, seed=0):
    random = np.random.default_rng(seed + clip)
    base = np.linspace(0, 255, height * width * 3).reshape(height, width, 3)
    for index in range(count):
        yield {
            "frame": np.roll(base, index, 1).astype(np.uint8),
            "keypoints": random.uniform(0, 16, (137, 3)).astype(np.float32),
            "filled": random.random(137) < 0.1,
            "face_box": random.uniform(0, 16, 4).astype(np.float32),
            "clip": clip,
            "index": index,
            "time": index / 25,
        }


def write(folder, lengths=(5, 3), picture="png", height=16, width=24):
    clips, start = [], 0
    for clip, length in enumerate(lengths):
        path = records.shard_path(folder, clip, len(lengths))
        assert length == records.write_shard(
            path, examples(length, clip, height, width), height, width, picture
        )
        clips.append((clip, 0, start, length))
        start += length
    info = records.DatasetInfo(
        height, width, tuple(clips), ({"file": "a.mp4", "sha256": "0"},), picture=picture
    )
    records.finish_dataset(folder, info, lengths)
    return info


def test_everything_comes_back(tmp_path):
    info = write(tmp_path)
    dataset = records.open_dataset(tmp_path)
    assert dataset.info == info and len(dataset) == 8
    assert dataset.clips == [(0, 5), (5, 3)]
    wanted = [*examples(5, 0), *examples(3, 1)]
    again = pickle.loads(pickle.dumps(dataset))
    for record, want in enumerate(wanted):
        got = (dataset, again)[record % 2][record]
        for name in ("frame", "keypoints", "filled", "face_box"):
            np.testing.assert_array_equal(got[name], want[name], err_msg=name)
            assert got[name].dtype == want[name].dtype
        assert (got["clip"], got["index"]) == (want["clip"], want["index"])
        assert got["time"] == pytest.approx(want["time"], rel=1e-6)
    np.testing.assert_array_equal(
        dataset.keypoints(), np.stack([want["keypoints"] for want in wanted])
    )
    np.testing.assert_array_equal(
        dataset.face_boxes(), np.stack([want["face_box"] for want in wanted])
    )
    np.testing.assert_array_equal(dataset.filled(), np.stack([want["filled"] for want in wanted]))
    assert dataset.times()[3] == pytest.approx(3 / 25)
    with pytest.raises(IndexError):
        dataset[8]
    dataset.close()
    assert dataset[0]["index"] == 0
    assert not list(tmp_path.glob("*partial*"))


def test_jpeg_keeps_colours(tmp_path):
    write(tmp_path, (2,), "jpeg")
    want = next(examples(1, 0))["frame"].astype(int)
    got = records.open_dataset(tmp_path)[0]["frame"].astype(int)
    # Red and blue are not exchanged, and quality 95 errs by few grey levels.
    assert abs(got - want).mean() < 4


def test_plain_tfds_without_tensorflow(tmp_path):
    write(tmp_path)
    program = (
        "import sys, json, tensorflow_datasets as tfds\n"
        "source = tfds.builder_from_directory(sys.argv[1]).as_data_source()['train']\n"
        "row = source[6]\n"
        "assert 'tensorflow' not in sys.modules\n"
        "print(json.dumps([len(source), int(row['clip']), int(row['index']),"
        " row['frame'].tolist(), row['keypoints'].tolist()]))\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    length, clip, index, frame, keypoints = json.loads(out)
    want = list(examples(3, 1))[1]
    assert (length, clip, index) == (8, 1, 1)
    np.testing.assert_array_equal(frame, want["frame"])
    np.testing.assert_allclose(keypoints, want["keypoints"])


def test_a_flipped_byte_is_found_and_named(tmp_path):
    write(tmp_path)
    path = records.shard_path(tmp_path, 1, 2)
    data = bytearray(path.read_bytes())
    # Inside a record (the end of so small a file is padding).
    data[3000] ^= 0x55
    path.write_bytes(data)
    dataset = records.open_dataset(tmp_path)
    with pytest.raises(UserError, match=f"{path.name}.*damaged.*motion-jax prepare"):
        for record in range(len(dataset)):
            dataset[record]


def test_a_missing_or_cut_shard_is_named(tmp_path):
    write(tmp_path)
    path = records.shard_path(tmp_path, 1, 2)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=f"{path.name} is damaged.*motion-jax prepare"):
        records.open_dataset(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match=f"{path.name} is missing.*motion-jax prepare"):
        records.open_dataset(tmp_path)


def test_not_a_dataset(tmp_path):
    with pytest.raises(UserError, match="no dataset folder.*motion-jax prepare"):
        records.open_dataset(tmp_path / "absent")
    with pytest.raises(UserError, match="not a finished dataset"):
        records.open_dataset(tmp_path)
    write(tmp_path)
    (tmp_path / records.METADATA).write_text('{"height": 3}')
    with pytest.raises(UserError, match="metadata.*damaged"):
        records.open_dataset(tmp_path)


def test_a_failed_shard_leaves_nothing(tmp_path):
    path = records.shard_path(tmp_path, 0, 1)

    def broken():
        yield from examples(2, 0)
        raise RuntimeError("the decoder failed")

    with pytest.raises(RuntimeError, match="decoder"):
        records.write_shard(path, broken(), 16, 24)
    with pytest.raises(ValueError, match="shape"):
        records.write_shard(path, examples(1, 0, height=8), 16, 24)
    assert not list(tmp_path.iterdir())


def test_disk_full_is_one_sentence(tmp_path):
    # A limit on the size of files stands for the disk's end: the same way out of the writer.
    program = (
        "import resource, signal, sys, errno, os\n"
        "from pathlib import Path\n"
        "from motion_jax.data import records\n"
        "from motion_jax.errors import UserError\n"
        "import numpy as np\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "real = os.strerror\n"
        # The kernel says 'File too large' here and 'No space left on device' there.
        "os.strerror = lambda n: real(errno.EFBIG if n == errno.ENOSPC else n)\n"
        "row = dict(frame=np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8),"
        " keypoints=np.zeros((137, 3)), face_box=np.zeros(4), clip=0, index=0, time=0)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200000, 200000))\n"
        "try:\n"
        "    records.write_shard(Path(sys.argv[1]) / 'shard', [row] * 40, 128, 128, 'png')\n"
        "except UserError as error:\n"
        "    print(error)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    assert "disk is full" in out and "shard" in out
    assert not list(tmp_path.iterdir())


def test_clips_and_shards_must_agree(tmp_path):
    records.write_shard(records.shard_path(tmp_path, 0, 1), examples(3, 0), 16, 24)
    with pytest.raises(ValueError, match="records"):
        records.finish_dataset(tmp_path, records.DatasetInfo(16, 24, ((0, 0, 0, 2),)), [3])
    assert not records.is_dataset(tmp_path)
