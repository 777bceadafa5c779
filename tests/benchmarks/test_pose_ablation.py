"""The benchmark of pose repairs: its measures by hand, its mistakes, its tables and trainings."""

import dataclasses

import numpy as np
import pytest

from benchmarks import pose_ablation as module
from motion_jax import puppet
from motion_jax.errors import UserError
from motion_jax.pose.skeleton import INDEX
from motion_jax.pose.track import PoseTrack


def track(keypoints, reasons=None):
    return PoseTrack(
        keypoints=np.asarray(keypoints, np.float32),
        times=np.arange(len(keypoints)) / 25,
        size=(256, 256),
        reasons=tuple(reasons or [""] * len(keypoints)),
    )


def test_jitter_counts_three_present_frames_in_a_row_alone():
    keypoints = np.zeros((6, 137, 3))
    keypoints[:, 0] = 1
    keypoints[:, 0, 0] = [10, 12, 14, 16, 21, 40]
    every = np.ones((6, 25), bool)
    # Second differences 0, 0, 3, 14.
    assert module.jitter(track(keypoints), every, 100) == pytest.approx(1000 * 17 / 4 / 100)
    lost = track(keypoints, ["", "", "", "", "", "lost"])
    assert module.jitter(lost, every, 100) == pytest.approx(1000 * 1 / 100)


def test_lag_of_a_late_copy_is_its_lateness():
    times = np.arange(100) / 25
    keypoints = np.ones((100, 137, 3))
    keypoints[..., 0] = 50 + 10 * np.sin(2 * times)[:, None]
    late = keypoints.copy()
    late[..., 0] = 50 + 10 * np.sin(2 * (times - 0.02))[:, None]
    assert module.lag(track(keypoints), track(late)) == pytest.approx(20, rel=0.02)


def test_spoiled_poses_have_every_kind_of_mistake_and_no_joint_that_was_not_there():
    truth = puppet.pose(puppet.CHARACTERS["ada"], puppet.dance(200, 25, 0), 256, 256)
    truth[:, INDEX["nose"]] = 0
    wrong = module.spoil(truth, 0)
    np.testing.assert_array_equal(wrong, module.spoil(truth, 0))
    assert (wrong[:, INDEX["nose"]] == 0).all()
    gone = (wrong[:, :25, 2] == 0) & (truth[:, :25, 2] > 0)
    assert 0.01 < gone.mean() < 0.06
    off = np.linalg.norm((wrong - truth)[:, :25, :2], axis=-1)[~gone]
    assert 0.3 < np.median(off) < 2 and off.max() > 40


@pytest.fixture(scope="module")
def result():
    return module.measure(module.Options(frames=120, seeds=1))


def test_every_step_of_the_repairs_does_what_it_is_for(result):
    drawn = {row["step"]: row for row in result["drawn"]}
    assert list(drawn) == list(module.STEPS)
    assert drawn["+ swaps"]["error"] < 0.5 * drawn["as they come"]["error"]
    assert drawn["+ bones"]["error"] < drawn["+ swaps"]["error"]
    assert drawn["+ gaps filled"]["missing"] < 0.1 * drawn["+ bones"]["missing"]
    for name in ("one-euro", "zero-lag (instead)"):
        assert drawn[f"+ {name}"]["error"] < drawn["+ gaps filled"]["error"]
    rows = {(row["from_to"], row["method"]): row for row in result["retarget"]}
    for pair in ("ada, ben", "ben, ada"):
        assert rows[pair, "limbs"]["error"] < 0.5 * rows[pair, "global"]["error"]
        assert rows[pair, "limbs"]["bones"] < 1 < rows[pair, "global"]["bones"]


