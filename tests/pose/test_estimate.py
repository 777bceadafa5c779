"""Poses by MediaPipe: real ones on a few frames of real clips, and the pieces around them."""

import zipfile

import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.pose import bundles, detect, estimate, skeleton
from motion_jax.pose.track import PoseTrack
from motion_jax.workers import worker_count


@pytest.fixture
def models(shared):
    folder = shared / "models"
    if not (folder / "holistic_landmarker.task").is_file():
        pytest.skip("no pose models in shared/models")
    return folder


def test_holistic_on_a_few_frames(shared, models):
    track = estimate.estimate_video(
        shared / "data" / "juggle-man-park.mp4", model=models, end=0.3, workers=1
    )
    assert track.keypoints.shape == (len(track.times), 137, 3)
    assert track.size == (720, 1280) and track.found.all()
    assert track.estimator["model_sha256"] and track.estimator["people"] == [1] * len(track)
    seen = track.keypoints[0]
    # One hand is behind the ball.
    assert (seen[skeleton.FACE, 2] > 0.9).all() and (seen[skeleton.LEFT_HAND, 2] > 0.5).all()
    # The man stands right of the middle; his face is above his hips, above his feet.
    nose, hip, toe = (seen[skeleton.INDEX[name]] for name in ("nose", "mid_hip", "left_big_toe"))
    assert 600 < nose[0] < 800 and 20 < nose[1] < hip[1] < toe[1] < 720
    face = seen[skeleton.FACE, :2].mean(0)
    assert np.linalg.norm(face - nose[:2]) < 30


def test_result_does_not_depend_on_the_number_of_workers(shared, models):
    clip = shared / "data" / "sign-woman-webcam.mp4"
    one, two = (
        estimate.estimate_video(clip, detail="body", model=models, end=1.3, workers=workers)
        for workers in (1, 2)
    )
    assert len(detect.pieces(len(one))) == 2
    np.testing.assert_array_equal(one.keypoints, two.keypoints)
    assert one.reasons == two.reasons and one.found.all()


def test_no_person_where_only_hands_are(shared, models):
    with pytest.raises(UserError, match=r"No person found in .*hands-only.*implausible.*start"):
        estimate.estimate_video(
            shared / "data" / "hands-only-no-person.mp4",
            detail="body",
            model=models,
            end=1.4,
            workers=1,
        )


def test_leaving_an_empty_room_and_the_next_visitor(shared, models):
    """The first visitor leaves at about 19.5 s, the next one comes at about 23.2 s."""
    track = estimate.estimate_video(
        shared / "data" / "one-by-one-empty-and-backs.mp4",
        detail="body", model=models, person="rightmost", start=17.0, end=24.2, workers=1,
    )  # fmt: skip
    times, found = track.times, track.found
    assert found[times < 19.0].all()
    assert not found[(times > 20.0)].any()
    assert "another person" in track.reasons
    # Seen from behind: no nose, no eyes.
    backs = (track.keypoints[found][:, [0, 15, 16], 2] == 0).all(axis=1)
    assert backs.mean() > 0.9


def body(x=300.0, y=150.0, unit=100.0):
    pose = np.ones((33, 4), np.float32)
    pose[:, :2] = (x, y - 0.4 * unit)
    for landmark, right, down in (
        (11, 0.3, 0), (12, -0.3, 0), (13, 0.4, 0.5), (14, -0.4, 0.5), (15, 0.4, 0.9),
        (16, -0.4, 0.9), (23, 0.2, 1), (24, -0.2, 1), (25, 0.2, 1.7), (26, -0.2, 1.7),
        (27, 0.2, 2.4), (28, -0.2, 2.4), (29, 0.2, 2.5), (30, -0.2, 2.5), (31, 0.2, 2.6),
        (32, -0.2, 2.6),
    ):  # fmt: skip
        pose[landmark, :2] = (x + right * unit, y + down * unit)
    return pose


def hand(pose, wrist, length=30.0):
    return pose[wrist, :2] + np.linspace(0, length, 21)[:, None] * np.array([[0.3, 1.0]])


