"""Choosing a student and its lessons, without a network."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.config import load_config
from motion_jax.distill import forms, taught
from motion_jax.distill.command import parse_budget, student_config
from motion_jax.distill.family import Member, family, finalists, largest
from motion_jax.distill.lessons import poses_to_draw, with_arms_of
from motion_jax.distill.options import DistillOptions
from motion_jax.errors import UserError
from motion_jax.live.graphs import graph, session
from motion_jax.nets.pix2pixhd import GlobalGenerator
from motion_jax.nets.resample import depth_to_space, space_to_depth
from motion_jax.pose import joints
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
    members = [Member(None, "", {"width": n}) for n in range(5)]
    found, tried = largest(members, budget, lambda one: times[one.sizes["width"]])
    right = next(n for n, spent in enumerate(times) if spent <= budget)
    assert found.spent <= budget and found.member.sizes["width"] == right
    assert tried[right] == found.spent


class Stub(Member):
    """One whose arithmetic is its width."""

    @property
    def operations(self):
        return self.sizes["width"]


def test_of_several_forms_the_best_of_each_block_size_are_finalists():
    branches = [
        [Stub(None, "", {"width": w}, {"generator.shuffle": s, "generator.block": b})
         for w in (64, 32, 8)]
        for s in (1, 2, 4) for b in ("full", "separable")
    ]  # fmt: skip

    def timing(member):
        form = member.form
        slow = {1: 4.0, 2: 1.0, 4: 0.5}[form["generator.shuffle"]]
        return member.sizes["width"] * slow * (2 if form["generator.block"] == "full" else 1)

    found, tried = finalists(branches, 40, timing, 3)
    got = [
        (one.member.form["generator.shuffle"], one.member.sizes["width"], one.spent)
        for one in found
    ]
    assert got == [(4, 64, 32.0), (2, 32, 32.0), (1, 8, 32.0)]
    assert all(set(each) == {"sizes", "form", "milliseconds"} for each in tried)
    assert len(finalists(branches, 40, timing, 1)[0]) == 1
    with pytest.raises(UserError, match=r"the smallest network takes 4.0 ms"):
        finalists(branches, 3, timing, 3)


def test_the_family_is_the_teachers_recipe_made_smaller_in_one_stage():
    recipe = load_config("two_cores").recipe
    branches = family(recipe)
    forms = [tuple(members[0].form.items()) for members in branches]
    assert len(set(forms)) == len(forms) > 12
    for name, values in recipe.variants.items():
        assert {dict(form)[name] for form in forms} == set(values)
    for members in branches[::5]:
        sizes = [(one.sizes["width"], one.sizes["blocks"]) for one in members]
        assert sizes == sorted(sizes, reverse=True) and sizes[0][0] == recipe.generator.ngf
        for member in members[::7]:
            member.recipe.validate()
            assert list(member.recipe.stages()) == ["global"]
            assert member.recipe.generator.ngf == member.sizes["width"]
            assert member.recipe.background == recipe.background
            # The teacher's discriminator judges it.
            assert member.recipe.discriminator == recipe.discriminator
    assert branches[0][0].operations > 4 * branches[0][-1].operations
    last = list(recipe.stages().values())[-1]
    only = branches[0][0].recipe.global_stage
    assert (only.height, only.width) == (last.height, last.width)
    assert only.steps == sum(stage.steps for stage in recipe.stages().values())


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
    turned = poses_to_draw(dance, [(0, 8), (10, 6)], 2, seed=3, degrees=9.0)
    np.testing.assert_array_equal(turned[0], drawn[0])
    assert all((a != b).any() for a, b in zip(turned[2:], drawn[2:], strict=True))
    again = poses_to_draw(dance, [(0, 8), (10, 6)], 2, seed=3)
    for a, b in zip(drawn, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_students_config():
    @dataclasses.dataclass
    class Teacher:
        config = load_config("two_cores")
        params = {"generator": {}, "face_generator": {}}
        who = ()
        made: dict = dataclasses.field(default_factory=dict)

    options = DistillOptions(teacher=None, run=None, steps=0.5)
    form = {"generator.shuffle": 2, "generator.block": "separable"}
    config = student_config(Teacher(), {"width": 16, "blocks": 1}, form, options)
    before = Teacher.config.recipe
    generator = config.recipe.generator
    assert (generator.ngf, generator.n_blocks, generator.shuffle) == (16, 1, 2)
    [stage] = config.recipe.stages().values()
    steps = sum(each.steps for name, each in before.stages().items() if name != "face")
    assert stage.steps == round(steps / 2)
    assert stage.decay_steps <= stage.steps
    config.validate()
    # Of a teacher whose stages ended by the clock, the steps that it made.
    teacher = Teacher({"global": 30, "local": 70, "face": 5})
    [shorter] = student_config(teacher, {}, {}, options).recipe.stages().values()
    assert (shorter.steps, shorter.decay_steps) == (50, round(stage.decay_steps * 50 / stage.steps))


def test_turned_joints_stay_within_what_was_seen_and_bones_keep_their_lengths():
    dance = a_dance(300, 4)
    within = joints.limits(dance[:200])
    turned = joints.perturbed(dance[200:], within, 30.0, np.random.default_rng(0))
    moved = 0
    for joint, known in zip(joints.JOINTS, within, strict=True):
        for bone in ((joint.before, joint.at), (joint.at, joint.after)):
            before, after = (
                np.linalg.norm(poses[:, bone[0], :2] - poses[:, bone[1], :2], axis=1)
                for poses in (dance[200:], turned)
            )
            np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-3)
        was, is_ = (joints.angles(poses, joint)[0] - known.middle
                    for poses in (dance[200:], turned))  # fmt: skip
        was, is_ = ((angle + np.pi) % (2 * np.pi) - np.pi for angle in (was, is_))
        # Nobody goes beyond the limits who was not there before.
        assert (is_ <= np.maximum(known.high, was) + 1e-3).all()
        assert (is_ >= np.minimum(known.low, was) - 1e-3).all()
        moved += (np.abs(is_ - was) > 0.05).mean()
    assert moved > 3
    # What is not seen stays so, and slowly: neighbouring frames turn by nearly the same.
    hidden = dance[200:].copy()
    hidden[:, INDEX["left_wrist"]] = 0
    again = joints.perturbed(hidden, within, 30.0, np.random.default_rng(0))
    assert (again[:, INDEX["left_wrist"]] == 0).all()
    still = np.repeat(dance[:1], 50, 0)
    path = joints.perturbed(still, joints.limits(dance), 8.0, np.random.default_rng(1))
    steps = np.linalg.norm(np.diff(path[:, INDEX["right_wrist"], :2], axis=0), axis=1)
    assert 0 < steps.max() < 5


def test_where_the_teacher_looks():
    """Zagoruyko and Komodakis' equation, written out in numpy, and its gradient."""
    random = np.random.default_rng(0)

    def maps(channels):
        return {
            n: jnp.asarray(random.normal(size=(2, n, n, c)), jnp.float32)
            for n, c in channels.items()
        }

    mine, theirs = maps({4: 3, 8: 5}), maps({16: 2, 8: 9, 4: 7})

    def spread(x):
        energy = (np.asarray(x) ** 2).sum(-1).reshape(2, -1)
        return energy / np.linalg.norm(energy, axis=1, keepdims=True)

    expected = np.mean([
        np.linalg.norm(spread(mine[size]) - spread(theirs[size]), axis=1).mean() for size in (4, 8)
    ])  # fmt: skip
    found = float(taught.attention(mine, theirs))
    assert found == pytest.approx(expected, rel=1e-4)
    assert float(taught.attention({2: mine[4]}, theirs)) == 0.0
    # Twice as active everywhere is as active where.
    assert float(taught.attention({4: 2 * theirs[4]}, theirs)) == pytest.approx(0, abs=1e-4)
    along = jnp.asarray(random.normal(size=mine[4].shape), jnp.float32)
    change = jax.grad(lambda x: taught.attention({4: x}, theirs))(mine[4])
    there, back = (
        float(taught.attention({4: mine[4] + step * along}, theirs)) for step in (1e-2, -1e-2)
    )
    assert np.vdot(change, along) == pytest.approx((there - back) / 2e-2, rel=2e-2)


