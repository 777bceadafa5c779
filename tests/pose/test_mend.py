"""All repairs in order, and their way through prepare and transfer."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.data.prepare import prepare
from motion_jax.data.prepare_options import PrepareOptions
from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError
from motion_jax.pose.files import write_openpose
from motion_jax.pose.mend import Repairs, mend
from motion_jax.pose.motion import motion_of
from motion_jax.pose.sides import moved_with
from motion_jax.pose.skeleton import INDEX
from motion_jax.pose.track import PoseTrack
from motion_jax.transfer.options import TransferOptions

SIZE = 64


def track(keypoints):
    return PoseTrack(
        keypoints=np.asarray(keypoints, np.float32),
        times=np.arange(len(keypoints)) / 25,
        size=(SIZE, SIZE),
        reasons=("",) * len(keypoints),
    )


def spoiled(frames=60):
    """A dance, and the same with both legs exchanged for 9 frames and a wrist far away for 2."""
    truth = puppet.pose(puppet.CHARACTERS["ada"], puppet.dance(frames, 25, 3), SIZE, SIZE)
    wrong = truth.copy()
    for name in ("hip", "knee", "ankle"):
        left, right = moved_with(name)
        part = wrong[20:29]
        part[:, left], part[:, right] = part[:, right], part[:, left]
    wrong[40:42, INDEX["left_wrist"], 0] -= 40
    return truth, wrong


def test_everything_is_mended_and_counted():
    truth, wrong = spoiled()
    mended, repairs = mend(track(wrong), filter=None)
    assert repairs.swapped == {"arms": 0, "legs": 9} and repairs.dropped == {"left_wrist": 2}
    # The wrist and its hand of 21 points.
    assert repairs.filled == 44 == mended.filled.sum()
    measured = ~mended.filled
    np.testing.assert_array_equal(mended.keypoints[measured], truth[measured])
    away = np.abs(mended.keypoints - truth)[40:42, INDEX["left_wrist"], :2]
    assert away.max() < 3
    assert repairs.in_words() == (
        "left and right legs put right in 9 frames; 2 joints of impossible bones (left wrist)"
    )
    # Each repair can be left out.
    assert mend(track(wrong), swaps=False, filter=None)[1].swapped == {"arms": 0, "legs": 0}
    assert mend(track(wrong), bones=False, filter=None)[1].dropped == {}
    nothing, repairs = mend(track(wrong), swaps=False, bones=False, filter=None)
    np.testing.assert_array_equal(nothing.keypoints, wrong)
    assert repairs.in_words() == "" and repairs.filled == 0


def test_the_filters_differ_and_an_unknown_one_is_refused():
    _, wrong = spoiled()
    found = [
        mend(track(wrong), filter=name)[0].keypoints for name in ("one-euro", "zero-lag", None)
    ]
    for a in range(3):
        for b in range(a):
            assert np.abs(found[a] - found[b])[:, :25].max() > 0.1
    with pytest.raises(ValueError, match="'median'"):
        mend(track(wrong), filter="median")


def test_repairs_of_several_videos_add_up():
    one = Repairs({"arms": 1, "legs": 0}, {"left_wrist": 2}, 10)
    two = Repairs({"arms": 2, "legs": 0}, {"left_wrist": 1, "left_knee": 5}, 1)
    both = Repairs.together([one, two])
    assert both == Repairs({"arms": 3, "legs": 0}, {"left_knee": 5, "left_wrist": 3}, 11)
    assert (
        Repairs.together([one]).in_words().startswith("left and right arms put right in 1 frame;")
    )


@pytest.fixture
def video(tmp_path):
    """A drawn dancer with spoiled poses in OpenPose files: the path of the video."""
    truth, wrong = spoiled()
    folder = tmp_path / "in"
    puppet.make_video(folder, puppet.CHARACTERS["ada"], puppet.dance(60, 25, 3), SIZE, SIZE)
    write_openpose(tmp_path / "wrong", wrong)
    return SimpleNamespace(path=folder / "video.mp4", truth=truth, wrong=tmp_path / "wrong")


def test_prepare_mends_says_so_and_tells_datasets_of_other_options_apart(video, tmp_path, capsys):
    options = PrepareOptions(
        videos=(video.path,), poses=video.wrong, out=tmp_path / "data", size=f"{SIZE}x{SIZE}",
        fit="squash", smooth=False, workers=1,
    )  # fmt: skip
    page = prepare(options)
    assert "left and right legs put right in 9 frames" in capsys.readouterr().err
    stored = np.stack([open_dataset(options.out)[n]["keypoints"] for n in range(60)])
    legs = [INDEX[f"{s}_{j}"] for s in ("left", "right") for j in ("hip", "knee", "ankle")]
    np.testing.assert_allclose(stored[:, legs], video.truth[:, legs], atol=0.02)
    quality = json.loads((options.out / "quality.json").read_text())
    assert quality["videos"][0]["repairs"]["swapped"] == {"arms": 0, "legs": 9}
    assert "put right in 9 frames" in page.read_text()
    for change, said in (
        ({"swaps": False}, "swaps True, not False"),
        ({"bones": False}, "bones True, not False"),
        ({"filter": "zero-lag"}, "filter one-euro, not zero-lag"),
    ):
        with pytest.raises(UserError, match=said):
            prepare(dataclasses.replace(options, **change))
    # Made by a version without these options.
    metadata = options.out / "metadata.json"
    text = json.loads(metadata.read_text())
    for name in ("swaps", "bones", "filter"):
        del text["options"][name]
    metadata.write_text(json.dumps(text))
    with pytest.raises(UserError, match="by a version of motion_jax that had no bones"):
        prepare(options)


def test_zero_lag_is_in_the_datasets_description(video, tmp_path):
    options = PrepareOptions(
        videos=(video.path,), poses=video.wrong, out=tmp_path / "data", size=f"{SIZE}x{SIZE}",
        fit="squash", filter="zero-lag", workers=1,
    )  # fmt: skip
    page = prepare(options)
    assert open_dataset(options.out).info.smoothing["filter"] == "zero-lag"
    assert "zero-lag, gaps up to 5 frames filled" in page.read_text()


def test_a_motion_is_mended_as_its_options_say(video, capsys):
    """Those of transfer; prepare's are the same."""
    options = TransferOptions(video.path, video.path, poses=video.wrong, smooth=False)
    legs = [INDEX[f"{side}_ankle"] for side in ("left", "right")]
    motion = motion_of(video.path, options)
    np.testing.assert_allclose(motion.track.keypoints[:, legs], video.truth[:, legs], atol=0.02)
    assert f"Poses of {video.path.name} mended: left and right legs" in capsys.readouterr().err
    found = motion.measured.keypoints
    as_found = motion_of(video.path, dataclasses.replace(options, swaps=False, bones=False))
    np.testing.assert_array_equal(as_found.track.keypoints, found)
    smooth = motion_of(video.path, dataclasses.replace(options, smooth=True, filter="zero-lag"))
    expected = mend(motion.measured, max_gap=options.max_gap, filter="zero-lag")[0]
    np.testing.assert_array_equal(smooth.track.keypoints, expected.keypoints)
    part = dataclasses.replace(options, start=0.2, end=0.6, fps=5.0, swaps=False, bones=False)
    some = motion_of(video.path, part)
    np.testing.assert_allclose(some.track.times, [0.2, 0.4])
    np.testing.assert_array_equal(some.track.keypoints, found[[5, 10]])
    with pytest.raises(UserError, match="shorter than needed"):
        motion_of(video.path, dataclasses.replace(options, start=99.0))
