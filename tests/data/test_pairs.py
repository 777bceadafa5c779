"""Batches: never across a gap, in one order for any number of processes and workers, resumable."""

import numpy as np
import pytest

from motion_jax.data import pairs, records
from motion_jax.data.augment import AugmentConfig
from motion_jax.errors import UserError

SIZE = (16, 24)
LENGTHS = (9, 3, 1, 6)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Each frame and its first keypoint tell the record's number."""
    folder = tmp_path_factory.mktemp("pairs")
    height, width = SIZE
    clips, record = [], 0
    for clip, length in enumerate(LENGTHS):
        rows = []
        clips.append((clip, 0, record, length))
        for index in range(length):
            keypoints = np.zeros((137, 3), np.float32)
            keypoints[:2] = (record + 1, 4, 1)
            rows.append(
                {
                    "frame": np.full((height, width, 3), record, np.uint8),
                    "keypoints": keypoints,
                    "face_box": np.float32([0, record, 4, record + 4]),
                    "clip": clip,
                    "index": index,
                    "time": index / 10,
                }
            )
            record += 1
        path = records.shard_path(folder, clip, len(LENGTHS))
        records.write_shard(path, rows, height, width, "png")
    info = records.DatasetInfo(height, width, tuple(clips), picture="png")
    records.finish_dataset(folder, info, LENGTHS)
    return records.open_dataset(folder)


def draw(dataset, count, **options):
    """The first records of `count` batches' windows, and the position after them."""
    settings = {
        "height": 16, "width": 24, "batch_size": 2, "window": 2, "holdout": 0.0, "seed": 3,
    } | options  # fmt: skip
    with pairs.batches(dataset, **settings) as batches:
        got = [next(batches) for _ in range(count)]
        return np.concatenate([one["frames"][:, 0, 0, 0, 0] for one in got]), batches.position


def test_windows_never_cross_a_clip_or_the_holdout(dataset):
    assert pairs.windows(dataset, 2, 0.0).tolist() == [*range(8), 9, 10, *range(13, 18)]
    # 9 frames hold out 3 and 6 hold out 2; 3 hold out 1; of one frame none (a third rounds to 0).
    assert pairs.stretches(dataset, 1 / 3, "heldout") == [(6, 3), (11, 1), (17, 2)]
    assert pairs.windows(dataset, 2, 1 / 3).tolist() == [0, 1, 2, 3, 4, 9, 13, 14, 15]
    assert pairs.windows(dataset, 2, 1 / 3, "heldout").tolist() == [6, 7, 17]
    assert pairs.windows(dataset, 3, 0.0)[-1] == 16
    assert pairs.windows(dataset, 20, 0.0).shape == (0,)


def test_batches_are_consecutive_frames_with_their_poses(dataset):
    with pairs.batches(
        dataset, height=16, width=24, batch_size=3, window=3, holdout=0, seed=0
    ) as batches:
        batch = next(batches)
    assert batch["frames"].shape == (3, 3, 16, 24, 3) and batch["frames"].dtype == np.uint8
    assert batch["keypoints"].shape == (3, 3, 137, 3) and batch["keypoints"].dtype == np.float32
    assert batch["face_boxes"].shape == (3, 3, 4) and batch["face_boxes"].dtype == np.float32
    numbers = batch["frames"][..., 0, 0, 0].astype(int)
    assert (np.diff(numbers, axis=1) == 1).all()
    np.testing.assert_array_equal(batch["keypoints"][:, :, 0, 0], numbers + 1)
    np.testing.assert_array_equal(batch["face_boxes"][:, :, 1], numbers)


def test_each_pass_is_a_fresh_permutation(dataset):
    order, position = draw(dataset, 15)
    assert position == 30
    first, second = order[:15], order[15:]
    everything = pairs.windows(dataset, 2, 0.0)
    assert sorted(first) == sorted(second) == everything.tolist()
    assert first.tolist() != second.tolist() != everything.tolist()
    assert draw(dataset, 15)[0].tolist() == order.tolist()
    assert draw(dataset, 15, seed=4)[0].tolist() != order.tolist()


def test_the_order_is_what_it_always_was(dataset):
    """A run that was begun with an earlier version goes on in the order it was begun in."""
    order = [4, 6, 10, 7, 5, 3, 1, 15, 13, 0, 2, 16, 17, 9, 14]
    order += [17, 1, 3, 7, 16, 13, 5, 4, 2, 15, 14, 0, 6, 10, 9]
    assert draw(dataset, 15)[0].tolist() == order
    assert draw(dataset, 3, start=30)[0].tolist() == [16, 0, 7, 17, 13, 1]


