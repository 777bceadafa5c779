import numpy as np
import pytest

from motion_jax.pose import skeleton


def some(count, seed=0):
    points = np.random.default_rng(seed).uniform(1, 100, (count, 3)).astype(np.float32)
    points[:, 2] /= 100
    return points


def test_tables_are_whole():
    assert len(skeleton.NAMES) == len(set(skeleton.NAMES)) == skeleton.COUNT == 137
    assert len(skeleton.MEDIAPIPE_FACE) == len(set(skeleton.MEDIAPIPE_FACE)) == 70
    counts = {"body25": (25, 24), "body23": (23, 22), "coco18": (18, 17)}
    for name, layout in skeleton.LAYOUTS.items():
        assert (layout.count, len(layout.limbs)) == counts[name]
        assert len(layout.colours) == layout.count
        assert {joint for limb in layout.limbs for joint in limb} == set(range(layout.count))
    assert len(skeleton.HAND_COLOURS) == 21 and len(skeleton.HAND_BONES) == 20
    for number, points in skeleton.FACE_POINTS.items():
        assert len(set(points)) == number


def test_layouts_connect_the_same_joints():
    """BODY_23 and COCO, seen through their index into BODY_25, name the limbs of the same body."""

    def named(layout):
        names = [skeleton.BODY_NAMES[i] for i in layout.body25]
        return {frozenset((names[a], names[b])) for a, b in layout.limbs}

    assert named(skeleton.BODY_23) - named(skeleton.BODY_25) == {
        frozenset(("right_ankle", "right_small_toe")),
        frozenset(("left_ankle", "left_small_toe")),
    }
    assert frozenset(("left_shoulder", "left_elbow")) in named(skeleton.COCO_18)
    assert frozenset(("neck", "right_hip")) in named(skeleton.COCO_18)


def test_flip_exchanges_the_sides():
    for index, partner in enumerate(skeleton.FLIP):
        name, other = skeleton.NAMES[index], skeleton.NAMES[partner]
        if "right" in name or "left" in name:
            assert other == name.replace("right", "@").replace("left", "right").replace("@", "left")
    pose = some(137)
    pose[4] = 0
    mirrored = skeleton.flip(pose, 200)
    assert mirrored[7].tolist() == [0, 0, 0]
    assert mirrored[4] == pytest.approx([200 - pose[7, 0], pose[7, 1], pose[7, 2]])
    np.testing.assert_allclose(skeleton.flip(mirrored, 200), pose, atol=1e-4)


def test_body_layouts_convert():
    body = some(25)
    whole = skeleton.from_body(body, some(70, 1), some(21, 2), some(21, 3))
    np.testing.assert_array_equal(whole[skeleton.RIGHT_HAND], some(21, 3))
    body23 = skeleton.to_body23(whole)
    back = skeleton.from_body(body23)
    heels = [skeleton.INDEX["left_heel"], skeleton.INDEX["right_heel"]]
    assert (back[heels] == 0).all()
    rest = np.setdiff1d(np.arange(25), heels)
    np.testing.assert_array_equal(back[rest], body[rest])
    assert (back[25:] == 0).all()
    # The reference's names of BODY_23.
    assert (body23[[0, 7, 18]] == body[[1, 8, 0]]).all()
    assert (body23[[10, 15]] == body[[11, 14]]).all()


def test_coco_gets_a_mid_hip():
    body = some(18)
    pose = skeleton.from_body(body)
    hips = body[[8, 11]]
    assert pose[8] == pytest.approx([*hips[:, :2].mean(0), hips[:, 2].min()])
    body[8, 2] = 0
    assert (skeleton.from_body(body)[8] == 0).all()


def test_what_is_not_observed_is_zero():
    body = some(25)
    body[3] = 5, 6, 0
    body[4] = np.nan, 6, 1
    body[5, 2] = 1.7
    pose = skeleton.from_body(body)
    assert (pose[3:5] == 0).all() and pose[5, 2] == 1
    assert (skeleton.shifted(pose, 3, 4)[3] == 0).all()
    assert skeleton.shifted(pose, 3, 4)[5, 0] == pose[5, 0] + 3
    batch = skeleton.from_body(np.stack([some(23), some(23, 1)]))
    np.testing.assert_array_equal(batch[1], skeleton.from_body(some(23, 1)))


def test_mediapipe():
    pose33 = np.zeros((33, 4), np.float32)
    pose33[:, 0], pose33[:, 1] = np.arange(33), 100 + np.arange(33)
    pose33[:, 2:] = 0.9
    pose33[12, 2], pose33[23, 2] = 0.4, 0.05
    mesh = np.stack([np.arange(478), 1000 + np.arange(478)], -1)
    pose = skeleton.from_mediapipe(pose33, mesh, None, some(21))
    assert pose[skeleton.INDEX["right_shoulder"]] == pytest.approx([12, 112, 0.4])
    assert pose[skeleton.INDEX["left_wrist"]] == pytest.approx([15, 115, 0.9])
    assert pose[1] == pytest.approx([11.5, 111.5, 0.4])
    # The left hip is hardly visible: it and the middle of the hips are not observed.
    assert (pose[[8, 12]] == 0).all() and pose[9, 2] > 0
    assert pose[skeleton.INDEX["left_big_toe"], 0] == 31
    assert pose[skeleton.INDEX["right_heel"], 0] == 30
    assert (pose[[20, 23]] == 0).all()
    face = pose[skeleton.FACE]
    assert face[[36, 45, 68, 69], 0].tolist() == [33, 263, 468, 473]
    assert (face[:, 2] == 1).all()
    assert (pose[skeleton.LEFT_HAND] == 0).all()
    np.testing.assert_array_equal(pose[skeleton.RIGHT_HAND, :2], some(21)[:, :2])
    assert (skeleton.from_mediapipe(None) == 0).all()
