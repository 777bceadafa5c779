import json

import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.errors import UserError
from motion_jax.pose import normalize_edn as edn
from motion_jax.pose.normalize import PoseStatistics, fit_in_words, fit_target, normalize
from motion_jax.pose.skeleton import COUNT, FACE, INDEX, LEFT_HAND

ANKLES = [INDEX["right_ankle"], INDEX["left_ankle"]]


def figure(leg=1.0, arm=1.0, torso=1.0, head=1.0):
    """A standing figure, feet at (0, 0), about 100 high; [137, 3]."""
    hip, neck = -50 * leg, -50 * leg - 30 * torso
    nose = neck - 14 * head
    joints = {
        "nose": (0, nose), "neck": (0, neck), "mid_hip": (0, hip),
        "right_eye": (-3 * head, nose - 3 * head), "left_eye": (3 * head, nose - 3 * head),
        "right_ear": (-6 * head, nose - 1 * head), "left_ear": (6 * head, nose - 1 * head),
    }  # fmt: skip
    for side, sign in (("right", -1), ("left", 1)):
        shoulder = np.array([10 * sign, neck])
        joints |= {
            f"{side}_shoulder": shoulder,
            f"{side}_elbow": shoulder + np.array([9 * sign, 13]) * arm,
            f"{side}_wrist": shoulder + np.array([15 * sign, 25]) * arm,
            f"{side}_hip": (6 * sign, hip),
            f"{side}_knee": (6 * sign, hip + 26 * leg),
            f"{side}_ankle": (6 * sign, 0),
            f"{side}_big_toe": (9 * sign, 4),
            f"{side}_heel": (5 * sign, 3),
        }
    keypoints = np.zeros((COUNT, 3), np.float32)
    for name, place in joints.items():
        keypoints[INDEX[name]] = *place, 0.9
    keypoints[FACE] = 0.9
    keypoints[FACE, :2] = keypoints[0, :2] + head * np.stack(
        [4 * np.cos(np.arange(70)), 5 * np.sin(np.arange(70))], -1
    )
    keypoints[LEFT_HAND] = 0.9
    spread = np.stack([np.arange(21) / 4, np.arange(21) / 3], -1)
    keypoints[LEFT_HAND, :2] = keypoints[INDEX["left_wrist"], :2] + spread
    return keypoints


def at(pose, x, y, scale=1.0):
    """The figure with its feet at (x, y)."""
    moved = pose * np.array([scale, scale, 1]) + np.array([x, y, 0])
    return np.where(pose[:, 2:] > 0, moved, 0).astype(np.float32)


def walk(pose, x, close, far, at_close, at_far, count=41, sway=20.0):
    """Back and forth between two depths; scale follows depth; and from left to right."""
    p = 0.5 + 0.5 * np.sin(np.linspace(0, 4 * np.pi, count))
    frames = [
        at(pose, x + sway * (i / (count - 1) - 0.5), far + q * (close - far),
           at_far + q * (at_close - at_far))
        for i, q in enumerate(p)
    ]  # fmt: skip
    return np.stack(frames)


def foot(poses):
    return poses[:, ANKLES, 1].max(1)


def height(poses):
    return np.linalg.norm(poses[:, 0, :2] - poses[:, ANKLES, :2].mean(1), axis=-1)


def test_golden_reference_numbers():
    shift, scale = edn.shift_and_scale(850, (980, 900), (1000, 700), (1.2, 0.9))
    assert (shift, scale) == pytest.approx((90, 1.05))
    # The smaller source range moves the target's ends towards its middle.
    assert edn.fit_ranges((980, 900), (500, 460)) == ((960, 920), (500, 460))
    assert edn.fit_ranges((980, 900), (1000, 700)) == ((980, 900), (1000, 700))


