"""Choosing a student and its lessons, without a network."""

import dataclasses

import numpy as np
import pytest

from motion_jax.config import load_config
from motion_jax.distill.command import parse_budget, student_config
from motion_jax.distill.family import Member, chosen, family
from motion_jax.distill.lessons import poses_to_draw, with_arms_of
from motion_jax.distill.options import DistillOptions
from motion_jax.errors import UserError
from motion_jax.pose.skeleton import INDEX


@pytest.mark.parametrize("text, value", [("12ms", 12.0), ("0.012s", 12.0), (" 7.5 ms", 7.5)])
def test_budgets(text, value):
    assert parse_budget(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["12", "fast", "-3ms", "0ms", "12 m"])
def test_no_budgets(text):
    with pytest.raises(UserError, match="give one as 12ms"):
        parse_budget(text)


@pytest.mark.parametrize("times", [[40, 30, 20, 10, 5], [40, 11, 13, 10, 5], [9, 8, 7, 6, 5]])
@pytest.mark.parametrize("budget", [5, 10, 12, 45])
def test_the_largest_within_the_budget_is_chosen(times, budget):
    members = [Member(None, {"width": n}, 100 - n) for n in range(5)]
    member, spent, tried = chosen(members, budget, lambda one: times[one.sizes["width"]])
    right = next(n for n, spent in enumerate(times) if spent <= budget)
    assert spent <= budget and member.sizes["width"] == right
    assert tried[right] == spent


def test_none_within_the_budget():
    members = [Member(None, {}, 2), Member(None, {}, 1)]
    with pytest.raises(UserError, match=r"the smallest network takes 5.0 ms"):
        chosen(members, 3, lambda one: 5.0)


def test_the_family_is_the_teachers_recipe_made_smaller():
    recipe = load_config("two_cores").recipe
    members = family(recipe, "global")
    work = [member.operations for member in members]
    assert work == sorted(work, reverse=True) and work[0] > 4 * work[-1]
    assert members[0].sizes["width"] == recipe.generator.ngf
    for member in members:
        member.recipe.validate()
        assert member.recipe.generator.ngf == member.sizes["width"]
        assert member.recipe.background == recipe.background


def a_dance(count, seed):
    random = np.random.default_rng(seed)
    poses = np.zeros((count, 137, 3), np.float32)
    poses[..., :2] = random.uniform(10, 50, (count, 137, 2))
    poses[..., 2] = 1
    return poses


def test_arms_of_others_hang_at_their_own_shoulders():
    poses, others = a_dance(4, 0), a_dance(4, 1)
    others[1, INDEX["left_shoulder"]] = 0
    others[2, INDEX["right_wrist"]] = 0
    mixed = with_arms_of(poses, others)
    for side in ("right", "left"):
        shoulder, elbow = INDEX[f"{side}_shoulder"], INDEX[f"{side}_elbow"]
        i = 0
        np.testing.assert_allclose(
            mixed[i, elbow] - mixed[i, shoulder], others[i, elbow] - others[i, shoulder], atol=1e-4
        )
    legs = [INDEX["right_knee"], INDEX["left_ankle"], INDEX["nose"], INDEX["neck"]]
    np.testing.assert_array_equal(mixed[:, legs], poses[:, legs])
    # Where one of them shows no shoulder, the arm stays; what is not seen is not made up.
    np.testing.assert_array_equal(mixed[1, INDEX["left_elbow"]], poses[1, INDEX["left_elbow"]])
    assert (mixed[2, INDEX["right_wrist"]] == 0).all()


def test_poses_that_nobody_filmed():
    dance = a_dance(20, 0)
    drawn = poses_to_draw(dance, [(0, 8), (10, 6)], 2, seed=3)
    assert [len(poses) for poses in drawn] == [8, 6] * 3
    np.testing.assert_array_equal(drawn[1], dance[10:16])
    assert all((mixed != dance[:8]).any() for mixed in drawn[2::2])
    again = poses_to_draw(dance, [(0, 8), (10, 6)], 2, seed=3)
    for a, b in zip(drawn, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_students_config():
    @dataclasses.dataclass
    class Teacher:
        config = load_config("two_cores")
        params = {"generator": {}, "face_generator": {}}

    options = DistillOptions(teacher=None, run=None, steps=0.5)
    config = student_config(Teacher(), {"width": 16, "blocks": 1}, options)
    before = Teacher.config.recipe
    assert config.recipe.generator.ngf == 16 and config.recipe.generator.n_blocks == 1
    assert "face" not in config.recipe.stages()
    for name, stage in config.recipe.stages().items():
        assert stage.steps == round(before.stages()[name].steps / 2)
        assert stage.decay_steps <= stage.steps
    config.validate()
