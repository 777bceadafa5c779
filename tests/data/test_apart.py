"""Pairs of a clip, single pictures and noise: what is drawn, in an order that can be gone on with
by any number of processes."""

import jax
import numpy as np
import pytest

from motion_jax.data import apart, inputs, records
from motion_jax.data.augment import AugmentConfig
from motion_jax.data.reading import ClipPair, Domains, Noise, Pictures, Window
from motion_jax.data.settings import Data
from motion_jax.errors import UserError

SIZE = 8
LENGTHS = (5, 1, 7)
CLIPS = np.repeat(np.arange(3), LENGTHS)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Each frame and its face box tell the record's number."""
    folder, rows, clips = tmp_path_factory.mktemp("apart"), [], []
    for clip, length in enumerate(LENGTHS):
        clips.append((clip, 0, len(rows), length))
        for index in range(length):
            number = len(rows)
            rows.append(
                {"frame": np.full((SIZE, SIZE, 3), 10 * number, np.uint8), "clip": clip,
                 "keypoints": np.zeros((137, 3)), "index": index, "time": index / 10,
                 "face_box": np.float32([0, number, 4, number + 4])}
            )  # fmt: skip
    records.write_shard(records.shard_path(folder, 0, 1), rows, SIZE, SIZE, "png")
    info = records.DatasetInfo(SIZE, SIZE, tuple(clips), ({"file": "a"},), picture="png")
    records.finish_dataset(folder, info, [len(rows)])
    return records.open_dataset(folder)


def take(dataset, kind, count, start=0, rows=None, seed=3, **data):
    reading = kind(SIZE, SIZE, 2)
    settings = Data(**{"holdout": 0.0} | data)
    with inputs.open_batches(dataset, reading, settings, seed, start, rows) as stream:
        return [next(stream) for _ in range(count)]


def numbers(batches):
    return np.concatenate([batch["frames"][..., 0, 0, 0].astype(int) // 10 for batch in batches])


def test_a_pair_is_of_one_clip_and_never_the_same_frame_twice(dataset):
    batches = take(dataset, ClipPair, 60)
    drawn = numbers(batches)
    assert drawn.shape == (120, 2)
    assert (drawn[:, 0] != drawn[:, 1]).all()
    np.testing.assert_array_equal(CLIPS[drawn[:, 0]], CLIPS[drawn[:, 1]])
    # Each pass has every frame that has a partner once as the first.
    alone = [number for number in range(13) if number != 5]
    for epoch in range(10):
        assert sorted(drawn[12 * epoch :][:12, 0]) == alone
    # Any other frame of the clip comes, also an earlier one, and not one more than the others.
    of_first = drawn[drawn[:, 0] == 0, 1]
    assert set(of_first) == {1, 2, 3, 4}
    np.testing.assert_array_equal(batches[0]["face_boxes"][..., 1], drawn[:2])


@pytest.mark.parametrize("kind", [ClipPair, Pictures, Noise])
def test_the_order_is_a_function_of_seed_and_index(dataset, kind):
    data = {} if kind is Noise else {"augment": AugmentConfig(brightness=0.4)}
    whole = take(dataset, kind, 8, **data)

    def same(a, b):
        return all(np.array_equal(a[name], b[name]) for name in a)

    assert all(map(same, whole, take(dataset, kind, 8, **data)))
    assert all(map(same, whole[3:], take(dataset, kind, 5, start=6, **data)))
    assert not all(map(same, whole, take(dataset, kind, 8, seed=4, **data)))
    parts = [take(dataset, kind, 8, rows=[row], **data) for row in (0, 1)]
    for batch, first, second in zip(whole, *parts, strict=True):
        together = {name: np.concatenate([first[name], second[name]]) for name in batch}
        assert same(batch, together)
    assert all(map(same, whole[:2], take(dataset, kind, 2, workers=1, **data)))


def test_single_pictures_have_no_axis_of_time(dataset):
    batches = take(dataset, Pictures, 13)
    assert batches[0]["keypoints"].shape == (2, 137, 3)
    assert sorted(numbers(batches)[:13]) == list(range(13))
    # 5 frames hold out 2, one frame none, and 7 hold out 3.
    assert sorted(numbers(take(dataset, Pictures, 4, holdout=0.4))) == [0, 1, 2, 5, 6, 7, 8, 9]


def test_noise_takes_no_dataset():
    batches = take(None, Noise, 3)
    keys = np.concatenate([batch["keys"] for batch in batches])
    assert keys.shape == (6, 2) and len(np.unique(keys, axis=0)) == 6
    jax.random.normal(jax.random.wrap_key_data(keys[0], impl="threefry2x32"), (3,))


@pytest.mark.parametrize(
    "reading",
    [Window(SIZE, SIZE, 2, (), 3), ClipPair(SIZE, SIZE, 2), Pictures(SIZE, SIZE, 3),
     Noise(SIZE, SIZE, 2)],
)  # fmt: skip
def test_a_reading_says_what_its_batches_hold(dataset, reading):
    with inputs.open_batches(dataset, reading, Data(holdout=0.0), 0) as stream:
        batch = next(stream)
    shapes = {name: (values.shape, str(values.dtype)) for name, values in batch.items()}
    assert shapes == reading.shapes()


def test_what_is_refused(dataset):
    with pytest.raises(UserError, match="leaves two frames for training after data.holdout = 0.9"):
        apart.pair_runs(dataset, 0.9)
    with pytest.raises(UserError, match="leaves no picture for training"):
        apart.picture_records(dataset, 1.0)
    posed = ClipPair(SIZE, SIZE, 2, ("poses",))
    with pytest.raises(UserError, match="neither keypoints nor ready pose pictures"):
        inputs.check_contents(dataset, posed, Data())
    with pytest.raises(UserError, match="has one domain only"):
        inputs.check_contents(dataset, Domains(SIZE, SIZE, 1), Data())
    with pytest.raises(UserError, match="not that size or a whole fraction"):
        inputs.check_amount(dataset, Pictures(SIZE, 2 * SIZE, 1), Data(), "main")
