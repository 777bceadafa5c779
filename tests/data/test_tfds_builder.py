"""The classic TFDS builder repacks a prepared dataset, without TensorFlow."""

import sys

import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.data import records
from motion_jax.data.tfds_builder import load_builder
from motion_jax.errors import UserError


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("prepared"), np.random.default_rng(0)
    lengths, clips, start = (4, 2), [], 0
    for clip, length in enumerate(lengths):
        rows = [
            {
                "frame": random.integers(0, 255, (16, 24, 3), np.uint8),
                "keypoints": random.uniform(0, 16, (137, 3)),
                "face_box": random.uniform(0, 16, 4),
                "filled": random.random(137) < 0.1,
                "clip": clip, "index": index, "time": index / 8,
            }
            for index in range(length)
        ]  # fmt: skip
        path = records.shard_path(folder, clip, len(lengths))
        records.write_shard(path, rows, 16, 24, "png")
        clips.append((clip, 0, start, length))
        start += length
    records.finish_dataset(
        folder, records.DatasetInfo(16, 24, tuple(clips), picture="png"), lengths
    )
    return folder


@pytest.mark.parametrize("manual", [False, True])
def test_repacks_a_prepared_dataset(prepared, tmp_path, manual):
    import tensorflow_datasets as tfds

    if manual:
        builder = load_builder()(data_dir=tmp_path)
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=prepared)
        )
    else:
        builder = load_builder()(data_dir=tmp_path, prepared=prepared)
        builder.download_and_prepare()
    assert builder.name == "pose_frames" and "tensorflow" not in sys.modules
    source, again = records.open_dataset(prepared), records.open_dataset(builder.data_dir)
    assert again.info == source.info and again.clips == source.clips and len(again) == 6
    plain = builder.as_data_source("train")
    for record in range(6):
        want, got, row = source[record], again[record], plain[record]
        for name in ("frame", "keypoints", "filled", "face_box", "clip", "index", "time"):
            np.testing.assert_array_equal(got[name], want[name], err_msg=name)
            np.testing.assert_array_equal(row[name], want[name], err_msg=name)


def test_prepares_videos_on_the_way(tmp_path):
    moved = puppet.dance(6, 10, seed=0)
    ada = puppet.CHARACTERS["ada"]
    video, poses = puppet.make_video(tmp_path / "ada", ada, moved, 64, 64)
    builder = load_builder()(
        data_dir=tmp_path / "tfds",
        videos=[video],
        options={"poses": poses, "size": "64x64", "fit": "squash", "smooth": False, "workers": 1},
    )
    builder.download_and_prepare()
    dataset = records.open_dataset(builder.data_dir)
    assert dataset.size == (64, 64) and dataset.clips == [(0, 6)]
    assert dataset.info.sources[0]["file"] == "video.mp4"
    truth = puppet.pose(ada, moved, 64, 64)
    np.testing.assert_allclose(dataset.keypoints()[..., :2], truth[..., :2], atol=0.01)
    drawn = puppet.draw(ada, moved, 64, 64)
    plain = builder.as_data_source("train")
    for record in (0, 5):
        assert np.abs(plain[record]["frame"].astype(int) - drawn[record]).mean() < 10
        np.testing.assert_array_equal(plain[record]["frame"], dataset[record]["frame"])


def test_refuses_what_is_no_dataset(tmp_path):
    with pytest.raises(UserError, match="not a finished dataset"):
        load_builder()(data_dir=tmp_path, prepared=tmp_path)
    with pytest.raises(UserError, match="not both"):
        load_builder()(data_dir=tmp_path, prepared=tmp_path, videos=["a.mp4"])


def test_datasets_is_no_top_level_package():
    load_builder()
    assert "datasets" not in sys.modules
    assert load_builder() is load_builder()
