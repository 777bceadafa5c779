"""Poses in, the dataset's own frames out: which, how many, and what is refused."""

import dataclasses

import numpy as np
import pytest

from motion_jax.data.pairs import stretches
from motion_jax.errors import UserError
from motion_jax.pose import skeleton
from motion_jax.retrieval.options import RetrievalOptions
from motion_jax.retrieval.retriever import Retriever

SIZE = 64


def picture(dataset, record: int) -> np.ndarray:
    return dataset[int(record)]["frame"]


@pytest.mark.parametrize("method", ["nearest", "nearest-angle"])
@pytest.mark.parametrize("choice", ["path", "threshold", "nearest"])
def test_a_pose_of_the_dataset_finds_its_frame(dancer, method, choice):
    options = RetrievalOptions(choice=choice, threshold=0.0)
    rows = np.arange(5, 25)
    made = Retriever(dancer, method, options)
    chosen = made.choose(dancer.keypoints()[rows])
    np.testing.assert_array_equal(chosen.records[:, 0], rows)
    np.testing.assert_allclose(chosen.distances, 0, atol=1e-4)
    shown = list(made.pictures(dancer.keypoints()[rows]))
    np.testing.assert_array_equal(shown, [picture(dancer, r) for r in rows])


def test_angles_find_a_person_of_another_size_elsewhere(dancer):
    rows = np.arange(0, 60, 7)
    keypoints = dancer.keypoints()[rows] * np.float32([0.5, 0.5, 1])
    options = RetrievalOptions(choice="nearest")
    assert Retriever(dancer, "nearest-angle", options).choose(keypoints).records[
        :, 0
    ].tolist() == list(rows)
    by_place = Retriever(dancer, "nearest", options).choose(keypoints)
    assert by_place.records[:, 0].tolist() != list(rows)


def test_held_out_frames_are_never_shown(dancer):
    held = np.concatenate([np.arange(a, a + n) for a, n in stretches(dancer, 0.25, "heldout")])
    training = np.setdiff1d(np.arange(60), held)
    made = Retriever(dancer, "nearest", RetrievalOptions(k=3), records=training)
    chosen = made.choose(dancer.keypoints()[held])
    assert np.isin(chosen.records, training).all() and chosen.records.shape == (len(held), 3)
    assert (chosen.distances > 0).all()
    pictures = np.stack(list(made.pictures(dancer.keypoints()[held])))
    assert pictures.shape == (len(held), SIZE, SIZE, 3) and pictures.dtype == np.uint8


def test_a_path_does_not_count_on_frames_beyond_a_cut(dancer):
    """Clips end at 40 and 60, and record 20 may not be shown: nothing follows 19, 39 and 59."""
    made = Retriever(dancer, records=np.delete(np.arange(60), 20))
    rows = np.arange(59)
    assert np.flatnonzero(made._following == rows).tolist() == [19, 38, 58]
    np.testing.assert_array_equal(np.delete(made._following - rows, [19, 38, 58]), 1)


def test_jumps_cost(dancer):
    """Noise on the poses: the path goes on where the nearest frame jumps back and forth."""
    random = np.random.default_rng(0)
    keypoints = dancer.keypoints()[:40].copy()
    keypoints[..., :2] += random.normal(0, 1.5, keypoints[..., :2].shape)

    def jumps(**options):
        records = (
            Retriever(dancer, "nearest", RetrievalOptions(**options)).choose(keypoints).records
        )
        return int((np.diff(records[:, 0]) != 1).sum())

    assert jumps(jump=1.0) < jumps(choice="nearest") / 2
    assert jumps(jump=0.0) == jumps(choice="nearest")


def test_lambda_holds_frames(dancer):
    keypoints = dancer.keypoints()[:40]
    options = RetrievalOptions(choice="threshold", threshold=1.0, k=2)
    made = Retriever(dancer, "nearest", options, records=np.arange(0, 60, 2))
    chosen = made.choose(keypoints)
    held = np.flatnonzero(np.diff(chosen.records[:, 0]) == 0) + 1
    assert len(held) > 5
    np.testing.assert_array_equal(chosen.records[held], chosen.records[held - 1])
    np.testing.assert_array_equal(chosen.weights[held], chosen.weights[held - 1])


def test_several_frames_are_blended_by_nearness(dancer):
    keypoints = dancer.keypoints()[10:14]
    made = Retriever(dancer, "nearest", RetrievalOptions(k=3), records=np.arange(0, 60, 3))
    chosen = made.choose(keypoints)
    np.testing.assert_allclose(chosen.weights.sum(1), 1, rtol=1e-5)
    assert chosen.records[2, 0] == 12 and chosen.weights[2, 0] > 0.99
    assert chosen.weights[1].max() < 0.9
    mixed = list(made.pictures(keypoints))[1]
    assert all((mixed != picture(dancer, r)).any() for r in chosen.records[1])


