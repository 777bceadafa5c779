"""The quality report: advice as a pure function, coverage against hand-made poses, the page."""

import copy
import json
import re

import numpy as np
import pytest

from motion_jax.data import coverage, quality, quality_json, records
from motion_jax.data.advice import advise, percent
from motion_jax.errors import UserError
from motion_jax.pose.skeleton import BODY_NAMES, INDEX

HEIGHT, WIDTH = 48, 40


def stick(angle=0.0, scale=1.0, x=20.0):
    """[137, 3]: an upright figure whose right arm points at `angle` (radians, 0 = to the right)."""
    keypoints = np.zeros((137, 3), np.float32)
    places = {
        "nose": (0, -20), "neck": (0, -14), "right_shoulder": (-4, -14), "left_shoulder": (4, -14),
        "mid_hip": (0, 0), "right_hip": (-3, 0), "left_hip": (3, 0),
        "right_knee": (-3, 9), "left_knee": (3, 9), "right_ankle": (-3, 18), "left_ankle": (3, 18),
        "left_elbow": (5, -8), "left_wrist": (6, -2),
    }  # fmt: skip
    turn = np.array([np.cos(angle), np.sin(angle)])
    places["right_elbow"] = np.array([-4, -14]) + 6 * turn
    places["right_wrist"] = np.array([-4, -14]) + 12 * turn
    for name, place in places.items():
        keypoints[INDEX[name]] = (*(np.array(place) * scale + (x, 24)), 0.9)
    return keypoints


def measured(lengths=(30, 20), lost=5):
    """What prepare writes for one good video of two clips with a gap between them."""
    kept = sum(lengths)
    frames = kept + lost
    index = [*range(lengths[0]), *[-1] * lost, *range(lengths[0], kept)]
    good = [record >= 0 for record in index]
    clip = [*[0] * lengths[0], *[-1] * lost, *[1] * lengths[1]]
    confidence = {name: [0.9 * g for g in good] for name in BODY_NAMES}
    confidence |= {name: [1.0 * g for g in good] for name in ("face", "left_hand", "right_hand")}
    video = {
        "name": "a <b>.mp4", "sha256": "ab" * 32, "width": 1280, "height": 720, "fps": 25.0,
        "duration": frames / 25, "rotation": 0, "estimator": {"name": "MediaPipe", "version": "1"},
        "crop": {"left": 12.0, "top": 3.0, "width": 700.0, "height": 700.0},
        "frames": frames, "kept": kept, "reasons": ["" if g else "lost: no pose" for g in good],
        "times": [i / 25 for i in range(frames)], "record": index, "clip": clip,
        "confidence": confidence, "filled": [0] * frames, "face_visible": good,
        "left_hand_visible": good, "right_hand_visible": good,
        "face_height": [40.0 if g else None for g in good],
        "body_visible": {"legs": 1.0, "arms": 1.0},
        "blur": [200.0 if g else None for g in good], "people": [1] * frames,
    }  # fmt: skip
    clips = [
        {"clip": 0, "video": 0, "first_record": 0, "length": lengths[0], "first_frame": 0,
         "start_time": 0.0, "end_time": 1.2, "ended_by": "lost"},
        {"clip": 1, "video": 0, "first_record": lengths[0], "length": lengths[1],
         "first_frame": lengths[0] + lost, "start_time": 1.4, "end_time": 2.2, "ended_by": ""},
    ]  # fmt: skip
    return {
        "version": 1, "size": [HEIGHT, WIDTH], "fit": "crop", "detail": "holistic",
        "options": {"detail": "holistic"}, "records": kept, "frames": frames, "clips": clips,
        "smoothing": {"on": True, "min_cutoff": 1.0, "beta": 0.1, "max_gap": 5},
        "rejected": {"lost: no pose": lost} if lost else {}, "videos": [video],
    }  # fmt: skip


def plenty():
    """Nothing to complain about."""
    return measured(lengths=(1000, 1000), lost=5)


def texts(figures, cover=None):
    return " ".join(item.text for item in advise(figures, cover))


def test_good_material_gets_no_advice():
    assert advise(plenty()) == []


def spoiled(change):
    figures = plenty()
    change(figures, figures["videos"][0])
    return texts(figures)


def test_face_advice_gives_the_share():
    def change(figures, video):
        seen = iter(np.arange(2000) < 620)
        video["face_visible"] = [r >= 0 and bool(next(seen)) for r in video["record"]]

    text = spoiled(change)
    assert "Face visible in 31 % of frames: train without the face stage or film closer." in text


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("blur", 12.0, "blurry (sharpness 12"),
        ("face_height", 10.0, "only 10 pixels high"),
        ("people", 2, "Other people are in the picture in 100 %"),
        ("filled", 100, "interpolated"),
    ],
)
def test_advice_from_per_frame_figures(key, value, expected):
    def change(figures, video):
        video[key] = [value if record >= 0 else None for record in video["record"]]

    assert expected in spoiled(change)


def test_advice_on_hands_limbs_blur_rate_and_detail():
    def hands(figures, video):
        video["left_hand_visible"] = video["right_hand_visible"] = [False] * video["frames"]

    assert "A hand was seen in 0 % of frames" in spoiled(hands)
    assert "Both legs are in view in 10 %" in spoiled(
        lambda f, v: v["body_visible"].update(legs=0.1)
    )
    assert "Both arms are in view in 70 %" in spoiled(
        lambda f, v: v["body_visible"].update(arms=0.7)
    )
    assert "has 10 frames a second" in spoiled(lambda f, v: v.update(fps=10.0))
    assert "--detail holistic" in spoiled(lambda f, v: f.update(detail="body"))

    def moving(figures, video):
        video["blur"] = [
            None if r < 0 else (20.0 if r % 5 == 0 else 200.0) for r in video["record"]
        ]

    assert "20 % of the frames are blurred by motion" in spoiled(moving)


