"""Batches of two domains: what is drawn, that it can be resumed, and what is refused."""

import numpy as np
import pytest

from motion_jax.data import records, unpaired
from motion_jax.data.augment import AugmentConfig
from motion_jax.errors import UserError

SIZE = 8
SETTINGS = {"height": SIZE, "width": SIZE, "batch_size": 2, "holdout": 0.25, "seed": 3}


def write(folder, counts, letters=("A", "B"), keypoints=False):
    """Plain pictures, 10 times as bright as their number in the dataset; clips of `counts`."""
    rows, clips = [], []
    for clip, count in enumerate(counts):
        clips.append((clip, clip, len(rows), count))
        for i in range(count):
            points = np.zeros((137, 3), np.float32)
            if keypoints:
                points[:25] = (3, 4, 1)
            frame = np.full((SIZE, SIZE, 3), 10 * len(rows), np.uint8)
            rows.append({"frame": frame, "keypoints": points, "face_box": np.zeros(4),
                         "clip": clip, "index": i, "time": i / 25})  # fmt: skip
    sources = tuple(
        {"file": f"{clip}"} | ({"domain": letters[clip]} if letters else {})
        for clip in range(len(counts))
    )
    records.write_shard(records.shard_path(folder, 0, 1), rows, SIZE, SIZE, "png")
    info = records.DatasetInfo(SIZE, SIZE, tuple(clips), sources, picture="png")
    records.finish_dataset(folder, info, [len(rows)])
    return records.open_dataset(folder)


def numbers(pictures):
    return (pictures[:, 0, 0, 0] // 10).tolist()


def take(domains, count, start=0, **changes):
    with unpaired.batches(domains, **(SETTINGS | {"start": start} | changes)) as found:
        return [next(found) for _ in range(count)]


def test_domains_of_one_dataset(tmp_path):
    domains = unpaired.domains(write(tmp_path, (4, 8)))
    batches = take(domains, 9)
    assert {key: value.shape for key, value in batches[0].items()} == {
        "A": (2, SIZE, SIZE, 3), "B": (2, SIZE, SIZE, 3),
    }  # fmt: skip
    a = [n for batch in batches for n in numbers(batch["A"])]
    b = [n for batch in batches for n in numbers(batch["B"])]
    # The last quarter of each clip is held out; the larger domain is passed through.
    assert set(a) == {0, 1, 2}
    for epoch in range(3):
        assert sorted(b[6 * epoch : 6 * epoch + 6]) == [4, 5, 6, 7, 8, 9]
    assert b[:6] != b[6:12]
    # Which A comes with a B changes from pass to pass: they do not belong together.
    assert len({(x, y) for x, y in zip(a, b, strict=True)}) > 9
    # Continued after two batches, and with another number of processes: the same examples.
    for one, other in zip(take(domains, 2, start=4), batches[2:4], strict=True):
        np.testing.assert_array_equal(one["A"], other["A"])
        np.testing.assert_array_equal(one["B"], other["B"])
    shares = [take(domains, 2, rows=[i]) for i in range(2)]
    for step in range(2):
        for side in "AB":
            both = np.concatenate([shares[i][step][side] for i in range(2)])
            np.testing.assert_array_equal(both, batches[step][side])


def test_domains_of_two_datasets_and_of_poses(tmp_path):
    a, b = write(tmp_path / "a", (8,), None), write(tmp_path / "b", (4,), None, keypoints=True)
    batch = take(unpaired.domains(b, str(a.folder)), 1)[0]
    assert batch["A"].shape == batch["B"].shape == (2, SIZE, SIZE, 3)
    batch = take(unpaired.domains(b, poses=True), 1)[0]
    assert batch["A"].shape == (2, 137, 3) and (batch["A"][:, 0] == (3, 4, 1)).all()


def test_augmentation_is_each_pictures_own(tmp_path):
    domains = unpaired.domains(write(tmp_path, (4, 4)))
    config = AugmentConfig(brightness=0.3)
    plain, varied = take(domains, 4), take(domains, 4, augment=config)
    again = take(domains, 4, augment=config)
    moved = {"A": [], "B": []}
    for one, other, same in zip(plain, varied, again, strict=True):
        for side in "AB":
            np.testing.assert_array_equal(other[side], same[side])
            moved[side] += (other[side].astype(int) - one[side])[:, 0, 0, 0].tolist()
    assert len(set(moved["A"])) > 4 and moved["A"] != moved["B"]


def test_what_is_refused(tmp_path):
    one = write(tmp_path / "one", (4,), None)
    with pytest.raises(UserError, match="has one domain only: .*data.domain_a"):
        unpaired.domains(one)
    with pytest.raises(UserError, match="neither keypoints nor ready pose pictures"):
        unpaired.domains(one, poses=True)
    with pytest.raises(UserError, match="Domain A in .* has no picture for training"):
        take(unpaired.domains(write(tmp_path / "two", (1, 4))), 1, holdout=0.9)
