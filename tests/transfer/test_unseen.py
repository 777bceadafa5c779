"""Poses of a source that the target never made."""

import numpy as np

from motion_jax.pose.skeleton import INDEX
from motion_jax.transfer.unseen import in_words, sentence, unseen_stretches


def standing(bend: np.ndarray, arm: np.ndarray | float = 0.0) -> np.ndarray:
    """Somebody in bends of the knees (0: upright, 1: as low as can be) with an arm raised by so
    many torso lengths; a torso is 20 pixels."""
    places = {
        "nose": (0, -28), "neck": (0, -20), "right_shoulder": (-6, -20), "left_shoulder": (6, -20),
        "mid_hip": (0, 0), "right_hip": (-4, 0), "left_hip": (4, 0), "right_knee": (-4, 20),
        "left_knee": (4, 20), "right_ankle": (-4, 40), "left_ankle": (4, 40),
        "right_elbow": (-8, -10), "right_wrist": (-8, 0), "left_elbow": (8, -10),
        "left_wrist": (8, 0),
    }  # fmt: skip
    poses = np.zeros((len(bend), 137, 3), np.float32)
    for name, place in places.items():
        poses[:, INDEX[name]] = (*np.array(place) + 60, 1)
    for side in ("right", "left"):
        poses[:, INDEX[f"{side}_knee"], 1] -= 15 * bend
        poses[:, INDEX[f"{side}_ankle"], 1] -= 30 * bend
    poses[:, INDEX["left_wrist"], 1] -= 20 * np.asarray(arm)
    return poses


def test_squats_have_no_similar_frame():
    bend = np.zeros(100)
    bend[30:60] = 1.0
    times, lost = np.arange(100) / 25, np.zeros(100, bool)
    target = standing(np.zeros(40))
    # Elsewhere in the picture and of another size is the same pose.
    target[..., :2] = target[..., :2] * 1.5 + 7
    found, share = unseen_stretches(standing(bend), lost, times, target)
    assert share == 0.3 and len(found) == 1
    assert (found[0].begin, found[0].part) == (1.2, "legs")
    assert np.isclose(found[0].end, 2.4)
    text = sentence(standing(bend), lost, times, target)
    assert text.startswith(
        "The target's film has no frame like 30 % of the source's poses: 1.2 to 2.4 s (legs). There"
    )
    # One squat of the target is enough, and nothing is said of frames without a person.
    more = np.concatenate([target, standing(np.ones(1))])
    assert sentence(standing(bend), lost, times, more) == ""
    assert sentence(standing(bend), bend > 0, times, target) == ""


def test_moments_too_short_to_be_seen_are_left_out_and_many_are_counted():
    times, lost = np.arange(400) / 25, np.zeros(400, bool)
    bend = np.zeros(400)
    bend[10:13] = 1.0
    assert sentence(standing(bend), lost, times, standing(np.zeros(3))) == ""
    for number in range(5):
        bend[50 + 60 * number : 60 + 62 * number] = 1.0
    text = in_words(*unseen_stretches(standing(bend), lost, times, standing(np.zeros(3))))
    assert text.count("(legs)") == 3 and "and 2 shorter moments" in text


def test_nothing_to_compare_with():
    nobody = np.zeros((4, 137, 3), np.float32)
    assert sentence(nobody, np.ones(4, bool), np.arange(4.0), standing(np.zeros(2))) == ""
    assert sentence(standing(np.zeros(4)), np.zeros(4, bool), np.arange(4.0), nobody) == ""
