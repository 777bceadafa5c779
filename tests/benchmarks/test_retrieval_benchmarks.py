"""The benchmarks of retrieval on small sizes, and what they say of their results."""

import numpy as np
import pytest

from benchmarks import retrieval, retrieval_quality, retrieval_video
from benchmarks.search_worker import build
from motion_jax.errors import UserError


def test_ours_is_measured_in_a_process():
    options = retrieval.Options(rows=200, queries=5, dimensions=4, k=2, repeats=2)
    result = retrieval.measure(options)
    assert result["sides"]["ours"]["median"] > 0 and len(result["sides"]["ours"]["samples"]) == 2
    assert "times_as_fast" not in result
    assert "The 2 nearest of 200 poses" in retrieval.section(result)


def test_the_worker_finds_what_is_nearest(tmp_path):
    setup = {"rows": 300, "queries": 6, "dimensions": 5, "k": 3, "data": "poses", "side": "ours"}
    build(setup)["keep"](str(tmp_path / "ours.npy"))
    from benchmarks.search_worker import data

    database, queries = data(setup)
    expected = np.square(queries[:, None] - database[None]).sum(-1).argsort(1)[:, :3]
    np.testing.assert_array_equal(np.load(tmp_path / "ours.npy"), expected)
    # The same as FAISS's answer, but one place that is farther.
    wrong = expected.copy()
    wrong[0, 0] = 0 if expected[0, 0] else 1
    np.save(tmp_path / "faiss.npy", expected)
    np.save(tmp_path / "ours.npy", wrong)
    found = retrieval._agreement(setup, tmp_path)
    assert found == {"indices": 18, "different": 1, "different_and_farther": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 0}, "rows"),
        ({"rows": 5, "k": 6}, "k 6 is more than the 5"),
        ({"faiss_python": "/nowhere/python"}, "cannot be run"),
    ],
)
def test_senseless_options_of_the_search(options, message):
    with pytest.raises(UserError, match=message):
        retrieval.measure(retrieval.Options(**options))


def test_ways_on_held_out_frames(tmp_path):
    retrieval_video.make_dataset(tmp_path, retrieval_video.Options(size=64, records=20))
    result = retrieval_quality.measure(retrieval_quality.Options(tmp_path))
    assert (result["training_frames"], result["frames"]) == (16, 4)
    ways = {(way["method"], way["way"]): way for way in result["ways"]}
    assert len(ways) == 2 * len(retrieval_quality.WAYS)
    assert all(10 < way["psnr"] < 60 and way["distance"] > 0 for way in ways.values())
    assert ways["nearest", "nearest, median"]["psnr"] == ways["nearest", "nearest"]["psnr"]
    assert "| nearest-angle | path, jump 3 |" in retrieval_quality.section(result)
    with pytest.raises(UserError, match="holdout 1 "):
        retrieval_quality.measure(retrieval_quality.Options(tmp_path, holdout=1.0))


def test_every_way_makes_a_video():
    result = retrieval_video.measure(
        retrieval_video.Options(size=64, records=12, frames=5, repeats=1)
    )
    assert {way: values["frames"] for way, values in result["ways"].items()} == {
        "chosen frames": 5,
        "every 3rd, interpolated": 5,
        "at 50 frames/s, interpolated": 10,
        "3 blended": 5,
    }
    assert "| optical flow, one way |" in retrieval_video.section(result)
    with pytest.raises(UserError, match="size 8"):
        retrieval_video.measure(retrieval_video.Options(size=8))