def test_advice_on_amount_and_gaps_names_the_main_reason():
    few = measured(lost=60)
    found = advise(few)
    assert found[0].urgent and "Only 50 frames" in found[0].text
    assert "45 % of the frames were kept. Most others (60): lost: no pose; keep other" in texts(few)
    torn = plenty()
    torn["clips"] = [dict(torn["clips"][0], length=20) for _ in range(100)]
    assert "falls into 100 clips of 20 frames" in texts(torn)


def test_percent_is_never_wrongly_none_or_all():
    assert [percent(share) for share in (0, 0.001, 0.314, 0.999, 1)] == [
        "0 %", "less than 1 %", "31 %", "over 99 %", "100 %",
    ]  # fmt: skip


def test_coverage_ignores_place_and_size_and_finds_new_poses():
    poses = np.stack([stick(0.02 * i, x=10 + 0.2 * i) for i in range(60)])
    described = coverage.pose_vectors(np.stack([stick(0.3), stick(0.3, x=30)]))
    assert np.allclose(described[0], described[1], atol=1e-5)
    found = coverage.measure(poses, [(0, 60)], HEIGHT, WIDTH)
    assert found.late.sum() == 12 and found.late[-12:].all()
    assert found.height == pytest.approx(38 / HEIGHT, abs=0.02)
    assert 0.95 < found.explained <= 1.0
    # 60 frames turn the arm by 1.2 radians: five or six of 24 directions.
    assert 5 <= found.directions["right forearm"] * 24 <= 6
    assert found.directions["left shin"] * 24 == 1
    still = np.stack([stick(0.0)] * 20)
    other = np.concatenate([still[:16], np.stack([stick(2.5)] * 4)])
    assert np.allclose(coverage.measure(still, [(0, 20)], HEIGHT, WIDTH).distances, 0, atol=1e-5)
    assert (coverage.measure(other, [(0, 20)], HEIGHT, WIDTH).distances > 0.25).all()
    assert "resemble none before" in texts(
        plenty(), coverage.measure(other, [(0, 20)], HEIGHT, WIDTH)
    )
    small = np.stack([stick(i / 4, scale=0.3) for i in range(25)])
    assert "fills 2" in texts(plenty(), coverage.measure(small, [(0, 25)], HEIGHT, WIDTH))


def test_coverage_of_hidden_joints_is_finite():
    poses = np.stack([stick(0.1 * i) for i in range(10)])
    poses[:, INDEX["left_ankle"]] = 0  # never seen
    poses[3] = 0  # nothing seen
    found = coverage.measure(poses, [(0, 10)], HEIGHT, WIDTH)
    assert np.isfinite(found.plane).all() and np.isfinite(found.distances).all()
    assert found.directions["left shin"] == 0
    nearest = coverage.nearest_distances(np.float32([[0, 0], [3, 4]]), np.float32([[0, 0], [3, 1]]))
    assert nearest.tolist() == [0, 3]


def dataset(folder, figures):
    clips, start = [], 0
    shades = np.linspace(0, 255, HEIGHT * WIDTH * 3).reshape(HEIGHT, WIDTH, 3).astype(np.uint8)
    lengths = [clip["length"] for clip in figures["clips"]]
    for clip, length in enumerate(lengths):
        rows = (
            {"frame": shades, "keypoints": stick(0.1 * i), "face_box": np.zeros(4), "clip": clip,
             "index": i, "time": i / 25}
            for i in range(length)
        )  # fmt: skip
        records.write_shard(records.shard_path(folder, clip, len(lengths)), rows, HEIGHT, WIDTH)
        clips.append((clip, 0, start, length))
        start += length
    info = records.DatasetInfo(HEIGHT, WIDTH, tuple(clips), ({"file": "a.mp4"},))
    records.finish_dataset(folder, info, lengths)
    (folder / quality_json.FILE).write_text(json.dumps(figures))


def test_report_is_written(tmp_path):
    figures = measured()
    figures["videos"][0]["confidence"]["left_small_toe"] = [0.0] * 55
    dataset(tmp_path, figures)
    path = quality.write_report(tmp_path)
    text = path.read_text()
    assert path == tmp_path / "report" / "index.html"
    assert "50 of 55 (91 %)" in text and "a &lt;b&gt;.mp4" in text and "<b>" not in text
    assert "lost: no pose" in text and "Only 50 frames" in text
    assert "never seen and left out: left small toe" in text and ">left heel</text>" in text
    assert "<script" not in text
    addresses = re.findall(r'(?:src|href)="([^"]{5})', text)
    assert len(addresses) >= 3 and set(addresses) == {"data:"}


def test_overlay_draws_the_pose_on_the_frame():
    frame = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    shown = quality.overlay(frame, stick(0.0), height=96)
    assert shown.shape == (96, 80, 3)
    changed = np.abs(shown.astype(int) - 128).max(-1) > 20
    assert changed[48, 40] and not changed[:4].any() and 0.01 < changed.mean() < 0.3


def test_missing_and_damaged_quality_file(tmp_path):
    with pytest.raises(UserError, match=r"no .*quality.json.*prepare"):
        quality.write_report(tmp_path)
    (tmp_path / quality_json.FILE).write_text('{"videos": []}')
    with pytest.raises(UserError, match=r"quality.json is damaged"):
        quality.write_report(tmp_path)


def test_body_only_report_says_that_faces_were_not_looked_for(tmp_path):
    figures = copy.deepcopy(measured(lengths=(3, 2), lost=0))
    figures["detail"] = "body"
    dataset(tmp_path, figures)
    assert "not looked for" in quality.write_report(tmp_path).read_text()