def test_reference_mode():
    target = walk(figure(), 900, 980, 900, 6, 5)
    source = walk(figure(), 700, 1000, 700, 5, 3)
    source[0, INDEX["left_ear"]] = 0
    source[5, INDEX["left_ear"]] = 0
    result = normalize(
        source, None, None, "edn_reference", target_keypoints=target, target_width=1920
    )
    # Skipped before the first valid frame; later the numbers of the frame before are used.
    assert (result[0] == 0).all() and (result[5, 0] != 0).all()
    foot_target, height_target, valid = edn.measure(target)
    foot_source, height_source, valid = edn.measure(source)
    ranges = edn.close_and_far(foot_target), edn.close_and_far(foot_source[valid])
    scales = tuple(
        a / b
        for a, b in zip(
            edn.heights(foot_target, height_target, *ranges[0]),
            edn.heights(foot_source[valid], height_source[valid], *ranges[1]),
            strict=True,
        )
    )
    shift, scale = edn.shift_and_scale(foot_source[7], *ranges, scales)
    # The constant anchor: half of the width, and the first usable frame's foot.
    expected = scale * source[7, :2, :2] + (1 - scale) * np.array([960, foot_source[1]])
    np.testing.assert_allclose(result[7, :2, :2], expected + np.array([0, shift]), rtol=1e-5)
    with pytest.raises(UserError, match="use the method global"):
        normalize(target[:1], None, None, "edn_reference", target_keypoints=target, target_width=9)
    with pytest.raises(ValueError, match="target_keypoints"):
        normalize(target, None, None, "edn_reference")


def test_global_gives_height_and_place_of_the_target():
    source = walk(figure(), 400, 500, 420, 2.0, 1.6)
    target = walk(figure(), 60, 120, 110, 0.6, 0.5)
    stats = fit_target(source), fit_target(target)
    result = normalize(source, *stats)
    # Range of the feet and height at its ends as the target's.
    assert foot(result).max() == pytest.approx(120, abs=0.5)
    ends = foot(source).argmax(), np.abs(foot(source) - stats[0].foot_far).argmin()
    assert foot(result)[ends[1]] == pytest.approx(stats[1].foot_far, abs=0.1)
    assert height(result)[ends[0]] == pytest.approx(height(target).max(), rel=0.02)
    assert height(result)[ends[1]] == pytest.approx(height(target).min(), rel=0.05)
    # In the middle of where the target is, and sideways motion goes on, scaled.
    x = result[:, INDEX["mid_hip"], 0]
    assert np.median(x) == pytest.approx(60, abs=0.5)
    assert x[-1] - x[0] == pytest.approx(20 * 0.55 / 1.8, rel=0.1)
    np.testing.assert_array_equal(result[..., 2], source[..., 2])
    assert "height and feet" in fit_in_words(*stats)
    kept = normalize(source, *stats, horizontal="keep")
    root = INDEX["mid_hip"]
    np.testing.assert_allclose(kept[:, root, 0], source[:, root, 0], atol=1e-3)
    # As far from the middle of the picture as in the source's, scaled as the person is.
    framed = normalize(source, *stats, horizontal="frame", widths=(700, 100))
    from_middle = (framed[:, root, 0] - 50) / (source[:, root, 0] - 350)
    np.testing.assert_allclose(from_middle, height(result) / height(source), rtol=0.01)
    with pytest.raises(ValueError, match="needs the widths"):
        normalize(source, *stats, horizontal="frame")


def test_a_dance_of_one_person_is_that_of_another_with_other_limbs():
    """Two drawn people of other proportions on one stage: each joint to a third of a pixel, the way
    that the feet take included."""
    dances = puppet.dance(20, 20, 0), puppet.dance(6, 20, 1)
    ada, ben = (puppet.CHARACTERS[name] for name in ("ada", "ben"))
    source = puppet.pose(ada, dances[1], 128, 128)
    truth = puppet.pose(ben, dances[1], 128, 128)
    stats = fit_target(source), fit_target(puppet.pose(ben, dances[0], 128, 128))
    result = normalize(source, *stats, "limbs", "frame", (128, 128))
    seen = (truth[:, :25, 2] > 0) & (result[:, :25, 2] > 0)
    error = np.linalg.norm(result[:, :25, :2] - truth[:, :25, :2], axis=-1)[seen]
    assert error.mean() < 0.33
    plain = normalize(source, *stats, "limbs")
    assert np.linalg.norm(plain[:, :25, :2] - truth[:, :25, :2], axis=-1)[seen].mean() > 1.0