def test_every_third_frame_and_what_lies_between(dancer):
    keypoints = dancer.keypoints()[:11]
    shown = list(Retriever(dancer, options=RetrievalOptions(every=3)).pictures(keypoints))
    assert len(shown) == 11
    for key in (0, 3, 6, 9, 10):
        np.testing.assert_array_equal(shown[key], picture(dancer, key))
    for between in (1, 2, 4, 5, 7, 8):
        assert (shown[between] != picture(dancer, between)).any()
        assert (shown[between] != shown[between - 1]).any()


def test_other_times(dancer):
    times = np.arange(6) / 25
    made = Retriever(dancer)
    shown = list(made.pictures(dancer.keypoints()[:6], times, np.arange(12) / 50))
    for i in range(6):
        np.testing.assert_array_equal(shown[2 * i], picture(dancer, i))
    np.testing.assert_array_equal(shown[11], shown[10])
    assert (shown[5] != shown[4]).any() and (shown[5] != shown[6]).any()
    assert list(made.pictures(dancer.keypoints()[:0])) == []


def test_missing_joints_masked_and_at_their_median(dancer):
    keypoints = dancer.keypoints()[5:35].copy()
    keypoints[::2, 3:5] = 0
    for missing, most in (("masked", 0), ("median", 10)):
        options = RetrievalOptions(choice="nearest", missing=missing)
        records = Retriever(dancer, options=options).choose(keypoints).records[:, 0]
        wrong = np.flatnonzero(records != np.arange(5, 35))
        assert len(wrong) <= most
        assert missing == "masked" or len(wrong) > 0, "a median is not where the arm was"


def test_bodies_of_other_layouts_are_converted(dancer, write, tmp_path):
    """COCO's 18 joints, as a dataset of another program may hold them."""
    keypoints = dancer.keypoints()[:20]
    other = np.zeros_like(keypoints)
    other[:, :18] = keypoints[:, list(skeleton.COCO_18.body25)]
    frames = np.stack([picture(dancer, r) for r in range(20)])
    made = Retriever(write(tmp_path, other, frames, skeleton="coco18"), "nearest-angle")
    np.testing.assert_array_equal(made.choose(keypoints).records[:, 0], np.arange(20))


def test_unknown_skeletons_are_refused(dancer, write, tmp_path):
    frames = np.stack([picture(dancer, r) for r in range(3)])
    dataset = write(tmp_path, dancer.keypoints()[:3], frames, skeleton="horse_12")
    with pytest.raises(UserError, match="skeleton 'horse_12', which cannot be converted.*prepare"):
        Retriever(dataset)


def test_datasets_without_keypoints_are_refused(dancer, write, tmp_path):
    frames = np.stack([picture(dancer, r) for r in range(3)])
    dataset = write(tmp_path, np.zeros((3, 137, 3), np.float32), frames, ready=True)
    with pytest.raises(UserError, match="no keypoints.*pose pictures"):
        Retriever(dataset)


def test_k_larger_than_the_dataset(dancer):
    with pytest.raises(UserError, match=r"retrieval.k 61 is more than the 60 frames.*smaller"):
        Retriever(dancer, options=RetrievalOptions(k=61))
    with pytest.raises(UserError, match="k 3 is more than the 2 frames"):
        Retriever(dancer, options=RetrievalOptions(k=3), records=np.array([4, 9]))
    made = Retriever(
        dancer, options=RetrievalOptions(k=2, candidates=500), records=np.array([4, 9])
    )
    assert made.choose(dancer.keypoints()[:2]).records.shape == (2, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "retrieval.k 0"),
        ({"candidates": 0}, "retrieval.candidates 0"),
        ({"jump": -1.0}, "retrieval.jump -1"),
        ({"jump": float("nan")}, "retrieval.jump nan"),
        ({"threshold": -0.1}, "retrieval.lambda -0.1"),
        ({"every": 0}, "retrieval.every 0"),
        ({"fps": 0.0}, "retrieval.fps 0"),
    ],
)
def test_senseless_retrieval_options(dancer, change, message):
    with pytest.raises(UserError, match=message):
        Retriever(dancer, options=dataclasses.replace(RetrievalOptions(), **change))


def test_unknown_method(dancer):
    with pytest.raises(UserError, match="no method 'farthest'; choose nearest or nearest-angle"):
        Retriever(dancer, "farthest")


def test_half_the_size(dancer):
    """Poses and pictures at a whole fraction of the dataset's size."""
    made = Retriever(dancer, size=(32, 32), options=RetrievalOptions(choice="nearest"))
    keypoints = dancer.keypoints()[:4] * np.float32([0.5, 0.5, 1])
    assert made.choose(keypoints).records[:, 0].tolist() == [0, 1, 2, 3]
    assert np.stack(list(made.pictures(keypoints))).shape == (4, 32, 32, 3)
