"""What `motion-jax compare` plans for a budget: configs, steps of each stage, how long it takes."""

import time

import numpy as np
import pytest

from motion_jax.compare import budget, duration
from motion_jax.compare.movers import Clip, frame_seconds
from motion_jax.config import load_config
from motion_jax.errors import UserError
from motion_jax.plan import methods
from motion_jax.profiling.cost import fastest, mean


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h", 3600), ("1.5h", 5400), ("600", 600), (" 2M ", 120)],
)
def test_budgets(text, seconds):
    assert duration.parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-5m", "10 days", "1m30s", "nan"])
def test_what_is_no_budget(text):
    with pytest.raises(UserError, match="is no time to train"):
        duration.parse_budget(text)


def test_budgets_are_shown_as_they_are_given():
    assert [duration.show_seconds(s) for s in (0.5, 90, 600)] == ["0.5s", "90s", "10m"]


def planned(face_height: float, seconds: float = 100.0) -> budget.Plan:
    method = methods.METHODS["everybody-dance-now"]
    config = methods.base_config(
        method, (128, 128), on_cpu=True, holdout=0.25, seed=3, face_height=face_height
    )
    shares = methods.stage_shares(method, config)
    assert sum(shares.values()) == pytest.approx(1)
    measured = {"global": 0.1, "local": 0.4, "face": 0.2}
    times = {name: measured[name] for name in shares}
    return budget.plan("everybody-dance-now", config, shares, seconds, times)


def test_the_clock_ends_each_stage():
    plan = planned(face_height=40)
    assert plan.limits == pytest.approx({"global": 28, "local": 62, "face": 10})
    stages = plan.config.recipe.stages()
    # Twice those of 28 s at 0.1 s a step, and so on: the clock is to end them.
    assert {name: stage.steps for name, stage in stages.items()} == {
        "global": 560, "local": 310, "face": 100
    }  # fmt: skip
    assert [stage.decay_steps for stage in stages.values()] == [0, 155, 50]
    assert [(stage.height, stage.width) for stage in stages.values()] == [
        (64, 64), (128, 128), (128, 128)
    ]  # fmt: skip
    assert (plan.config.data.holdout, plan.config.seed) == (0.25, 3)
    plan.config.validate()


def test_faces_of_a_few_pixels_have_no_stage():
    plan = planned(face_height=12)
    assert plan.limits == pytest.approx({"global": 28 / 0.9, "local": 62 / 0.9})
    assert list(plan.config.recipe.stages()) == ["global", "local"]


def test_a_face_stage_that_its_time_cannot_feed_is_left_out():
    """10 s at 0.2 s a step are 50 steps, and 9 s too few."""
    assert "face" in planned(face_height=40, seconds=100).limits
    plan = planned(face_height=40, seconds=90)
    assert plan.limits == pytest.approx({"global": 28 / 0.9 * 0.9, "local": 62 / 0.9 * 0.9})
    assert list(plan.config.recipe.stages()) == ["global", "local"]
    plan.config.validate()


def test_a_step_of_each_stage_is_made_whatever_the_shares():
    stages = planned(face_height=40, seconds=0.7).config.recipe.stages()
    assert all(stage.steps >= 1 for stage in stages.values())
    with pytest.raises(UserError, match="one step of each of its 3 stages takes 0.7 s"):
        planned(face_height=40, seconds=0.6)


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize("name", [m.name for m in methods.METHODS.values() if m.trained])
def test_every_method_has_a_config_that_works(name, on_cpu):
    method = methods.METHODS[name]
    config = methods.base_config(
        method, (256, 256), on_cpu=on_cpu, holdout=0.2, seed=0, face_height=40, domain_a="source"
    )
    assert set(config.recipe.stages()) == set(method.shares)
    assert not config.recipe.pretrained(), "needs no download"
    assert ("poses" in config.recipe.shows) == (method.shown == "pose") or method.data == "pairs"
    assert not on_cpu or config.recipe.generator.ngf <= 32


def test_sizes_that_networks_cannot_have():
    with pytest.raises(UserError, match="pose2pics cannot be trained on pictures of 48x48: "):
        methods.base_config(
            methods.METHODS["pose2pics"], (48, 48), on_cpu=True, holdout=0.2, seed=0
        )
    assert [methods.halvings(size) for size in ((512, 512), (256, 128), (96, 64))] == [8, 7, 5]
    with pytest.raises(UserError, match="no setting recipe.generator.nfg"):
        methods.changed(load_config("small"), {"recipe.generator.nfg": 3})


def test_a_shared_machine_is_planned_with_as_it_is():
    """Every second run takes ten times as long: the plan must not go by the quick ones."""
    runs = []

    def run():
        runs.append(0.002 if len(runs) % 2 else 0.02)
        time.sleep(runs[-1])

    assert mean(run, least=0.2) > 2 * fastest(run, least=0.2)


def test_speed_leaves_the_first_frames_out():
    class Slow:
        parameters, calls = 0, 0

        def move(self, clip):
            self.calls += 1
            time.sleep(0.2 if self.calls == 1 else 0.0)
            yield from np.zeros((len(clip), 2, 2, 3), np.uint8)

    zeros = np.zeros((8, 137, 3), np.float32), np.zeros((8, 4), np.float32)
    assert frame_seconds(Slow(), Clip(*zeros, lambda a, b: None, np.arange(8.0))) < 0.02


def test_how_long_it_takes_is_said_before():
    text = duration.announcement(90.0, 5, 8, "cpu")
    assert text.startswith(
        "5 methods are trained for 90s each: 8 minutes. Before that the steps of"
    )
    assert "8 stages are compiled, once each: about 5 minutes (estimated)" in text
    assert "All together about 13 minutes" in text
    assert duration.announcement(600.0, 1, 0, "gpu") == "1 method is trained for 10m: 10 minutes."
    assert duration.announcement(600.0, 0, 0, "cpu").startswith("Nothing is trained")
    found = duration.expected(list(methods.METHODS.values()), 600.0, "cpu")
    assert (found.learning, found.compiling, found.scores) == (3000.0, 8 * 40.0, 7 * 60.0)