def test_clips_and_filters_are_in_the_section(result):
    truth = puppet.pose(puppet.CHARACTERS["ben"], puppet.dance(150, 25, 1), 256, 256)
    poses = track(module.spoil(truth, 1))
    row = module.clip("dance.mp4", poses)
    assert row["repaired"] < row["raw"] and row["zero_lag"] < row["one_euro"] < row["repaired"]
    assert row["dropped"] > 0 and row["filled"] > 0 and row["swapped"] != "0, 0"
    filters = module.filters([poses])
    lags = {row["filter"]: row["lag_ms"] for row in filters}
    assert lags["one-euro, forwards (live)"] > 8
    assert abs(lags["one-euro, both ways"]) < 2 and abs(lags["zero-lag"]) < 0.5
    quality = [
        {"poses": "as estimated", "steps": 7, "seconds": 3.0, "frames": 11, "size": "64x64",
         "recurrent": {}, "psnr": 21.234, "ssim": 0.8, "body_psnr": 18.0, "body_ssim": 0.7}
    ]  # fmt: skip
    text = module.section(
        result | {"clips": [row], "filters": filters, "quality": quality, "train_minutes": 2.0}
    )
    assert "| dance.mp4 | 150 |" in text and "| zero-lag |" in text
    assert "| as estimated | 7 | 21.23 | 0.800 | 18.00 | 0.700 |" in text
    assert "for 2 minutes" in text and "11 held-out frames" in text
    alone = module.section(result)
    assert "Real clips" not in alone and "Networks" not in alone and "| ada, ben | limbs |" in alone


def test_options_that_cannot_be_are_refused(tmp_path):
    base = module.Options(frames=60, seeds=1)
    for change, said in (
        ({"frames": 10}, "at least 50"),
        ({"train": 1.0}, "--train-video"),
        ({"train": -1.0}, "0 or more"),
    ):
        with pytest.raises(UserError, match=said):
            module.measure(dataclasses.replace(base, **change))


def test_the_networks_differ_in_their_poses_alone():
    from motion_jax.data.prepare_options import PrepareOptions

    config = module.network(64)
    config.validate()
    stage = config.recipe.global_stage
    assert (stage.height, stage.width) == (64, 64)
    assert config.recipe.local_stage.steps == config.recipe.face_stage.steps == 0
    plain = PrepareOptions(videos=(), out=None)
    for changes in module.POSES.values():
        changed = dataclasses.replace(plain, **changes)
        names = {f.name for f in dataclasses.fields(plain)
                 if getattr(plain, f.name) != getattr(changed, f.name)}  # fmt: skip
        assert names <= {"swaps", "bones", "smooth", "filter"}


def test_the_picture_shows_the_frames_before_and_after(tmp_path, monkeypatch):
    import cv2

    from benchmarks import pose_picture
    from motion_jax.pose import estimate
    from motion_jax.pose.sides import moved_with

    keypoints = puppet.pose(puppet.CHARACTERS["ada"], puppet.dance(40, 25, 0), 256, 256)
    for name in ("hip", "knee", "ankle"):
        left, right = moved_with(name)
        part = keypoints[20:24]
        part[:, left], part[:, right] = part[:, right], part[:, left]
    monkeypatch.setattr(estimate, "estimate_cached", lambda path: track(keypoints))
    out = tmp_path / "poses.png"
    pose_picture.main(["dance.mp4", "--first", "19", "--last", "21", "--out", str(out)])
    drawn = cv2.imread(str(out))
    # Four parts, three figures wide; some orange (blue is first in OpenCV's order).
    assert drawn.shape[0] > 3 * pose_picture.HEIGHT and drawn.shape[1] > 300
    assert ((drawn[..., 2] > 200) & (drawn[..., 0] < 100)).any()
    options = pose_picture.Options(tmp_path / "dance.mp4", 19, 40)
    with pytest.raises(UserError, match="no frames 19 to 40"):
        pose_picture.picture(options)
    with pytest.raises(UserError, match="tail is no joint"):
        pose_picture.picture(dataclasses.replace(options, last=20, joint="tail"))