def test_order_does_not_depend_on_processes_and_resumes_on_another_number(dataset):
    order, _ = draw(dataset, 6, batch_size=4)
    # Two processes with neighbouring rows, and three as a mesh of another topology has them.
    for shares in ([[0, 1], [2, 3]], [[0, 3], [1], [2]]):
        parts = [draw(dataset, 3, batch_size=4, rows=rows) for rows in shares]
        together = np.zeros((3, 4), int)
        for rows, (part, position) in zip(shares, parts, strict=True):
            together[:, rows] = part.reshape(3, -1)
            assert position == 12
        assert together.ravel().tolist() == order[:12].tolist()
    rest, position = draw(dataset, 3, batch_size=4, start=12)
    assert rest.tolist() == order[12:].tolist() and position == 24


def test_worker_processes_give_the_same(dataset):
    settings = {
        "height": 16, "width": 24, "batch_size": 2, "window": 2, "holdout": 0.0, "seed": 3,
        "augment": AugmentConfig(scale=0.2, flip=True, contrast=0.1),
    }  # fmt: skip
    with pairs.batches(dataset, **settings) as batches:
        whole = [next(batches) for _ in range(6)]
    with pairs.batches(dataset, workers=2, start=4, **settings) as batches:
        got = [next(batches) for _ in range(4)]
        assert batches.position == 12
    for one, other in zip(whole[2:], got, strict=True):
        for name in ("frames", "keypoints", "face_boxes"):
            np.testing.assert_array_equal(one[name], other[name])
    # A process's share is augmented as in the whole batch.
    with pairs.batches(dataset, rows=[1], **settings) as batches:
        for one in whole:
            np.testing.assert_array_equal(next(batches)["frames"], one["frames"][1:])


def test_batches_do_not_share_memory(dataset):
    """The one before may still be on its way to the device."""
    settings = dict(height=16, width=24, batch_size=2, window=2, holdout=0, seed=0)
    with pairs.batches(dataset, cache_bytes=1 << 20, **settings) as batches:
        first, second = next(batches), next(batches)
        kept = first["frames"].copy()
        assert not np.shares_memory(first["frames"], second["frames"])
        second["frames"][:] = 0
        for _ in range(20):
            next(batches)
    np.testing.assert_array_equal(first["frames"], kept)


def test_smaller_sizes_scale_keypoints_and_boxes(dataset):
    frames = pairs.Frames(dataset, 8, 12).window(9, 3)
    assert frames["frames"].shape == (3, 8, 12, 3)
    np.testing.assert_array_equal(frames["keypoints"][:, 1, :2], [[5, 2], [5.5, 2], [6, 2]])
    assert (frames["keypoints"][:, 1, 2] == 1).all()
    np.testing.assert_array_equal(frames["face_boxes"][0], [0, 4.5, 2, 6.5])
    for height, width in ((16, 12), (12, 18), (32, 48)):
        with pytest.raises(UserError, match=f"frames of 24x16, the config wants {width}x{height}"):
            pairs.Frames(dataset, height, width)


def test_the_cache_changes_nothing_but_the_reading(dataset):
    kept, read = (pairs.Frames(dataset, 16, 24, size) for size in (1 << 20, 0))
    assert kept.read(3) is kept.read(3)
    assert read.read(3) is not read.read(3)
    np.testing.assert_array_equal(kept.read(3)[0], read.read(3)[0])


def test_augmentation_is_a_function_of_seed_and_index(dataset):
    strong = AugmentConfig(scale=0.2, shift=0.1, flip=True, brightness=0.2)
    settings = dict(height=16, width=24, batch_size=2, window=2, holdout=0, seed=1, augment=strong)
    with pairs.batches(dataset, **settings) as batches:
        whole = [next(batches) for _ in range(4)]
    with pairs.batches(dataset, start=4, **settings) as batches:
        again = [next(batches) for _ in range(2)]
    for one, other in zip(whole[2:], again, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    with pairs.batches(dataset, **settings | {"augment": AugmentConfig()}) as batches:
        plain = next(batches)
    assert (plain["keypoints"][..., 0, 0] != whole[0]["keypoints"][..., 0, 0]).any()
    assert (plain["frames"] != whole[0]["frames"]).any()


def test_a_source_without_a_window_is_refused(dataset):
    with pytest.raises(UserError, match="shorter than needed: training needs 8.*leaves 7"):
        draw(dataset, 1, window=8, holdout=0.2)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_shard_is_named_while_training(dataset, tmp_path, workers):
    for path in dataset.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = records.shard_path(tmp_path, 0, len(LENGTHS))
    data = bytearray(path.read_bytes())
    data[1000] ^= 0x55
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"{path.name} is damaged at its record.*prepare"):
        draw(records.open_dataset(tmp_path), 8, workers=workers)
