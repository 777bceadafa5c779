"""Paper dolls: the same from the same seed, joints where they are drawn, maps of what is drawn."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from motion_jax.puppet import bones, doll_draw
from motion_jax.puppet.bones import JOINT
from motion_jax.puppet.doll import make_doll
from motion_jax.puppet.doll_lines import PART
from motion_jax.puppet.stances import rest, stances, walk

SIZE = 96


def figure_of(doll, stance):
    return bones.figure(doll.body, stance, 0.72 * SIZE, (SIZE / 2, 0.93 * SIZE))


def test_a_seed_is_a_character():
    assert make_doll(3) == make_doll(3)
    looks = {dataclasses.replace(make_doll(seed), seed=0) for seed in range(60)}
    assert len(looks) == 60


def test_bones_have_the_bodys_lengths():
    body = make_doll(1).body
    found = bones.figure(body, rest(), 100.0, (50.0, 90.0))
    joints = found.joints[0, :, :2]
    for name, start, end in bones.BONES:
        if "hip" in name or name in ("spine", "head") or "_shoulder" in name:
            continue
        length = np.linalg.norm(joints[JOINT[end]] - joints[JOINT[start]])
        assert length == pytest.approx(100 * body.lengths[bones.BONE[name]], rel=1e-4)
    # It stands on the floor.
    toes = joints[[JOINT["right_big_toe"], JOINT["left_big_toe"]], 1]
    assert 85 < toes.max() < 90.0


@pytest.mark.parametrize("seed", range(6))
def test_joints_lie_on_the_body(seed):
    doll = make_doll(seed)
    stance = stances(range(10 * seed, 10 * seed + 8))
    found = figure_of(doll, stance)
    for frame in range(len(found)):
        parts = doll_draw.part_map(doll, found, SIZE, SIZE, frame)
        alpha = doll_draw.draw_doll(doll, found, SIZE, SIZE, frame)[..., 3]
        # What is drawn is what the map says, but for the edges.
        assert ((alpha > 250) & (parts == 0)).mean() < 0.006
        assert ((alpha < 5) & (parts > 0)).mean() < 0.006
        for x, y, seen in found.joints[frame]:
            row, column = int(y), int(x)
            if seen and 0 <= row < SIZE and 0 <= column < SIZE:
                assert parts[row, column] > 0


def test_the_front_has_a_face_and_the_back_has_none():
    doll = dataclasses.replace(make_doll(0), extra="none", back="short")
    front = rest()
    back = dataclasses.replace(
        front, bones=front.bones * [-1.0, 1.0], yaw=np.array([np.pi]), pitch=np.zeros(1)
    )
    seen, behind = figure_of(doll, front), figure_of(doll, back)
    assert not seen.back[0] and behind.back[0]
    assert seen.joints[0, JOINT["nose"], 2] == 1 and behind.joints[0, JOINT["nose"], 2] == 0
    # Left is left: on the picture's right from the front.
    for found, sign in ((seen, 1), (behind, -1)):
        wrists = found.joints[0, [JOINT["right_wrist"], JOINT["left_wrist"]], 0]
        assert np.sign(wrists[1] - wrists[0]) == sign
    heads = [
        (doll_draw.part_map(doll, found, SIZE, SIZE) == PART["head"]).sum()
        for found in (seen, behind)
    ]
    assert heads[0] > 4 * heads[1]


def test_depth_is_the_order_of_the_layers():
    doll, found = make_doll(2), figure_of(make_doll(2), rest(arms=0.1))
    parts = doll_draw.part_map(doll, found, SIZE, SIZE)
    depth = doll_draw.depth_map(doll, found, SIZE, SIZE)
    assert ((depth > 0) == (parts > 0)).all()
    arms = np.isin(parts, [PART["left_forearm"], PART["right_forearm"]])
    assert depth[arms].min() > depth[parts == PART["torso"]].max()


def test_walking_goes_round():
    one, other = walk(np.array([0.2])), walk(np.array([1.2]))
    np.testing.assert_allclose(one.bones, other.bones, atol=1e-12)


def test_the_code_of_docs_anime_md_runs():
    page = Path(__file__).resolve().parents[2] / "docs" / "anime.md"
    (code,) = re.findall(r"^```python\n(.*?)```", page.read_text(), flags=re.M | re.S)
    scope: dict = {}
    exec(code, scope)
    assert scope["picture"].shape == (256, 256, 4) and scope["joints"].shape == (20, 3)
    assert ((scope["order"] > 0) == (scope["parts"] > 0)).all()