def test_confidence_outside_the_frame_and_of_guesses():
    pose = body()
    pose[27, 3] = 0.1  # left ankle: MediaPipe guesses
    points = estimate.to_keypoints(detect.Found(pose), (330, 640))
    assert points[skeleton.INDEX["left_ankle"]].tolist() == [0, 0, 0]
    # The feet are below the frame's edge at 330.
    assert points[skeleton.INDEX["right_ankle"]].tolist() == [0, 0, 0]
    assert points[skeleton.INDEX["right_knee"], 2] == 1


def test_hands_and_faces_that_hang_elsewhere_are_not_believed():
    pose = body()
    pose[16, 2] = 0.6
    far = hand(pose, 15) + 200
    face = np.full((478, 2), pose[0, :2]) + np.linspace(-20, 20, 478)[:, None]
    face[1] = pose[0, :2]
    points = estimate.to_keypoints(detect.Found(pose, face, far, hand(pose, 16)), (480, 640))
    assert (points[skeleton.LEFT_HAND, 2] == 0).all()
    assert (points[skeleton.RIGHT_HAND, 2] == np.float32(0.6)).all()
    assert (points[skeleton.FACE, 2] == 1).all()
    points = estimate.to_keypoints(detect.Found(pose, face + 100), (480, 640))
    assert (points[skeleton.FACE, 2] == 0).all()
    huge = hand(pose, 16, 200)
    points = estimate.to_keypoints(detect.Found(pose, None, None, huge), (480, 640))
    assert (points[skeleton.RIGHT_HAND, 2] == 0).all()


def test_cache_is_keyed_by_content_and_options(tmp_path, monkeypatch):
    monkeypatch.setenv("MOTION_JAX_CACHE", str(tmp_path / "cache"))
    model = tmp_path / "model.task"
    with zipfile.ZipFile(model, "w") as bundle:
        for member in bundles.POSE_MEMBERS:
            bundle.writestr(member, member)
    video = tmp_path / "a.mp4"
    video.write_bytes(b"frames")
    calls = []

    def fake(path, bundle, detail, person, *rest):
        calls.append((path.name, person))
        return PoseTrack(
            np.full((2, 137, 3), 0.5, np.float32), np.array([0.0, 0.1]), (4, 6), ("", "lost"),
            {"name": "fake", "people": [1, 0]},
        )  # fmt: skip

    monkeypatch.setattr(estimate, "_estimate", fake)
    # The files are no videos.
    monkeypatch.setattr("motion_jax.pose.estimate.peculiarities", lambda path: {})
    first = estimate.estimate_cached(video, detail="body", model=model)
    copy = tmp_path / "b.mp4"
    copy.write_bytes(b"frames")
    again = estimate.estimate_cached(copy, detail="body", model=model)
    assert calls == [("a.mp4", "largest")]
    np.testing.assert_array_equal(first.keypoints, again.keypoints)
    assert again.reasons == ("", "lost") and again.size == (4, 6) and again.filled is None
    assert again.estimator == first.estimator
    estimate.estimate_cached(video, detail="body", model=model, person="leftmost")
    copy.write_bytes(b"other frames")
    estimate.estimate_cached(copy, detail="body", model=model)
    assert len(calls) == 3
    # A damaged entry is not trusted.
    for entry in (tmp_path / "cache" / "poses").iterdir():
        entry.write_bytes(entry.read_bytes()[:100])
    estimate.estimate_cached(video, detail="body", model=model)
    assert len(calls) == 4


def test_pieces_and_workers():
    for count in (1, 31, 33, 247, 1023, 1024, 1571, 5000):
        cut = detect.pieces(count)
        assert cut[0][0] == 0 and cut[-1][1] == count
        assert all(a[1] == b[0] for a, b in zip(cut[:-1], cut[1:], strict=True))
        assert max(last - first for first, last in cut) <= 256
    assert detect.look_step(np.arange(50) / 25, 0.4) == 10
    assert detect.look_step(np.array([0.0]), 0.4) == 1
    assert worker_count(3) == 3 and worker_count(None) >= 1
    with pytest.raises(UserError, match="workers 0"):
        worker_count(0)


def test_bad_person_and_missing_video(tmp_path):
    with pytest.raises(UserError, match="is not a choice"):
        estimate.estimate_video(tmp_path / "a.mp4", person="smallest")
