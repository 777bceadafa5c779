"""Poses laid into the target's picture: of whole clips, and live, one after another."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from walker import a_track, fake_run

from motion_jax import puppet
from motion_jax.errors import UserError
from motion_jax.pose import joints
from motion_jax.pose.normalize import fit_target
from motion_jax.pose.skeleton import INDEX
from motion_jax.pose.track import PoseTrack
from motion_jax.serve.options import ServeOptions
from motion_jax.serve.service import Service
from motion_jax.transfer.fit import SETTLE, Body, RunningFit, fit_clip, kept_within, placements

FPS = 25
# What live fitting may differ from that of the whole clip once it has settled, as a share of the
# picture's height.
TOLERANCE = 0.02


def test_without_normalisation_the_frame_is_fitted_undistorted():
    track = a_track(np.arange(2) / 25, size=(100, 50))
    run = fake_run((200, 300))
    clip = fit_clip(track, Body.of_run(run), "none")
    keypoints, boxes, lost = clip.keypoints, clip.boxes, clip.lost
    assert not lost.any() and keypoints.dtype == np.float32 and boxes.shape == (2, 4)
    nose = track.keypoints[0, 0]
    np.testing.assert_allclose(keypoints[0, 0], [nose[0] * 2 + 100, nose[1] * 2, 0.9], rtol=1e-5)
    assert not keypoints[:, 25:].any()


@pytest.mark.parametrize("method", ["global", "limbs"])
def test_normalised_to_the_target_in_pixels_of_the_run(method):
    """A target twice as tall, standing elsewhere, in a dataset of another size than the run's."""
    times = np.arange(30) / 25
    source = a_track(times, lost=(3,))
    target = a_track(times, size=(192, 256))
    target.keypoints[..., 0] += 20 * (target.keypoints[..., 2] > 0)
    dataset = {
        "info": {"height": 192, "width": 256},
        "target_statistics": fit_target(target.keypoints).to_json(),
    }
    run = fake_run((96, 128), dataset)
    clip = fit_clip(source, Body.of_run(run), method)
    keypoints, boxes, lost = clip.keypoints, clip.boxes, clip.lost
    np.testing.assert_array_equal(np.flatnonzero(lost), [3])
    assert not keypoints[3].any()
    # The target in the run's pixels: half the dataset's. Its heights are the source's own.
    goal = target.keypoints[15] / [2, 2, 1]
    np.testing.assert_allclose(keypoints[15, :25, 1], goal[:25, 1], atol=1.0)
    median = np.median(target.keypoints[:, 8, 0]) / 2
    assert abs(np.median(keypoints[~lost, 8, 0]) - median) < 1.0
    assert (boxes[~lost, 2] - boxes[~lost, 0] == 24).all(), "a quarter of the run's height"


def test_a_run_on_crops_is_the_middle_of_its_dataset():
    """Trained on 64x64 pieces of 96x80 frames: the same scale, shifted by half of what is cut."""
    source = a_track(np.arange(20) / 25)
    target = a_track(np.arange(20) / 25, size=(80, 96))
    dataset = {
        "info": {"height": 80, "width": 96},
        "target_statistics": fit_target(target.keypoints).to_json(),
    }
    whole = fit_clip(source, Body.of_run(fake_run((80, 96), dataset))).keypoints
    cropped = fake_run((64, 64), {**dataset, "crop": True})
    piece = fit_clip(source, Body.of_run(cropped)).keypoints
    np.testing.assert_allclose(piece[:, :25, :2], whole[:, :25, :2] - [16, 8], atol=1e-3)


def steady(seconds: float = 8.0, size: int = 128) -> PoseTrack:
    """Somebody who stands still but for breathing and noise of half a pixel."""
    count, random = round(seconds * FPS), np.random.default_rng(0)
    pose = puppet.pose(puppet.CHARACTERS["ada"], puppet.dance(1, FPS, 1), size, size)
    poses = np.repeat(pose, count, 0)
    seen = poses[..., 2:] > 0
    sway = np.sin(np.arange(count) / FPS * 4)[:, None, None] * (1.0, 0.5)
    poses[..., :2] += seen * (sway + random.normal(0, 0.5, (count, 137, 2)))
    return PoseTrack(poses.astype(np.float32), np.arange(count) / FPS, (size, size), ("",) * count)


def the_target(size: tuple[int, int] = (96, 96)) -> Body:
    poses = puppet.pose(puppet.CHARACTERS["ben"], puppet.dance(50, FPS, 0), 192, 192)
    return Body(size, fit_target(poses), (192, 192))