def test_motion_in_depth_is_not_stretched():
    """A source that stands, seen by a target that walked: the middle of the target's depth."""
    source = np.stack([at(figure(), 100, 300 + 0.1 * (i % 5), 2) for i in range(40)])
    target = walk(figure(), 60, 120, 80, 0.6, 0.4)
    stats = fit_target(source), fit_target(target)
    result = normalize(source, *stats)
    close, far = stats[1].foot_close, stats[1].foot_far
    assert foot(result).mean() == pytest.approx((close + far) / 2, abs=1)
    assert np.ptp(foot(result)) < 0.3
    assert height(result).mean() == pytest.approx(0.5 * height(figure()[None])[0], rel=0.05)
    assert np.ptp(height(result)) < 0.5


def test_jumps_and_crouching():
    source = walk(figure(), 100, 300, 280, 2, 1.9)
    target = walk(figure(), 60, 120, 110, 0.6, 0.57)
    stats = fit_target(source), fit_target(target)
    jump = source[:3] - np.array([0, 60, 0], np.float32) * (source[:3, :, 2:] > 0)
    up = foot(normalize(source[:3], *stats)) - foot(normalize(jump, *stats))
    # 60 pixels of a person 200 high are 18 of one 60 high; not clamped away.
    assert up.mean() == pytest.approx(18, abs=4)
    # Somebody who crouches most of the time stands up now and then: that is the height.
    crouching = source.copy()
    crouching[::2, 0, 1] += 80
    assert fit_target(crouching).height_close == pytest.approx(stats[0].height_close, rel=0.05)


def test_frames_without_feet_follow_their_neighbours():
    source = walk(figure(), 400, 500, 420, 2.0, 1.6)
    stats = fit_target(source), fit_target(walk(figure(), 60, 120, 110, 0.6, 0.5))
    whole = normalize(source, *stats)
    source[10, ANKLES] = 0
    assert np.abs(normalize(source, *stats)[10, :9] - whole[10, :9]).max() < 1
    assert (normalize(source, *stats)[10, ANKLES] == 0).all()


def test_head_and_shoulders():
    full = walk(figure(), 60, 120, 110, 0.6, 0.5)
    webcam = np.stack([at(figure(), 300 + i % 3, 700, 5) for i in range(20)])
    webcam[:, [INDEX["mid_hip"], *range(9, 15), *range(19, 25)]] = 0
    stats, target = fit_target(webcam), fit_target(full)
    assert stats.foot_close is None and "torso" not in stats.limbs
    assert "source" in fit_in_words(stats, target) and "shoulders" in fit_in_words(stats, target)
    for method in ("global", "limbs"):
        result = normalize(webcam, stats, target, method)
        width = np.ptp(result[:, [2, 5], 0], axis=1)
        np.testing.assert_allclose(width, 20 * 0.55, rtol=0.12)
        assert np.median(result[:, 1, 1]) == pytest.approx(target.neck_y, abs=0.5)
        assert np.median(result[:, 1, 0]) == pytest.approx(target.neck_x, abs=0.5)
    # And the other way round: a dancer for somebody before a webcam.
    back = normalize(full, target, stats)
    assert np.median(back[:, 1, 1]) == pytest.approx(stats.neck_y, abs=0.5)


def test_nothing_in_common_is_no_crash():
    only_nose = np.zeros((3, COUNT, 3), np.float32)
    only_nose[:, 0] = 50, 40, 1
    only_hand = np.zeros((3, COUNT, 3), np.float32)
    only_hand[:, 4] = 10, 20, 1
    stats = fit_target(only_nose), fit_target(only_hand)
    for method in ("global", "limbs"):
        assert np.isfinite(normalize(only_nose, *stats, method)).all()
    assert "frame alone" in fit_in_words(*stats)
    with pytest.raises(ValueError, match="body joint"):
        fit_target(np.zeros((3, COUNT, 3)))


