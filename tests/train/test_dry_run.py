"""What --dry-run measures, and what it suggests for a dataset."""

import json
from dataclasses import replace

import pytest

from motion_jax.cli import train as command
from motion_jax.errors import UserError
from motion_jax.profiling import cost
from motion_jax.recipes.schedule import Stage


@pytest.fixture
def small(config):
    """Its global stage alone."""
    recipe = config.recipe
    nothing = {"local_stage": replace(recipe.local_stage, steps=0, decay_steps=0),
               "face_stage": replace(recipe.face_stage, steps=0, decay_steps=0)}  # fmt: skip
    return replace(config, recipe=replace(recipe, **nothing))


def test_with_a_dataset_it_suggests_what_fits(small, dataset, capsys):
    command.dry_run(small, dataset, as_json=True)
    out, err = capsys.readouterr()
    said = json.loads(out)
    found = said["suggestion"]
    # 24 frames, a quarter of them held out; 32x32 is no size of a shipped config.
    assert "You have 18 training frames of 32x32" in found["text"] and found["text"] in err
    assert found["config"] is None and found["command"] is None
    assert {c["config"] for c in found["candidates"]} == {
        "everybody_dance_now", "small", "two_cores",
    }  # fmt: skip
    # By the measured steps: of two configs the one with the more arithmetic takes longer.
    hours = {c["config"]: c["hours"] for c in found["candidates"]}
    assert hours["everybody_dance_now"] > hours["small"] > hours["two_cores"] > 0


def test_without_json_it_is_a_short_table(capsys):
    cost = {"parameters": {"generator": 7.9e6}, "gflop_per_step": 146.2, "state_mb": 143.0,
            "temporary_mb": 420.0, "seconds_per_step": None}  # fmt: skip
    stage = Stage(steps=20000, height=64, width=128, batch_size=4)
    command._show({"main": stage}, {"main": cost}, ["All of it."], "motion-jax transfer")
    out = capsys.readouterr().out
    assert "128x64" in out and "20,000" in out and "7.9 million" in out and "does not fit" in out
    assert out.splitlines()[-3:] == [
        "All of it.", "The resolved config and all figures as JSON: the same with --json.",
        "Next: motion-jax transfer",
    ]  # fmt: skip


def test_the_measured_steps_are_the_measure_of_others(small, dataset, monkeypatch):
    from motion_jax.data.records import open_dataset
    from motion_jax.plan import machine

    def suggested(seconds):
        found = command.suggestion(small, open_dataset(dataset), dataset, {"global": seconds})
        return found["candidates"][-1]["hours"]

    # Steps of a tiny network are none: wider ones would seem to take days.
    monkeypatch.setattr(machine, "measured_machine", lambda: machine.this_machine({}, "not at all"))
    assert suggested(0.1) is None
    monkeypatch.setattr(machine, "TELLING_FLOPS", 0.0)
    assert suggested(0.2) == pytest.approx(2 * suggested(0.1))


def test_strategy_is_short_for_that_of_devices(small):
    assert command.parse(small, "small", ["--strategy", "pmap"])[1].devices.strategy == "pmap"
    assert command.parse(small, "small", [])[1] == small


def test_networks_without_blocks_are_refused(small):
    for option, what in (("blocks", "residual block"), ("downsamplings", "halving")):
        with pytest.raises(UserError, match=f"{option} 0 leaves no {what}"):
            command.parse(small, "small", [f"--{option}", "0"])


def test_what_does_not_fit_into_memory_is_not_run(small, capsys, monkeypatch):
    monkeypatch.setattr(cost, "memory_of", lambda device: 1000.0)
    command.dry_run(small, as_json=True)
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert said["stages"]["global"]["seconds_per_step"] is None and said["hours"] is None
    assert "does not fit into this machine's memory" in err


def test_a_folder_that_is_no_dataset_is_refused_before_anything_is_compiled(small, tmp_path):
    with pytest.raises(UserError, match="metadata.json"):
        command.dry_run(small, tmp_path)


def test_the_quickest_run_counts(monkeypatch):
    clock = iter([0.0, 9.0, 10.0, 13.0, 20.0, 22.0, 30.0, 34.0])
    monkeypatch.setattr(cost.time, "perf_counter", lambda: next(clock))
    # The first does not count (9 s); then 3 and 2 s are as long as asked for.
    assert cost.fastest(lambda: None, least=5.0) == 2.0
    clock = iter([0.0, 1.0, 2.0, 9.0, 10.0, 14.0, 20.0, 25.0])
    # Two at least, and no more than `most`.
    assert cost.fastest(lambda: None, least=0.0) == 4.0
    clock = iter([0.0, 1.0, 2.0, 9.0, 10.0, 18.0, 20.0, 25.0])
    assert cost.fastest(lambda: None, least=99.0, most=3) == 5.0
    # One that is very long is not repeated.
    clock = iter([0.0, 21.0])
    assert cost.fastest(lambda: None, least=99.0) == 21.0