@pytest.mark.parametrize("method", ["global", "limbs", "none"])
def test_live_fitting_settles_to_what_the_whole_clip_gives(method):
    track, body = steady(), the_target()
    whole = fit_clip(track, body, method)
    live = RunningFit(track.size, body, method)
    shown = np.stack(
        [live.next(t, pose) for t, pose in zip(track.times, track.keypoints, strict=True)]
    )
    settled = track.times > SETTLE
    seen = whole.keypoints[..., 2] > 0
    np.testing.assert_array_equal(shown[..., 2] > 0, seen)
    error = np.linalg.norm(shown[..., :2] - whole.keypoints[..., :2], axis=-1)
    assert error[settled][seen[settled]].max() < TOLERANCE * body.size[0]
    if method != "none":
        # Measured once: the same pose is laid to the same place ever after.
        again = live.next(track.times[-1] + 60, track.keypoints[40])
        np.testing.assert_array_equal(again, shown[40])
        other = dataclasses.replace(track, keypoints=track.keypoints * np.float32([0.5, 0.5, 1]))
        live.reset()
        half = np.stack(
            [live.next(t, p) for t, p in zip(other.times, other.keypoints, strict=True)]
        )
        np.testing.assert_allclose(half[50:], shown[50:], atol=TOLERANCE * body.size[0])


def test_live_a_frame_without_feet_is_placed_by_the_last_that_showed_them():
    track, body = steady(2.0), the_target()
    live = RunningFit(track.size, body)
    for time, pose in zip(track.times, track.keypoints, strict=True):
        whole = live.next(time, pose)
    cut = track.keypoints[-1].copy()
    cut[[10, 11, 13, 14, *range(19, 25)]] = 0
    shown = live.next(2.0, cut)
    seen = cut[:, 2] > 0
    np.testing.assert_allclose(shown[seen], whole[seen], atol=1e-3)
    assert not shown[~seen].any()


def test_live_nothing_is_placed_before_a_body_is_seen():
    body = the_target()
    live = RunningFit((128, 128), body)
    face = np.zeros((137, 3), np.float32)
    face[30:60] = (60, 20, 1)
    assert live.next(0.0, face) is None
    track = steady(1.0)
    assert live.next(0.04, track.keypoints[0]) is not None
    with pytest.raises(UserError, match="not known"):
        RunningFit((128, 128), Body((64, 64), None, unknown="It is not known."))


def test_a_frame_is_placed_as_its_nearest_neighbour_that_is_known():
    track = steady(0.4)
    after = track.keypoints * np.float32([0.5, 0.5, 1])
    after[:, :, 0] += np.arange(10)[:, None] * (after[..., 2] > 0)
    lost = [0, 1, 4, 5, 6, 7, 9]
    after[lost] = 0
    places = placements(track.keypoints, after)
    np.testing.assert_allclose(places[:, 0, 2], [2, 2, 2, 3, 3, 3, 8, 8, 8, 8], atol=1e-3)


def test_joints_bend_no_further_than_the_targets_were_seen_to():
    """A target who never bends a knee, driven by one who does: hers stays as it was seen, and a run
    that does not know how far hers bends says what to do."""
    source = a_track(np.arange(30) / 25, lost=(3,))
    still = source.keypoints[:3].copy()
    source.keypoints[15:, INDEX["left_ankle"], :2] += [12, -9]
    dataset = {
        "info": {"height": source.size[0], "width": source.size[1]},
        "target_statistics": fit_target(still).to_json(),
        "target_joints": joints.to_json(joints.limits(still)),
    }
    body = Body.of_run(fake_run(source.size, dataset))
    free = fit_clip(source, body, "global")
    kept, count = kept_within(free, body)
    moved = np.abs(kept.keypoints - free.keypoints).max((1, 2)) > 0.5
    assert count == 15 and moved[15:].all() and not moved[:15].any()
    assert not kept.keypoints[3].any() and not kept.boxes[3].any()
    for joint, known in zip(joints.JOINTS, body.bent, strict=True):
        if known is not None:
            turned, seen = joints.angles(kept.keypoints, joint)
            np.testing.assert_allclose(turned[seen], known.middle, atol=0.02)
    # Live, pose by pose, the same.
    live = RunningFit(source.size, body, "none", bend="seen")
    poses = [
        live.next(time, pose) for time, pose in zip(source.times, source.keypoints, strict=True)
    ]
    as_it_is, _ = kept_within(fit_clip(source, body, "none"), body)
    for i in np.flatnonzero(~free.lost):
        np.testing.assert_allclose(poses[i], as_it_is.keypoints[i], atol=1e-4)
    # And served, keypoint by keypoint, even where nothing else is fitted.
    seen = SimpleNamespace(
        run=fake_run(source.size, dataset), size=source.size, pose=lambda keypoints: keypoints
    )
    for bend, expected in (("seen", as_it_is.keypoints[20]), ("free", source.keypoints[20])):
        options = ServeOptions((Path("run"),), joints=bend)
        service = Service(options, {"run": seen}, engine=None, figures=None)
        served = service.posed(seen, source.keypoints[20], source.size, "none")
        np.testing.assert_allclose(served, expected, atol=1e-4)
    assert np.abs(as_it_is.keypoints[20] - source.keypoints[20]).max() > 0.5
    del dataset["target_joints"]
    with pytest.raises(UserError, match="joints seen needs .* command that trained the run again"):
        kept_within(free, Body.of_run(fake_run(source.size, dataset)))
    with pytest.raises(UserError, match="joints seen needs"):
        RunningFit(source.size, Body.of_run(fake_run(source.size, dataset)), bend="seen")