def test_limbs_get_the_targets_lengths():
    source = walk(figure(leg=1.2, arm=0.8, head=1.1), 400, 500, 499, 2.0, 2.0)
    target = walk(figure(leg=0.9, arm=1.3, torso=1.1, head=0.9), 60, 120, 119.9, 0.6, 0.6)
    stats = fit_target(source), fit_target(target)
    result = normalize(source, *stats, method="limbs")

    def length(poses, a, b):
        return np.linalg.norm(poses[:, INDEX[a], :2] - poses[:, INDEX[b], :2], axis=-1).mean()

    for a, b in (
        ("right_hip", "right_knee"), ("left_knee", "left_ankle"), ("left_shoulder", "left_elbow"),
        ("right_elbow", "right_wrist"), ("neck", "mid_hip"), ("right_ear", "left_ear"),
        ("left_ankle", "left_big_toe"),
    ):  # fmt: skip
        assert length(result, a, b) == pytest.approx(length(target, a, b), rel=0.03), (a, b)
    plain = normalize(source, *stats)
    np.testing.assert_allclose(foot(result), foot(plain), atol=1e-3)
    # The face went with the nose and shrank with the head, the hand went with the wrist.
    face = result[:, FACE, :2] - result[:, :1, :2]
    expected = target[:, FACE, :2] - target[:, :1, :2]
    np.testing.assert_allclose(face, expected, rtol=0.05, atol=0.05)
    wrist = INDEX["left_wrist"]
    np.testing.assert_allclose(result[:, LEFT_HAND.start], result[:, wrist], atol=0.05)
    # Missing joints between do not break the chain, and stay missing.
    source[:, INDEX["left_elbow"]] = 0
    again = normalize(source, *stats, method="limbs")
    assert (again[:, INDEX["left_elbow"]] == 0).all()
    reach = length(again, "left_shoulder", "left_wrist")
    assert reach == pytest.approx(length(target, "left_shoulder", "left_wrist"), rel=0.1)


def test_squashed_pictures():
    """A dataset squashed to half its width: square pixels inside, its own pixels outside."""
    target = walk(figure(), 120, 120, 110, 0.6, 0.5)
    squashed = target * np.array([0.5, 1, 1], np.float32)
    source = walk(figure(), 400, 500, 420, 2.0, 1.6)
    expected = normalize(source, fit_target(source), fit_target(target))
    result = normalize(source, fit_target(source), fit_target(squashed, pixel_aspect=2.0))
    np.testing.assert_allclose(result, expected * np.array([0.5, 1, 1]), rtol=1e-4, atol=1e-3)


def test_statistics_are_json_and_reproducible():
    keypoints = walk(figure(), 400, 500, 420, 2.0, 1.6)
    stats = fit_target(keypoints)
    assert stats == fit_target(keypoints[::-1])
    text = json.dumps(stats.to_json())
    assert PoseStatistics.from_json(text) == PoseStatistics.from_json(json.loads(text)) == stats
    with pytest.raises(ValueError, match="limbs"):
        PoseStatistics.from_json({k: v for k, v in stats.to_json().items() if k != "limbs"})


def test_none_and_nonsense():
    keypoints = walk(figure(), 400, 500, 420, 2.0, 1.6)
    stats = fit_target(keypoints)
    np.testing.assert_array_equal(normalize(keypoints, stats, stats, "none"), keypoints)
    # To oneself: nothing changes much.
    assert np.abs(normalize(keypoints, stats, stats) - keypoints).max() < 15
    with pytest.raises(ValueError, match="method is 'best'"):
        normalize(keypoints, stats, stats, "best")
    with pytest.raises(ValueError, match="horizontal is 'up'"):
        normalize(keypoints, stats, stats, horizontal="up")