def test_blocks_of_pixels_are_channels_and_back():
    x = np.arange(2 * 4 * 6 * 3, dtype=np.float32).reshape(2, 4, 6, 3)
    packed = np.asarray(space_to_depth(jnp.asarray(x), 2))
    assert packed.shape == (2, 2, 3, 12)
    # The block's pixels row by row, the channels of each together.
    np.testing.assert_array_equal(
        packed[1, 1, 2], np.concatenate([x[1, 2, 4], x[1, 2, 5], x[1, 3, 4], x[1, 3, 5]])
    )
    np.testing.assert_array_equal(depth_to_space(jnp.asarray(packed), 2), x)


def test_a_network_of_blocks_is_the_same_as_a_graph():
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    x = jax.random.uniform(jax.random.key(1), (1, 16, 24, 6), minval=-1)
    module = GlobalGenerator(4, 4, 1, 1, block="separable", up="resize", shuffle=2)
    params = jax.tree.map(lambda p: 5 * p, module.init(jax.random.key(0), x))
    wanted = np.asarray(module.apply(params, x))
    assert wanted.shape == (1, 16, 24, 4) and wanted.std() > 0.05
    found = session("onnxruntime", graph(module, params, 6), x.shape)(np.asarray(x))
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_the_fastest_form_that_is_near_the_teacher():
    """SSIM of 0.9 in a closed loop, and at most 0.01 lost by bfloat16 or int8."""

    def rows(*pairs):
        return [{"milliseconds": ms, "ssim_to_teacher": ssim} for ms, ssim in pairs]

    of = forms.fastest_near
    assert of(rows((30.0, 0.95), (9.0, 0.95), (5.0, 0.945), (3.0, 0.93)))["milliseconds"] == 5.0
    assert of(rows((30.0, 0.905), (9.0, 0.905), (3.0, 0.899)))["milliseconds"] == 9.0
    assert of(rows((30.0, 0.89), (3.0, 0.91)))["milliseconds"] == 3.0
    assert of(rows((30.0, 0.8), (3.0, 0.79))) is None
